//! What happens after a run: the jobs that it starts, by what it says of them and by what they say of it.

use super::actor::Dispatcher;
use super::execute::Done;
use super::handle::RunRequest;
use super::triggering::{HIDDEN, secrets};
use crate::env::expand;
use crate::run::{Cause, RunStatus};
use herder_base::chain;
use herder_job::{Downstream, Ended, Job, Parameter, Trigger};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// A job to start.
struct Next {
    job: String,
    parameters: BTreeMap<String, String>,
    /// Exactly these commits.
    commits: Option<BTreeMap<String, String>>,
}

impl Dispatcher {
    /// Starts what follows a run.
    pub(super) async fn follow(&mut self, done: &Done) {
        let after = line(done);
        for next in self.followers(done) {
            let Next {
                job,
                parameters,
                commits,
            } = next;
            let text = format!("{} {}", done.id, done.status);
            if !self.jobs.contains_key(&job) {
                // It has no decisions of its own, so the one that named it tells.
                let why = format!("{text}, but there is no job `{job}` to start after it");
                self.decide(&done.id.job, "downstream", false, why).await;
                continue;
            }
            if job == done.id.job || after.contains(&job) {
                let mut line = after.clone();
                line.extend([done.id.job.clone(), job.clone()]);
                let why = format!(
                    "{text}, but the jobs would start each other for ever: {}",
                    line.join(" → ")
                );
                self.decide(&job, "upstream", false, why).await;
                continue;
            }
            let request = RunRequest {
                job: job.clone(),
                parameters,
                commits,
                cause: Cause::Upstream {
                    run: done.id.clone(),
                    after: after.clone(),
                },
            };
            let started = self.enqueue(request, false, SignedDuration::ZERO, BTreeMap::new());
            match started.await {
                Ok(run) => {
                    self.decide(&job, "upstream", true, format!("{run}: {text}"))
                        .await
                }
                Err(error) => {
                    let text = format!("{text}, but {}", chain(&error));
                    self.decide(&job, "upstream", false, text).await;
                }
            }
        }
    }

    /// Jobs that run after this one. What the job says of a follower counts, with its parameters, over what the follower
    /// says of the job.
    fn followers(&self, done: &Done) -> Vec<Next> {
        let Some(ended) = ended(done.status) else {
            return Vec::new();
        };
        let mut out: Vec<Next> = Vec::new();
        if let Some(entry) = self.jobs.get(&done.id.job) {
            let given = Given::new(&entry.definition, done);
            for next in entry
                .definition
                .downstream
                .iter()
                .filter(|next| next.when.follows(ended))
            {
                let follower = self.jobs.get(&next.job).map(|entry| &*entry.definition);
                out.push(given.to(next, follower, done));
            }
        }
        for (name, entry) in &self.jobs {
            let follows = entry.definition.triggers.iter().any(|trigger| {
                matches!(trigger, Trigger::Upstream { jobs, when } if jobs.contains(&done.id.job) && when.follows(ended))
            });
            if follows && !out.iter().any(|next| next.job == *name) {
                out.push(Next {
                    job: name.clone(),
                    parameters: BTreeMap::new(),
                    commits: None,
                });
            }
        }
        out
    }
}

/// The jobs whose runs led to this one.
fn line(done: &Done) -> Vec<String> {
    let mut line: Vec<String> = Vec::new();
    for cause in &done.causes {
        if let Cause::Upstream { run, after } = cause {
            for job in after.iter().chain([&run.job]) {
                if !line.contains(job) {
                    line.push(job.clone());
                }
            }
        }
    }
    line
}

fn ended(status: RunStatus) -> Option<Ended> {
    Some(match status {
        RunStatus::Succeeded => Ended::Well,
        RunStatus::Failed | RunStatus::TimedOut | RunStatus::Lost => Ended::Badly,
        RunStatus::Aborted => Ended::Told,
        RunStatus::Queued | RunStatus::Running => return None,
    })
}

/// What a run has to give.
struct Given {
    /// Its variables and parameters.
    values: BTreeMap<String, String>,
    /// The same with secrets hidden.
    shown: BTreeMap<String, String>,
}

impl Given {
    fn new(job: &Job, done: &Done) -> Self {
        let mut values = done.env.clone();
        values.extend(done.parameters.clone());
        let secret = secrets(job, &done.parameters);
        let mut shown = values.clone();
        for value in shown.values_mut() {
            if secret
                .iter()
                .any(|secret| !secret.expose().is_empty() && value.contains(secret.expose().as_str()))
            {
                HIDDEN.clone_into(value);
            }
        }
        Self { values, shown }
    }

    /// What one follower is given. A secret stays one: it goes only where the next job takes it for one.
    fn to(&self, next: &Downstream, follower: Option<&Job>, done: &Done) -> Next {
        let Downstream {
            job,
            when: _,
            parameters,
            current,
            same_commits,
        } = next;
        let takes_secrets = |name: &str| {
            follower
                .and_then(|job| job.parameters.iter().find(|parameter| parameter.name == name))
                .is_some_and(Parameter::is_secret)
        };
        let from = |name: &str| {
            if takes_secrets(name) {
                &self.values
            } else {
                &self.shown
            }
        };
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        if *current {
            for name in done.parameters.keys() {
                if let Some(value) = from(name).get(name) {
                    given.insert(name.clone(), value.clone());
                }
            }
        }
        for (name, value) in parameters {
            given.insert(name.clone(), expand(value, from(name)));
        }
        Next {
            job: job.clone(),
            parameters: given,
            commits: same_commits.then(|| done.commits.clone()),
        }
    }
}
