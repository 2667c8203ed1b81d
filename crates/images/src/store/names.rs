//! Names of images, each in a file of its own: what it stands for, and whether it is kept come what may.

use super::{Store, StoreError, at, write_whole};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::Descriptor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

/// A name, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The name, completed.
    pub name: String,
    /// A manifest, or an index that it came with.
    pub target: Descriptor,
    /// The manifest for this machine.
    pub manifest: Digest,
    /// Why it is kept come what may; empty if it is not.
    #[serde(default)]
    pub pinned: BTreeSet<String>,
    /// When the name got this meaning.
    pub created: Timestamp,
    /// When a container last began to use it.
    pub used: Timestamp,
}

impl Store {
    fn name_path(&self, reference: &Reference) -> PathBuf {
        let digest = Digest::of(reference.to_string().as_bytes());
        self.dir.join("names").join(format!("{}.json", digest.hex()))
    }

    /// What a name stands for; `None` if it is not known.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn find(&self, reference: &Reference) -> Result<Option<Named>, StoreError> {
        let path = self.name_path(reference);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(at("cannot read", &path))?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| at("cannot read", &path)(error.into()))
    }

    /// All names, in order.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read.
    pub fn names(&self) -> Result<Vec<Named>, StoreError> {
        let dir = self.dir.join("names");
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).map_err(at("cannot read", &dir))? {
            let path = entry.map_err(at("cannot read", &dir))?.path();
            let bytes = match fs::read(&path) {
                // Taken away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(at("cannot read", &path))?,
            };
            all.push(
                serde_json::from_slice::<Named>(&bytes)
                    .map_err(|error| at("cannot read", &path)(error.into()))?,
            );
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Gives a name a meaning; pins that it had stay.
    ///
    /// # Errors
    /// The disk, or the image is not whole.
    pub fn name(
        &self,
        reference: &Reference,
        target: &Descriptor,
        pin: Option<&str>,
        now: Timestamp,
    ) -> Result<Named, StoreError> {
        let manifest = self.own_manifest(target)?;
        let before = self.find(reference)?;
        let mut pinned = before.map(|named| named.pinned).unwrap_or_default();
        pinned.extend(pin.map(str::to_owned));
        let named = Named {
            name: reference.to_string(),
            target: target.clone(),
            manifest,
            pinned,
            created: now,
            used: now,
        };
        self.write_name(reference, &named)?;
        Ok(named)
    }

    fn write_name(&self, reference: &Reference, named: &Named) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(named)
            .map_err(|error| at("cannot write", &self.name_path(reference))(error.into()))?;
        write_whole(self, &self.name_path(reference), &bytes)
    }

    /// Notes that a container begins to use it.
    ///
    /// # Errors
    /// The disk.
    pub fn touch(&self, reference: &Reference, now: Timestamp) -> Result<(), StoreError> {
        match self.find(reference)? {
            Some(mut named) => {
                named.used = now;
                self.write_name(reference, &named)
            }
            None => Ok(()),
        }
    }

    /// Takes a name away; its contents go with the next prune. Whether there was one.
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self, reference: &Reference) -> Result<bool, StoreError> {
        let path = self.name_path(reference);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true).map_err(at("cannot remove", &path)),
        }
    }
}
