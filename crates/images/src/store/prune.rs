//! Garbage: what no name stands for, and names that nobody uses. Never what is pinned, and never a layer that is held.

use super::{Named, Store, StoreError, at};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::{Index, Manifest};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Which names stay.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Names, completed, that somebody means to run.
    pub names: HashSet<String>,
    /// Names go as well, if nothing keeps them; else only what no name stands for.
    pub unused: bool,
    /// Enough, once so many bytes have been freed.
    pub enough: Option<u64>,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names.
    pub names: Vec<String>,
    /// Blobs and layers.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Store {
    /// Everything that a manifest or index needs.
    fn needs(&self, digest: &Digest, into: &mut HashSet<Digest>, layers: &mut HashSet<Digest>) {
        if !into.insert(digest.clone()) {
            return;
        }
        if let Ok(index) = self.read::<Index>(digest, "index")
            && !index.manifests.is_empty()
        {
            for entry in &index.manifests {
                self.needs(&entry.digest, into, layers);
            }
        }
        if let Ok(manifest) = self.read::<Manifest>(digest, "manifest") {
            into.insert(manifest.config.digest.clone());
            into.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
            if let Ok((_, config)) = self.describe(digest) {
                layers.extend(config.rootfs.diff_ids);
            }
        }
    }

    /// Removes what is not kept. Names go in the order in which they were last used, until it is enough.
    ///
    /// # Errors
    /// Somebody is adding, or the disk.
    pub fn prune(&self, keep: &Keep) -> Result<Pruned, StoreError> {
        let lock = self.lock_file()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Busy),
            Err(fs::TryLockError::Error(error)) => return Err(at("cannot lock", &self.dir)(error)),
        }
        let mut pruned = Pruned::default();
        // Nobody is adding: whatever is there was left behind.
        let ingest = self.dir.join("ingest");
        for entry in fs::read_dir(&ingest)
            .map_err(at("cannot read", &ingest))?
            .flatten()
        {
            pruned.bytes = pruned.bytes.saturating_add(size_of(&entry.path()));
            remove(&entry.path())?;
        }
        let mut names = self.names()?;
        names.sort_by_key(|named| named.used);
        let mut left = names.clone();
        self.sweep(&left, &mut pruned)?;
        for named in names {
            let kept = !keep.unused || !named.pinned.is_empty() || keep.names.contains(&named.name);
            if kept || keep.enough.is_some_and(|enough| pruned.bytes >= enough) || self.is_held(&named) {
                continue;
            }
            if let Ok(reference) = named.name.parse::<Reference>() {
                self.forget(&reference)?;
            }
            left.retain(|other| other.name != named.name);
            pruned.names.push(named.name);
            self.sweep(&left, &mut pruned)?;
        }
        Ok(pruned)
    }

    /// Whether a container runs from it.
    fn is_held(&self, named: &Named) -> bool {
        let Ok((_, config)) = self.describe(&named.manifest) else {
            return false;
        };
        config
            .rootfs
            .diff_ids
            .iter()
            .any(|diff_id| File::open(self.layer_path(diff_id)).is_ok_and(|dir| dir.try_lock().is_err()))
    }

    /// Removes blobs and layers that none of these names needs.
    fn sweep(&self, names: &[Named], pruned: &mut Pruned) -> Result<(), StoreError> {
        let (mut blobs, mut layers) = (HashSet::new(), HashSet::new());
        for named in names {
            self.needs(&named.target.digest, &mut blobs, &mut layers);
            self.needs(&named.manifest, &mut blobs, &mut layers);
        }
        for (folder, needed) in [("layers", &layers), ("blobs/sha256", &blobs)] {
            let dir = self.dir.join(folder);
            for entry in fs::read_dir(&dir).map_err(at("cannot read", &dir))?.flatten() {
                let name = entry.file_name();
                let digest = name.to_str().and_then(Digest::from_hex);
                if digest.is_some_and(|digest| needed.contains(&digest)) {
                    continue;
                }
                let path = entry.path();
                let held = folder == "layers" && File::open(&path).is_ok_and(|dir| dir.try_lock().is_err());
                if held {
                    continue;
                }
                pruned.bytes = pruned.bytes.saturating_add(size_of(&path));
                // Out of its place first: half a layer must not look like a whole one.
                let aside = self.scratch("old");
                fs::rename(&path, &aside).map_err(at("cannot remove", &path))?;
                remove(&aside)?;
                pruned.objects += 1;
            }
        }
        Ok(())
    }

    /// Reads everything again, and says what is not as it should be.
    ///
    /// # Errors
    /// The store itself cannot be read.
    pub fn verify(&self) -> Result<Vec<Wrong>, StoreError> {
        let _adding = self.adding()?;
        let mut wrong = Vec::new();
        let mut say = |what: String, why: String| wrong.push(Wrong { what, why });
        let dir = self.dir.join("blobs/sha256");
        for entry in fs::read_dir(&dir).map_err(at("cannot read", &dir))?.flatten() {
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(Digest::from_hex) else {
                say(entry.path().display().to_string(), "is no blob".to_owned());
                continue;
            };
            let mut reading = crate::digest::Hashing::new(self.open_blob(&digest)?);
            io::copy(&mut reading, &mut io::sink()).map_err(at("cannot read", &entry.path()))?;
            if reading.digest() != digest {
                say(digest.to_string(), format!("has become {}", reading.digest()));
            }
        }
        for named in self.names()? {
            match self.describe(&named.manifest) {
                Err(error) => say(named.name, herder_base::chain(&error).to_string()),
                Ok((manifest, _)) => {
                    for layer in manifest.layers.iter().filter(|layer| !self.has(&layer.digest)) {
                        say(named.name.clone(), format!("lacks the layer {}", layer.digest));
                    }
                }
            }
        }
        Ok(wrong)
    }

    /// Bytes of an image's unpacked layers, as far as they are unpacked.
    #[must_use]
    pub fn unpacked_size(&self, diff_ids: &[Digest]) -> u64 {
        diff_ids
            .iter()
            .filter_map(|diff_id| self.layer_note(diff_id))
            .map(|note| note.bytes)
            .sum()
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    let meta = fs::symlink_metadata(path).map_err(at("cannot remove", path))?;
    let removed = if meta.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(at("cannot remove", path))
}

/// Bytes on the disk, of a file or of everything in a folder.
fn size_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = meta.blocks().saturating_mul(512);
    if !meta.is_dir() {
        return own;
    }
    let Ok(entries) = fs::read_dir(path) else {
        return own;
    };
    entries
        .flatten()
        .fold(own, |sum, entry| sum.saturating_add(size_of(&entry.path())))
}
