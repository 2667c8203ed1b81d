//! What type a scalar has, by go-yaml's rules (v3 when reading, v2 when deciding what a printed string must quote).

use super::go;
use super::node::{Content, Node, Style, YamlError};

/// A scalar with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number between `i64::MIN` and `u64::MAX`.
    Int(i128),
    /// Any other number; `.inf` and `.nan` too.
    Float(f64),
    /// A time in Go's `RFC3339Nano`, which JSON has as a string.
    Timestamp(String),
    /// Text.
    String,
}

impl Resolved {
    fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Timestamp(_) => "!!timestamp",
            Self::String => "!!str",
        }
    }
}

/// The type of a scalar node.
///
/// # Errors
/// If its explicit tag does not fit its text, as in `!!int x`.
pub fn resolve(node: &Node) -> Result<Resolved, YamlError> {
    let Content::Scalar(text) = &node.content else {
        return Ok(Resolved::String);
    };
    let tag = match node.tag.as_deref() {
        None | Some("") => {
            if node.style != Style::Plain {
                return Ok(Resolved::String);
            }
            return Ok(plain(text, false, Dialect::V3));
        }
        Some(tag) => tag,
    };
    if !matches!(tag, "!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp") {
        return Ok(Resolved::String);
    }
    match plain(text, tag != "!!timestamp", Dialect::V3) {
        Resolved::Int(value) if tag == "!!float" => Ok(Resolved::Float(value as f64)),
        resolved if resolved.tag() == tag => Ok(resolved),
        resolved => Err(YamlError::at(
            node,
            format!("cannot read {} `{text}` as {tag}", resolved.tag()),
        )),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    V2,
    V3,
}

/// The type of an unquoted text without a tag, as go-yaml v3 reads it.
#[must_use]
pub fn resolve_plain(text: &str) -> Resolved {
    plain(text, false, Dialect::V3)
}

/// The type of an unquoted text without a tag, as go-yaml v2 reads it: `yes` and `off` are truth values, times text.
#[must_use]
pub fn resolve_plain_v2(text: &str) -> Resolved {
    match plain(text, false, Dialect::V2) {
        Resolved::Timestamp(_) => Resolved::String,
        resolved => resolved,
    }
}

/// Whether go-yaml v2 reads this unquoted text as a string, so that it can be printed without quotes.
#[must_use]
pub fn is_v2_string(text: &str) -> bool {
    plain(text, false, Dialect::V2) == Resolved::String && !is_base60(text)
}

fn plain(text: &str, no_time: bool, dialect: Dialect) -> Resolved {
    let Some(first) = text.bytes().next() else {
        return Resolved::Null;
    };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text, dialect),
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Resolved::Float(f64::INFINITY),
            // Unlike after a digit, underscores are not just taken out: they have to stand as in Go's own numbers.
            _ if underscores_separate_digits(text) && go::is_yaml_float(&text.replace('_', "")) => {
                go::parse_float(&text.replace('_', "")).map_or(Resolved::String, Resolved::Float)
            }
            _ => Resolved::String,
        },
        b'+' | b'-' | b'0'..=b'9' => number(text, no_time),
        _ => Resolved::String,
    }
}

fn underscores_separate_digits(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    parts.windows(2).all(|pair| match pair {
        [before, after] => {
            before.ends_with(|c: char| c.is_ascii_digit()) && after.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => true,
    })
}

fn word(text: &str, dialect: Dialect) -> Resolved {
    match text {
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if dialect == Dialect::V2 => {
            Resolved::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if dialect == Dialect::V2 => {
            Resolved::Bool(false)
        }
        _ => Resolved::String,
    }
}

fn number(text: &str, no_time: bool) -> Resolved {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !no_time && let Some(time) = go::timestamp(text) {
        return Resolved::Timestamp(time);
    }
    let without;
    let digits = if text.contains('_') {
        without = text.replace('_', "");
        &without
    } else {
        text
    };
    if let Some(value) = go::parse_int(digits) {
        return Resolved::Int(value);
    }
    if go::is_yaml_float(digits)
        && let Some(value) = go::parse_float(digits)
    {
        return Resolved::Float(value);
    }
    Resolved::String
}

/// Base 60 as YAML 1.1 had it: `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`.
fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_digit())
        || !first.bytes().all(|c| c.is_ascii_digit() || c == b'_')
    {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let sixty = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten @ b'0'..=b'5', one] => ten.is_ascii_digit() && one.is_ascii_digit(),
        _ => false,
    };
    middle.iter().copied().all(sixty)
        && sixty(last)
        && fraction.bytes().all(|c| c.is_ascii_digit() || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_go_yaml_v3() {
        for (text, resolved) in [
            ("", Resolved::Null),
            ("Null", Resolved::Null),
            ("yes", Resolved::String),
            ("True", Resolved::Bool(true)),
            ("0755", Resolved::Int(493)),
            ("1_000", Resolved::Int(1000)),
            ("08", Resolved::Float(8.0)),
            ("1.", Resolved::Float(1.0)),
            (".5", Resolved::Float(0.5)),
            (".5_", Resolved::String),
            ("._5", Resolved::String),
            (".5_1", Resolved::Float(0.51)),
            ("0.5_", Resolved::Float(0.5)),
            ("1:30", Resolved::String),
            (
                "2001-01-01",
                Resolved::Timestamp("2001-01-01T00:00:00Z".to_owned()),
            ),
        ] {
            assert_eq!(resolve(&Node::plain(text)).unwrap(), resolved, "{text}");
        }
        assert_eq!(resolve(&Node::string("1")).unwrap(), Resolved::String);
        let int = Node {
            tag: Some("!!int".into()),
            ..Node::plain("x")
        };
        assert!(resolve(&int).is_err());
    }

    #[test]
    fn v2_quotes_what_it_would_misread() {
        for text in [
            "y",
            "No",
            "on",
            "1:30",
            "-1:2:3.4",
            "0o7",
            "123",
            "~",
            "",
            ".inf",
            "2001-01-01",
        ] {
            assert!(!is_v2_string(text), "{text}");
        }
        for text in ["=", "<<", "1:60", "a", "1.2.3", "12:3a", "1e"] {
            assert!(is_v2_string(text), "{text}");
        }
    }
}
