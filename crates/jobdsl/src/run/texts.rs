//! Methods of texts, buffers, patterns and matchers.

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Matcher, Value};
use regex::Regex;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Whether a pattern matches a whole text.
pub(super) fn matches_whole(pattern: &Regex, text: &str) -> bool {
    // The leftmost match need not be the longest, so the pattern is anchored.
    Regex::new(&format!("^(?:{})$", pattern.as_str())).is_ok_and(|whole| whole.is_match(text))
}

impl Interp {
    /// A pattern from a text, in Java's syntax as far as it is the same.
    pub(super) fn pattern(&self, value: &Value) -> Result<Value, Throw> {
        if let Value::Pattern(_) = value {
            return Ok(value.clone());
        }
        let text = self.show(value)?;
        match Regex::new(&translate(&text)) {
            Ok(pattern) => Ok(Value::Pattern(Rc::new(pattern))),
            Err(error) => Err(Throw::exception(
                "PatternSyntaxException",
                format!("`{text}`: {error}"),
            )),
        }
    }

    fn regex(&self, value: &Value) -> Result<Rc<Regex>, Throw> {
        match self.pattern(value)? {
            Value::Pattern(pattern) => Ok(pattern),
            _ => Err(Throw::exception("PatternSyntaxException", "no pattern")),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of methods")]
    pub(super) fn text_method(&self, text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        let arg = |index: usize| -> Result<String, Throw> {
            match args.get(index) {
                Some(value) => self.show(value),
                None => Ok(String::new()),
            }
        };
        let chars = || text.chars().collect::<Vec<char>>();
        let cut = |from: usize, to: usize| -> Value {
            Value::text(
                text.chars()
                    .skip(from)
                    .take(to.saturating_sub(from))
                    .collect::<String>(),
            )
        };
        let int = |index: usize| args.get(index).and_then(|value| self.integer(value));
        let list = |items: Vec<String>| Value::list(items.into_iter().map(Value::text).collect());
        let number_of = |found: Option<usize>| {
            Value::Int(found.map_or(-1, |byte| {
                i64::try_from(text.get(..byte).unwrap_or_default().chars().count()).unwrap_or(-1)
            }))
        };
        self.spend(text.len() / 8 + 8)?;
        Ok(Some(match (name, args.len()) {
            ("toString" | "trim" | "strip", 0) if name == "toString" => Value::text(text),
            ("trim" | "strip", 0) => Value::text(text.trim_matches(|c: char| c <= ' ')),
            ("toUpperCase", _) => Value::text(text.to_uppercase()),
            ("toLowerCase", _) => Value::text(text.to_lowercase()),
            ("length" | "size" | "count", 0) => {
                Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
            }
            ("isEmpty", 0) => Value::Bool(text.is_empty()),
            ("isBlank" | "isAllWhitespace", 0) => Value::Bool(text.trim().is_empty()),
            ("capitalize", 0) => {
                let mut chars = text.chars();
                match chars.next() {
                    Some(first) => Value::text(format!("{}{}", first.to_uppercase(), chars.as_str())),
                    None => Value::text(""),
                }
            }
            ("uncapitalize", 0) => {
                let mut chars = text.chars();
                match chars.next() {
                    Some(first) => Value::text(format!("{}{}", first.to_lowercase(), chars.as_str())),
                    None => Value::text(""),
                }
            }
            ("reverse", 0) => Value::text(text.chars().rev().collect::<String>()),
            ("startsWith", 1) => Value::Bool(text.starts_with(&arg(0)?)),
            ("endsWith", 1) => Value::Bool(text.ends_with(&arg(0)?)),
            ("contains", 1) => Value::Bool(text.contains(&arg(0)?)),
            ("equalsIgnoreCase", 1) => Value::Bool(text.to_lowercase() == arg(0)?.to_lowercase()),
            ("concat", 1) => Value::text(format!("{text}{}", arg(0)?)),
            ("indexOf", 1) => number_of(text.find(&arg(0)?)),
            ("lastIndexOf", 1) => number_of(text.rfind(&arg(0)?)),
            ("charAt" | "getAt", 1) => {
                return self
                    .index(&Value::text(text), args.first().unwrap_or(&Value::Null))
                    .map(Some);
            }
            ("count", 1) => {
                let what = arg(0)?;
                Value::Int(if what.is_empty() {
                    0
                } else {
                    i64::try_from(text.matches(&what).count()).unwrap_or(0)
                })
            }
            ("substring", 1 | 2) => {
                let len = text.chars().count();
                let from = int(0).and_then(|i| usize::try_from(i).ok());
                let to = if args.len() == 2 {
                    int(1).and_then(|i| usize::try_from(i).ok())
                } else {
                    Some(len)
                };
                match (from, to) {
                    (Some(from), Some(to)) if from <= to && to <= len => cut(from, to),
                    _ => {
                        return Err(Throw::exception(
                            "StringIndexOutOfBoundsException",
                            format!("a part of `{text}` reaches beyond it"),
                        ));
                    }
                }
            }
            ("take", 1) => cut(0, usize::try_from(int(0).unwrap_or(0)).unwrap_or(0)),
            ("drop", 1) => cut(usize::try_from(int(0).unwrap_or(0)).unwrap_or(0), usize::MAX),
            ("takeRight" | "dropRight", 1) => {
                let count = usize::try_from(int(0).unwrap_or(0)).unwrap_or(0);
                let len = text.chars().count();
                let at = len.saturating_sub(count);
                if name == "takeRight" {
                    cut(at, len)
                } else {
                    cut(0, at)
                }
            }
            ("replace", 2) => {
                let (from, to) = (arg(0)?, arg(1)?);
                self.spend(text.len() + text.matches(from.as_str()).count().saturating_mul(to.len()))?;
                Value::text(text.replace(&from, &to))
            }
            ("replaceAll" | "replaceFirst", 2) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                let limit = usize::from(name == "replaceFirst");
                return self
                    .replace(text, &pattern, args.get(1).unwrap_or(&Value::Null), limit)
                    .map(Some);
            }
            ("matches", 1) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                Value::Bool(matches_whole(&pattern, text))
            }
            ("find", 1) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                pattern
                    .find(text)
                    .map_or(Value::Null, |found| Value::text(found.as_str()))
            }
            ("findAll", 1) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                list(
                    pattern
                        .find_iter(text)
                        .map(|found| found.as_str().to_owned())
                        .collect(),
                )
            }
            ("split", 0) | ("tokenize", 0) => list(text.split_whitespace().map(str::to_owned).collect()),
            ("split", 1 | 2) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                let mut parts: Vec<String> =
                    match int(1).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0) {
                        Some(limit) => pattern.splitn(text, limit).map(str::to_owned).collect(),
                        None => pattern.split(text).map(str::to_owned).collect(),
                    };
                // Java drops an empty first part made by a match of no width, and empty last parts.
                if parts.len() > 1
                    && parts.first().is_some_and(String::is_empty)
                    && pattern.find(text).is_some_and(|m| m.is_empty())
                {
                    parts.remove(0);
                }
                if int(1).unwrap_or(0) == 0 {
                    while parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
                        parts.pop();
                    }
                }
                list(parts)
            }
            ("tokenize", 1) => {
                let separators = arg(0)?;
                list(
                    text.split(|c| separators.contains(c))
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )
            }
            ("readLines" | "lines", 0) => list(text.lines().map(str::to_owned).collect()),
            // Text stands for the reader of it.
            ("withReader" | "withInputStream" | "withCloseable", _) => match args.last() {
                Some(Value::Closure(closure)) => self.call_closure(closure, vec![Value::text(text)])?,
                _ => return Ok(None),
            },
            ("eachLine", 1) => {
                if let Some(Value::Closure(closure)) = args.first() {
                    for line in text.lines() {
                        self.call_closure(closure, vec![Value::text(line)])?;
                    }
                }
                Value::Null
            }
            ("splitEachLine", 2) => {
                let pattern = self.regex(args.first().unwrap_or(&Value::Null))?;
                if let Some(Value::Closure(closure)) = args.get(1) {
                    for line in text.lines() {
                        let parts = list(pattern.split(line).map(str::to_owned).collect());
                        self.call_closure(closure, vec![parts])?;
                    }
                }
                Value::Null
            }
            ("stripIndent", 0) => Value::text(strip_indent(text)),
            ("<stripIndent>", 0) => Value::text(strip_indent_of_values(text)),
            ("stripMargin", 0 | 1) => {
                let mark = if args.is_empty() { "|".to_owned() } else { arg(0)? };
                let lines: Vec<&str> = text
                    .split('\n')
                    .map(|line| line.trim_start().strip_prefix(mark.as_str()).unwrap_or(line))
                    .collect();
                Value::text(lines.join("\n"))
            }
            ("normalize" | "denormalize", 0) => Value::text(text.replace("\r\n", "\n")),
            ("padLeft" | "padRight" | "center", 1 | 2) => {
                let width = usize::try_from(int(0).unwrap_or(0)).unwrap_or(0);
                let fill = if args.len() == 2 { arg(1)? } else { " ".to_owned() };
                let missing = width.saturating_sub(text.chars().count());
                self.spend(missing)?;
                let pad = |count: usize| fill.chars().cycle().take(count).collect::<String>();
                match name {
                    "padLeft" => Value::text(format!("{}{text}", pad(missing))),
                    "padRight" => Value::text(format!("{text}{}", pad(missing))),
                    _ => Value::text(format!(
                        "{}{text}{}",
                        pad(missing / 2),
                        pad(missing - missing / 2)
                    )),
                }
            }
            ("multiply" | "repeat", 1) => {
                return self
                    .binary(
                        crate::syntax::BinaryOp::Multiply,
                        Value::text(text),
                        args.first().cloned().unwrap_or(Value::Null),
                    )
                    .map(Some);
            }
            ("plus", 1) => Value::text(format!("{text}{}", arg(0)?)),
            ("minus", 1) => Value::text(text.replacen(&arg(0)?, "", 1)),
            ("toInteger" | "toLong" | "toBigInteger" | "intValue", 0) => match text.trim().parse() {
                Ok(value) => Value::Int(value),
                Err(_) => {
                    return Err(Throw::exception(
                        "NumberFormatException",
                        format!("`{text}` is no number"),
                    ));
                }
            },
            ("toDouble" | "toFloat" | "toBigDecimal", 0) => match text.trim().parse() {
                Ok(value) => Value::Decimal(value),
                Err(_) => {
                    return Err(Throw::exception(
                        "NumberFormatException",
                        format!("`{text}` is no number"),
                    ));
                }
            },
            ("toBoolean", 0) => {
                Value::Bool(matches!(text.trim().to_lowercase().as_str(), "true" | "y" | "1"))
            }
            ("isInteger" | "isLong", 0) => Value::Bool(text.trim().parse::<i64>().is_ok()),
            ("isNumber" | "isDouble" | "isBigDecimal", 0) => Value::Bool(text.trim().parse::<f64>().is_ok()),
            ("toList" | "toCharArray" | "chars" | "getChars", 0) => {
                self.spend(text.len() * 24)?;
                Value::list(chars().into_iter().map(|c| Value::text(c.to_string())).collect())
            }
            ("bytes" | "getBytes", _) => {
                Value::list(text.bytes().map(|b| Value::Int(i64::from(b))).collect())
            }
            ("each", 1) => {
                if let Some(Value::Closure(closure)) = args.first() {
                    for c in chars() {
                        self.call_closure(closure, vec![Value::text(c.to_string())])?;
                    }
                }
                Value::text(text)
            }
            ("hashCode", 0) => Value::Int(i64::from(text.encode_utf16().fold(0i32, |hash, unit| {
                hash.wrapping_mul(31).wrapping_add(i32::from(unit))
            }))),
            ("compareTo", 1) => {
                Value::Int(self.compare(&Value::text(text), args.first().unwrap_or(&Value::Null))? as i64)
            }
            ("intern", 0) => Value::text(text),
            ("compareToIgnoreCase", 1) => {
                let (a, b) = (text.to_lowercase(), arg(0)?.to_lowercase());
                Value::Int(a.encode_utf16().cmp(b.encode_utf16()) as i64)
            }
            ("execute", _) => {
                return Err(Throw::exception(
                    "SecurityException",
                    "scripts run no programs: `execute()` is refused",
                ));
            }
            ("toURL" | "toURI", 0) => {
                return Err(Throw::exception(
                    "SecurityException",
                    "scripts reach no network: URLs are refused",
                ));
            }
            ("formatted", _) => Value::text(self.format(text, args)?),
            ("encodeBase64", 0) => Value::text(base64(text.as_bytes())),
            ("tr", 2) => {
                let (from, to): (Vec<char>, Vec<char>) =
                    (arg(0)?.chars().collect(), arg(1)?.chars().collect());
                Value::text(
                    text.chars()
                        .map(|c| match from.iter().position(|f| *f == c) {
                            Some(i) => to.get(i).or(to.last()).copied().unwrap_or(c),
                            None => c,
                        })
                        .collect::<String>(),
                )
            }
            _ => return Ok(None),
        }))
    }

    fn replace(&self, text: &str, pattern: &Regex, with: &Value, limit: usize) -> Result<Value, Throw> {
        let mut out = String::new();
        let mut last = 0;
        for (count, found) in pattern.captures_iter(text).enumerate() {
            if limit > 0 && count >= limit {
                break;
            }
            let Some(whole) = found.get(0) else { continue };
            out.push_str(text.get(last..whole.start()).unwrap_or_default());
            match with {
                Value::Closure(closure) => {
                    let groups: Vec<Value> = found
                        .iter()
                        .map(|group| group.map_or(Value::Null, |group| Value::text(group.as_str())))
                        .collect();
                    let args = if closure.arity() > 1 {
                        groups
                    } else if groups.len() > 1 {
                        vec![Value::list(groups)]
                    } else {
                        groups
                    };
                    let value = self.call_closure(closure, args)?;
                    out.push_str(&self.show(&value)?);
                }
                other => {
                    // Java writes `$1` and `\$`.
                    let template = self.show(other)?;
                    let mut chars = template.chars().peekable();
                    while let Some(c) = chars.next() {
                        match c {
                            '\\' => out.extend(chars.next()),
                            '$' => match chars.peek().and_then(|c| c.to_digit(10)) {
                                Some(digit) => {
                                    chars.next();
                                    let group =
                                        usize::try_from(digit).ok().and_then(|digit| found.get(digit));
                                    out.push_str(group.map_or("", |group| group.as_str()));
                                }
                                None => out.push('$'),
                            },
                            c => out.push(c),
                        }
                    }
                }
            }
            last = whole.end();
            self.spend(out.len() / 16 + 1)?;
        }
        out.push_str(text.get(last..).unwrap_or_default());
        self.spend(out.len())?;
        Ok(Value::text(out))
    }

    pub(super) fn matcher_group(&self, matcher: &Rc<Matcher>, index: i64) -> Result<Value, Throw> {
        let index = usize::try_from(index).unwrap_or_default();
        match matcher.pattern.captures_iter(&matcher.text).nth(index) {
            Some(found) if found.len() > 1 => Ok(Value::list(
                found
                    .iter()
                    .map(|group| group.map_or(Value::Null, |group| Value::text(group.as_str())))
                    .collect(),
            )),
            Some(found) => Ok(found
                .get(0)
                .map_or(Value::Null, |group| Value::text(group.as_str()))),
            None => Err(Throw::exception(
                "IndexOutOfBoundsException",
                format!("`{}` is found fewer than {} times", matcher.pattern, index + 1),
            )),
        }
    }

    pub(super) fn matcher_method(
        &self,
        matcher: &Rc<Matcher>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let keep = |found: Option<regex::Captures<'_>>| -> bool {
            let groups = found.map(|found| {
                if let Some(whole) = found.get(0) {
                    // A match of no width moves on by one, so that a loop comes to an end.
                    matcher.place.set(
                        whole
                            .end()
                            .max(matcher.place.get() + usize::from(whole.is_empty())),
                    );
                }
                found
                    .iter()
                    .map(|group| group.map(|group| group.as_str().to_owned()))
                    .collect::<Vec<_>>()
            });
            let any = groups.is_some();
            *matcher.groups.borrow_mut() = groups;
            any
        };
        Ok(Some(match name {
            "matches" => {
                let whole = Regex::new(&format!("^(?:{})$", matcher.pattern.as_str())).ok();
                Value::Bool(keep(
                    whole.as_ref().and_then(|whole| whole.captures(&matcher.text)),
                ))
            }
            "find" => {
                let from = matcher.place.get();
                let found = if from <= matcher.text.len() && matcher.text.is_char_boundary(from) {
                    matcher.pattern.captures_at(&matcher.text, from)
                } else {
                    None
                };
                Value::Bool(keep(found))
            }
            "group" => {
                if matcher.groups.borrow().is_none() && !keep(matcher.pattern.captures(&matcher.text)) {
                    return Err(Throw::exception("IllegalStateException", "nothing was found"));
                }
                let index = match args.first() {
                    Some(Value::Int(index)) => usize::try_from(*index).unwrap_or(usize::MAX),
                    Some(other) => {
                        let wanted = self.show(other)?;
                        let names: Vec<Option<&str>> = matcher.pattern.capture_names().collect();
                        names
                            .iter()
                            .position(|name| *name == Some(wanted.as_str()))
                            .unwrap_or(usize::MAX)
                    }
                    None => 0,
                };
                let groups = matcher.groups.borrow();
                groups
                    .as_ref()
                    .and_then(|groups| groups.get(index).cloned().flatten())
                    .map_or(Value::Null, Value::text)
            }
            "groupCount" => {
                Value::Int(i64::try_from(matcher.pattern.captures_len().saturating_sub(1)).unwrap_or(0))
            }
            "getCount" | "size" | "count" => {
                Value::Int(i64::try_from(matcher.pattern.find_iter(&matcher.text).count()).unwrap_or(0))
            }
            "replaceAll" | "replaceFirst" => {
                let limit = usize::from(name == "replaceFirst");
                self.replace(
                    &matcher.text,
                    &matcher.pattern,
                    args.first().unwrap_or(&Value::Null),
                    limit,
                )?
            }
            "reset" => {
                matcher.place.set(0);
                Value::Matcher(Rc::clone(matcher))
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn pattern_method(
        &self,
        pattern: &Rc<Regex>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        Ok(Some(match name {
            "matcher" => Value::Matcher(Rc::new(Matcher {
                pattern: Rc::clone(pattern),
                text: self.show(args.first().unwrap_or(&Value::Null))?.into(),
                place: Cell::new(0),
                groups: RefCell::new(None),
            })),
            "pattern" | "toString" => Value::text(pattern.as_str()),
            _ => return Ok(None),
        }))
    }

    pub(super) fn buffer_method(
        &self,
        buffer: &Rc<RefCell<String>>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let this = || Value::Buffer(Rc::clone(buffer));
        Ok(Some(match name {
            "append" | "leftShift" => {
                let more = self.show(args.first().unwrap_or(&Value::Null))?;
                self.spend(more.len())?;
                buffer.borrow_mut().push_str(&more);
                this()
            }
            "setLength" => {
                let len = args.first().and_then(|value| self.integer(value)).unwrap_or(0);
                let text: String = buffer
                    .borrow()
                    .chars()
                    .take(usize::try_from(len).unwrap_or(0))
                    .collect();
                *buffer.borrow_mut() = text;
                Value::Null
            }
            _ => {
                let text = buffer.borrow().clone();
                return self.text_method(&text, name, args);
            }
        }))
    }

    /// `String.format` with `%s`, `%d`, widths and zeros.
    pub(super) fn format(&self, template: &str, args: &[Value]) -> Result<String, Throw> {
        let mut out = String::new();
        let mut args = args.iter();
        let mut chars = template.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut flags = String::new();
            while let Some(c) = chars.peek().filter(|c| "-0+ ,.$#123456789".contains(**c)) {
                flags.push(*c);
                chars.next();
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('n') => out.push('\n'),
                Some(kind) => {
                    let value = args.next().cloned().unwrap_or(Value::Null);
                    let (width, precision) = flags.split_once('.').unwrap_or((&flags, ""));
                    let text = match (kind, &value) {
                        ('f', value) => {
                            let places = precision.parse().unwrap_or(6usize).min(30);
                            format!("{:.*}", places, super::convert::number(value))
                        }
                        ('x', Value::Int(value)) => format!("{value:x}"),
                        ('X', Value::Int(value)) => format!("{value:X}"),
                        (_, value) => self.show(value)?,
                    };
                    let left = width.starts_with('-');
                    let zero = width.starts_with('0');
                    let size: usize = width
                        .trim_start_matches(['-', '0', '+', ' ', ','])
                        .parse()
                        .unwrap_or(0);
                    let pad = size.min(10_000).saturating_sub(text.chars().count());
                    let fill = if zero { "0" } else { " " }.repeat(pad);
                    if left {
                        out.push_str(&text);
                        out.push_str(&fill);
                    } else {
                        out.push_str(&fill);
                        out.push_str(&text);
                    }
                }
                None => out.push('%'),
            }
        }
        self.spend(out.len())?;
        Ok(out)
    }
}

/// The few places where Java's patterns are written differently.
fn translate(pattern: &str) -> String {
    pattern
        .replace("(?<", "(?P<")
        .replace("(?P<=", "(?<=")
        .replace("(?P<!", "(?<!")
        .replace("\\/", "/")
        .replace("\\_", "_")
        .replace("\\\"", "\"")
}

/// `stripIndent` of a text, as Java's since 15: the last line counts even if it is blank, and a text that ends with a
/// line break keeps its indentation. Seed repositories meet this one, since Jenkins runs on newer Javas.
fn strip_indent(text: &str) -> String {
    let optional = text.ends_with('\n');
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let least = if optional {
        0
    } else {
        let last = lines.len().saturating_sub(1);
        lines
            .iter()
            .enumerate()
            .filter(|(index, line)| *index == last || !line.trim().is_empty())
            .map(|(_, line)| indent(line))
            .min()
            .unwrap_or(0)
    };
    let stripped: Vec<&str> = lines
        .iter()
        .map(|line| line.get(least.min(indent(line))..).unwrap_or_default().trim_end())
        .collect();
    format!("{}{}", stripped.join("\n"), if optional { "\n" } else { "" })
}

/// `stripIndent` of a text with values in it, as Groovy's own: blank lines do not count and become empty.
fn strip_indent_of_values(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.split('\n').collect();
    let least = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| indent(line))
        .min()
        .unwrap_or(0);
    let stripped: Vec<&str> = lines
        .iter()
        .map(|line| {
            if line.trim().is_empty() {
                ""
            } else {
                line.get(least..).unwrap_or_default()
            }
        })
        .collect();
    stripped.join("\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4usize {
            if place > chunk.len() {
                out.push('=');
                continue;
            }
            let digit = usize::try_from(word >> (18 - 6 * place) & 63).unwrap_or_default();
            out.push(DIGITS.get(digit).map_or('=', |digit| char::from(*digit)));
        }
    }
    out
}
