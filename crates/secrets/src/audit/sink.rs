//! The open files of the audit devices. Owns file handles; knows nothing of entries.

use super::{Device, Devices};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

enum Sink {
    File(File),
    Stdout,
    Discard,
}

/// The sinks by device path.
pub(crate) struct Sinks {
    open: Mutex<BTreeMap<String, Sink>>,
    devices: RwLock<Arc<Devices>>,
    empty: AtomicBool,
}

impl Default for Sinks {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            devices: RwLock::default(),
            empty: AtomicBool::new(true),
        }
    }
}

impl Sinks {
    pub(crate) fn is_empty(&self) -> bool {
        self.empty.load(Ordering::Acquire)
    }

    pub(crate) fn devices(&self) -> Arc<Devices> {
        Arc::clone(&self.devices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens what is new, closes what is gone. A file that cannot be opened refuses the change.
    pub(crate) fn replace(&self, devices: &Devices) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for (path, device) in devices {
            let sink = match open.remove(path) {
                Some(sink) => sink,
                None => Sink::open(device)?,
            };
            next.insert(path.clone(), sink);
        }
        *open = next;
        *self.devices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(devices.clone());
        self.empty.store(devices.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Opens every file once, to refuse a device that cannot work.
    pub(crate) fn probe(&self, devices: &Devices) -> Result<()> {
        devices
            .values()
            .try_for_each(|device| Sink::open(device).map(drop))
    }

    pub(crate) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.devices.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        self.empty.store(true, Ordering::Release);
    }

    /// Opens the files anew, after somebody rotated them.
    pub(crate) fn reopen(&self) -> Result<()> {
        let devices = self.devices();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.replace(&devices)
    }

    /// Writes to every device; one success is enough, none is an error.
    pub(crate) fn write(&self, lines: &Lines) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = false;
        for (path, bytes) in lines.0.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let result = match open.get_mut(path) {
                Some(Sink::File(file)) => file.write_all(bytes),
                Some(Sink::Stdout) => std::io::stdout().lock().write_all(bytes),
                Some(Sink::Discard) => Ok(()),
                None => continue,
            };
            match result {
                Ok(()) => written = true,
                Err(error) => tracing::error!(device = path, %error, "an audit device cannot be written"),
            }
        }
        if written { Ok(()) } else { Err(Error::Audit) }
    }
}

/// Lines by device; an empty one could not be made.
pub(crate) struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    /// What every device is to record.
    pub(crate) fn of(devices: &Devices, line: impl Fn(&str, &Device) -> Vec<u8>) -> Self {
        Self(
            devices
                .iter()
                .map(|(path, device)| {
                    let mut bytes = line(path, device);
                    if !bytes.is_empty() {
                        bytes.push(b'\n');
                    }
                    (path.clone(), bytes)
                })
                .collect(),
        )
    }

    /// These and then others, as one write per device.
    pub(crate) fn followed_by(mut self, next: Self) -> Self {
        for (path, bytes) in next.0 {
            match self.0.iter_mut().find(|(there, _)| *there == path) {
                // One without the other is no record.
                Some((_, before)) if before.is_empty() || bytes.is_empty() => before.clear(),
                Some((_, before)) => before.extend_from_slice(&bytes),
                None => self.0.push((path, bytes)),
            }
        }
        self
    }
}

impl Sink {
    fn open(device: &Device) -> Result<Self> {
        let path = device
            .options
            .get("file_path")
            .or_else(|| device.options.get("path"))
            .ok_or_else(|| Error::invalid("file_path is required"))?;
        match path.as_str() {
            "stdout" => return Ok(Self::Stdout),
            "discard" | "/dev/null" => return Ok(Self::Discard),
            _ => {}
        }
        let mode = device
            .options
            .get("mode")
            .and_then(|mode| u32::from_str_radix(mode, 8).ok());
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(mode.filter(|mode| *mode != 0).unwrap_or(0o600))
            .open(path)
            .map(Self::File)
            .map_err(|error| {
                Error::invalid(format!(
                    "sanity check failed; unable to open {path:?} for writing: {error}"
                ))
            })
    }
}
