//! Kubernetes' cron schedules: five fields, names, steps, `@hourly` and friends, in a time zone. Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use thiserror::Error;

/// A schedule, as bit sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// `*` in days or weekdays: then both must match, otherwise either.
    any_day: bool,
    zone: TimeZone,
    every: Option<i64>,
}

/// What is wrong with a schedule.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CronError {
    #[error("expected five fields, found {0}")]
    Fields(usize),
    #[error("{0:?} is no {1}")]
    Field(String, &'static str),
    #[error("unknown time zone {0:?}")]
    Zone(String),
}

impl Schedule {
    /// Parses a schedule; the zone is empty for UTC.
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Self, CronError> {
        let (zone_name, text) = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => (zone, text),
        };
        let zone = if zone_name.is_empty() {
            TimeZone::UTC
        } else {
            TimeZone::get(zone_name).map_err(|_| CronError::Zone(zone_name.to_owned()))?
        };
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(every) = text.strip_prefix("@every ") {
            let seconds = go_seconds(every.trim()).filter(|s| *s > 0);
            let seconds = seconds.ok_or_else(|| CronError::Field(every.to_owned(), "duration"))?;
            return Ok(Self {
                minutes: 0,
                hours: 0,
                days: 0,
                months: 0,
                weekdays: 0,
                any_day: true,
                zone,
                every: Some(seconds),
            });
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(CronError::Fields(fields.len()));
        };
        // A star with a step of its own is a list of days like any other.
        let star = |field: &str| {
            field.split(',').any(|part| {
                let (range, step) = part.split_once('/').unwrap_or((part, "1"));
                matches!(range, "*" | "?") && step.parse() == Ok(1)
            })
        };
        let mut weekdays = set(weekday, 0, 7, "weekday", DAYS)?;
        if weekdays & (1 << 7) != 0 {
            weekdays |= 1;
        }
        Ok(Self {
            minutes: set(minute, 0, 59, "minute", &[])?,
            hours: set(hour, 0, 23, "hour", &[])?,
            days: set(day, 1, 31, "day of the month", &[])?,
            months: set(month, 1, 12, "month", MONTHS)?,
            weekdays,
            any_day: star(day) || star(weekday),
            zone,
            every: None,
        })
    }

    /// The first time after `after`; `None` if there is none within five years.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        if let Some(every) = self.every {
            return Timestamp::from_second(after.as_second().checked_add(every)?).ok();
        }
        let start = Timestamp::from_second(after.as_second().div_euclid(60) * 60 + 60).ok()?;
        let mut at: DateTime = start.to_zoned(self.zone.clone()).datetime();
        let last = at.checked_add(Span::new().years(5)).ok()?;
        while at < last {
            if !has(self.months, at.month()) {
                at = at
                    .first_of_month()
                    .start_of_day()
                    .checked_add(Span::new().months(1))
                    .ok()?;
                continue;
            }
            if !self.day_matches(at) {
                at = at.start_of_day().checked_add(Span::new().days(1)).ok()?;
                continue;
            }
            if !has(self.hours, at.hour()) {
                let hour = at.with().minute(0).build().ok()?;
                at = hour.checked_add(Span::new().hours(1)).ok()?;
                continue;
            }
            if !has(self.minutes, at.minute()) {
                at = at.checked_add(Span::new().minutes(1)).ok()?;
                continue;
            }
            let found = at.to_zoned(self.zone.clone()).ok()?;
            // A time that a clock change leaves out does not happen; one that happens twice counts once.
            if found.datetime() == at && found.timestamp() > after {
                return Some(found.timestamp());
            }
            at = at.checked_add(Span::new().minutes(1)).ok()?;
        }
        None
    }

    fn day_matches(&self, at: DateTime) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.any_day {
            day && weekday
        } else {
            day || weekday
        }
    }

    /// The latest time after `since` that is not after `now`, and whether more than `limit` were passed over.
    pub(crate) fn latest(&self, since: Timestamp, now: Timestamp, limit: usize) -> (Option<Timestamp>, bool) {
        let mut latest = None;
        let mut at = since;
        let mut missed = 0_usize;
        while let Some(next) = self.next(at).filter(|n| *n <= now) {
            latest = Some(next);
            at = next;
            missed += 1;
            if missed > 100_000 {
                break;
            }
        }
        (latest, missed > limit)
    }
}

const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: &[&str] = &[
    "", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|v| v < 64 && bits & (1 << v) != 0)
}

fn set(field: &str, low: u32, high: u32, what: &'static str, names: &[&str]) -> Result<u64, CronError> {
    let wrong = || CronError::Field(field.to_owned(), what);
    let number = |text: &str| {
        let named = names
            .iter()
            .position(|n| !n.is_empty() && n.eq_ignore_ascii_case(text))
            .and_then(|i| u32::try_from(i).ok());
        named.or_else(|| text.parse().ok()).ok_or_else(wrong)
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                Some(step.parse::<u32>().ok().filter(|s| *s > 0).ok_or_else(wrong)?),
            ),
            None => (part, None),
        };
        let (from, to) = match range {
            "*" | "?" => (low, if high == 7 { 6 } else { high }),
            _ => match range.split_once('-') {
                Some((a, b)) => (number(a)?, number(b)?),
                None => {
                    let one = number(range)?;
                    (one, if step.is_some() { high } else { one })
                }
            },
        };
        if from < low || to > high || from > to {
            return Err(wrong());
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
        for value in (from..=to).step_by(step) {
            bits |= 1_u64 << value;
        }
    }
    Ok(bits)
}

/// A Go duration such as `1h30m` in whole seconds.
fn go_seconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let factor = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(factor)?)?;
        digits.clear();
    }
    digits.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_times() {
        for (schedule, zone, after, expected) in [
            ("*/15 * * * *", "", "2026-01-01T00:14:59Z", "2026-01-01T00:15:00Z"),
            ("*/15 * * * *", "", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"),
            ("0 3 * * 1-5", "", "2026-01-02T04:00:00Z", "2026-01-05T03:00:00Z"),
            ("0 0 13 * 5", "", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 */2 * 1", "", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
            ("0 0 */1 * 1", "", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("0 0 31 * *", "", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z"),
            ("0 0 29 feb *", "", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("30 6 * * sun", "", "2026-01-01T00:00:00Z", "2026-01-04T06:30:00Z"),
            ("0 0 * * 7", "", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@hourly", "", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("@every 1h30m", "", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"),
            (
                "0 9 * * *",
                "Europe/London",
                "2026-07-01T00:00:00Z",
                "2026-07-01T08:00:00Z",
            ),
            // 01:30 does not happen on the day the clocks go forward.
            (
                "30 1 * * *",
                "Europe/London",
                "2026-03-28T12:00:00Z",
                "2026-03-30T00:30:00Z",
            ),
        ] {
            let parsed = Schedule::parse(schedule, zone).unwrap();
            let next = parsed.next(after.parse().unwrap()).unwrap();
            assert_eq!(next.to_string(), expected, "{schedule} {zone}");
        }
        assert_eq!(
            Schedule::parse("0 0 30 2 *", "")
                .unwrap()
                .next("2026-01-01T00:00:00Z".parse().unwrap()),
            None
        );
    }

    #[test]
    fn bad_schedules_are_errors() {
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "x * * * *",
            "@every x",
            "@sometimes",
            "* * 0 * *",
        ] {
            assert!(Schedule::parse(bad, "").is_err(), "{bad}");
        }
        assert!(Schedule::parse("* * * * *", "Nowhere/None").is_err());
    }

    #[test]
    fn missed_times() {
        let s = Schedule::parse("* * * * *", "").unwrap();
        let (latest, many) = s.latest(
            "2026-01-01T00:00:30Z".parse().unwrap(),
            "2026-01-01T03:00:30Z".parse().unwrap(),
            100,
        );
        assert_eq!(latest.unwrap().to_string(), "2026-01-01T03:00:00Z");
        assert!(many);
    }
}
