//! Dates. What is no time is the present one, which the round is asked for.

use super::super::Round;
use super::super::args::{any, bytes, count, fail, text};
use super::super::times::{as_time, time, time_at};
use super::OfRound;
use crate::engine::{Result, Value};
use crate::time::{Duration, Time, Zone, load, parse};
use crate::value::string;

/// The functions, which see the types of their arguments and may ask for the time.
pub(super) const FUNCTIONS: &[(&str, OfRound)] = &[
    ("sprig_now", |round, a| {
        count("now", a, 0..=0)?;
        Ok(time(round.now(Zone::Local)))
    }),
    ("sprig_ago", |round, a| {
        count("ago", a, 1..=1)?;
        let now = round.now(Zone::Local);
        let then = moment(any("ago", a, 0)?).unwrap_or_else(|| now.clone());
        Ok(string(now.sub(&then).round(Duration::SECOND).to_string()))
    }),
    ("sprig_date", |round, a| {
        count("date", a, 2..=2)?;
        let layout = bytes("date", a, 0)?;
        written(round, &layout, any("date", a, 1)?, "Local")
    }),
    ("sprig_date_in_zone", in_zone),
    ("sprig_dateInZone", in_zone),
    ("sprig_htmlDate", |round, a| {
        count("htmlDate", a, 1..=1)?;
        written(round, DAY, any("htmlDate", a, 0)?, "Local")
    }),
    ("sprig_htmlDateInZone", |round, a| {
        count("htmlDateInZone", a, 2..=2)?;
        let zone = text("htmlDateInZone", a, 1)?;
        written(round, DAY, any("htmlDateInZone", a, 0)?, &zone)
    }),
    ("sprig_date_modify", modify),
    ("sprig_dateModify", modify),
    ("sprig_must_date_modify", must_modify),
    ("sprig_mustDateModify", must_modify),
    ("sprig_toDate", |_, a| {
        count("toDate", a, 2..=2)?;
        let read = parse(&bytes("toDate", a, 0)?, &bytes("toDate", a, 1)?);
        Ok(time(read.unwrap_or(Time::ZERO)))
    }),
    ("sprig_mustToDate", |_, a| {
        count("mustToDate", a, 2..=2)?;
        match parse(&bytes("mustToDate", a, 0)?, &bytes("mustToDate", a, 1)?) {
            Ok(read) => Ok(time(read)),
            Err(message) => fail(message),
        }
    }),
    ("sprig_unixEpoch", |_, a| {
        count("unixEpoch", a, 1..=1)?;
        Ok(string(time_at(a, 0)?.seconds().to_string()))
    }),
    ("sprig_duration", |_, a| {
        count("duration", a, 1..=1)?;
        let value = any("duration", a, 0)?;
        let seconds = value.bytes().map_or_else(|| int64(value), seconds);
        let nanos = seconds.unwrap_or(0).wrapping_mul(Duration::SECOND.0);
        Ok(string(Duration(nanos).to_string()))
    }),
    ("sprig_durationRound", |round, a| {
        count("durationRound", a, 1..=1)?;
        let value = any("durationRound", a, 0)?;
        let duration = match (as_time(value), value.bytes()) {
            (Some(then), _) => round.now(Zone::Local).sub(then),
            (None, Some(text)) => std::str::from_utf8(text)
                .map_err(|_| "no text")
                .and_then(Duration::parse)
                .unwrap_or(Duration(0)),
            (None, None) => Duration(int64(value).unwrap_or(0)),
        };
        Ok(string(largest_unit(duration)))
    }),
];

const DAY: &[u8] = b"2006-01-02";

/// An `int64`, and no other number.
fn int64(value: &Value) -> Option<i64> {
    match (value, value.base()) {
        (Value::Typed(typed), Value::Int(n)) if typed.name == "int64" => Some(*n),
        _ => None,
    }
}

/// `strconv.ParseInt`: what is too large is the largest.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().map_or_else(
        |error| match error.kind() {
            std::num::IntErrorKind::PosOverflow => Some(i64::MAX),
            std::num::IntErrorKind::NegOverflow => Some(i64::MIN),
            _ => None,
        },
        Some,
    )
}

/// A time, or the seconds of one since 1970.
fn moment(value: &Value) -> Option<Time> {
    match value {
        Value::Int(seconds) => Some(Time::unix(*seconds, Zone::Local)),
        other => int64(other)
            .map(|seconds| Time::unix(seconds, Zone::Local))
            .or_else(|| as_time(other).cloned()),
    }
}

fn written(round: &Round, layout: &[u8], value: &Value, zone: &str) -> Result<Value> {
    let then = moment(value).unwrap_or_else(|| round.now(Zone::Local));
    let (name, offset) = load(zone, then.seconds()).unwrap_or_else(|| ("UTC".to_owned(), 0));
    Ok(Value::from_bytes(&then.format_at(layout, &name, offset)))
}

fn in_zone(round: &Round, a: &[Value]) -> Result<Value> {
    count("dateInZone", a, 3..=3)?;
    let layout = bytes("dateInZone", a, 0)?;
    // A name that is no text names no zone.
    let zone = bytes("dateInZone", a, 2)?;
    let zone = std::str::from_utf8(&zone).unwrap_or("UTC");
    written(round, &layout, any("dateInZone", a, 1)?, zone)
}

fn modified(name: &str, a: &[Value]) -> Result<std::result::Result<Time, &'static str>> {
    count(name, a, 2..=2)?;
    let duration = Duration::parse(&text(name, a, 0)?);
    let then = time_at(a, 1)?;
    Ok(duration.map(|duration| then.add(duration)))
}

fn modify(_: &Round, a: &[Value]) -> Result<Value> {
    let then = modified("dateModify", a)?.or_else(|_| time_at(a, 1).cloned())?;
    Ok(time(then))
}

fn must_modify(_: &Round, a: &[Value]) -> Result<Value> {
    match modified("mustDateModify", a)? {
        Ok(then) => Ok(time(then)),
        Err(message) => fail(message),
    }
}

/// The largest unit of which there is more than one, and how many of it.
fn largest_unit(duration: Duration) -> String {
    const SECOND: u64 = 1_000_000_000;
    let n = duration.0.unsigned_abs();
    [
        (SECOND * 3600 * 24 * 365, "y"),
        (SECOND * 3600 * 24 * 30, "mo"),
        (SECOND * 3600 * 24, "d"),
        (SECOND * 3600, "h"),
        (SECOND * 60, "m"),
        (SECOND, "s"),
    ]
    .iter()
    .find(|(unit, _)| n > *unit)
    .map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", n / unit))
}
