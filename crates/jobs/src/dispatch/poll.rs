//! Looking at remotes: one question per remote at a time, whoever wants to know; then a decision per job.

use super::actor::Dispatcher;
use super::commit_key;
use super::handle::RunRequest;
use crate::env::expand;
use crate::ports::{Decision, PortError, SeenHead};
use crate::remotes::{canonical, plain_branch, resolve};
use crate::run::{Cause, Change};
use herder_base::Url;
use herder_job::Trigger;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a remote may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Seconds to wait for more changes after a poll found some.
const QUIET_AFTER_POLL: u64 = 5;

/// An answer of a remote.
pub(super) struct Polled {
    pub(super) url: Url,
    pub(super) result: Result<BTreeMap<String, String>, PortError>,
}

/// Why a job wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Poll,
    Webhook,
}

impl Why {
    const fn about(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Webhook => "webhook",
        }
    }
}

impl Dispatcher {
    /// The sources of a job as they are without anybody's parameters: (url, branch).
    fn watched(&self, job: &str) -> Vec<(Url, String)> {
        let Some(job) = self.jobs.get(job) else {
            return Vec::new();
        };
        let defaults: BTreeMap<String, String> = job
            .definition
            .parameters
            .iter()
            .map(|p| (p.name.clone(), p.default_value()))
            .collect();
        job.definition
            .sources
            .iter()
            .map(|source| {
                let branch = expand(&source.branch, &defaults);
                let url = Url::from(expand(source.url.expose(), &defaults));
                (url, plain_branch(&branch).to_owned())
            })
            .collect()
    }

    /// A job's time to look has come.
    pub(super) async fn poll(&mut self, job: &str, why: Why) {
        let watched = self.watched(job);
        if watched.is_empty() {
            self.decide(
                job,
                why.about(),
                false,
                "the job has no sources to look at".to_owned(),
            )
            .await;
        }
        for (url, _) in watched {
            self.ask_remote(url, job, why);
        }
    }

    fn ask_remote(&mut self, url: Url, job: &str, why: Why) {
        let asking = self.asking.contains_key(&url);
        let interested = self.asking.entry(url.clone()).or_default();
        if !interested.iter().any(|(name, _)| name == job) {
            interested.push((job.to_owned(), why));
        }
        if !asking {
            self.start_asking(url);
        }
    }

    pub(super) fn start_asking(&mut self, url: Url) {
        let remotes = std::sync::Arc::clone(&self.ports.remotes);
        let permits = std::sync::Arc::clone(&self.polls);
        let stop = self.stop.clone();
        self.asks.spawn(async move {
            let ask = async {
                let _permit = permits.acquire_owned().await;
                tokio::time::timeout(DEADLINE, remotes.ls_remote(&url))
                    .await
                    .unwrap_or_else(|_| {
                        Err(PortError(format!(
                            "{url} did not answer within {}s",
                            DEADLINE.as_secs()
                        )))
                    })
            };
            let result = tokio::select! {
                result = ask => result,
                () = stop.cancelled() => Err(PortError("the platform stops".to_owned())),
            };
            Polled { url, result }
        });
    }

    /// Jobs that want to know about a notice for `url`.
    pub(super) async fn notified(&mut self, url: &str) -> Vec<String> {
        let wanted = canonical(url);
        let names: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.disabled && job.definition.triggers.iter().any(is_about_sources))
            .map(|(name, _)| name.clone())
            .collect();
        // Answers under way may be older than the notice: ask again after them.
        let under_way: Vec<Url> = self
            .asking
            .keys()
            .filter(|url| canonical(url.expose()) == wanted)
            .cloned()
            .collect();
        self.again.extend(under_way);
        let mut told = Vec::new();
        for name in names {
            let urls: Vec<Url> = self
                .watched(&name)
                .into_iter()
                .map(|(url, _)| url)
                .filter(|url| canonical(url.expose()) == wanted)
                .collect();
            for url in urls {
                self.ask_remote(url, &name, Why::Webhook);
                if told.last() != Some(&name) {
                    told.push(name.clone());
                }
            }
        }
        told
    }

    /// A remote has answered: every job that asked decides.
    pub(super) async fn polled(&mut self, answer: Polled) {
        let interested = self.asking.remove(&answer.url).unwrap_or_default();
        if self.again.remove(&answer.url) {
            let notified: Vec<_> = interested
                .iter()
                .filter(|(_, why)| *why == Why::Webhook)
                .cloned()
                .collect();
            let notified = if notified.is_empty() {
                interested.clone()
            } else {
                notified
            };
            self.asking.insert(answer.url.clone(), notified);
            self.start_asking(answer.url.clone());
        }
        for (job, why) in interested {
            match &answer.result {
                Ok(references) => self.compare(&job, why, &answer.url, references).await,
                Err(error) => {
                    let text = format!("{} could not be asked: {error}", answer.url);
                    self.decide(&job, why.about(), false, text).await;
                }
            }
        }
    }

    async fn compare(&mut self, job: &str, why: Why, url: &Url, references: &BTreeMap<String, String>) {
        let branches: Vec<String> = self
            .watched(job)
            .into_iter()
            .filter(|(source, _)| source == url)
            .map(|(_, branch)| branch)
            .collect();
        let mut changes = Vec::new();
        let mut texts = Vec::new();
        let mut first = false;
        for branch in branches {
            let name = if branch.is_empty() {
                "HEAD"
            } else {
                branch.as_str()
            };
            let Some(to) = resolve(references, &branch) else {
                texts.push(format!("{url} has no {name}"));
                continue;
            };
            let key = (job.to_owned(), url.to_string(), branch.clone());
            let from = self.heads.get(&key).cloned();
            if from.as_ref() == Some(&to) {
                texts.push(format!("{name} of {url} is still {}", short(&to)));
                continue;
            }
            first |= from.is_none();
            changes.push(Change {
                remote: url.to_string(),
                branch,
                from,
                to,
            });
        }
        if changes.is_empty() {
            return self.decide(job, why.about(), false, texts.join("; ")).await;
        }
        let ever_ran = self.jobs.get(job).is_some_and(|job| job.ever_ran);
        let only_first = changes.iter().all(|change| change.from.is_none());
        if only_first && ever_ran {
            let text = format!("first look at {url} since the job was defined: its state is remembered");
            self.decide(job, why.about(), false, text).await;
        } else {
            let cause = match why {
                Why::Poll => Cause::Poll {
                    changes: changes.clone(),
                },
                Why::Webhook => Cause::Webhook {
                    changes: changes.clone(),
                },
            };
            let text = if first && !ever_ran {
                format!("{cause}; the job has never run")
            } else {
                cause.to_string()
            };
            let quiet = match why {
                Why::Poll => self.quiet(job, QUIET_AFTER_POLL),
                Why::Webhook => self.quiet(job, 0),
            };
            let commits: BTreeMap<String, String> = changes
                .iter()
                .map(|change| (commit_key(url, &change.branch), change.to.clone()))
                .collect();
            let request = RunRequest {
                job: job.to_owned(),
                parameters: BTreeMap::new(),
                commits: None,
                cause,
            };
            match self.enqueue(request, false, quiet, commits).await {
                Ok(run) => {
                    self.decide(job, why.about(), true, format!("{run}: {text}"))
                        .await
                }
                Err(error) => {
                    // Not remembered: the next look tries again.
                    let text = herder_base::chain(&error).to_string();
                    return self.decide(job, why.about(), false, text).await;
                }
            }
        }
        for change in changes {
            self.see(job, change.remote, change.branch, change.to).await;
        }
    }

    /// Remembers what a job has seen, beyond a restart.
    pub(super) async fn see(&mut self, job: &str, remote: String, branch: String, commit: String) {
        let key = (job.to_owned(), remote.clone(), branch.clone());
        if self.heads.insert(key, commit.clone()).as_ref() == Some(&commit) {
            return;
        }
        let head = SeenHead {
            job: job.to_owned(),
            remote,
            branch,
            commit,
        };
        if let Err(error) = self.ports.journal.see(head, self.ports.clock.now()).await {
            tracing::warn!(job, "what was seen is not recorded: {error}");
        }
    }

    /// Remembers a decision; one that only repeats the last is not recorded again.
    pub(super) async fn decide(&mut self, job: &str, about: &str, ran: bool, why: String) {
        let decision = Decision {
            job: job.to_owned(),
            at: self.ports.clock.now(),
            about: about.to_owned(),
            ran,
            why,
        };
        let Some(known) = self.jobs.get_mut(job) else {
            return;
        };
        let repeats = known.decision.replace(decision.clone()).is_some_and(|last| {
            !ran && !last.ran && last.why == decision.why && last.about == decision.about
        });
        if repeats {
            return;
        }
        if let Err(error) = self.ports.journal.decide(decision.clone()).await {
            tracing::warn!(job, "a decision is not recorded: {error}");
        }
        self.tell(super::JobEvent::Decided(decision));
    }

    fn quiet(&self, job: &str, default: u64) -> SignedDuration {
        let seconds = self
            .jobs
            .get(job)
            .and_then(|job| job.definition.quiet_period)
            .unwrap_or(default);
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

const fn is_about_sources(trigger: &Trigger) -> bool {
    matches!(trigger, Trigger::Poll(_) | Trigger::Webhook)
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
