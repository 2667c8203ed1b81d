//! Runs commands inside started containers: for probes and hooks, which want to know how it went, and for people, who want
//! its streams. There is one way in, so that no command may do more than its container.

use super::enter::{Command, Enter, Process};
use super::launch::{Job, LaunchError, Output, Task, launch};
use super::machine::Machine;
use super::reaper::{Exit, Leashed};
use super::visit::name_of;
use nix::fcntl::OFlag;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// Output kept for messages.
const KEPT: u64 = 10 << 10;
/// How a process ended that nobody saw end.
const UNSEEN: Exit = Exit {
    code: 255,
    signal: None,
};

/// Where commands run: a started container.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// The container's id.
    pub(crate) id: String,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// Its control group, if it has one.
    pub(crate) cgroup: Option<String>,
    /// Its first process.
    pub(crate) first: Process,
    /// What that runs; commands differ from it in their arguments only.
    pub(crate) command: Command,
}

/// What a command's standard streams shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Pipes; without input, that is `/dev/null`.
    Pipes {
        /// It can be written to.
        input: bool,
    },
    /// A terminal.
    Terminal,
}

/// A command that runs; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Its end.
    exit: oneshot::Receiver<Exit>,
    /// What it says.
    pub(crate) output: Output,
    /// The writing end of its input.
    pub(crate) input: Option<OwnedFd>,
    _leash: Leashed,
    _scratch: Scratch,
}

impl Entered {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Exit {
        (&mut self.exit).await.unwrap_or(UNSEEN)
    }
}

/// A directory that is removed when dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It vanishes with the agent's memory at the latest.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// How a command went.
#[derive(Debug)]
pub(crate) enum Ran {
    /// To its end.
    Ended(Exit, String),
    /// It was killed.
    TimedOut,
}

/// Starts `args` in a container.
pub(crate) async fn enter(
    machine: &Machine,
    inside: &Inside,
    args: &[String],
    streams: Streams,
) -> Result<Entered, LaunchError> {
    // A directory of its own: the container's holds the launcher's report of the start.
    let scratch = Scratch(inside.bundle.join(format!("exec-{}", machine.number())));
    fs::create_dir(&scratch.0).map_err(LaunchError::Prepare)?;
    let (read, input) = if streams == (Streams::Pipes { input: true }) {
        let (read, write) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| LaunchError::Prepare(errno.into()))?;
        (Some(read), Some(write))
    } else {
        (None, None)
    };
    let job = Job {
        id: inside.id.clone(),
        state: machine.runtime_state(),
        bundle: scratch.0.clone(),
        input: read.as_ref().map(name_of),
        terminal: streams == Streams::Terminal,
        task: Task::Enter(Box::new(Enter {
            first: inside.first,
            cgroup: inside.cgroup.clone(),
            command: Command {
                args: args.to_vec(),
                ..inside.command.clone()
            },
        })),
    };
    let launched = launch(&machine.reaper, &machine.exe, &job).await?;
    Ok(Entered {
        _leash: machine.reaper.leash(launched.process.pid),
        _scratch: scratch,
        exit: launched.exit,
        output: launched.output,
        input,
    })
}

/// Runs `args` for at most `timeout`.
pub(crate) async fn run(
    machine: &Machine,
    inside: &Inside,
    args: &[String],
    timeout: Duration,
) -> Result<Ran, LaunchError> {
    let mut entered = enter(machine, inside, args, Streams::Pipes { input: false }).await?;
    let (out, err) = match std::mem::take(&mut entered.output) {
        Output::Pipes(out, err) => (Some(out), Some(err)),
        Output::Terminal(_) | Output::Taken => (None, None),
    };
    let ended = async { tokio::join!(entered.ended(), text(out), text(err)) };
    match tokio::time::timeout(timeout, ended).await {
        Ok((exit, out, err)) => Ok(Ran::Ended(exit, format!("{out}{err}").trim().to_owned())),
        // The leash ends it.
        Err(_) => Ok(Ran::TimedOut),
    }
}

async fn text(pipe: Option<OwnedFd>) -> String {
    let Some(Ok(mut pipe)) = pipe.map(pipe::Receiver::from_owned_fd) else {
        return String::new();
    };
    let mut kept = Vec::new();
    _ = (&mut pipe).take(KEPT).read_to_end(&mut kept).await;
    // The rest is read and forgotten, or the command would stall on a full pipe.
    let mut rest = vec![0_u8; 8192];
    while matches!(pipe.read(&mut rest).await, Ok(length) if length > 0) {}
    String::from_utf8_lossy(&kept).into_owned()
}
