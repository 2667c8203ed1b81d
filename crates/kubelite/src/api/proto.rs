//! Just enough protobuf to read the bodies kubectl sends in it: access reviews, token requests and evictions.

use crate::registry::Status;
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

/// What a field of a message is.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Int,
    Bool,
    Message(&'static [Rule]),
    /// `map<string, T>` of messages with one repeated string.
    TextLists,
    /// `map<string, string>`.
    TextMap,
}

type Rule = (u64, &'static str, Kind);

const OBJECT_META: &[Rule] = &[
    (1, "name", Kind::Text),
    (2, "generateName", Kind::Text),
    (3, "namespace", Kind::Text),
    (5, "uid", Kind::Text),
    (11, "labels", Kind::TextMap),
    (12, "annotations", Kind::TextMap),
];
const RESOURCE: &[Rule] = &[
    (1, "namespace", Kind::Text),
    (2, "verb", Kind::Text),
    (3, "group", Kind::Text),
    (4, "version", Kind::Text),
    (5, "resource", Kind::Text),
    (6, "subresource", Kind::Text),
    (7, "name", Kind::Text),
];
const PATH: &[Rule] = &[(1, "path", Kind::Text), (2, "verb", Kind::Text)];
const SELF_ACCESS: &[Rule] = &[
    (1, "resourceAttributes", Kind::Message(RESOURCE)),
    (2, "nonResourceAttributes", Kind::Message(PATH)),
];
const ACCESS: &[Rule] = &[
    (1, "resourceAttributes", Kind::Message(RESOURCE)),
    (2, "nonResourceAttributes", Kind::Message(PATH)),
    (3, "user", Kind::Text),
    (4, "groups", Kind::Texts),
    (5, "extra", Kind::TextLists),
    (6, "uid", Kind::Text),
];
const RULES: &[Rule] = &[(1, "namespace", Kind::Text)];
const BOUND: &[Rule] = &[
    (1, "kind", Kind::Text),
    (2, "apiVersion", Kind::Text),
    (3, "name", Kind::Text),
    (4, "uid", Kind::Text),
];
const TOKEN_REQUEST: &[Rule] = &[
    (1, "audiences", Kind::Texts),
    (3, "boundObjectRef", Kind::Message(BOUND)),
    (4, "expirationSeconds", Kind::Int),
];
const TOKEN_REVIEW: &[Rule] = &[(1, "token", Kind::Text), (2, "audiences", Kind::Texts)];
const DELETE: &[Rule] = &[
    (1, "gracePeriodSeconds", Kind::Int),
    (3, "orphanDependents", Kind::Bool),
    (4, "propagationPolicy", Kind::Text),
    (5, "dryRun", Kind::Texts),
];
const SECRET: &[Rule] = &[
    (1, "metadata", Kind::Message(OBJECT_META)),
    (3, "type", Kind::Text),
    (4, "stringData", Kind::TextMap),
];
const NAMESPACE: &[Rule] = &[(1, "metadata", Kind::Message(OBJECT_META))];

macro_rules! with_spec {
    ($spec:expr) => {
        &[
            (1, "metadata", Kind::Message(OBJECT_META)),
            (2, "spec", Kind::Message($spec)),
        ]
    };
}

fn rules(kind: &str) -> Option<&'static [Rule]> {
    Some(match kind {
        "SelfSubjectAccessReview" => with_spec!(SELF_ACCESS),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => with_spec!(ACCESS),
        "SelfSubjectRulesReview" => with_spec!(RULES),
        "TokenRequest" => with_spec!(TOKEN_REQUEST),
        "TokenReview" => with_spec!(TOKEN_REVIEW),
        "SelfSubjectReview" | "Namespace" | "ServiceAccount" => NAMESPACE,
        "Eviction" => &[
            (1, "metadata", Kind::Message(OBJECT_META)),
            (2, "deleteOptions", Kind::Message(DELETE)),
        ],
        "DeleteOptions" => DELETE,
        "Secret" => SECRET,
        _ => return None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn message(data: &[u8], rules: &[Rule]) -> Option<Value> {
    let mut map = Map::new();
    for (number, item) in fields(data)? {
        let Some((_, name, kind)) = rules.iter().find(|(own, ..)| *own == number) else {
            continue;
        };
        match (kind, item) {
            (Kind::Text, Item::Bytes(bytes)) => {
                if !bytes.is_empty() {
                    map.insert((*name).to_owned(), json!(text(bytes)));
                }
            }
            (Kind::Texts, Item::Bytes(bytes)) => {
                let list = map.entry(*name).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(json!(text(bytes)));
            }
            (Kind::Int, Item::Number(number)) => {
                map.insert((*name).to_owned(), json!(number.cast_signed()));
            }
            (Kind::Bool, Item::Number(number)) => {
                map.insert((*name).to_owned(), json!(number != 0));
            }
            (Kind::Message(rules), Item::Bytes(bytes)) => {
                map.insert((*name).to_owned(), message(bytes, rules)?);
            }
            (Kind::TextMap | Kind::TextLists, Item::Bytes(bytes)) => {
                let entry = message(bytes, &[(1, "key", Kind::Text), (2, "value", Kind::Text)])?;
                let key = entry
                    .get("key")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                let value = if matches!(kind, Kind::TextLists) {
                    let lists = fields(bytes)?;
                    let items = lists.into_iter().find_map(|(number, item)| match item {
                        Item::Bytes(bytes) if number == 2 => message(bytes, &[(1, "items", Kind::Texts)]),
                        _ => None,
                    });
                    items
                        .and_then(|items| items.get("items").cloned())
                        .unwrap_or_else(|| json!([]))
                } else {
                    entry.get("value").cloned().unwrap_or_else(|| json!(""))
                };
                map.entry(*name)
                    .or_insert_with(|| json!({}))
                    .as_object_mut()?
                    .insert(key, value);
            }
            _ => return None,
        }
    }
    Some(Value::Object(map))
}

/// Reads a body. `kind` is what the endpoint takes.
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
    let rules = rules(&kind).ok_or_else(|| {
        refuse(&format!(
            "{kind} is not read as protobuf here; send application/json"
        ))
    })?;
    let mut value = message(raw, rules).ok_or_else(wrong)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(api_version));
        map.insert("kind".to_owned(), json!(kind));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_review_and_refuses_rubbish() {
        let attributes = b"\x0a\x01a\x12\x03get\x2a\x04pods";
        let spec = [&[0x0a, attributes.len() as u8][..], attributes].concat();
        let raw = [&[0x12, spec.len() as u8][..], &spec].concat();
        let meta = b"\x0a\x02v1\x12\x17SelfSubjectAccessReview";
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
