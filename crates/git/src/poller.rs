//! Many watchers, one question per remote. Owns who watches what and what was seen last; has no clock: the caller says
//! when to look.

use crate::{Error, Git};
use herder_base::{AllowedRemote, Commit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// How many remotes are asked at the same time.
const AT_ONCE: usize = 8;

/// What a look at one watched reference found.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The remote.
    pub remote: AllowedRemote,
    /// The branch or tag, as it was watched.
    pub reference: String,
    /// Its commit, `None` if the remote has no such reference, or why the remote could not be asked.
    pub commit: Result<Option<Commit>, Arc<Error>>,
    /// The commit of the look before; `None` at the first look.
    pub before: Option<Commit>,
}

impl Seen {
    /// The new commit, if there is one and it is not the one before.
    #[must_use]
    pub fn changed(&self) -> Option<&Commit> {
        let commit = self.commit.as_ref().ok()?.as_ref()?;
        (self.before.as_ref() != Some(commit)).then_some(commit)
    }
}

/// Watches references of remotes.
#[derive(Debug, Default)]
pub struct Poller {
    watched: BTreeMap<AllowedRemote, BTreeSet<String>>,
    seen: BTreeMap<(AllowedRemote, String), Commit>,
}

impl Poller {
    /// Watches exactly these (remote, reference) pairs; what was seen of those that stay is kept.
    pub fn watch(&mut self, pairs: impl IntoIterator<Item = (AllowedRemote, String)>) {
        self.watched.clear();
        for (remote, reference) in pairs {
            self.watched.entry(remote).or_default().insert(reference);
        }
        let watched = &self.watched;
        self.seen.retain(|(remote, reference), _| {
            watched
                .get(remote)
                .is_some_and(|references| references.contains(reference))
        });
    }

    /// The remotes that are watched.
    pub fn remotes(&self) -> impl Iterator<Item = &AllowedRemote> {
        self.watched.keys()
    }

    /// Asks every remote once and reports every watched reference.
    pub async fn look(&mut self, git: &Git) -> Vec<Seen> {
        let remotes: Vec<AllowedRemote> = self.watched.keys().cloned().collect();
        self.look_at(git, &remotes).await
    }

    /// Asks these remotes once, for a notification; those that are not watched are ignored.
    pub async fn look_at(&mut self, git: &Git, remotes: &[AllowedRemote]) -> Vec<Seen> {
        let mut waiting: Vec<(AllowedRemote, BTreeSet<String>)> = remotes
            .iter()
            .filter_map(|remote| Some((remote.clone(), self.watched.get(remote)?.clone())))
            .collect();
        let mut asking = JoinSet::new();
        let mut found = Vec::new();
        loop {
            while asking.len() < AT_ONCE {
                let Some((remote, references)) = waiting.pop() else {
                    break;
                };
                let git = git.clone();
                asking.spawn(async move {
                    let answer = ask(&git, &remote, &references).await;
                    (remote, references, answer)
                });
            }
            match asking.join_next().await {
                None => break,
                Some(Ok((remote, references, answer))) => self.note(&mut found, &remote, references, answer),
                // Only a panic or an abort ends a question without an answer; the next look asks again.
                Some(Err(error)) => tracing::error!(%error, "a look at a remote ended without an answer"),
            }
        }
        found.sort_by(|a, b| (&a.remote, &a.reference).cmp(&(&b.remote, &b.reference)));
        found
    }

    fn note(
        &mut self,
        found: &mut Vec<Seen>,
        remote: &AllowedRemote,
        references: BTreeSet<String>,
        answer: Result<BTreeMap<String, Commit>, Error>,
    ) {
        let answer = answer.map_err(Arc::new);
        for reference in references {
            let key = (remote.clone(), reference.clone());
            let commit = match &answer {
                Ok(commits) => Ok(commits.get(&reference).cloned()),
                Err(error) => Err(error.clone()),
            };
            let before = self.seen.get(&key).cloned();
            if let Ok(Some(commit)) = &commit {
                self.seen.insert(key, commit.clone());
            }
            found.push(Seen {
                remote: remote.clone(),
                reference,
                commit,
                before,
            });
        }
    }
}

/// The commits of some references, by the names they are watched under.
async fn ask(
    git: &Git,
    remote: &AllowedRemote,
    references: &BTreeSet<String>,
) -> Result<BTreeMap<String, Commit>, Error> {
    let mut names: Vec<(String, Vec<String>)> = Vec::new();
    for reference in references {
        names.push((reference.clone(), crate::git::candidates(reference)));
    }
    let whole: Vec<&str> = names
        .iter()
        .flat_map(|(_, names)| names)
        .map(String::as_str)
        .collect();
    let commits = git.ls_remote(remote, &whole).await?;
    Ok(names
        .into_iter()
        .filter_map(|(reference, names)| {
            let commit = names.iter().find_map(|name| commits.get(name))?;
            Some((reference, commit.clone()))
        })
        .collect())
}
