//! Builds images from files: a base, a layer per copy, and how to run it. No commands are run. The same input makes the
//! same image: times and owners are not the machine's.

use crate::digest::{Digest, Hashing};
use crate::reference::Reference;
use crate::spec::{CONFIG, Config, Descriptor, LAYER_GZIP, MANIFEST, Manifest, architecture};
use crate::store::{Store, StoreError};
use crate::tar::{Entry, Kind, Writer};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use thiserror::Error;

/// Bytes of a layer at most.
const LAYER: u64 = 64 << 30;

/// Why an image was not built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A file.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Where it should go.
    #[error("{0:?} is no place in an image: an absolute path without `..` is wanted")]
    Place(PathBuf),
    /// Something that no image has.
    #[error("{} is neither file, folder nor symbolic link", .0.display())]
    Strange(PathBuf),
    /// The documents.
    #[error("the image could not be described")]
    Document(#[from] serde_json::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Files to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// A file or folder of the machine.
    pub source: PathBuf,
    /// Where it goes; ending in `/`, into that folder.
    pub target: PathBuf,
}

/// An image to build.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// What it starts from; nothing (`scratch`) without.
    pub base: Option<Reference>,
    /// What is copied, each into a layer of its own.
    pub copies: Vec<Copy>,
    /// The program; without, the base's.
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments; without, the base's, unless there is an entrypoint.
    pub command: Option<Vec<String>>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Who it runs as.
    pub user: Option<String>,
    /// Where it starts.
    pub workdir: Option<String>,
    /// Notes.
    pub labels: BTreeMap<String, String>,
    /// Owner and group of what is copied.
    pub owner: (u32, u32),
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BuildError + 'a {
    move |source| BuildError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Builds it and gives it a name; its manifest.
///
/// # Errors
/// [`BuildError`]
pub fn build(
    store: &Store,
    what: &Build,
    name: &Reference,
    now: Timestamp,
) -> Result<Descriptor, BuildError> {
    let _adding = store.adding()?;
    let (mut layers, mut config) = match &what.base {
        Some(base) => {
            let named = store
                .find(base)?
                .ok_or_else(|| StoreError::Unknown(base.clone()))?;
            let (manifest, config) = store.describe(&named.manifest)?;
            (manifest.layers, config)
        }
        None => (Vec::new(), Config::default()),
    };
    // Whatever the base was written by: what is built is OCI's.
    for layer in &mut layers {
        if layer.media_type == "application/vnd.docker.image.rootfs.diff.tar.gzip" {
            LAYER_GZIP.clone_into(&mut layer.media_type);
        }
    }
    if config.os.is_empty() {
        (config.os, config.architecture) = ("linux".to_owned(), architecture().to_owned());
    }
    "layers".clone_into(&mut config.rootfs.kind);
    config.created = None;
    for copy in &what.copies {
        let (layer, diff_id) = copied(store, copy, what.owner)?;
        layers.push(layer);
        config.rootfs.diff_ids.push(diff_id);
        if !config.history.is_empty() || what.base.is_none() {
            let target = copy.target.display();
            config
                .history
                .push(serde_json::json!({"created_by": format!("herder image build --copy {target}")}));
        }
    }
    let process = &mut config.config;
    if let Some(entrypoint) = &what.entrypoint {
        process.entrypoint.clone_from(entrypoint);
        process.cmd.clear();
    }
    if let Some(command) = &what.command {
        process.cmd.clone_from(command);
    }
    for variable in &what.env {
        let key = variable.split('=').next().unwrap_or_default();
        process.env.retain(|known| known.split('=').next() != Some(key));
        process.env.push(variable.clone());
    }
    if let Some(user) = &what.user {
        process.user.clone_from(user);
    }
    if let Some(workdir) = &what.workdir {
        process.working_dir.clone_from(workdir);
    }
    process.labels.extend(what.labels.clone());
    let config = store.put(CONFIG, &serde_json::to_vec(&config)?)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config,
        layers,
        annotations: BTreeMap::new(),
    };
    let target = store.put(MANIFEST, &serde_json::to_vec(&manifest)?)?;
    store.prepare(&target.digest)?;
    store.name(name, &target, None, now)?;
    Ok(target)
}

fn place(target: &Path) -> Result<PathBuf, BuildError> {
    let wrong = || BuildError::Place(target.to_owned());
    let mut path = PathBuf::new();
    if !target.is_absolute() {
        return Err(wrong());
    }
    for part in target.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            _ => return Err(wrong()),
        }
    }
    Ok(path)
}

/// A layer of one copy: its blob, and its digest once decompressed.
fn copied(store: &Store, copy: &Copy, owner: (u32, u32)) -> Result<(Descriptor, Digest), BuildError> {
    let meta = fs::metadata(&copy.source).map_err(failed("cannot read", &copy.source))?;
    let into = copy.target.as_os_str().as_bytes().ends_with(b"/") && !meta.is_dir();
    let mut target = place(&copy.target)?;
    if into {
        target.push(copy.source.file_name().unwrap_or_default());
    }
    if target.as_os_str().is_empty() && !meta.is_dir() {
        return Err(BuildError::Place(copy.target.clone()));
    }
    let source = &copy.source;
    let blob = store.write_blob(LAYER)?;
    let gzip = flate2::write::GzEncoder::new(blob, flate2::Compression::new(4));
    let mut tar = Writer::new(Hashing::new(gzip));
    let cannot = failed("cannot copy", source);
    // Folders on the way are left out: where the base has them they keep their owners and rights.
    let mut rest = vec![(source.clone(), target.clone())];
    while let Some((from, to)) = rest.pop() {
        // What is named is followed; what is in it is copied as it is.
        let meta = if from == *source {
            fs::metadata(&from)
        } else {
            fs::symlink_metadata(&from)
        };
        let meta = meta.map_err(failed("cannot read", &from))?;
        let mut entry = Entry {
            kind: Kind::File,
            path: to.as_os_str().as_bytes().to_vec(),
            link: Vec::new(),
            size: 0,
            mode: meta.mode() & 0o7777,
            uid: owner.0,
            gid: owner.1,
            mtime: 0,
            xattrs: Vec::new(),
        };
        let reading = failed("cannot read", &from);
        if meta.is_dir() {
            let mut inner = Vec::new();
            for found in fs::read_dir(&from).map_err(&reading)? {
                let name = found.map_err(&reading)?.file_name();
                inner.push((from.join(&name), to.join(&name)));
            }
            inner.sort_by(|a, b| b.cmp(a));
            rest.extend(inner);
            if !to.as_os_str().is_empty() {
                entry.kind = Kind::Folder;
                entry.path.push(b'/');
                tar.append(&entry, io::empty()).map_err(&cannot)?;
            }
        } else if meta.is_symlink() {
            entry.kind = Kind::Symlink;
            let link = fs::read_link(&from).map_err(&reading)?;
            entry.link = link.as_os_str().as_bytes().to_vec();
            tar.append(&entry, io::empty()).map_err(&cannot)?;
        } else if meta.is_file() {
            entry.size = meta.len();
            let file = File::open(&from).map_err(&reading)?;
            tar.append(&entry, file).map_err(&cannot)?;
        } else {
            return Err(BuildError::Strange(from.clone()));
        }
    }
    let plain = tar.finish().map_err(&cannot)?;
    let diff_id = plain.digest();
    let blob = plain.inner.finish().map_err(&cannot)?;
    let (digest, size) = blob.finish(None)?;
    let layer = Descriptor {
        media_type: LAYER_GZIP.to_owned(),
        digest,
        size,
        platform: None,
        annotations: BTreeMap::new(),
    };
    Ok((layer, diff_id))
}
