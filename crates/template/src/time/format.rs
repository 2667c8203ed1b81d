//! Times as text.

use super::Time;
use super::calendar::{Civil, MONTHS, WEEKDAYS};
use super::layout::{self, Element, Fraction, Offset};
use std::fmt;

const RFC3339: &[u8] = b"2006-01-02T15:04:05Z07:00";
const RFC3339_NANO: &[u8] = b"2006-01-02T15:04:05.999999999Z07:00";

impl Time {
    /// `Time.Format`. The layout may be no text, and so may what comes of it.
    pub(crate) fn format(&self, layout: &[u8]) -> Vec<u8> {
        self.format_at(layout, self.zone.abbreviation(), self.zone.offset())
    }

    /// Formats it as it is where this offset and this name for it hold.
    pub(crate) fn format_at(&self, mut layout: &[u8], zone: &str, offset: i64) -> Vec<u8> {
        let civil = Civil::at(self.seconds().wrapping_add(offset));
        let mut out = Vec::new();
        loop {
            let chunk = layout::next(layout);
            out.extend_from_slice(chunk.before);
            let Some((_, element)) = chunk.element else {
                return out;
            };
            match element {
                Element::Fraction(fraction) => write_fraction(&mut out, self.nanos, fraction),
                Element::Offset(shape) => write_offset(&mut out, offset, shape),
                Element::ZoneName if zone.is_empty() => write_offset(
                    &mut out,
                    offset,
                    Offset {
                        z: false,
                        colon: false,
                        minutes: true,
                        seconds: false,
                    },
                ),
                Element::ZoneName => out.extend_from_slice(zone.as_bytes()),
                other => out.extend_from_slice(write(other, &civil).as_bytes()),
            }
            layout = chunk.after;
        }
    }

    /// As JSON and its like have it.
    pub(crate) fn rfc3339(&self) -> String {
        text(self.format(RFC3339))
    }

    /// As JSON and its like have it.
    pub(crate) fn marshal(&self) -> String {
        text(self.format(RFC3339_NANO))
    }

    /// Why JSON cannot have it.
    pub(crate) fn refuses_json(&self) -> Option<&'static str> {
        if !(0..=9999).contains(&self.civil().year) {
            return Some("year outside of range [0,9999]");
        }
        (self.zone.offset().abs() >= 24 * 3600).then_some("timezone hour outside of range [0,23]")
    }

    /// `Time.GoString`.
    pub(crate) fn source(&self) -> String {
        let civil = self.civil();
        let zone = match self.zone() {
            super::Zone::Utc => "time.UTC".to_owned(),
            super::Zone::Local => "time.Local".to_owned(),
            fixed @ super::Zone::Fixed(_) => format!("time.Location({:?})", fixed.abbreviation()),
        };
        format!(
            "time.Date({}, time.{}, {}, {}, {}, {}, {}, {zone})",
            civil.year,
            nth(&MONTHS, civil.month - 1),
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
            self.nanos
        )
    }
}

/// `Time.String`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self.format(b"2006-01-02 15:04:05.999999999 -0700 MST")))
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

fn nth(names: &[&'static str], at: i64) -> &'static str {
    usize::try_from(at)
        .ok()
        .and_then(|at| names.get(at).copied())
        .unwrap_or_default()
}

fn write(element: Element, civil: &Civil) -> String {
    let hour12 = (civil.hour + 11) % 12 + 1;
    let short = |name: &'static str| name.get(..3).unwrap_or(name).to_owned();
    match element {
        Element::LongMonth => nth(&MONTHS, civil.month - 1).to_owned(),
        Element::Month => short(nth(&MONTHS, civil.month - 1)),
        Element::NumMonth => civil.month.to_string(),
        Element::ZeroMonth => format!("{:02}", civil.month),
        Element::LongWeekday => nth(&WEEKDAYS, civil.weekday()).to_owned(),
        Element::Weekday => short(nth(&WEEKDAYS, civil.weekday())),
        Element::Day => civil.day.to_string(),
        Element::UnderDay => format!("{:2}", civil.day),
        Element::ZeroDay => format!("{:02}", civil.day),
        Element::UnderYearDay => format!("{:3}", civil.day_of_year()),
        Element::ZeroYearDay => format!("{:03}", civil.day_of_year()),
        Element::Hour => format!("{:02}", civil.hour),
        Element::Hour12 => hour12.to_string(),
        Element::ZeroHour12 => format!("{hour12:02}"),
        Element::Minute => civil.minute.to_string(),
        Element::ZeroMinute => format!("{:02}", civil.minute),
        Element::Second => civil.second.to_string(),
        Element::ZeroSecond => format!("{:02}", civil.second),
        // The sign does not count as a digit.
        Element::LongYear if civil.year < 0 => format!("-{:04}", civil.year.unsigned_abs()),
        Element::LongYear => format!("{:04}", civil.year),
        Element::Year => format!("{:02}", civil.year.unsigned_abs() % 100),
        Element::UpperPm => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Element::LowerPm => if civil.hour >= 12 { "pm" } else { "am" }.to_owned(),
        // Written by the caller, who knows the zone and the nanoseconds.
        Element::ZoneName | Element::Offset(_) | Element::Fraction(_) => String::new(),
    }
}

fn write_offset(out: &mut Vec<u8>, offset: i64, shape: Offset) {
    if shape.z && offset == 0 {
        return out.push(b'Z');
    }
    // As in Go, less than a minute to the west has no sign.
    let minutes = offset / 60;
    let colon = if shape.colon { ":" } else { "" };
    let mut text = format!("{}{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60);
    if shape.minutes {
        text += &format!("{colon}{:02}", minutes.abs() % 60);
    }
    if shape.seconds {
        let seconds = if minutes < 0 { -offset } else { offset } % 60;
        let sign = if seconds < 0 { "-" } else { "" };
        text += &format!("{colon}{sign}{:02}", seconds.abs());
    }
    out.extend_from_slice(text.as_bytes());
}

fn write_fraction(out: &mut Vec<u8>, nanos: i64, fraction: Fraction) {
    if fraction.trim && (fraction.digits == 0 || nanos == 0) {
        return;
    }
    let digits = format!("{nanos:09}");
    let mut digits = digits.get(..fraction.digits).unwrap_or(&digits);
    if fraction.trim {
        digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return;
        }
    }
    out.push(fraction.separator);
    out.extend_from_slice(digits.as_bytes());
}
