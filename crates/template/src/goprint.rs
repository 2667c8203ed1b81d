//! Go's default formatting where the engine differs from it: floats, alone and inside collections.

use gotmpl::Value;
use std::fmt::Write;

/// `strconv.FormatFloat(f, 'g', -1, 64)`.
pub(crate) fn float(f: f64) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if f == 0.0 {
        return if f.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{f:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..LIMIT).contains(&exponent) {
        return format!("{f}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Exponents from which `%v` of a float64 is written with one.
const LIMIT: i32 = 6;

/// What `%v` prints.
pub(crate) fn display(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Float(f) => out.push_str(&float(*f)),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Map(fields) => {
            out.push_str("map[");
            for (i, (key, item)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write_value(out, item);
            }
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// What an action prints; `None` leaves `<no value>` to the engine.
pub(crate) fn action(value: &Value) -> Value {
    match value {
        Value::Float(_) | Value::List(_) | Value::Map(_) => crate::value::string(display(value)),
        other => other.clone(),
    }
}

/// `fmt.Sprint`: a space between operands when neither is a string.
pub(crate) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    let mut previous_was_text = true;
    for (i, arg) in args.iter().enumerate() {
        let text = matches!(arg, Value::String(_));
        if i > 0 && !text && !previous_was_text {
            out.push(' ');
        }
        write_value(&mut out, arg);
        previous_was_text = text;
    }
    out
}

/// `fmt.Sprintln`.
pub(crate) fn sprintln(args: &[Value]) -> String {
    let mut out = args.iter().map(display).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// The type as `%T` names it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "<nil>",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Function(_) => "func()",
        other => other.type_name(),
    }
}
