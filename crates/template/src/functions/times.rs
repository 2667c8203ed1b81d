//! Times and durations as templates see them: Go's types with their methods.

use super::args::{bytes, count, fail, int};
use crate::engine::{Function, Member, Methods, Object, Result, Value};
use crate::time::{Duration, MONTHS, Time, WEEKDAYS, Zone};
use crate::value::{int64, string};
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

/// A `time.Time`.
pub(super) fn time(time: Time) -> Value {
    Value::Object(Arc::new(Moment(time)))
}

/// A `time.Duration`.
pub(super) fn duration(duration: Duration) -> Value {
    Value::Int(duration.0).with_methods("time.Duration", &DURATION)
}

/// The time that a value is.
pub(super) fn as_time(value: &Value) -> Option<&Time> {
    match value.base() {
        Value::Object(object) => of(&**object),
        _ => None,
    }
}

/// A time argument.
pub(super) fn time_at(args: &[Value], i: usize) -> Result<&Time> {
    let value = args.get(i).unwrap_or(&Value::Nil);
    as_time(value).map_or_else(
        || {
            let got = value.type_name();
            fail(format!("wrong type for value; expected time.Time; got {got}"))
        },
        Ok,
    )
}

/// A duration argument; whole numbers are nanoseconds.
fn duration_at(name: &str, args: &[Value], i: usize) -> Result<Duration> {
    int(name, args, i).map(Duration)
}

fn of(object: &dyn Object) -> Option<&Time> {
    let object: &dyn Any = object;
    object.downcast_ref::<Moment>().map(|moment| &moment.0)
}

struct Moment(Time);

impl Object for Moment {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed("time.Time")
    }

    fn member(&self, name: &str) -> Member {
        match method_of_time(name) {
            Some((arguments, method)) => {
                let (time, name) = (self.0.clone(), name.to_owned());
                let function: Function = Arc::new(move |args: &[Value]| {
                    count(&name, args, arguments..=arguments)?;
                    method(&time, args)
                });
                Member::Method(function)
            }
            None if matches!(name, "wall" | "ext" | "loc") => Member::Hidden,
            None => Member::None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.to_string().as_bytes());
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn source(&self) -> Option<String> {
        Some(self.0.source())
    }

    fn marshal(&self) -> Option<String> {
        Some(self.0.marshal())
    }

    fn refuses_json(&self) -> Option<&'static str> {
        self.0.refuses_json()
    }

    fn equals(&self, other: &dyn Object, deeply: bool) -> bool {
        of(other).is_some_and(|other| {
            if deeply {
                self.0.alike(other)
            } else {
                self.0.identical(other)
            }
        })
    }
}

type Method = fn(&Time, &[Value]) -> Result<Value>;

/// How many arguments a method takes, and what it does. Those with several results cannot be called in templates.
fn method_of_time(name: &str) -> Option<(usize, Method)> {
    Some(match name {
        "Format" => (1, |t, a| {
            Ok(Value::from_bytes(&t.format(&bytes("Format", a, 0)?)))
        }),
        "String" => (0, |t, _| Ok(string(t.to_string()))),
        "GoString" => (0, |t, _| Ok(string(t.source()))),
        "Unix" => (0, |t, _| Ok(int64(t.seconds()))),
        "UnixMilli" => (0, |t, _| Ok(int64(scaled(t, 1_000)))),
        "UnixMicro" => (0, |t, _| Ok(int64(scaled(t, 1_000_000)))),
        "UnixNano" => (0, |t, _| Ok(int64(scaled(t, 1_000_000_000)))),
        "Year" => (0, |t, _| Ok(Value::Int(t.civil().year))),
        "Month" => (0, |t, _| {
            Ok(Value::Int(t.civil().month).with_methods("time.Month", &MONTH))
        }),
        "Day" => (0, |t, _| Ok(Value::Int(t.civil().day))),
        "Weekday" => (0, |t, _| {
            Ok(Value::Int(t.civil().weekday()).with_methods("time.Weekday", &WEEKDAY))
        }),
        "YearDay" => (0, |t, _| Ok(Value::Int(t.civil().day_of_year()))),
        "Hour" => (0, |t, _| Ok(Value::Int(t.civil().hour))),
        "Minute" => (0, |t, _| Ok(Value::Int(t.civil().minute))),
        "Second" => (0, |t, _| Ok(Value::Int(t.civil().second))),
        "Nanosecond" => (0, |t, _| Ok(Value::Int(t.nanos()))),
        "IsZero" => (0, |t, _| Ok(Value::Bool(t.is_zero()))),
        // No zone that a time can have here has another time in summer.
        "IsDST" => (0, |_, _| Ok(Value::Bool(false))),
        "UTC" => (0, |t, _| Ok(time(t.in_zone(Zone::Utc)))),
        "Local" => (0, |t, _| Ok(time(t.in_zone(Zone::Local)))),
        "Location" => (0, |t, _| Ok(Value::Object(Arc::new(Location(t.zone().clone()))))),
        "In" => (1, |t, a| match a.first().map(Value::base) {
            Some(Value::Object(object)) => {
                let object: &dyn Any = &**object;
                match object.downcast_ref::<Location>() {
                    Some(location) => Ok(time(t.in_zone(location.0.clone()))),
                    None => no_location(a),
                }
            }
            _ => no_location(a),
        }),
        "Add" => (1, |t, a| Ok(time(t.add(duration_at("Add", a, 0)?)))),
        "AddDate" => (3, |t, a| {
            let at = |i| int("AddDate", a, i);
            Ok(time(t.add_date(at(0)?, at(1)?, at(2)?)))
        }),
        "Sub" => (1, |t, a| Ok(duration(t.sub(time_at(a, 0)?)))),
        "Truncate" => (1, |t, a| Ok(time(t.truncate(duration_at("Truncate", a, 0)?)))),
        "Round" => (1, |t, a| Ok(time(t.round(duration_at("Round", a, 0)?)))),
        "Before" => (1, |t, a| Ok(Value::Bool(t.before(time_at(a, 0)?)))),
        "After" => (1, |t, a| Ok(Value::Bool(time_at(a, 0)?.before(t)))),
        "Equal" => (1, |t, a| Ok(Value::Bool(t.equal(time_at(a, 0)?)))),
        "Compare" => (1, |t, a| {
            let other = time_at(a, 0)?;
            Ok(Value::Int(
                i64::from(other.before(t)) - i64::from(t.before(other)),
            ))
        }),
        _ => return None,
    })
}

fn no_location(args: &[Value]) -> Result<Value> {
    let got = args.first().map_or("<nil>".into(), Value::type_name);
    fail(format!(
        "wrong type for value; expected *time.Location; got {got}"
    ))
}

/// So many of which a second has since 1970; overflows as Go's do.
fn scaled(time: &Time, per_second: i64) -> i64 {
    let within = time.nanos() / (1_000_000_000 / per_second);
    time.seconds().wrapping_mul(per_second).wrapping_add(within)
}

/// A `*time.Location`.
struct Location(Zone);

impl Object for Location {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed("*time.Location")
    }

    fn member(&self, name: &str) -> Member {
        let shown = string(self.0.abbreviation());
        match name {
            "String" => Member::Method(Arc::new(move |args: &[Value]| {
                count("String", args, 0..=0)?;
                Ok(shown.clone())
            })),
            _ => Member::None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.abbreviation().as_bytes());
    }

    fn text(&self) -> Option<String> {
        Some(self.0.abbreviation().to_owned())
    }
}

static DURATION: Methods = Methods {
    text: |value| duration_of(value).to_string(),
    member: |value, name| {
        let d = duration_of(value);
        // The largest unit that is a float.
        const MINUTE: i64 = 60_000_000_000;
        match name {
            "String" => constant(string(d.to_string())),
            "Hours" => constant(Value::Float(d.in_units(60 * MINUTE))),
            "Minutes" => constant(Value::Float(d.in_units(MINUTE))),
            "Seconds" => constant(Value::Float(d.in_units(Duration::SECOND.0))),
            "Milliseconds" => constant(int64(d.0 / 1_000_000)),
            "Microseconds" => constant(int64(d.0 / 1_000)),
            "Nanoseconds" => constant(int64(d.0)),
            // Not even the shortest is longer than the longest.
            "Abs" => constant(duration(Duration(d.0.saturating_abs()))),
            "Round" => Member::Method(Arc::new(move |args: &[Value]| {
                count("Round", args, 1..=1)?;
                Ok(duration(d.round(duration_at("Round", args, 0)?)))
            })),
            "Truncate" => Member::Method(Arc::new(move |args: &[Value]| {
                count("Truncate", args, 1..=1)?;
                Ok(duration(d.truncate(duration_at("Truncate", args, 0)?)))
            })),
            _ => Member::None,
        }
    },
};

static MONTH: Methods = Methods {
    text: |value| named(value, &MONTHS, 1, "Month"),
    member: |value, name| match name {
        "String" => constant(string(named(value, &MONTHS, 1, "Month"))),
        _ => Member::None,
    },
};

static WEEKDAY: Methods = Methods {
    text: |value| named(value, &WEEKDAYS, 0, "Weekday"),
    member: |value, name| match name {
        "String" => constant(string(named(value, &WEEKDAYS, 0, "Weekday"))),
        _ => Member::None,
    },
};

fn duration_of(value: &Value) -> Duration {
    match value.base() {
        Value::Int(nanos) => Duration(*nanos),
        _ => Duration(0),
    }
}

/// The name of a number; a loop over one comes by those that have none.
fn named(value: &Value, names: &[&str], first: i64, type_name: &str) -> String {
    let Value::Int(n) = value.base() else {
        return String::new();
    };
    let name = usize::try_from(n - first).ok().and_then(|i| names.get(i));
    name.map_or_else(|| format!("%!{type_name}({n})"), |name| (*name).to_owned())
}

/// A method without arguments.
fn constant(value: Value) -> Member {
    Member::Method(Arc::new(move |args: &[Value]| {
        count("this method", args, 0..=0)?;
        Ok(value.clone())
    }))
}
