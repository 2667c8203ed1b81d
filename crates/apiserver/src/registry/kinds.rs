//! The table of built-in kinds. A pure table: one line per served kind and version.

use super::Resource;

/// What a kind has beyond plain reading and writing.
const STATUS: u8 = 1;
/// A scale subresource at the usual paths.
const SCALE: u8 = 2;
/// metadata.generation counts changes of the specification.
const GENERATION: u8 = 4;
/// Answers a question and is never stored.
const VIRTUAL: u8 = 8;
/// Served in another version than the one it is stored in.
const ALIAS: u8 = 16;
const CLUSTER: bool = false;
const NAMESPACED: bool = true;

type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    bool,
    u8,
);

/// Group, version, kind, plural, short names, categories, namespaced, flags. Preferred versions first.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("", "v1", "Binding", "bindings", &[], &[], NAMESPACED, VIRTUAL),
    ("", "v1", "ConfigMap", "configmaps", &["cm"], &[], NAMESPACED, 0),
    ("", "v1", "Endpoints", "endpoints", &["ep"], &[], NAMESPACED, 0),
    ("", "v1", "Event", "events", &["ev"], &[], NAMESPACED, 0),
    ("", "v1", "LimitRange", "limitranges", &["limits"], &[], NAMESPACED, 0),
    ("", "v1", "Namespace", "namespaces", &["ns"], &[], CLUSTER, STATUS),
    ("", "v1", "Node", "nodes", &["no"], &[], CLUSTER, STATUS),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], &[], NAMESPACED, STATUS),
    ("", "v1", "PersistentVolume", "persistentvolumes", &["pv"], &[], CLUSTER, STATUS),
    ("", "v1", "Pod", "pods", &["po"], &["all"], NAMESPACED, STATUS),
    ("", "v1", "PodTemplate", "podtemplates", &[], &[], NAMESPACED, GENERATION),
    ("", "v1", "ReplicationController", "replicationcontrollers", &["rc"], &["all"], NAMESPACED, STATUS | SCALE | GENERATION),
    ("", "v1", "ResourceQuota", "resourcequotas", &["quota"], &[], NAMESPACED, STATUS),
    ("", "v1", "Secret", "secrets", &[], &[], NAMESPACED, 0),
    ("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], &[], NAMESPACED, 0),
    ("", "v1", "Service", "services", &["svc"], &["all"], NAMESPACED, STATUS),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[], &["api-extensions"], CLUSTER, GENERATION),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[], &["api-extensions"], CLUSTER, GENERATION),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", &[], &["api-extensions"], CLUSTER, STATUS | GENERATION),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", &[], &["api-extensions"], CLUSTER, GENERATION),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], &["api-extensions"], CLUSTER, STATUS | GENERATION),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", &[], &["api-extensions"], CLUSTER, STATUS),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", &[], &[], NAMESPACED, 0),
    ("apps", "v1", "DaemonSet", "daemonsets", &["ds"], &["all"], NAMESPACED, STATUS | GENERATION),
    ("apps", "v1", "Deployment", "deployments", &["deploy"], &["all"], NAMESPACED, STATUS | SCALE | GENERATION),
    ("apps", "v1", "ReplicaSet", "replicasets", &["rs"], &["all"], NAMESPACED, STATUS | SCALE | GENERATION),
    ("apps", "v1", "StatefulSet", "statefulsets", &["sts"], &["all"], NAMESPACED, STATUS | SCALE | GENERATION),
    ("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", &[], &[], CLUSTER, VIRTUAL),
    ("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", &[], &[], CLUSTER, VIRTUAL),
    ("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", &[], &[], NAMESPACED, VIRTUAL),
    ("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", &[], &[], CLUSTER, VIRTUAL),
    ("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", &[], &[], CLUSTER, VIRTUAL),
    ("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", &[], &[], CLUSTER, VIRTUAL),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], &["all"], NAMESPACED, STATUS),
    ("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], &["all"], NAMESPACED, STATUS | ALIAS),
    ("batch", "v1", "CronJob", "cronjobs", &["cj"], &["all"], NAMESPACED, STATUS | GENERATION),
    ("batch", "v1", "Job", "jobs", &[], &["all"], NAMESPACED, STATUS | GENERATION),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", &["csr"], &[], CLUSTER, STATUS),
    ("coordination.k8s.io", "v1", "Lease", "leases", &[], &[], NAMESPACED, 0),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", &[], &[], NAMESPACED, GENERATION),
    ("events.k8s.io", "v1", "Event", "events", &["ev"], &[], NAMESPACED, ALIAS),
    ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", &[], &[], CLUSTER, STATUS | GENERATION),
    ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", &[], &[], CLUSTER, STATUS | GENERATION),
    ("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", &[], &[], CLUSTER, VIRTUAL),
    ("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", &[], &[], NAMESPACED, VIRTUAL),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", &[], &[], CLUSTER, GENERATION),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"], &[], NAMESPACED, STATUS | GENERATION),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", &["netpol"], &[], NAMESPACED, GENERATION),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", &[], &[], CLUSTER, 0),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], &[], NAMESPACED, STATUS | GENERATION),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", &[], &[], CLUSTER, 0),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", &[], &[], CLUSTER, 0),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", &[], &[], NAMESPACED, 0),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", &[], &[], NAMESPACED, 0),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", &["pc"], &[], CLUSTER, GENERATION),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", &[], &[], CLUSTER, 0),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", &[], &[], CLUSTER, 0),
    ("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", &[], &[], NAMESPACED, 0),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", &["sc"], &[], CLUSTER, 0),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", &[], &[], CLUSTER, STATUS),
];

/// The built-in kinds, in table order.
pub(super) fn built_in() -> impl Iterator<Item = Resource> {
    TABLE.iter().map(
        |(group, version, kind, plural, short, categories, namespaced, flags)| {
            let own = |list: &[&str]| list.iter().map(|&item| item.to_owned()).collect();
            let storage_name = match (*group, *plural) {
                ("events.k8s.io", _) => "events".to_owned(),
                ("", plural) => plural.to_owned(),
                (group, plural) => format!("{plural}.{group}"),
            };
            Resource {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                kind: (*kind).to_owned(),
                list_kind: format!("{kind}List"),
                plural: (*plural).to_owned(),
                singular: kind.to_lowercase(),
                short_names: own(short),
                categories: own(categories),
                namespaced: *namespaced,
                status: flags & STATUS != 0,
                scale: (flags & SCALE != 0).then(|| super::catalog::ScalePaths {
                    spec: "/spec/replicas".to_owned(),
                    status: "/status/replicas".to_owned(),
                    selector: None,
                }),
                generation: flags & GENERATION != 0,
                answered: flags & VIRTUAL != 0,
                alias: flags & ALIAS != 0,
                name: if group.is_empty() {
                    (*plural).to_owned()
                } else {
                    format!("{plural}.{group}")
                },
                storage_name,
                custom: None,
            }
        },
    )
}
