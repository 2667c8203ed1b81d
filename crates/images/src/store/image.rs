//! Images to run: from a name to a configuration and folders, held so that nobody removes them.

use super::{Store, StoreError, at};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::{Config, Descriptor, Index, Manifest};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A small file of an image, at most: `/etc/passwd` and the like.
const SMALL: u64 = 4 << 20;

/// An image that is whole and stays while this is held.
#[derive(Debug)]
pub struct Image {
    /// Its manifest.
    pub manifest: Digest,
    /// How to run it.
    pub config: Config,
    /// The folders of its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Bytes of its layers as they came.
    pub size: u64,
    _locks: Vec<File>,
}

impl Image {
    /// A file of the image, as an overlay of its layers would show it: through no links.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let path = Path::new(path.trim_start_matches('/'));
        let mut read = Vec::new();
        for layer in self.layers.iter().rev() {
            let root = File::open(layer).ok()?;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            match openat2(&root, path, flags, Mode::empty(), resolve) {
                Ok(found) => {
                    let found = File::from(found);
                    // A device here says that the file was taken away.
                    if !found.metadata().is_ok_and(|meta| meta.is_file()) {
                        return None;
                    }
                    found.take(SMALL).read_to_end(&mut read).ok()?;
                    return Some(read);
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        None
    }
}

impl Store {
    /// The manifest for this machine.
    ///
    /// # Errors
    /// There is none, or a document is not what it should be.
    pub fn own_manifest(&self, target: &Descriptor) -> Result<Digest, StoreError> {
        if !target.is_index() {
            return Ok(target.digest.clone());
        }
        let index: Index = self.read(&target.digest, "index of images")?;
        choose(&index, &target.digest).map(|found| found.digest.clone())
    }

    /// Reads a manifest and its configuration.
    ///
    /// # Errors
    /// They are not there, or not what they should be.
    pub fn describe(&self, manifest: &Digest) -> Result<(Manifest, Config), StoreError> {
        let found: Manifest = self.read(manifest, "manifest of an image")?;
        let config: Config = self.read(&found.config.digest, "configuration of an image")?;
        Ok((found, config))
    }

    /// Unpacks what is missing of an image.
    ///
    /// # Errors
    /// It is not whole, not for this machine, or a layer is refused.
    pub fn prepare(&self, manifest: &Digest) -> Result<(), StoreError> {
        let (found, config) = self.describe(manifest)?;
        let own = crate::spec::architecture();
        if !config.architecture.is_empty() && config.architecture != own {
            return Err(StoreError::Unfit {
                digest: manifest.clone(),
                why: format!("it is for {}, and this machine is {own}", config.architecture),
            });
        }
        self.unpack_layers(&found.layers, &config.rootfs.diff_ids)
    }

    /// Takes an image up whose layers are unpacked: it stays for as long as the result lives, whoever prunes.
    ///
    /// # Errors
    /// It is not known, not whole, or not for this machine.
    pub fn take_up(&self, reference: &Reference) -> Result<Image, StoreError> {
        let _adding = self.adding()?;
        let named = self
            .find(reference)?
            .ok_or_else(|| StoreError::Unknown(reference.clone()))?;
        let (manifest, config) = self.describe(&named.manifest)?;
        let mut layers = Vec::new();
        let mut locks = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            let dir = self.layer_path(diff_id);
            if !dir.is_dir() {
                return Err(StoreError::Unpacked(diff_id.clone()));
            }
            let lock = File::open(&dir).map_err(at("cannot open", &dir))?;
            lock.lock_shared().map_err(at("cannot lock", &dir))?;
            locks.push(lock);
            layers.push(dir.join("fs"));
        }
        Ok(Image {
            manifest: named.manifest,
            config,
            layers,
            size: manifest.layers.iter().map(|layer| layer.size).sum(),
            _locks: locks,
        })
    }
}

/// The image for this machine.
pub(crate) fn choose<'a>(index: &'a Index, digest: &Digest) -> Result<&'a Descriptor, StoreError> {
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(crate::spec::Platform::fits);
    // One that says nothing about where it runs is taken only when nothing fits: attestations say nothing either.
    let silent = |entry: &&Descriptor| entry.platform.is_none();
    let found = index.manifests.iter().find(fits);
    found
        .or_else(|| match index.manifests.as_slice() {
            [one] if silent(&one) => Some(one),
            _ => None,
        })
        .ok_or_else(|| {
            let others: Vec<String> = index
                .manifests
                .iter()
                .filter_map(|entry| entry.platform.as_ref().map(ToString::to_string))
                .collect();
            StoreError::Platform {
                digest: digest.clone(),
                others: if others.is_empty() {
                    "none".to_owned()
                } else {
                    others.join(", ")
                },
            }
        })
}
