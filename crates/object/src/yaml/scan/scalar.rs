//! The content of scalars: escapes, folding, chomping.

use super::text::is_blank;
use super::{Result, Scanner, Style, Token, error};
use std::borrow::Cow;

impl<'t> Scanner<'t> {
    pub(super) fn scan_block_scalar(&mut self, literal: bool) -> Result<Token<'t>> {
        let start = self.text.mark;
        self.text.skip();
        let (mut chomping, mut increment) = (0, 0);
        for _ in 0..2 {
            match self.text.byte(0) {
                c @ (b'+' | b'-') if chomping == 0 => chomping = if c == b'+' { 1 } else { -1 },
                b'0' if increment == 0 => {
                    return Err(error(start, "found an indentation indicator equal to 0"));
                }
                c @ b'1'..=b'9' if increment == 0 => increment = i32::from(c - b'0'),
                _ => break,
            }
            self.text.skip();
        }
        while is_blank(self.text.byte(0)) {
            self.text.skip();
        }
        if self.text.byte(0) == b'#' {
            self.text.skip_line_content();
        }
        if !self.text.is_break_or_end(0) {
            return Err(error(start, "did not find expected comment or line break"));
        }
        self.text.skip_break();
        let mut indent = match increment {
            0 => 0,
            _ => self.indent.max(0) + increment,
        };
        let mut out = String::new();
        let mut breaks = String::new();
        let mut leading = "";
        let mut leading_blank = false;
        self.scan_breaks(&mut indent, &mut breaks)?;
        while self.text.mark.column == indent && !self.text.at_end() {
            let blank = is_blank(self.text.byte(0));
            if !literal && !leading_blank && !blank && leading == "\n" {
                if breaks.is_empty() {
                    out.push(' ');
                }
            } else {
                out.push_str(leading);
            }
            out.push_str(&breaks);
            breaks.clear();
            leading_blank = blank;
            let from = self.text.at;
            self.text.skip_line_content();
            out.push_str(self.text.since(from));
            leading = self.text.skip_break();
            self.scan_breaks(&mut indent, &mut breaks)?;
        }
        if chomping != -1 {
            out.push_str(leading);
        }
        if chomping == 1 {
            out.push_str(&breaks);
        }
        let style = if literal { Style::Literal } else { Style::Folded };
        Ok(Token::Scalar(Cow::Owned(out), style))
    }

    /// Goes over indentation and empty lines, and finds the indentation if it is not known yet.
    fn scan_breaks(&mut self, indent: &mut i32, breaks: &mut String) -> Result<()> {
        let mut deepest = 0;
        loop {
            while (*indent == 0 || self.text.mark.column < *indent) && self.text.byte(0) == b' ' {
                self.text.skip();
            }
            deepest = deepest.max(self.text.mark.column);
            if (*indent == 0 || self.text.mark.column < *indent) && self.text.byte(0) == b'\t' {
                return Err(error(
                    self.text.mark,
                    "found a tab character where an indentation space is expected",
                ));
            }
            if !self.text.at_break() {
                break;
            }
            breaks.push_str(self.text.skip_break());
        }
        if *indent == 0 {
            *indent = deepest.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    pub(super) fn scan_flow_scalar(&mut self, single: bool) -> Result<Token<'t>> {
        let start = self.text.mark;
        let quote = if single { b'\'' } else { b'"' };
        let style = if single {
            Style::SingleQuoted
        } else {
            Style::DoubleQuoted
        };
        self.text.skip();
        // Most are on one line without an escape, and can stay where they are.
        let run = self
            .text
            .rest()
            .iter()
            .take_while(|c| **c != quote && (0x20..0x7f).contains(*c) && **c != b'\\');
        let run = run.count();
        let rest = self.text.rest();
        if rest.get(run) == Some(&quote) && (!single || rest.get(run + 1) != Some(&quote)) {
            let from = self.text.at;
            self.text.skip_to(from + run);
            let value = self.text.since(from);
            self.text.skip();
            return Ok(Token::Scalar(Cow::Borrowed(value), style));
        }
        let mut out = String::new();
        let (mut blanks, mut breaks) = (String::new(), String::new());
        loop {
            if self.text.mark.column == 0 && self.text.at_document_indicator() {
                return Err(error(start, "found unexpected document indicator"));
            }
            if self.text.at_end() {
                return Err(error(start, "found unexpected end of stream"));
            }
            if let Some(message) = self.text.forbidden() {
                return Err(error(self.text.mark, message));
            }
            let mut leading_blanks = false;
            while !self.text.is_blank_or_end(0) {
                let c = self.text.byte(0);
                if single && c == b'\'' && self.text.byte(1) == b'\'' {
                    out.push('\'');
                    self.text.skip();
                    self.text.skip();
                } else if c == quote {
                    break;
                } else if !single && c == b'\\' && self.text.is_break(1) {
                    self.text.skip();
                    self.text.skip_break();
                    leading_blanks = true;
                    break;
                } else if !single && c == b'\\' {
                    out.push(self.scan_escape(start)?);
                } else {
                    let from = self.text.at;
                    self.text.skip();
                    out.push_str(self.text.since(from));
                }
            }
            if self.text.byte(0) == quote {
                break;
            }
            let mut leading = "";
            while is_blank(self.text.byte(0)) || self.text.at_break() {
                if is_blank(self.text.byte(0)) {
                    if !leading_blanks {
                        blanks.push(char::from(self.text.byte(0)));
                    }
                    self.text.skip();
                } else if leading_blanks {
                    breaks.push_str(self.text.skip_break());
                } else {
                    blanks.clear();
                    leading = self.text.skip_break();
                    leading_blanks = true;
                }
            }
            if !leading_blanks {
                out.push_str(&blanks);
            } else if leading == "\n" {
                out.push_str(if breaks.is_empty() { " " } else { &breaks });
            } else {
                out.push_str(leading);
                out.push_str(&breaks);
            }
            blanks.clear();
            breaks.clear();
        }
        self.text.skip();
        Ok(Token::Scalar(Cow::Owned(out), style))
    }

    fn scan_escape(&mut self, start: super::Mark) -> Result<char> {
        let digits = match self.text.byte(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            c => {
                let plain = match c {
                    b'0' => '\0',
                    b'a' => '\u{7}',
                    b'b' => '\u{8}',
                    b't' | b'\t' => '\t',
                    b'n' => '\n',
                    b'v' => '\u{b}',
                    b'f' => '\u{c}',
                    b'r' => '\r',
                    b'e' => '\u{1b}',
                    b' ' => ' ',
                    b'"' => '"',
                    b'\'' => '\'',
                    b'\\' => '\\',
                    b'N' => '\u{85}',
                    b'_' => '\u{a0}',
                    b'L' => '\u{2028}',
                    b'P' => '\u{2029}',
                    _ => return Err(error(start, "found unknown escape character")),
                };
                self.text.skip();
                self.text.skip();
                return Ok(plain);
            }
        };
        self.text.skip();
        self.text.skip();
        let from = self.text.at;
        for _ in 0..digits {
            if !self.text.byte(0).is_ascii_hexdigit() {
                return Err(error(start, "did not find expected hexdecimal number"));
            }
            self.text.skip();
        }
        u32::from_str_radix(self.text.since(from), 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| error(start, "found invalid Unicode character escape code"))
    }

    pub(super) fn scan_plain_scalar(&mut self) -> Result<Token<'t>> {
        let start = self.text.mark;
        let first = self.text.at;
        let indent = self.indent + 1;
        // The text so far: still where it is in the input, or put together from several lines.
        let mut whole: Option<String> = None;
        let mut end = first;
        let (mut blanks, mut leading, mut breaks) = (first..first, "", String::new());
        let mut leading_blanks = false;
        loop {
            if self.text.mark.column == 0 && self.text.at_document_indicator() {
                break;
            }
            if self.text.byte(0) == b'#' {
                break;
            }
            while !self.text.is_blank_or_end(0) && !self.ends_plain() {
                if leading_blanks {
                    let out = whole.get_or_insert_with(|| self.text_between(first, end));
                    if leading == "\n" {
                        out.push_str(if breaks.is_empty() { " " } else { &breaks });
                    } else {
                        out.push_str(leading);
                        out.push_str(&breaks);
                    }
                    breaks.clear();
                    leading = "";
                    leading_blanks = false;
                } else if !blanks.is_empty()
                    && let Some(out) = &mut whole
                {
                    out.push_str(self.text.slice(blanks.clone()));
                }
                blanks = end..end;
                let from = self.text.at;
                let run = self.plain_run();
                if run > 0 {
                    self.text.skip_to(from + run);
                } else {
                    self.text.skip();
                }
                if let Some(out) = &mut whole {
                    out.push_str(self.text.since(from));
                }
                end = self.text.at;
            }
            if !is_blank(self.text.byte(0)) && !self.text.at_break() {
                break;
            }
            let from = self.text.at;
            while is_blank(self.text.byte(0)) || self.text.at_break() {
                if is_blank(self.text.byte(0)) {
                    if leading_blanks && self.text.mark.column < indent && self.text.byte(0) == b'\t' {
                        return Err(error(start, "found a tab character that violates indentation"));
                    }
                    self.text.skip();
                    if !leading_blanks {
                        blanks = from..self.text.at;
                    }
                } else if leading_blanks {
                    breaks.push_str(self.text.skip_break());
                } else {
                    leading = self.text.skip_break();
                    leading_blanks = true;
                }
            }
            if self.flow == 0 && self.text.mark.column < indent {
                break;
            }
        }
        if leading_blanks {
            self.key_allowed = true;
        }
        let value = match whole {
            Some(out) => Cow::Owned(out),
            None => Cow::Borrowed(self.text.slice(first..end)),
        };
        Ok(Token::Scalar(value, Style::Plain))
    }

    fn text_between(&self, from: usize, to: usize) -> String {
        self.text.slice(from..to).to_owned()
    }

    /// Whether the character here ends a plain scalar.
    fn ends_plain(&self) -> bool {
        match self.text.byte(0) {
            b':' => self.text.is_blank_or_end(1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow > 0,
            _ => false,
        }
    }

    /// How many bytes ahead cannot end a plain scalar.
    fn plain_run(&self) -> usize {
        let is_dull = |c: &&u8| {
            (0x21..0x7f).contains(*c) && !matches!(**c, b':' | b',' | b'?' | b'[' | b']' | b'{' | b'}')
        };
        self.text.rest().iter().take_while(is_dull).count()
    }
}
