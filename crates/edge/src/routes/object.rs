//! Reading the few fields that matter from Kubernetes objects, without trusting any of them.

use serde_json::Value;

/// A string at a JSON pointer, empty if there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list at a JSON pointer.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A port's number or name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PortRef {
    Number(u16),
    Name(String),
}

impl PortRef {
    /// `service.port` of an Ingress backend.
    pub(super) fn of(backend: &Value) -> Option<Self> {
        let number = backend.pointer("/service/port/number").and_then(Value::as_u64);
        match (
            number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
            text(backend, "/service/port/name"),
        ) {
            (Some(number), _) => Some(Self::Number(number)),
            (None, "") => None,
            (None, name) => Some(Self::Name(name.to_owned())),
        }
    }
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
