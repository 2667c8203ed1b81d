//! The column headings per kind; `*` marks those that only `-o wide` shows. A table.

use super::Column;
use crate::registry::Resource;
use serde_json::Value;

#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("pods", "Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates"),
    ("deployments.apps", "Name|Ready|Up-to-date#|Available#|Age|*Containers|*Images|*Selector"),
    ("replicasets.apps", "Name|Desired#|Current#|Ready#|Age|*Containers|*Images|*Selector"),
    ("replicationcontrollers", "Name|Desired#|Current#|Ready#|Age|*Containers|*Images|*Selector"),
    ("statefulsets.apps", "Name|Ready|Age|*Containers|*Images"),
    ("daemonsets.apps", "Name|Desired#|Current#|Ready#|Up-to-date#|Available#|Node Selector|Age|*Containers|*Images|*Selector"),
    ("jobs.batch", "Name|Status|Completions|Duration|Age|*Containers|*Images|*Selector"),
    ("cronjobs.batch", "Name|Schedule|Timezone|Suspend|Active#|Last Schedule|Age|*Containers|*Images|*Selector"),
    ("services", "Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector"),
    ("endpoints", "Name|Endpoints|Age"),
    ("endpointslices.discovery.k8s.io", "Name|AddressType|Ports|Endpoints|Age"),
    ("configmaps", "Name|Data#|Age"),
    ("secrets", "Name|Type|Data#|Age"),
    ("namespaces", "Name|Status|Age"),
    ("nodes", "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime"),
    ("events", "Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count#|*Name"),
    ("ingresses.networking.k8s.io", "Name|Class|Hosts|Address|Ports|Age"),
    ("ingressclasses.networking.k8s.io", "Name|Controller|Parameters|Age"),
    ("networkpolicies.networking.k8s.io", "Name|Pod-Selector|Age"),
    ("persistentvolumeclaims", "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode"),
    ("persistentvolumes", "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|*VolumeMode"),
    ("storageclasses.storage.k8s.io", "Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"),
    ("serviceaccounts", "Name|Secrets#|Age"),
    ("resourcequotas", "Name|Age|Request|Limit"),
    ("limitranges", "Name|Created At"),
    ("roles.rbac.authorization.k8s.io", "Name|Created At"),
    ("clusterroles.rbac.authorization.k8s.io", "Name|Created At"),
    ("rolebindings.rbac.authorization.k8s.io", "Name|Role|Age|*Users|*Groups|*ServiceAccounts"),
    ("clusterrolebindings.rbac.authorization.k8s.io", "Name|Role|Age|*Users|*Groups|*ServiceAccounts"),
    ("horizontalpodautoscalers.autoscaling", "Name|Reference|Targets|MinPods|MaxPods|Replicas#|Age"),
    ("poddisruptionbudgets.policy", "Name|Min Available|Max Unavailable|Allowed Disruptions#|Age"),
    ("leases.coordination.k8s.io", "Name|Holder|Age"),
    ("priorityclasses.scheduling.k8s.io", "Name|Value#|Global-Default|Age|PreemptionPolicy"),
    ("customresourcedefinitions.apiextensions.k8s.io", "Name|Created At"),
    ("controllerrevisions.apps", "Name|Controller|Revision#|Age"),
];

/// The columns of a kind.
pub(super) fn of(resource: &Resource) -> Vec<Column> {
    let plain = |text: &str| (text.to_owned(), "string", false);
    if let Some(custom) = &resource.custom {
        let mut columns = vec![plain("Name")];
        if custom.columns.is_empty() {
            columns.push(plain("Age"));
        }
        columns.extend(custom.columns.iter().map(|column| {
            let name = column.get("name").and_then(Value::as_str).unwrap_or_default();
            let wide = column.get("priority").and_then(Value::as_i64).unwrap_or(0) > 0;
            (name.to_owned(), "string", wide)
        }));
        return columns;
    }
    let text = TABLE
        .iter()
        .find(|(name, _)| *name == resource.storage_name)
        .map_or("Name|Age", |(_, text)| text);
    text.split('|')
        .map(|name| {
            let (name, wide) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
            let (name, kind) = name
                .strip_suffix('#')
                .map_or((name, "string"), |name| (name, "integer"));
            (name.to_owned(), kind, wide)
        })
        .collect()
}
