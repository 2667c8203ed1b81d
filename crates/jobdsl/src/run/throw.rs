//! How a script stops: something thrown, something missing, or a limit.

use super::value::Value;
use crate::syntax::Name;

/// What stops a script, and where.
#[derive(Clone)]
pub(crate) struct Throw {
    pub(crate) kind: ThrowKind,
    /// File and byte offset, as soon as they are known.
    pub(crate) at: Option<(Name, u32)>,
}

/// Why a script stops.
#[derive(Clone)]
pub(crate) enum ThrowKind {
    /// There is no such method; of what, with which arguments.
    NoMethod { name: Name, of: String, args: String },
    /// There is no such property or variable.
    NoProperty { name: Name, of: String },
    /// Anything the script may catch.
    Exception(Value),
    /// The script may not catch these.
    Limit(String),
}

impl Throw {
    pub(crate) fn exception(class: &str, message: impl Into<String>) -> Self {
        let exception = super::value::Exception {
            class: class.into(),
            message: Value::text(message.into()),
        };
        Self {
            kind: ThrowKind::Exception(Value::Exception(std::rc::Rc::new(exception))),
            at: None,
        }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self {
            kind: ThrowKind::Limit(message.into()),
            at: None,
        }
    }

    pub(crate) fn no_method(name: &str, of: impl Into<String>, args: &[Value]) -> Self {
        let args: Vec<String> = args.iter().map(Value::class_name).collect();
        Self {
            kind: ThrowKind::NoMethod {
                name: name.into(),
                of: of.into(),
                args: args.join(", "),
            },
            at: None,
        }
    }

    pub(crate) fn no_property(name: &str, of: impl Into<String>) -> Self {
        Self {
            kind: ThrowKind::NoProperty {
                name: name.into(),
                of: of.into(),
            },
            at: None,
        }
    }

    /// Says where, unless that is known already.
    pub(crate) fn or_at(mut self, source: &Name, at: u32) -> Self {
        self.at.get_or_insert_with(|| (source.clone(), at));
        self
    }

    pub(crate) fn message(&self) -> String {
        match &self.kind {
            ThrowKind::NoMethod { name, of, args } => format!("{of} has no method `{name}({args})`"),
            ThrowKind::NoProperty { name, of } => format!("{of} has no property `{name}`"),
            ThrowKind::Exception(value) => match value {
                Value::Exception(exception) => match &exception.message {
                    Value::Null => exception.class.to_string(),
                    message => format!("{}: {}", exception.class, message.show()),
                },
                Value::Object(object) => {
                    let message = object.fields.borrow().get("message").map(Value::show);
                    format!("{}: {}", object.class.name, message.unwrap_or_default())
                }
                other => other.show(),
            },
            ThrowKind::Limit(message) => message.clone(),
        }
    }
}
