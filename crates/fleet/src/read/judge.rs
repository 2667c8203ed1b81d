//! Objects that must not reach a cluster as they are: fields that their kind does not have, values that were never meant
//! for it. Each is left out by itself: what runs of it stays as it was, and everything else goes on.

use super::place;
use super::values;
use super::wildcard;
use crate::{Desired, Inputs, LeftOut, Settings, Unit, UnitOrigin};
use herder_base::{Diagnostic, Location, suggest};
use herder_object::strict::{self, Faults};
use herder_object::{Gvk, schema};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Annotation that lets an object have fields that its kind does not have; `"false"` is the only value that counts.
const STRICT: &str = "herder.dev/strict";

/// Schemas of custom resources, as the fleet's own definitions have them.
type Schemas = BTreeMap<Gvk, Value>;

/// Takes out of the units what may not be applied, and says why.
pub(crate) fn objects(inputs: &Inputs, settings: &Settings, units: &mut [Unit], found: &mut Vec<Diagnostic>) {
    let schemas = schemas(units);
    let scopes = cluster_scoped(units);
    for unit in units {
        let mut variables = Variables::default();
        let mut kept = Vec::with_capacity(unit.objects.len());
        for mut object in std::mem::take(&mut unit.objects) {
            if settings
                .lenient
                .iter()
                .any(|glob| wildcard(glob, &object.source.path))
            {
                // The cluster is told by the object itself.
                crate::render::annotate(&mut object, STRICT, "false");
            }
            if !object.key.namespace.is_empty()
                && scopes.contains(&(object.key.gvk.group.clone(), object.key.gvk.kind.clone()))
            {
                // Only its definition says that it is in no namespace: the unit's was put into it, or a kustomization's.
                crate::render::out_of_namespace(&mut object);
                if !unit.cluster_scoped && unit.origin != UnitOrigin::Manifests {
                    let why = format!(
                        "{} is outside every namespace, but this is for namespace {}",
                        object.key, unit.namespace
                    );
                    found.push(
                        Diagnostic::error("not-theirs", why.clone())
                            .at(object.source.clone())
                            .hint("cluster-level objects belong into manifests/ of the fleet repository; `clusterScoped: allow` lets them stand here"),
                    );
                    unit.left_out.push(left_out(&object, why));
                    continue;
                }
            }
            let judged = judge(inputs, settings, &schemas, &object, &mut variables, found);
            match judged {
                None => kept.push(object),
                Some(why) => unit.left_out.push(left_out(&object, why)),
            }
        }
        unit.objects = kept;
        variables.tell(unit, found);
        hold_users(unit);
        // What is to be in a namespace that may not be made cannot be made either.
        let namespace = unit.left_out.iter().find(|left| {
            left.key.gvk.kind == "Namespace"
                && left.key.gvk.group.is_empty()
                && left.key.name == unit.namespace
        });
        if let Some(namespace) = namespace {
            let why = format!("its namespace is left out: {}", namespace.why);
            unit.objects.clear();
            unit.held.get_or_insert(why);
        }
    }
}

fn left_out(object: &Desired, why: String) -> LeftOut {
    LeftOut {
        key: object.key.clone(),
        application: object.application.clone(),
        source: object.source.clone(),
        why,
    }
}

/// Kinds that are in no namespace, as the fleet's own definitions say.
fn cluster_scoped(units: &[Unit]) -> BTreeSet<(String, String)> {
    let definitions = units
        .iter()
        .flat_map(|unit| &unit.objects)
        .filter(|object| object.key.gvk.kind == "CustomResourceDefinition");
    let scoped = definitions.filter_map(|definition| {
        let text = |pointer: &str| definition.value.pointer(pointer).and_then(Value::as_str);
        (text("/spec/scope") == Some("Cluster")).then(|| {
            Some((
                text("/spec/group")?.to_owned(),
                text("/spec/names/kind")?.to_owned(),
            ))
        })?
    });
    scoped.collect()
}

/// A generated name is new with each content: whoever names it would wait for something that never comes. So everything
/// that was built with it stays as it was.
fn hold_users(unit: &mut Unit) {
    let generated: Vec<LeftOut> = unit
        .left_out
        .iter()
        .filter(|left| left.source.line == 0 && is_generated(&left.key.name))
        .filter(|left| matches!(left.key.gvk.kind.as_str(), "ConfigMap" | "Secret"))
        .cloned()
        .collect();
    for left in generated {
        match left.application {
            Some(application) => {
                unit.objects
                    .retain(|object| object.application.as_ref() != Some(&application));
                unit.held_applications.entry(application).or_insert(left.why);
            }
            None => {
                unit.objects.clear();
                unit.held.get_or_insert(left.why);
            }
        }
    }
}

/// Whether a name ends as kustomize's generators end it.
fn is_generated(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == 10 && hash.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// Why an object is left out, if it is.
fn judge(
    inputs: &Inputs,
    settings: &Settings,
    schemas: &Schemas,
    object: &Desired,
    variables: &mut Variables,
    found: &mut Vec<Diagnostic>,
) -> Option<String> {
    let value = &*object.value;
    if let Some(cipher) = values::ciphertext(value) {
        let why = format!("{} is encrypted ({})", object.key, cipher.by);
        found.push(
            Diagnostic::error("encrypted", format!("{why}; what runs of it stays as it is"))
                .at(place::of(inputs, object, &cipher.pointer))
                .hint("put the value into Vault and name it with `herder.dev/file.NAME` on the pod template, or commit it decrypted to a repository of its own"),
        );
        return Some(why);
    }
    if is_lenient(object) {
        return None;
    }
    if let Some((pointer, names)) = values::variables(value) {
        let why = format!(
            "{} contains ${{{}}}, which nothing expands",
            object.key,
            names.iter().next().map(String::as_str).unwrap_or_default()
        );
        variables.add(place::of(inputs, object, &pointer), names);
        return Some(why);
    }
    let faults = if let Some(of) = schema::of(&object.key.gvk.api_version(), &object.key.gvk.kind) {
        // Another cluster may know more fields than the embedded one: it is asked itself.
        if settings.kubeconfig.is_some() {
            return None;
        }
        strict::typed(value, of)
    } else if let Some(schema) = schemas.get(&object.key.gvk) {
        strict::custom(value, schema)
    } else {
        return None;
    };
    told(inputs, object, &faults, found)
}

/// Says what does not fit, each with its place.
fn told(inputs: &Inputs, object: &Desired, faults: &Faults, found: &mut Vec<Diagnostic>) -> Option<String> {
    let mut why = None;
    for unknown in &faults.unknown {
        let (above, name) = unknown.path.rsplit_once('.').unwrap_or(("", &unknown.path));
        let of = if above.is_empty() {
            object.key.to_string()
        } else {
            format!("{above} of {}", object.key)
        };
        let message = format!("{of} has no field `{name}`");
        let near = suggest(name, unknown.known.iter().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`? Until then it stays as it was"),
            None => format!(
                "remove it, or annotate the object with {STRICT}: \"false\" if the cluster is to drop it in silence; until then it stays as it was"
            ),
        };
        why.get_or_insert_with(|| message.clone());
        found.push(
            Diagnostic::error("unknown-field", message)
                .at(place::of(inputs, object, &unknown.pointer))
                .hint(hint),
        );
    }
    if let Some(wrong) = &faults.wrong {
        let message = format!(
            "{} of {} is {}, and should be {}",
            wrong.path,
            object.key,
            in_words(wrong.found),
            in_words(&wrong.expected)
        );
        why.get_or_insert_with(|| message.clone());
        let quoted = matches!(
            (wrong.found, wrong.expected.as_str()),
            ("number" | "bool", "string" | "map[string]string")
        );
        let hint = if quoted {
            "quote it; until then the object stays as it was"
        } else {
            "until it is corrected the object stays as it was"
        };
        found.push(
            Diagnostic::error("wrong-type", message)
                .at(place::of(inputs, object, &wrong.pointer))
                .hint(hint),
        );
    }
    why
}

fn in_words(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "bool" | "boolean" => "a truth value",
        "int32" | "int64" | "integer" => "a whole number",
        "number" | "float64" => "a number",
        "array" | "[]" => "a list",
        "object" | "map[string]string" => "a mapping",
        "resource.Quantity" => "a quantity",
        "intstr.IntOrString" => "a whole number or text",
        "null" => "nothing",
        _ => "a mapping",
    }
}

/// Whether an object may have fields that its kind does not have.
fn is_lenient(object: &Desired) -> bool {
    herder_object::annotations(&object.value).any(|(name, value)| name == STRICT && value == "false")
}

/// The schemas that the fleet's own definitions bring.
fn schemas(units: &[Unit]) -> Schemas {
    let mut schemas = Schemas::new();
    let definitions = units
        .iter()
        .flat_map(|unit| &unit.objects)
        .filter(|object| object.key.gvk == Gvk::new("apiextensions.k8s.io/v1", "CustomResourceDefinition"));
    for definition in definitions {
        let text = |pointer: &str| {
            let text = definition.value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let versions = definition
            .value
            .pointer("/spec/versions")
            .and_then(Value::as_array);
        for version in versions.into_iter().flatten() {
            if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
                let gvk = Gvk {
                    group: text("/spec/group"),
                    version: version
                        .get("name")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                    kind: text("/spec/names/kind"),
                };
                schemas.insert(gvk, schema.clone());
            }
        }
    }
    schemas
}

/// Variables that nothing expands, told once for a unit: they mostly come in hundreds.
#[derive(Default)]
struct Variables {
    first: Option<Location>,
    names: BTreeSet<String>,
    objects: usize,
}

impl Variables {
    fn add(&mut self, at: Location, names: BTreeSet<String>) {
        self.first.get_or_insert(at);
        self.names.extend(names);
        self.objects += 1;
    }

    fn tell(self, unit: &Unit, found: &mut Vec<Diagnostic>) {
        let Some(first) = self.first else { return };
        let names: Vec<String> = self
            .names
            .iter()
            .take(5)
            .map(|name| format!("${{{name}}}"))
            .collect();
        let more = if self.names.len() > names.len() {
            ", …"
        } else {
            ""
        };
        let (objects, are) = if self.objects == 1 {
            ("1 object".to_owned(), "is")
        } else {
            (format!("{} objects", self.objects), "are")
        };
        let message = format!(
            "{objects} of {} {are} left out: nothing expands {}{more}",
            if unit.namespace.is_empty() {
                &unit.id
            } else {
                &unit.namespace
            },
            names.join(", ")
        );
        let hint = if unit.environment.is_some() {
            "give the values under `substitute:` in the environment's file, or write `$${NAME}` there for the text itself"
        } else {
            "variables expand in environments that say `substitute:`; write the values, or make this an environment"
        };
        found.push(
            Diagnostic::error("unexpanded-variable", message)
                .at(first)
                .hint(hint),
        );
    }
}
