//! Layers, unpacked: side by side, durable before they are in their place, so that a torn one is never run.

use super::{LAYERS, Store, StoreError, at, sync_dir};
use crate::digest::Digest;
use crate::spec::Descriptor;
use crate::unpack::{Unpacked, unpack};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What is known about an unpacked layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LayerNote {
    pub(super) diff_id: Digest,
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) left_out: u64,
}

/// Removed if it does not come to its place.
struct Staged {
    dir: PathBuf,
    diff_id: Digest,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already once it is in its place; else the next prune tries again.
        _ = fs::remove_dir_all(&self.dir);
    }
}

impl Store {
    /// Unpacks an image's layers that are not there yet, as many at the same time as there are processors.
    ///
    /// # Errors
    /// The first layer that is refused, or the disk.
    pub fn unpack_layers(&self, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<(), StoreError> {
        let digest = || {
            layers
                .first()
                .map_or_else(|| Digest::of(b""), |layer| layer.digest.clone())
        };
        if layers.len() != diff_ids.len() || layers.len() > LAYERS {
            return Err(StoreError::Unfit {
                digest: digest(),
                why: if layers.len() > LAYERS {
                    format!("it has {} layers, and {LAYERS} are the most", layers.len())
                } else {
                    format!(
                        "its manifest has {} layers and its configuration {}",
                        layers.len(),
                        diff_ids.len()
                    )
                },
            });
        }
        let mut missing: Vec<(&Descriptor, &Digest)> = Vec::new();
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            if !self.layer_path(diff_id).is_dir() && !missing.iter().any(|(_, known)| *known == diff_id) {
                missing.push((layer, diff_id));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.min(missing.len()).min(8);
        let queue = Mutex::new(missing.into_iter());
        let results: Vec<Result<Vec<Staged>, StoreError>> = std::thread::scope(|scope| {
            let work = || {
                let mut staged = Vec::new();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((layer, diff_id)) = next else {
                        return Ok(staged);
                    };
                    staged.push(self.stage(layer, diff_id).inspect_err(|_| {
                        // The others need not go on.
                        for _ in queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref() {}
                    })?);
                }
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(_) => Err(StoreError::Unfit {
                        digest: digest(),
                        why: "unpacking it failed in a way that should not be".to_owned(),
                    }),
                })
                .collect()
        });
        let mut staged = Vec::new();
        for result in results {
            staged.extend(result?);
        }
        self.place(&staged)
    }

    fn stage(&self, layer: &Descriptor, diff_id: &Digest) -> Result<Staged, StoreError> {
        let staged = Staged {
            dir: self.scratch("layer"),
            diff_id: diff_id.clone(),
        };
        let files = staged.dir.join("fs");
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&files)
            .and_then(|()| fs::set_permissions(&files, fs::Permissions::from_mode(0o755)))
            .map_err(at("cannot make", &files))?;
        let blob = self.open_blob(&layer.digest)?;
        let done = unpack(blob, &files, Some(diff_id), &self.bounds).map_err(|source| StoreError::Layer {
            digest: layer.digest.clone(),
            source,
        })?;
        let Unpacked {
            diff_id,
            bytes,
            entries,
            left_out,
        } = done;
        let note = staged.dir.join("layer.json");
        let text = serde_json::to_vec(&LayerNote {
            diff_id,
            bytes,
            entries,
            left_out,
        });
        text.map_err(std::io::Error::from)
            .and_then(|text| fs::write(&note, text))
            .map_err(at("cannot write", &note))?;
        Ok(staged)
    }

    /// Makes everything durable at once, then puts it in place.
    fn place(&self, staged: &[Staged]) -> Result<(), StoreError> {
        let layers = self.dir.join("layers");
        let opened = File::open(&layers).map_err(at("cannot open", &layers))?;
        rustix::fs::syncfs(&opened).map_err(|errno| at("cannot make durable", &layers)(errno.into()))?;
        for one in staged {
            let place = self.layer_path(&one.diff_id);
            match fs::rename(&one.dir, &place) {
                // Somebody else was faster, with the same.
                Err(_) if place.is_dir() => {}
                other => other.map_err(at("cannot put in place", &place))?,
            }
        }
        sync_dir(&layers)
    }

    pub(super) fn layer_note(&self, diff_id: &Digest) -> Option<LayerNote> {
        let bytes = fs::read(self.layer_path(diff_id).join("layer.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}
