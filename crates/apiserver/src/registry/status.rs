//! Kubernetes' error value: what the API answers, and what registry callers get.

use super::Resource;
pub use herder_object::Cause;
use serde_json::{Value, json};
use std::fmt;

/// A refusal, as `metav1.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason such as `NotFound`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Name of the object.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource (or kind, for `Invalid`).
    pub kind: String,
    /// Details per field.
    pub causes: Vec<Cause>,
    /// When to come again.
    pub retry_after: Option<u32>,
}

impl std::error::Error for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Status {
    /// A refusal without details.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            causes: Vec::new(),
            retry_after: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.group.clone_from(&resource.group);
        self.kind.clone_from(&resource.plural);
        self
    }

    /// There is no such object.
    #[must_use]
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.name)).about(resource, name)
    }

    /// There is one already.
    #[must_use]
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", resource.name),
        )
        .about(resource, name)
    }

    /// The object has changed since it was read, or a precondition does not hold.
    #[must_use]
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {why}",
                resource.name
            ),
        )
        .about(resource, name)
    }

    /// The object breaks rules.
    #[must_use]
    pub fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let list: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let text = match list.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let mut status = Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {text}"));
        name.clone_into(&mut status.name);
        status.group.clone_from(&resource.group);
        status.kind.clone_from(&resource.kind);
        status.causes = causes;
        status
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Not allowed, for a reason that is not authorization.
    #[must_use]
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(
            403,
            "Forbidden",
            format!("{} \"{name}\" is forbidden: {why}", resource.name),
        )
        .about(resource, name)
    }

    /// Something here failed.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// A watch or continue token that is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// Whether this is a 404.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Whether this is a failed optimistic lock or precondition.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether this is "exists already".
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// As the JSON answer.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        let mut details = serde_json::Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                details.insert(key.to_owned(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes: Vec<Value> = self
                .causes
                .iter()
                .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
                .collect();
            details.insert("causes".to_owned(), json!(causes));
        }
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        if !details.is_empty()
            && let Some(status) = status.as_object_mut()
        {
            status.insert("details".to_owned(), Value::Object(details));
        }
        status
    }
}
