//! The outside of a simulated flow: git, clock, cluster and Vault by heart, the ledger a real one in memory. Each call can
//! fail, and the process can be killed before and after every effect. Writes down what breaks a rule while it happens,
//! judged by what the world knows and not by what the flow was told.

use super::super::Outside;
use super::super::outside::Fault;
use super::random::Random;
use herder_base::Location;
use herder_fleet::{
    Desired, FLEET_LABEL, Fleet, HASH_ANNOTATION, Policy, Role, STATE_LABEL, Turn, UNIT_LABEL, Unit,
    UnitOrigin,
};
use herder_ledger::{AuditEntry, Error, Lease, Ledger, NewPlan, PlanHead, PlanState, PlannedAction};
use herder_object::{Gvk, Key};
use herder_plan::{
    Checked, Effect, Ended, Inventory, Known, Observed, Outcome, Part, PartAction, PartOutcome, Present,
    ServedKind, What, Wish,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const FLEET: &str = "org";
/// Whose namespace is permanent, and whose is leased.
pub(super) const PERMANENT: [&str; 2] = ["shop", "blog"];
pub(super) const LEASED: [&str; 2] = ["dev-ada", "dev-bob"];
pub(super) const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// What git says: versions of ConfigMaps by unit, policies and roles; and what of it cannot be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Git {
    pub(super) commit: u64,
    pub(super) units: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    pub(super) policies: BTreeMap<&'static str, u64>,
    pub(super) roles: BTreeMap<&'static str, u64>,
    /// A unit whose files cannot be read.
    pub(super) broken: Option<&'static str>,
    /// A unit that is not even listed, because its file cannot be read.
    pub(super) hidden: Option<&'static str>,
    pub(super) broken_policies: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InVault {
    pub(super) text: String,
    pub(super) ours: bool,
}

/// A defect that Herder once had, or could have, put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// Leases that cannot be read are taken for none.
    NoLeases,
    /// A plan is carried out although another one was recorded meanwhile.
    StaleTaken,
    /// A plan is carried out although it could not be recorded.
    Unrecorded,
    /// A plan that was left open is not noticed.
    OpenForgotten,
    /// Groups that do not answer are taken for empty.
    NothingSilent,
}

pub(super) struct World {
    pub(super) defect: Option<Defect>,
    pub(super) random: RefCell<Random>,
    pub(super) clock: Cell<Timestamp>,
    pub(super) down: Cell<bool>,
    pub(super) ledger: Ledger,
    pub(super) objects: RefCell<BTreeMap<Key, Value>>,
    pub(super) vault: RefCell<BTreeMap<(Part, String), InVault>>,
    /// How many of a hundred calls fail.
    pub(super) faults: Cell<u64>,
    pub(super) steps: Cell<u64>,
    pub(super) killed_at: Cell<Option<u64>>,
    pub(super) killed: tokio::sync::Notify,
    /// Whether a group of kinds did not answer in this pass.
    silent: Cell<bool>,
    pub(super) violations: RefCell<Vec<String>>,
    pub(super) story: RefCell<Vec<String>>,
    /// The reading that the present pass is made with.
    pub(super) fleet: RefCell<Fleet>,
}

pub(super) fn key(kind: &str, namespace: &str, name: &str) -> Key {
    Key {
        gvk: Gvk::new("v1", kind),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn object(kind: &str, unit: &str, name: &str, version: u64) -> Desired {
    let namespace = if kind == "Namespace" { "" } else { unit };
    let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name,
        "labels": {FLEET_LABEL: FLEET, UNIT_LABEL: unit}, "annotations": {HASH_ANNOTATION: version.to_string()}}});
    if kind != "Namespace" {
        value["metadata"]["namespace"] = json!(namespace);
        value["data"] = json!({"version": version.to_string()});
    }
    // The last of each unit is state.
    if name == "four" {
        value["metadata"]["labels"][STATE_LABEL] = json!("true");
    }
    Desired {
        key: key(kind, namespace, name),
        value: Arc::new(value),
        source: Location::default(),
        application: None,
        version: None,
        hash: version.to_string(),
        turn: Turn::default(),
        hook: None,
    }
}

/// How git is read.
pub(super) fn fleet(git: &Git) -> Fleet {
    let mut fleet = Fleet {
        name: FLEET.to_owned(),
        commit: herder_base::Commit::new(format!("{:040}", git.commit)),
        ..Fleet::default()
    };
    for (unit, maps) in git.units.iter().filter(|(unit, _)| git.hidden != Some(**unit)) {
        let broken = git.broken == Some(*unit);
        let mut objects = vec![object("Namespace", unit, unit, 0)];
        objects.extend(
            maps.iter()
                .map(|(name, version)| object("ConfigMap", unit, name, *version)),
        );
        let leased = LEASED.contains(unit);
        fleet.units.push(Unit {
            id: (*unit).to_owned(),
            namespace: (*unit).to_owned(),
            origin: UnitOrigin::Environment,
            environment: Some((*unit).to_owned()),
            objects: if broken { Vec::new() } else { objects },
            named: Vec::new(),
            left_out: Vec::new(),
            incomplete: None,
            cluster_scoped: false,
            held: broken.then(|| "its files cannot be read".to_owned()),
            held_applications: BTreeMap::new(),
            state_rules: Vec::new(),
            leased,
        });
    }
    fleet.held.units = git.hidden.map(|_| "a file cannot be read".to_owned());
    if git.broken_policies {
        fleet.held.policies = Some("a policy cannot be read".to_owned());
    }
    let first = usize::from(git.broken_policies);
    fleet.policies = (git.policies.iter().skip(first))
        .map(|(name, version)| Policy {
            name: (*name).to_owned(),
            text: version.to_string(),
            source: Location::default(),
        })
        .collect();
    fleet.roles = (git.roles.iter())
        .map(|(name, version)| Role {
            name: (*name).to_owned(),
            policies: vec![version.to_string()],
            ..Role::default()
        })
        .collect();
    fleet
}

pub(super) fn label<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get("metadata")?.get("labels")?.get(name)?.as_str()
}

fn fault() -> Error {
    Error::Column {
        column: "made to fail",
        value: String::new(),
    }
}

impl World {
    pub(super) async fn new(seed: u64, defect: Option<Defect>) -> Self {
        let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "shop"}});
        Self {
            defect,
            random: RefCell::new(Random::new(seed)),
            clock: Cell::new(Timestamp::from_second(1_800_000_000).unwrap()),
            down: Cell::new(false),
            ledger: Ledger::open("sqlite::memory:").await.unwrap(),
            objects: RefCell::new(BTreeMap::from([(key("ConfigMap", "shop", "foreign"), foreign)])),
            vault: RefCell::new(BTreeMap::from([(
                (Part::Policy, "foreign".to_owned()),
                InVault {
                    text: "x".to_owned(),
                    ours: false,
                },
            )])),
            faults: Cell::new(0),
            steps: Cell::new(0),
            killed_at: Cell::new(None),
            killed: tokio::sync::Notify::new(),
            silent: Cell::new(false),
            violations: RefCell::default(),
            story: RefCell::default(),
            fleet: RefCell::default(),
        }
    }

    pub(super) fn tell(&self, what: String) {
        self.story.borrow_mut().push(what);
    }

    pub(super) fn violate(&self, what: String) {
        self.tell(format!("VIOLATION {what}"));
        self.violations.borrow_mut().push(what);
    }

    pub(super) fn chance(&self, of_hundred: u64) -> bool {
        self.random.borrow_mut().below(100) < of_hundred
    }

    /// A moment at which the process may be killed.
    async fn step(&self) {
        let step = self.steps.get() + 1;
        self.steps.set(step);
        if self.killed_at.get() == Some(step) {
            self.tell("killed".to_owned());
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// A step, and whether the call that it begins fails.
    async fn call(&self, what: &str) -> bool {
        self.step().await;
        let fails = self.chance(self.faults.get());
        if fails {
            self.tell(format!("{what} fails"));
        }
        fails
    }

    /// What is true of leases, whatever the flow can read of them.
    async fn leased(&self, unit: &str) -> bool {
        let leases = self.ledger.leases().await.unwrap();
        leases
            .iter()
            .any(|lease| lease.environment == unit && lease.until > self.clock.get())
    }

    /// Only what the ledger holds as the open last plan may be carried out.
    async fn must_be_open(&self, generation: u64, id: &str) {
        let head = self.ledger.plan_head().await.unwrap();
        let open = head.as_ref().is_some_and(|head| {
            (head.generation, head.id.as_str(), head.state) == (generation, id, PlanState::Open)
        });
        if !open {
            self.violate(format!(
                "plan {generation} is carried out, but the ledger has {head:?}"
            ));
        }
    }

    async fn may_apply(&self, action: &herder_plan::Action) {
        let unit = self.fleet.borrow().unit(&action.unit).cloned();
        let told = format!("{} is applied", action.key);
        match unit {
            _ if self.down.get() => self.violate(format!("{told} although everything is to be gone")),
            None => self.violate(format!("{told} although git has no {}", action.unit)),
            Some(unit) if unit.held.is_some() => self.violate(format!("{told} although it is held")),
            Some(unit) if unit.leased && !self.leased(&unit.id).await => {
                self.violate(format!("{told} although nobody leases {}", unit.id));
            }
            Some(unit) => {
                let wanted = unit
                    .objects
                    .iter()
                    .any(|object| object.key == action.key && Some(&object.value) == action.value.as_ref());
                if !wanted {
                    self.violate(format!("{told} otherwise than git says"));
                }
            }
        }
    }

    async fn may_delete(&self, key: &Key) {
        let live = self.objects.borrow().get(key).cloned();
        let Some(live) = live else { return };
        let told = format!("{key} is deleted");
        let Some(id) = label(&live, UNIT_LABEL).map(str::to_owned) else {
            return self.violate(format!("{told} although no fleet made it"));
        };
        if label(&live, STATE_LABEL).is_some() {
            return self.violate(format!("{told} although it is state"));
        }
        if key.gvk.kind == "Namespace" {
            let inside = self.objects.borrow();
            let mut inside = inside.iter().filter(|(inside, _)| inside.namespace == key.name);
            if let Some((state, _)) = inside.find(|(_, value)| label(value, STATE_LABEL).is_some()) {
                return self.violate(format!("{told} with {state}, which is state"));
            }
            if self.silent.get() {
                return self.violate(format!("{told} although the cluster did not say all it holds"));
            }
        }
        if self.down.get() {
            return;
        }
        let (unit, listed) = {
            let fleet = self.fleet.borrow();
            (fleet.unit(&id).cloned(), fleet.held.units.is_none())
        };
        let fine = match &unit {
            None => listed,
            Some(unit) if unit.leased && !self.leased(&id).await => true,
            Some(unit) => unit.held.is_none() && unit.objects.iter().all(|object| object.key != *key),
        };
        if !fine {
            self.violate(format!("{told} although it is wanted, or nobody knows"));
        }
    }
}

impl Outside for World {
    fn now(&self) -> Timestamp {
        self.clock.get()
    }

    fn everything_down(&self) -> bool {
        self.down.get()
    }

    async fn leases(&self) -> Result<Vec<Lease>, Error> {
        if self.call("reading leases").await {
            if self.defect == Some(Defect::NoLeases) {
                return Ok(Vec::new());
            }
            return Err(fault());
        }
        self.ledger.leases().await
    }

    async fn last_plan(&self) -> Result<Option<PlanHead>, Error> {
        if self.call("reading the last plan").await {
            return Err(fault());
        }
        let mut last = self.ledger.plan_head().await?;
        if let Some(last) = last
            .as_mut()
            .filter(|_| self.defect == Some(Defect::OpenForgotten))
        {
            last.state = PlanState::Applied;
        }
        Ok(last)
    }

    async fn record_plan(&self, plan: &NewPlan) -> Result<(), Error> {
        if self.call("recording a plan").await {
            // Before it was done, or after: then only the answer is lost.
            if self.chance(50) {
                self.ledger.record_plan(plan).await.unwrap_or(());
            }
            if self.defect == Some(Defect::Unrecorded) {
                return Ok(());
            }
            return Err(fault());
        }
        if self.chance(3) {
            // Another process was faster.
            let rival = NewPlan {
                id: "rival".to_owned(),
                actions: Vec::new(),
                ..plan.clone()
            };
            self.ledger.record_plan(&rival).await.unwrap();
            self.ledger
                .end_plan(rival.generation, &[], self.now())
                .await
                .unwrap();
            self.tell("another process records a plan".to_owned());
            let stale = self.ledger.record_plan(plan).await;
            if !matches!(stale, Err(Error::Stale { .. })) {
                self.violate(format!("a stale plan is recorded: {stale:?}"));
            }
            if self.defect == Some(Defect::StaleTaken) {
                return Ok(());
            }
            return stale;
        }
        self.ledger.record_plan(plan).await?;
        self.step().await;
        Ok(())
    }

    async fn end_plan(&self, generation: u64, actions: &[PlannedAction]) -> Result<(), Error> {
        if self.call("recording outcomes").await {
            return Err(fault());
        }
        let silent = actions
            .iter()
            .find(|action| action.what != "hold" && action.outcome.is_none() && action.refused.is_none());
        if let Some(action) = silent {
            self.violate(format!("{} {} has no outcome", action.kind, action.name));
        }
        self.ledger.end_plan(generation, actions, self.now()).await?;
        self.step().await;
        Ok(())
    }

    async fn drop_plan(&self, generation: u64, why: &str) -> Result<(), Error> {
        if self.call("dropping a plan").await {
            return Err(fault());
        }
        self.ledger.drop_plan(generation, why, self.now()).await?;
        self.step().await;
        Ok(())
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<(), Error> {
        if self.call("auditing").await {
            return Err(fault());
        }
        self.ledger.audit(entry).await.map(drop)
    }

    async fn observe(&self, _: &Fleet) -> Result<Observed, Fault> {
        self.silent.set(false);
        if self.call("observing").await {
            if self.chance(50) {
                return Err(Box::new(fault()));
            }
            self.silent.set(true);
        }
        let mut observed = Observed::default();
        for (kind, namespaced) in [("Namespace", false), ("ConfigMap", true)] {
            observed.serve(
                "",
                kind,
                ServedKind {
                    versions: vec!["v1".to_owned()],
                    plural: kind.to_ascii_lowercase() + "s",
                    namespaced,
                },
            );
        }
        if self.silent.get() && self.defect != Some(Defect::NothingSilent) {
            observed.silence("example.org", "503");
        }
        for value in self.objects.borrow().values() {
            observed.insert(value.clone());
        }
        Ok(observed)
    }

    async fn ended(&self, _: &Fleet, _: &Observed) -> Known<Ended> {
        Known::Known(Ended::default())
    }

    async fn parts(&self, fleet: &Fleet) -> BTreeMap<Part, Inventory> {
        let unknown = self.call("looking at Vault").await;
        let vault = self.vault.borrow();
        let inventory = |part: Part, wanted: Vec<(String, String)>, held: &Option<String>| {
            let wishes = wanted.into_iter().map(|(name, text)| Wish {
                name,
                text: text.into(),
                source: Location::default(),
                fault: None,
            });
            let mine = vault.iter().filter(|((of, _), _)| *of == part);
            let present = mine.map(|((_, name), found)| {
                let present = Present {
                    text: Some(found.text.clone()),
                    ours: found.ours,
                };
                (name.clone(), present)
            });
            let inventory = Inventory {
                wanted: wishes.collect(),
                held: held.clone(),
                present: if unknown {
                    Known::Unknown("Vault is sealed".to_owned())
                } else {
                    Known::Known(present.collect())
                },
                ..Inventory::none()
            };
            (part, inventory)
        };
        let policies = fleet.policies.iter();
        let policies = policies.map(|policy| (policy.name.clone(), policy.text.clone()));
        let roles = fleet.roles.iter();
        let roles = roles.map(|role| (role.name.clone(), role.policies.concat()));
        BTreeMap::from([
            inventory(Part::Policy, policies.collect(), &fleet.held.policies),
            inventory(Part::Role, roles.collect(), &fleet.held.roles),
        ])
    }

    async fn apply(&self, plan: &Checked) -> Vec<Outcome> {
        self.must_be_open(plan.generation, &plan.id).await;
        let mut outcomes = Vec::new();
        for action in plan.writes() {
            let result = if self.call("a write").await {
                Err("made to fail".to_owned())
            } else if action.what == What::Apply {
                self.may_apply(action).await;
                let value = (**action.value.as_ref().unwrap()).clone();
                let before = self.objects.borrow_mut().insert(action.key.clone(), value);
                Ok(before.map_or(Effect::Created, |_| Effect::Changed))
            } else {
                self.may_delete(&action.key).await;
                let mut objects = self.objects.borrow_mut();
                if action.key.gvk.kind == "Namespace" {
                    objects.retain(|key, _| key.namespace != action.key.name);
                }
                let there = objects.remove(&action.key);
                Ok(there.map_or(Effect::Absent, |_| Effect::Deleted))
            };
            outcomes.push(Outcome {
                key: action.key.clone(),
                what: action.what,
                unit: action.unit.clone(),
                application: None,
                again: false,
                result,
            });
        }
        self.step().await;
        outcomes
    }

    async fn apply_parts(&self, _: &Fleet, actions: &[PartAction]) -> Vec<PartOutcome> {
        let mut outcomes = Vec::new();
        for action in actions {
            let result = if self.call("a write to Vault").await {
                Err("made to fail".to_owned())
            } else {
                self.write_part(action).await
            };
            outcomes.push(PartOutcome {
                part: action.part,
                name: action.name.clone(),
                what: action.what,
                result,
            });
        }
        outcomes
    }
}

impl World {
    async fn write_part(&self, action: &PartAction) -> Result<Effect, String> {
        let head = self.ledger.plan_head().await.unwrap();
        if head.is_none_or(|head| head.state != PlanState::Open) {
            self.violate(format!("{action} is written, but no plan is open"));
        }
        let (wanted, known) = {
            let fleet = self.fleet.borrow();
            match action.part {
                Part::Role => (
                    fleet.roles.iter().any(|role| role.name == action.name),
                    fleet.held.roles.is_none(),
                ),
                _ => (
                    fleet.policies.iter().any(|policy| policy.name == action.name),
                    fleet.held.policies.is_none(),
                ),
            }
        };
        let at = (action.part, action.name.clone());
        let found = self.vault.borrow().get(&at).cloned();
        if action.what == What::Delete {
            let told = format!("{action} is removed");
            if !found.is_some_and(|found| found.ours) {
                self.violate(format!("{told} although no fleet made it"));
            }
            if !self.down.get() && (wanted || !known) {
                self.violate(format!("{told} although it is wanted, or nobody knows"));
            }
            self.vault.borrow_mut().remove(&at);
            return Ok(Effect::Deleted);
        }
        if !wanted || self.down.get() {
            self.violate(format!("{action} is written although it is not wanted"));
        }
        let written = InVault {
            text: action.text.as_deref().unwrap_or_default().to_owned(),
            ours: true,
        };
        self.vault.borrow_mut().insert(at, written);
        Ok(Effect::Changed)
    }
}
