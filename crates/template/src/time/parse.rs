//! Reads times by a layout. Messages are Go's without the text that was read, which may be secret.

use super::calendar::{self, Civil, MONTHS, WEEKDAYS};
use super::layout::{self, Element, Fraction, Offset};
use super::{Time, Zone};

/// `time.ParseInLocation` in the machine's zone.
pub(crate) fn parse(layout: &[u8], text: &[u8]) -> Result<Time, String> {
    let mut fields = Fields::default();
    let (mut layout, mut rest) = (layout, text);
    loop {
        let chunk = layout::next(layout);
        rest = skip(rest, chunk.before).ok_or("parsing time: cannot parse what is between its parts")?;
        let Some((written, element)) = chunk.element else {
            break;
        };
        layout = chunk.after;
        rest = fields.read(element, rest, layout).map_err(|bad| match bad {
            Bad::Value => format!(
                "parsing time: cannot parse as \"{}\"",
                String::from_utf8_lossy(written)
            ),
            Bad::Range(what) => format!("parsing time: {what} out of range"),
        })?;
    }
    if !rest.is_empty() {
        return Err("parsing time: extra text".to_owned());
    }
    fields.time()
}

enum Bad {
    Value,
    Range(&'static str),
}

/// What has been read so far.
#[derive(Default)]
struct Fields {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    /// In the afternoon, or before noon.
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone: Vec<u8>,
}

type Rest<'a> = Result<&'a [u8], Bad>;

impl Fields {
    /// Reads one element and gives what comes after it.
    fn read<'a>(&mut self, element: Element, text: &'a [u8], layout: &[u8]) -> Rest<'a> {
        let mut rest = text;
        match element {
            Element::Year => {
                let year = atoi(take(&mut rest, 2)?)?;
                // Unix time starts in 1969 in some zones.
                self.year = year + if year >= 69 { 1900 } else { 2000 };
            }
            Element::LongYear => {
                if !rest.first().is_some_and(u8::is_ascii_digit) {
                    return Err(Bad::Value);
                }
                self.year = atoi(take(&mut rest, 4)?)?;
            }
            Element::Month => self.month = Some(name(&MONTHS, 3, &mut rest)?),
            Element::LongMonth => self.month = Some(name(&MONTHS, usize::MAX, &mut rest)?),
            Element::NumMonth | Element::ZeroMonth => {
                let month = number(&mut rest, element == Element::ZeroMonth)?;
                if !(1..=12).contains(&month) {
                    return Err(Bad::Range("month"));
                }
                self.month = Some(month);
            }
            // Days of the week are read and not compared.
            Element::Weekday => {
                name(&WEEKDAYS, 3, &mut rest)?;
            }
            Element::LongWeekday => {
                name(&WEEKDAYS, usize::MAX, &mut rest)?;
            }
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                if element == Element::UnderDay {
                    rest = rest.strip_prefix(b" ").unwrap_or(rest);
                }
                self.day = Some(number(&mut rest, element == Element::ZeroDay)?);
            }
            Element::UnderYearDay | Element::ZeroYearDay => {
                let fixed = element == Element::ZeroYearDay;
                for _ in 0..if fixed { 0 } else { 2 } {
                    rest = rest.strip_prefix(b" ").unwrap_or(rest);
                }
                let length = rest.iter().take(3).take_while(|c| c.is_ascii_digit()).count();
                if length == 0 || fixed && length != 3 {
                    return Err(Bad::Value);
                }
                self.day_of_year = Some(atoi(take(&mut rest, length)?)?);
            }
            Element::Hour => self.hour = within(number(&mut rest, false)?, 0..24, "hour")?,
            Element::Hour12 | Element::ZeroHour12 => {
                let hour = number(&mut rest, element == Element::ZeroHour12)?;
                self.hour = within(hour, 0..13, "hour")?;
            }
            Element::Minute | Element::ZeroMinute => {
                let minute = number(&mut rest, element == Element::ZeroMinute)?;
                self.minute = within(minute, 0..60, "minute")?;
            }
            Element::Second | Element::ZeroSecond => {
                let second = number(&mut rest, element == Element::ZeroSecond)?;
                self.second = within(second, 0..60, "second")?;
                // Decimals may follow where the layout has none.
                let expected = matches!(layout::next(layout).element, Some((_, Element::Fraction(_))));
                if !expected && let [b'.' | b',', b'0'..=b'9', ..] = rest {
                    let decimals = decimals(rest);
                    self.nanos = nanos(take(&mut rest, decimals)?)?;
                }
            }
            Element::UpperPm | Element::LowerPm => {
                let upper = element == Element::UpperPm;
                match take(&mut rest, 2)? {
                    b"PM" if upper => self.afternoon = Some(true),
                    b"pm" if !upper => self.afternoon = Some(true),
                    // Once after noon is enough.
                    b"AM" if upper => self.afternoon = self.afternoon.or(Some(false)),
                    b"am" if !upper => self.afternoon = self.afternoon.or(Some(false)),
                    _ => return Err(Bad::Value),
                }
            }
            Element::Offset(shape) if shape.z && rest.first() == Some(&b'Z') => {
                rest = rest.get(1..).unwrap_or_default();
                self.utc = true;
            }
            Element::Offset(shape) => {
                let offset = offset(&mut rest, shape)?;
                // This one is how Go says that there is none.
                self.offset = (offset != -1).then_some(offset);
            }
            Element::ZoneName => {
                if let Some(after) = rest.strip_prefix(b"UTC") {
                    rest = after;
                    self.utc = true;
                } else {
                    let length = zone_name(rest).ok_or(Bad::Value)?;
                    self.zone = take(&mut rest, length)?.to_vec();
                }
            }
            Element::Fraction(Fraction { trim: true, .. }) => {
                if let [b'.' | b',', b'0'..=b'9', ..] = rest {
                    let decimals = decimals(rest);
                    self.nanos = nanos(take(&mut rest, decimals)?)?;
                }
            }
            Element::Fraction(Fraction { digits, .. }) => self.nanos = nanos(take(&mut rest, digits + 1)?)?,
        }
        Ok(rest)
    }

    fn time(mut self) -> Result<Time, String> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        let (month, day) = self.month_and_day()?;
        if !(1..=calendar::days_in(self.year, month)).contains(&day) {
            return Err("parsing time: day out of range".to_owned());
        }
        let civil = Civil {
            year: self.year,
            month,
            day,
            hour: self.hour,
            minute: self.minute,
            second: self.second,
        };
        if self.utc {
            return Ok(Time::date(&civil, self.nanos, Zone::Utc));
        }
        let name = String::from_utf8(self.zone).unwrap_or_default();
        if let Some(offset) = self.offset {
            let zone = if offset == 0 && name.is_empty() {
                Zone::Local
            } else {
                Zone::fixed(name, offset)
            };
            return Ok(Time::date(&civil, self.nanos, zone));
        }
        if name.is_empty() {
            return Ok(Time::date(&civil, self.nanos, Zone::Local));
        }
        // The offset is not known, except in a name that says it; but then the time is as if there was none.
        let hours: i64 = name
            .strip_prefix("GMT")
            .and_then(|hours| hours.parse().ok())
            .unwrap_or(0);
        let time = Time::date(&civil, self.nanos, Zone::Utc);
        Ok(time.in_zone(Zone::fixed(name, hours * 3600)))
    }

    /// The day of the year says both; what was read besides must agree.
    fn month_and_day(&self) -> Result<(i64, i64), String> {
        let Some(mut left) = self.day_of_year else {
            return Ok((self.month.unwrap_or(1), self.day.unwrap_or(1)));
        };
        let days = if calendar::leap(self.year) { 366 } else { 365 };
        if !(1..=days).contains(&left) {
            return Err("parsing time: day-of-year out of range".to_owned());
        }
        let mut month = 1;
        while left > calendar::days_in(self.year, month) {
            left -= calendar::days_in(self.year, month);
            month += 1;
        }
        if self.month.is_some_and(|read| read != month) {
            return Err("parsing time: day-of-year does not match month".to_owned());
        }
        if self.day.is_some_and(|read| read != left) {
            return Err("parsing time: day-of-year does not match day".to_owned());
        }
        Ok((month, left))
    }
}

fn within(value: i64, range: std::ops::Range<i64>, what: &'static str) -> Result<i64, Bad> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Bad::Range(what))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Bad> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Bad::Value)?;
    *rest = after;
    Ok(taken)
}

/// What is left after text of the layout, in which any spaces stand for any others.
fn skip<'a>(mut text: &'a [u8], mut layout: &[u8]) -> Option<&'a [u8]> {
    while let Some((wanted, after)) = layout.split_first() {
        if *wanted == b' ' {
            if text.first().is_some_and(|c| *c != b' ') {
                return None;
            }
            layout = spaces(layout);
            text = spaces(text);
            continue;
        }
        text = text.strip_prefix(&[*wanted])?;
        layout = after;
    }
    Some(text)
}

fn spaces(text: &[u8]) -> &[u8] {
    let count = text.iter().take_while(|c| **c == b' ').count();
    text.get(count..).unwrap_or_default()
}

/// A name in any case, from 1.
fn name(names: &[&str], length: usize, rest: &mut &[u8]) -> Result<i64, Bad> {
    for (name, at) in names.iter().zip(1..) {
        let name = name.get(..length).unwrap_or(name);
        if let Some((head, after)) = rest.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name.as_bytes())
        {
            *rest = after;
            return Ok(at);
        }
    }
    Err(Bad::Value)
}

/// One digit or two; two if it is fixed.
fn number(rest: &mut &[u8], fixed: bool) -> Result<i64, Bad> {
    let length = match rest {
        [b'0'..=b'9', b'0'..=b'9', ..] => 2,
        [b'0'..=b'9', ..] if !fixed => 1,
        _ => return Err(Bad::Value),
    };
    atoi(take(rest, length)?)
}

/// Digits with a sign or without; none are zero.
fn atoi(text: &[u8]) -> Result<i64, Bad> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Bad::Value);
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or(Bad::Value)?;
    }
    Ok(if negative { -value } else { value })
}

/// How long a separator and the digits behind it are.
fn decimals(text: &[u8]) -> usize {
    1 + text.iter().skip(1).take_while(|c| c.is_ascii_digit()).count()
}

/// A separator and decimals, of which nine count.
fn nanos(text: &[u8]) -> Result<i64, Bad> {
    let [b'.' | b',', digits @ ..] = text else {
        return Err(Bad::Value);
    };
    let digits = digits.get(..9).unwrap_or(digits);
    let value = atoi(digits)?;
    if value < 0 {
        return Err(Bad::Range("fractional second"));
    }
    Ok((digits.len()..9).fold(value, |value, _| value * 10))
}

fn offset(rest: &mut &[u8], shape: Offset) -> Result<i64, Bad> {
    let colon = |rest: &mut &[u8]| {
        if shape.colon && take(rest, 1)? != b":" {
            return Err(Bad::Value);
        }
        Ok(())
    };
    let sign = take(rest, 1)?;
    let hours = take(rest, 2)?;
    let (mut minutes, mut seconds): (&[u8], &[u8]) = (b"00", b"00");
    if shape.minutes {
        colon(rest)?;
        minutes = take(rest, 2)?;
    }
    if shape.seconds {
        colon(rest)?;
        seconds = take(rest, 2)?;
    }
    let two = |mut text: &[u8]| number(&mut text, true);
    // Some write offsets of 24 hours or 60 minutes.
    let hours = within(two(hours)?, 0..25, "time zone offset hour")?;
    let minutes = within(two(minutes)?, 0..61, "time zone offset minute")?;
    let seconds = within(two(seconds)?, 0..61, "time zone offset second")?;
    let offset = hours * 3600 + minutes * 60 + seconds;
    match sign {
        b"+" => Ok(offset),
        b"-" => Ok(-offset),
        _ => Err(Bad::Value),
    }
}

/// How long the name of a zone is: capital letters, mostly ending in T, or an offset.
fn zone_name(text: &[u8]) -> Option<usize> {
    match text {
        [] | [_] | [_, _] => None,
        [b'C', b'h', b'S', b'T', ..] | [b'M', b'e', b'S', b'T', ..] => Some(4),
        [b'G', b'M', b'T', after @ ..] => Some(3 + signed(after)),
        [b'+' | b'-', ..] => Some(signed(text)).filter(|length| *length > 0),
        _ => match text.iter().take(6).take_while(|c| c.is_ascii_uppercase()).count() {
            3 => Some(3),
            4 if text.get(3) == Some(&b'T') || text.starts_with(b"WITA") => Some(4),
            5 if text.get(4) == Some(&b'T') => Some(5),
            _ => None,
        },
    }
}

/// How long a sign and hours up to 23 are; zero if there are none.
fn signed(text: &[u8]) -> usize {
    let [b'+' | b'-', ..] = text else { return 0 };
    let length = decimals(text);
    let hours = text.get(1..length).unwrap_or_default();
    match atoi(hours) {
        Ok(0..=23) if length > 1 => length,
        _ => 0,
    }
}
