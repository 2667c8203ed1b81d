//! A whole text: lines that are alternatives, in one time zone.

use super::{CronError, CronTab, Hash};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::time::Duration;

/// How far ahead the next time is looked for: a leap day can be eight years off.
const HORIZON_DAYS: usize = 366 * 9;

/// When something is to happen.
#[derive(Debug, Clone)]
pub struct Schedule(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Tabs { tabs: Vec<CronTab>, zone: TimeZone },
    Every(Duration),
}

impl Schedule {
    /// Reads a text for the job `name`; `zone` holds where the text names none.
    ///
    /// # Errors
    /// Says which line is wrong, and how.
    pub fn parse(text: &str, name: &str, zone: &TimeZone) -> Result<Self, CronError> {
        if let Some(period) = text.trim().strip_prefix("@every") {
            let period = period.trim();
            return herder_base::parse_duration(period)
                .ok()
                .filter(|period| *period >= Duration::from_secs(1))
                .map(|period| Self(Kind::Every(period)))
                .ok_or_else(|| CronError::Every(period.to_owned()));
        }
        let mut hash = Hash::from_name(name);
        let mut zone = zone.clone();
        let mut tabs = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(wanted) = line.strip_prefix("TZ=").filter(|_| index == 0) {
                zone = TimeZone::get(wanted.trim()).map_err(|_| CronError::Zone(wanted.trim().to_owned()))?;
            } else if !line.is_empty() && !line.starts_with('#') {
                tabs.push(CronTab::parse(line, index + 1, &mut hash)?);
            }
        }
        Ok(Self(Kind::Tabs { tabs, zone }))
    }

    /// Whether the minute that `at` lies in belongs to it. Never true for `@every`.
    #[must_use]
    pub fn matches(&self, at: Timestamp) -> bool {
        match &self.0 {
            Kind::Tabs { tabs, zone } => {
                let civil = zone.to_datetime(at);
                tabs.iter().any(|tab| tab.matches(civil))
            }
            Kind::Every(_) => false,
        }
    }

    /// The first time after `after`; none if there is none within nine years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every(period) => after.checked_add(SignedDuration::try_from(*period).ok()?).ok(),
            Kind::Tabs { tabs, zone } => tabs.iter().filter_map(|tab| next(tab, zone, after)).min(),
        }
    }
}

fn next(tab: &CronTab, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let [minutes, hours, ..] = tab.bits;
    let start = zone.to_datetime(after);
    let mut day = start.date();
    for _ in 0..HORIZON_DAYS {
        // Only the date is asked about here: midnight must pass.
        let mut bits = tab.bits;
        let [minute, hour, ..] = &mut bits;
        (*minute, *hour) = (1, 1);
        let whole_day = CronTab { bits };
        if whole_day.matches(DateTime::from_parts(day, Time::midnight())) {
            for hour in (0..24i8).filter(|hour| hours >> hour & 1 == 1) {
                // Whole hours before the start of the first day cannot hold the answer; an hour of slack for clock changes.
                if day == start.date() && hour + 1 < start.hour() {
                    continue;
                }
                for minute in (0..60i8).filter(|minute| minutes >> minute & 1 == 1) {
                    let at = zone.to_timestamp(day.at(hour, minute, 0, 0)).ok()?;
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
        day = day.checked_add(1.day()).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::datetime;

    fn tab(text: &str, name: &str) -> CronTab {
        CronTab::parse(text, 1, &mut Hash::from_name(name)).unwrap()
    }

    fn after(text: &str, name: &str, from: DateTime) -> DateTime {
        let zone = TimeZone::UTC;
        let schedule = Schedule::parse(text, name, &zone).unwrap();
        // Upstream's `ceil` includes the moment itself.
        let from = zone.to_timestamp(from).unwrap() - SignedDuration::from_secs(1);
        zone.to_datetime(schedule.next(from).unwrap())
    }

    #[test]
    fn hashes_as_jenkins_does() {
        for (name, quarter, minute, hour) in [
            ("update-jobs", 6, 36, 20),
            ("team-a/build", 2, 47, 21),
            ("foo", 10, 25, 8),
            ("PROJ-unit-tests", 10, 10, 19),
        ] {
            let bits = tab("H/15 * * * *", name).bits;
            assert_eq!(bits[0].trailing_zeros(), quarter, "{name}");
            assert_eq!(bits[0].count_ones(), 4);
            let bits = tab("H H * * *", name).bits;
            assert_eq!((bits[0], bits[1]), (1 << minute, 1 << hour), "{name}");
        }
    }

    #[test]
    fn finds_the_next_time_as_jenkins_does() {
        let at = datetime;
        for (text, name, from, expected) in [
            (
                "0,30 * * * *",
                "",
                at(2000, 3, 1, 1, 10, 0, 0),
                at(2000, 3, 1, 1, 30, 0, 0),
            ),
            (
                "0,30 * * * *",
                "",
                at(2000, 3, 1, 1, 40, 0, 0),
                at(2000, 3, 1, 2, 0, 0, 0),
            ),
            (
                "15,45 3 * * *",
                "",
                at(2000, 3, 1, 2, 30, 0, 0),
                at(2000, 3, 1, 3, 15, 0, 0),
            ),
            // Day and weekday must both match.
            (
                "0 0 1 * 0",
                "",
                at(2010, 1, 1, 15, 55, 0, 0),
                at(2010, 8, 1, 0, 0, 0, 0),
            ),
            (
                "0 0 1 * 7",
                "",
                at(2010, 1, 1, 15, 55, 0, 0),
                at(2010, 8, 1, 0, 0, 0, 0),
            ),
            (
                "0 23 * * 1-5",
                "",
                at(2011, 1, 16, 0, 0, 0, 0),
                at(2011, 1, 17, 23, 0, 0, 0),
            ),
            (
                "H 17 * * *",
                "stuff",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 21, 17, 56, 0, 0),
            ),
            (
                "H * * * *",
                "stuff",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 21, 16, 56, 0, 0),
            ),
            (
                "@hourly",
                "stuff",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 21, 16, 56, 0, 0),
            ),
            (
                "@hourly",
                "junk",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 21, 17, 20, 0, 0),
            ),
            (
                "H H(12-13) * * *",
                "stuff",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 22, 13, 56, 0, 0),
            ),
            (
                "H/15 * * * *",
                "stuff",
                at(2013, 3, 21, 16, 21, 0, 0),
                at(2013, 3, 21, 16, 26, 0, 0),
            ),
            (
                "H/15 * * * *",
                "stuff",
                at(2013, 3, 21, 16, 31, 0, 0),
                at(2013, 3, 21, 16, 41, 0, 0),
            ),
            (
                "H/15 * * * *",
                "stuff",
                at(2013, 3, 21, 16, 42, 0, 0),
                at(2013, 3, 21, 16, 56, 0, 0),
            ),
            (
                "H/15 * * * *",
                "stuff",
                at(2013, 3, 21, 16, 59, 0, 0),
                at(2013, 3, 21, 17, 11, 0, 0),
            ),
            (
                "H(0-15)/3 * * * *",
                "junk",
                at(2013, 3, 21, 0, 0, 0, 0),
                at(2013, 3, 21, 0, 2, 0, 0),
            ),
            (
                "H(0-3)/4 * * * *",
                "junk",
                at(2013, 3, 21, 0, 0, 0, 0),
                at(2013, 3, 21, 0, 2, 0, 0),
            ),
            (
                "H(0-3)/4 * * * *",
                "junk",
                at(2013, 3, 21, 0, 5, 0, 0),
                at(2013, 3, 21, 1, 2, 0, 0),
            ),
            (
                "# a comment\n\n5 4 * * *\n6 3 * * *",
                "",
                at(2013, 3, 21, 0, 5, 0, 0),
                at(2013, 3, 21, 3, 6, 0, 0),
            ),
            (
                "TZ=Europe/Berlin\n0 9 * * *",
                "",
                at(2013, 7, 1, 0, 0, 0, 0),
                at(2013, 7, 1, 7, 0, 0, 0),
            ),
            // 02:30 does not exist in Berlin on the last Sunday of March: the clock goes on to 03:30.
            (
                "TZ=Europe/Berlin\n30 2 * * *",
                "",
                at(2013, 3, 31, 0, 0, 0, 0),
                at(2013, 3, 31, 1, 30, 0, 0),
            ),
            (
                "0 0 29 2 *",
                "",
                at(2097, 1, 1, 0, 0, 0, 0),
                at(2104, 2, 29, 0, 0, 0, 0),
            ),
            (
                "@every 90s",
                "",
                at(2013, 3, 21, 0, 0, 1, 0),
                at(2013, 3, 21, 0, 1, 30, 0),
            ),
        ] {
            assert_eq!(after(text, name, from), expected, "{text} {name} {from}");
        }
        let never = Schedule::parse("0 0 30 2 *", "x", &TimeZone::UTC).unwrap();
        assert_eq!(never.next(Timestamp::UNIX_EPOCH), None);
        let nothing = Schedule::parse("# only this", "x", &TimeZone::UTC).unwrap();
        assert_eq!(nothing.next(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn draws_in_the_order_of_the_text() {
        let set = |values: &[u32]| values.iter().fold(0u64, |bits, value| bits | 1 << value);
        let text = "H H(5-8) H/3 H(1-10)/4 *";
        let bits = CronTab::parse(text, 1, &mut Hash::last()).unwrap().bits;
        assert_eq!(bits[..2], [set(&[59]), set(&[8])]);
        assert_eq!(bits[2], set(&[3, 6, 9, 12, 15, 18, 21, 24, 27, 30]) & !(1 << 30));
        assert_eq!(bits[3], set(&[4, 8]));
        let bits = CronTab::parse(text, 1, &mut Hash::one()).unwrap().bits;
        assert_eq!(bits[..2], [set(&[1]), set(&[6])]);
        assert_eq!(bits[2], set(&[2, 5, 8, 11, 14, 17, 20, 23, 26]));
        assert_eq!(bits[3], set(&[2, 6, 10]));
        assert_eq!(tab("H/1 * * * *", "foo"), tab("H * * * *", "foo"));
    }

    #[test]
    fn refuses_what_jenkins_refuses() {
        for (text, expected) in [
            ("W W * * *", "line 1: `W` is no minute"),
            ("* * * *", "line 1: `* * * *` has 4 fields"),
            (
                "60 * * * *",
                "60 is out of range for the minute, which goes from 0 to 59",
            ),
            ("* 24 * * *", "24 is out of range for the hour"),
            ("* * 0 * *", "0 is out of range for the day of the month"),
            ("* * * 13 *", "13 is out of range"),
            ("* * * * 8", "8 is out of range"),
            ("5-3 * * * *", "goes backwards"),
            ("*/0 * * * *", "is no minute"),
            ("H/61 * * * *", "61 is out of range"),
            ("H(0-3)/15 * * * *", "15 is out of range"),
            ("5/3 * * * *", "is no minute"),
            ("* * * JAN *", "is no month"),
            ("@nightly", "`@nightly` is unknown"),
            ("TZ=Mars/Olympus\n* * * * *", "no known time zone"),
            ("* * * * *\nTZ=UTC", "has 1 fields"),
            ("@every 10ms", "at least one second"),
        ] {
            let error = Schedule::parse(text, "x", &TimeZone::UTC)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn advises_as_jenkins_does() {
        for (text, expected) in [
            ("@hourly", None),
            ("* * * * *", Some("did you mean `H * * * *`")),
            ("*/1 * * * *", Some("did you mean `H * * * *`")),
            ("H H(0-2) * * *", None),
            ("* 0 * * *", Some("`H 0 * * *`")),
            ("* * 3 * *", Some("`H * 3 * *`")),
            ("*/15 * * * *", Some("`H/15 * * * *` spreads")),
            ("0,15,30,45 * * * *", Some("`H/15 * * * *` spreads")),
            ("0 * * * *", Some("`H * * * *` spreads")),
            ("0 3 * * *", Some("`H 3 * * *` spreads")),
            ("00 22 * * 6", Some("`H 22 * * 6` spreads")),
            ("H/15 * 1 1 *", None),
        ] {
            let advice = tab(text, "stuff").advice(text);
            match expected {
                Some(expected) => assert!(
                    advice.as_deref().is_some_and(|a| a.contains(expected)),
                    "{text}: {advice:?}"
                ),
                None => assert_eq!(advice, None, "{text}"),
            }
        }
    }
}
