//! The loop: render what can be, write what has rested, run commands, look after the program, heed signals.

use super::child::Child;
use super::command::{self, CommandError};
use super::flags::Invocation;
use super::output::OutputError;
use super::rendering::Job;
use super::settings::{ConfigError, Settings};
use super::token::{Keeper, connect};
use crate::error::Error;
use crate::jitter::backoff;
use crate::sources::{Fetcher, RenderError};
use herder_base::{Clock, chain};
use herder_template::Request;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::Instant;

/// The shortest time between two looks.
const LEAST: Duration = Duration::from_millis(20);
/// How often files that templates read are looked at.
const FILES: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything is done, or a signal said so.
    Done,
    /// The program ended with this code.
    Program(i32),
    /// Everything is to be read again.
    Reload,
}

/// Why it ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration is of no use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A template is of no use.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Vault said no too often.
    #[error("gave up after {attempts} attempts")]
    Attempts {
        /// How many.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<RunError>,
    },
    /// Vault refuses.
    #[error(transparent)]
    Vault(#[from] Error),
    /// A file cannot be written.
    #[error("{0}")]
    Output(String),
    /// A command failed.
    #[error("{0}")]
    Command(String),
    /// The system refuses something.
    #[error("{what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl From<OutputError> for RunError {
    fn from(error: OutputError) -> Self {
        Self::Output(chain(&error).to_string())
    }
}

impl From<CommandError> for RunError {
    fn from(error: CommandError) -> Self {
        Self::Command(chain(&error).to_string())
    }
}

/// Runs until done, told to end, or told to read everything again. `out` gets what `-dry` prints.
///
/// # Errors
/// With the reason; nothing is half written.
pub async fn run(
    invocation: &Invocation,
    clock: Arc<dyn Clock>,
    out: &mut (dyn Write + Send),
) -> Result<End, RunError> {
    let settings = &invocation.settings;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let once = invocation.once || invocation.dry;
    let mut jobs = Vec::new();
    for block in &settings.templates {
        jobs.push(Job::new(block, settings, once)?);
    }
    let child = Child::new(settings.exec.clone());
    if jobs.is_empty() && !child.wanted() {
        return Err(RunError::Config(ConfigError {
            place: "command line".to_owned(),
            message: "there is nothing to do: give -template SRC:DST or -config PATH".to_owned(),
        }));
    }
    let client = connect(&settings.vault)?;
    if invocation.parse_only {
        return Ok(End::Done);
    }
    let _pid = settings.pid_file.as_ref().map(PidFile::new).transpose()?;
    let refresh = settings
        .vault
        .default_lease_duration
        .filter(|every| !every.is_zero())
        .unwrap_or(Duration::from_secs(300));
    let mut fetcher = Fetcher::new(client.clone(), clock);
    fetcher.set_threshold(settings.vault.lease_renewal_threshold.unwrap_or(0.9));
    let mut runner = Runner {
        keeper: Keeper::new(client, settings.vault.clone()),
        fetcher,
        jobs,
        child,
        at_work: Arc::default(),
        untold: false,
        begun: false,
        failures: 0,
        refresh,
        refresh_at: None,
        files: BTreeMap::new(),
    };
    let mut signals = Signals::new(settings)?;
    let result = runner.go(invocation, &mut signals, out).await;
    runner.child.end(false).await;
    result
}

struct Runner {
    keeper: Keeper,
    fetcher: Fetcher,
    jobs: Vec<Job>,
    child: Child,
    /// Whether files are being written and commands run.
    at_work: Arc<AtomicBool>,
    /// Whether something was written that the program was not told of.
    untold: bool,
    begun: bool,
    failures: u32,
    refresh: Duration,
    refresh_at: Option<Instant>,
    files: BTreeMap<String, Option<SystemTime>>,
}

impl Runner {
    async fn go(
        &mut self,
        invocation: &Invocation,
        signals: &mut Signals,
        out: &mut (dyn Write + Send),
    ) -> Result<End, RunError> {
        let (child, at_work) = (self.child.handle(), Arc::clone(&self.at_work));
        let told = |told: Told| match told {
            Told::End => Some(End::Done),
            Told::Reload => Some(End::Reload),
            Told::Pass(signal) => (!child.signal(signal) && signal == Signal::SIGTERM).then_some(End::Done),
        };
        loop {
            let mut reload = false;
            let result = {
                let mut pass = std::pin::pin!(self.pass(invocation, out));
                loop {
                    tokio::select! {
                        result = &mut pass => break result,
                        name = signals.next() => match told(name) {
                            None => {}
                            // What was written is not written again, so that its commands must run now.
                            Some(End::Reload) if at_work.load(Ordering::SeqCst) => reload = true,
                            // A signal ends even a Vault that does not answer.
                            Some(end) => return Ok(end),
                        },
                    }
                }
            };
            if reload && !matches!(result, Ok(Some(_))) {
                if let Err(error) = result {
                    tracing::warn!("{}", chain(&error));
                }
                return Ok(End::Reload);
            }
            match result {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => self.failures = 0,
                Err(error) => self.failed(error, &invocation.settings)?,
            }
            let wake = self.wake(&invocation.settings);
            tokio::select! {
                () = tokio::time::sleep_until(wake) => {}
                ended = self.child.ended() => {
                    let status = ended.map_err(|source| RunError::System { what: "cannot wait for the program", source })?;
                    tracing::info!("the program ended");
                    return Ok(End::Program(code(status)));
                }
                name = signals.next() => if let Some(end) = told(name) {
                    return Ok(end);
                },
            }
        }
    }

    /// Renders and writes once over. Says how it ends if everything is done for good.
    async fn pass(
        &mut self,
        invocation: &Invocation,
        out: &mut (dyn Write + Send),
    ) -> Result<Option<End>, RunError> {
        let needs_vault = invocation.settings.vault.enabled.unwrap_or(true);
        if !self.begun && needs_vault {
            self.keeper.begin().await?;
            self.begun = true;
        }
        if self.begun && self.keeper.tend().await? {
            self.fetcher.forget_all();
        }
        self.fetcher.renew_due().await?;
        if self.refresh_at.is_some_and(|at| at <= Instant::now()) {
            self.fetcher.forget_unleased();
            self.refresh_at = None;
        }
        self.notice_files();
        let mut problem = None;
        for job in &mut self.jobs {
            self.fetcher
                .set_place(Some(job.destination.clone()), job.sandbox.clone());
            match self.fetcher.render(&job.template).await {
                Ok(rendered) => job.offer(rendered, Instant::now()),
                Err(error) => {
                    // What it read may change, and mend it.
                    job.used.extend(self.fetcher.used());
                    if !error.is_template() || job.fatal {
                        problem = Some(error);
                        break;
                    }
                    tracing::error!("{}", chain(&error));
                }
            }
        }
        self.remember_files();
        if self.refresh_at.is_none() {
            self.refresh_at = Some(Instant::now() + self.refresh.mul_f64(0.9 + 0.2 * crate::jitter::unit()));
        }
        let once = invocation.once || invocation.dry;
        if once {
            // One that cannot be rendered changes nothing.
            if let Some(error) = problem.take() {
                return Err(error.into());
            }
        }
        if invocation.dry {
            for job in &self.jobs {
                let text = job.held().unwrap_or_default();
                let printed = writeln!(out, "> {}", job.destination.display())
                    .and_then(|()| out.write_all(text))
                    .and_then(|()| writeln!(out));
                printed.map_err(|source| RunError::System {
                    what: "cannot print",
                    source,
                })?;
            }
            return Ok(Some(End::Done));
        }
        self.at_work.store(true, Ordering::SeqCst);
        let done = self.apply(problem).await;
        self.at_work.store(false, Ordering::SeqCst);
        if done? {
            if once && !self.child.wanted() {
                return Ok(Some(End::Done));
            }
            if once {
                let status = self.child.ended().await;
                let status = status.map_err(|source| RunError::System {
                    what: "cannot wait for the program",
                    source,
                })?;
                return Ok(Some(End::Program(code(status))));
            }
        }
        Ok(None)
    }

    /// Writes what has rested, runs commands, and sees to the program. Says whether everything is written.
    async fn apply(&mut self, problem: Option<RenderError>) -> Result<bool, RunError> {
        self.write_ripe().await?;
        if let Some(error) = problem {
            return Err(error.into());
        }
        let all = self.jobs.iter().all(Job::is_written);
        if all {
            self.child.rendered(self.untold).await?;
            self.untold = false;
        }
        Ok(all)
    }

    /// Writes what has rested, then runs each command of what changed once.
    async fn write_ripe(&mut self) -> Result<(), RunError> {
        let now = Instant::now();
        let mut commands: Vec<usize> = Vec::new();
        let mut problem = None;
        for (i, job) in self.jobs.iter_mut().enumerate() {
            if job.ripe().is_none_or(|at| at > now) {
                continue;
            }
            match job.write() {
                Ok(true) => {
                    tracing::info!("wrote {}", job.destination.display());
                    self.untold = true;
                    commands.push(i);
                }
                Ok(false) => {}
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            }
        }
        let mut run: Vec<&[String]> = Vec::new();
        let mut failed = None;
        for job in commands.iter().filter_map(|i| self.jobs.get(*i)) {
            let (words, exec, limit) = job.command();
            if words.is_empty() || run.contains(&words) {
                continue;
            }
            run.push(words);
            // Nothing would run the others later: their files are written.
            if let Err(error) = command::run(words, exec, limit).await {
                tracing::error!("{}", chain(&error));
                failed.get_or_insert(error);
            }
        }
        match (problem, failed) {
            (Some(error), _) => Err(error.into()),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(()),
        }
    }

    /// Files that templates read are read again when they have changed since.
    fn notice_files(&mut self) {
        for (path, known) in &mut self.files {
            let modified = modified(path);
            if *known != modified {
                *known = modified;
                self.fetcher.forget(&Request::File { path: path.clone() });
            }
        }
    }

    /// Remembers which files templates read, and as of when.
    fn remember_files(&mut self) {
        let used = self.jobs.iter().flat_map(|job| &job.used);
        let mut files = BTreeMap::new();
        for request in used {
            if let Request::File { path } = request {
                let known = self.files.get(path).copied();
                files.insert(path.clone(), known.unwrap_or_else(|| modified(path)));
            }
        }
        self.files = files;
    }

    /// Counts a failure; an error if it is one too many, or one that waiting does not help.
    fn failed(&mut self, error: RunError, settings: &Settings) -> Result<(), RunError> {
        let hopeless = match &error {
            RunError::Render(error) => error.is_template(),
            RunError::Vault(_) => false,
            _ => true,
        };
        if hopeless || settings.vault.retry_enabled == Some(false) {
            return Err(error);
        }
        // A token that has ended may have been replaced where it comes from.
        let login = match &error {
            RunError::Render(error) => error.needs_login(),
            RunError::Vault(error) => error.needs_login(),
            _ => false,
        };
        if login {
            self.begun = false;
        }
        self.failures += 1;
        let limit = settings.vault.retry_attempts.unwrap_or(12);
        if limit > 0 && self.failures > limit {
            return Err(RunError::Attempts {
                attempts: self.failures,
                source: Box::new(error),
            });
        }
        tracing::warn!("{}; trying again", chain(&error));
        Ok(())
    }

    /// When to look again.
    fn wake(&self, settings: &Settings) -> Instant {
        let now = Instant::now();
        if self.failures > 0 {
            let base = settings.vault.retry_backoff.unwrap_or(Duration::from_millis(250));
            let most = match settings
                .vault
                .retry_max_backoff
                .unwrap_or(Duration::from_secs(60))
            {
                Duration::ZERO => Duration::from_secs(3600),
                most => most,
            };
            return now + backoff(base, most, self.failures - 1).max(LEAST);
        }
        let watched = !self.files.is_empty() || self.keeper.next_due().is_some();
        [
            self.refresh_at,
            self.keeper.next_due(),
            self.fetcher.next_due(),
            watched.then(|| now + FILES),
            settings.vault.token_file.is_some().then(|| now + FILES),
        ]
        .into_iter()
        .flatten()
        .chain(self.jobs.iter().filter_map(Job::ripe))
        .min()
        .unwrap_or(now + self.refresh)
        .max(now + LEAST)
    }
}

fn modified(path: &str) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(1))
}

/// What a signal means.
enum Told {
    End,
    Reload,
    Pass(Signal),
}

/// The signals that are heeded: one ends, one reloads, the others go to the program.
struct Signals {
    streams: Vec<(Signal, Stream)>,
    end: Option<Signal>,
    reload: Option<Signal>,
}

impl Signals {
    fn new(settings: &Settings) -> Result<Self, RunError> {
        let mut streams = Vec::new();
        for name in [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGWINCH,
        ] {
            let stream = signal(SignalKind::from_raw(name as i32)).map_err(|source| RunError::System {
                what: "cannot wait for signals",
                source,
            })?;
            streams.push((name, stream));
        }
        Ok(Self {
            streams,
            end: Some(settings.kill_signal.unwrap_or(Signal::SIGINT)),
            reload: Some(settings.reload_signal.unwrap_or(Signal::SIGHUP)),
        })
    }

    async fn next(&mut self) -> Told {
        let name = std::future::poll_fn(|context| {
            for (name, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await;
        match Some(name) {
            told if told == self.end => Told::End,
            told if told == self.reload => Told::Reload,
            _ => Told::Pass(name),
        }
    }
}

/// The file with the process's number; it goes with the process.
struct PidFile(PathBuf);

impl PidFile {
    fn new(path: &PathBuf) -> Result<Self, RunError> {
        std::fs::write(path, format!("{}\n", std::process::id())).map_err(|source| RunError::System {
            what: "cannot write the pid file",
            source,
        })?;
        Ok(Self(path.clone()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
