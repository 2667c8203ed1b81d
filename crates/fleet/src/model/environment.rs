//! Environments: a namespace, its config repository, its place in the stage order, and how long it lives.

use herder_base::{Location, Url};
use herder_object::Key;
use std::collections::BTreeMap;
use std::time::Duration;

/// An environment: one namespace with a config of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it always exists.
    pub kind: EnvironmentKind,
    /// The environment before it in the stage order.
    pub after: Option<String>,
    /// Its place in the stage order, from zero; `None` for environments outside it.
    pub stage: Option<usize>,
    /// Where its config is.
    pub config: Option<ConfigSource>,
    /// The only applications to take from the config; empty means all of them.
    pub include: Vec<String>,
    /// What is never deleted.
    pub state: Vec<StateRule>,
    /// The team it belongs to.
    pub team: Option<String>,
    /// What variables in its objects stand for; `None` expands nothing.
    pub substitute: Option<BTreeMap<String, String>>,
    /// Whether its config may hold objects that are in no namespace.
    pub cluster_scoped: bool,
    /// Labels for its namespace.
    pub labels: BTreeMap<String, String>,
    /// The Pod Security level that its namespace enforces; `None` is the default.
    pub pod_security: Option<String>,
    /// What the job that deploys there may do: a ClusterRole's name, or `None` for Herder's own rules.
    pub deployer_role: Option<String>,
    /// Hard limits for its ResourceQuota.
    pub quota: BTreeMap<String, String>,
    /// Where it is defined.
    pub source: Location,
}

/// Whether an environment always exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentKind {
    /// Always.
    Permanent,
    /// Only while a lease is up.
    Developer(Lease),
}

/// How long a developer environment may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// If nothing is said.
    pub default: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            default: Duration::from_secs(8 * 3600),
            max: Duration::from_secs(7 * 86400),
        }
    }
}

/// Where an environment's config is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSource {
    /// The remote, resolved; the fleet repository's own address if the config lies there.
    pub repository: Url,
    /// The branch, empty for the remote's default.
    pub branch: String,
    /// The directory in it, empty for its root.
    pub path: String,
}

/// Objects that are never deleted: `Kind/name` with `*` and `?` in both parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateRule {
    /// Pattern for the kind.
    pub kind: String,
    /// Pattern for the name.
    pub name: String,
}

impl StateRule {
    /// From `Kind/name`; a missing name means every name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (kind, name) = text.split_once('/').unwrap_or((text, "*"));
        Self {
            kind: kind.trim().to_owned(),
            name: name.trim().to_owned(),
        }
    }

    /// Whether an object falls under it.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        crate::read::wildcard(&self.kind, &key.gvk.kind) && crate::read::wildcard(&self.name, &key.name)
    }
}
