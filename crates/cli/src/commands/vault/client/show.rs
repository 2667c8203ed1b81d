//! Answers as text: a table of keys and values, one field, JSON or YAML. Owns the look only.

use super::args::Args;
use super::{data, wrap};
use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Whether a program is to read the answer.
pub(super) fn is_structured(args: &Args) -> bool {
    matches!(args.flag("format"), Some("json" | "yaml"))
}

/// A value as a line of text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "n/a".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

/// The whole, in the format that a program is to read.
pub(super) fn structured(args: &Args, value: &Value) -> Result<()> {
    if args.flag("format") == Some("yaml") {
        print!("{}", herder_object::yaml::print(value));
        return Ok(());
    }
    let text = serde_json::to_string_pretty(value).context("the answer cannot be printed")?;
    println!("{text}");
    Ok(())
}

fn lines(rows: &[(String, String)]) {
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(3).max(3);
    println!("{:width$}    Value\n{:width$}    -----", "Key", "---");
    for (key, value) in rows {
        println!("{key:width$}    {value}");
    }
}

/// Keys and values, with a heading.
pub(super) fn table(rows: &Map<String, Value>) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, value)| (key.clone(), plain(value)))
        .collect();
    lines(&rows);
}

/// What was read: a field, the whole for a program, or a table of token or data.
pub(super) fn answer(args: &Args, answer: &Value) -> Result<()> {
    let auth = answer.get("auth").filter(|auth| auth.is_object());
    let wrapped = wrap::info(answer).filter(|_| auth.is_none());
    let inner = auth.unwrap_or_else(|| data(answer));
    if let Some(field) = args.flag("field") {
        if let Some(info) = wrapped {
            let value = wrap::field(info, field)
                .with_context(|| format!("Field {field:?} not present in what wraps the answer"))?;
            println!("{}", plain(value));
            return Ok(());
        }
        let names = [
            field,
            field
                .strip_prefix("token")
                .map_or(field, |rest| rest.trim_start_matches('_')),
        ];
        let value = names
            .iter()
            .find_map(|name| inner.get(*name))
            .or_else(|| (field == "token").then(|| inner.get("client_token")).flatten())
            .with_context(|| format!("Field {field:?} not present in secret"))?;
        println!("{}", plain(value));
        return Ok(());
    }
    if is_structured(args) {
        return structured(args, answer);
    }
    if let Some(info) = wrapped {
        lines(&wrap::rows(info));
        warnings(answer);
        return Ok(());
    }
    match inner {
        Value::Object(map) => {
            let mut rows = Map::new();
            for key in ["lease_id", "lease_duration", "lease_renewable"] {
                if let Some(value) = answer
                    .get(key)
                    .filter(|value| value.as_str() != Some("") && value.as_i64() != Some(0))
                {
                    rows.insert(key.to_owned(), value.clone());
                }
            }
            for (key, value) in map {
                let shown = match (auth.is_some(), key.as_str()) {
                    (true, "client_token") => "token".to_owned(),
                    (true, "accessor") => "token_accessor".to_owned(),
                    (true, "lease_duration") => "token_duration".to_owned(),
                    (true, "renewable") => "token_renewable".to_owned(),
                    _ => key.clone(),
                };
                rows.insert(shown, value.clone());
            }
            table(&rows);
        }
        other => println!("{}", plain(other)),
    }
    warnings(answer);
    Ok(())
}

/// What was done: the answer if there is one, else a sentence.
pub(super) fn done(args: &Args, given: &Value, sentence: &str) -> Result<()> {
    let has = |key: &str| given.get(key).is_some_and(|value| !value.is_null());
    if has("data") || has("auth") || has("wrap_info") {
        return answer(args, given);
    }
    if !is_structured(args) {
        println!("{sentence}");
    }
    warnings(given);
    Ok(())
}

/// Names below a path.
pub(super) fn names(args: &Args, given: &Value) -> Result<()> {
    if wrap::info(given).is_some() {
        return answer(args, given);
    }
    let keys = data(given)
        .get("keys")
        .cloned()
        .unwrap_or(Value::Array(Vec::new()));
    if is_structured(args) {
        return structured(args, &keys);
    }
    println!("Keys\n----");
    for key in keys.as_array().into_iter().flatten() {
        println!("{}", plain(key));
    }
    Ok(())
}

/// Mounts and devices: one line each.
pub(super) fn mounts(args: &Args, answer: &Value) -> Result<()> {
    let all = data(answer);
    if is_structured(args) {
        return structured(args, all);
    }
    let text = |mount: &Value, key: &str| match mount.get(key).map(plain) {
        Some(text) if !text.is_empty() => text,
        _ => "n/a".to_owned(),
    };
    println!("{:<16} {:<12} {:<24} Description", "Path", "Type", "Accessor");
    println!("{:<16} {:<12} {:<24} -----------", "----", "----", "--------");
    for (path, mount) in all
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(path, _)| path.ends_with('/'))
    {
        println!(
            "{path:<16} {:<12} {:<24} {}",
            text(mount, "type"),
            text(mount, "accessor"),
            text(mount, "description")
        );
    }
    Ok(())
}

fn warnings(answer: &Value) {
    for warning in answer
        .get("warnings")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        eprintln!("WARNING! {}", plain(warning));
    }
}
