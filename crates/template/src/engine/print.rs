//! Go's default formatting, which is what actions, `print` and `println` write.

use super::value::Value;

/// Where printing stops: values may share parts so that they print longer than they are.
pub(super) const LIMIT: usize = super::exec::OUTPUT + 1024;

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
    if (-4..EXPONENT).contains(&exponent) {
        return format!("{f}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Exponents from which `%v` of a float64 is written with one.
const EXPONENT: i32 = 6;

/// A complex number.
pub(super) fn complex(re: f64, im: f64) -> String {
    let im = float(im);
    let sign = if im.starts_with(['-', '+']) { "" } else { "+" };
    format!("({}{sign}{im}i)", float(re))
}

/// What `%v` prints, as text.
pub(crate) fn display(value: &Value) -> String {
    let mut out = Vec::new();
    write_value(&mut out, value);
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// What `%v` prints.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    if out.len() > LIMIT {
        return;
    }
    if value.methods().is_some()
        && let Some(text) = value.text()
    {
        return out.extend_from_slice(text.as_bytes());
    }
    match value.base() {
        Value::Missing | Value::Nil => out.extend_from_slice(b"<nil>"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Uint(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Float(f) => out.extend_from_slice(float(*f).as_bytes()),
        Value::Complex(re, im) => out.extend_from_slice(complex(*re, *im).as_bytes()),
        Value::String(s) => out.extend_from_slice(s.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.extend_from_slice(b"map[");
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                out.extend_from_slice(key.as_bytes());
                out.push(b':');
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(object) => object.print(out),
        Value::Function(_) | Value::Typed(_) => out.extend_from_slice(b"<func>"),
    }
}

/// What an action prints; false for what cannot be printed.
pub(super) fn action(out: &mut Vec<u8>, value: &Value) -> bool {
    match value {
        Value::Missing | Value::Nil => out.extend_from_slice(b"<no value>"),
        Value::Function(_) => return false,
        other => write_value(out, other),
    }
    true
}

/// `fmt.Sprint`: a space between operands when neither is a string.
pub(crate) fn sprint(args: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous_was_text = true;
    for (i, arg) in args.iter().enumerate() {
        let text = matches!(arg.base(), Value::String(_) | Value::Bytes(_));
        if i > 0 && !text && !previous_was_text {
            out.push(b' ');
        }
        write_value(&mut out, arg);
        previous_was_text = text;
    }
    out
}

/// `fmt.Sprintln`.
pub(crate) fn sprintln(args: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        write_value(&mut out, arg);
    }
    out.push(b'\n');
    out
}

/// What the escaping functions work on: like `print`, but nil is `<no value>`.
pub(super) fn eval_args(args: &[Value]) -> Vec<u8> {
    let shown: Vec<Value> = args
        .iter()
        .map(|arg| match arg {
            Value::Nil | Value::Missing => Value::String("<no value>".into()),
            other => other.clone(),
        })
        .collect();
    sprint(&shown)
}
