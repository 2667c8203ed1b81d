//! The open files of the audit devices, and the lines on their way to them. Requests that are answered at the same time
//! share one write: each adds its lines to what is pending, and the first that comes to wait for them writes all. Owns
//! file handles; knows nothing of entries.

use super::{Device, Devices};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize;

/// Longest buffer that is kept for the next lines.
const MOST_SPARE: usize = 1 << 20;

/// How often a request lets others go first while somebody else writes, before it waits for the file itself.
const PATIENCE: usize = 3;

enum Sink {
    /// Shared with whoever syncs it.
    File(Arc<File>),
    Stdout,
    Discard,
}

/// What became of lines that are written together.
#[derive(Default)]
struct Outcome(AtomicU8);

const UNKNOWN: u8 = 0;
const WRITTEN: u8 = 1;
const LOST: u8 = 2;

impl Outcome {
    fn get(&self) -> Option<Result<()>> {
        match self.0.load(Ordering::Acquire) {
            UNKNOWN => None,
            WRITTEN => Some(Ok(())),
            _ => Some(Err(Error::Audit)),
        }
    }

    fn set(&self, written: bool) {
        self.0
            .store(if written { WRITTEN } else { LOST }, Ordering::Release);
    }
}

/// Lines to be written next, device by device, in the order of the devices.
#[derive(Default)]
struct Pending {
    devices: Arc<Devices>,
    lines: Vec<Vec<u8>>,
    outcome: Arc<Outcome>,
}

#[derive(Default)]
struct Files {
    sinks: BTreeMap<String, Sink>,
    /// Empty buffers, to be used again.
    spare: Vec<Vec<u8>>,
}

/// See the module. Who needs both locks takes `files` first; what is pending is taken out only under both.
#[derive(Default)]
pub(crate) struct Sinks {
    files: Mutex<Files>,
    pending: Mutex<Pending>,
    /// Counts writes, after each.
    writes: AtomicU64,
    /// Up to which write everything is on disk; held by who syncs.
    on_disk: tokio::sync::Mutex<u64>,
}

/// Lines that were added; they are written at the latest when this is dropped.
#[must_use = "a client may see its answer only once the lines are written"]
pub(crate) struct Added<'a> {
    sinks: &'a Sinks,
    outcome: Arc<Outcome>,
}

impl Sinks {
    /// The present devices.
    pub(crate) fn devices(&self) -> Arc<Devices> {
        Arc::clone(&self.pending().devices)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is new, closes what is gone. A file that cannot be opened refuses the change.
    pub(crate) fn replace(&self, devices: &Devices) -> Result<()> {
        let mut files = self.files();
        let opened = devices
            .iter()
            .filter(|(path, _)| !files.sinks.contains_key(*path))
            .map(|(path, device)| Ok((path.clone(), Sink::open(device)?)))
            .collect::<Result<Vec<_>>>()?;
        self.write(&mut files, Some(Arc::new(devices.clone())));
        let (kept, gone) = std::mem::take(&mut files.sinks)
            .into_iter()
            .partition(|(path, _)| devices.contains_key(path));
        files.sinks = kept;
        files.sinks.extend(opened);
        let gone: BTreeMap<String, Sink> = gone;
        gone.into_values().for_each(Sink::finish);
        Ok(())
    }

    /// Opens every file once, to refuse a device that cannot work.
    pub(crate) fn probe(&self, devices: &Devices) -> Result<()> {
        devices
            .values()
            .try_for_each(|device| Sink::open(device).map(drop))
    }

    /// Closes all files.
    pub(crate) fn close(&self) {
        let mut files = self.files();
        self.write(&mut files, Some(Arc::default()));
        *files = Files::default();
    }

    /// Opens the files anew, after somebody rotated them.
    pub(crate) fn reopen(&self) -> Result<()> {
        let mut files = self.files();
        let devices = self.devices();
        for (path, sink) in &mut files.sinks {
            if let Some(device) = devices.get(path) {
                let new = Sink::open(device)?;
                std::mem::replace(sink, new).finish();
            }
        }
        Ok(())
    }

    /// Adds what each of these devices is to record. `None` if they are not the present devices any more: then the lines
    /// have to be made anew.
    pub(crate) fn add(&self, devices: &Arc<Devices>, lines: &[Vec<u8>]) -> Option<Added<'_>> {
        let mut pending = self.pending();
        if !Arc::ptr_eq(devices, &pending.devices) {
            return None;
        }
        for (all, new) in pending.lines.iter_mut().zip(lines) {
            all.extend_from_slice(new);
        }
        Some(Added {
            sinks: self,
            outcome: Arc::clone(&pending.outcome),
        })
    }

    /// Writes what is pending to every device; one success is enough, none means that it is lost. From then on lines are
    /// for the next devices, if there are others: in the same moment, so that no line comes in between.
    fn write(&self, files: &mut Files, next: Option<Arc<Devices>>) {
        let mut taken = {
            let mut pending = self.pending();
            let devices = next.unwrap_or_else(|| Arc::clone(&pending.devices));
            let mut lines = std::mem::take(&mut files.spare);
            lines.resize_with(devices.len(), Vec::new);
            let next = Pending {
                devices,
                lines,
                outcome: Arc::default(),
            };
            std::mem::replace(&mut *pending, next)
        };
        let mut written = false;
        for (bytes, (path, sink)) in taken.lines.iter().zip(&mut files.sinks) {
            let result = match sink {
                Sink::File(file) => (&**file).write_all(bytes),
                Sink::Stdout => std::io::stdout().lock().write_all(bytes),
                Sink::Discard => Ok(()),
            };
            match result {
                Ok(()) => written = true,
                Err(error) => tracing::error!(device = path, %error, "an audit device cannot be written"),
            }
        }
        self.writes.fetch_add(1, Ordering::AcqRel);
        taken.outcome.set(written);
        let raw = taken.devices.values().any(Device::is_raw);
        for bytes in &mut taken.lines {
            if raw {
                bytes.zeroize();
            }
            bytes.clear();
            bytes.shrink_to(MOST_SPARE);
        }
        files.spare = taken.lines;
    }
}

impl Sinks {
    /// Waits until everything that has been written is on disk. Requests at the same time share one sync, and the next
    /// ones gather while it goes on.
    ///
    /// # Errors
    /// [`Error::Audit`] if a file cannot be synced.
    pub(crate) async fn on_disk(&self) -> Result<()> {
        let mine = self.writes.load(Ordering::Acquire);
        let mut on_disk = self.on_disk.lock().await;
        if *on_disk >= mine {
            return Ok(());
        }
        let covers = self.writes.load(Ordering::Acquire);
        let files: Vec<Arc<File>> = {
            let files = self.files();
            let open = files.sinks.values();
            open.filter_map(|sink| match sink {
                Sink::File(file) => Some(Arc::clone(file)),
                Sink::Stdout | Sink::Discard => None,
            })
            .collect()
        };
        if !files.is_empty() {
            // The disk takes its time; other requests go on.
            let synced = tokio::task::spawn_blocking(move || files.iter().all(|file| sync(file)));
            if !synced.await.unwrap_or(false) {
                return Err(Error::Audit);
            }
        }
        *on_disk = covers;
        Ok(())
    }
}

/// Whether a file is on disk now. A pipe or a terminal never is, and need not be.
fn sync(file: &File) -> bool {
    match file.sync_data() {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => true,
        Err(error) => {
            tracing::error!(%error, "an audit file cannot be synced");
            false
        }
    }
}

impl Added<'_> {
    /// Waits until the lines are written.
    ///
    /// # Errors
    /// [`Error::Audit`] if no device could write them.
    pub(crate) async fn settled(self) -> Result<()> {
        for _ in 0..PATIENCE {
            // Whoever else is ready adds its lines meanwhile.
            tokio::task::yield_now().await;
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            if let Ok(mut files) = self.sinks.files.try_lock() {
                return self.settle(&mut files);
            }
        }
        self.settled_now()
    }

    /// The same without letting others go first.
    pub(crate) fn settled_now(&self) -> Result<()> {
        if let Some(outcome) = self.outcome.get() {
            return outcome;
        }
        self.settle(&mut self.sinks.files())
    }

    fn settle(&self, files: &mut Files) -> Result<()> {
        // Not known under the lock: then these lines are still among those pending.
        if self.outcome.get().is_none() {
            self.sinks.write(files, None);
        }
        self.outcome.get().unwrap_or(Err(Error::Audit))
    }
}

impl Drop for Added<'_> {
    /// The client hung up: what happened is recorded all the same.
    fn drop(&mut self) {
        let _ = self.settled_now();
    }
}

impl Sink {
    /// Closes it. What was written to it and is not synced yet would not be synced by anybody else.
    fn finish(self) {
        if let Self::File(file) = self {
            sync(&file);
        }
    }

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
            .map(|file| Self::File(Arc::new(file)))
            .map_err(|error| {
                Error::invalid(format!(
                    "sanity check failed; unable to open {path:?} for writing: {error}"
                ))
            })
    }
}
