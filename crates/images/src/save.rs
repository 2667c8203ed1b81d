//! Writes images as an archive that every tool reads: an OCI layout, with Docker's `manifest.json` beside it.

use crate::digest::Digest;
use crate::reference::Reference;
use crate::spec::{Descriptor, INDEX, Index, MANIFEST};
use crate::store::{Store, StoreError, at};
use crate::tar::{Entry, Kind, Writer};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;

fn entry(name: &str, kind: Kind, size: u64) -> Entry {
    Entry {
        kind,
        path: name.as_bytes().to_vec(),
        link: Vec::new(),
        size,
        mode: if kind == Kind::Folder { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
    }
}

/// Writes the images of these names; the same images make the same bytes.
///
/// # Errors
/// A name is not known, or the output cannot be written.
pub fn save(store: &Store, names: &[Reference], into: impl Write) -> Result<(), StoreError> {
    let _adding = store.adding()?;
    let output = Path::new("the archive");
    let mut blobs = BTreeSet::<Digest>::new();
    let mut index = Index {
        schema_version: 2,
        media_type: INDEX.to_owned(),
        manifests: Vec::new(),
    };
    let mut saved = Vec::new();
    for name in names {
        let named = store
            .find(name)?
            .ok_or_else(|| StoreError::Unknown(name.clone()))?;
        let (manifest, _) = store.describe(&named.manifest)?;
        let document = store.document(&named.manifest)?;
        let media_type = if manifest.media_type.is_empty() {
            MANIFEST
        } else {
            &manifest.media_type
        };
        let mut target = Descriptor::of(media_type, &document);
        let full = named.name.clone();
        target
            .annotations
            .insert("io.containerd.image.name".to_owned(), full);
        if let Some(tag) = name.tag() {
            target
                .annotations
                .insert("org.opencontainers.image.ref.name".to_owned(), tag.to_owned());
        }
        index.manifests.push(target);
        let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let tags = if name.digest().is_none() {
            vec![name.familiar()]
        } else {
            Vec::new()
        };
        saved.push(json!({
            "Config": path(&manifest.config.digest),
            "RepoTags": tags,
            "Layers": manifest.layers.iter().map(|layer| path(&layer.digest)).collect::<Vec<_>>(),
        }));
        blobs.insert(named.manifest);
        blobs.insert(manifest.config.digest);
        blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
    }
    let cannot = at("cannot write", output);
    let mut tar = Writer::new(into);
    for folder in ["blobs/", "blobs/sha256/"] {
        tar.append(&entry(folder, Kind::Folder, 0), io::empty())
            .map_err(&cannot)?;
    }
    for digest in blobs {
        let blob = store.open_blob(&digest)?;
        let size = blob.metadata().map_err(&cannot)?.len();
        let name = format!("blobs/sha256/{}", digest.hex());
        tar.append(&entry(&name, Kind::File, size), blob)
            .map_err(&cannot)?;
    }
    let mut document = |name: &str, value: serde_json::Result<Vec<u8>>| {
        let bytes = value.map_err(|error| cannot(error.into()))?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        tar.append(&entry(name, Kind::File, size), bytes.as_slice().by_ref())
            .map_err(&cannot)
    };
    document("index.json", serde_json::to_vec(&index))?;
    document("manifest.json", serde_json::to_vec(&saved))?;
    document(
        "oci-layout",
        serde_json::to_vec(&json!({"imageLayoutVersion": "1.0.0"})),
    )?;
    tar.finish().map(drop).map_err(&cannot)
}
