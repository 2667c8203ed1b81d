//! Git → Fleet: fetches the fleet repository and every repository it names, then reads them.
//!
//! Owns no decisions: which repositories are needed, which of them may be reached and what they mean is `fleet`'s; this
//! module only fetches, and keeps going when one of them cannot be had.

use crate::taken_back::{Back, findings, taken_back};
use futures::StreamExt;
use herder_base::{AllowedRemote, Commit, Diagnostic, Tree};
use herder_fleet::{Fleet, Inputs, Renders, SourceRef};
use herder_git::Git;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many repositories are fetched at the same time.
const AT_ONCE: usize = 8;
/// How often fetched repositories may name further ones (remote bases of remote bases).
const ROUNDS: usize = 16;

/// One reading of git: the fleet, what is wrong with it, and what it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// What is to exist.
    pub(crate) fleet: Arc<Fleet>,
    /// What the readers say about it.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Every repository and reference it depends on, for whoever watches for changes.
    pub(crate) sources: BTreeSet<(AllowedRemote, String)>,
    /// The commits that were read, by source, of those that could be.
    pub(crate) commits: BTreeMap<(AllowedRemote, String), Commit>,
    /// The trees, for promotions.
    pub(crate) inputs: Arc<Inputs>,
    /// Applications that went back to an older version.
    pub(crate) back: Vec<Back>,
    /// When.
    pub(crate) at: Timestamp,
}

impl Reading {
    /// Compares with the reading before.
    pub(crate) fn look_back(&mut self, before: Option<&Self>) {
        let before = before.map(|before| (&*before.fleet, before.back.as_slice()));
        self.back = taken_back(before, &self.fleet);
        self.diagnostics.extend(findings(&self.back, &self.fleet));
    }
}

/// Reads the fleet at a reference of its repository. What `renders` holds of an earlier reading is not rendered again.
///
/// # Errors
/// Only if the fleet repository itself cannot be had; everything else is a diagnostic.
pub(crate) async fn read(
    git: &Git,
    remote: &AllowedRemote,
    reference: &str,
    renders: Renders,
    now: Timestamp,
) -> Result<Reading, herder_git::Error> {
    let root = git.fetch(remote, reference).await?;
    let mut inputs = Inputs {
        fleet_url: remote.url().clone(),
        root,
        trees: BTreeMap::new(),
        renders,
    };
    for _ in 0..ROUNDS {
        let (back, wanted) = apart(inputs, herder_fleet::sources).await;
        inputs = back;
        let missing: Vec<SourceRef> = wanted
            .into_iter()
            .filter(|source| !inputs.trees.contains_key(source))
            .collect();
        if missing.is_empty() {
            break;
        }
        let fetched: Vec<(SourceRef, Result<Tree, String>)> = futures::stream::iter(missing)
            .map(|source| async move {
                let tree = match source.remote() {
                    Some(Ok(remote)) => git
                        .fetch(remote, &source.reference)
                        .await
                        .map_err(|error| herder_base::chain(&error).to_string()),
                    Some(Err(refused)) => Err(format!("{refused}; {}", refused.hint())),
                    None => Err(format!("nobody says that {} may be reached", source.url)),
                };
                (source, tree)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        inputs.trees.extend(fetched);
    }
    let (inputs, (fleet, diagnostics)) = apart(inputs, herder_fleet::read).await;
    let mut sources: BTreeSet<(AllowedRemote, String)> = inputs
        .trees
        .keys()
        .filter_map(|source| {
            let remote = source.remote()?.as_ref().ok()?;
            Some((remote.clone(), source.reference.clone()))
        })
        .collect();
    let mut commits: BTreeMap<(AllowedRemote, String), Commit> = inputs
        .trees
        .iter()
        .filter_map(|(source, tree)| {
            let remote = source.remote()?.as_ref().ok()?;
            let commit = tree.as_ref().ok()?.commit().clone();
            Some(((remote.clone(), source.reference.clone()), commit))
        })
        .collect();
    commits.insert(
        (remote.clone(), reference.to_owned()),
        inputs.root.commit().clone(),
    );
    sources.insert((remote.clone(), reference.to_owned()));
    sources.retain(|(_, reference)| !is_pinned(reference));
    Ok(Reading {
        fleet: Arc::new(fleet),
        diagnostics,
        sources,
        commits,
        inputs: Arc::new(inputs),
        back: Vec::new(),
        at: now,
    })
}

/// Works on what was fetched, on a thread that nobody waits for but us: rendering what strangers wrote takes as long as it
/// takes, and whoever asks the API, Vault or the edge meanwhile is answered.
async fn apart<T: Send + 'static>(inputs: Inputs, work: fn(&Inputs) -> T) -> (Inputs, T) {
    let working = tokio::task::spawn_blocking(move || {
        let result = work(&inputs);
        (inputs, result)
    });
    match working.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A whole commit id never moves, so nobody needs to watch it.
fn is_pinned(reference: &str) -> bool {
    reference.len() == 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit a reading is of.
pub(crate) fn commit(reading: &Reading) -> &Commit {
    reading.inputs.root.commit()
}
