//! Days and seconds as Go counts them, over all that fits in 64 bits.

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

const DAY: i64 = 86_400;

/// Days from the year that Go counts from, a multiple of 400 years ago, to 1970.
const ABSOLUTE: i64 = 292_277_022_400 / 400 * 146_097 + 306 + 719_162;

/// A date and a time of day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

impl Civil {
    /// What it is so many seconds after 1970, counted as Go does: seconds before its own zero are far in the future.
    pub(super) fn at(seconds: i64) -> Self {
        let from = ABSOLUTE.cast_unsigned() * DAY.cast_unsigned();
        let absolute = seconds.cast_unsigned().wrapping_add(from);
        let (days, second) = (absolute / DAY.cast_unsigned(), absolute % DAY.cast_unsigned());
        let (year, month, day) = civil(days.cast_signed() - ABSOLUTE);
        let second = second.cast_signed();
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second % 3600 / 60,
            second: second % 60,
        }
    }

    /// Seconds since 1970; months beyond the year and days beyond the month carry over.
    pub(super) fn seconds(&self) -> i64 {
        let month = self.month.wrapping_sub(1);
        let year = self.year.wrapping_add(month.div_euclid(12));
        let days = i128::from(days(year, month.rem_euclid(12) + 1)) + i128::from(self.day) - 1;
        let seconds = days * i128::from(DAY) + i128::from(self.hour * 3600 + self.minute * 60 + self.second);
        #[expect(clippy::cast_possible_truncation, reason = "Go's sum wraps as well")]
        let wrapped = seconds as i64;
        wrapped
    }

    /// From 1.
    pub(crate) fn day_of_year(&self) -> i64 {
        days(self.year, self.month) - days(self.year, 1) + self.day
    }

    /// From 0, which is Sunday.
    pub(crate) fn weekday(&self) -> i64 {
        (days(self.year, self.month) + self.day + 3).rem_euclid(7)
    }
}

pub(super) fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
pub(super) fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day number since 1970 of a month's first day.
fn days(year: i64, month: i64) -> i64 {
    let year = i128::from(year) - i128::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = i128::from((153 * ((month + 9) % 12) + 2) / 5);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    #[expect(clippy::cast_possible_truncation, reason = "Go's sum wraps as well")]
    let wrapped = (era * 146_097 + day_of_era - 719_468) as i64;
    wrapped
}

/// Year, month and day of a day number since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
