//! Go's `time.Time` and `time.Duration`: the calendar, layouts, zones. Knows no clock; the machine's zone is UTC, so
//! that a template gives the same text wherever it is rendered.

mod calendar;
mod duration;
mod format;
mod layout;
mod parse;
mod zone;

pub(crate) use calendar::{MONTHS, WEEKDAYS};
pub(crate) use duration::Duration;
pub(crate) use parse::parse;
pub(crate) use zone::{Zone, load};

use calendar::Civil;

const NANOS: i64 = 1_000_000_000;

/// Seconds from the beginning of year 1, which is Go's zero time, to that of 1970.
const INTERNAL: i64 = 62_135_596_800;

/// An instant with a zone. Seconds overflow as Go's do.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    /// Seconds since the beginning of year 1.
    seconds: i64,
    /// Within the second.
    nanos: i64,
    zone: Zone,
}

impl Time {
    /// `time.Time{}`: the beginning of year 1 in UTC.
    pub(crate) const ZERO: Self = Self {
        seconds: 0,
        nanos: 0,
        zone: Zone::Utc,
    };

    /// `time.Unix`.
    pub(crate) const fn unix(seconds: i64, zone: Zone) -> Self {
        Self {
            seconds: seconds.wrapping_add(INTERNAL),
            nanos: 0,
            zone,
        }
    }

    /// `time.Date`: fields out of their range carry over.
    fn date(civil: &Civil, nanos: i64, zone: Zone) -> Self {
        let seconds = civil.seconds().wrapping_sub(zone.offset());
        Self {
            nanos,
            ..Self::unix(seconds, zone)
        }
    }

    /// Seconds since 1970.
    pub(crate) const fn seconds(&self) -> i64 {
        self.seconds.wrapping_sub(INTERNAL)
    }

    pub(crate) const fn nanos(&self) -> i64 {
        self.nanos
    }

    /// What it is on the calendar and the clock of its zone.
    pub(crate) fn civil(&self) -> Civil {
        Civil::at(self.seconds().wrapping_add(self.zone.offset()))
    }

    pub(crate) const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The same instant elsewhere.
    pub(crate) fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// Whether it is the same instant.
    pub(crate) const fn equal(&self, other: &Self) -> bool {
        self.seconds == other.seconds && self.nanos == other.nanos
    }

    pub(crate) const fn before(&self, other: &Self) -> bool {
        self.seconds < other.seconds || self.seconds == other.seconds && self.nanos < other.nanos
    }

    pub(crate) const fn is_zero(&self) -> bool {
        self.seconds == 0 && self.nanos == 0
    }

    /// `Time.Add`.
    pub(crate) fn add(&self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.0 % NANOS;
        Self {
            seconds: self
                .seconds
                .wrapping_add(duration.0 / NANOS)
                .wrapping_add(nanos.div_euclid(NANOS)),
            nanos: nanos.rem_euclid(NANOS),
            zone: self.zone.clone(),
        }
    }

    /// `Time.Sub`: what is too long is the longest there is.
    pub(crate) fn sub(&self, other: &Self) -> Duration {
        let exact = Duration(
            self.seconds
                .wrapping_sub(other.seconds)
                .wrapping_mul(NANOS)
                .wrapping_add(self.nanos - other.nanos),
        );
        if other.add(exact).equal(self) {
            exact
        } else if self.before(other) {
            Duration(i64::MIN)
        } else {
            Duration(i64::MAX)
        }
    }

    /// `Time.AddDate`.
    pub(crate) fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        let mut civil = self.civil();
        civil.year = civil.year.wrapping_add(years);
        civil.month = civil.month.wrapping_add(months);
        civil.day = civil.day.wrapping_add(days);
        Self::date(&civil, self.nanos, self.zone.clone())
    }

    /// `Time.Truncate`: down to a multiple of the duration since the zero time.
    pub(crate) fn truncate(&self, duration: Duration) -> Self {
        if duration.0 <= 0 {
            return self.clone();
        }
        self.add(Duration(self.remainder(duration).wrapping_neg()))
    }

    /// `Time.Round`: to the nearest multiple of the duration since the zero time, halves up.
    pub(crate) fn round(&self, duration: Duration) -> Self {
        if duration.0 <= 0 {
            return self.clone();
        }
        let rest = self.remainder(duration);
        let down = i128::from(rest) * 2 < i128::from(duration.0);
        self.add(Duration(if down { -rest } else { duration.0 - rest }))
    }

    fn remainder(&self, duration: Duration) -> i64 {
        let all = i128::from(self.seconds) * i128::from(NANOS) + i128::from(self.nanos);
        // Less than the duration, which fits.
        i64::try_from(all.rem_euclid(i128::from(duration.0))).unwrap_or_default()
    }

    /// Go's `==`: also the zones must be the same one.
    pub(crate) fn identical(&self, other: &Self) -> bool {
        self.equal(other) && self.zone.identical(&other.zone)
    }

    /// `reflect.DeepEqual`.
    pub(crate) fn alike(&self, other: &Self) -> bool {
        self.equal(other) && self.zone == other.zone
    }
}
