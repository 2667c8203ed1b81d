//! `herder explain CODE`: the page of `docs/errors.md` about a code, as rustc explains its own.

use crate::args::Global;
use crate::failing::Failing;
use anyhow::Result;
use serde_json::json;

const PAGES: &str = include_str!("../../../../docs/errors.md");

/// Arguments of `herder explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code, such as not-healthy; without it all codes are listed
    code: Option<String>,
}

/// The codes and what is said of each, in the file's order. A section may be about several: `### a, b`.
fn pages() -> Vec<(&'static str, &'static str)> {
    let sections = PAGES.split("\n### ").skip(1);
    sections
        .flat_map(|section| {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            let text = text.split("\n## ").next().unwrap_or_default().trim();
            title
                .split(", ")
                .map(move |code| (code.trim().trim_matches('`'), text))
        })
        .collect()
}

pub(crate) fn run(global: &Global, args: &Args) -> Result<()> {
    let pages = pages();
    let Some(code) = &args.code else {
        let codes: Vec<&str> = pages.iter().map(|(code, _)| *code).collect();
        if global.json {
            println!("{}", json!(codes));
        } else {
            println!("{}", codes.join("\n"));
        }
        return Ok(());
    };
    let found = pages.iter().find(|(known, _)| known == code);
    let Some((code, text)) = found else {
        let known = pages.iter().map(|(code, _)| *code);
        let failing = Failing::unknown(format!("no error has the code `{code}`"), code, known);
        return Err(match failing.hint {
            Some(_) => failing,
            None => failing.hint("`herder explain` lists all codes"),
        }
        .into());
    };
    if global.json {
        println!("{}", json!({"code": code, "text": text}));
    } else {
        println!("{text}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The codes that sources give, of failures and of findings that ask something of somebody.
    fn given(dir: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                given(&path, codes);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for begin in [
                    "Diagnostic::error(",
                    "Diagnostic::warning(",
                    "Self::new(StatusCode::",
                    "Self::new(Kind::",
                    "Failing::new(Kind::",
                    "Self::new(\n            StatusCode::",
                    "Failing::new(\n",
                ] {
                    for part in text.split(begin).skip(1) {
                        // The first text of the call.
                        let call = part.split(';').next().unwrap();
                        let code = call.split('"').nth(1).unwrap_or_default();
                        let before = call.split('"').next().unwrap();
                        let first = before.chars().filter(|c| *c == ',').count() <= 1;
                        if first
                            && !code.is_empty()
                            && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                        {
                            codes.insert(code.to_owned());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_code_has_a_page() {
        let mut codes = BTreeSet::new();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["cli", "server", "fleet", "plan", "jobdsl", "kustomize"] {
            given(&crates.join(name).join("src"), &mut codes);
        }
        assert!(
            codes.len() > 50 && codes.contains("other-user") && codes.contains("not-healthy"),
            "{codes:?}"
        );
        let pages = pages();
        let known: BTreeSet<&str> = pages.iter().map(|(code, _)| *code).collect();
        let missing: Vec<&String> = codes
            .iter()
            .filter(|code| !known.contains(code.as_str()))
            .collect();
        assert!(missing.is_empty(), "docs/errors.md says nothing of {missing:?}");
        assert!(pages.iter().all(|(_, text)| text.len() > 40));
        assert_eq!(known.len(), pages.len(), "a code has two pages");
    }
}
