//! What is particular to kinds when they are written: defaults, allocation, validation, ownership.

use super::index::Index;
use super::meta::text;
use super::write::Part;
use super::{Resource, Status, default, service};
use herder_object::ownership::{self, Schema};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A timestamp as Kubernetes writes it, to the second.
pub(crate) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Random letters and digits for generated names, from Kubernetes' alphabet without vowels.
pub(crate) fn suffix(length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    random
        .as_bytes()
        .iter()
        .take(length)
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|&letter| char::from(letter))
        .collect()
}

/// Fills in what the author left out, and allocates what the server gives.
pub(super) fn prepare_create(resource: &Resource, index: &Index, object: &mut Value) -> Result<(), Status> {
    default::fill(resource, object);
    match resource.storage_name.as_str() {
        "services" => service::allocate(resource, index, object, None)?,
        "namespaces" => {
            if let Some(map) = object.as_object_mut() {
                map.insert("spec".to_owned(), json!({"finalizers": ["kubernetes"]}));
                map.insert("status".to_owned(), json!({"phase": "Active"}));
            }
            let name = text(object, "/metadata/name").to_owned();
            if let Some(metadata) = super::meta::section(object, "metadata") {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
                }
            }
        }
        "pods" => {
            if let Some(map) = object.as_object_mut() {
                map.insert(
                    "status".to_owned(),
                    json!({"phase": "Pending", "qosClass": default::qos(map)}),
                );
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => establish(object),
        _ => {}
    }
    Ok(())
}

/// Fills in what the author left out, and keeps what was allocated.
pub(super) fn prepare_update(
    resource: &Resource,
    index: &Index,
    current: &Value,
    object: &mut Value,
) -> Result<(), Status> {
    if resource.storage_name == "services" {
        service::allocate(resource, index, object, Some(current))?;
    }
    default::fill(resource, object);
    if resource.storage_name == "customresourcedefinitions.apiextensions.k8s.io" {
        establish(object);
    }
    Ok(())
}

/// Refuses what breaks the rules.
pub(super) fn validate(resource: &Resource, object: &Value, current: Option<&Value>) -> Result<(), Status> {
    let causes = super::validate::check(resource, object, current);
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(resource, text(object, "/metadata/name"), causes))
}

/// A definition is served as soon as it is written.
fn establish(definition: &mut Value) {
    let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
    let at = text(definition, "/metadata/creationTimestamp").to_owned();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at});
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let stored: Vec<Value> = versions
        .into_iter()
        .flatten()
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let status = json!({
        "acceptedNames": names, "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    if let Some(map) = definition.as_object_mut() {
        map.insert("status".to_owned(), status);
    }
}

/// How ownership divides the objects of a resource.
pub(crate) fn schema_of(resource: &Resource) -> Schema<'_> {
    match &resource.custom {
        Some(custom) if custom.schema.is_object() => Schema::Open(&custom.schema),
        Some(_) => Schema::Unknown,
        None => herder_object::schema::of(&resource.api_version(), &resource.kind)
            .map_or(Schema::Unknown, Schema::Type),
    }
}

/// Keeps managedFields for a plain write.
pub(super) fn record_update(
    resource: &Resource,
    now: Timestamp,
    manager: &str,
    current: Option<&Value>,
    object: &mut Value,
    part: Part,
) {
    let subresource = if part == Part::Status { "status" } else { "" };
    ownership::record(
        current,
        object,
        schema_of(resource),
        manager,
        subresource,
        &stamp(now),
    );
}
