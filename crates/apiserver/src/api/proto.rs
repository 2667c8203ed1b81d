//! Reads the protobuf bodies that Kubernetes' own clients send, with the field numbers of the schema table.

use crate::registry::Status;
use base64::Engine as _;
use herder_object::schema::{self, Shape, Type};
use serde_json::{Map, Value, json};

const MAGIC: &[u8] = b"k8s\0";

/// Whether this is a Kubernetes protobuf body.
pub(crate) fn is_proto(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The fields of a message, in order.
fn fields(mut data: &[u8]) -> Option<Vec<(u64, Item<'_>)>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let tag = varint(&mut data)?;
        let item = match tag & 7 {
            0 => Item::Number(varint(&mut data)?),
            1 => {
                let (head, rest) = data.split_at_checked(8)?;
                data = rest;
                Item::Bytes(head)
            }
            2 => {
                let length = usize::try_from(varint(&mut data)?).ok()?;
                let (head, rest) = data.split_at_checked(length)?;
                data = rest;
                Item::Bytes(head)
            }
            5 => {
                let (head, rest) = data.split_at_checked(4)?;
                data = rest;
                Item::Bytes(head)
            }
            _ => return None,
        };
        found.push((tag >> 3, item));
    }
    Some(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Numbers and booleans whose zero means "not given"; elsewhere (replicas: 0) it is a value.
const ZERO: &[&str] = &[
    "minReadySeconds",
    "paused",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "publishNotReadyAddresses",
    "healthCheckNodePort",
    "nodePort",
    "hostPort",
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "observedGeneration",
    "generation",
];

/// Messages within messages; deeper than any Kubernetes type.
const DEPTH: usize = 64;

fn message(data: &[u8], of: &Type, depth: usize) -> Option<Value> {
    let mut map = Map::new();
    flatten(data, of, "", &mut map, depth)?;
    Some(Value::Object(map))
}

/// Reads a message's fields into `map`; `prefix` is the path of an embedded message that JSON flattens.
fn flatten(data: &[u8], of: &Type, prefix: &str, map: &mut Map<String, Value>, depth: usize) -> Option<()> {
    if depth > DEPTH {
        return None;
    }
    for (number, item) in fields(data)? {
        let path = format!("{prefix}{number}");
        let Some(field) = of.fields.iter().find(|field| field.number == Some(path.as_str())) else {
            let inner = format!("{path}.");
            if let Item::Bytes(bytes) = item
                && of
                    .fields
                    .iter()
                    .any(|field| field.number.is_some_and(|own| own.starts_with(&inner)))
            {
                flatten(bytes, of, &inner, map, depth + 1)?;
            }
            continue;
        };
        match (&field.shape, item) {
            (Shape::List(shape), item) => {
                let list = map.entry(field.name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(value(item, shape, depth + 1)?);
            }
            (Shape::Map(shape), Item::Bytes(bytes)) => {
                let (mut key, mut entry) = (String::new(), None);
                for (number, item) in fields(bytes)? {
                    match (number, item) {
                        (1, Item::Bytes(bytes)) => key = text(bytes),
                        (2, item) => entry = Some(value(item, shape, depth + 1)?),
                        _ => {}
                    }
                }
                let entry = entry.unwrap_or_else(|| {
                    if matches!(**shape, Shape::List(_)) {
                        json!([])
                    } else {
                        json!("")
                    }
                });
                map.entry(field.name)
                    .or_insert_with(|| json!({}))
                    .as_object_mut()?
                    .insert(key, entry);
            }
            (shape, item) => {
                let value = value(item, shape, depth + 1)?;
                // Go writes zero values that it would leave out in JSON.
                let zero = value == json!("")
                    || (ZERO.contains(&field.name) && (value == json!(0) || value == json!(false)));
                if !zero {
                    map.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Some(())
}

fn value(item: Item<'_>, shape: &Shape, depth: usize) -> Option<Value> {
    Some(match (shape, item) {
        (Shape::Text, Item::Bytes(bytes)) => json!(text(bytes)),
        (Shape::Bytes, Item::Bytes(bytes)) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        (Shape::Int32 | Shape::Int64, Item::Number(number)) => json!(number.cast_signed()),
        (Shape::Bool, Item::Number(number)) => json!(number != 0),
        (Shape::Float, Item::Bytes(bytes)) => json!(f64::from_le_bytes(bytes.try_into().ok()?)),
        (Shape::Quantity, Item::Bytes(bytes)) => {
            let found = fields(bytes)?.into_iter().find_map(|(number, item)| match item {
                Item::Bytes(bytes) if number == 1 => Some(text(bytes)),
                _ => None,
            });
            json!(found.unwrap_or_else(|| "0".to_owned()))
        }
        (Shape::Time | Shape::MicroTime, Item::Bytes(bytes)) => {
            let (mut seconds, mut nanos) = (0, 0);
            for (number, item) in fields(bytes)? {
                match (number, item) {
                    (1, Item::Number(number)) => seconds = number.cast_signed(),
                    (2, Item::Number(number)) => nanos = i32::try_from(number).ok()?,
                    _ => {}
                }
            }
            if seconds == 0 {
                return Some(Value::Null);
            }
            let at = jiff::Timestamp::new(seconds, nanos).ok()?;
            let format = if matches!(shape, Shape::Time) {
                "%Y-%m-%dT%H:%M:%SZ"
            } else {
                "%Y-%m-%dT%H:%M:%S.%6fZ"
            };
            json!(at.strftime(format).to_string())
        }
        (Shape::IntOrString, Item::Bytes(bytes)) => {
            let (mut is_text, mut number, mut content) = (false, 0, String::new());
            for (field, item) in fields(bytes)? {
                match (field, item) {
                    (1, Item::Number(kind)) => is_text = kind == 1,
                    (2, Item::Number(value)) => number = value.cast_signed(),
                    (3, Item::Bytes(bytes)) => content = text(bytes),
                    _ => {}
                }
            }
            if is_text { json!(content) } else { json!(number) }
        }
        (Shape::Any, Item::Bytes(bytes)) => {
            // RawExtension, FieldsV1 and JSON all carry JSON text in their first field.
            let raw = fields(bytes)?.into_iter().find_map(|(number, item)| match item {
                Item::Bytes(bytes) if number == 1 => Some(bytes),
                _ => None,
            });
            raw.and_then(|raw| serde_json::from_slice(raw).ok())
                .unwrap_or_default()
        }
        (Shape::Type(name), Item::Bytes(bytes)) => message(bytes, schema::named(name)?, depth)?,
        (Shape::List(shape), Item::Bytes(bytes)) => {
            // A list as a map's value is a message with the items in its first field.
            let mut items = Vec::new();
            for (number, item) in fields(bytes)? {
                if number == 1 {
                    items.push(value(item, shape, depth + 1)?);
                }
            }
            Value::Array(items)
        }
        _ => return None,
    })
}

/// Reads a body, whatever built-in kind it is.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Status> {
    let refuse = |what: &str| Status::new(415, "UnsupportedMediaType", what);
    let wrong = || refuse("the protobuf body cannot be read; send application/json");
    let envelope = body.get(MAGIC.len()..).and_then(fields).ok_or_else(wrong)?;
    let (mut api_version, mut kind, mut raw): (String, String, &[u8]) = (String::new(), String::new(), &[]);
    for (number, item) in &envelope {
        match (number, item) {
            (1, Item::Bytes(bytes)) => {
                for (number, item) in fields(bytes).ok_or_else(wrong)? {
                    match (number, item) {
                        (1, Item::Bytes(bytes)) => api_version = text(bytes),
                        (2, Item::Bytes(bytes)) => kind = text(bytes),
                        _ => {}
                    }
                }
            }
            (2, Item::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let of = type_of(&api_version, &kind).ok_or_else(|| {
        refuse(&format!(
            "{kind} is not read as protobuf here; send application/json"
        ))
    })?;
    let mut value = message(raw, of, 0).ok_or_else(wrong)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(api_version));
        map.insert("kind".to_owned(), json!(kind));
    }
    Ok(value)
}

fn type_of(api_version: &str, kind: &str) -> Option<&'static Type> {
    match kind {
        "DeleteOptions" => schema::named("apis.meta.v1.DeleteOptions"),
        "Eviction" => schema::named("api.policy.v1.Eviction"),
        "Scale" => schema::named("api.autoscaling.v1.Scale"),
        "TokenRequest" => schema::named("api.authentication.v1.TokenRequest"),
        "Binding" => schema::named("api.core.v1.Binding"),
        _ => schema::of(api_version, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_review_and_refuses_rubbish() {
        let attributes = b"\x0a\x01a\x12\x03get\x2a\x04pods";
        let spec = [&[0x0a, attributes.len() as u8][..], attributes].concat();
        let raw = [&[0x12, spec.len() as u8][..], &spec].concat();
        let meta = b"\x0a\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview";
        let body = [
            MAGIC,
            &[0x0a, meta.len() as u8],
            meta,
            &[0x12, raw.len() as u8],
            &raw,
        ]
        .concat();
        let value = decode(&body).unwrap();
        assert_eq!(
            value["spec"]["resourceAttributes"],
            json!({"namespace": "a", "verb": "get", "resource": "pods"})
        );
        for cut in 5..body.len() {
            let _either = decode(&body[..cut]);
        }
        assert!(decode(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }
}
