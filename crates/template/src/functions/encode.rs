//! To and from base64, JSON, TOML, YAML and the simple types.

use super::Pure;
use super::args::{any, bounded, bytes, count, fail, text};
use super::{yaml_read, yaml_write};
use crate::engine::{Result, Value};
use crate::value::{from_json_floats, int64, map, string, to_json};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value as Json;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("base64Encode", |a| {
        count("base64Encode", a, 1..=1)?;
        Ok(string(STANDARD.encode(bytes("base64Encode", a, 0)?)))
    }),
    ("base64URLEncode", |a| {
        count("base64URLEncode", a, 1..=1)?;
        Ok(string(URL_SAFE.encode(bytes("base64URLEncode", a, 0)?)))
    }),
    ("base64Decode", |a| decode("base64Decode", a, false)),
    ("base64URLDecode", |a| decode("base64URLDecode", a, true)),
    ("parseBool", |a| {
        count("parseBool", a, 1..=1)?;
        match &*text("parseBool", a, 0)? {
            "" => Ok(Value::Bool(false)),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => fail("parseBool: the text is no boolean"),
        }
    }),
    ("parseFloat", |a| parse("parseFloat", a, Value::Float(0.0), float)),
    ("parseInt", |a| {
        parse("parseInt", a, int64(0), |s| s.parse().ok().map(int64))
    }),
    ("parseUint", |a| {
        let uint64 = |n: u64| Value::Uint(n).typed("uint64");
        parse("parseUint", a, uint64(0), |s| {
            let n = s.parse().ok().filter(|_| !s.starts_with('+'));
            n.map(|n: u64| Value::Uint(n).typed("uint64"))
        })
    }),
    ("parseJSON", |a| {
        count("parseJSON", a, 1..=1)?;
        let source = text("parseJSON", a, 0)?;
        if source.is_empty() {
            return Ok(map::<&str>([]));
        }
        match serde_json::from_str::<Json>(&source) {
            Ok(json) => Ok(from_json_floats(&json)),
            Err(error) => fail(format!(
                "parseJSON: no JSON at line {} column {}",
                error.line(),
                error.column()
            )),
        }
    }),
    ("parseYAML", |a| {
        count("parseYAML", a, 1..=1)?;
        let source = text("parseYAML", a, 0)?;
        if source.is_empty() {
            return Ok(map::<&str>([]));
        }
        yaml_read::parse(&source)
    }),
    ("toJSON", |a| Ok(string(json("toJSON", a, false, true)?))),
    ("toJSONPretty", |a| {
        Ok(string(json("toJSONPretty", a, true, true)?))
    }),
    ("toUnescapedJSON", |a| {
        Ok(string(json("toUnescapedJSON", a, false, false)?))
    }),
    ("toUnescapedJSONPretty", |a| {
        Ok(string(json("toUnescapedJSONPretty", a, true, false)?))
    }),
    ("toYAML", |a| {
        count("toYAML", a, 1..=1)?;
        bounded("toYAML", any("toYAML", a, 0)?)?;
        Ok(string(yaml_write::write(any("toYAML", a, 0)?)))
    }),
];

fn decode(name: &str, args: &[Value], url: bool) -> Result<Value> {
    count(name, args, 1..=1)?;
    match go_base64(&bytes(name, args, 0)?, url) {
        Ok(decoded) => Ok(Value::from_bytes(&decoded)),
        Err(at) => fail(format!("{name}: the text is no base64 from its byte {at} on")),
    }
}

/// Base 64 as Go reads it: line breaks are passed over, padding must be there. An error is the byte where it shows.
pub(super) fn go_base64(text: &[u8], url: bool) -> std::result::Result<Vec<u8>, usize> {
    let (plus, slash) = if url { (b'-', b'_') } else { (b'+', b'/') };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bytes = text
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, b)| !matches!(b, b'\r' | b'\n'));
    loop {
        let (mut bits, mut digits) = (0u32, 0usize);
        while digits < 4 {
            let Some((at, byte)) = bytes.next() else {
                if digits == 0 {
                    return Ok(out);
                }
                return Err(text.len() - digits);
            };
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                byte if byte == plus => 62,
                byte if byte == slash => 63,
                b'=' => {
                    // Two digits want two marks, three want one; nothing may follow.
                    match digits {
                        0 | 1 => return Err(at),
                        2 => match bytes.next() {
                            None => return Err(text.len()),
                            Some((_, b'=')) => {}
                            Some((at, _)) => return Err(at),
                        },
                        _ => {}
                    }
                    if let Some((at, _)) = bytes.next() {
                        return Err(at);
                    }
                    bits <<= 6 * (4 - digits);
                    out.extend(bits.to_be_bytes().iter().skip(1).take(digits - 1));
                    return Ok(out);
                }
                _ => return Err(at),
            };
            bits = bits << 6 | u32::from(value);
            digits += 1;
        }
        out.extend(bits.to_be_bytes().iter().skip(1));
    }
}

fn parse(name: &str, args: &[Value], empty: Value, read: fn(&str) -> Option<Value>) -> Result<Value> {
    count(name, args, 1..=1)?;
    let source = text(name, args, 0)?;
    if source.is_empty() {
        return Ok(empty);
    }
    read(&source).map_or_else(|| fail(format!("{name}: the text is no such number")), Ok)
}

/// `strconv.ParseFloat`.
fn float(s: &str) -> Option<Value> {
    match s.to_ascii_lowercase().trim_start_matches(['+', '-']) {
        "inf" | "infinity" | "nan" => s.parse().ok().map(Value::Float),
        _ => crate::engine::parse_float(s).map(Value::Float),
    }
}

/// Why a value cannot be JSON.
fn refused(value: &Value) -> Option<&'static str> {
    match value.base() {
        Value::List(items) => items.iter().find_map(refused),
        Value::Map(entries) => entries.values().find_map(refused),
        Value::Object(object) => object
            .refuses_json()
            .or_else(|| object.plain()?.values().find_map(refused)),
        _ => None,
    }
}

/// JSON as Go writes it: `<`, `>`, `&` escaped unless told otherwise, keys in order.
pub(super) fn json(name: &str, args: &[Value], pretty: bool, escape: bool) -> Result<String> {
    count(name, args, 1..=1)?;
    bounded(name, any(name, args, 0)?)?;
    if let Some(reason) = refused(any(name, args, 0)?) {
        return fail(format!("{name}: {reason}"));
    }
    let json = to_json(any(name, args, 0)?);
    let text = if pretty {
        serde_json::to_string_pretty(&json)
    } else {
        serde_json::to_string(&json)
    };
    let text = text.or_else(|_| fail(format!("{name}: cannot be written as JSON")))?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' if escape => out.push_str("\\u003c"),
            '>' if escape => out.push_str("\\u003e"),
            '&' if escape => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    Ok(out)
}
