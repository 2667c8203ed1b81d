//! Archives and folders of images: `docker save`'s old and new form, OCI archives and layouts, compressed or not, from a
//! file or a pipe. Of several platforms only this machine's is taken, whatever else an archive promises.

use crate::compression::{self, Compression};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::{
    CONFIG, Config, DOCUMENT, Descriptor, Index, LAYER, LAYER_GZIP, LAYER_ZSTD, MANIFEST, Manifest,
};
use crate::store::{Store, StoreError};
use crate::tar::{Kind, Tar, TarError};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use thiserror::Error;

/// Files of an archive at most.
const FILES: usize = 100_000;
/// Bytes of one of its files at most.
const BLOB: u64 = 64 << 30;

/// Why an archive was not imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// It is no tar.
    #[error("the archive is no tar that can be read")]
    Tar(#[from] TarError),
    /// It is something else.
    #[error(
        "no image was found in it: neither manifest.json (docker save) nor index.json (OCI); make it with `docker save`, \
         `podman save`, `skopeo copy` or `herder image save`"
    )]
    NoImage,
    /// A file it speaks of.
    #[error("the archive speaks of {0:?}, which is not in it")]
    Lacks(String),
    /// A document in it.
    #[error("{0} in the archive cannot be read")]
    Document(String, #[source] serde_json::Error),
    /// A name in it.
    #[error("the archive calls its image {0:?}, which is no name of an image; give it one with --tag")]
    Name(String),
    /// No name.
    #[error("the archive gives its image no name; give it one with --tag")]
    Nameless,
    /// It has too many files.
    #[error("the archive has more than {FILES} files")]
    Files,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its name.
    pub name: Reference,
    /// Its manifest.
    pub manifest: Digest,
}

/// Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// What came, by its name in the archive.
#[derive(Debug, Default)]
struct Files {
    blobs: HashMap<String, (Digest, u64)>,
    links: HashMap<String, String>,
    documents: BTreeMap<String, Vec<u8>>,
}

/// How to import.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    tag: Option<&'a Reference>,
    pin: Option<&'a str>,
    now: Timestamp,
}

/// Imports what comes from `from`. `tag` names it, where it has one image; `pin` says why it is kept come what may.
///
/// # Errors
/// [`ImportError`]; what was stored until then goes with the next prune.
pub fn import(
    store: &Store,
    from: impl Read + Send,
    tag: Option<&Reference>,
    pin: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Imported>, ImportError> {
    let _adding = store.adding()?;
    let (_, plain) = compression::reader(from).map_err(ImportError::Read)?;
    let mut tar = Tar::new(plain);
    let mut files = Files::default();
    while let Some(entry) = tar.next_entry()? {
        if files.blobs.len() + files.links.len() > FILES {
            return Err(ImportError::Files);
        }
        let Some(name) = plain_name(&entry.path) else {
            continue;
        };
        match entry.kind {
            Kind::File => files.take(store, name, entry.size, &mut tar)?,
            // Old archives have each layer once, and links to it.
            Kind::Symlink | Kind::HardLink => {
                let base = if entry.kind == Kind::Symlink {
                    name.rsplit_once('/').map_or("", |(folder, _)| folder)
                } else {
                    ""
                };
                if let Some(target) = std::str::from_utf8(&entry.link)
                    .ok()
                    .and_then(|to| join(base, to))
                {
                    files.links.insert(name, target);
                }
            }
            _ => {}
        }
    }
    files.finish(store, &How { tag, pin, now })
}

/// Imports an OCI layout, or a folder in which an archive was unpacked.
///
/// # Errors
/// As for [`import`].
pub fn import_dir(
    store: &Store,
    dir: &Path,
    tag: Option<&Reference>,
    pin: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Imported>, ImportError> {
    let _adding = store.adding()?;
    let mut files = Files::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(dir.join(&folder)).map_err(ImportError::Read)?;
        for entry in entries {
            let entry = entry.map_err(ImportError::Read)?;
            let Some(name) = entry.file_name().to_str().and_then(|name| join(&folder, name)) else {
                continue;
            };
            let kind = entry.file_type().map_err(ImportError::Read)?;
            if files.blobs.len() + folders.len() > FILES {
                return Err(ImportError::Files);
            }
            if kind.is_dir() {
                folders.push(name);
            } else if kind.is_file() {
                let mut file = File::open(entry.path()).map_err(ImportError::Read)?;
                let size = file.metadata().map_err(ImportError::Read)?.len();
                files.take(store, name, size, &mut file)?;
            }
        }
    }
    files.finish(store, &How { tag, pin, now })
}

fn plain_name(path: &[u8]) -> Option<String> {
    std::str::from_utf8(path).ok().and_then(|path| join("", path))
}

/// A path within the archive; `None` for one that leads out of it.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = if name.starts_with('/') {
        Vec::new()
    } else {
        folder.split('/').filter(|part| !part.is_empty()).collect()
    };
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

impl Files {
    fn take(
        &mut self,
        store: &Store,
        name: String,
        size: u64,
        contents: &mut impl Read,
    ) -> Result<(), ImportError> {
        let top = matches!(
            name.as_str(),
            "manifest.json" | "index.json" | "oci-layout" | "repositories"
        );
        if top {
            let mut text = Vec::new();
            contents
                .take(DOCUMENT)
                .read_to_end(&mut text)
                .map_err(ImportError::Read)?;
            self.documents.insert(name, text);
            return Ok(());
        }
        let named = name.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
        if let Some(digest) = named.filter(|digest| store.has(digest)) {
            self.blobs.insert(name, (digest, size));
            return Ok(());
        }
        let named = name.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
        let mut blob = store.write_blob(BLOB)?;
        io::copy(contents, &mut blob).map_err(ImportError::Read)?;
        let (digest, size) = blob.finish(named.as_ref())?;
        self.blobs.insert(name, (digest, size));
        Ok(())
    }

    fn document<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, ImportError> {
        self.documents
            .get(name)
            .map(|bytes| serde_json::from_slice(bytes))
            .transpose()
            .map_err(|error| ImportError::Document(name.to_owned(), error))
    }

    /// A file by its name, through links.
    fn blob(&self, name: &str) -> Result<(Digest, u64), ImportError> {
        let lacks = || ImportError::Lacks(name.to_owned());
        let mut at = join("", name).ok_or_else(lacks)?;
        for _ in 0..8 {
            if let Some(found) = self.blobs.get(&at) {
                return Ok(found.clone());
            }
            at = self.links.get(&at).cloned().ok_or_else(lacks)?;
        }
        Err(lacks())
    }

    fn finish(self, store: &Store, how: &How<'_>) -> Result<Vec<Imported>, ImportError> {
        let saved: Vec<Saved> = self.document("manifest.json")?.unwrap_or_default();
        let mut images: Vec<(Option<Reference>, Descriptor)> = Vec::new();
        // Docker has both since version 25: the index has the manifests as they were pulled.
        if let Some(index) = self.document::<Index>("index.json")? {
            self.read_index(store, &index, &saved, &mut images)?;
        }
        if images.is_empty() {
            for one in &saved {
                self.read_saved(store, one, &mut images)?;
            }
        }
        if images.is_empty() {
            return Err(ImportError::NoImage);
        }
        if let Some(tag) = how.tag {
            images.truncate(1);
            for (name, _) in &mut images {
                *name = Some(tag.clone());
            }
        }
        let mut imported = Vec::new();
        for (name, target) in images {
            let name = name.ok_or(ImportError::Nameless)?;
            let manifest = store.own_manifest(&target)?;
            store.prepare(&manifest)?;
            store.name(&name, &target, how.pin, how.now)?;
            imported.push(Imported { name, manifest });
        }
        Ok(imported)
    }

    fn read_index(
        &self,
        store: &Store,
        index: &Index,
        saved: &[Saved],
        images: &mut Vec<(Option<Reference>, Descriptor)>,
    ) -> Result<(), ImportError> {
        for entry in &index.manifests {
            // What is not for this machine may be missing, and nothing of it is wanted.
            if entry.platform.as_ref().is_some_and(|platform| !platform.fits()) && index.manifests.len() > 1 {
                continue;
            }
            if !store.has(&entry.digest) {
                continue;
            }
            let Ok(manifest) = store.own_manifest(entry) else {
                if entry.is_index() && index.manifests.len() > 1 {
                    continue;
                }
                store.own_manifest(entry)?;
                continue;
            };
            if !store.has(&manifest) {
                return Err(ImportError::Lacks(format!("blobs/sha256/{}", manifest.hex())));
            }
            // An attestation, say: it has no layers that could be unpacked.
            let described = store.describe(&manifest);
            let Ok((found, _)) = described else {
                if index.manifests.len() > 1 {
                    continue;
                }
                described?;
                continue;
            };
            if let Some(layer) = found.layers.iter().find(|layer| !store.has(&layer.digest)) {
                return Err(ImportError::Lacks(format!("blobs/sha256/{}", layer.digest.hex())));
            }
            let mut target = entry.clone();
            target.annotations.clear();
            if target.is_index() && !self.is_whole(store, &target) {
                // The rest of the platforms did not come along: the name means what did.
                let document = store.document(&manifest)?;
                target = Descriptor::of(MANIFEST, &document);
            }
            images.push((self.name(entry, &found, saved)?, target));
        }
        Ok(())
    }

    fn is_whole(&self, store: &Store, target: &Descriptor) -> bool {
        let index: Result<Index, _> = store.read(&target.digest, "index");
        index.is_ok_and(|index| index.manifests.iter().all(|entry| store.has(&entry.digest)))
    }

    /// By what writers agree on: containerd's annotation, else OCI's, else what `manifest.json` says of the same image.
    fn name(
        &self,
        entry: &Descriptor,
        manifest: &Manifest,
        saved: &[Saved],
    ) -> Result<Option<Reference>, ImportError> {
        let note = |key: &str| entry.annotations.get(key).filter(|name| !name.is_empty());
        if let Some(full) = note("io.containerd.image.name") {
            return full
                .parse()
                .map(Some)
                .map_err(|_| ImportError::Name(full.clone()));
        }
        let config = manifest.config.digest.hex();
        let tag = saved
            .iter()
            .find(|one| one.config.contains(config))
            .and_then(|one| one.repo_tags.as_ref()?.first());
        if let Some(tag) = tag {
            return tag.parse().map(Some).map_err(|_| ImportError::Name(tag.clone()));
        }
        // A tag alone names nothing.
        let name = note("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']));
        Ok(name.and_then(|name| name.parse().ok()))
    }

    fn read_saved(
        &self,
        store: &Store,
        saved: &Saved,
        images: &mut Vec<(Option<Reference>, Descriptor)>,
    ) -> Result<(), ImportError> {
        let (digest, size) = self.blob(&saved.config)?;
        // Read now: an archive with something else in its place is to be refused as a whole.
        store.read::<Config>(&digest, "configuration of an image")?;
        let config = Descriptor {
            media_type: CONFIG.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let mut layers = Vec::new();
        for layer in saved.layers.iter().flatten() {
            let (digest, size) = self.blob(layer)?;
            let mut first = [0; 4];
            let mut file = store.open_blob(&digest)?;
            let count = file.read(&mut first).map_err(ImportError::Read)?;
            let media_type = match Compression::of(first.get(..count).unwrap_or_default()) {
                Compression::None => LAYER,
                Compression::Gzip => LAYER_GZIP,
                Compression::Zstd => LAYER_ZSTD,
            };
            layers.push(Descriptor {
                media_type: media_type.to_owned(),
                digest,
                size,
                platform: None,
                annotations: BTreeMap::new(),
            });
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|error| ImportError::Document("the manifest".to_owned(), error))?;
        let target = store.put(MANIFEST, &bytes)?;
        let tags = saved.repo_tags.as_deref().unwrap_or_default();
        if tags.is_empty() {
            images.push((None, target));
            return Ok(());
        }
        for tag in tags {
            let name = tag.parse().map_err(|_| ImportError::Name(tag.clone()))?;
            images.push((Some(name), target.clone()));
        }
        Ok(())
    }
}
