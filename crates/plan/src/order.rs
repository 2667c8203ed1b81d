//! The order in which a plan's actions are carried out.

use herder_object::Gvk;

/// When an action comes. Applying goes up, deleting comes after all applying and goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Namespaces.
    #[default]
    Namespaces,
    /// CustomResourceDefinitions.
    Definitions,
    /// Service accounts, roles and bindings, quotas, limits, network policies.
    Access,
    /// ConfigMaps, Secrets, claims.
    Config,
    /// Services.
    Services,
    /// What runs pods, and every kind not named here.
    Workloads,
    /// Ingresses.
    Ingress,
    /// Everything that is deleted except namespaces.
    Deletes,
    /// Namespaces that are deleted.
    NamespaceDeletes,
}

impl Phase {
    /// When an object of this kind is applied.
    #[must_use]
    pub fn of_apply(gvk: &Gvk) -> Self {
        match gvk.kind.as_str() {
            "Namespace" if gvk.group.is_empty() => Self::Namespaces,
            "CustomResourceDefinition" => Self::Definitions,
            "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding"
            | "ResourceQuota" | "LimitRange" | "NetworkPolicy" | "PriorityClass" | "StorageClass" => {
                Self::Access
            }
            "ConfigMap" | "Secret" | "PersistentVolume" | "PersistentVolumeClaim" => Self::Config,
            "Service" => Self::Services,
            "Ingress" | "IngressClass" => Self::Ingress,
            _ => Self::Workloads,
        }
    }

    /// When an object of this kind is deleted.
    #[must_use]
    pub fn of_delete(gvk: &Gvk) -> Self {
        if gvk.group.is_empty() && gvk.kind == "Namespace" {
            Self::NamespaceDeletes
        } else {
            Self::Deletes
        }
    }
}
