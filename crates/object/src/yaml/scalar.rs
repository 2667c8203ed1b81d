//! How one scalar is printed: which style go-yaml v2 chooses, and its exact bytes, line folding included.

use super::emit::Printer;

/// What a text allows, as libyaml's `yaml_emitter_analyze_scalar` finds out.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    plain: bool,
    single: bool,
    literal: bool,
    multiline: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn is_blank_or_break(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

fn analyse(text: &str) -> Allowed {
    if text.is_empty() {
        return Allowed {
            plain: true,
            single: true,
            literal: false,
            multiline: false,
        };
    }
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let mut breaks = false;
    let mut special = false;
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break, mut after_blank) = (false, false, true);
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        // libyaml asks for "blank or the end", and a break is not a blank there.
        let before_blank = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`'
                if first =>
            {
                indicators = true;
            }
            '?' | '-' if first => indicators |= before_blank,
            ':' => indicators |= before_blank,
            '#' => indicators |= after_blank,
            _ => {}
        }
        special |= !is_printable(c);
        if c == ' ' {
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            breaks = true;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        after_blank = is_blank_or_break(c) || c == '\0';
        first = false;
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
    let edges = edge(text.chars().next()) || edge(text.chars().next_back());
    let broken = space_break || special;
    Allowed {
        plain: !(edges || break_space || broken || breaks || indicators),
        single: !(break_space || broken),
        literal: !(text.ends_with(' ') || broken),
        multiline: breaks,
    }
}

/// The style a scalar is printed in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str, wanted: Style, simple_key: bool) -> Style {
    let allowed = analyse(text);
    let mut style = wanted;
    if simple_key && allowed.multiline {
        style = Style::Double;
    }
    if style == Style::Plain && (!allowed.plain || (text.is_empty() && simple_key)) {
        style = Style::Single;
    }
    if style == Style::Single && !allowed.single {
        style = Style::Double;
    }
    if style == Style::Literal && (!allowed.literal || simple_key) {
        style = Style::Double;
    }
    style
}

/// Whether a key may stand before its colon on one line (libyaml's `yaml_emitter_check_simple_key`).
pub(super) fn is_simple_key(text: &str) -> bool {
    text.len() <= 128 && !text.contains(is_break)
}

/// Prints a string.
pub(super) fn write_string(out: &mut Printer, text: &str, simple_key: bool) {
    let wanted = if text.contains('\n') {
        Style::Literal
    } else if super::resolve::is_v2_string(text) {
        Style::Plain
    } else {
        Style::Double
    };
    match style(text, wanted, simple_key) {
        Style::Plain => plain(out, text, !simple_key),
        Style::Single => single(out, text, !simple_key),
        Style::Double => double(out, text, !simple_key),
        Style::Literal => literal(out, text),
    }
}

/// Prints a number, a truth value or null.
pub(super) fn write_bare(out: &mut Printer, text: &str) {
    plain(out, text, false);
}

fn plain(out: &mut Printer, text: &str, may_break: bool) {
    out.space_before();
    fold(out, text, may_break, |_, _, _| true, |out, c| out.put(c));
    (out.whitespace, out.indention) = (false, false);
}

fn single(out: &mut Printer, text: &str, may_break: bool) {
    out.indicator("'", true, false, false);
    let last = text.len().saturating_sub(1);
    fold(
        out,
        text,
        may_break,
        |at, _, _| at > 0 && at < last,
        |out, c| {
            if c == '\'' {
                out.put(c);
            }
            out.put(c);
        },
    );
    out.indicator("'", false, false, false);
    (out.whitespace, out.indention) = (false, false);
}

/// The common part of plain and single quoted scalars: spaces become line ends beyond the width, breaks are doubled.
fn fold(
    out: &mut Printer,
    text: &str,
    may_break: bool,
    may_break_at: impl Fn(usize, char, char) -> bool,
    write: impl Fn(&mut Printer, char),
) {
    let (mut spaces, mut breaks) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or('\0', |(_, next)| *next);
        if c == ' ' {
            if may_break && !spaces && out.is_wide() && next != ' ' && may_break_at(at, c, next) {
                out.write_indent();
            } else {
                out.put(c);
            }
            spaces = true;
        } else if is_break(c) {
            if !breaks && c == '\n' {
                out.line_break();
            }
            out.write_break(c);
            out.indention = true;
            breaks = true;
        } else {
            if breaks {
                out.write_indent();
            }
            write(out, c);
            out.indention = false;
            (spaces, breaks) = (false, false);
        }
    }
}

fn double(out: &mut Printer, text: &str, may_break: bool) {
    out.indicator("\"", true, false, false);
    let mut spaces = false;
    let last = text.len().saturating_sub(1);
    // libyaml looks for a byte order mark at the beginning of the text for every character of it.
    let marked = text.starts_with('\u{feff}');
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if marked || !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
            escape(out, c);
            spaces = false;
        } else if c == ' ' {
            if may_break && !spaces && out.is_wide() && at > 0 && at < last {
                out.write_indent();
                if chars.peek().is_some_and(|(_, next)| *next == ' ') {
                    out.put('\\');
                }
            } else {
                out.put(c);
            }
            spaces = true;
        } else {
            out.put(c);
            spaces = false;
        }
    }
    out.indicator("\"", false, false, false);
    (out.whitespace, out.indention) = (false, false);
}

fn escape(out: &mut Printer, c: char) {
    out.put('\\');
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            let hex = match code {
                0..=0xff => format!("x{code:02X}"),
                0x100..=0xffff => format!("u{code:04X}"),
                _ => format!("U{code:08X}"),
            };
            hex.chars().for_each(|c| out.put(c));
            return;
        }
    };
    out.put(short);
}

fn literal(out: &mut Printer, text: &str) {
    out.indicator("|", true, false, false);
    if text.starts_with(|c| c == ' ' || is_break(c)) {
        out.indicator("2", false, false, false);
    }
    let mut back = text.chars().rev();
    match (back.next().is_some_and(is_break), back.next()) {
        (false, _) => out.indicator("-", false, false, false),
        (true, None) => out.indicator("+", false, false, false),
        (true, Some(c)) if is_break(c) => out.indicator("+", false, false, false),
        (true, Some(_)) => {}
    }
    out.line_break();
    (out.whitespace, out.indention) = (true, true);
    let mut breaks = true;
    for c in text.chars() {
        if is_break(c) {
            out.write_break(c);
            out.indention = true;
            breaks = true;
        } else {
            if breaks {
                out.write_indent();
            }
            out.put(c);
            out.indention = false;
            breaks = false;
        }
    }
}
