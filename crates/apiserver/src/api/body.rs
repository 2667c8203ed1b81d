//! Request bodies to objects: JSON, YAML and some protobuf.

use super::proto;
use super::request::Request;
use crate::registry::Status;
use serde_json::{Value, json};

impl Request {
    /// The object in the body, of the kind this endpoint takes.
    pub(crate) fn object(&self) -> Result<Value, Status> {
        let media = self.content_type();
        let value = if proto::is_proto(&self.body) {
            proto::decode(&self.body)?
        } else if media.contains("yaml") {
            yaml(&self.body)?
        } else if media.is_empty() || media.contains("json") || media == "*/*" {
            json_of(&self.body)?
        } else {
            return Err(Status::new(
                415,
                "UnsupportedMediaType",
                format!(
                    "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml (not {media})"
                ),
            ));
        };
        if value.is_object() {
            Ok(value)
        } else {
            Err(Status::bad_request("the body is not an object"))
        }
    }

    /// The object in the body, checked against the path and completed from it.
    pub(crate) fn object_here(&self) -> Result<Value, Status> {
        let mut object = self.object()?;
        let expected = (self.resource.api_version(), self.resource.kind.as_str());
        let own = (
            herder_object::api_version(&object).to_owned(),
            herder_object::kind(&object).to_owned(),
        );
        if (!own.0.is_empty() && own.0 != expected.0) || (!own.1.is_empty() && own.1 != expected.1) {
            return Err(Status::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: no kind \"{}\" is registered for version \"{}\" here",
                own.1, own.0, expected.1, own.1, own.0
            )));
        }
        let path = &self.path;
        let namespace = herder_object::namespace(&object);
        if self.resource.namespaced && !namespace.is_empty() && namespace != path.namespace {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request ({namespace} is not {})",
                path.namespace
            )));
        }
        let name = herder_object::name(&object);
        if !path.name.is_empty() && !name.is_empty() && name != path.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                path.name
            )));
        }
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".to_owned(), json!(expected.0));
            map.insert("kind".to_owned(), json!(expected.1));
            let metadata = map.entry("metadata").or_insert_with(|| json!({}));
            let metadata = metadata
                .as_object_mut()
                .ok_or_else(|| Status::bad_request("metadata is not an object"))?;
            if self.resource.namespaced {
                metadata.insert("namespace".to_owned(), json!(path.namespace));
            }
            if !path.name.is_empty() && path.subresource.is_empty() {
                metadata.insert("name".to_owned(), json!(path.name));
            }
        }
        Ok(object)
    }
}

pub(crate) fn json_of(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("the body is not valid JSON: {error}")))
}

pub(crate) fn yaml(body: &[u8]) -> Result<Value, Status> {
    let text = std::str::from_utf8(body).map_err(|_| Status::bad_request("the body is not UTF-8"))?;
    // Most clients send JSON under this type, and all JSON is YAML.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    yaml_text(text)
}

fn yaml_text(text: &str) -> Result<Value, Status> {
    let refuse =
        |error: &dyn std::fmt::Display| Status::bad_request(format!("the body is not valid YAML: {error}"));
    let (mut objects, errors) = herder_object::yaml::parse_objects(text);
    if let Some(error) = errors.first() {
        return Err(refuse(error));
    }
    match (objects.pop(), objects.is_empty()) {
        (Some((only, _)), true) => Ok(only),
        _ => Err(refuse(&"one object is expected")),
    }
}
