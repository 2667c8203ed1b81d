//! Units: what is read, applied and pruned as a whole.

use super::StateRule;
use herder_base::Location;
use herder_object::Key;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A namespace with everything in it, or the cluster-level manifests.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Its id, safe as a label value: the namespace's name, or `cluster.manifests`.
    pub id: String,
    /// Its namespace; empty for cluster-level manifests.
    pub namespace: String,
    /// Where it comes from.
    pub origin: UnitOrigin,
    /// The environment it is, if it is one.
    pub environment: Option<String>,
    /// What is to exist, in the order it was read.
    pub objects: Vec<Desired>,
    /// Every object that its files name, also those that were refused, with the place: none of them counts as removed.
    pub named: Vec<(Key, Location)>,
    /// Objects that are left out, each by itself: what runs of them stays as it was.
    pub left_out: Vec<LeftOut>,
    /// Why some of it could not be read. Nothing of it may be deleted then; what could be read is applied.
    pub incomplete: Option<String>,
    /// Why it could not be read. Nothing of a held unit may be changed or deleted.
    pub held: Option<String>,
    /// Applications of it that could not be read, with the reason. Nothing with their label may be changed or deleted.
    pub held_applications: BTreeMap<String, String>,
    /// Whether it may hold objects that are in no namespace.
    pub cluster_scoped: bool,
    /// What of it is never deleted.
    pub state_rules: Vec<StateRule>,
    /// Whether it exists only while its environment's lease is up.
    pub leased: bool,
}

/// Where a unit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitOrigin {
    /// A file in `environments/`.
    Environment,
    /// A folder that a discovery glob matched.
    Discovered,
    /// `manifests/`.
    Manifests,
}

/// An object that is to exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Which object.
    pub key: Key,
    /// The whole object, labels and annotations of ours included.
    pub value: Arc<Value>,
    /// The file it comes from.
    pub source: Location,
    /// The application it belongs to.
    pub application: Option<String>,
    /// The short version of what it runs: an image tag or the reference of its base.
    pub version: Option<String>,
    /// Hash of the value without the annotations that name source and hash.
    pub hash: String,
    /// When it is applied, seen against what belongs with it.
    pub turn: Turn,
    /// What it is besides an object, if its manifests say that it is a hook.
    pub hook: Option<Hook>,
}

/// An object that may not reach a cluster as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which object.
    pub key: Key,
    /// The application it belongs to.
    pub application: Option<String>,
    /// The file it comes from.
    pub source: Location,
    /// Why.
    pub why: String,
}

/// When an object is applied: after everything of its application (of its unit, if it has none) whose turn is earlier
/// is there and healthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Before, with or after the application.
    pub stage: Stage,
    /// Smaller ones first.
    pub wave: i32,
}

/// Where a hook stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before the application: Argo CD's PreSync, Helm's pre-install and pre-upgrade.
    Before,
    /// With it.
    #[default]
    With,
    /// After it: Argo CD's PostSync, Helm's post-install and post-upgrade.
    After,
}

/// A Job or pod that runs whenever its application changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hook {
    /// Whether it goes when it has succeeded.
    pub gone_after_success: bool,
    /// Whether it goes when it has failed.
    pub gone_after_failure: bool,
}
