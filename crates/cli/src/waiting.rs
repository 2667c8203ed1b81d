//! Waiting for what takes long: the platform says again and again what it waits for, and the last line is its answer.
//! There is no limit here but for silence.

use crate::failing::Failing;
use anyhow::{Context, Result};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;

/// The kind of an answer in lines.
pub(crate) const LINES: &str = "application/x-ndjson";

/// How long the platform may say nothing. It says something every two seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same, or what `HERDER_IDLE_LIMIT` says.
pub(crate) fn patience() -> Result<Duration> {
    match std::env::var("HERDER_IDLE_LIMIT") {
        Ok(text) => herder_base::parse_duration(&text)
            .with_context(|| format!("HERDER_IDLE_LIMIT is `{text}`, which is no time such as 60s")),
        Err(_) => Ok(PATIENCE),
    }
}

/// One line: the answer, if it is that. Tells people what is waited for, once for as long as it is the same.
pub(crate) fn line(line: &[u8], last: &mut Option<String>) -> Result<Option<Value>> {
    let mut line: Value =
        serde_json::from_slice(line).context("herder answered with a line that is no JSON")?;
    if line.get("error").is_some() {
        let status = line.get("status").and_then(Value::as_u64).unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        let status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        return Err(Failing::answered(status, line.to_string().as_bytes()).into());
    }
    if let Some(answer) = line.get_mut("answer") {
        return Ok(Some(answer.take()));
    }
    let what = line.pointer("/waiting/what").and_then(Value::as_str);
    let what = what.unwrap_or_default();
    if !what.is_empty() && last.as_deref() != Some(what) {
        let seconds = line.pointer("/waiting/at_most").and_then(Value::as_u64);
        if std::io::stderr().is_terminal() {
            let limit = herder_base::format_duration(Duration::from_secs(seconds.unwrap_or_default()));
            eprintln!("waiting for {what} (at most {limit})");
        }
        *last = Some(what.to_owned());
    }
    Ok(None)
}
