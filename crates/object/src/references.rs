//! What a pod needs besides itself: the objects of its own namespace that its specification names. Pure; the one place
//! that knows where in a pod such names stand.

use serde_json::Value;

/// A kind of object that a pod can need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needed {
    /// `v1 ConfigMap`
    ConfigMap,
    /// `v1 Secret`
    Secret,
    /// `v1 PersistentVolumeClaim`
    Claim,
    /// `v1 ServiceAccount`
    ServiceAccount,
}

impl Needed {
    /// The kind's name.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Claim => "PersistentVolumeClaim",
            Self::ServiceAccount => "ServiceAccount",
        }
    }
}

/// Where names stand in a volume, besides in `projected`.
const IN_VOLUMES: [(Needed, &str); 12] = [
    (Needed::ConfigMap, "/configMap/name"),
    (Needed::Secret, "/secret/secretName"),
    (Needed::Claim, "/persistentVolumeClaim/claimName"),
    (Needed::Secret, "/azureFile/secretName"),
    (Needed::Secret, "/cephfs/secretRef/name"),
    (Needed::Secret, "/cinder/secretRef/name"),
    (Needed::Secret, "/csi/nodePublishSecretRef/name"),
    (Needed::Secret, "/flexVolume/secretRef/name"),
    (Needed::Secret, "/iscsi/secretRef/name"),
    (Needed::Secret, "/rbd/secretRef/name"),
    (Needed::Secret, "/scaleIO/secretRef/name"),
    (Needed::Secret, "/storageos/secretRef/name"),
];

/// Where names stand in one source of a projected volume, and in one entry of `envFrom` and `env`.
const IN_SOURCES: [(Needed, &str); 2] = [
    (Needed::ConfigMap, "/configMap/name"),
    (Needed::Secret, "/secret/name"),
];
const IN_ENV_FROM: [(Needed, &str); 2] = [
    (Needed::ConfigMap, "/configMapRef/name"),
    (Needed::Secret, "/secretRef/name"),
];
const IN_ENV: [(Needed, &str); 2] = [
    (Needed::ConfigMap, "/valueFrom/configMapKeyRef/name"),
    (Needed::Secret, "/valueFrom/secretKeyRef/name"),
];

/// What the `spec` of a pod, or of a pod template, names: each once, sorted.
#[must_use]
pub fn needs(spec: &Value) -> Vec<(Needed, &str)> {
    let mut found = Vec::new();
    take(
        &mut found,
        spec,
        &[(Needed::ServiceAccount, "/serviceAccountName")],
    );
    for secret in list(spec, "/imagePullSecrets") {
        take(&mut found, secret, &[(Needed::Secret, "/name")]);
    }
    for volume in list(spec, "/volumes") {
        take(&mut found, volume, &IN_VOLUMES);
        for source in list(volume, "/projected/sources") {
            take(&mut found, source, &IN_SOURCES);
        }
    }
    for containers in ["/containers", "/initContainers", "/ephemeralContainers"] {
        for container in list(spec, containers) {
            for from in list(container, "/envFrom") {
                take(&mut found, from, &IN_ENV_FROM);
            }
            for variable in list(container, "/env") {
                take(&mut found, variable, &IN_ENV);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn take<'a>(found: &mut Vec<(Needed, &'a str)>, from: &'a Value, places: &[(Needed, &str)]) {
    for (kind, pointer) in places {
        let name = from.pointer(pointer).and_then(Value::as_str);
        found.extend(name.filter(|name| !name.is_empty()).map(|name| (*kind, name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_name() {
        let env = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m1", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}, {"name": "C", "value": "x"}]);
        let from = json!([{"configMapRef": {"name": "m2"}}, {"secretRef": {"name": "s2"}}]);
        let spec = json!({
            "serviceAccountName": "account",
            "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "c", "env": env}, {"name": "d"}],
            "initContainers": [{"name": "i", "envFrom": from}],
            "ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "s3"}}]}],
            "volumes": [
                {"name": "a", "configMap": {"name": "m3"}},
                {"name": "b", "secret": {"secretName": "s4"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "d", "projected": {"sources": [{"configMap": {"name": "m4"}}, {"secret": {"name": "s5"}}]}},
                {"name": "e", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "s6"}}},
                {"name": "f", "emptyDir": {}},
                {"name": "g", "configMap": {"name": "m1"}},
            ],
        });
        let names = |kind| {
            let all = needs(&spec).into_iter();
            all.filter(|(found, _)| *found == kind)
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Needed::ConfigMap), ["m1", "m2", "m3", "m4"]);
        assert_eq!(
            names(Needed::Secret),
            ["pull", "s1", "s2", "s3", "s4", "s5", "s6"]
        );
        assert_eq!(names(Needed::Claim), ["claim"]);
        assert_eq!(names(Needed::ServiceAccount), ["account"]);
        assert!(needs(&json!(null)).is_empty());
    }
}
