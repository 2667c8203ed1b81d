//! Programs: how a command line becomes one, and commands that run once after a change.

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

/// The program for a command: several words are a program and its arguments, one text is for a shell, which makes way
/// for the program (`exec`) where the text is one simple command, so that signals reach it.
pub(super) fn program(words: &[String]) -> Option<Command> {
    match words {
        [] => None,
        [line] => {
            let simple = !line.contains(['\n', ';', '&', '|', '(', '{', '`'])
                && !["exec ", "if ", "for ", "while ", "cd ", "export ", "set ", ". "]
                    .iter()
                    .any(|word| line.trim_start().starts_with(word))
                && !line
                    .split_whitespace()
                    .next()
                    .is_some_and(|word| word.contains('='));
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(if simple {
                format!("exec {line}")
            } else {
                line.clone()
            });
            Some(shell)
        }
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            Some(command)
        }
    }
}

/// Variables for a program: ours that are allowed and not denied (`*` at the end matches any rest), and its own.
pub(super) fn environment(exec: &Exec) -> BTreeMap<String, String> {
    let fits = |patterns: &[String], name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        })
    };
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

/// Runs a command to its end.
pub(super) async fn run(words: &[String], exec: &Exec, limit: Duration) -> Result<(), CommandError> {
    let Some(mut command) = program(words) else {
        return Ok(());
    };
    let shown = words.join(" ");
    command.env_clear().envs(environment(exec)).kill_on_drop(true);
    let status = command.status();
    let status = if limit.is_zero() {
        status.await
    } else {
        match tokio::time::timeout(limit, status).await {
            Ok(status) => status,
            Err(_) => {
                return Err(CommandError::Slow {
                    command: shown,
                    limit,
                });
            }
        }
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CommandError::Failed {
            command: shown,
            status,
        }),
        Err(source) => Err(CommandError::Start {
            command: shown,
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
        let others = exec(false, &[], &["PA*"]);
        assert!(!others.contains_key("PATH") && others.contains_key("OWN"));
    }

    #[test]
    fn a_simple_line_makes_way_for_its_program() {
        let shown = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let command = program(&words).unwrap();
            let command = command.as_std();
            let arguments = command.get_args().map(|a| a.to_string_lossy().into_owned());
            format!(
                "{} {}",
                command.get_program().to_string_lossy(),
                arguments.collect::<Vec<_>>().join(" ")
            )
        };
        assert_eq!(shown(&["app -x"]), "/bin/sh -c exec app -x");
        for line in [
            "a; b",
            "a && b",
            "a | b",
            "A=1 b",
            "if true; then a; fi",
            "exec a",
            "cd /x",
        ] {
            assert_eq!(shown(&[line]), format!("/bin/sh -c {line}"));
        }
        assert_eq!(shown(&["app", "-x"]), "app -x");
        assert!(program(&[]).is_none());
    }
}
