//! The audit lines of one request. Texts are hashed, numbers and flags are not; tokens never appear in clear. Owns no
//! file.

use super::json::{self, Object};
use super::{Device, HASHED};
use crate::core::request::{Auth, Request, Response, Wrap};
use crate::core::token::Holder;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Result, Value};

/// One line, without what all lines of a request say alike.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// `request` or `response`.
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) response: Option<&'a Response>,
    pub(crate) error: Option<&'a str>,
}

/// What all lines of a request say alike, for one device.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    device: &'a Device,
    /// Whether values are shown as they are, and accessors hashed.
    raw: bool,
    accessors: bool,
    request: &'a Request,
    who: Option<&'a Holder>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(device: &'a Device, request: &'a Request, who: Option<&'a Holder>) -> Self {
        Self {
            device,
            raw: device.is_raw(),
            accessors: device.option("hmac_accessor") != Some("false"),
            request,
            who,
        }
    }

    /// Appends lines, each with its end.
    pub(crate) fn write(self, out: &mut Vec<u8>, lines: &[Line<'_>]) -> Result<()> {
        let mut common = None;
        for line in lines {
            out.extend_from_slice(self.device.option("prefix").unwrap_or_default().as_bytes());
            let mut whole = Object::begin(out);
            time(whole.member("time")?, line.at);
            whole.text("type", line.kind)?;
            if let Some(written) = common.clone() {
                out.extend_from_within(written);
            } else {
                let start = out.len();
                self.common(out)?;
                common = Some(start..out.len());
            }
            if let Some(response) = line.response {
                out.extend_from_slice(b",\"response\":");
                self.response(out, response)?;
            }
            if let Some(error) = line.error {
                out.extend_from_slice(b",\"error\":");
                json::text(out, error)?;
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn common(self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b",\"auth\":");
        match self.who {
            Some(who) => self.holder(out, who)?,
            None => out.extend_from_slice(b"null"),
        }
        let request = self.request;
        out.extend_from_slice(b",\"request\":");
        let mut map = Object::begin(out);
        map.text("id", &request.id)?;
        map.text("operation", request.op.word())?;
        map.text("path", request.asked())?;
        match &request.token {
            Some(token) => self.text(map.member("client_token")?, token)?,
            None => map.value("client_token", &())?,
        }
        self.hashed(map.member("data")?, &request.data)?;
        map.value("remote_address", &request.remote)?;
        map.value("wrap_ttl", &request.wrap_ttl)?;
        map.end();
        Ok(())
    }

    fn holder(self, out: &mut Vec<u8>, who: &Holder) -> Result<()> {
        let token = &who.token;
        let mut map = Object::begin(out);
        self.accessor(map.member("accessor")?, &token.accessor)?;
        map.text("display_name", &token.display_name)?;
        map.value("policies", &token.policies)?;
        map.value("token_policies", &token.policies)?;
        map.value("metadata", &token.meta)?;
        map.text("entity_id", &token.entity_id)?;
        map.text("token_type", if token.batch { "batch" } else { "service" })?;
        map.value("token_ttl", &token.ttl)?;
        time(map.member("token_issue_time")?, token.created);
        map.end();
        Ok(())
    }

    fn response(self, out: &mut Vec<u8>, response: &Response) -> Result<()> {
        let mut map = Object::begin(out);
        if let Some(data) = &response.data {
            self.hashed(map.member("data")?, data)?;
        }
        if let Some(auth) = &response.auth {
            self.auth(map.member("auth")?, auth)?;
        }
        if let Some(lease) = &response.lease {
            let mut secret = Object::begin(map.member("secret")?);
            secret.text("lease_id", &lease.id)?;
            secret.end();
        }
        if let Some(wrap) = &response.wrap {
            self.wrap(map.member("wrap_info")?, wrap)?;
        }
        map.end();
        Ok(())
    }

    fn auth(self, out: &mut Vec<u8>, auth: &Auth) -> Result<()> {
        let mut map = Object::begin(out);
        self.text(map.member("client_token")?, &auth.client_token)?;
        self.text(map.member("accessor")?, &auth.accessor)?;
        map.value("policies", &auth.policies)?;
        map.value("metadata", &auth.metadata)?;
        map.text("token_type", &auth.token_type)?;
        map.end();
        Ok(())
    }

    fn wrap(self, out: &mut Vec<u8>, wrap: &Wrap) -> Result<()> {
        let mut map = Object::begin(out);
        self.text(map.member("token")?, &wrap.token)?;
        self.text(map.member("accessor")?, &wrap.accessor)?;
        map.value("ttl", &wrap.ttl)?;
        map.text("creation_time", &wrap.creation_time)?;
        map.text("creation_path", &wrap.creation_path)?;
        map.end();
        Ok(())
    }

    /// A map with every text in it hashed, at any depth.
    fn hashed(self, out: &mut Vec<u8>, data: &Map<String, Value>) -> Result<()> {
        let mut map = Object::begin(out);
        for (key, value) in data {
            self.hashed_value(map.member(key)?, value)?;
        }
        map.end();
        Ok(())
    }

    fn hashed_value(self, out: &mut Vec<u8>, value: &Value) -> Result<()> {
        match value {
            Value::String(text) => self.text(out, text),
            Value::Object(map) => self.hashed(out, map),
            Value::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.hashed_value(out, item)?;
                }
                out.push(b']');
                Ok(())
            }
            other => json::value(out, other),
        }
    }

    /// A text hashed with the device's key, unless the device shows all.
    fn text(self, out: &mut Vec<u8>, text: &str) -> Result<()> {
        if self.raw {
            return json::text(out, text);
        }
        out.push(b'"');
        out.extend_from_slice(HASHED.as_bytes());
        out.extend_from_slice(self.device.digits(text).as_str().as_bytes());
        out.push(b'"');
        Ok(())
    }

    fn accessor(self, out: &mut Vec<u8>, text: &str) -> Result<()> {
        if self.accessors {
            self.text(out, text)
        } else {
            json::text(out, text)
        }
    }
}

/// RFC 3339 in quotes.
fn time(out: &mut Vec<u8>, at: Timestamp) {
    out.push(b'"');
    // Writing into memory cannot fail.
    let _ = DateTimePrinter::new().print_timestamp(&at, &mut *out);
    out.push(b'"');
}
