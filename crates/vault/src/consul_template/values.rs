//! Single values: times, numbers, signals, permission bits, `source:destination:command`.

use super::hcl::Value;
use super::settings::{ConfigError, TemplateSettings, Wait};
use nix::sys::signal::Signal;
use std::time::Duration;

/// What is wrong with a value; where, the caller knows.
pub(super) type Read<T> = Result<T, String>;

/// A template from `source:destination:command`; the command may hold colons.
///
/// # Errors
/// If there is no source.
pub fn template_triple(text: &str) -> Result<TemplateSettings, ConfigError> {
    let parts: Vec<&str> = text.split(':').filter(|part| !part.is_empty()).collect();
    let mut template = TemplateSettings::default();
    match parts.as_slice() {
        [] => {
            return Err(ConfigError {
                place: "-template".to_owned(),
                message: "it is empty; write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND".to_owned(),
            });
        }
        [source, rest @ ..] if text.trim().is_empty() || source.trim().is_empty() => {
            let _ = rest;
            return Err(ConfigError {
                place: "-template".to_owned(),
                message: "it is empty; write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND".to_owned(),
            });
        }
        [source, rest @ ..] => {
            template.source = Some((*source).into());
            if let [destination, command @ ..] = rest {
                template.destination = Some((*destination).into());
                if !command.is_empty() {
                    template.command = vec![command.join(":")];
                }
            }
        }
    }
    Ok(template)
}

pub(super) fn text(value: &Value) -> Read<String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.clone()),
        Value::Bool(b) => Ok(b.to_string()),
        Value::List(_) | Value::Block(_) => Err("takes text".to_owned()),
    }
}

pub(super) fn boolean(value: &Value) -> Read<bool> {
    match value {
        Value::Bool(b) => Ok(*b),
        Value::Text(text) | Value::Number(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("takes true or false".to_owned()),
        },
        _ => Err("takes true or false".to_owned()),
    }
}

pub(super) fn number(value: &Value) -> Read<u32> {
    text(value)?
        .parse()
        .map_err(|_| "takes a whole number that is not negative".to_owned())
}

pub(super) fn float(value: &Value) -> Read<f64> {
    text(value)?.parse().map_err(|_| "takes a number".to_owned())
}

pub(super) fn duration(value: &Value) -> Read<Duration> {
    match value {
        // A bare number counts nanoseconds, as upstream's does; only zero is meant that way.
        Value::Number(number) => number
            .parse()
            .map(Duration::from_nanos)
            .map_err(|_| span_wanted())
            .and_then(short_enough),
        other => span(&text(other)?),
    }
}

fn span_wanted() -> String {
    "takes a time such as 250ms, 30s or 5m".to_owned()
}

fn short_enough(span: Duration) -> Read<Duration> {
    if span > crate::LONGEST {
        return Err("takes at most a hundred years".to_owned());
    }
    Ok(span)
}

/// The longest wait where only the shortest is given.
pub(super) fn four_times(min: Duration) -> Duration {
    min.saturating_mul(4).min(crate::LONGEST)
}

/// A time as text. A bare number is refused, except zero.
pub(super) fn span(text: &str) -> Read<Duration> {
    match text.trim() {
        "0" => Ok(Duration::ZERO),
        text if text.bytes().all(|b| b.is_ascii_digit()) => Err(span_wanted()),
        text => herder_base::parse_duration(text)
            .map_err(|_| span_wanted())
            .and_then(short_enough),
    }
}

/// `min` or `min:max`; without a maximum four times the minimum.
pub(super) fn wait(text: &str) -> Read<Wait> {
    let (min, max) = match text.split(':').collect::<Vec<_>>().as_slice() {
        [min] => (span(min)?, None),
        [min, max] => (span(min)?, Some(span(max)?)),
        _ => return Err("takes MIN or MIN:MAX".to_owned()),
    };
    let max = max.unwrap_or_else(|| four_times(min));
    if max < min {
        return Err("takes MIN:MAX, and the maximum is less than the minimum".to_owned());
    }
    Ok(Wait {
        min,
        max,
        disabled: false,
    })
}

/// Text in quotes or a number, both octal.
pub(super) fn mode(value: &Value) -> Read<u32> {
    let wrong = || "takes permission bits such as \"0600\"".to_owned();
    let mode = match value {
        Value::Text(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8),
        // A number with a leading zero is octal; one without is what it is.
        Value::Number(number) if number.starts_with('0') => u32::from_str_radix(number, 8),
        Value::Number(number) => number.parse(),
        _ => return Err(wrong()),
    };
    mode.ok().filter(|mode| *mode <= 0o7777).ok_or_else(wrong)
}

/// A signal by name, with or without SIG; nothing for the empty name.
pub(super) fn signal(text: &str) -> Read<Option<Signal>> {
    let name = text.trim().to_ascii_uppercase();
    if name.is_empty() || name == "NIL" || name == "SIGNULL" {
        return Ok(None);
    }
    let full = if name.starts_with("SIG") {
        name
    } else {
        format!("SIG{name}")
    };
    full.parse()
        .map(Some)
        .map_err(|_| "takes the name of a signal such as SIGHUP".to_owned())
}

/// One text, or several.
pub(super) fn words(value: &Value) -> Read<Vec<String>> {
    match value {
        Value::List(items) => items.iter().map(text).collect(),
        Value::Text(text) if text.is_empty() => Ok(Vec::new()),
        other => text(other).map(|text| vec![text]),
    }
}

/// Several texts, also as one with commas.
pub(super) fn names(value: &Value) -> Read<Vec<String>> {
    match value {
        Value::Text(text) => Ok(text
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()),
        other => words(other),
    }
}
