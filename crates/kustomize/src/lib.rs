//! Tree to manifests, byte for byte what `kustomize build` (v5.5, as in `kubectl` 1.32) prints.
//!
//! Pure: it reads a [`Tree`] and nothing else. Remote bases are fetched, helm charts are rendered and KRM
//! functions are run by the caller ([`Remotes`], [`Helm`], [`Functions`]), or refused; exec plugins always are. Linear in the number of resources. [`edit`] changes
//! kustomization files without touching their layout.
#![forbid(unsafe_code)]

mod build;
mod config;
mod context;
mod crds;
pub mod edit;
mod error;
mod fieldspec;
mod files;
mod function;
mod generate;
mod hash;
mod helm;
mod id;
mod jsonpatch;
mod kustomization;
mod load;
mod node;
mod openapi;
mod origin;
mod path;
mod plugins;
mod read;
mod remote;
mod reread;
mod resmap;
mod resource;
mod schema;
mod select;
mod smp;
mod steps;
mod target;
mod transform;

pub use build::{Build, Options, Reorder, build, build_from, print_from};
pub use error::Error;
pub use files::Files;
pub use function::{FunctionCall, Functions};
pub use helm::{ChartFiles, ChartRef, Helm, Release};
pub use herder_base::Tree;
pub use remote::{NoRemotes, RemoteRef, Remotes, parse_url, remotes};

/// Which files a kustomization may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadRestrictor {
    /// Only those in or below its directory; bases may be anywhere.
    #[default]
    RootOnly,
    /// Any in the tree.
    None,
}
