//! One audit line. Texts are hashed, numbers and flags are not; tokens never appear in clear. Written straight into
//! bytes, because every request costs two lines. Owns no file.

use super::Device;
use crate::Error;
use crate::core::context::Cx;
use crate::core::request::{Auth, Lease, Request, Response, Wrap};
use crate::core::token::Holder;
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

/// The request's token, without the token.
pub(crate) type Who = Option<Holder>;

/// Who a request's lines name.
pub(crate) fn holder(cx: &Cx<'_>) -> Who {
    cx.token.clone()
}

/// How one device shows texts.
#[derive(Clone, Copy)]
struct Show<'a> {
    device: &'a Device,
    raw: bool,
    accessor: bool,
}

impl<'a> Show<'a> {
    fn text(self, text: &'a str) -> Text<'a> {
        Text {
            device: (!self.raw).then_some(self.device),
            text,
        }
    }

    fn accessor(self, text: &'a str) -> Text<'a> {
        if self.accessor {
            self.text(text)
        } else {
            Text { device: None, text }
        }
    }
}

/// A text as the line has it: hashed with the device's key, or as it is.
struct Text<'a> {
    device: Option<&'a Device>,
    text: &'a str,
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.device {
            Some(device) => device.with_hash(self.text, |hash| to.serialize_str(hash)),
            None => to.serialize_str(self.text),
        }
    }
}

fn show_of(device: &Device) -> Show<'_> {
    let option = |key: &str| device.options.get(key).map(String::as_str);
    Show {
        device,
        raw: option("log_raw") == Some("true"),
        accessor: option("hmac_accessor") != Some("false"),
    }
}

/// What both lines of a request say alike, as JSON members without the braces around them; empty if it cannot be made.
pub(crate) fn common(device: &Device, request: &Request, auth: &Who) -> Vec<u8> {
    let show = show_of(device);
    let mut bytes = Vec::with_capacity(1024);
    let mut write = || -> Result<(), serde_json::Error> {
        bytes.extend_from_slice(b"\"auth\":");
        serde_json::to_writer(&mut bytes, &auth.as_ref().map(|auth| Holding(show, auth)))?;
        bytes.extend_from_slice(b",\"request\":");
        serde_json::to_writer(&mut bytes, &Asked(show, request))
    };
    match write() {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The line, without its end; empty if there is none.
pub(crate) fn line(
    kind: &str,
    device: &Device,
    now: Timestamp,
    common: &[u8],
    response: Option<&Response>,
    error: Option<&Error>,
) -> Vec<u8> {
    if common.is_empty() {
        return Vec::new();
    }
    let show = show_of(device);
    let mut bytes = Vec::with_capacity(common.len() + 768);
    if let Some(prefix) = device.options.get("prefix") {
        bytes.extend_from_slice(prefix.as_bytes());
    }
    let mut write = || -> Result<(), serde_json::Error> {
        bytes.extend_from_slice(b"{\"time\":");
        serde_json::to_writer(&mut bytes, &now)?;
        bytes.extend_from_slice(b",\"type\":");
        serde_json::to_writer(&mut bytes, kind)?;
        bytes.push(b',');
        bytes.extend_from_slice(common);
        if let Some(response) = response {
            bytes.extend_from_slice(b",\"response\":");
            serde_json::to_writer(&mut bytes, &Answered(show, response))?;
        }
        if let Some(error) = error {
            bytes.extend_from_slice(b",\"error\":");
            serde_json::to_writer(&mut bytes, &error.to_string())?;
        }
        bytes.push(b'}');
        Ok(())
    };
    match write() {
        Ok(()) => bytes,
        // Half a line is none: the device then counts as one that could not record.
        Err(_) => Vec::new(),
    }
}

struct Holding<'a>(Show<'a>, &'a Holder);

impl Serialize for Holding<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (show, token) = (self.0, &self.1.token);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("accessor", &show.accessor(&token.accessor))?;
        map.serialize_entry("display_name", &token.display_name)?;
        map.serialize_entry("policies", &token.policies)?;
        map.serialize_entry("token_policies", &token.policies)?;
        map.serialize_entry("metadata", &token.meta)?;
        map.serialize_entry("entity_id", &token.entity_id)?;
        map.serialize_entry("token_type", if token.batch { "batch" } else { "service" })?;
        map.serialize_entry("token_ttl", &token.ttl)?;
        map.serialize_entry("token_issue_time", &token.created)?;
        map.end()
    }
}

struct Asked<'a>(Show<'a>, &'a Request);

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (show, request) = (self.0, self.1);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &request.id)?;
        map.serialize_entry("operation", request.op.word())?;
        map.serialize_entry("path", &request.path)?;
        map.serialize_entry(
            "client_token",
            &request.token.as_ref().map(|token| show.text(token)),
        )?;
        map.serialize_entry("data", &Hashed(show, &request.data))?;
        map.serialize_entry("remote_address", &request.remote)?;
        map.serialize_entry("wrap_ttl", &request.wrap_ttl)?;
        map.end()
    }
}

struct Answered<'a>(Show<'a>, &'a Response);

impl Serialize for Answered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (show, response) = (self.0, self.1);
        let mut map = to.serialize_map(None)?;
        if let Some(data) = &response.data {
            map.serialize_entry("data", &Hashed(show, data))?;
        }
        if let Some(auth) = &response.auth {
            map.serialize_entry("auth", &Given(show, auth))?;
        }
        if let Some(lease) = &response.lease {
            map.serialize_entry("secret", &Leased(lease))?;
        }
        if let Some(wrap) = &response.wrap {
            map.serialize_entry("wrap_info", &Wrapped(show, wrap))?;
        }
        map.end()
    }
}

struct Given<'a>(Show<'a>, &'a Auth);

impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (show, auth) = (self.0, self.1);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("client_token", &show.text(&auth.client_token))?;
        map.serialize_entry("accessor", &show.text(&auth.accessor))?;
        map.serialize_entry("policies", &auth.policies)?;
        map.serialize_entry("metadata", &auth.metadata)?;
        map.serialize_entry("token_type", &auth.token_type)?;
        map.end()
    }
}

struct Leased<'a>(&'a Lease);

impl Serialize for Leased<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        map.serialize_entry("lease_id", &self.0.id)?;
        map.end()
    }
}

struct Wrapped<'a>(Show<'a>, &'a Wrap);

impl Serialize for Wrapped<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (show, wrap) = (self.0, self.1);
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("token", &show.text(&wrap.token))?;
        map.serialize_entry("accessor", &show.text(&wrap.accessor))?;
        map.serialize_entry("ttl", &wrap.ttl)?;
        map.serialize_entry("creation_time", &wrap.creation_time)?;
        map.serialize_entry("creation_path", &wrap.creation_path)?;
        map.end()
    }
}

/// A map with every text in it hashed, at any depth.
struct Hashed<'a>(Show<'a>, &'a Map<String, Value>);

impl Serialize for Hashed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.1.len()))?;
        for (key, value) in self.1 {
            map.serialize_entry(key, &HashedValue(self.0, value))?;
        }
        map.end()
    }
}

struct HashedValue<'a>(Show<'a>, &'a Value);

impl Serialize for HashedValue<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Value::String(text) => self.0.text(text).serialize(to),
            Value::Array(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&HashedValue(self.0, item))?;
                }
                list.end()
            }
            Value::Object(map) => Hashed(self.0, map).serialize(to),
            other => other.serialize(to),
        }
    }
}
