//! Runs steps as processes of this machine, in a directory per run. For development and tests: a platform runs them
//! in pods, which see neither this machine nor each other.

use crate::dispatch::remark;
use crate::ports::{Checkouts, Executor};
use crate::run::{Checkout, RunEvent, RunResult, RunSpec};
use crate::script;
use futures::future::BoxFuture;
use herder_base::{Tree, Url, chain};
use herder_job::Step;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a step may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(3);

/// Runs steps as local processes.
pub struct LocalExecutor {
    root: PathBuf,
    path: String,
    checkouts: Arc<dyn Checkouts>,
}

/// A workspace could not be filled.
#[derive(Debug, Error)]
enum WorkspaceError {
    #[error("the workspace file {path} cannot be written")]
    Io { path: String, source: std::io::Error },
    #[error("{url} cannot be checked out at {commit}: {why}")]
    Checkout { url: Url, commit: String, why: String },
    #[error("`{0}` is no directory below the workspace")]
    Directory(String),
}

impl LocalExecutor {
    /// Workspaces below `root`; steps find programs in `path`.
    pub fn new(root: impl Into<PathBuf>, path: impl Into<String>, checkouts: Arc<dyn Checkouts>) -> Self {
        Self {
            root: root.into(),
            path: path.into(),
            checkouts,
        }
    }

    async fn prepare(&self, spec: &RunSpec, directory: &Path) -> Result<(), WorkspaceError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |source| WorkspaceError::Io { path, source }
        };
        tokio::fs::create_dir_all(directory)
            .await
            .map_err(io(directory))?;
        for checkout in &spec.checkouts {
            let Checkout { url, commit, .. } = checkout;
            let below = herder_base::normalise(&checkout.directory)
                .map_err(|_| WorkspaceError::Directory(checkout.directory.clone()))?;
            let tree = self
                .checkouts
                .tree(url, commit)
                .await
                .map_err(|error| WorkspaceError::Checkout {
                    url: url.clone(),
                    commit: commit.clone(),
                    why: error.to_string(),
                })?;
            unpack(&tree, &directory.join(below)).await?;
        }
        Ok(())
    }

    async fn steps(
        &self,
        spec: &RunSpec,
        events: &mpsc::Sender<RunEvent>,
        cancel: &CancellationToken,
        directory: &Path,
        scripts: &Path,
    ) -> RunResult {
        for (index, step) in (0u32..).zip(&spec.steps) {
            let Step::Shell { name: _, text, env } = step else {
                return RunResult::Failed {
                    reason: "platform actions do not run as processes".to_owned(),
                };
            };
            let title = script::title(text);
            if events
                .send(RunEvent::StepStarted { step: index, title })
                .await
                .is_err()
            {
                return RunResult::Aborted;
            }
            let file = scripts.join(format!("step-{index}.sh"));
            if let Err(error) = tokio::fs::write(&file, text).await {
                return RunResult::Failed {
                    reason: format!("{} cannot be written: {error}", file.display()),
                };
            }
            let argv = script::command(text, &file.display().to_string());
            let mut command = Command::new(argv.first().map_or("/bin/sh", String::as_str));
            command
                .args(argv.iter().skip(1))
                .env_clear()
                .env("PATH", &self.path)
                .env("HOME", directory)
                .env("WORKSPACE_TMP", scripts)
                .envs(&spec.env)
                .envs(env)
                .env("WORKSPACE", directory)
                .current_dir(directory)
                .stdin(Stdio::null())
                .process_group(0)
                .kill_on_drop(true);
            let (child, output) = match spawn(command) {
                Ok(spawned) => spawned,
                Err(error) => {
                    return RunResult::Failed {
                        reason: format!("step {} cannot be started: {error}", index + 1),
                    };
                }
            };
            let code = follow(child, output, index, events, cancel).await;
            let Some(code) = code else {
                return RunResult::Aborted;
            };
            if events
                .send(RunEvent::StepFinished { step: index, code })
                .await
                .is_err()
            {
                return RunResult::Aborted;
            }
            if code != 0 {
                return RunResult::Failed {
                    reason: format!("step {} ended with {code}", index + 1),
                };
            }
        }
        RunResult::Succeeded
    }
}

impl Executor for LocalExecutor {
    fn run<'a>(
        &'a self,
        spec: &'a RunSpec,
        events: mpsc::Sender<RunEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, RunResult> {
        Box::pin(async move {
            let base = self.root.join(format!(
                "{}-{}-{}",
                spec.id.job.replace('/', "-"),
                spec.id.number,
                spec.attempt
            ));
            let (directory, scripts) = (base.join("workspace"), base.join("tmp"));
            remark(
                &events,
                format!("runs on this machine in {}", directory.display()),
            )
            .await;
            let prepared = match tokio::fs::create_dir_all(&scripts).await {
                Ok(()) => self.prepare(spec, &directory).await,
                Err(source) => Err(WorkspaceError::Io {
                    path: scripts.display().to_string(),
                    source,
                }),
            };
            let result = match prepared {
                Ok(()) => self.steps(spec, &events, &cancel, &directory, &scripts).await,
                Err(error) => RunResult::Failed {
                    reason: chain(&error).to_string(),
                },
            };
            if let Err(error) = tokio::fs::remove_dir_all(&base).await {
                tracing::warn!(run = %spec.id, "its workspace stays at {}: {error}", base.display());
            }
            result
        })
    }
}

/// Passes on what a process writes until it has ended; none if it was told to end. Its whole process group ends with it.
async fn follow(
    mut child: Child,
    output: pipe::Receiver,
    step: u32,
    events: &mpsc::Sender<RunEvent>,
    cancel: &CancellationToken,
) -> Option<i32> {
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    let signal = |signal: Signal| {
        if let Some(group) = group {
            // A group that has ended meanwhile is no fault.
            let _ = killpg(group, signal);
        }
    };
    let copying = copy(output, step, events);
    tokio::pin!(copying);
    let (mut copied, mut killed) = (false, false);
    let status = loop {
        tokio::select! {
            () = &mut copying, if !copied => copied = true,
            status = child.wait() => break status,
            () = cancel.cancelled(), if !killed => {
                killed = true;
                signal(Signal::SIGTERM);
                let ended = tokio::time::timeout(GRACE, child.wait()).await;
                signal(Signal::SIGKILL);
                if let Ok(status) = ended {
                    break status;
                }
            }
        }
    };
    // What it left running would keep its pipes open and outlive the run.
    signal(Signal::SIGKILL);
    if !copied {
        copying.await;
    }
    if killed {
        return None;
    }
    use std::os::unix::process::ExitStatusExt;
    Some(match status {
        Ok(status) => status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        Err(_) => -1,
    })
}

/// Starts a process whose two outputs are one pipe, so that what it writes stays in order.
fn spawn(mut command: Command) -> std::io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // The command holds the writing end too; the reader ends only once it is gone.
    drop(command);
    Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
}

async fn copy(mut from: pipe::Receiver, step: u32, events: &mpsc::Sender<RunEvent>) {
    let mut buffer = vec![0u8; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default().to_vec();
        if count == 0 || events.send(RunEvent::Output { step, bytes }).await.is_err() {
            return;
        }
    }
}

/// Writes a tree's files. Paths in a tree cannot leave it; links may point anywhere, as git has them, but nothing is
/// written through one.
async fn unpack(tree: &Tree, directory: &Path) -> Result<(), WorkspaceError> {
    for (name, file) in tree.files() {
        let path = directory.join(name);
        let written = async {
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent).await?;
            }
            if file.symlink {
                let target = String::from_utf8_lossy(&file.bytes).into_owned();
                tokio::fs::symlink(target, &path).await
            } else {
                tokio::fs::write(&path, &file.bytes).await?;
                let mode = if file.executable { 0o755 } else { 0o644 };
                tokio::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).await
            }
        };
        written.await.map_err(|source| WorkspaceError::Io {
            path: path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}
