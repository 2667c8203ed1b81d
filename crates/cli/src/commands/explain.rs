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
