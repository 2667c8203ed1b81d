//! Runs the `git` program: hardened, bounded in time, memory, files and what it prints, and never outliving the future
//! that waits for it.

use crate::access::Access;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What a run may print unless it says otherwise; more is read as it comes, by [`Run::start`].
const MOST: usize = 32 << 20;

/// How a run of git ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be started or talked to.
    Start(std::io::Error),
    /// It took too long.
    Deadline,
    /// It said no; its last line.
    Said(String),
    /// It printed more than it may, in bytes.
    TooMuch(usize),
}

/// Settings that every call gets. They come before the subcommand and so beat every configuration file.
const HARDENING: [&str; 48] = [
    "-c",
    "protocol.ext.allow=never",
    "-c",
    "protocol.fd.allow=never",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "transfer.bundleURI=false",
    "-c",
    "credential.interactive=false",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "push.gpgSign=false",
    "-c",
    "fetch.recurseSubmodules=false",
    "-c",
    "submodule.recurse=false",
    // What is not named below is not spoken; GIT_ALLOW_PROTOCOL names what is.
    "-c",
    "protocol.allow=never",
    // An answer that leads elsewhere is an answer nobody allowed; this also switches off http-alternates.
    "-c",
    "http.followRedirects=false",
    "-c",
    "http.lowSpeedLimit=1",
    "-c",
    "http.lowSpeedTime=60",
    // Packs stay packs: nothing small becomes thousands of files.
    "-c",
    "transfer.unpackLimit=1",
    "-c",
    "fetch.unpackLimit=1",
    // Contents beyond this are streamed, never held.
    "-c",
    "core.bigFileThreshold=16m",
    "-c",
    "core.deltaBaseCacheLimit=32m",
    "-c",
    "pack.threads=2",
    "-c",
    "core.askPass=",
    "-c",
    "core.attributesFile=/dev/null",
];

/// How much memory it may ask for where it is bounded.
const MEMORY: u64 = 4 << 30;

/// Kills the process group unless it has been waited for.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take().and_then(|pid| i32::try_from(pid).ok()) {
            // The group may be gone already; there is nobody to tell.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// One call of git.
pub(crate) struct Run<'a> {
    command: Command,
    input: &'a [u8],
    deadline: Duration,
    most: usize,
    access: Option<&'a Access>,
}

impl<'a> Run<'a> {
    /// `git --git-dir=DIR ARGS…`, or without a repository.
    pub(crate) fn new<S: AsRef<OsStr>>(
        dir: Option<&Path>,
        deadline: Duration,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::of(Command::new("git"), dir, deadline, args)
    }

    /// As [`Run::new`], with limits to the size of a file it writes and to its memory: for what takes in what a stranger
    /// has packed. `ulimit` is the shell's, so that no code of ours runs between fork and exec.
    pub(crate) fn bounded<S: AsRef<OsStr>>(
        dir: &Path,
        deadline: Duration,
        largest_file: u64,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(r#"ulimit -f "$1" && ulimit -v "$2" && shift 2 && exec git "$@""#)
            .arg("git")
            .arg((largest_file / 512).max(1).to_string())
            .arg((MEMORY / 1024).to_string());
        Self::of(command, Some(dir), deadline, args)
    }

    fn of<S: AsRef<OsStr>>(
        mut command: Command,
        dir: Option<&Path>,
        deadline: Duration,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        for (name, _) in std::env::vars_os() {
            // A hook or rebase that starts us must not redirect us to its repository.
            if name.to_str().is_some_and(is_foreign) {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C");
        command.env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_ASKPASS", "");
        command.env("SSH_ASKPASS", "");
        command.env("GIT_NO_REPLACE_OBJECTS", "1");
        command.env("GIT_OPTIONAL_LOCKS", "0");
        // Nothing is spoken to but by calls that name a remote.
        command.env("GIT_ALLOW_PROTOCOL", "none");
        command.env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_LFS_SKIP_SMUDGE", "1");
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=15");
        }
        command.args(HARDENING);
        command.arg("--literal-pathspecs");
        if let Some(dir) = dir {
            command.arg("--git-dir").arg(dir);
        }
        command.args(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        Self {
            command,
            input: &[],
            deadline,
            most: MOST,
            access: None,
        }
    }

    /// Lets it speak to one remote, with that remote's credentials.
    pub(crate) fn speaking_to(mut self, access: &'a Access) -> Self {
        access.apply(&mut self.command);
        self.access = Some(access);
        self
    }

    /// How much it may print.
    pub(crate) fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// What it reads.
    pub(crate) fn input(mut self, input: &'a [u8]) -> Self {
        self.input = input;
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and returns what it printed.
    pub(crate) async fn output(mut self) -> Result<Vec<u8>, Failure> {
        let mut child = self.command.spawn().map_err(Failure::Start)?;
        let mut group = Group(child.id());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (input, most) = (self.input, self.most);
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A git that stops reading says why on stderr.
                    let _ = stdin.write_all(input).await;
                    let _ = stdin.shutdown().await;
                }
            };
            let read = async {
                let mut bytes = Vec::new();
                let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
                match stdout {
                    // Closed at the limit: a git with more to print ends.
                    Some(stdout) => stdout.take(limit).read_to_end(&mut bytes).await.map(|_| bytes),
                    None => Ok(bytes),
                }
            };
            let ((), output, errors) = tokio::join!(write, read, errors(stderr));
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((status, output?, errors))
        };
        let (status, output, errors) = tokio::time::timeout(self.deadline, talk)
            .await
            .map_err(|_| Failure::Deadline)?
            .map_err(Failure::Start)?;
        group.0 = None;
        if output.len() > most {
            return Err(Failure::TooMuch(most));
        }
        said(status, &errors, self.access)?;
        Ok(output)
    }

    /// Starts it, for what is read as it comes. The deadline is the caller's to keep.
    pub(crate) fn start(mut self) -> Result<Talk, Failure> {
        let mut child = self.command.spawn().map_err(Failure::Start)?;
        let group = Group(child.id());
        let broken = || Failure::Start(std::io::ErrorKind::BrokenPipe.into());
        Ok(Talk {
            stdin: child.stdin.take().ok_or_else(broken)?,
            stdout: BufReader::with_capacity(64 << 10, child.stdout.take().ok_or_else(broken)?),
            stderr: child.stderr.take(),
            child,
            group,
        })
    }
}

/// A git that is talked to. Dropped, it and all it started end.
pub(crate) struct Talk {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
    child: Child,
    group: Group,
}

impl Talk {
    /// Waits for its end, or says why it failed.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        drop((self.stdin, self.stdout));
        let errors = errors(self.stderr).await;
        let status = self.child.wait().await.map_err(Failure::Start)?;
        self.group.0 = None;
        said(status, &errors, None)
    }
}

/// What it complains about. The end of a flood says as little as its beginning, but git must not wait for a reader.
async fn errors(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stderr) = stderr {
        let _ = (&mut stderr).take(64 << 10).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    bytes
}

fn said(status: ExitStatus, errors: &[u8], access: Option<&Access>) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let said = last_line(errors);
    // The shell's way of saying that there is no such program.
    if status.code() == Some(127) && said.contains("not found") {
        return Err(Failure::Start(std::io::ErrorKind::NotFound.into()));
    }
    Err(Failure::Said(match access {
        Some(access) => access.clean(&said),
        None => herder_base::scrub_urls(&said),
    }))
}

/// Variables that tie git to a repository or change what it does behind our back.
fn is_foreign(name: &str) -> bool {
    const KEPT: [&str; 5] = [
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_EXEC_PATH",
    ];
    name.starts_with("GIT_")
        && !KEPT.contains(&name)
        && !name.starts_with("GIT_CONFIG_GLOBAL")
        && !name.starts_with("GIT_CONFIG_SYSTEM")
        && !name.starts_with("GIT_CONFIG_NOSYSTEM")
}

/// The line that says what is wrong: the last one with `fatal:` or `error:` or a rejection, else the last one.
fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let telling = lines
        .iter()
        .rev()
        .find(|line| line.contains("[rejected]") || line.contains("[remote rejected]"))
        .or_else(|| lines.iter().find(|line| line.starts_with("fatal:")))
        .or_else(|| lines.iter().rev().find(|line| line.starts_with("error:")))
        .or_else(|| lines.last());
    telling
        .map_or("it said nothing", |line| {
            line.trim_start_matches("fatal: ").trim_start_matches("error: ")
        })
        .chars()
        .filter(|c| !c.is_control())
        .take(500)
        .collect()
}
