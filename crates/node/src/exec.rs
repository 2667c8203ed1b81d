//! Runs a command inside a started container and collects what it says: probes and hooks.

use super::enter::{Command, Enter, Process};
use super::launch::{Job, LaunchError, Task, launch};
use super::machine::Machine;
use super::reaper::Exit;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Output kept for messages.
const KEPT: u64 = 10 << 10;

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

/// How a command went.
#[derive(Debug)]
pub(crate) enum Ran {
    /// To its end.
    Ended(Exit, String),
    /// It was killed.
    TimedOut,
}

/// Runs `args` for at most `timeout`.
pub(crate) async fn run(
    machine: &Machine,
    inside: &Inside,
    args: &[String],
    timeout: Duration,
) -> Result<Ran, LaunchError> {
    // A directory of its own: the container's holds the launcher's report of the start.
    let bundle = inside.bundle.join(format!("exec-{}", machine.number()));
    fs::create_dir(&bundle).map_err(LaunchError::Prepare)?;
    let enter = Enter {
        first: inside.first,
        cgroup: inside.cgroup.clone(),
        command: Command {
            args: args.to_vec(),
            ..inside.command.clone()
        },
    };
    let job = Job {
        id: inside.id.clone(),
        state: machine.runtime_state(),
        bundle: bundle.clone(),
        task: Task::Enter(Box::new(enter)),
    };
    let ran = async {
        let launched = launch(&machine.reaper, &machine.exe, &job).await?;
        let pid = Pid::from_raw(launched.process.pid);
        let (out, err) = launched.output;
        let ended = async { tokio::join!(launched.exit, text(out), text(err)) };
        match tokio::time::timeout(timeout, ended).await {
            Ok((exit, out, err)) => {
                let exit = exit.unwrap_or(Exit {
                    code: 255,
                    signal: None,
                });
                Ok(Ran::Ended(exit, format!("{out}{err}").trim().to_owned()))
            }
            Err(_) => {
                // It may end at this very moment.
                _ = kill(pid, Signal::SIGKILL);
                Ok(Ran::TimedOut)
            }
        }
    }
    .await;
    // The bundle vanishes with the agent's memory at the latest.
    _ = fs::remove_dir_all(&bundle);
    ran
}

async fn text(pipe: OwnedFd) -> String {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else {
        return String::new();
    };
    let mut kept = Vec::new();
    _ = (&mut pipe).take(KEPT).read_to_end(&mut kept).await;
    // The rest is read and forgotten, or the command would stall on a full pipe.
    let mut rest = vec![0_u8; 8192];
    while matches!(pipe.read(&mut rest).await, Ok(length) if length > 0) {}
    String::from_utf8_lossy(&kept).into_owned()
}
