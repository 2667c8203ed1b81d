//! Programs: how a command line becomes one, and commands that run once after a change.

use super::glob;
use super::process::{Handle, Process};
use super::settings::Exec;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;
use tokio::process::Command;

/// A command that did not do its work.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    /// It cannot be started.
    #[error("cannot run `{command}`")]
    Start {
        command: String,
        #[source]
        source: std::io::Error,
    },
    /// It takes too long.
    #[error("command `{command}` took longer than {}", herder_base::format_duration(*limit))]
    Slow { command: String, limit: Duration },
    /// It fails.
    #[error("command `{command}` ended with {status}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
}

/// The program for a command: several words are a program and its arguments, one text is for a shell.
pub(super) fn program(words: &[String]) -> Option<Command> {
    match words {
        [] => None,
        [line] => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            Some(shell)
        }
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            Some(command)
        }
    }
}

/// Variables for a program: ours that are allowed and not denied, both by patterns, and its own.
pub(super) fn environment(exec: &Exec) -> BTreeMap<String, String> {
    let fits = |patterns: &[String], name: &str| patterns.iter().any(|pattern| glob::fits(pattern, name));
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|_| !exec.pristine.unwrap_or(false))
        .filter(|(name, _)| exec.allowlist.is_empty() || fits(&exec.allowlist, name))
        .filter(|(name, _)| !fits(&exec.denylist, name))
        // Vault's token is ours alone, unless it is asked for by name.
        .filter(|(name, _)| name != "VAULT_TOKEN" || exec.allowlist.contains(name))
        .collect();
    for pair in &exec.custom {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}

/// Runs a command to its end. What takes too long is ended with all that it has started.
pub(super) async fn run(words: &[String], exec: &Exec, limit: Duration) -> Result<(), CommandError> {
    let Some(mut process) = Process::start(words, exec, Handle::default())? else {
        return Ok(());
    };
    let command = || words.join(" ");
    let status = if limit.is_zero() {
        process.wait().await
    } else {
        match tokio::time::timeout(limit, process.wait()).await {
            Ok(status) => status,
            Err(_) => {
                process.end(exec.kill_signal(), exec.kill_timeout()).await;
                return Err(CommandError::Slow {
                    command: command(),
                    limit,
                });
            }
        }
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CommandError::Failed {
            command: command(),
            status,
        }),
        Err(source) => Err(CommandError::Start {
            command: command(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_allowed_and_denied() {
        let exec = |pristine, allow: &[&str], deny: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            environment(&Exec {
                pristine: Some(pristine),
                allowlist: names(allow),
                denylist: names(deny),
                custom: vec!["OWN=a=b".to_owned(), "EMPTY".to_owned()],
                ..Exec::default()
            })
        };
        let all = exec(false, &[], &[]);
        assert!(all.contains_key("PATH") && all["OWN"] == "a=b" && all["EMPTY"].is_empty());
        let none = exec(true, &[], &[]);
        assert_eq!(none.keys().collect::<Vec<_>>(), ["EMPTY", "OWN"]);
        let some = exec(false, &["PA*"], &[]);
        assert!(some.contains_key("PATH") && !some.contains_key("HOME"));
        assert!(exec(false, &["*A?H"], &[]).contains_key("PATH"));
        assert!(!exec(false, &[], &["*ATH"]).contains_key("PATH"));
        assert!(!exec(false, &[], &["[O-Q]AT[^A-G]"]).contains_key("PATH"));
        let others = exec(false, &[], &["PA*"]);
        assert!(!others.contains_key("PATH") && others.contains_key("OWN"));
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_line_is_a_shells() {
        let run = async |line: &[&str]| run(&words(line), &Exec::default(), Duration::from_secs(20)).await;
        for line in [
            "exit 0",
            "umask 077",
            "! grep -q nothing /dev/null",
            ": > /dev/null",
            "true; true",
            "A=1 true",
        ] {
            run(&[line]).await.unwrap();
        }
        run(&["test", "a b", "=", "a b"]).await.unwrap();
        run(&[]).await.unwrap();
        assert!(matches!(run(&["exit 3"]).await, Err(CommandError::Failed { .. })));
        assert!(matches!(
            run(&["/no/such/program", "x"]).await,
            Err(CommandError::Start { .. })
        ));
    }

    #[tokio::test]
    async fn what_takes_too_long_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display();
        let exec = Exec {
            kill_signal: Some(nix::sys::signal::Signal::SIGTERM),
            kill_timeout: Some(Duration::from_millis(300)),
            ..Exec::default()
        };
        let alive = |name: &str| {
            let pid = std::fs::read_to_string(dir.path().join(name)).unwrap();
            // A process that has ended and is waited for by nobody yet has no command line.
            std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty())
        };
        // One that listens, and one whose child does not.
        let polite = format!("trap 'echo > {place}/told; exit' TERM; sleep 60 & echo $! > {place}/a; wait");
        let deaf = format!("(trap '' TERM; exec sleep 60) & echo $! > {place}/b; wait");
        for line in [polite, deaf] {
            let result = run(&[line], &exec, Duration::from_millis(300)).await;
            assert!(matches!(result, Err(CommandError::Slow { .. })));
        }
        assert!(dir.path().join("told").exists());
        assert!(!alive("a"));
        assert!(!alive("b"));
        // Dropped on the way.
        let line = format!("sleep 60 & echo $! > {place}/c; wait");
        let _ = tokio::time::timeout(Duration::from_millis(300), run(&[line], &exec, Duration::ZERO)).await;
        for _ in 0..100 {
            if !alive("c") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("the dropped command's child lives on");
    }
}
