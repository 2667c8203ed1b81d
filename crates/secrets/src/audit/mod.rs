//! Audit devices: every request and every answer is written to each of them before the client sees the answer, with
//! every text value replaced by its keyed hash. If devices exist and none can write, the request fails. Owns the
//! devices' stored table and their files.

mod entry;
mod json;
mod sink;

pub(crate) use sink::Sinks;

use crate::core::Core;
use crate::core::context::Cx;
use crate::core::keyed::{Digits, Keyed};
use crate::core::request::{Op, Request, Response};
use crate::core::token::Holder;
use crate::core::txn::Txn;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entry::{Entry, Line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sink::Added;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

const KEY: &str = "core/audit";
/// What stands before the digits of a hash.
const HASHED: &str = "hmac-sha256:";

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
    pub(crate) key: OnceLock<Keyed>,
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
    /// Whether its lines have values as they are.
    fn is_raw(&self) -> bool {
        self.option("log_raw") == Some("true")
    }

    /// Whether the records of reads are on disk as well before they are answered.
    fn syncs_all(&self) -> bool {
        self.option("sync") == Some("all")
    }

    fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// The keyed hash of a text, as this device writes it.
    pub(crate) fn hash(&self, text: &str) -> String {
        format!("{HASHED}{}", self.digits(text).as_str())
    }

    fn digits(&self, text: &str) -> Digits {
        let key = self.key.get_or_init(|| {
            let salt = zeroize::Zeroizing::new(STANDARD.decode(&self.salt).unwrap_or_default());
            Keyed::new(&salt)
        });
        key.hash(text)
    }
}

/// What has been recorded of one request, so that a repeated attempt does not record it twice.
#[derive(Default)]
pub(crate) struct Trail {
    begun: Option<Begun>,
}

/// A request whose policies were asked.
struct Begun {
    at: Timestamp,
    who: Option<Holder>,
    refused: Option<String>,
    /// Whether its line is written. One that changes nothing has happened only once it is answered, so its line may wait
    /// for the answer's.
    written: bool,
}

impl Trail {
    /// Records the request.
    pub(crate) fn request(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request,
        error: Option<&Error>,
    ) -> Result<()> {
        if self.begun.is_some() {
            return Ok(());
        }
        self.begun = Some(Begun {
            at: cx.now,
            who: cx.token.clone(),
            refused: error.map(ToString::to_string),
            written: false,
        });
        if matches!(request.op, Op::Read | Op::List) {
            Ok(())
        } else {
            self.flush(cx.core, request)
        }
    }

    /// Records a request that is refused before anybody looks who asks.
    pub(crate) fn refuse(&mut self, core: &Core, error: &Error) {
        self.begun = Some(Begun {
            at: core.clock.now(),
            who: None,
            refused: Some(error.to_string()),
            written: false,
        });
    }

    /// Writes the request's line if it was held back: before anything is stored and before anybody else is asked.
    pub(crate) fn flush(&mut self, core: &Core, request: &Request) -> Result<()> {
        let Some(begun) = self.begun.as_mut().filter(|begun| !begun.written) else {
            return Ok(());
        };
        begun.written = true;
        let lines = |entry: Entry<'_>, into: &mut Vec<u8>| entry.write(into, &[begun.line()]);
        add(core, request, begun.who.as_ref(), lines)?.map_or(Ok(()), |added| added.settled_now())
    }

    /// Records the answer; the client may see it only after this.
    pub(crate) async fn response(
        &mut self,
        core: &Core,
        request: &Request,
        outcome: &Result<Response>,
    ) -> Result<()> {
        let Some(begun) = &self.begun else { return Ok(()) };
        let error = outcome.as_ref().err().map(ToString::to_string);
        let answer = Line {
            kind: "response",
            at: core.clock.now(),
            response: outcome.as_ref().ok(),
            error: error.as_deref(),
        };
        let added = add(core, request, begun.who.as_ref(), |entry, into| {
            if begun.written {
                entry.write(into, &[answer])
            } else {
                entry.write(into, &[begun.line(), answer])
            }
        })?;
        match added {
            Some(added) => {
                added.settled().await?;
                // What changed something is not acknowledged before its record is on disk. Reads wait only if a device
                // asks for it: they are fifty times as many as a disk can sync.
                if begun.written || core.sinks.devices().values().any(Device::syncs_all) {
                    core.sinks.on_disk().await?;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Begun {
    fn line(&self) -> Line<'_> {
        Line {
            kind: "request",
            at: self.at,
            response: None,
            error: self.refused.as_deref(),
        }
    }
}

thread_local! {
    /// Where lines are made before they are added to those of others, device by device.
    static LINES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Hands lines to the present devices, if there are any.
fn add<'c>(
    core: &'c Core,
    request: &Request,
    who: Option<&Holder>,
    write: impl Fn(Entry<'_>, &mut Vec<u8>) -> serde_json::Result<()>,
) -> Result<Option<Added<'c>>> {
    loop {
        let devices = core.sinks.devices();
        if devices.is_empty() {
            return Ok(None);
        }
        let added = LINES.with_borrow_mut(|lines| {
            lines.resize_with(devices.len(), Vec::new);
            for (device, bytes) in devices.values().zip(&mut *lines) {
                bytes.clear();
                // Half a record is none.
                write(Entry::new(device, request, who), bytes).map_err(|_| Error::Audit)?;
            }
            Result::Ok(core.sinks.add(&devices, lines))
        })?;
        if added.is_some() {
            return Ok(added);
        }
    }
}
