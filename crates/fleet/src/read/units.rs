//! Units: every namespace with its objects, and the cluster-level manifests.

use super::folders::{declared, is_namespace, of_folder};
use super::objects::{self, Raw};
use super::outline::Outline;
use super::{configs, hooks, judge, kustomize, security, substitute};
use crate::render::{self, Dress};
use crate::{Desired, Environment, EnvironmentKind, Inputs, LeftOut, StateRule, Unit, UnitOrigin};
use herder_base::{Diagnostic, Location};
use herder_object::Key;
use serde_json::Value;
use std::collections::BTreeMap;

/// The id of the unit of cluster-level manifests; the dot keeps it apart from namespaces.
const MANIFESTS: &str = "cluster.manifests";

/// Reads and renders all units, in order of their ids.
pub(crate) fn read(inputs: &Inputs, outline: &Outline, found: &mut Vec<Diagnostic>) -> Vec<Unit> {
    let mut units: Vec<(Unit, Location)> = Vec::new();
    for environment in &outline.environments {
        let unit = of_environment(inputs, outline, environment, found);
        units.push((unit, environment.source.clone()));
    }
    for folder in &outline.folders {
        if let Some(unit) = of_folder(inputs, outline, folder, found) {
            units.push((unit, Location::new(folder.clone(), 0, 0)));
        }
    }
    let mut units = claimed_once(inputs, units, found);
    for (namespace, why) in &outline.doubtful {
        match units.iter_mut().find(|unit| unit.namespace == *namespace) {
            Some(unit) => hold(unit, why),
            None => {
                let mut unit = empty(namespace, UnitOrigin::Environment);
                hold(&mut unit, why);
                units.push(unit);
            }
        }
    }
    if let Some(unit) = of_manifests(inputs, outline, &units, found) {
        units.push(unit);
    }
    judge::objects(inputs, &outline.settings, &mut units, found);
    for unit in &mut units {
        hooks::order(unit, found);
    }
    if let Some(why) = &outline.broken {
        units.iter_mut().for_each(|unit| hold(unit, why));
    }
    units.sort_by(|a, b| a.id.cmp(&b.id));
    units
}

pub(super) fn empty(namespace: &str, origin: UnitOrigin) -> Unit {
    Unit {
        id: namespace.to_owned(),
        namespace: namespace.to_owned(),
        origin,
        environment: None,
        objects: Vec::new(),
        named: Vec::new(),
        left_out: Vec::new(),
        incomplete: None,
        held: None,
        held_applications: BTreeMap::new(),
        cluster_scoped: false,
        state_rules: Vec::new(),
        leased: false,
    }
}

/// Notes what the files of a unit name, before any of it is refused. What says no namespace is meant for the unit's.
pub(super) fn mention(unit: &mut Unit, raws: &[Raw]) {
    for raw in raws {
        let Some(mut key) = Key::of(&raw.value) else {
            continue;
        };
        if key.namespace.is_empty() && !objects::is_cluster_scoped(&key) {
            key.namespace.clone_from(&unit.namespace);
        }
        unit.named.push((key, raw.at.clone()));
    }
}

/// Leaves one object out. It may have named the wrong namespace: what runs under the right one stays as well.
pub(super) fn leave_out(unit: &mut Unit, raw: &Raw, application: Option<&str>, why: &str) {
    if let Some(mut key) = Key::of(&raw.value) {
        if !unit.namespace.is_empty() && !objects::is_cluster_scoped(&key) {
            key.namespace.clone_from(&unit.namespace);
            unit.named.push((key.clone(), raw.at.clone()));
        }
        unit.left_out.push(LeftOut {
            key,
            application: application.map(str::to_owned),
            source: raw.at.clone(),
            why: why.to_owned(),
        });
    }
}

pub(super) fn hold(unit: &mut Unit, why: &str) {
    unit.objects.clear();
    unit.held.get_or_insert_with(|| why.to_owned());
}

/// Several claims on one namespace: which one is right is not ours to say, so none changes anything.
fn claimed_once(inputs: &Inputs, units: Vec<(Unit, Location)>, found: &mut Vec<Diagnostic>) -> Vec<Unit> {
    let mut kept: Vec<(Unit, Vec<Location>)> = Vec::with_capacity(units.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (unit, at) in units {
        let first = places.get(&unit.namespace).and_then(|index| kept.get_mut(*index));
        if let Some((first, claims)) = first {
            first.named.extend(unit.named);
            claims.push(at);
        } else {
            places.insert(unit.namespace.clone(), kept.len());
            kept.push((unit, vec![at]));
        }
    }
    for (unit, claims) in &mut kept {
        let [first, second, more @ ..] = claims.as_slice() else {
            continue;
        };
        let (first, second) = (declared(inputs, first.clone()), declared(inputs, second.clone()));
        let more = match more.len() {
            0 => String::new(),
            more => format!(", and by {more} more"),
        };
        let why = format!(
            "namespace `{}` is claimed by {first} and by {second}{more}",
            unit.namespace
        );
        found.push(
            Diagnostic::error("duplicate-namespace", why.clone())
                .at(second)
                .hint("give one of them another namespace; until then nothing in it is changed"),
        );
        hold(unit, &why);
    }
    kept.into_iter().map(|(unit, _)| unit).collect()
}

fn of_environment(
    inputs: &Inputs,
    outline: &Outline,
    environment: &Environment,
    found: &mut Vec<Diagnostic>,
) -> Unit {
    let mut unit = empty(&environment.namespace, UnitOrigin::Environment);
    unit.environment = Some(environment.name.clone());
    unit.cluster_scoped = environment.cluster_scoped;
    unit.leased = environment.kind != EnvironmentKind::Permanent;
    unit.state_rules.clone_from(&environment.state);
    let dress = Dress::new(inputs, outline, &unit.id, &unit.state_rules);
    for value in render::namespace(environment) {
        let raw = Raw {
            value,
            at: environment.source.clone(),
        };
        put(&mut unit, &dress, raw, None, None, found);
    }
    match configs::read(inputs, &outline.settings, environment, found) {
        Err(why) => hold(&mut unit, &why),
        Ok(applications) => {
            for application in applications {
                add_application(inputs, environment, &mut unit, &dress, application, found);
            }
            shared_between(&mut unit, found);
        }
    }
    unit
}

fn add_application(
    inputs: &Inputs,
    environment: &Environment,
    unit: &mut Unit,
    dress: &Dress,
    application: configs::Rendered,
    found: &mut Vec<Diagnostic>,
) {
    let name = application.name;
    let objects = match application.objects {
        Ok(objects) => objects,
        Err(why) if name.is_empty() => return hold(unit, &why),
        Err(why) => {
            unit.held_applications.insert(name, why);
            return;
        }
    };
    let before = unit.objects.len();
    let objects = match expanded(objects, environment, found) {
        Ok(objects) => objects,
        Err(why) if name.is_empty() => return hold(unit, &why),
        Err(why) => {
            unit.held_applications.insert(name, why);
            return;
        }
    };
    mention(unit, &objects);
    for mut raw in objects {
        if let Err(diagnostic) = objects::settle(&mut raw, &unit.namespace, environment.cluster_scoped) {
            let own = if name.is_empty() {
                said(&raw.value)
            } else {
                Some(name.clone())
            };
            leave_out(unit, &raw, own.as_deref(), &diagnostic.message);
            found.push(*diagnostic);
            continue;
        }
        match security::of_config(&raw, environment, inputs) {
            Err(diagnostic) => {
                // What asks for more than it may have is not applied in part.
                unit.objects.truncate(before);
                let why = diagnostic.message.clone();
                found.push(*diagnostic);
                if name.is_empty() {
                    hold(unit, &why);
                } else {
                    unit.held_applications.insert(name, why);
                }
                return;
            }
            // The environment itself makes its namespace.
            Ok(()) if raw.value.get("kind").and_then(Value::as_str) == Some("Namespace") => {}
            Ok(()) => {
                if let Err(diagnostic) = render::inject(&mut raw.value, dress.settings) {
                    let diagnostic = diagnostic.at(raw.at.clone());
                    unit.objects.truncate(before);
                    let why = diagnostic.message.clone();
                    found.push(diagnostic);
                    if name.is_empty() {
                        hold(unit, &why);
                    } else {
                        unit.held_applications.insert(name, why);
                    }
                    return;
                }
                let own = if name.is_empty() {
                    said(&raw.value)
                } else {
                    Some(name.clone())
                };
                put(
                    unit,
                    dress,
                    raw,
                    own.as_deref(),
                    application.version.as_deref(),
                    found,
                );
            }
        }
    }
}

/// The objects with the environment's variables expanded; the error says which cannot be.
fn expanded(
    mut objects: Vec<Raw>,
    environment: &Environment,
    found: &mut Vec<Diagnostic>,
) -> Result<Vec<Raw>, String> {
    let Some(variables) = &environment.substitute else {
        return Ok(objects);
    };
    let mut bad = None;
    for raw in &mut objects {
        match substitute::expand(&raw.value, variables).and_then(|value| {
            if let Some(value) = &value {
                objects::identified(value)?;
            }
            Ok(value)
        }) {
            Ok(None) => {}
            Ok(Some(value)) => raw.value = value,
            Err(why) => {
                let what = Key::of(&raw.value).map_or_else(|| "an object".to_owned(), |key| key.to_string());
                let why = format!("{what}: {why}");
                found.push(
                    Diagnostic::error("variable", why.clone())
                        .at(raw.at.clone())
                        .hint(format!(
                            "give it a value under `substitute:` in {}, or a default (`${{NAME:-default}}`)",
                            environment.source.path
                        )),
                );
                bad.get_or_insert(why);
            }
        }
    }
    bad.map_or(Ok(objects), Err)
}

/// The application that an object itself says it belongs to.
pub(super) fn said(value: &Value) -> Option<String> {
    herder_object::labels(value)
        .find(|(name, _)| *name == crate::APPLICATION_LABEL)
        .map(|(_, value)| value.to_owned())
}

/// Dresses an object and adds it to the unit; the same object again replaces it, as applying files in order would.
pub(super) fn put(
    unit: &mut Unit,
    dress: &Dress,
    raw: Raw,
    application: Option<&str>,
    version: Option<&str>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(desired) = dress.object(raw.value, raw.at, application, version) else {
        return;
    };
    let same = |other: &&mut Desired| other.key == desired.key && other.application == desired.application;
    if let Some(first) = unit.objects.iter_mut().find(same) {
        if first.hash != desired.hash {
            found.push(
                Diagnostic::warning(
                    "duplicate-object",
                    format!("{} is here already; this one counts", desired.key),
                )
                .at(desired.source.clone())
                .hint(format!("the first one is at {}", first.source)),
            );
        }
        *first = desired;
        return;
    }
    unit.objects.push(desired);
}

/// Holds applications that claim the same object.
fn shared_between(unit: &mut Unit, found: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<&Key, &Desired> = BTreeMap::new();
    let mut fights = Vec::new();
    for object in &unit.objects {
        if let Some(first) = owners.insert(&object.key, object) {
            fights.push((first.clone(), object.clone()));
        }
    }
    for (first, second) in fights {
        let name = |object: &Desired| {
            object
                .application
                .clone()
                .unwrap_or_else(|| "the environment".to_owned())
        };
        let why = format!(
            "{} is claimed by {} and by {}",
            second.key,
            name(&first),
            name(&second)
        );
        found.push(
            Diagnostic::error("duplicate-object", why.clone())
                .at(second.source.clone())
                .hint(format!(
                    "the other one is at {}; until one is renamed, neither application is changed",
                    first.source
                )),
        );
        for application in [first.application, second.application].into_iter().flatten() {
            unit.held_applications.insert(application, why.clone());
        }
    }
    let held = &unit.held_applications;
    unit.objects.retain(|object| {
        !object
            .application
            .as_ref()
            .is_some_and(|application| held.contains_key(application))
    });
}

fn of_manifests(
    inputs: &Inputs,
    outline: &Outline,
    units: &[Unit],
    found: &mut Vec<Diagnostic>,
) -> Option<Unit> {
    let dir = "manifests";
    if !inputs.root.is_dir(dir) {
        return None;
    }
    let mut unit = empty("", UnitOrigin::Manifests);
    MANIFESTS.clone_into(&mut unit.id);
    let built = if kustomize::is_root(&inputs.root, dir) {
        kustomize::build(inputs, &outline.settings, &inputs.root, "", dir, found)
    } else {
        let read = objects::files(&inputs.root, "", dir, true, found);
        unit.incomplete = read.missing;
        Ok(read.raws)
    };
    let raws = match built {
        Ok(raws) => raws,
        Err(why) => {
            hold(&mut unit, &why);
            return Some(unit);
        }
    };
    let rules: [StateRule; 0] = [];
    let dress = Dress::new(inputs, outline, MANIFESTS, &rules);
    mention(&mut unit, &raws);
    for mut raw in raws {
        let Some(mut key) = Key::of(&raw.value) else {
            continue;
        };
        if key.namespace.is_empty() && !objects::is_cluster_scoped(&key) && is_core(&key.gvk.group) {
            found.push(
                Diagnostic::error("no-namespace", format!("{key} needs a namespace here"))
                    .at(raw.at)
                    .hint("add `metadata.namespace`"),
            );
            continue;
        }
        if key.gvk.kind == "Namespace" {
            key.namespace.clone_from(&key.name);
        }
        if units.iter().any(|unit| unit.namespace == key.namespace) {
            found.push(
                Diagnostic::error(
                    "not-theirs",
                    format!("namespace `{}` is defined elsewhere in the fleet", key.namespace),
                )
                .at(raw.at)
                .hint("move the object there"),
            );
            continue;
        }
        if is_namespace(&raw.value)
            && let Err(diagnostic) = security::of_folder(&raw, dir, inputs)
        {
            found.push(*diagnostic);
            continue;
        }
        if let Err(diagnostic) = render::inject(&mut raw.value, dress.settings) {
            found.push(diagnostic.at(raw.at));
            continue;
        }
        put(&mut unit, &dress, raw, None, None, found);
    }
    Some(unit)
}

/// Whether a group is Kubernetes' own, whose scopes are known here.
fn is_core(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}
