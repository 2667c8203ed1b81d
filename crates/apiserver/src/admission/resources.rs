//! Amounts that containers and claims ask for: what is no amount, is negative or exceeds its own limit is refused, so that
//! whoever adds amounts up (quotas, the scheduler) may rely on them. Pure.

use crate::registry::{Cause, Resource};
use herder_object::field::{items, map, text};
use herder_object::quantity::milli;
use serde_json::{Value, json};

fn invalid(field: String, value: &Value, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {}: {why}", json!(shown(value))),
        field,
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const NO_AMOUNT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// One list of amounts, such as `limits`.
fn amounts(list: Option<&serde_json::Map<String, Value>>, path: &str, causes: &mut Vec<Cause>) {
    for (name, value) in list.into_iter().flatten() {
        let field = || format!("{path}[{name}]");
        match milli(value) {
            None => causes.push(invalid(field(), value, NO_AMOUNT)),
            Some(amount) if amount < 0 => {
                causes.push(invalid(field(), value, "must be greater than or equal to 0"));
            }
            Some(_) => {}
        }
    }
}

fn container(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (requests, limits) = (
        map(container, "/resources/requests"),
        map(container, "/resources/limits"),
    );
    amounts(limits, &format!("{path}.resources.limits"), causes);
    amounts(requests, &format!("{path}.resources.requests"), causes);
    for (name, wanted) in requests.into_iter().flatten() {
        let Some(limit) = limits.and_then(|limits| limits.get(name)) else {
            continue;
        };
        if let (Some(wants), Some(most)) = (milli(wanted), milli(limit))
            && wants > most
        {
            let why = format!("must be less than or equal to {name} limit of {}", shown(limit));
            causes.push(invalid(format!("{path}.resources.requests"), wanted, &why));
        }
    }
}

/// What is wrong with an object's amounts.
pub(super) fn check(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match resource.storage_name.as_str() {
        "pods" => {
            for list in ["containers", "initContainers"] {
                for (index, one) in items(object, &format!("/spec/{list}")).iter().enumerate() {
                    container(one, &format!("spec.{list}[{index}]"), &mut causes);
                }
            }
            for (index, volume) in items(object, "/spec/volumes").iter().enumerate() {
                let limit = volume
                    .pointer("/emptyDir/sizeLimit")
                    .filter(|limit| !limit.is_null());
                let field = || format!("spec.volumes[{index}].emptyDir.sizeLimit");
                match limit.map(|limit| (limit, milli(limit))) {
                    Some((limit, None)) => causes.push(invalid(field(), limit, NO_AMOUNT)),
                    Some((limit, Some(amount))) if amount < 0 => {
                        causes.push(invalid(field(), limit, "must be greater than or equal to 0"));
                    }
                    _ => {}
                }
            }
        }
        "persistentvolumeclaims" => {
            let requests = map(object, "/spec/resources/requests");
            amounts(requests, "spec.resources.requests", &mut causes);
        }
        "resourcequotas" => amounts(map(object, "/spec/hard"), "spec.hard", &mut causes),
        "limitranges" => {
            for (index, item) in items(object, "/spec/limits").iter().enumerate() {
                let path = format!("spec.limits[{index}]");
                for list in ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"] {
                    amounts(
                        map(item, &format!("/{list}")),
                        &format!("{path}.{list}"),
                        &mut causes,
                    );
                }
                if !matches!(text(item, "/type"), "Container" | "Pod" | "PersistentVolumeClaim") {
                    causes.push(Cause {
                        reason: "FieldValueNotSupported".to_owned(),
                        message: format!(
                            "Unsupported value: {}: supported values: \"Container\", \"PersistentVolumeClaim\", \"Pod\"",
                            json!(text(item, "/type"))
                        ),
                        field: format!("{path}.type"),
                    });
                }
            }
        }
        _ => {}
    }
    causes
}
