//! What a fleet is read from: the fleet repository's tree and the trees of the repositories it refers to.

use crate::read::Renders;
use herder_base::{AllowedRemote, Location, Refused, Tree, Url};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A repository at a branch, tag or commit, and the place that asks for it. Equality and order ignore the place.
#[derive(Debug, Clone)]
pub struct SourceRef {
    /// The remote, resolved against the fleet's own address.
    pub url: Url,
    /// Branch, tag or commit; empty for the remote's default branch.
    pub reference: String,
    /// The place that asks for it.
    pub why: Location,
    /// The remote, or why it may not be reached.
    pub(crate) remote: Option<Result<AllowedRemote, Refused>>,
}

impl SourceRef {
    /// A source without a place.
    pub fn new(url: impl Into<Url>, reference: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            reference: reference.into(),
            why: Location::default(),
            remote: None,
        }
    }

    /// The remote, for whoever fetches it, or why it may not be reached; `None` but for what [`crate::sources`] names.
    #[must_use]
    pub fn remote(&self) -> Option<&Result<AllowedRemote, Refused>> {
        self.remote.as_ref()
    }
}

impl PartialEq for SourceRef {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SourceRef {}

impl PartialOrd for SourceRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SourceRef {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.url, &self.reference).cmp(&(&other.url, &other.reference))
    }
}

/// Everything reading needs.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The fleet repository's address; relative remotes are resolved against it.
    pub fleet_url: Url,
    /// Its tree.
    pub root: Tree,
    /// The other repositories: the tree, or why it could not be had.
    pub trees: BTreeMap<SourceRef, Result<Tree, String>>,
    /// What an earlier reading rendered, so that only what changed is rendered again.
    pub renders: Renders,
}
