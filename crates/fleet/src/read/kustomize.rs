//! Kustomizations: where they are, what remote bases they name, and what they build to.

use super::configs;
use super::objects::{Raw, identified};
use super::outline::Outline;
use crate::{Inputs, SourceRef};
use herder_base::{Diagnostic, Location, Tree};
use std::collections::BTreeSet;

/// The names a kustomization may have.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The kustomization file directly in a directory.
pub(crate) fn file(tree: &Tree, dir: &str) -> Option<String> {
    NAMES
        .iter()
        .map(|name| {
            if dir.is_empty() {
                (*name).to_owned()
            } else {
                format!("{dir}/{name}")
            }
        })
        .find(|path| tree.file(path).is_some())
}

/// Whether a directory has a kustomization.
pub(crate) fn is_root(tree: &Tree, dir: &str) -> bool {
    file(tree, dir).is_some()
}

/// INTERIM
pub(crate) fn remotes(_: &Inputs, _: &Outline, _: &mut BTreeSet<SourceRef>) {
    let _ = (configs::is_root, identified, Location::default());
}
pub(crate) fn pinned(_: &Tree, _: &str) -> Option<String> {
    None
}
pub(crate) fn build(
    _: &Inputs,
    _: &Tree,
    _: &str,
    _: &str,
    _: &mut Vec<Diagnostic>,
) -> Result<Vec<Raw>, String> {
    Err("interim".into())
}

/// A commit id as people see it; other names stay whole.
pub(crate) fn short(reference: &str) -> &str {
    let id = reference.len() >= 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id {
        reference.get(..12).unwrap_or(reference)
    } else {
        reference
    }
}
