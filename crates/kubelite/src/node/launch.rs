//! Starts containers and commands in them through short-lived launchers: fresh single-threaded processes, because the
//! container runtime forks by hand. A launcher leaves its container to pid 1, the agent.

use super::reaper::{Exit, Reaper};
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
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
    /// What to do.
    pub(crate) task: Task,
}

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Assemble a root and start a container.
    Start(RootPlan),
    /// Run a command in a started container.
    Exec {
        /// The OCI process, as a file.
        process: PathBuf,
    },
}

/// How a root is assembled from the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RootPlan {
    /// A directory to mount the scratch space on; the root becomes `FS/root`.
    pub(crate) fs: PathBuf,
    /// Overlays need extended attributes of users.
    pub(crate) user: bool,
    /// Files to put into `/etc`: name and text.
    pub(crate) etc: Vec<(String, String)>,
    /// The `herder` binary.
    pub(crate) binary: PathBuf,
    /// Further names for it.
    pub(crate) names: Vec<String>,
    /// Directories and files (`true`) that mounts need to find.
    pub(crate) targets: Vec<(String, bool)>,
    /// The working directory, made if missing.
    pub(crate) cwd: Option<String>,
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
    /// Its id in the agent's pid namespace.
    pub(crate) pid: i32,
    /// Its end.
    pub(crate) exit: oneshot::Receiver<Exit>,
    /// The reading ends of its output and its errors.
    pub(crate) output: (OwnedFd, OwnedFd),
}

/// Writes `config.json` and the directories a start needs.
pub(crate) fn prepare(bundle: &Path, fs_dir: &Path, config: &Value) -> io::Result<()> {
    // The root is only there in the launcher's mounts; commands run later just need to find a directory.
    fs::create_dir_all(fs_dir.join("root"))?;
    fs::write(bundle.join("config.json"), serde_json::to_vec(config)?)
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
        let (out_read, out_write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(from_errno)?;
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
    let exit = match tokio::time::timeout(PATIENCE, status).await {
        Ok(exit) => exit.unwrap_or(Exit {
            code: 255,
            signal: None,
        }),
        Err(_) => {
            // One that has ended meanwhile is what we want.
            _ = kill(Pid::from_raw(launcher), Signal::SIGKILL);
            return Err(LaunchError::Stuck);
        }
    };
    let pid = fs::read_to_string(job.bundle.join("pid"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match pid {
        Some(pid) if exit.code == 0 => {
            let exit = reaper.adopt(pid);
            drop(guard);
            Ok(Launched { pid, exit, output })
        }
        _ => match fs::read_to_string(job.bundle.join("error")) {
            Ok(text) if !text.is_empty() => Err(LaunchError::Refused(text)),
            _ => Err(LaunchError::Silent(exit.code)),
        },
    }
}

fn from_errno(errno: nix::errno::Errno) -> LaunchError {
    LaunchError::Prepare(errno.into())
}
