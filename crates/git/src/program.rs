//! Runs the `git` program: hardened, with a deadline, and never outliving the future that waits for it.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// How a run of git ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be started or talked to.
    Start(std::io::Error),
    /// It took too long.
    Deadline,
    /// It said no; its last line.
    Said(String),
}

/// Settings that every call gets. They come before the subcommand and so beat every configuration file.
const HARDENING: [&str; 24] = [
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
];

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
}

impl<'a> Run<'a> {
    /// `git --git-dir=DIR ARGS…`, or without a repository.
    pub(crate) fn new<S: AsRef<OsStr>>(
        dir: Option<&Path>,
        deadline: Duration,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new("git");
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
        command.env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh");
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
        }
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
        let input = self.input;
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
                match stdout {
                    Some(mut stdout) => stdout.read_to_end(&mut bytes).await.map(|_| bytes),
                    None => Ok(bytes),
                }
            };
            let errors = async {
                let mut bytes = Vec::new();
                if let Some(stderr) = stderr {
                    // The end of a flood says as little as its beginning.
                    let _ = stderr.take(1 << 20).read_to_end(&mut bytes).await;
                }
                bytes
            };
            let ((), output, errors) = tokio::join!(write, read, errors);
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((status, output?, errors))
        };
        let (status, output, errors) = tokio::time::timeout(self.deadline, talk)
            .await
            .map_err(|_| Failure::Deadline)?
            .map_err(Failure::Start)?;
        group.0 = None;
        if status.success() {
            Ok(output)
        } else {
            Err(Failure::Said(last_line(&errors)))
        }
    }
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
