//! Words and flags in Go's manner, and `key=value` fields. Pure but for the files and the standard input that fields name.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::io::Read;

/// Flags that are true or false and so take no value of their own.
const TRUTHS: [&str; 9] = [
    "detailed",
    "force",
    "f",
    "orphan",
    "self",
    "reset",
    "no-print",
    "tls-skip-verify",
    "no-store",
];

/// A command line.
#[derive(Debug, Default)]
pub(super) struct Args {
    /// Everything that is no flag.
    pub(super) words: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Args {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let flag = arg
                .strip_prefix('-')
                .map(|flag| flag.strip_prefix('-').unwrap_or(flag));
            match flag {
                // A single dash is the standard input.
                None | Some("") => parsed.words.push(arg.clone()),
                Some(flag) => {
                    let (name, value) = match flag.split_once('=') {
                        Some((name, value)) => (name, value.to_owned()),
                        None if TRUTHS.contains(&flag) => (flag, "true".to_owned()),
                        None => (
                            flag,
                            args.next()
                                .cloned()
                                .with_context(|| format!("-{flag} needs a value"))?,
                        ),
                    };
                    parsed.flags.push((name.to_owned(), value));
                }
            }
        }
        Ok(parsed)
    }

    /// The last value of a flag.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.all(name).last().copied()
    }

    /// Every value of a flag.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.flags
            .iter()
            .filter(|(there, _)| there == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether a flag is set.
    pub(super) fn is(&self, name: &str) -> bool {
        self.flag(name) == Some("true")
    }

    /// The given flags as a JSON object, with the API's names.
    pub(super) fn object(&self, names: &[(&str, &str)]) -> Map<String, Value> {
        names
            .iter()
            .filter_map(|(flag, key)| Some(((*key).to_owned(), self.flag(flag)?.into())))
            .collect()
    }
}

fn file(path: &str) -> Result<String> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// A text that may be given as `@file` or `-`.
pub(super) fn text(word: &str) -> Result<String> {
    match word.strip_prefix('@') {
        Some(path) => file(path),
        None if word == "-" => file("-"),
        None => Ok(word.to_owned()),
    }
}

/// `key=value` words as an object; `@file` and `-` alone are a whole JSON object.
pub(super) fn fields(words: &[&str]) -> Result<Value> {
    let mut object = Map::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => {
                object.insert(key.to_owned(), text(value)?.into());
            }
            None if *word == "-" || word.starts_with('@') => match serde_json::from_str(&text(word)?) {
                Ok(Value::Object(more)) => object.extend(more),
                _ => bail!("{word}: write a JSON object"),
            },
            None => bail!("`{word}` is no key=value"),
        }
    }
    Ok(Value::Object(object))
}
