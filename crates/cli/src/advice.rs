//! Holds advice to the real command line: every command and flag that a message, a page or the documentation names is
//! read by the program itself. Only a test; owns nothing.

use crate::args::Herder;
use crate::names::{Called, called_as};
use clap::CommandFactory;
use clap::error::ErrorKind;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Other programs' flags that messages name.
const OTHERS: [&str; 8] = [
    "--locked",
    "--enable-helm",
    "--load-restrictor",
    "--network",
    "--mount",
    "--enable-alpha-plugins",
    "--enable-exec",
    "--delete",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files below a folder with one of these endings.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "tests" | ".git") {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

/// A file's text without its tests, which say wrong things on purpose.
fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "rs") {
        text.split("#[cfg(test)]").next().unwrap().to_owned()
    } else {
        text
    }
}

/// What stands between backticks, on one line or over a string's continued lines.
fn quoted(text: &str) -> Vec<String> {
    let parts = text.split('`').skip(1);
    parts
        .map(|part| {
            part.replace("\\\n", " ")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

/// `herder …` as words, if it is a command and not a sentence.
fn command(quoted: &str) -> Option<Vec<String>> {
    // A format that is signed begins with the name, too.
    let rest = quoted
        .strip_prefix("herder ")
        .filter(|rest| !rest.contains("\\n"))?;
    let mut plain = String::new();
    let mut depth = 0;
    for letter in rest.chars() {
        depth -= i32::from(letter == '}');
        if depth == 0 {
            plain.push(letter);
        }
        depth += i32::from(letter == '{');
    }
    let rest = plain.as_str();
    // What a shell would do with the command's output, and what is said of it.
    let end = rest
        .find([';', '|', '>', '&', '#', '…', '`'])
        .unwrap_or(rest.len());
    let words = rest
        .get(..end)?
        .split_whitespace()
        .take_while(|word| *word != "herder");
    // Any command may be meant.
    if words.clone().next() == Some("COMMAND") {
        return None;
    }
    Some(
        words
            .map(|word| word.trim_matches(['"', '\'']).to_owned())
            .collect(),
    )
}

/// Whether the program reads it, whatever its placeholders stand for.
fn reads(words: &[String]) -> Result<(), String> {
    let mut last = String::new();
    for stands_for in ["x", "1", "1h", "a=b", "http://h", "127.0.0.1:1", "bash"] {
        let typed = words
            .iter()
            // Optional parts are taken, alternatives as the first.
            .map(|word| {
                word.trim_matches(['[', ']'])
                    .split('|')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .map(|word| match (word.find('{'), word.rfind('}')) {
                (Some(from), Some(to)) => format!("{}{stands_for}{}", &word[..from], &word[to + 1..]),
                _ if word.chars().all(|c| c.is_ascii_uppercase() || "=_:-".contains(c))
                    && word.chars().filter(char::is_ascii_uppercase).count() > 1 =>
                {
                    stands_for.to_owned()
                }
                _ => word,
            });
        let all: Vec<OsString> = ["herder".to_owned()]
            .into_iter()
            .chain(typed)
            .map(OsString::from)
            .collect();
        let all = match called_as(all) {
            Called::Herder(all) => all,
            Called::Vault(_) | Called::Template(_) => return Ok(()),
        };
        match Herder::command().try_get_matches_from(&all) {
            Ok(_) => return Ok(()),
            Err(error) => match error.kind() {
                // It is named without what it needs, as in a sentence.
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Ok(()),
                // So is a flag without its value.
                _ if error.to_string().contains("a value is required") => return Ok(()),
                _ => last = error.to_string(),
            },
        }
    }
    Err(last.lines().next().unwrap_or_default().to_owned())
}

fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
    for argument in command.get_arguments() {
        for name in argument.get_long_and_visible_aliases().into_iter().flatten() {
            found.insert(format!("--{name}"));
        }
    }
    for below in command.get_subcommands() {
        flags(below, found);
    }
}

#[test]
fn every_command_and_flag_that_is_advised_is_one() {
    let mut all = Vec::new();
    files(&root().join("crates"), &[".rs", ".html"], &mut all);
    files(&root().join("docs"), &[".md"], &mut all);
    all.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut known: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    let mut whole = Herder::command();
    whole.build();
    flags(&whole, &mut known);
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in all {
        let text = text(&path);
        let own = ["cli/src", "server/", "docs", "README.md", "CONTRIBUTING.md"];
        let shown = path.display().to_string();
        let about_herder = own.iter().any(|part| shown.contains(part))
            && !["kustomize", "template", "vault", "jobdsl", "secrets", "import"]
                .iter()
                .any(|part| {
                    shown.rsplit("/src/").next().unwrap().contains(part)
                        || shown.ends_with(&format!("{part}.md"))
                });
        let mut said = quoted(&text);
        if shown.ends_with(".html") {
            let parts = text.split("<code>").skip(1);
            said.extend(parts.map(|part| {
                part.split("</code>")
                    .next()
                    .unwrap()
                    .replace("{{", "{")
                    .replace("}}", "}")
            }));
        }
        if shown.ends_with(".md") {
            let lines = text
                .lines()
                .map(|line| line.trim_start().trim_start_matches("$ "));
            said.extend(
                lines
                    .filter(|line| line.starts_with("herder "))
                    .map(str::to_owned),
            );
        }
        for quoted in said {
            if let Some(words) = command(&quoted) {
                // The node side's own, and what is no command but a name.
                if words.first().is_some_and(|word| word == "internal") {
                    continue;
                }
                seen += 1;
                if let Err(why) = reads(&words) {
                    wrong.push(format!("{shown}: `{quoted}`: {why}"));
                }
            } else if about_herder && quoted.starts_with("--") && quoted.len() > 2 {
                let flag = quoted.split([' ', '=', '{']).next().unwrap();
                seen += 1;
                if !known.contains(flag) {
                    wrong.push(format!("{shown}: `{flag}` is no flag of any command"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "only {seen} pieces of advice were found");
}

#[test]
fn advice_that_was_never_run_is_found() {
    let words = |text: &str| command(text).unwrap();
    assert!(reads(&words("herder job list")).is_ok());
    assert!(reads(&words("herder env up {name} --lease {max}")).is_ok());
    assert!(reads(&words("herder down --prune")).is_err());
    assert!(reads(&words("herder job lst")).is_err());
    assert!(reads(&words("herder whyy shop")).is_err());
}
