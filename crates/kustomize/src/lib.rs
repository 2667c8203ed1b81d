//! Tree to manifests, byte for byte what `kustomize build` (v5.5, as in `kubectl` 1.32) prints.
//!
//! Pure: it reads a [`Tree`] (or anything that is [`Files`]) and nothing else. Remote bases are fetched, helm charts are
//! rendered and KRM functions are run by the caller ([`Remotes`], [`Helm`], [`Functions`]), or refused; exec plugins
//! always are. Linear in the number of resources. [`edit`] changes kustomization files without touching their layout.
//!
//! # Building
//!
//! ```
//! use herder_kustomize::{NoRemotes, Options, Tree, build};
//! let tree = Tree::from_texts([
//!     ("kustomization.yaml", "resources: [a.yaml]\nnamePrefix: staging-\nconfigMapGenerator:\n- {name: settings, literals: [a=b]}\n"),
//!     ("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {volumes: [{name: v, configMap: {name: settings}}]}\n"),
//! ])?;
//! let text = build(&tree, "", &Options::default(), &NoRemotes)?.to_yaml();
//! // The generated name ends with a hash of its content, and whoever refers to it follows.
//! assert_eq!(text.matches("name: staging-settings-").count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When it fails
//!
//! An [`Error`] says where, about which resource, and what to do:
//!
//! ```
//! use herder_kustomize::{NoRemotes, Options, Tree, build};
//! let tree = Tree::from_texts([
//!     ("kustomization.yaml", "resources:\n- deployment.yml\n"),
//!     ("deployment.yaml", "kind: Pod\n"),
//! ])?;
//! let error = build(&tree, "", &Options::default(), &NoRemotes).unwrap_err();
//! assert_eq!((error.file(), error.line()), ("kustomization.yaml", 2));
//! assert_eq!(error.hint_text(), Some("did you mean `deployment.yaml`?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Building again
//!
//! [`Build::read`] names every path that was read or looked for. While none of them changes, appears or disappears, and
//! remote bases stay at their commits, the result stays the same and nothing needs to be built.
//!
//! What is supported, field by field: `docs/kustomize.md`.
#![forbid(unsafe_code)]

mod budget;
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
