//! Words and flags in Go's manner, and `key=value` fields. Pure but for the files and the standard input that fields name.

use super::wrap;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::io::Read;
use std::time::Duration;

/// Flags that are true or false and so take no value of their own.
const TRUTHS: [&str; 14] = [
    "accessor",
    "cas-required",
    "detailed",
    "f",
    "force",
    "no-default-policy",
    "no-print",
    "no-store",
    "orphan",
    "prefix",
    "renewable",
    "reset",
    "self",
    "tls-skip-verify",
];

/// Flags of every command.
const COMMON: [&str; 6] = [
    "address",
    "ca-cert",
    "field",
    "format",
    "namespace",
    "tls-skip-verify",
];

/// Flags of a command beside those of all: what is not here would be ignored, and a flag that is ignored is a different
/// command from the one that was typed.
fn accepted(words: &[&str]) -> &'static [&'static str] {
    match words {
        ["login", ..] => &["method", "path", "no-store", "no-print"],
        ["write", ..] => &["f", "force"],
        ["kv", "get", ..] => &["mount", "version"],
        ["kv", "put" | "patch", ..] => &["mount", "cas"],
        ["kv", "delete" | "undelete" | "destroy", ..] => &["mount", "versions"],
        ["kv", "list", ..] => &["mount"],
        ["kv", "metadata", ..] => &[
            "mount",
            "max-versions",
            "cas-required",
            "delete-version-after",
            "custom-metadata",
        ],
        ["token", "create", ..] => &[
            "ttl",
            "explicit-max-ttl",
            "period",
            "display-name",
            "use-limit",
            "type",
            "id",
            "renewable",
            "policy",
            "metadata",
            "role",
            "orphan",
            "no-default-policy",
        ],
        ["token", "lookup", ..] => &["accessor"],
        ["token", "renew", ..] => &["accessor", "increment", "i"],
        ["token", "revoke", ..] => &["accessor", "self", "mode"],
        ["operator", "init", ..] => &["key-shares", "n", "key-threshold", "t"],
        ["operator", "unseal", ..] => &["reset"],
        ["secrets" | "auth" | "audit", "enable", ..] => &[
            "path",
            "description",
            "version",
            "default-lease-ttl",
            "max-lease-ttl",
            "listing-visibility",
        ],
        ["secrets" | "auth", "tune", ..] => &[
            "description",
            "default-lease-ttl",
            "max-lease-ttl",
            "listing-visibility",
        ],
        ["secrets" | "auth" | "audit", "list", ..] => &["detailed"],
        ["lease", "renew", ..] => &["increment"],
        ["lease", "revoke", ..] => &["prefix", "force"],
        _ => &[],
    }
}

/// How many letters must be changed, added or removed to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (1..=other.chars().count()).collect();
    for (number, x) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (number, number + 1);
        for (cell, y) in row.iter_mut().zip(other.chars()) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, left);
        }
    }
    row.last().copied().unwrap_or_else(|| one.chars().count())
}

/// A command line.
#[derive(Debug, Default)]
pub(super) struct Args {
    /// Everything that is no flag.
    pub(super) words: Vec<String>,
    /// How long the token lives that the answer is to be kept in.
    pub(super) wrap: Option<Duration>,
    flags: Vec<(String, String)>,
}

impl Args {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let mut parsed = Self::default();
        let mut args = args.iter();
        let mut lacking = None;
        while let Some(arg) = args.next() {
            let flag = arg
                .strip_prefix('-')
                .map(|flag| flag.strip_prefix('-').unwrap_or(flag));
            match flag {
                // A single dash is the standard input.
                None | Some("") => parsed.words.push(arg.clone()),
                Some(flag) => {
                    let truth = |name: &str| TRUTHS.contains(&name);
                    let (name, value) = match flag.split_once('=') {
                        Some((name, value)) if truth(name) => match value {
                            "true" | "t" | "1" => (name, "true".to_owned()),
                            "false" | "f" | "0" => (name, "false".to_owned()),
                            _ => bail!("-{name} is true or false"),
                        },
                        Some((name, value)) => (name, value.to_owned()),
                        None if truth(flag) => (flag, "true".to_owned()),
                        None => {
                            let value = args.next().cloned();
                            if value.is_none() {
                                lacking = Some(flag);
                            }
                            (flag, value.unwrap_or_default())
                        }
                    };
                    parsed.flags.push((name.to_owned(), value));
                }
            }
        }
        // Only now: that a flag is not known says more than that it has no value.
        parsed.check()?;
        if let Some(flag) = lacking {
            bail!("-{flag} needs a value");
        }
        if let Some(format) = parsed.flag("format")
            && !matches!(format, "table" | "json" | "yaml")
        {
            bail!("-format is table, json or yaml, not `{format}`");
        }
        parsed.wrap = match parsed.flag("wrap-ttl") {
            Some(text) => wrap::ttl("-wrap-ttl", text)?,
            None => None,
        };
        Ok(parsed)
    }

    /// Refuses flags that this command would ignore.
    fn check(&self) -> Result<()> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let accepted = accepted(&words);
        let known = || accepted.iter().chain(&COMMON).copied();
        for (name, _) in &self.flags {
            if known().any(|flag| flag == name) {
                continue;
            }
            if name == "wrap-ttl" {
                if wrap::fits(&words) {
                    continue;
                }
                bail!(
                    "-wrap-ttl is for read, write, list, delete, kv, login and token create, lookup and renew: \
                     elsewhere there is nothing to wrap"
                );
            }
            let near = known()
                .map(|flag| (distance(flag, name), flag))
                .filter(|(distance, flag)| *distance <= 2 && *distance < flag.len())
                .min();
            match near {
                Some((_, flag)) => bail!("-{name} is not known here: -{flag} is"),
                None => bail!("-{name} is not known here"),
            }
        }
        Ok(())
    }

    /// What the environment says where no flag does.
    pub(super) fn variables(&mut self, get: impl Fn(&str) -> Option<String>) -> Result<()> {
        const WRAP: &str = "VAULT_WRAP_TTL";
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        if self.flag("wrap-ttl").is_none()
            && wrap::fits(&words)
            && let Some(text) = get(WRAP)
        {
            self.wrap = wrap::ttl(WRAP, &text)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Args::parse(&words)
    }

    #[test]
    fn flags_without_a_value_leave_the_next_word_alone() {
        let lookup = parse("token lookup -accessor X").unwrap();
        assert_eq!((lookup.is("accessor"), lookup.words.len()), (true, 3));
        let revoke = parse("lease revoke -prefix database/creds").unwrap();
        assert_eq!((revoke.is("prefix"), revoke.words.len()), (true, 3));
        assert!(!parse("token revoke -self=false X").unwrap().is("self"));
        let create = parse("token create -renewable -ttl 1h -policy=a --policy b").unwrap();
        assert_eq!(create.all("policy"), ["a", "b"]);
        assert_eq!(create.flag("ttl"), Some("1h"));
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for (line, said) in [
            (
                "token create -polices=x",
                "-polices is not known here: -policy is",
            ),
            ("token create -policy", "-policy needs a value"),
            ("token create -nonsense", "-nonsense is not known here"),
            ("token lookup -prefix X", "-prefix is not known here"),
            (
                "kv get -versions=1 secret/a",
                "-versions is not known here: -version is",
            ),
            ("token create -orphan=maybe", "-orphan is true or false"),
            (
                "seal -wrap-ttl=5m",
                "-wrap-ttl is for read, write, list, delete, kv, login and token create, lookup and renew: \
                 elsewhere there is nothing to wrap",
            ),
            ("read -format=xml a", "-format is table, json or yaml, not `xml`"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), said, "{line}");
        }
    }
}
