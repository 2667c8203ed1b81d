//! Units: every namespace with its objects, and the cluster-level manifests.

use super::objects::{self, Raw};
use super::outline::Outline;
use super::{configs, kustomize, security};
use crate::render::{self, Dress};
use crate::{Desired, Environment, EnvironmentKind, Inputs, StateRule, Unit, UnitOrigin};
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
    if let Some(why) = &outline.broken {
        units.iter_mut().for_each(|unit| hold(unit, why));
    }
    units.sort_by(|a, b| a.id.cmp(&b.id));
    units
}

fn empty(namespace: &str, origin: UnitOrigin) -> Unit {
    Unit {
        id: namespace.to_owned(),
        namespace: namespace.to_owned(),
        origin,
        environment: None,
        objects: Vec::new(),
        named: Vec::new(),
        held: None,
        held_applications: BTreeMap::new(),
        state_rules: Vec::new(),
        leased: false,
    }
}

/// Notes what the files of a unit name, before any of it is refused. What says no namespace is meant for the unit's.
fn mention(unit: &mut Unit, raws: &[Raw]) {
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

fn hold(unit: &mut Unit, why: &str) {
    unit.objects.clear();
    unit.held.get_or_insert_with(|| why.to_owned());
}

/// Two claims on one namespace: which one is right is not ours to say, so neither changes anything.
fn claimed_once(inputs: &Inputs, units: Vec<(Unit, Location)>, found: &mut Vec<Diagnostic>) -> Vec<Unit> {
    let mut kept: Vec<(Unit, Location)> = Vec::with_capacity(units.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (unit, at) in units {
        let Some(index) = places.get(&unit.namespace) else {
            places.insert(unit.namespace.clone(), kept.len());
            kept.push((unit, at));
            continue;
        };
        if let Some((first, first_at)) = kept.get_mut(*index) {
            let (at, first_at) = (declared(inputs, at), declared(inputs, first_at.clone()));
            let why = format!(
                "namespace `{}` is claimed by {first_at} and by {at}",
                unit.namespace
            );
            found.push(
                Diagnostic::error("duplicate-namespace", why.clone())
                    .at(at)
                    .hint("give one of them another namespace; until then nothing in it is changed"),
            );
            hold(first, &why);
            first.named.extend(unit.named);
        }
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
    match configs::read(inputs, environment, found) {
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
    mention(unit, &objects);
    for mut raw in objects {
        let settled = objects::settle(&mut raw, &unit.namespace)
            .and_then(|()| security::of_config(&raw, environment, inputs));
        match settled {
            Err(diagnostic) => {
                // Most likely a wrong `namespace:`; what ran under the right one must not look as if it were removed.
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

/// The application that an object itself says it belongs to.
fn said(value: &Value) -> Option<String> {
    herder_object::labels(value)
        .find(|(name, _)| *name == crate::APPLICATION_LABEL)
        .map(|(_, value)| value.to_owned())
}

/// Dresses an object and adds it to the unit; the same object again replaces it, as applying files in order would.
fn put(
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

fn of_folder(inputs: &Inputs, outline: &Outline, folder: &str, found: &mut Vec<Diagnostic>) -> Option<Unit> {
    let base = folder.rsplit('/').next().unwrap_or(folder);
    let raws = if kustomize::is_root(&inputs.root, folder) {
        kustomize::build(inputs, &inputs.root, "", folder, found)
    } else {
        objects::files(&inputs.root, "", folder, false, found)
    };
    let raws = match raws {
        Ok(raws) => raws,
        Err(why) => {
            let mut unit = empty(base, UnitOrigin::Discovered);
            // The name of the namespace stands in a file that may be the broken one; other units stay untouched by it.
            unit.namespace = namespace_of(inputs, folder).unwrap_or_else(|| base.to_owned());
            unit.id.clone_from(&unit.namespace);
            hold(&mut unit, &why);
            return Some(unit);
        }
    };
    if raws.is_empty() {
        found.push(
            Diagnostic::warning(
                "empty",
                format!("`{folder}` holds no objects and is no namespace"),
            )
            .at(Location::new(folder, 0, 0)),
        );
        return None;
    }
    let namespaces: Vec<&Raw> = raws.iter().filter(|raw| is_namespace(&raw.value)).collect();
    let namespace = match namespaces.as_slice() {
        [] => base.to_owned(),
        [only] => herder_object::name(&only.value).to_owned(),
        [_, second, ..] => {
            let mut unit = empty(base, UnitOrigin::Discovered);
            mention(&mut unit, &raws);
            let why = "this folder makes two namespaces".to_owned();
            found.push(
                Diagnostic::error("duplicate-namespace", why.clone())
                    .at(second.at.clone())
                    .hint("one folder is one namespace"),
            );
            hold(&mut unit, &why);
            return Some(unit);
        }
    };
    let mut unit = empty(&namespace, UnitOrigin::Discovered);
    mention(&mut unit, &raws);
    if !crate::format::is_name(&namespace) {
        let why = format!("`{namespace}` is no name for a namespace");
        found.push(
            Diagnostic::error("name", why.clone())
                .at(Location::new(folder, 0, 0))
                .hint("use lower-case letters, digits and `-`, at most 63"),
        );
        hold(&mut unit, &why);
        return Some(unit);
    }
    if let Some(Err(diagnostic)) = namespaces
        .first()
        .map(|raw| security::of_folder(raw, folder, inputs))
    {
        let why = diagnostic.message.clone();
        found.push(*diagnostic);
        hold(&mut unit, &why);
        return Some(unit);
    }
    let rules: [StateRule; 0] = [];
    let dress = Dress::new(inputs, outline, &unit.id, &rules);
    if namespaces.is_empty() {
        let raw = Raw {
            value: render::bare_namespace(&namespace),
            at: Location::new(folder, 0, 0),
        };
        put(&mut unit, &dress, raw, None, None, found);
    }
    for mut raw in raws {
        let application = said(&raw.value);
        if let Err(diagnostic) = objects::settle(&mut raw, &namespace) {
            found.push(*diagnostic);
        } else if let Err(diagnostic) = render::inject(&mut raw.value, dress.settings) {
            let why = diagnostic.message.clone();
            found.push(diagnostic.at(raw.at));
            hold(&mut unit, &why);
            return Some(unit);
        } else {
            put(&mut unit, &dress, raw, application.as_deref(), None, found);
        }
    }
    Some(unit)
}

fn is_namespace(value: &Value) -> bool {
    herder_object::kind(value) == "Namespace" && herder_object::api_version(value) == "v1"
}

/// The namespace that a folder with a broken file makes, as far as its whole files say.
fn namespace_of(inputs: &Inputs, folder: &str) -> Option<String> {
    declaration(inputs, folder)
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty())
}

/// Where a folder declares its namespace; the folder itself if it goes by the folder's name.
fn declared(inputs: &Inputs, at: Location) -> Location {
    if at.line > 0 {
        return at;
    }
    declaration(inputs, &at.path).map_or(at, |(_, place)| place)
}

fn declaration(inputs: &Inputs, folder: &str) -> Option<(String, Location)> {
    inputs
        .root
        .below(folder)
        .filter_map(|(path, _)| Some((path, inputs.root.text(path)?)))
        .flat_map(|(path, text)| {
            let objects = herder_object::yaml::parse_objects(text).0;
            objects.into_iter().map(move |(value, line)| (path, value, line))
        })
        .find(|(_, value, _)| is_namespace(value))
        .map(|(path, value, line)| {
            (
                herder_object::name(&value).to_owned(),
                Location::new(path, line, 0),
            )
        })
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
    let raws = if kustomize::is_root(&inputs.root, dir) {
        kustomize::build(inputs, &inputs.root, "", dir, found)
    } else {
        objects::files(&inputs.root, "", dir, true, found)
    };
    let raws = match raws {
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
