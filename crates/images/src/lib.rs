//! Container images: a store of blobs and unpacked layers, archives and folders of them, and how registries are spoken to.
//!
//! Useful alone: [`Store`] is a folder that several processes share; what is in it is content-addressed and whole. Must not
//! know pods, nodes or Kubernetes.

mod archive;
mod build;
mod client;
mod compression;
mod digest;
mod reference;
mod save;
pub mod spec;
mod store;
mod tar;
mod unpack;

pub use archive::{ImportError, Imported, import, import_dir};
pub use build::{Build, BuildError, Copy, build};
pub use client::{
    Client, ConfigError, Credential, Credentials, NoCredentials, PullError, PushError, Registries,
    RegistryError,
};
pub use digest::{Digest, NoDigest};
pub use reference::{NoReference, Reference, is_tag, repository_is_valid};
pub use save::save;
pub use store::{
    Adding, BlobWriter, Image, Keep, LAYERS, Named, PartialBlob, Pruned, Store, StoreError, Wrong,
};
pub use tar::{Entry, HEADERS, Kind, Tar, TarError};
pub use unpack::{Bounds, UnpackError, Unpacked, unpack};

/// Something that two processes do not both come up with.
fn random() -> String {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    // Without it, process and number still tell names apart.
    if read.is_err() {
        return String::new();
    }
    hex::encode(bytes)
}
