//! Field validation of what clients send, as strict as they ask for. What does not fit is found by
//! [`herder_object::strict`]; this module says it in Kubernetes' words.

use super::request::Request;
use super::write::type_of;
use crate::registry::Status;
use herder_object::strict::{self, Faults};
use serde_json::Value;

/// Drops unknown fields from an object of the request's kind. The answer is the warnings for the client.
///
/// # Errors
/// Wrong types; unknown fields too, if the client asked for strictness.
pub(crate) fn check(request: &Request, object: &mut Value) -> Result<Vec<String>, Status> {
    let resource = &request.resource;
    let faults = match &resource.custom {
        Some(custom) => strict::custom(object, &custom.schema),
        None => type_of(resource).map_or_else(Faults::default, |of| strict::typed(object, of)),
    };
    strict::drop_unknown(object, &faults);
    let handled = format!(
        "{} in version \"{}\" cannot be handled as a {}",
        resource.kind, resource.version, resource.kind
    );
    if let Some(wrong) = faults.wrong {
        return Err(Status::bad_request(format!(
            "{handled}: json: cannot unmarshal {} into Go struct field .{} of type {}",
            wrong.found, wrong.path, wrong.expected
        )));
    }
    if faults.unknown.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = faults
        .unknown
        .iter()
        .map(|unknown| format!("unknown field \"{}\"", unknown.path))
        .collect();
    match request.query.get("fieldValidation").unwrap_or("Warn") {
        "Strict" => Err(Status::bad_request(format!(
            "{handled}: strict decoding error: {}",
            list.join(", ")
        ))),
        "Ignore" => Ok(Vec::new()),
        "Warn" => Ok(list),
        other => Err(Status::bad_request(format!(
            "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
        ))),
    }
}
