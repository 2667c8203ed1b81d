//! Which kinds the cluster serves, and their URLs.

use crate::Error;
use crate::wire::Wire;
use herder_object::{Gvk, Key};
use herder_plan::ServedKind;
use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The served kinds, by group and kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    served: BTreeMap<(String, String), ServedKind>,
    /// Whether a kind can be listed and watched.
    listable: BTreeMap<(String, String), bool>,
    /// Groups that are there but did not say what they serve, and why.
    silent: BTreeMap<String, String>,
}

impl Kinds {
    /// Asks the server: two requests where it knows aggregated discovery, one per group version otherwise.
    pub(crate) async fn read(wire: &Wire) -> Result<Self, Error> {
        let mut kinds = Self::default();
        for root in ["/api", "/apis"] {
            let (_, answer) = wire.call(Method::GET, root, None, AGGREGATED, Vec::new()).await?;
            if text(&answer, "/kind") == "APIGroupDiscoveryList" {
                kinds.aggregated(&answer);
            } else {
                kinds.legacy(wire, root, &answer).await?;
            }
        }
        Ok(kinds)
    }

    fn aggregated(&mut self, answer: &Value) {
        for group in items(answer, "/items") {
            let name = text(group, "/metadata/name");
            for version in items(group, "/versions") {
                if text(version, "/freshness") == "Stale" {
                    let why = "the API server behind it does not answer";
                    self.silent.insert(name.to_owned(), why.to_owned());
                }
                for resource in items(version, "/resources") {
                    let kind = text(resource, "/responseKind/kind");
                    let namespaced = text(resource, "/scope") == "Namespaced";
                    let verbs = items(resource, "/verbs");
                    self.add(
                        (name, text(version, "/version"), kind),
                        text(resource, "/resource"),
                        namespaced,
                        verbs,
                    );
                }
            }
        }
    }

    async fn legacy(&mut self, wire: &Wire, root: &str, answer: &Value) -> Result<(), Error> {
        let versions: Vec<String> = if root == "/api" {
            let versions = items(answer, "/versions").iter();
            versions.filter_map(|v| v.as_str().map(str::to_owned)).collect()
        } else {
            let groups = items(answer, "/groups").iter();
            groups
                .flat_map(|g| {
                    let preferred = text(g, "/preferredVersion/groupVersion");
                    let mut all: Vec<&str> = items(g, "/versions")
                        .iter()
                        .map(|v| text(v, "/groupVersion"))
                        .collect();
                    all.sort_by_key(|v| *v != preferred);
                    all
                })
                .map(str::to_owned)
                .collect()
        };
        for version in versions {
            let (group, plain) = version.split_once('/').unwrap_or(("", &version));
            let list = match wire.get(&format!("{root}/{version}")).await {
                Ok(list) => list,
                // One group's server that is away must not stop what has nothing to do with it.
                Err(error) if !group.is_empty() && error.is_transient() => {
                    let why = herder_base::chain(&error).to_string();
                    self.silent.insert(group.to_owned(), why);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for resource in items(&list, "/resources") {
                let plural = text(resource, "/name");
                if !plural.contains('/') {
                    let namespaced = resource
                        .get("namespaced")
                        .and_then(Value::as_bool)
                        .unwrap_or_default();
                    self.add(
                        (group, plain, text(resource, "/kind")),
                        plural,
                        namespaced,
                        items(resource, "/verbs"),
                    );
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        (group, version, kind): (&str, &str, &str),
        plural: &str,
        namespaced: bool,
        verbs: &[Value],
    ) {
        if kind.is_empty() || plural.is_empty() {
            return;
        }
        let key = (group.to_owned(), kind.to_owned());
        let served = self.served.entry(key.clone()).or_insert_with(|| ServedKind {
            versions: Vec::new(),
            plural: plural.to_owned(),
            namespaced,
        });
        if !served.versions.iter().any(|v| v == version) {
            served.versions.push(version.to_owned());
        }
        let has = |verb: &str| verbs.iter().any(|v| v.as_str() == Some(verb));
        self.listable.insert(key, has("list") && has("watch"));
    }

    /// All served kinds.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str, &ServedKind)> {
        self.served
            .iter()
            .map(|((group, kind), served)| (group.as_str(), kind.as_str(), served))
    }

    /// Whether a kind's objects can be seen: what cannot be listed and watched cannot be kept true.
    pub(crate) fn is_listable(&self, group: &str, kind: &str) -> bool {
        let key = (group.to_owned(), kind.to_owned());
        self.listable.get(&key).copied().unwrap_or_default()
    }

    /// Groups that did not answer, and why.
    pub(crate) fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.silent
            .iter()
            .map(|(group, why)| (group.as_str(), why.as_str()))
    }

    /// Kinds whose objects can be listed and watched, in the preferred version.
    pub(crate) fn listable(&self) -> impl Iterator<Item = Gvk> {
        self.served
            .iter()
            .filter(|(key, _)| self.listable.get(*key).copied().unwrap_or_default())
            .filter_map(|((group, kind), served)| {
                Some(Gvk {
                    group: group.clone(),
                    version: served.versions.first()?.clone(),
                    kind: kind.clone(),
                })
            })
    }

    pub(crate) fn get(&self, gvk: &Gvk) -> Option<&ServedKind> {
        let served = self.served.get(&(gvk.group.clone(), gvk.kind.clone()))?;
        served.versions.contains(&gvk.version).then_some(served)
    }

    /// The URL of a kind's objects; in one namespace if it is named and the kind has namespaces.
    pub(crate) fn collection(&self, gvk: &Gvk, namespace: Option<&str>) -> Result<String, Error> {
        let served = self.get(gvk).ok_or_else(|| Error::Unserved {
            kind: gvk.to_string(),
        })?;
        let root = if gvk.group.is_empty() { "/api" } else { "/apis" };
        let base = format!("{root}/{}", gvk.api_version());
        Ok(match namespace.filter(|_| served.namespaced) {
            Some(namespace) => format!(
                "{base}/namespaces/{}/{}",
                crate::wire::encode(namespace),
                served.plural
            ),
            None => format!("{base}/{}", served.plural),
        })
    }

    /// The URL of one object.
    pub(crate) fn object(&self, key: &Key) -> Result<String, Error> {
        let namespace = if key.namespace.is_empty() {
            "default"
        } else {
            &key.namespace
        };
        Ok(format!(
            "{}/{}",
            self.collection(&key.gvk, Some(namespace))?,
            crate::wire::encode(&key.name)
        ))
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls() {
        let mut kinds = Kinds::default();
        let resource = |r: &str, k: &str, scope: &str| json!({"resource": r, "responseKind": {"kind": k}, "scope": scope, "verbs": ["list", "watch"]});
        kinds.aggregated(&json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [
                resource("pods", "Pod", "Namespaced"), resource("namespaces", "Namespace", "Cluster")]}]},
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
                resource("deployments", "Deployment", "Namespaced")]}]},
        ]}));
        let url = |api: &str, kind: &str, ns: &str, name: &str| {
            kinds.object(&Key {
                gvk: Gvk::new(api, kind),
                namespace: ns.to_owned(),
                name: name.to_owned(),
            })
        };
        assert_eq!(url("v1", "Pod", "s", "p").unwrap(), "/api/v1/namespaces/s/pods/p");
        assert_eq!(url("v1", "Namespace", "", "s").unwrap(), "/api/v1/namespaces/s");
        assert_eq!(
            url("apps/v1", "Deployment", "s", "a/b").unwrap(),
            "/apis/apps/v1/namespaces/s/deployments/a%2Fb"
        );
        assert!(matches!(
            url("apps/v1beta1", "Deployment", "s", "d"),
            Err(Error::Unserved { .. })
        ));
        assert_eq!(kinds.listable().count(), 3);
        kinds.add(("", "v1", "Binding"), "bindings", true, &[json!("create")]);
        assert!(kinds.is_listable("", "Pod") && !kinds.is_listable("", "Binding"));
        assert_eq!(kinds.silent().count(), 0);
        kinds.aggregated(&json!({"items": [{"metadata": {"name": "metrics.k8s.io"},
            "versions": [{"version": "v1beta1", "resources": [], "freshness": "Stale"}]}]}));
        assert_eq!(kinds.silent().next().unwrap().0, "metrics.k8s.io");
    }
}
