//! What is particular to kinds when they are written: defaults, allocation, validation, ownership.

use super::index::Index;
use super::write::Part;
use super::{Resource, Status};
use jiff::Timestamp;
use serde_json::Value;

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
pub(super) fn prepare_create(
    _resource: &Resource,
    _index: &Index,
    _object: &mut Value,
) -> Result<(), Status> {
    Ok(())
}

/// Fills in what the author left out, and keeps what was allocated.
pub(super) fn prepare_update(
    _resource: &Resource,
    _index: &Index,
    _current: &Value,
    _object: &mut Value,
) -> Result<(), Status> {
    Ok(())
}

/// Refuses what breaks the rules.
pub(super) fn validate(
    _resource: &Resource,
    _object: &Value,
    _current: Option<&Value>,
) -> Result<(), Status> {
    Ok(())
}

/// Keeps managedFields for a plain write.
pub(super) fn record_update(
    _resource: &Resource,
    _now: Timestamp,
    _manager: &str,
    _current: Option<&Value>,
    _object: &mut Value,
    _part: Part,
) {
}
