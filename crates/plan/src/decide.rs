//! The decision.

use crate::{Observed, Plan};
use herder_fleet::Fleet;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What planning must know besides git and the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Until when developer environments are up, by environment.
    pub leases: BTreeMap<String, Timestamp>,
    /// Everything is to go (`herder down --everything`).
    pub everything_down: bool,
    /// Whether the guard against deleting too much is switched off for this plan.
    pub allow_mass_delete: bool,
    /// The id of the plan before.
    pub parent: Option<String>,
    /// The generation of the plan before.
    pub generation: u64,
}

/// Decides what to change.
#[must_use]
pub fn plan(fleet: &Fleet, observed: &Observed, state: &State, now: Timestamp) -> Plan {
    let _ = (observed, now);
    Plan {
        fleet: fleet.name.clone(),
        commit: fleet.commit.clone(),
        generation: state.generation + 1,
        parent: state.parent.clone(),
        ..Plan::default()
    }
}
