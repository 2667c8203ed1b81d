//! What observing says about applications, pods and nodes. Data only.

use herder_object::Gvk;
use std::collections::BTreeSet;

/// What to observe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The fleet whose objects to look for.
    pub fleet: String,
    /// The kinds that occur in it; others that carry the fleet's label are found too.
    pub kinds: BTreeSet<Gvk>,
}

/// How something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Needs a person.
    Degraded,
    /// Not there.
    Missing,
    /// On its way.
    Progressing,
    /// As it should be.
    #[default]
    Healthy,
}

/// One application in one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppState {
    /// The application.
    pub application: String,
    /// The namespace.
    pub namespace: String,
    /// The worst of its workloads.
    pub health: Health,
    /// Why, in plain words; empty when healthy.
    pub reason: String,
    /// The version label of its workloads, empty if there is none.
    pub version: String,
    /// The version that its ready pods run, if none of them runs the one that is wanted.
    pub serving: String,
    /// Ready pods.
    pub ready: u64,
    /// Wanted pods.
    pub desired: u64,
    /// Its pods that are not going away.
    pub pods: Vec<PodState>,
    /// Workloads as (kind, name, generation).
    pub workloads: Vec<(String, String, u64)>,
    /// Whether its workloads carry a fleet label.
    pub owned: bool,
}

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodState {
    /// Its name.
    pub name: String,
    /// The node it runs on, empty before it has one.
    pub node: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it fails rather than starts.
    pub failing: bool,
    /// What it waits for or failed of.
    pub reason: String,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Whether it takes pods.
    pub ready: bool,
    /// Pods bound to it that have not ended.
    pub pods: usize,
    /// Messages of conditions that say what it lacks.
    pub remarks: Vec<String>,
}

/// Why an application is as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    /// Whether there is nothing to explain.
    pub healthy: bool,
    /// The cause in plain words, the leaf first; never a deadline alone.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// From workload to container.
    pub chain: Vec<Step>,
    /// The last log lines before the failure.
    pub log_tail: Vec<String>,
}

/// One step from the workload to the cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// `Deployment`, `ReplicaSet`, `Pod`, `Container` …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it is, in a word or two.
    pub state: String,
    /// More, if there is more to say.
    pub detail: String,
    /// Whether the trouble is here.
    pub bad: bool,
}

/// Which log to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep reading until the container ends.
    pub follow: bool,
    /// Only so many last lines.
    pub tail: Option<i64>,
    /// The instance before the last restart.
    pub previous: bool,
    /// With the time of each line in front of it.
    pub timestamps: bool,
}
