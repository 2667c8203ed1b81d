//! Regular expressions as Go reads them: `\w`, `\d`, `\s` and `\b` are ASCII, and brackets in a class are characters.

use super::args::{fail, text};
use crate::engine::{Result, Value};
use regex::Regex;

/// The expression in an argument.
pub(super) fn pattern(name: &str, args: &[Value], i: usize) -> Result<Regex> {
    compile(name, &text(name, args, i)?)
}

/// An expression; messages do not repeat it.
pub(super) fn compile(name: &str, source: &str) -> Result<Regex> {
    regex::RegexBuilder::new(&translate(source))
        .size_limit(4 << 20)
        .build()
        .or_else(|_| fail(format!("{name}: argument 1 is no regular expression")))
}

fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut chars = source.chars().peekable();
    // Where a class began: a bracket right there is a character.
    let mut class: Option<usize> = None;
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', _) => {
                let inside = class.is_some();
                match chars.next() {
                    Some('w') if inside => out.push_str("0-9A-Za-z_"),
                    Some('d') if inside => out.push_str("0-9"),
                    Some('s') if inside => out.push_str(r"\t\n\x0C\r "),
                    Some('w') => out.push_str("[0-9A-Za-z_]"),
                    Some('d') => out.push_str("[0-9]"),
                    Some('s') => out.push_str(r"[\t\n\x0C\r ]"),
                    Some('W') => out.push_str("[^0-9A-Za-z_]"),
                    Some('D') => out.push_str("[^0-9]"),
                    Some('S') => out.push_str(r"[^\t\n\x0C\r ]"),
                    Some('b') if !inside => out.push_str(r"(?-u:\b)"),
                    Some('B') if !inside => out.push_str(r"(?-u:\B)"),
                    Some('Q') if !inside => {
                        let rest: String = chars.clone().collect();
                        let quoted = rest.split(r"\E").next().unwrap_or_default();
                        out.push_str(&regex::escape(quoted));
                        let skip = quoted.chars().count() + if rest.len() > quoted.len() { 2 } else { 0 };
                        (0..skip).for_each(|_| {
                            chars.next();
                        });
                    }
                    Some(other) => {
                        out.push('\\');
                        out.push(other);
                    }
                    None => out.push('\\'),
                }
                continue;
            }
            ('[', None) => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
                class = Some(out.len());
                continue;
            }
            ('[', Some(_)) if chars.peek() == Some(&':') => {
                // `[:alpha:]`
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
                continue;
            }
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
            }
            (']', Some(_)) => class = None,
            _ => {}
        }
        out.push(c);
    }
    out
}
