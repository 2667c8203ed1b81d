//! The program that consul-template's `exec` mode looks after: started when everything is rendered, told of changes,
//! ended with this process.

use super::config::{CommandLine, ExecBlock, environment};
use anyhow::{Context, Result, bail};
use herder_base::parse_duration;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::process::Command;

/// How to look after the program.
#[derive(Debug)]
pub(super) struct Supervise {
    exec: ExecBlock,
    splay: Duration,
    reload: Option<Signal>,
    kill: Signal,
    kill_timeout: Duration,
}

/// The program, running or not.
#[derive(Debug)]
pub(super) struct Child {
    supervise: Supervise,
    running: Option<tokio::process::Child>,
}

impl Supervise {
    /// Checks signals and times.
    pub(super) fn new(exec: ExecBlock) -> Result<Self> {
        let time = |text: &Option<String>, otherwise: Duration| match text {
            Some(text) => parse_duration(text).map_err(anyhow::Error::from),
            None => Ok(otherwise),
        };
        Ok(Self {
            splay: time(&exec.splay, Duration::ZERO)?,
            kill_timeout: time(&exec.kill_timeout, Duration::from_secs(30))?,
            reload: exec
                .reload_signal
                .as_deref()
                .filter(|name| !name.is_empty())
                .map(signal)
                .transpose()?,
            kill: exec.kill_signal.as_deref().map_or(Ok(Signal::SIGINT), signal)?,
            exec,
        })
    }
}

fn signal(name: &str) -> Result<Signal> {
    let name = name.to_ascii_uppercase();
    let name = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    name.parse().with_context(|| format!("`{name}` is no signal"))
}

impl Child {
    /// Not started yet.
    pub(super) fn new(supervise: Supervise) -> Self {
        Self {
            supervise,
            running: None,
        }
    }

    /// Everything is rendered: starts the program, or tells it of the change.
    pub(super) async fn rendered(&mut self, changed: bool) -> Result<()> {
        match (&self.running, changed, self.supervise.reload) {
            (None, _, _) => self.start(),
            (Some(_), false, _) => Ok(()),
            (Some(child), true, Some(reload)) => {
                send(child, reload);
                Ok(())
            }
            (Some(_), true, None) => {
                tokio::time::sleep(random_part(self.supervise.splay)).await;
                self.end().await;
                self.start()
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let Some(command) = &self.supervise.exec.command else {
            return Ok(());
        };
        let (program, arguments) = match command {
            CommandLine::Words(words) => match words.split_first() {
                Some((program, arguments)) if !arguments.is_empty() => (program.clone(), arguments.to_vec()),
                Some((line, _)) => shell(line),
                None => bail!("exec: the command is empty"),
            },
            CommandLine::Shell(line) => shell(line),
        };
        let mut child = Command::new(&program);
        child.args(arguments).kill_on_drop(true);
        if let Some(block) = &self.supervise.exec.env {
            child.env_clear().envs(environment(block));
        }
        self.running = Some(child.spawn().with_context(|| format!("cannot run `{program}`"))?);
        Ok(())
    }

    /// Waits until the program ends by itself; for ever if there is none.
    pub(super) async fn ended(&mut self) -> Result<()> {
        match &mut self.running {
            None => std::future::pending().await,
            Some(child) => {
                let status = child.wait().await?;
                self.running = None;
                if !status.success() {
                    bail!("the program ended with {status}");
                }
                Ok(())
            }
        }
    }

    /// Ends the program: with its signal first, then for certain.
    pub(super) async fn end(&mut self) {
        let Some(mut child) = self.running.take() else {
            return;
        };
        send(&child, self.supervise.kill);
        if tokio::time::timeout(self.supervise.kill_timeout, child.wait())
            .await
            .is_err()
        {
            let _ = child.kill().await;
        }
    }
}

/// `exec`, so that the signal reaches the program and not a shell in between.
fn shell(line: &str) -> (String, Vec<String>) {
    (
        "/bin/sh".to_owned(),
        vec!["-c".to_owned(), format!("exec {line}")],
    )
}

fn send(child: &tokio::process::Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn random_part(whole: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        whole
    } else {
        Duration::from_nanos(random % nanos)
    }
}
