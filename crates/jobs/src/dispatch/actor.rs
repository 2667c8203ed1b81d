//! The one task that owns the jobs: takes commands, watches the clock, starts and ends runs.

use super::execute::{Context, Done, execute};
use super::handle::{Command, JobEvent, JobView, RunRequest, TriggerError};
use super::poll::{Polled, Why};
use super::triggering::{HIDDEN, hidden, namespace, parameters};
use super::{Ports, Settings};
use crate::cron::Schedule;
use crate::ports::{Decision, NewRun, RunUpdate};
use crate::queue::{Queue, Waiting};
use crate::reconcile::{Checked, Existing, Reconciled, Removed, changes};
use crate::run::{Cause, Checkout, RunId, RunRecord, RunStatus};
use herder_base::{Url, chain, suggest};
use herder_job::{Job, Origin, Retention, Trigger};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The longest sleep: a clock that was set forward is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// A clock that goes back by less is being adjusted, not set.
const STEP: SignedDuration = SignedDuration::from_secs(5);

/// A job and its state.
pub(super) struct Entry {
    pub(super) definition: Arc<Job>,
    hash: String,
    pub(super) disabled: bool,
    timers: Vec<Timer>,
    pub(super) ever_ran: bool,
    pub(super) decision: Option<Decision>,
}

struct Timer {
    trigger: Trigger,
    schedule: Schedule,
    next: Option<Timestamp>,
}

struct Running {
    abort: CancellationToken,
    by: Option<String>,
}

/// Owns all jobs. Does nothing until [`Dispatcher::run`].
pub struct Dispatcher {
    settings: Settings,
    pub(super) ports: Ports,
    inbox: mpsc::Receiver<Command>,
    events: broadcast::Sender<JobEvent>,
    pub(super) jobs: BTreeMap<String, Entry>,
    queue: Queue,
    running: HashMap<RunId, Running>,
    pub(super) heads: HashMap<(String, String, String), String>,
    /// Runs of before the last stop, by job; dealt with as soon as the job is known again.
    leftover: BTreeMap<String, Vec<RunRecord>>,
    /// Remotes being asked, and who wants to know.
    pub(super) asking: HashMap<Url, Vec<(String, Why)>>,
    pub(super) again: BTreeSet<Url>,
    pub(super) polls: Arc<Semaphore>,
    pub(super) asks: JoinSet<Polled>,
    runs: JoinSet<Done>,
    pub(super) stop: CancellationToken,
    /// The time when triggers were last looked at.
    seen: Timestamp,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dispatcher({} jobs)", self.jobs.len())
    }
}

impl Dispatcher {
    pub(super) fn new(
        settings: Settings,
        ports: Ports,
        inbox: mpsc::Receiver<Command>,
        events: broadcast::Sender<JobEvent>,
    ) -> Self {
        Self {
            seen: ports.clock.now(),
            polls: Arc::new(Semaphore::new(settings.polls.max(1))),
            settings,
            ports,
            inbox,
            events,
            jobs: BTreeMap::new(),
            queue: Queue::default(),
            running: HashMap::new(),
            heads: HashMap::new(),
            leftover: BTreeMap::new(),
            asking: HashMap::new(),
            again: BTreeSet::new(),
            asks: JoinSet::new(),
            runs: JoinSet::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Works until `cancel`; then ends all runs and returns when they have ended.
    pub async fn run(mut self, cancel: CancellationToken) {
        self.remember().await;
        let (started, mut starts) = mpsc::channel(64);
        loop {
            self.start_ready(&started);
            let sleep = self.sleep();
            tokio::select! {
                () = cancel.cancelled() => break,
                command = self.inbox.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
                Some((run, checkouts)) = starts.recv() => self.on_started(&run, checkouts).await,
                Some(done) = self.runs.join_next(), if !self.runs.is_empty() => match done {
                    Ok(done) => self.done(done).await,
                    Err(error) => tracing::error!("a run's task failed: {error}"),
                },
                Some(answer) = self.asks.join_next(), if !self.asks.is_empty() => match answer {
                    Ok(answer) => self.polled(answer).await,
                    Err(error) => tracing::error!("a poll's task failed: {error}"),
                },
                () = tokio::time::sleep(sleep) => {}
            }
            self.fire().await;
        }
        self.stop.cancel();
        self.inbox.close();
        drop(starts);
        while self.asks.join_next().await.is_some() {}
        while let Some(done) = self.runs.join_next().await {
            if let Ok(done) = done
                && done.status.is_final()
            {
                self.tell(JobEvent::Finished {
                    run: done.id,
                    status: done.status,
                });
            }
        }
    }

    /// Reads what was before the last stop.
    async fn remember(&mut self) {
        match self.ports.journal.heads().await {
            Ok(heads) => {
                for head in heads {
                    self.heads
                        .insert((head.job, head.remote, head.branch), head.commit);
                }
            }
            Err(error) => tracing::error!("what jobs saw last cannot be read: {error}"),
        }
        match self.ports.journal.unfinished().await {
            Ok(runs) => {
                for run in runs {
                    self.leftover.entry(run.id.job.clone()).or_default().push(run);
                }
            }
            Err(error) => tracing::error!("unfinished runs cannot be read: {error}"),
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.ports.clock.now();
        let timers = self.jobs.values().filter(|job| !job.disabled);
        let next = timers
            .flat_map(|job| job.timers.iter().filter_map(|timer| timer.next))
            .chain(self.queue.next(now))
            .min();
        let until = next.map_or(LONGEST_SLEEP, |next| {
            Duration::try_from(next.duration_since(now)).unwrap_or_default()
        });
        until.clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }

    async fn command(&mut self, command: Command) {
        // Who asked may have gone meanwhile; what was asked is done nevertheless.
        match command {
            Command::Reconcile {
                definitions,
                built_in,
                removed,
                many,
                reply,
            } => {
                let report = self.reconcile(definitions, built_in, removed, many).await;
                let _ = reply.send(report);
            }
            Command::Run { request, reply } => {
                let quiet = self
                    .jobs
                    .get(&request.job)
                    .and_then(|job| job.definition.quiet_period);
                // People do not wait for a quiet period unless the job has one of its own.
                let quiet = match request.cause {
                    Cause::Manual { .. } | Cause::Platform { .. } => 0,
                    _ => quiet.unwrap_or(0),
                };
                let quiet = SignedDuration::from_secs(i64::try_from(quiet).unwrap_or(i64::MAX));
                let _ = reply.send(self.enqueue(request, true, quiet, BTreeMap::new()).await);
            }
            Command::Abort { run, by, reply } => {
                let _ = reply.send(self.abort(run, by).await);
            }
            Command::Notify { url, reply } => {
                let _ = reply.send(self.notified(&url).await);
            }
            Command::List { reply } => {
                let _ = reply.send(self.views());
            }
            Command::Tick { reply } => {
                self.fire().await;
                let _ = reply.send(());
            }
        }
    }

    async fn reconcile(
        &mut self,
        mut definitions: Vec<Job>,
        built_in: bool,
        removed: Removed,
        many: bool,
    ) -> Reconciled {
        let existing: BTreeMap<&str, Existing<'_>> = self
            .jobs
            .iter()
            .filter(|(_, job)| !built_in || job.definition.origin != Origin::BuiltIn)
            .map(|(name, job)| {
                let existing = Existing {
                    hash: &job.hash,
                    origin: job.definition.origin,
                    at: &job.definition.at,
                    disabled: job.disabled && !job.definition.disabled,
                };
                (name.as_str(), existing)
            })
            .collect();
        for definition in &mut definitions {
            match definition.origin {
                Origin::BuiltIn if !built_in => definition.origin = Origin::Native,
                _ if built_in => definition.origin = Origin::BuiltIn,
                _ => {}
            }
        }
        let changes = changes(&existing, &definitions, removed, many, &self.settings.zone);
        for checked in changes.put {
            self.put(checked).await;
        }
        for name in changes.remove {
            match removed {
                Removed::Disable => {
                    if let Some(job) = self.jobs.get_mut(&name) {
                        job.disabled = true;
                    }
                }
                Removed::Delete => {
                    self.jobs.remove(&name);
                    self.heads.retain(|(job, _, _), _| *job != name);
                    if let Err(error) = self.ports.journal.forget(&name).await {
                        tracing::warn!(job = name, "the removed job is not forgotten: {error}");
                    }
                    let waiting: Vec<RunId> =
                        self.queue.of(&name).map(|waiting| waiting.id.clone()).collect();
                    for run in waiting {
                        self.queue.remove(&run);
                        self.end_unstarted(&run, RunStatus::Aborted, "its job is no longer defined")
                            .await;
                    }
                }
                Removed::Ignore => {}
            }
        }
        self.tell(JobEvent::Reconciled(changes.report.clone()));
        changes.report
    }

    async fn put(&mut self, checked: Checked) {
        let now = self.ports.clock.now();
        let name = checked.definition.name.clone();
        let former = self.jobs.remove(&name);
        let ever_ran = match &former {
            Some(job) => job.ever_ran,
            None => self
                .ports
                .journal
                .history(&name, 1)
                .await
                .is_ok_and(|runs| !runs.is_empty()),
        };
        let timers = checked
            .schedules
            .into_iter()
            .map(|(trigger, schedule)| {
                // An unchanged trigger keeps its time: a job that is touched often is still polled.
                let kept = former
                    .as_ref()
                    .and_then(|job| job.timers.iter().find(|timer| timer.trigger == trigger))
                    .and_then(|timer| timer.next);
                let first = if matches!(trigger, Trigger::Poll(_)) && !ever_ran && former.is_none() {
                    // A job that never ran looks at once: nobody wants to wait for the first build.
                    Some(now)
                } else {
                    schedule.next(now)
                };
                Timer {
                    next: kept.or(first),
                    trigger,
                    schedule,
                }
            })
            .collect();
        let job = Entry {
            disabled: checked.definition.disabled,
            definition: Arc::new(checked.definition),
            hash: checked.hash,
            timers,
            ever_ran,
            decision: former.and_then(|job| job.decision),
        };
        self.jobs.insert(name.clone(), job);
        for run in self.leftover.remove(&name).unwrap_or_default() {
            self.take_over(run).await;
        }
    }

    /// A run of before the last stop: what waited waits again, what ran is lost and perhaps retried.
    async fn take_over(&mut self, run: RunRecord) {
        let Some(job) = self.jobs.get(&run.id.job) else {
            return;
        };
        let definition = Arc::clone(&job.definition);
        let secret = run.parameters.iter().any(|(name, value)| {
            value == HIDDEN
                && definition
                    .parameters
                    .iter()
                    .any(|p| p.name == *name && p.is_secret())
        });
        if run.status == RunStatus::Queued && !secret {
            self.ports.logs.announce(&run.id);
            self.queue.push(Waiting {
                id: run.id,
                parameters: run.parameters,
                causes: run.causes,
                commits: run.commits,
                pinned: false,
                not_before: self.ports.clock.now(),
            });
            return;
        }
        let reason = match run.status {
            RunStatus::Queued => {
                "the platform stopped while it waited, and its secret parameters are kept nowhere"
            }
            _ => "the platform stopped while it ran",
        };
        self.end_unstarted(&run.id, RunStatus::Lost, reason).await;
        if definition.retries > 0 && !secret {
            let request = RunRequest {
                job: run.id.job.clone(),
                parameters: run.parameters,
                commits: None,
                cause: Cause::Retry { of: run.id.number },
            };
            if let Err(error) = self
                .enqueue(request, false, SignedDuration::ZERO, run.commits)
                .await
            {
                tracing::warn!(run = %run.id, "the lost run is not retried: {}", chain(&error));
            }
        }
    }

    /// Makes a run wait, or joins one that does. `commits` are what the trigger saw.
    pub(super) async fn enqueue(
        &mut self,
        request: RunRequest,
        strict: bool,
        quiet: SignedDuration,
        commits: BTreeMap<String, String>,
    ) -> Result<RunId, TriggerError> {
        let RunRequest { job: name, cause, .. } = request;
        let Some(job) = self.jobs.get(&name) else {
            let suggestion = suggest(&name, self.jobs.keys().map(String::as_str)).map(str::to_owned);
            return Err(TriggerError::NoJob {
                job: name,
                suggestion,
            });
        };
        if !job.definition.refused.is_empty() {
            return Err(TriggerError::Refused {
                why: job.definition.refused.clone(),
                job: name,
            });
        }
        if job.disabled {
            return Err(TriggerError::Disabled(name));
        }
        let definition = Arc::clone(&job.definition);
        let parameters = parameters(&definition, &request.parameters, strict)?;
        let now = self.ports.clock.now();
        let not_before = now.saturating_add(quiet).unwrap_or(Timestamp::MAX);
        let failed = |source| TriggerError::Journal {
            job: name.clone(),
            source,
        };
        if let Some(waiting) = self.queue.joins(&name, &parameters, request.commits.as_ref()) {
            if !waiting.causes.contains(&cause) {
                waiting.causes.push(cause);
            }
            waiting.commits.extend(commits);
            waiting.not_before = waiting.not_before.min(not_before);
            let (id, causes) = (waiting.id.clone(), waiting.causes.clone());
            let update = RunUpdate {
                causes: Some(causes),
                ..RunUpdate::default()
            };
            self.ports.journal.update(&id, update).await.map_err(failed)?;
            return Ok(id);
        }
        let pinned = request.commits.is_some();
        let commits = request.commits.unwrap_or(commits);
        let record = self
            .ports
            .journal
            .begin(NewRun {
                job: name.clone(),
                causes: vec![cause],
                parameters: hidden(&definition, &parameters),
                commits: commits.clone(),
                namespace: namespace(&definition, &parameters),
                queued_at: now,
            })
            .await
            .map_err(failed)?;
        self.ports.logs.announce(&record.id);
        self.queue.push(Waiting {
            id: record.id.clone(),
            parameters,
            causes: record.causes,
            commits,
            pinned,
            not_before,
        });
        if let Some(job) = self.jobs.get_mut(&name) {
            job.ever_ran = true;
        }
        self.tell(JobEvent::Queued {
            run: record.id.clone(),
        });
        Ok(record.id)
    }

    async fn abort(&mut self, run: RunId, by: String) -> Result<(), TriggerError> {
        if self.queue.remove(&run).is_some() {
            self.end_unstarted(
                &run,
                RunStatus::Aborted,
                &format!("ended by {by} before it started"),
            )
            .await;
            return Ok(());
        }
        match self.running.get_mut(&run) {
            Some(running) => {
                running.by = Some(by);
                running.abort.cancel();
                Ok(())
            }
            None => Err(TriggerError::NotActive(run)),
        }
    }

    async fn end_unstarted(&mut self, run: &RunId, status: RunStatus, reason: &str) {
        let update = RunUpdate {
            status: Some(status),
            reason: Some(reason.to_owned()),
            finished_at: Some(self.ports.clock.now()),
            ..RunUpdate::default()
        };
        if let Err(error) = self.ports.journal.update(run, update).await {
            tracing::error!(%run, "its end is not recorded: {error}");
        }
        self.ports.logs.close(run);
        self.tell(JobEvent::Finished {
            run: run.clone(),
            status,
        });
    }

    fn start_ready(&mut self, started: &mpsc::Sender<(RunId, Vec<Checkout>)>) {
        let now = self.ports.clock.now();
        while !self.queue.is_empty() {
            let (jobs, running) = (&self.jobs, &self.running);
            // What the platform itself does takes no place of anybody's and waits for none.
            let places = |job: &Job| job.origin == Origin::BuiltIn || running.len() < self.settings.executors;
            let free = |name: &str| {
                jobs.get(name).is_some_and(|job| {
                    let alone = job.definition.concurrent || !running.keys().any(|run| run.job == name);
                    alone && places(&job.definition)
                })
            };
            let Some(waiting) = self.queue.take(now, free) else {
                break;
            };
            let Some(job) = self.jobs.get(&waiting.id.job) else {
                break;
            };
            let abort = CancellationToken::new();
            self.running.insert(
                waiting.id.clone(),
                Running {
                    abort: abort.clone(),
                    by: None,
                },
            );
            self.runs.spawn(execute(Context {
                ports: self.ports.clone(),
                settings: self.settings.clone(),
                definition: Arc::clone(&job.definition),
                waiting,
                abort,
                stop: self.stop.clone(),
                started: started.clone(),
            }));
        }
    }

    async fn on_started(&mut self, run: &RunId, checkouts: Vec<Checkout>) {
        for checkout in checkouts {
            self.see(
                &run.job,
                checkout.url.to_string(),
                checkout.branch,
                checkout.commit,
            )
            .await;
        }
        self.tell(JobEvent::Started { run: run.clone() });
    }

    async fn done(&mut self, done: Done) {
        let running = self.running.remove(&done.id);
        if let Some(by) = running.and_then(|running| running.by)
            && done.status == RunStatus::Aborted
        {
            let update = RunUpdate {
                reason: Some(format!("ended by {by}")),
                ..RunUpdate::default()
            };
            if let Err(error) = self.ports.journal.update(&done.id, update).await {
                tracing::warn!(run = %done.id, "who ended it is not recorded: {error}");
            }
        }
        self.tell(JobEvent::Finished {
            run: done.id.clone(),
            status: done.status,
        });
        if !done.status.is_final() {
            return;
        }
        self.follow(&done).await;
        self.retain(&done.id.job).await;
    }

    /// Removes finished runs the job does not want to keep.
    async fn retain(&mut self, name: &str) {
        let Some(Retention { runs, age }) = self.jobs.get(name).map(|job| job.definition.retention) else {
            return;
        };
        if runs.is_none() && age.is_none() {
            return;
        }
        let history = match self.ports.journal.history(name, 100_000).await {
            Ok(history) => history,
            Err(error) => return tracing::warn!(job = name, "old runs cannot be listed: {error}"),
        };
        let now = self.ports.clock.now();
        let last_good = history.iter().find(|run| run.status == RunStatus::Succeeded);
        let old: Vec<u64> = history
            .iter()
            .enumerate()
            .filter(|(index, run)| {
                let too_many = runs.is_some_and(|runs| *index >= usize::try_from(runs).unwrap_or(usize::MAX));
                let since = now.duration_since(run.finished_at.unwrap_or(now)).as_secs();
                let too_old = age.is_some_and(|age| u64::try_from(since).is_ok_and(|since| since >= age));
                let precious = *index == 0 || last_good.is_some_and(|good| good.id == run.id);
                run.status.is_final() && !precious && (too_many || too_old)
            })
            .map(|(_, run)| run.id.number)
            .collect();
        if old.is_empty() {
            return;
        }
        // Logs first: a record without a log says so, a log without a record would be forgotten.
        if let Err(error) = self.ports.logs.remove(name, &old).await {
            return tracing::warn!(job = name, "{}", chain(&error));
        }
        if let Err(error) = self.ports.artefacts.remove(name, &old).await {
            return tracing::warn!(job = name, "{}", chain(&error));
        }
        if let Err(error) = self.ports.journal.remove(name, &old).await {
            tracing::warn!(job = name, "old runs cannot be removed: {error}");
        }
    }

    /// Notices a clock that was set back: what was to come by the old time is to come by the new one. Otherwise every
    /// schedule would be silent until the clock has caught up.
    fn follow_clock(&mut self, now: Timestamp) {
        let back = self.seen.duration_since(now);
        self.seen = now;
        if back < STEP {
            return;
        }
        tracing::warn!("the clock was set back by {back:#}; schedules follow it");
        for job in self.jobs.values_mut() {
            for timer in &mut job.timers {
                let next = timer.schedule.next(now);
                timer.next = timer.next.min(next).or(next);
            }
        }
        self.queue.earlier_by(back);
    }

    /// Fires every trigger whose time has come. A time that passed unnoticed (sleep, a clock set forward) fires once.
    async fn fire(&mut self) {
        let now = self.ports.clock.now();
        self.follow_clock(now);
        let mut due: Vec<(String, Trigger)> = Vec::new();
        for (name, job) in &mut self.jobs {
            for timer in &mut job.timers {
                if timer.next.is_some_and(|next| next <= now) {
                    timer.next = timer.schedule.next(now);
                    if !job.disabled && job.definition.refused.is_empty() {
                        due.push((name.clone(), timer.trigger.clone()));
                    }
                }
            }
        }
        for (job, trigger) in due {
            match trigger {
                Trigger::Poll(_) => self.poll(&job, Why::Poll).await,
                Trigger::Cron(spec) => {
                    let cause = Cause::Cron { spec };
                    let why = cause.to_string();
                    let request = RunRequest {
                        job: job.clone(),
                        parameters: BTreeMap::new(),
                        commits: None,
                        cause,
                    };
                    match self
                        .enqueue(request, false, SignedDuration::ZERO, BTreeMap::new())
                        .await
                    {
                        Ok(run) => self.decide(&job, "cron", true, format!("{run}: {why}")).await,
                        Err(error) => {
                            let why = chain(&error).to_string();
                            self.decide(&job, "cron", false, why).await;
                        }
                    }
                }
                Trigger::Webhook | Trigger::Upstream { .. } => {}
            }
        }
    }

    fn views(&self) -> Vec<JobView> {
        self.jobs
            .iter()
            .map(|(name, job)| {
                let mut running: Vec<u64> = self
                    .running
                    .keys()
                    .filter(|run| run.job == *name)
                    .map(|run| run.number)
                    .collect();
                running.sort_unstable();
                JobView {
                    definition: Arc::clone(&job.definition),
                    disabled: job.disabled,
                    next: job.timers.iter().filter_map(|timer| timer.next).min(),
                    running,
                    queued: self.queue.of(name).map(|waiting| waiting.id.number).collect(),
                    decision: job.decision.clone(),
                }
            })
            .collect()
    }

    pub(super) fn tell(&self, event: JobEvent) {
        // Nobody listening is no fault.
        let _ = self.events.send(event);
    }
}
