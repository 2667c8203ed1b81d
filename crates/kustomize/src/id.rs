//! How resources are told apart: group, version, kind, name and the namespace they effectively are in.

use std::fmt;

/// Group, version and kind; in selectors an empty part means any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

/// Splits an `apiVersion`.
pub(crate) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl Gvk {
    pub(crate) fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = group_version(api_version);
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether `selector` selects it.
    pub(crate) fn is_selected(&self, selector: &Self) -> bool {
        fn fits(wanted: &str, found: &str) -> bool {
            wanted.is_empty() || wanted == found
        }
        fits(&selector.group, &self.group)
            && fits(&selector.version, &self.version)
            && fits(&selector.kind, &self.kind)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
            if text.is_empty() { otherwise } else { text }
        }
        write!(
            f,
            "{}.{}.{}",
            or(&self.kind, "[noKind]"),
            or(&self.version, "[noVer]"),
            or(&self.group, "[noGrp]")
        )
    }
}

/// The identity of a resource at some moment of a build.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ResId {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Whether its kind is known not to live in a namespace.
    pub(crate) cluster: bool,
}

/// What stands for "in no namespace" among effective namespaces.
pub(crate) const NO_NAMESPACE: &str = "_non_namespaceable_";

impl ResId {
    pub(crate) fn effective_namespace(&self) -> &str {
        effective_namespace(self.cluster, &self.namespace)
    }

    pub(crate) fn same_namespace(&self, other: &Self) -> bool {
        self.effective_namespace() == other.effective_namespace()
    }

    pub(crate) fn same_gvkn(&self, other: &Self) -> bool {
        self.name == other.name && self.gvk == other.gvk
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.same_gvkn(other) && self.same_namespace(other)
    }

    /// Whether a selector without expressions, as in replacements, selects it.
    pub(crate) fn is_selected_by(&self, selector: &Self) -> bool {
        (selector.name.is_empty() || selector.name == self.name)
            && (selector.namespace.is_empty() || selector.same_namespace(self))
            && self.gvk.is_selected(&selector.gvk)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) fn effective_namespace(cluster: bool, namespace: &str) -> &str {
    if cluster {
        NO_NAMESPACE
    } else if namespace.is_empty() {
        "default"
    } else {
        namespace
    }
}

impl fmt::Display for ResId {
    /// For people: `Deployment shop` or `Deployment staging/shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "(no name)"
        } else {
            &self.name
        };
        if self.namespace.is_empty() {
            write!(f, "{} {name}", self.gvk.kind)
        } else {
            write!(f, "{} {}/{name}", self.gvk.kind, self.namespace)
        }
    }
}

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The kinds that come first and last when nothing else is asked for.
pub(crate) fn default_order() -> (Vec<String>, Vec<String>) {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    (owned(&FIRST), owned(&LAST))
}

fn rank(kind: &str) -> isize {
    let place = |kinds: &[&str]| {
        kinds
            .iter()
            .position(|name| *name == kind)
            .and_then(|at| isize::try_from(at).ok())
    };
    if let Some(at) = place(&FIRST) {
        return at - 22;
    }
    place(&LAST).map_or(0, |at| at + 1)
}

/// The text by which group, version and kind are put in order.
pub(crate) fn sort_text(gvk: &Gvk) -> String {
    fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
        if text.is_empty() { otherwise } else { text }
    }
    format!(
        "{}_{}_{}",
        or(&gvk.group, "~G"),
        or(&gvk.version, "~V"),
        or(&gvk.kind, "~K")
    )
}

/// The order in which kinds are put in configurations.
pub(crate) fn order_key(gvk: &Gvk) -> (isize, String) {
    (rank(&gvk.kind), sort_text(gvk))
}
