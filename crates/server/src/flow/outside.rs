//! What the flow sees of the outside: a clock, a ledger, a cluster, and the parts besides objects. Owns no behaviour but
//! the platform's own handles.

use crate::state::Shared;
use herder_cluster::Scope;
use herder_fleet::Fleet;
use herder_ledger::{AuditEntry, Error, Lease, NewPlan, PlanHead, PlannedAction};
use herder_plan::{Checked, Ended, Inventory, Known, Observed, Outcome, Part, PartAction, PartOutcome};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Why something outside did not do what was asked.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The outside, as the flow needs it. Each call is a step: between any two of them the platform may be killed.
pub(crate) trait Outside {
    fn now(&self) -> Timestamp;
    /// Whether everything is to be gone.
    fn everything_down(&self) -> bool;
    async fn leases(&self) -> Result<Vec<Lease>, Error>;
    /// The plan that was recorded last.
    async fn last_plan(&self) -> Result<Option<PlanHead>, Error>;
    async fn record_plan(&self, plan: &NewPlan) -> Result<(), Error>;
    async fn end_plan(&self, generation: u64, actions: &[PlannedAction]) -> Result<(), Error>;
    async fn drop_plan(&self, generation: u64, why: &str) -> Result<(), Error>;
    async fn audit(&self, entry: &AuditEntry) -> Result<(), Error>;
    async fn observe(&self, fleet: &Fleet) -> Result<Observed, Fault>;
    /// The Jobs that have ended and went by their own rule.
    async fn ended(&self, fleet: &Fleet, observed: &Observed) -> Known<Ended>;
    /// What there is of each part, and what git wants of it.
    async fn parts(&self, fleet: &Fleet) -> BTreeMap<Part, Inventory>;
    async fn apply(&self, plan: &Checked) -> Vec<Outcome>;
    async fn apply_parts(&self, fleet: &Fleet, actions: &[PartAction]) -> Vec<PartOutcome>;
}

impl Outside for Shared {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn everything_down(&self) -> bool {
        self.everything_down.load(Ordering::SeqCst)
    }

    async fn leases(&self) -> Result<Vec<Lease>, Error> {
        self.ledger.leases().await
    }

    async fn last_plan(&self) -> Result<Option<PlanHead>, Error> {
        self.ledger.plan_head().await
    }

    async fn record_plan(&self, plan: &NewPlan) -> Result<(), Error> {
        self.ledger.record_plan(plan).await
    }

    async fn end_plan(&self, generation: u64, actions: &[PlannedAction]) -> Result<(), Error> {
        self.ledger.end_plan(generation, actions, self.clock.now()).await
    }

    async fn drop_plan(&self, generation: u64, why: &str) -> Result<(), Error> {
        self.ledger.drop_plan(generation, why, self.clock.now()).await
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<(), Error> {
        self.ledger.audit(entry).await.map(drop)
    }

    async fn observe(&self, fleet: &Fleet) -> Result<Observed, Fault> {
        let scope = Scope {
            fleet: fleet.name.clone(),
            kinds: fleet.kinds(),
        };
        Ok(self.cluster.observe(&scope).await?)
    }

    async fn ended(&self, fleet: &Fleet, observed: &Observed) -> Known<Ended> {
        Shared::ended(self, fleet, observed).await
    }

    async fn parts(&self, fleet: &Fleet) -> BTreeMap<Part, Inventory> {
        self.access_parts(fleet).await
    }

    async fn apply(&self, plan: &Checked) -> Vec<Outcome> {
        self.cluster.apply(plan).await
    }

    async fn apply_parts(&self, fleet: &Fleet, actions: &[PartAction]) -> Vec<PartOutcome> {
        self.apply_access(fleet, actions).await
    }
}
