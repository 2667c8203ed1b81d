//! Strings, encodings, paths, regular expressions, digests, URLs.

use super::super::Pure;
use super::super::args::{any, count, fail, fields, list};
use super::super::regex::pattern;
use super::super::text::{go_split, joined, regex_replaced, replaced};
use super::super::{encode, text as general};
use super::{int_at, strval, text_of};
use crate::engine::print::display;
use crate::engine::{Result, Value};
use crate::value::{from_json_floats, map, string, strings};

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_hello", |_| Ok(string("Hello!"))),
    ("sprig_trim", |a| Ok(string(text_of("trim", a, 0)?.trim()))),
    ("sprig_title", |a| {
        Ok(string(general::title(&text_of("title", a, 0)?)))
    }),
    ("sprig_untitle", |a| {
        Ok(string(words(&text_of("untitle", a, 0)?, |c| {
            c.to_lowercase().collect()
        })))
    }),
    ("sprig_trimAll", trim_all),
    ("sprig_trimall", trim_all),
    ("sprig_trimSuffix", |a| {
        let (suffix, s) = (text_of("trimSuffix", a, 0)?, text_of("trimSuffix", a, 1)?);
        Ok(string(s.strip_suffix(&suffix).unwrap_or(&s)))
    }),
    ("sprig_trimPrefix", |a| {
        let (prefix, s) = (text_of("trimPrefix", a, 0)?, text_of("trimPrefix", a, 1)?);
        Ok(string(s.strip_prefix(&prefix).unwrap_or(&s)))
    }),
    ("sprig_nospace", |a| {
        Ok(string(
            text_of("nospace", a, 0)?
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>(),
        ))
    }),
    ("sprig_contains", |a| {
        Ok(Value::Bool(
            text_of("contains", a, 1)?.contains(&text_of("contains", a, 0)?),
        ))
    }),
    ("sprig_hasPrefix", |a| {
        Ok(Value::Bool(text_of("hasPrefix", a, 1)?.starts_with(&text_of(
            "hasPrefix",
            a,
            0,
        )?)))
    }),
    ("sprig_hasSuffix", |a| {
        Ok(Value::Bool(text_of("hasSuffix", a, 1)?.ends_with(&text_of(
            "hasSuffix",
            a,
            0,
        )?)))
    }),
    ("sprig_quote", |a| {
        Ok(string(quoted(a, |s| {
            crate::engine::printf::quote(s.as_bytes(), false)
        })))
    }),
    ("sprig_squote", |a| Ok(string(quoted(a, |s| format!("'{s}'"))))),
    ("sprig_cat", |a| Ok(string(quoted(a, str::to_owned)))),
    ("sprig_indent", |a| Ok(string(indent(a)?))),
    ("sprig_nindent", |a| Ok(string(format!("\n{}", indent(a)?)))),
    ("sprig_replace", |a| {
        count("replace", a, 3..=3)?;
        Ok(string(replaced(
            "replace",
            &text_of("replace", a, 2)?,
            &text_of("replace", a, 0)?,
            &text_of("replace", a, 1)?,
        )?))
    }),
    ("sprig_plural", |a| {
        any("plural", a, usize::from(int_at("plural", a, 2)? != 1)).cloned()
    }),
    ("sprig_toString", |a| Ok(string(strval(any("toString", a, 0)?)))),
    ("sprig_trunc", |a| {
        let (width, s) = (int_at("trunc", a, 0)?, text_of("trunc", a, 1)?);
        let length = i64::try_from(s.len()).unwrap_or(i64::MAX);
        let (from, to) = match width {
            width if width < 0 => (length.saturating_add(width).max(0), length),
            width => (0, width.min(length)),
        };
        Ok(string(cut(
            &s,
            if length.saturating_add(width) > 0 { from } else { 0 },
            to,
        )))
    }),
    ("sprig_substr", |a| {
        let (start, end, s) = (
            int_at("substr", a, 0)?,
            int_at("substr", a, 1)?,
            text_of("substr", a, 2)?,
        );
        let length = i64::try_from(s.len()).unwrap_or(i64::MAX);
        let end = if start >= 0 && (end < 0 || end > length) {
            length
        } else {
            end
        };
        Ok(string(cut(&s, start.max(0), end)))
    }),
    ("sprig_base", |a| Ok(string(base(&text_of("base", a, 0)?)))),
    ("sprig_osBase", |a| Ok(string(base(&text_of("base", a, 0)?)))),
    ("sprig_dir", |a| Ok(string(dir(&text_of("dir", a, 0)?)))),
    ("sprig_osDir", |a| Ok(string(dir(&text_of("dir", a, 0)?)))),
    ("sprig_clean", |a| Ok(string(clean(&text_of("clean", a, 0)?)))),
    ("sprig_osClean", |a| Ok(string(clean(&text_of("clean", a, 0)?)))),
    ("sprig_ext", |a| Ok(string(ext(&text_of("ext", a, 0)?)))),
    ("sprig_osExt", |a| Ok(string(ext(&text_of("ext", a, 0)?)))),
    ("sprig_isAbs", |a| {
        Ok(Value::Bool(text_of("isAbs", a, 0)?.starts_with('/')))
    }),
    ("sprig_osIsAbs", |a| {
        Ok(Value::Bool(text_of("isAbs", a, 0)?.starts_with('/')))
    }),
    ("sprig_toJson", |a| {
        encode::json("toJson", a, false, true).map(string)
    }),
    ("sprig_mustToJson", |a| {
        encode::json("mustToJson", a, false, true).map(string)
    }),
    ("sprig_toPrettyJson", |a| {
        encode::json("toPrettyJson", a, true, true).map(string)
    }),
    ("sprig_mustToPrettyJson", |a| {
        encode::json("mustToPrettyJson", a, true, true).map(string)
    }),
    ("sprig_toRawJson", |a| {
        encode::json("toRawJson", a, false, false).map(string)
    }),
    ("sprig_mustToRawJson", |a| {
        encode::json("mustToRawJson", a, false, false).map(string)
    }),
    ("sprig_fromJson", |a| {
        Ok(serde_json::from_str(&text_of("fromJson", a, 0)?)
            .map_or(Value::Nil, |json| from_json_floats(&json)))
    }),
    ("sprig_mustFromJson", |a| {
        match serde_json::from_str(&text_of("mustFromJson", a, 0)?) {
            Ok(json) => Ok(from_json_floats(&json)),
            Err(_) => fail("mustFromJson: the text is no JSON"),
        }
    }),
    ("sprig_fail", |a| fail(text_of("fail", a, 0)?)),
    ("sprig_regexMatch", regex_match),
    ("sprig_mustRegexMatch", regex_match),
    ("sprig_regexFind", regex_find),
    ("sprig_mustRegexFind", regex_find),
    ("sprig_regexFindAll", regex_find_all),
    ("sprig_mustRegexFindAll", regex_find_all),
    ("sprig_regexReplaceAll", |a| regex_replace(a, false)),
    ("sprig_mustRegexReplaceAll", |a| regex_replace(a, false)),
    ("sprig_regexReplaceAllLiteral", |a| regex_replace(a, true)),
    ("sprig_mustRegexReplaceAllLiteral", |a| regex_replace(a, true)),
    ("sprig_regexSplit", regex_split),
    ("sprig_mustRegexSplit", regex_split),
    ("sprig_regexQuoteMeta", |a| {
        Ok(string(quote_meta(&text_of("regexQuoteMeta", a, 0)?)))
    }),
    ("sprig_split", |a| {
        let (separator, s) = (text_of("split", a, 0)?, text_of("split", a, 1)?);
        Ok(map(go_split(&s, &separator)
            .into_iter()
            .enumerate()
            .map(|(i, part)| (format!("_{i}"), string(part)))))
    }),
    ("sprig_splitn", |a| {
        let (separator, s) = (text_of("splitn", a, 0)?, text_of("splitn", a, 2)?);
        let n = usize::try_from(int_at("splitn", a, 1)?).unwrap_or(usize::MAX);
        Ok(map(s
            .splitn(n, &separator)
            .enumerate()
            .map(|(i, part)| (format!("_{i}"), string(part)))))
    }),
    ("sprig_splitList", |a| {
        let (separator, s) = (text_of("splitList", a, 0)?, text_of("splitList", a, 1)?);
        Ok(strings(go_split(&s, &separator)))
    }),
    ("sprig_join", |a| {
        let separator = text_of("join", a, 0)?;
        let items: Vec<Value> = match any("join", a, 1)? {
            Value::List(_) => list("join", a, 1)?
                .iter()
                .filter(|v| !matches!(v, Value::Nil))
                .cloned()
                .collect(),
            Value::Nil => Vec::new(),
            other => vec![other.clone()],
        };
        joined("join", &items, &separator).map(string)
    }),
    ("sprig_urlParse", |a| Ok(url_parse(&text_of("urlParse", a, 0)?))),
    ("sprig_urlJoin", |a| {
        let parts = fields("urlJoin", a, 0)?;
        let part = |name: &str| parts.get(name).map(display).unwrap_or_default();
        let mut url = String::new();
        if !part("scheme").is_empty() {
            url += &format!("{}:", part("scheme"));
        }
        if !part("host").is_empty() || !part("userinfo").is_empty() {
            let user = part("userinfo");
            url += &format!(
                "//{user}{}{}",
                if user.is_empty() { "" } else { "@" },
                part("host")
            );
        }
        url += &part("path");
        for (name, mark) in [("query", '?'), ("fragment", '#')] {
            if !part(name).is_empty() {
                url += &format!("{mark}{}", part(name));
            }
        }
        Ok(string(url))
    }),
];

fn trim_all(a: &[Value]) -> Result<Value> {
    let cut = text_of("trimAll", a, 0)?;
    Ok(string(
        text_of("trimAll", a, 1)?.trim_matches(|c| cut.contains(c)),
    ))
}

/// Applies `change` to the first letter of each word.
fn words(s: &str, change: fn(char) -> String) -> String {
    let mut inside = false;
    s.chars().fold(String::new(), |mut out, c| {
        if inside {
            out.push(c)
        } else {
            out.push_str(&change(c))
        }
        inside = !c.is_whitespace();
        out
    })
}

fn quoted(args: &[Value], quote: fn(&str) -> String) -> String {
    args.iter()
        .filter(|v| !matches!(v, Value::Nil))
        .map(|v| quote(&strval(v)))
        .collect::<Vec<_>>()
        .join(" ")
}

fn indent(args: &[Value]) -> Result<String> {
    let pad = " ".repeat(usize::try_from(int_at("indent", args, 0)?).unwrap_or(0).min(1024));
    let s = text_of("indent", args, 1)?;
    Ok(format!(
        "{pad}{}",
        replaced("indent", &s, "\n", &format!("\n{pad}"))?
    ))
}

/// A byte range, widened to whole characters.
fn cut(s: &str, from: i64, to: i64) -> String {
    let (mut from, mut to) = (
        usize::try_from(from).unwrap_or(0),
        usize::try_from(to).unwrap_or(0).min(s.len()),
    );
    while !s.is_char_boundary(from.min(s.len())) {
        from += 1;
    }
    while !s.is_char_boundary(to) {
        to -= 1;
    }
    s.get(from..to).unwrap_or_default().to_owned()
}

fn regex_match(a: &[Value]) -> Result<Value> {
    Ok(Value::Bool(pattern("regexMatch", a, 0)?.is_match(&text_of(
        "regexMatch",
        a,
        1,
    )?)))
}

fn regex_find(a: &[Value]) -> Result<Value> {
    let s = text_of("regexFind", a, 1)?;
    Ok(string(
        pattern("regexFind", a, 0)?
            .find(&s)
            .map_or("", |found| found.as_str()),
    ))
}

fn regex_find_all(a: &[Value]) -> Result<Value> {
    let s = text_of("regexFindAll", a, 1)?;
    let n = usize::try_from(int_at("regexFindAll", a, 2)?).unwrap_or(usize::MAX);
    Ok(Value::List(
        pattern("regexFindAll", a, 0)?
            .find_iter(&s)
            .take(n)
            .map(|found| string(found.as_str()))
            .collect(),
    ))
}

fn regex_replace(a: &[Value], literal: bool) -> Result<Value> {
    let (s, with) = (
        text_of("regexReplaceAll", a, 1)?,
        text_of("regexReplaceAll", a, 2)?,
    );
    let expression = pattern("regexReplaceAll", a, 0)?;
    let name = "regexReplaceAll";
    if literal {
        return regex_replaced(name, &expression, &s, regex::NoExpand(&with)).map(string);
    }
    regex_replaced(name, &expression, &s, with.as_str()).map(string)
}

fn regex_split(a: &[Value]) -> Result<Value> {
    let (s, n) = (text_of("regexSplit", a, 1)?, int_at("regexSplit", a, 2)?);
    let expression = pattern("regexSplit", a, 0)?;
    let parts: Vec<Value> = match usize::try_from(n) {
        Ok(n) => expression.splitn(&s, n).map(string).collect(),
        Err(_) => expression.split(&s).map(string).collect(),
    };
    Ok(Value::List(parts.into()))
}

/// Go's `regexp.QuoteMeta`, which quotes fewer characters than Rust's.
fn quote_meta(s: &str) -> String {
    s.chars().fold(String::new(), |mut out, c| {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

fn base(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match (path, trimmed) {
        ("", _) => ".".to_owned(),
        (_, "") => "/".to_owned(),
        (_, trimmed) => trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned(),
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or(""))
}

fn ext(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.')
        .and_then(|dot| name.get(dot..))
        .unwrap_or("")
        .to_owned()
}

fn url_parse(url: &str) -> Value {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest
        .split_once(':')
        .filter(|(scheme, _)| {
            !scheme.is_empty()
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
        .unwrap_or(("", rest));
    let (authority, path, opaque) = match rest.strip_prefix("//") {
        Some(rest) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(slash);
            (authority, path, "")
        }
        None if !scheme.is_empty() && !rest.starts_with('/') => ("", "", rest),
        None => ("", rest, ""),
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    map([
        ("scheme", string(scheme)),
        ("host", string(host)),
        ("hostname", string(name.trim_matches(['[', ']']))),
        ("path", string(path)),
        ("query", string(query)),
        ("opaque", string(opaque)),
        ("fragment", string(fragment)),
        ("userinfo", string(user)),
    ])
}
