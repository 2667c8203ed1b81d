//! What manifests may not say for themselves: how far a namespace's pods may reach, and who may change what the fleet
//! repository sets for the namespace. Exceptions are the fleet repository's.

use super::kustomize;
use super::objects::Raw;
use crate::render::ENFORCE;
use crate::{Environment, Inputs};
use herder_base::{Diagnostic, Location, Tree};
use serde_json::Value;

/// How strict a level is; what is no level is as strict as can be, since the API refuses it anyway.
fn rank(level: &str) -> u8 {
    match level {
        "privileged" => 0,
        "baseline" => 1,
        _ => 2,
    }
}

/// The level that a namespace asks for, if it is below `floor`. An old edition of the standards is below any.
fn lowered(namespace: &Value, floor: &str) -> Option<String> {
    let label = |name: &str| {
        herder_object::labels(namespace)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let version = label(&format!("{ENFORCE}-version")).filter(|version| version != "latest");
    if let Some(version) = version.filter(|_| floor != "privileged") {
        return Some(format!("{ENFORCE}-version: {version}"));
    }
    let level = label(ENFORCE)?;
    (rank(&level) < rank(floor)).then(|| format!("{ENFORCE}: {level}"))
}

/// Refuses what a config repository may not say.
pub(super) fn of_config(
    raw: &Raw,
    environment: &Environment,
    inputs: &Inputs,
) -> Result<(), Box<Diagnostic>> {
    let group = herder_object::api_version(&raw.value).split('/').next();
    match (group, herder_object::kind(&raw.value)) {
        (Some("v1"), "Namespace") => opened(raw, environment, inputs),
        (Some(RBAC), "Role" | "RoleBinding") => match wide(&raw.value) {
            None => Ok(()),
            Some(why) => Err(Diagnostic::error("wide-rights", why)
                .at(raw.at.clone())
                .hint("name what is really needed; whoever runs the fleet may give more in manifests/ of the fleet repository")
                .into()),
        },
        _ => Ok(()),
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
/// What the fleet repository sets for a namespace, and nobody in it may change.
const FLEETS: [&str; 3] = ["limitranges", "namespaces", "resourcequotas"];

/// What only nodes and the scheduler write: a pod's address and place stand for it in policies and services.
const NODES: [&str; 5] = ["bindings", "pods/*", "pods/binding", "pods/status", "*/status"];

/// Why a role or binding reaches beyond what the namespace is for.
fn wide(value: &Value) -> Option<String> {
    let name = herder_object::name(value);
    let role = |field: &str| {
        let role = value.pointer(&format!("/roleRef/{field}"));
        role.and_then(Value::as_str).unwrap_or_default()
    };
    if herder_object::kind(value) == "RoleBinding" {
        let all = role("kind") == "ClusterRole"
            && (role("name") == "cluster-admin" || role("name").starts_with("system:"));
        return all.then(|| {
            format!(
                "RoleBinding `{name}` gives all rights (ClusterRole `{}`)",
                role("name")
            )
        });
    }
    let rules = value.get("rules").and_then(Value::as_array);
    rules.into_iter().flatten().find_map(|rule| {
        let list = |field: &str| -> Vec<&str> {
            let list = rule.get(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let (verbs, groups, resources) = (list("verbs"), list("apiGroups"), list("resources"));
        let changes = verbs.iter().any(|verb| !matches!(*verb, "get" | "list" | "watch"));
        let here = groups.iter().any(|group| matches!(*group, "" | "*"));
        let of_fleet = resources
            .iter()
            .map(|resource| resource.split('/').next().unwrap_or_default())
            .find(|resource| *resource == "*" || FLEETS.contains(resource));
        let gives = verbs.iter().any(|verb| matches!(*verb, "escalate" | "bind"));
        match of_fleet {
            Some(resource) if changes && here => Some(format!(
                "Role `{name}` gives the right to change `{resource}`, and with it what the fleet repository sets for the namespace"
            )),
            _ if gives => Some(format!("Role `{name}` gives the right to give any right")),
            _ if changes && here => resources.iter().find(|resource| NODES.contains(resource)).map(|resource| {
                format!("Role `{name}` gives the right to change `{resource}`, which only nodes and the scheduler write")
            }),
            _ => None,
        }
    })
}

/// Refuses a Namespace of a config repository that asks for less than its environment has.
fn opened(raw: &Raw, environment: &Environment, inputs: &Inputs) -> Result<(), Box<Diagnostic>> {
    if raw
        .value
        .pointer("/metadata/annotations/herder.dev~1space")
        .is_some()
    {
        return Err(Diagnostic::error(
            "space",
            "only the fleet repository may say how much of the store a namespace may take, and this has the annotation `herder.dev/space`",
        )
        .at(raw.at.clone())
        .hint("remove the annotation; whoever runs the fleet may set it in manifests/ of the fleet repository")
        .into());
    }
    let floor = environment.pod_security.as_deref().unwrap_or("baseline");
    let Some(asked) = lowered(&raw.value, floor) else {
        return Ok(());
    };
    let place = environment
        .config
        .as_ref()
        .and_then(|config| super::configs::tree(inputs, config).ok())
        .and_then(|tree| line(tree, folder(&raw.at.path)));
    Err(Diagnostic::error(
        "pod-security",
        format!("only the fleet repository may lower what pods must keep, and this says `{asked}`"),
    )
    .at(at(raw, place))
    .hint(format!(
        "remove the label; whoever runs the fleet may set `podSecurity` in {}",
        environment.source.path
    ))
    .into())
}

/// Refuses a Namespace of the fleet repository that is lowered by a remote base: the repository itself must say it.
pub(super) fn of_folder(raw: &Raw, folder: &str, inputs: &Inputs) -> Result<(), Box<Diagnostic>> {
    let Some(asked) = lowered(&raw.value, "baseline") else {
        return Ok(());
    };
    if line(&inputs.root, folder).is_some() || !kustomize::has_remote(&inputs.root, folder) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "pod-security",
        format!(
            "a base outside of the fleet repository may not lower what pods must keep, and one says `{asked}`"
        ),
    )
    .at(raw.at.clone())
    .hint(format!(
        "if that is meant, put the label on the namespace in {folder} itself"
    ))
    .into())
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Where the label is written below a folder.
fn line(tree: &Tree, folder: &str) -> Option<(String, u32)> {
    tree.below(folder).find_map(|(path, _)| {
        let index = tree.text(path)?.lines().position(|line| line.contains(ENFORCE))?;
        Some((path.to_owned(), u32::try_from(index).ok()?.saturating_add(1)))
    })
}

fn at(raw: &Raw, place: Option<(String, u32)>) -> Location {
    let Some((path, line)) = place else {
        return raw.at.clone();
    };
    Location {
        repository: raw.at.repository.clone(),
        ..Location::new(path, line, 0)
    }
}
