//! The dispatcher with real processes, a clock that is moved by hand, and remotes that are lists of commits.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use futures::StreamExt;
use futures::future::BoxFuture;
use herder_base::{Clock, Commit, FixedClock, Tree, TreeBuilder, Url};
use herder_jobs::log::LineKind;
use herder_jobs::{
    Action, Actions, ArtefactStore, Cause, Checkouts, Downstream, Executor, Job, Jobs, Journal,
    LocalExecutor, LogStore, MemoryJournal, Parameter, ParameterKind, PortError, Ports, Remotes, Removed,
    Retention, RunEvent, RunId, RunRecord, RunRequest, RunResult, RunSpec, RunStatus, RunUpdate, Settings,
    Source, Step, Target, Trigger, TriggerError, When,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const URL: &str = "https://git.example.org/team/app.git";

/// One remote whose main branch is at a commit that tests move.
#[derive(Default)]
struct Git {
    head: Mutex<String>,
    asked: AtomicUsize,
}

impl Remotes for Git {
    fn ls_remote<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<BTreeMap<String, String>, PortError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let head = self.head.lock().unwrap().clone();
        Box::pin(async move {
            if url.expose() != URL {
                return Err(PortError(format!("{url}: not found")));
            }
            Ok([
                ("HEAD".to_owned(), head.clone()),
                ("refs/heads/main".to_owned(), head),
            ]
            .into())
        })
    }
}

impl Checkouts for Git {
    fn tree<'a>(&'a self, _url: &'a Url, commit: &'a str) -> BoxFuture<'a, Result<Tree, PortError>> {
        Box::pin(async move {
            let mut builder = TreeBuilder::default();
            builder.insert("someApp/version", commit.as_bytes()).unwrap();
            Ok(builder.build(Commit::new(commit)))
        })
    }
}

struct Platform;

impl Actions for Platform {
    fn perform<'a>(
        &'a self,
        action: Action,
        spec: &'a RunSpec,
        events: mpsc::Sender<RunEvent>,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult> {
        Box::pin(async move {
            let text = format!("{action:?} at {}", spec.checkouts[0].commit);
            events.send(RunEvent::Note(text)).await.unwrap();
            RunResult::Succeeded
        })
    }
}

struct World {
    jobs: Jobs,
    git: Arc<Git>,
    clock: FixedClock,
    journal: Arc<MemoryJournal>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(Arc::new(MemoryJournal::default()))
    }

    fn with(journal: Arc<MemoryJournal>) -> Self {
        Self::with_settings(journal, Settings::default())
    }

    fn with_settings(journal: Arc<MemoryJournal>, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let git = Arc::new(Git::default());
        "c1".clone_into(&mut git.head.lock().unwrap());
        let clock = FixedClock::new("2026-11-23T05:00:30Z".parse().unwrap());
        let path = std::env::var("PATH").unwrap();
        let local: Arc<dyn Executor> =
            Arc::new(LocalExecutor::new(dir.path().join("work"), path, git.clone()));
        let ports = Ports {
            executor: local,
            actions: Arc::new(Platform),
            remotes: git.clone(),
            journal: journal.clone(),
            clock: Arc::new(clock.clone()),
            logs: LogStore::new(dir.path().join("logs")),
            artefacts: ArtefactStore::new(dir.path().join("artefacts")),
        };
        let (jobs, dispatcher) = Jobs::new(settings, ports);
        let stop = CancellationToken::new();
        let token = stop.clone();
        #[allow(clippy::disallowed_methods, reason = "the test itself owns and joins it")]
        let task = tokio::spawn(dispatcher.run(token));
        Self {
            jobs,
            git,
            clock,
            journal,
            stop,
            task,
            dir,
        }
    }

    async fn define(&self, definitions: &[Job]) {
        let report = self
            .jobs
            .reconcile(definitions.to_vec(), Removed::Delete, false)
            .await
            .unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
    }

    async fn run(&self, request: RunRequest) -> RunRecord {
        let id = self.jobs.trigger(request).await.unwrap();
        self.jobs.wait(&id).await.unwrap()
    }

    async fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.jobs.tick().await.unwrap();
    }

    /// Waits for a run to exist and end.
    async fn ended(&self, job: &str, number: u64) -> RunRecord {
        let id = run(job, number);
        loop {
            if let Ok(record) = self.jobs.wait(&id).await {
                return record;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the job's last decision says this.
    async fn decided(&self, job: &str, text: &str) {
        loop {
            let views = self.jobs.list().await.unwrap();
            let view = views.iter().find(|view| view.definition.name == job).unwrap();
            if view
                .decision
                .as_ref()
                .is_some_and(|decision| decision.why.contains(text))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn log(&self, id: &RunId) -> Vec<(LineKind, String)> {
        self.jobs
            .logs()
            .tail(id, 0)
            .map(|item| item.unwrap().line)
            .map(|line| (line.kind, line.text))
            .collect()
            .await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        // Nothing is left of any workspace.
        let left = std::fs::read_dir(self.dir.path().join("work"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
    }
}

fn run(job: &str, number: u64) -> RunId {
    RunId {
        job: job.to_owned(),
        number,
    }
}

fn job(name: &str, steps: &[&str]) -> Job {
    Job {
        name: name.to_owned(),
        steps: steps.iter().map(|step| Step::shell(*step)).collect(),
        ..Job::default()
    }
}

fn source() -> Vec<Source> {
    vec![Source {
        url: URL.into(),
        branch: "*/main".to_owned(),
        ..Source::default()
    }]
}

#[tokio::test]
async fn steps_run_as_in_jenkins() {
    let world = World::new();
    let parameter = |name: &str, kind| Parameter {
        name: name.to_owned(),
        description: String::new(),
        kind,
    };
    let mut build = job(
        "team/build",
        &[
            "echo $BUILD_TAG to $NAMESPACE from $GIT_BRANCH\ncat ~/someApp/version; echo token=$TOKEN",
            "#!/usr/bin/env bash\nprintf 'no newline'; [[ $HOME == $WORKSPACE ]]",
        ],
    );
    build.sources = source();
    build.target = Target::Parameter("NAMESPACE".to_owned());
    build.parameters = vec![
        parameter(
            "NAMESPACE",
            ParameterKind::String {
                default: "staging".to_owned(),
            },
        ),
        parameter(
            "TOKEN",
            ParameterKind::Password {
                default: String::new(),
            },
        ),
        parameter(
            "WHERE",
            ParameterKind::Choice {
                choices: vec!["eu".to_owned(), "us".to_owned()],
                default: "eu".to_owned(),
            },
        ),
    ];
    let mut after = job("deploy", &["echo version $VERSION"]);
    after.parameters = vec![parameter(
        "VERSION",
        ParameterKind::String {
            default: String::new(),
        },
    )];
    build.downstream = vec![Downstream {
        job: "deploy".to_owned(),
        parameters: [("VERSION".to_owned(), "$GIT_COMMIT-$BUILD_NUMBER".to_owned())].into(),
        ..Downstream::default()
    }];
    world.define(&[build, after]).await;

    let mut request = RunRequest::manual("team/build", "ada");
    request
        .parameters
        .insert("TOKEN".to_owned(), "s3cr3t!".to_owned());
    let record = world.run(request.clone()).await;
    assert_eq!(
        record.status,
        RunStatus::Succeeded,
        "{:?}",
        world.log(&record.id).await
    );
    assert_eq!(record.namespace.as_deref(), Some("staging"));
    assert_eq!(record.parameters["TOKEN"], "********");
    assert_eq!(record.commits[&format!("{URL}#main")], "c1");
    let log = world.log(&record.id).await;
    let text = |wanted: LineKind| -> Vec<&str> {
        log.iter()
            .filter(|(kind, _)| *kind == wanted)
            .map(|(_, text)| text.as_str())
            .collect()
    };
    let first = text(LineKind::Text(0)).join("\n");
    assert!(
        first.contains("jenkins-team-build-1 to staging from origin/main"),
        "{first}"
    );
    assert!(
        first.contains("\ntoken=********") && first.contains("+ echo token=********"),
        "{first}"
    );
    assert_eq!(text(LineKind::Text(1)), ["no newline"]);
    assert_eq!(text(LineKind::End(0)), ["0"]);
    assert_eq!(text(LineKind::Note)[0], "started by ada");
    let raw = std::fs::read_to_string(world.jobs.logs().path(&record.id)).unwrap();
    assert!(raw.starts_with("#herder-log 1 team/build #1\n") && !raw.contains("s3cr3t"));

    let deployed = world.ended("deploy", 1).await;
    assert_eq!(deployed.parameters["VERSION"], "c1-1");
    assert_eq!(
        deployed.causes,
        [Cause::Upstream {
            run: record.id.clone(),
            after: Vec::new(),
        }]
    );

    for (name, value, expected) in [
        ("NAMESPACE", "no/such", "a namespace has up to 63"),
        ("WHERE", "mars", "choose one of eu, us"),
        (
            "OTHER",
            "x",
            "has no parameter `OTHER`; it has NAMESPACE, TOKEN, WHERE",
        ),
    ] {
        let mut request = request.clone();
        request.parameters.insert(name.to_owned(), value.to_owned());
        let error = world.jobs.trigger(request).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = world
        .jobs
        .trigger(RunRequest::manual("team/biuld", "ada"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean `team/build`?"),
        "{error}"
    );
    world.end().await;
}

#[tokio::test]
async fn failures_retries_timeouts_and_aborts() {
    let world = World::new();
    let mut flaky = job("flaky", &["echo first", "exit 3", "echo never"]);
    flaky.retries = 2;
    let mut slow = job("slow", &["sleep 600 & sleep 600"]);
    slow.timeout = Some(1);
    let endless = job(
        "endless",
        &["trap '' TERM; echo begun; while :; do sleep 600; done"],
    );
    let lost = {
        let mut job = job("unreachable", &["true"]);
        job.sources = vec![Source {
            url: "https://git.example.org/none".into(),
            ..Source::default()
        }];
        job
    };
    world.define(&[flaky, slow, endless, lost]).await;

    let record = world.run(RunRequest::manual("flaky", "ada")).await;
    assert_eq!((record.status, record.attempt), (RunStatus::Failed, 3));
    assert_eq!(record.reason.as_deref(), Some("step 2 ended with 3"));
    let log = world.log(&record.id).await;
    assert!(!log.iter().any(|(_, text)| text.contains("never")));

    let record = world.run(RunRequest::manual("slow", "ada")).await;
    assert_eq!(record.status, RunStatus::TimedOut);
    assert_eq!(record.reason.as_deref(), Some("it took longer than 1s"));

    let record = world.run(RunRequest::manual("unreachable", "ada")).await;
    assert_eq!(record.status, RunStatus::Failed);
    assert_eq!(
        record.reason.as_deref(),
        Some("https://git.example.org/none: not found")
    );

    let id = world
        .jobs
        .trigger(RunRequest::manual("endless", "ada"))
        .await
        .unwrap();
    let waiting = world
        .jobs
        .trigger(RunRequest::manual("endless", "eve"))
        .await
        .unwrap();
    let mut tail = Box::pin(world.jobs.logs().tail(&id, 0));
    while let Some(item) = tail.next().await {
        if item.unwrap().line.text == "begun" {
            break;
        }
    }
    // The second waits for the first: the job is not concurrent.
    assert_eq!(waiting.number, id.number + 1);
    world.jobs.abort(&waiting, "ada").await.unwrap();
    world.jobs.abort(&id, "ada").await.unwrap();
    let record = world.jobs.wait(&id).await.unwrap();
    assert_eq!(record.status, RunStatus::Aborted);
    assert!(
        tail.next().await.is_some(),
        "what follows the abort is followed too"
    );
    assert!(world.jobs.abort(&id, "ada").await.is_err());
    world.end().await;
}

#[tokio::test]
async fn one_question_per_remote_and_a_decision_per_job() {
    let world = World::new();
    let polling = |name: String| Job {
        sources: source(),
        triggers: vec![Trigger::Poll("* * * * *".to_owned())],
        ..job(&name, &["cat someApp/version"])
    };
    let jobs: Vec<Job> = (0..20).map(|i| polling(format!("job{i}"))).collect();
    world.define(&jobs).await;
    // Never run: each looks at once, all with one question, and builds after the quiet period.
    world.decided("job19", "the job has never run").await;
    world.decided("job0", "the job has never run").await;
    assert_eq!(world.git.asked.load(Ordering::SeqCst), 1);
    world.advance(5).await;
    for i in 0..20 {
        let record = world.ended(&format!("job{i}"), 1).await;
        assert_eq!(record.status, RunStatus::Succeeded);
    }

    world.advance(60).await;
    world
        .decided("job3", "main of https://git.example.org/team/app.git is still c1")
        .await;
    assert_eq!(world.git.asked.load(Ordering::SeqCst), 2);

    "c2".clone_into(&mut world.git.head.lock().unwrap());
    world.advance(60).await;
    world.decided("job7", "is now c2").await;
    // A second push within the quiet period joins the waiting run.
    "c3".clone_into(&mut world.git.head.lock().unwrap());
    let told = world.jobs.notify("git@git.example.org:team/app").await.unwrap();
    assert_eq!(told.len(), 20);
    let record = world.ended("job7", 2).await;
    assert_eq!(record.commits[&format!("{URL}#main")], "c3");
    assert_eq!(record.causes.len(), 2);
    assert!(world.jobs.notify("https://other/x").await.unwrap().is_empty());
    let decisions = world.journal.decisions("job7", 10).await.unwrap();
    assert!(decisions[0].why.starts_with("job7 #2: webhook:"), "{decisions:?}");
    assert_eq!(world.git.asked.load(Ordering::SeqCst), 4);

    // Unchanged jobs keep their state, a removed one is forgotten.
    let report = world
        .jobs
        .reconcile(jobs[1..].to_vec(), Removed::Delete, false)
        .await
        .unwrap();
    assert_eq!((report.unchanged, report.removed), (19, vec!["job0".to_owned()]));
    world.end().await;
}

#[tokio::test]
async fn a_restart_loses_nothing_silently() {
    let journal = Arc::new(MemoryJournal::default());
    let begin = |job: &str| {
        let (journal, job) = (journal.clone(), job.to_owned());
        async move {
            let run = herder_jobs::NewRun {
                job,
                causes: vec![Cause::Manual { by: "ada".to_owned() }],
                parameters: BTreeMap::new(),
                commits: BTreeMap::new(),
                namespace: None,
                queued_at: "2026-11-23T04:00:00Z".parse().unwrap(),
            };
            journal.begin(run).await.unwrap().id
        }
    };
    let (ran, waited) = (begin("a").await, begin("b").await);
    let running = RunUpdate {
        status: Some(RunStatus::Running),
        ..RunUpdate::default()
    };
    journal.update(&ran, running).await.unwrap();

    let world = World::with(journal.clone());
    let mut a = job("a", &["echo again"]);
    a.retries = 1;
    world.define(&[a, job("b", &["echo now"])]).await;
    let record = world.ended("a", 1).await;
    assert_eq!(record.status, RunStatus::Lost);
    assert_eq!(
        record.reason.as_deref(),
        Some("the platform stopped while it ran")
    );
    let retried = world.ended("a", 2).await;
    assert_eq!(
        (retried.status, retried.causes),
        (RunStatus::Succeeded, vec![Cause::Retry { of: 1 }])
    );
    assert_eq!(
        world.jobs.wait(&waited).await.unwrap().status,
        RunStatus::Succeeded
    );

    // Stopping while something runs leaves it to the next start.
    world.define(&[job("c", &["echo up; sleep 600"])]).await;
    let id = world.jobs.trigger(RunRequest::manual("c", "ada")).await.unwrap();
    let mut tail = Box::pin(world.jobs.logs().tail(&id, 0));
    while tail
        .next()
        .await
        .is_some_and(|item| item.unwrap().line.text != "up")
    {}
    world.end().await;
    assert_eq!(
        journal.get(&id).await.unwrap().unwrap().status,
        RunStatus::Running
    );
    let last = tail.map(|item| item.unwrap().line.text).collect::<Vec<_>>().await;
    assert!(last.last().unwrap().contains("the platform stops"), "{last:?}");
}

#[tokio::test]
async fn the_platforms_own_job_waits_for_no_place() {
    let world = World::with_settings(
        Arc::new(MemoryJournal::default()),
        Settings {
            executors: 1,
            ..Settings::default()
        },
    );
    let mut update = job("update-jobs", &[]);
    update.steps = vec![Step::Action(Action::UpdateJobs)];
    update.sources = source();
    world.jobs.add_built_in(vec![update]).await.unwrap();
    world
        .define(&[job("long", &["sleep 600"]), job("next", &["true"])])
        .await;
    let long = world
        .jobs
        .trigger(RunRequest::manual("long", "ada"))
        .await
        .unwrap();
    let next = world
        .jobs
        .trigger(RunRequest::manual("next", "ada"))
        .await
        .unwrap();
    let record = world.run(RunRequest::manual("update-jobs", "ada")).await;
    assert_eq!(record.status, RunStatus::Succeeded);
    let waiting = world.journal.get(&next).await.unwrap().unwrap();
    assert_eq!(waiting.status, RunStatus::Queued);
    world.jobs.abort(&long, "ada").await.unwrap();
    world.ended("next", 1).await;
    world.end().await;
}

#[tokio::test]
async fn cron_retention_and_actions() {
    let world = World::new();
    let mut update = job("update-jobs", &[]);
    update.steps = vec![Step::Action(Action::UpdateJobs)];
    update.sources = source();
    world.jobs.add_built_in(vec![update.clone()]).await.unwrap();
    let mut nightly = job("nightly", &["exit $((BUILD_NUMBER > 1))"]);
    nightly.triggers = vec![Trigger::Cron("* * * * *".to_owned())];
    nightly.retention = Retention {
        runs: Some(2),
        age: None,
    };
    world.define(&[nightly]).await;
    let report = world
        .jobs
        .reconcile(vec![update], Removed::Ignore, false)
        .await
        .unwrap();
    assert!(report.refused[0].1.contains("built in"), "{report:?}");

    let record = world.run(RunRequest::manual("update-jobs", "ada")).await;
    assert_eq!(record.status, RunStatus::Succeeded);
    assert!(
        world
            .log(&record.id)
            .await
            .iter()
            .any(|(_, text)| text == "UpdateJobs at c1")
    );

    for number in 1..=5 {
        world.advance(60).await;
        world.ended("nightly", number).await;
    }
    world.jobs.list().await.unwrap();
    let history = world.journal.history("nightly", 10).await.unwrap();
    let numbers: Vec<u64> = history.iter().map(|run| run.id.number).collect();
    // The newest two, and the last that succeeded.
    assert_eq!(numbers, [5, 4, 1]);
    assert!(!world.jobs.logs().path(&run("nightly", 2)).exists());
    assert!(matches!(
        world.jobs.logs().tail(&run("nightly", 2), 0).boxed().next().await,
        Some(Err(error)) if error.to_string().contains("removed by the job's retention")
    ));
    assert!(world.clock.now() > history[0].queued_at || history[0].finished_at.is_some());
    world.end().await;
}

#[tokio::test]
async fn jobs_start_each_other_and_come_to_an_end() {
    let world = World::new();
    let next = |job: &str, when| Downstream {
        job: job.to_owned(),
        when,
        current: true,
        ..Downstream::default()
    };
    let with = |mut job: Job, downstream: Vec<Downstream>| {
        job.downstream = downstream;
        job.parameters = vec![Parameter {
            name: "WHO".to_owned(),
            description: String::new(),
            kind: ParameterKind::String {
                default: "nobody".to_owned(),
            },
        }];
        job
    };
    let first = with(
        job("first", &["true"]),
        vec![
            next("second", When::Success),
            next("never", When::Failure),
            next("nowhere", When::Success),
        ],
    );
    // Goes round, and has no step of its own.
    let second = with(
        job("second", &[]),
        vec![next("first", When::Success), next("third", When::Always)],
    );
    let mut third = with(
        job("third", &["echo third of $WHO; false"]),
        vec![next("never", When::Success)],
    );
    third.steps[0] = Step::Shell {
        name: "greet".to_owned(),
        text: "echo $GREETING $WHO; false".to_owned(),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
    };
    let mut cleanup = job("cleanup", &["true"]);
    cleanup.triggers = vec![Trigger::Upstream {
        jobs: vec!["third".to_owned()],
        when: When::Completed,
    }];
    world
        .define(&[first, second, third, cleanup, job("never", &["true"])])
        .await;
    let mut request = RunRequest::manual("first", "ada");
    request.parameters.insert("WHO".to_owned(), "ada".to_owned());
    let record = world.run(request).await;
    assert_eq!(record.status, RunStatus::Succeeded);
    world.ended("second", 1).await;
    world.ended("third", 1).await;
    world.ended("cleanup", 1).await;
    let log = world.log(&run("third", 1)).await;
    assert!(log.contains(&(LineKind::Begin(0), "greet".to_owned())), "{log:?}");
    assert!(log.iter().any(|(_, text)| text == "hello ada"), "{log:?}");
    world.decided("first", "for ever: first → second → first").await;
    let told = world.journal.decisions("first", 10).await.unwrap();
    assert!(
        told.iter()
            .any(|decision| decision.why.contains("there is no job `nowhere`")),
        "{told:?}"
    );
    for (job, runs) in [("first", 1), ("never", 0)] {
        assert_eq!(world.journal.history(job, 10).await.unwrap().len(), runs, "{job}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_does_not_run() {
    let world = World::new();
    let mut refused = job("refused", &["true"]);
    refused.triggers = vec![Trigger::Cron("* * * * *".to_owned())];
    refused.refused = vec!["jobs/a.groovy:3: `x` cannot be done here".to_owned()];
    world.define(&[refused, job("empty", &[])]).await;
    let error = world
        .jobs
        .trigger(RunRequest::manual("refused", "ada"))
        .await
        .unwrap_err();
    assert!(matches!(error, TriggerError::Refused { .. }));
    assert_eq!(
        error.to_string(),
        "the job `refused` cannot run: jobs/a.groovy:3: `x` cannot be done here"
    );
    world.advance(60).await;
    world.jobs.list().await.unwrap();
    assert!(world.journal.history("refused", 10).await.unwrap().is_empty());
    // Nothing done is no success, whoever let such a job in.
    let record = world.run(RunRequest::manual("empty", "ada")).await;
    assert_eq!(record.status, RunStatus::Failed);
    assert_eq!(record.reason.unwrap(), "the job has no step: nothing was done");
    world.end().await;
}

/// Without following the clock, the hour it was set back by would pass without a run.
#[tokio::test]
async fn a_clock_that_is_set_back_silences_nobody() {
    let world = World::new();
    let mut often = job("often", &["true"]);
    often.triggers = vec![Trigger::Cron("* * * * *".to_owned())];
    world.define(&[often]).await;
    world.advance(60).await;
    world.ended("often", 1).await;
    let before = world.clock.now();
    world.clock.set(before - jiff::SignedDuration::from_hours(1));
    world.jobs.tick().await.unwrap();
    for number in 2..4 {
        world.advance(60).await;
        world.ended("often", number).await;
    }
    assert!(world.clock.now() < before);
    world.end().await;
}
