//! Discovery: which kinds are served, aggregated (v2 and v2beta1) and in the old form, and the version.

use super::answer::{self, Answer};
use crate::registry::{Catalog, Resource};
use serde_json::{Value, json};

pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": concat!("v1.33.0+herder-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

const PROXIED: &[&str] = &["create", "delete", "get", "patch", "update"];

/// Subresources: name, kind with its group and version, verbs.
type Sub = (
    &'static str,
    (&'static str, &'static str, String),
    &'static [&'static str],
);

fn subresources(resource: &Resource) -> Vec<Sub> {
    let own = |name: &'static str, verbs: &'static [&'static str]| -> Sub {
        (name, ("", "", resource.kind.clone()), verbs)
    };
    let mut found = Vec::new();
    if resource.status {
        found.push(own("status", &["get", "patch", "update"]));
    }
    if resource.scale.is_some() {
        found.push((
            "scale",
            ("autoscaling", "v1", "Scale".to_owned()),
            &["get", "patch", "update"],
        ));
    }
    match resource.name.as_str() {
        "pods" => {
            found.push(("binding", ("", "v1", "Binding".to_owned()), &["create"]));
            found.push(("eviction", ("policy", "v1", "Eviction".to_owned()), &["create"]));
            found.push(own("log", &["get"]));
            found.push(own("ephemeralcontainers", &["get", "patch", "update"]));
            for (name, kind) in [
                ("exec", "PodExecOptions"),
                ("attach", "PodAttachOptions"),
                ("portforward", "PodPortForwardOptions"),
            ] {
                found.push((name, ("", "", kind.to_owned()), &["create", "get"]));
            }
            found.push(("proxy", ("", "", "PodProxyOptions".to_owned()), PROXIED));
        }
        "services" => found.push(("proxy", ("", "", "ServiceProxyOptions".to_owned()), PROXIED)),
        "serviceaccounts" => {
            found.push((
                "token",
                ("authentication.k8s.io", "v1", "TokenRequest".to_owned()),
                &["create"],
            ));
        }
        "namespaces" => found.push(own("finalize", &["update"])),
        _ => {}
    }
    found
}

fn verbs(resource: &Resource) -> &'static [&'static str] {
    match (resource.answered, resource.group.as_str()) {
        (true, "metrics.k8s.io") => &["get", "list"],
        (true, _) => &["create"],
        _ => VERBS,
    }
}

/// Groups in order of their first resource, each with its versions.
fn groups(catalog: &Catalog) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for resource in catalog.resources() {
        let index = groups.iter().position(|(group, _)| *group == resource.group);
        match index.and_then(|index| groups.get_mut(index)) {
            Some((_, versions)) => {
                if !versions.contains(&resource.version) {
                    versions.push(resource.version.clone());
                }
            }
            None => groups.push((resource.group.clone(), vec![resource.version.clone()])),
        }
    }
    groups
}

fn aggregated(catalog: &Catalog, core: bool, version: &str) -> Value {
    let scope = |resource: &Resource| {
        if resource.namespaced {
            "Namespaced"
        } else {
            "Cluster"
        }
    };
    let entry = |resource: &Resource| {
        let subs: Vec<Value> = subresources(resource)
            .into_iter()
            .map(|(name, (group, version, kind), verbs)| {
                json!({
                    "subresource": name, "verbs": verbs,
                    "responseKind": {"group": group, "version": version, "kind": kind},
                })
            })
            .collect();
        let mut entry = json!({
            "resource": resource.plural, "singularResource": resource.singular, "scope": scope(resource),
            "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "verbs": verbs(resource),
        });
        if let Some(map) = entry.as_object_mut() {
            if !resource.short_names.is_empty() {
                map.insert("shortNames".to_owned(), json!(resource.short_names));
            }
            if !resource.categories.is_empty() {
                map.insert("categories".to_owned(), json!(resource.categories));
            }
            if !subs.is_empty() {
                map.insert("subresources".to_owned(), json!(subs));
            }
        }
        entry
    };
    let items: Vec<Value> = groups(catalog)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = catalog
                        .resources()
                        .iter()
                        .filter(|r| r.group == group && r.version == *version)
                        .map(|r| entry(r))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items})
}

fn group_of(group: &str, versions: &[String]) -> Value {
    let entry = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(entry).collect();
    json!({"name": group, "versions": all, "preferredVersion": all.first().cloned().unwrap_or_default()})
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for resource in catalog
        .resources()
        .iter()
        .filter(|r| r.group == group && r.version == version)
    {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs(resource),
        });
        if let Some(map) = entry.as_object_mut() {
            if !resource.short_names.is_empty() {
                map.insert("shortNames".to_owned(), json!(resource.short_names));
            }
            if !resource.categories.is_empty() {
                map.insert("categories".to_owned(), json!(resource.categories));
            }
        }
        list.push(entry);
        for (name, (sub_group, sub_version, kind), verbs) in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
                "kind": kind, "verbs": verbs,
            });
            if let (false, Some(map)) = (sub_version.is_empty(), entry.as_object_mut()) {
                map.insert("group".to_owned(), json!(sub_group));
                map.insert("version".to_owned(), json!(sub_version));
            }
            list.push(entry);
        }
    }
    if list.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    )
}

/// Answers a path below `/api` or `/apis` that is not a resource.
pub(crate) fn answer(catalog: &Catalog, parts: &[&str], accept: &str) -> Option<Answer> {
    let value = match parts {
        [root @ ("api" | "apis")] => {
            for media in accept.split(',') {
                for version in ["v2", "v2beta1"] {
                    if media.contains("as=APIGroupDiscoveryList") && media.contains(&format!("v={version};"))
                    {
                        let media = format!(
                            "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                        );
                        return Some(answer::json_as(
                            200,
                            &media,
                            &aggregated(catalog, *root == "api", version),
                        ));
                    }
                }
            }
            if *root == "api" {
                json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
            } else {
                let groups: Vec<Value> = groups(catalog)
                    .iter()
                    .filter(|(group, _)| !group.is_empty())
                    .map(|(group, versions)| group_of(group, versions))
                    .collect();
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
            }
        }
        ["api", version] => resource_list(catalog, "", version)?,
        ["apis", group] => {
            let groups = groups(catalog);
            let (group, versions) = groups.iter().find(|(own, _)| own == group)?;
            let mut value = group_of(group, versions);
            if let Some(map) = value.as_object_mut() {
                map.insert("kind".to_owned(), json!("APIGroup"));
                map.insert("apiVersion".to_owned(), json!("v1"));
            }
            value
        }
        ["apis", group, version] => resource_list(catalog, group, version)?,
        _ => return None,
    };
    Some(answer::json(200, &value))
}
