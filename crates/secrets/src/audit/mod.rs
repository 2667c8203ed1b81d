//! Audit devices: every request and every answer is written to each of them before the client sees the answer, with
//! every text value replaced by its keyed hash. If devices exist and none can write, the request fails. Owns the
//! devices' stored table and their files.

mod entry;
mod sink;

pub(crate) use sink::Sinks;

use crate::core::Core;
use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};
use crate::core::txn::Txn;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

const KEY: &str = "core/audit";

/// A device as stored.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub(crate) struct Device {
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) local: bool,
    pub(crate) salt: String,
    /// Made from the salt at first use: every text of every line needs it.
    #[serde(skip)]
    pub(crate) key: OnceLock<aws_lc_rs::hmac::Key>,
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
        self.with_hash(text, str::to_owned)
    }

    /// The same without an allocation: a line may hold dozens of hashes.
    fn with_hash<T>(&self, text: &str, use_it: impl FnOnce(&str) -> T) -> T {
        let key = self.key.get_or_init(|| {
            let salt = zeroize::Zeroizing::new(STANDARD.decode(&self.salt).unwrap_or_default());
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &salt)
        });
        let tag = aws_lc_rs::hmac::sign(key, text.as_bytes());
        let mut digits = *b"hmac-sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (pair, byte) in digits
            .get_mut(12..)
            .unwrap_or_default()
            .chunks_exact_mut(2)
            .zip(tag.as_ref())
        {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 {
                    b'0' + nibble
                } else {
                    b'a' + nibble - 10
                };
            }
        }
        // Digits are ASCII; an empty text instead would show in every test.
        use_it(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// What has been recorded of one request, so that a repeated attempt does not record it twice.
#[derive(Default)]
pub(crate) struct Trail {
    requested: bool,
    auth: entry::Who,
    /// The request's lines, if they may wait for the answer's: a request that changes nothing has happened only once
    /// it is answered.
    held: Option<sink::Lines>,
    /// What both lines have alike, by device.
    common: Vec<(String, Vec<u8>)>,
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
        self.auth = entry::holder(cx);
        let devices = cx.core.sinks.devices();
        self.common = devices
            .iter()
            .map(|(path, device)| (path.clone(), entry::common(device, request, &self.auth)))
            .collect();
        let lines = sink::Lines::of(&devices, |path, device| {
            entry::line("request", device, cx.now, self.common(path), None, error)
        });
        self.held = Some(lines);
        if matches!(request.op, Op::Read | Op::List) {
            Ok(())
        } else {
            self.flush(cx.core)
        }
    }

    fn common(&self, path: &str) -> &[u8] {
        self.common
            .iter()
            .find(|(there, _)| there == path)
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default()
    }

    /// Writes what was held back: before anything is stored and before anybody else is asked.
    pub(crate) fn flush(&mut self, core: &Core) -> Result<()> {
        self.held.take().map_or(Ok(()), |lines| core.sinks.write(&lines))
    }

    /// Records the answer; the client may see it only after this.
    pub(crate) fn response(
        &mut self,
        core: &Core,
        request: &Request,
        outcome: &Result<Response>,
    ) -> Result<()> {
        if core.sinks.is_empty() || !self.requested {
            return Ok(());
        }
        let now = core.clock.now();
        let devices = core.sinks.devices();
        for (path, device) in devices.iter() {
            // Enabled by this very request.
            if !self.common.iter().any(|(there, _)| there == path) {
                self.common
                    .push((path.clone(), entry::common(device, request, &self.auth)));
            }
        }
        let lines = sink::Lines::of(&devices, |path, device| {
            entry::line(
                "response",
                device,
                now,
                self.common(path),
                outcome.as_ref().ok(),
                outcome.as_ref().err(),
            )
        });
        let lines = match self.held.take() {
            Some(held) => held.followed_by(lines),
            None => lines,
        };
        core.sinks.write(&lines)
    }
}
