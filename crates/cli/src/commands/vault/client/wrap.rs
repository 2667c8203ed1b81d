//! Answers kept in a token of their own: how long, by `-wrap-ttl` or `VAULT_WRAP_TTL`, and how that token is shown.

use super::args::Args;
use anyhow::{Context, Result, bail};
use herder_base::{format_duration, parse_duration};
use herder_vault::{Client, Method};
use serde_json::Value;
use std::time::Duration;

/// What the table calls the fields of `wrap_info`.
const NAMES: [(&str, &str); 6] = [
    ("wrapping_token", "token"),
    ("wrapping_accessor", "accessor"),
    ("wrapping_token_ttl", "ttl"),
    ("wrapping_token_creation_time", "creation_time"),
    ("wrapping_token_creation_path", "creation_path"),
    ("wrapped_accessor", "wrapped_accessor"),
];

/// Whether a command's answer can be wrapped: of the others, what they do would be done, and nothing be there to wrap.
pub(super) fn fits(words: &[&str]) -> bool {
    matches!(
        words,
        ["login" | "read" | "write" | "list" | "delete" | "kv", ..]
            | ["token", "create" | "lookup" | "renew", ..]
    )
}

/// A flag's or a variable's text as a time to live; zero is none.
pub(super) fn ttl(name: &str, text: &str) -> Result<Option<Duration>> {
    let ttl = parse_duration(text).with_context(|| format!("{name} cannot be used"))?;
    if !ttl.is_zero() && ttl.as_secs() == 0 {
        bail!("{name} cannot be used: `{text}` is less than a second");
    }
    Ok((!ttl.is_zero()).then_some(ttl))
}

/// One call, whose answer is wrapped if that was asked for.
pub(super) async fn call(
    client: &Client,
    args: &Args,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value> {
    // Vault's own command gives this path a time, as it does nothing without.
    let usual = (path == "sys/wrapping/wrap").then_some(Duration::from_mins(5));
    Ok(match args.wrap.or(usual) {
        Some(ttl) => client.call_wrapped(method, path, body, ttl).await?,
        None => client.call(method, path, body).await?,
    })
}

/// `wrap_info` of an answer that was wrapped.
pub(super) fn info(answer: &Value) -> Option<&Value> {
    answer.get("wrap_info").filter(|info| info.is_object())
}

/// A field of `wrap_info` by the table's name.
pub(super) fn field<'a>(info: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, key) = NAMES.iter().find(|(shown, _)| *shown == name)?;
    info.get(*key).filter(|value| value.as_str() != Some(""))
}

/// The rows of the table, with the colon that Vault's own have.
pub(super) fn rows(info: &Value) -> Vec<(String, String)> {
    NAMES
        .iter()
        .filter_map(|(name, key)| {
            let value = field(info, name)?;
            let shown = match (*key, value) {
                ("ttl", Value::Number(seconds)) => {
                    format_duration(Duration::from_secs(seconds.as_u64().unwrap_or_default()))
                }
                ("creation_time", Value::String(time)) => match time.strip_suffix('Z') {
                    Some(time) => format!("{} +0000 UTC", time.replacen('T', " ", 1)),
                    None => time.clone(),
                },
                (_, Value::String(text)) => text.clone(),
                (_, other) => other.to_string(),
            };
            Some((format!("{name}:"), shown))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_to_live_is_read_or_refused() {
        let error = |text| format!("{:#}", ttl("-wrap-ttl", text).unwrap_err());
        for (text, seconds) in [("300", 300), ("5m", 300), ("1h30m", 5400), ("1d", 86400)] {
            assert_eq!(
                ttl("-wrap-ttl", text).unwrap(),
                Some(Duration::from_secs(seconds))
            );
        }
        assert_eq!(ttl("-wrap-ttl", "0").unwrap(), None);
        assert_eq!(
            error("soon"),
            "-wrap-ttl cannot be used: `soon` is no duration: write for example 30s, 5m, 1h30m or 2d"
        );
        assert!(error("-5m").contains("is no duration"));
        assert!(error("10ms").contains("less than a second"));
    }

    #[test]
    fn what_was_wrapped_has_an_accessor_only_if_it_is_a_token() {
        let mut info = json!({
            "token": "hvs.w", "accessor": "a", "ttl": 90, "creation_path": "auth/token/create",
            "creation_time": "2026-01-02T03:04:05.678Z", "wrapped_accessor": "",
        });
        let shown = rows(&info);
        assert_eq!(shown.len(), 5);
        assert_eq!(shown[2], ("wrapping_token_ttl:".to_owned(), "1m30s".to_owned()));
        assert_eq!(shown[3].1, "2026-01-02 03:04:05.678 +0000 UTC");
        info["wrapped_accessor"] = json!("b");
        assert_eq!(rows(&info)[5], ("wrapped_accessor:".to_owned(), "b".to_owned()));
    }
}
