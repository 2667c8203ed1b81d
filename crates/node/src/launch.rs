//! Starts containers and commands in them through short-lived launchers: fresh single-threaded processes, because the
//! container runtime forks by hand. A launcher leaves its container to pid 1, the agent.

use super::enter::{Enter, Process};
use super::reaper::{Exit, Reaper};
use super::seal::Rights;
use crate::fabric::ancillary;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// A launch takes milliseconds; one that takes this long never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a launcher is asked to do, on its standard input. Its standard output and error become the container's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The container's id.
    pub(crate) id: String,
    /// Where the runtime keeps its state.
    pub(crate) state: PathBuf,
    /// Where `config.json` is, and where the launcher leaves `pid` or `error`.
    pub(crate) bundle: PathBuf,
    /// What it reads: a descriptor of the agent, by name; `/dev/null` without.
    pub(crate) input: Option<PathBuf>,
    /// It gets a terminal for all three streams.
    pub(crate) terminal: bool,
    /// What to do.
    pub(crate) task: Task,
}

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Assemble a root and start a container.
    Start(Box<Start>),
    /// Run a command in a started container.
    Enter(Box<Enter>),
}

/// A container to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Its root.
    pub(crate) root: RootPlan,
    /// Namespaces of the pod that the launcher joins, and the container with it: from within the pod's user namespace
    /// they could not be opened.
    pub(crate) join: Vec<String>,
    /// What its first process may do.
    pub(crate) rights: Rights,
    /// Its control group, if it shall open no devices but the usual ones.
    pub(crate) devices: Option<String>,
}

/// How a root is assembled from the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RootPlan {
    /// A directory of the machine that everyone may enter; the launcher mounts the scratch space on it where nobody else
    /// sees it. The root becomes `STAGE/root`.
    pub(crate) stage: PathBuf,
    /// The folders of the image's layers, lowest first; `None` for the machine's own programs.
    pub(crate) image: Option<Vec<PathBuf>>,
    /// Overlays need extended attributes of users.
    pub(crate) user: bool,
    /// The pod's ids, if it has some of its own.
    pub(crate) ids: Option<IdsPlan>,
    /// Files to put into `/etc`: name and text.
    pub(crate) etc: Vec<(String, String)>,
    /// The `herder` binary.
    pub(crate) binary: PathBuf,
    /// Further names for it.
    pub(crate) names: Vec<String>,
    /// Volumes and the like, in order.
    pub(crate) binds: Vec<BindPlan>,
    /// The working directory, made if missing.
    pub(crate) cwd: Option<String>,
    /// Bytes that may be written outside volumes.
    pub(crate) size: u64,
    /// The container may open devices wherever it finds them.
    pub(crate) devices: bool,
    /// The machine's `/sys` is shown, for want of one of the pod's own.
    pub(crate) system: bool,
}

/// A pod's range of ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdsPlan {
    /// Its user namespace.
    pub(crate) users: String,
    /// The machine's id for the pod's id 0.
    pub(crate) first: u32,
}

/// Something to mount in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BindPlan {
    /// A descriptor of the agent, by name: nothing is looked up again.
    pub(crate) source: PathBuf,
    /// Inside.
    pub(crate) target: String,
    /// Without the right to write.
    pub(crate) read_only: bool,
    /// Files' set-id bits mean nothing.
    pub(crate) no_set_id: bool,
    /// With what is mounted below.
    pub(crate) deep: bool,
}

/// Where the launcher puts what is mounted late, below the stage: see `late`.
pub(crate) const LATE: &str = "late";

/// Whether something is mounted by the container runtime, after the file systems that only it can mount.
pub(crate) fn late(target: &str) -> bool {
    Path::new(target).starts_with("/sys")
}

/// Why a launch failed.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    /// Before the launcher ran.
    #[error("the container's launcher could not be started")]
    Prepare(#[source] io::Error),
    /// The launcher says why.
    #[error("{0}")]
    Refused(String),
    /// It hung.
    #[error("the container's launcher did not finish within {} s", PATIENCE.as_secs())]
    Stuck,
    /// It vanished.
    #[error("the container's launcher ended without a word (code {0})")]
    Silent(i32),
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Launched {
    /// It.
    pub(crate) process: Process,
    /// Its end.
    pub(crate) exit: oneshot::Receiver<Exit>,
    /// What it says.
    pub(crate) output: Output,
}

/// Where a process's output comes from.
#[derive(Debug, Default)]
pub(crate) enum Output {
    /// The reading ends of its output and its errors.
    Pipes(OwnedFd, OwnedFd),
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// Somebody has it.
    #[default]
    Taken,
}

/// Writes `config.json`: the container's environment is in it, so nobody else may read it.
pub(crate) fn prepare(bundle: &Path, config: &Value) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(bundle.join("config.json"))?;
    file.write_all(&serde_json::to_vec(config)?)
}

/// Runs a launcher to its end.
pub(crate) async fn launch(reaper: &Reaper, exe: &Path, job: &Job) -> Result<Launched, LaunchError> {
    let guard = reaper.launching();
    let (launcher, status, output) = {
        let prepare = LaunchError::Prepare;
        let mut body = File::from(memfd_create(c"herder-job", MFdFlags::MFD_CLOEXEC).map_err(from_errno)?);
        body.write_all(
            &serde_json::to_vec(job)
                .map_err(io::Error::from)
                .map_err(prepare)?,
        )
        .map_err(prepare)?;
        body.rewind().map_err(prepare)?;
        let (out_read, out_write) = if job.terminal {
            // By it the terminal comes.
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).map_err(from_errno)?
        } else {
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(from_errno)?
        };
        let (err_read, err_write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(from_errno)?;
        for name in ["pid", "error", "launcher.log"] {
            // A fresh bundle has none of them.
            _ = fs::remove_file(job.bundle.join(name));
        }
        let mut command = Command::new(exe);
        command.args(["internal", "shim", &job.id]);
        command
            .stdin(Stdio::from(body))
            .stdout(Stdio::from(out_write))
            .stderr(Stdio::from(err_write));
        let (launcher, status) = reaper.spawn(&mut command).map_err(prepare)?;
        (launcher, status, (out_read, err_read))
    };
    // Whoever waits may give up, or be given up.
    let leash = reaper.leash(launcher);
    let exit = match tokio::time::timeout(PATIENCE, status).await {
        Ok(exit) => exit.unwrap_or(Exit {
            code: 255,
            signal: None,
        }),
        Err(_) => return Err(LaunchError::Stuck),
    };
    drop(leash);
    let process = fs::read_to_string(job.bundle.join("pid"))
        .ok()
        .and_then(|text| text.parse::<Process>().ok());
    match process {
        Some(process) if exit.code == 0 => {
            let exit = reaper.adopt(process.pid);
            drop(guard);
            let (out, err) = output;
            let output = if job.terminal {
                Output::Terminal(terminal(&out).map_err(LaunchError::Prepare)?)
            } else {
                Output::Pipes(out, err)
            };
            Ok(Launched {
                process,
                exit,
                output,
            })
        }
        _ => match fs::read_to_string(job.bundle.join("error")) {
            Ok(text) if !text.is_empty() => Err(LaunchError::Refused(text)),
            _ => Err(LaunchError::Silent(exit.code)),
        },
    }
}

/// The master of the terminal that the process has made before it was started.
fn terminal(line: &OwnedFd) -> io::Result<OwnedFd> {
    let (_, fds) = ancillary::receive(line.as_fd(), &mut [0; 64])?;
    let master = fds.into_iter().next();
    master.ok_or_else(|| io::Error::other("its terminal did not come"))
}

fn from_errno(errno: nix::errno::Errno) -> LaunchError {
    LaunchError::Prepare(errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nobody_else_reads_a_containers_environment() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), &serde_json::json!({"process": {"env": ["PW=x"]}})).unwrap();
        let meta = fs::metadata(dir.path().join("config.json")).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    }
}
