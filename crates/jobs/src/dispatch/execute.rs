//! One run from its start to its end: commits, environment, attempts, log, record.

use super::triggering::{namespace, secrets};
use super::{Ports, Settings, commit_key};
use crate::env::{EnvInput, environment, expand};
use crate::log::{LogError, LogWriter};
use crate::ports::{PortError, RunUpdate};
use crate::queue::Waiting;
use crate::remotes::{plain_branch, resolve};
use crate::run::{Cause, Checkout, RunEvent, RunId, RunRecord, RunResult, RunSpec, RunStatus};
use herder_base::{Url, chain, format_duration};
use herder_job::{Job, Source, Step};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a run needs besides itself.
pub(super) struct Context {
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(super) definition: Arc<Job>,
    pub(super) waiting: Waiting,
    /// Somebody ends this run.
    pub(super) abort: CancellationToken,
    /// The platform stops.
    pub(super) stop: CancellationToken,
    /// Tells the dispatcher which commits the run uses.
    pub(super) started: mpsc::Sender<(RunId, Vec<Checkout>)>,
}

/// How a run ended. `status` is `Running` if the platform stopped: the record stays as it is and the next start finds
/// it, exactly as after a crash.
pub(super) struct Done {
    pub(super) id: RunId,
    pub(super) status: RunStatus,
    pub(super) causes: Vec<Cause>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) env: BTreeMap<String, String>,
    /// The commits it used, by `URL#BRANCH`.
    pub(super) commits: BTreeMap<String, String>,
}

struct End {
    status: RunStatus,
    reason: Option<String>,
}

impl End {
    fn failed(reason: String) -> Self {
        Self {
            status: RunStatus::Failed,
            reason: Some(reason),
        }
    }
}

/// Runs it.
pub(super) async fn execute(context: Context) -> Done {
    let id = context.waiting.id.clone();
    let mut env = BTreeMap::new();
    let mut commits = BTreeMap::new();
    let hidden = secrets(&context.definition, &context.waiting.parameters);
    let writer = context
        .ports
        .logs
        .writer(&id, hidden, Arc::clone(&context.ports.clock))
        .await;
    let end = match writer {
        Ok(mut log) => {
            let mut end = match run(&context, &mut log, &mut env, &mut commits).await {
                Ok(end) => end,
                Err(error) => End::failed(chain(&error).to_string()),
            };
            // The reason goes into the record, and a container's last words may be in it.
            end.reason = end.reason.map(|reason| log.mask().apply_text(&reason));
            let mut text = format!("run {}", end.status);
            if end.status == RunStatus::Running {
                "the platform stops; what becomes of this run is decided at its next start"
                    .clone_into(&mut text);
            }
            if let Some(reason) = &end.reason {
                text = format!("{text}: {reason}");
            }
            if let Err(error) = log.note(&text).await {
                tracing::warn!(run = %id, "{}", chain(&error));
            }
            if let Err(error) = log.finish().await {
                tracing::warn!(run = %id, "{}", chain(&error));
            }
            end
        }
        Err(error) => End::failed(chain(&error).to_string()),
    };
    if end.status.is_final() {
        let update = RunUpdate {
            status: Some(end.status),
            reason: end.reason,
            finished_at: Some(context.ports.clock.now()),
            ..RunUpdate::default()
        };
        if let Err(error) = context.ports.journal.update(&id, update).await {
            tracing::error!(run = %id, "the end of the run is not recorded: {}", chain(&error));
        }
    }
    context.ports.logs.close(&id);
    Done {
        id,
        status: end.status,
        causes: context.waiting.causes,
        parameters: context.waiting.parameters,
        env,
        commits,
    }
}

async fn run(
    context: &Context,
    log: &mut LogWriter,
    env: &mut BTreeMap<String, String>,
    commits: &mut BTreeMap<String, String>,
) -> Result<End, LogError> {
    let Context {
        ports,
        definition,
        waiting,
        ..
    } = context;
    let id = &waiting.id;
    let short = log.mask().short();
    if short > 0 {
        log.note(&format!(
            "{short} secret values are shorter than 4 characters: they are not hidden in this log"
        ))
        .await?;
    }
    for cause in &waiting.causes {
        log.note(&cause.to_string()).await?;
    }
    let checkouts = tokio::select! {
        checkouts = checkouts(context) => checkouts,
        () = context.abort.cancelled() => return Ok(aborted()),
        () = context.stop.cancelled() => return Ok(stopped()),
    };
    let checkouts = match checkouts {
        Ok(checkouts) => checkouts,
        Err(error) => return Ok(End::failed(error.to_string())),
    };
    for checkout in &checkouts {
        let branch = if checkout.branch.is_empty() {
            "HEAD"
        } else {
            &checkout.branch
        };
        log.note(&format!("{} {branch} at {}", checkout.url, checkout.commit))
            .await?;
    }
    let history = match ports.journal.history(&id.job, 50).await {
        Ok(history) => history,
        Err(error) => return Ok(End::failed(error.to_string())),
    };
    let namespace = namespace(definition, &waiting.parameters);
    *env = environment(EnvInput {
        id,
        definition,
        parameters: &waiting.parameters,
        checkouts: &checkouts,
        previous: previous(&history, id, checkouts.first(), false),
        previous_successful: previous(&history, id, checkouts.first(), true),
        namespace: namespace.as_deref(),
        board: context.settings.board.as_deref(),
    });
    *commits = checkouts
        .iter()
        .map(|c| (commit_key(&c.url, &c.branch), c.commit.clone()))
        .collect();
    let recorded = ports
        .journal
        .update(
            id,
            RunUpdate {
                status: Some(RunStatus::Running),
                commits: Some(commits.clone()),
                started_at: Some(ports.clock.now()),
                ..RunUpdate::default()
            },
        )
        .await;
    if let Err(error) = recorded {
        return Ok(End::failed(error.to_string()));
    }
    // The dispatcher outlives its runs; if it is gone there is nobody to tell.
    let _ = context.started.send((id.clone(), checkouts.clone())).await;

    // Jobs that only start others have nothing to run themselves.
    if definition.steps.is_empty() {
        return Ok(if definition.does_something() {
            End {
                status: RunStatus::Succeeded,
                reason: Some("it has no steps of its own: it starts the jobs after it".to_owned()),
            }
        } else {
            End::failed("the job has no step: nothing was done".to_owned())
        });
    }
    let mut spec = RunSpec {
        id: id.clone(),
        definition: Arc::clone(definition),
        attempt: 0,
        parameters: waiting.parameters.clone(),
        checkouts,
        namespace,
        env: env.clone(),
        steps: definition.steps.clone(),
        secrets: secrets(definition, &waiting.parameters),
    };
    loop {
        spec.attempt += 1;
        let update = RunUpdate {
            attempt: Some(spec.attempt),
            ..RunUpdate::default()
        };
        if let Err(error) = ports.journal.update(id, update).await {
            return Ok(End::failed(error.to_string()));
        }
        let end = attempt(context, &spec, log).await?;
        let again =
            matches!(end.status, RunStatus::Failed | RunStatus::Lost) && spec.attempt <= definition.retries;
        if !again {
            return Ok(end);
        }
        log.note(&format!(
            "attempt {} of {} {}{}",
            spec.attempt,
            definition.retries + 1,
            end.status,
            end.reason.map(|r| format!(": {r}")).unwrap_or_default()
        ))
        .await?;
    }
}

fn aborted() -> End {
    End {
        status: RunStatus::Aborted,
        reason: None,
    }
}

fn stopped() -> End {
    End {
        status: RunStatus::Running,
        reason: None,
    }
}

/// One attempt: the executor and the writer of what it tells, side by side.
async fn attempt(context: &Context, spec: &RunSpec, log: &mut LogWriter) -> Result<End, LogError> {
    let (events, mut told) = mpsc::channel(256);
    let cancel = context.abort.child_token();
    let action = spec.steps.iter().find_map(|step| match step {
        Step::Action(action) => Some(*action),
        Step::Shell { .. } => None,
    });
    let mut work = match action {
        Some(action) => context
            .ports
            .actions
            .perform(action, spec, events, cancel.clone()),
        None => context.ports.executor.run(spec, events, cancel.clone()),
    };
    let limit = spec.definition.time_limit();
    let late = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(late);
    let (mut timed_out, mut stopping, mut result) = (false, false, None);
    let mut failure = None;
    loop {
        tokio::select! {
            event = told.recv() => match event {
                Some(event) => if failure.is_none() && let Err(error) = log.event(named(event, spec)).await {
                    // What cannot be logged is not run on, but the executor is still waited for.
                    cancel.cancel();
                    failure = Some(error);
                },
                None if result.is_some() => break,
                // The executor has closed the channel but works on.
                None => result = Some((&mut work).await),
            },
            ended = &mut work, if result.is_none() => result = Some(ended),
            () = &mut late, if !timed_out && result.is_none() => {
                timed_out = true;
                cancel.cancel();
            }
            () = context.stop.cancelled(), if !stopping && result.is_none() => {
                stopping = true;
                cancel.cancel();
            }
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(match result {
        Some(RunResult::Succeeded) => End {
            status: RunStatus::Succeeded,
            reason: None,
        },
        _ if stopping => stopped(),
        _ if timed_out => End {
            status: RunStatus::TimedOut,
            reason: limit.map(|limit| format!("it took longer than {}", format_duration(limit))),
        },
        _ if context.abort.is_cancelled() => aborted(),
        Some(RunResult::Failed { reason }) => End::failed(reason),
        Some(RunResult::Aborted) | None => aborted(),
        Some(RunResult::Lost { reason }) => End {
            status: RunStatus::Lost,
            reason: Some(reason),
        },
    })
}

/// The event with the name that the job gives its step.
fn named(event: RunEvent, spec: &RunSpec) -> RunEvent {
    match event {
        RunEvent::StepStarted { step, title } => {
            let given = usize::try_from(step)
                .ok()
                .and_then(|step| spec.steps.get(step)?.name());
            RunEvent::StepStarted {
                step,
                title: given.map_or(title, str::to_owned),
            }
        }
        other => other,
    }
}

/// The sources at the commits they have now, unless the trigger has seen or somebody has named others.
async fn checkouts(context: &Context) -> Result<Vec<Checkout>, PortError> {
    let mut references: BTreeMap<Url, BTreeMap<String, String>> = BTreeMap::new();
    let mut out = Vec::new();
    for source in &context.definition.sources {
        let Source {
            url,
            branch,
            directory,
            depth,
            submodules,
        } = source;
        let url = Url::from(expand(url.expose(), &context.waiting.parameters));
        let branch = expand(branch, &context.waiting.parameters);
        let branch = plain_branch(&branch).to_owned();
        let commit = match context.waiting.commits.get(&commit_key(&url, &branch)) {
            Some(commit) => commit.clone(),
            None => {
                if !references.contains_key(&url) {
                    references.insert(url.clone(), context.ports.remotes.ls_remote(&url).await?);
                }
                references
                    .get(&url)
                    .and_then(|references| resolve(references, &branch))
                    .ok_or_else(|| {
                        let what = if branch.is_empty() {
                            "head"
                        } else {
                            branch.as_str()
                        };
                        PortError(format!("{url} has no `{what}`"))
                    })?
            }
        };
        out.push(Checkout {
            url,
            branch,
            commit,
            directory: directory.clone(),
            depth: *depth,
            submodules: *submodules,
        });
    }
    Ok(out)
}

fn previous<'a>(
    history: &'a [RunRecord],
    id: &RunId,
    first: Option<&Checkout>,
    successful: bool,
) -> Option<&'a str> {
    let first = first?;
    let key = commit_key(&first.url, &first.branch);
    history
        .iter()
        .filter(|run| run.id.number < id.number && (!successful || run.status == RunStatus::Succeeded))
        .find_map(|run| run.commits.get(&key))
        .map(String::as_str)
}

/// Sends a remark, if anybody still listens.
pub(crate) async fn remark(events: &mpsc::Sender<RunEvent>, text: impl Into<String>) {
    let _ = events.send(RunEvent::Note(text.into())).await;
}
