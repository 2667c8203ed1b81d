//! Audit devices: every request and every answer is written to each of them before the client sees the answer, with
//! every text value replaced by its keyed hash. If devices exist and none can write, the request fails. Owns the
//! devices' stored table and their files.

mod entry;
mod sink;

pub(crate) use sink::Sinks;

use crate::core::Core;
use crate::core::context::Cx;
use crate::core::request::{Request, Response};
use crate::core::txn::Txn;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const KEY: &str = "core/audit";

/// A device as stored.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub(crate) struct Device {
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) local: bool,
    pub(crate) salt: String,
}

/// All devices by path, with a final slash.
pub(crate) type Devices = BTreeMap<String, Device>;

/// The stored table.
pub(crate) fn load(txn: &mut Txn<'_>) -> Result<Devices> {
    Ok(txn.get(KEY)?.unwrap_or_default())
}

/// Stores the table.
pub(crate) fn save(txn: &mut Txn<'_>, devices: &Devices) -> Result<()> {
    txn.put(KEY, devices)
}

impl Device {
    /// The keyed hash of a text, as this device writes it.
    pub(crate) fn hash(&self, text: &str) -> String {
        let salt = STANDARD.decode(&self.salt).unwrap_or_default();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &salt);
        format!(
            "hmac-sha256:{}",
            hex::encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()))
        )
    }
}

/// What has been recorded of one request, so that a repeated attempt does not record it twice.
#[derive(Default)]
pub(crate) struct Trail {
    requested: bool,
    auth: Option<serde_json::Value>,
}

impl Trail {
    /// Records the request.
    pub(crate) fn request(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request,
        error: Option<&Error>,
    ) -> Result<()> {
        if self.requested {
            return Ok(());
        }
        self.requested = true;
        if cx.core.sinks.is_empty() {
            return Ok(());
        }
        let auth = entry::holder(cx);
        let devices = cx.core.sinks.devices();
        let result = cx.core.sinks.write(&devices, |device| {
            entry::line("request", device, cx.now, request, &auth, None, error)
        });
        self.auth = Some(auth);
        result
    }

    /// Records the answer; the client may see it only after this.
    pub(crate) fn response(&self, core: &Core, request: &Request, outcome: &Result<Response>) -> Result<()> {
        if core.sinks.is_empty() || !self.requested {
            return Ok(());
        }
        let devices = core.sinks.devices();
        let empty = serde_json::Value::Null;
        let auth = self.auth.as_ref().unwrap_or(&empty);
        let now = core.clock.now();
        core.sinks.write(&devices, |device| {
            entry::line(
                "response",
                device,
                now,
                request,
                auth,
                outcome.as_ref().ok(),
                outcome.as_ref().err(),
            )
        })
    }
}
