//! The six forms of texts, with their escapes and values.

use super::ast::Name;
use super::lexer::{Lexer, Piece, offset};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Single,
    Double,
    TripleSingle,
    TripleDouble,
    Slashy,
    DollarSlashy,
}

impl Style {
    pub(super) const fn open(self) -> usize {
        match self {
            Self::Single | Self::Double | Self::Slashy => 1,
            Self::DollarSlashy => 2,
            Self::TripleSingle | Self::TripleDouble => 3,
        }
    }

    const fn close(self) -> &'static str {
        match self {
            Self::Single => "'",
            Self::Double => "\"",
            Self::TripleSingle => "'''",
            Self::TripleDouble => "\"\"\"",
            Self::Slashy => "/",
            Self::DollarSlashy => "/$",
        }
    }

    const fn has_values(self) -> bool {
        !matches!(self, Self::Single | Self::TripleSingle)
    }
}

/// Reads up to and including the closing mark.
pub(super) fn read(lexer: &mut Lexer<'_>, style: Style) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    loop {
        if lexer.eat(style.close()) {
            break;
        }
        let Some(c) = lexer.bump() else {
            return Err(format!(
                "a text that begins here has no closing {}",
                style.close()
            ));
        };
        match c {
            '\n' if matches!(style, Style::Single | Style::Double) => {
                return Err(format!(
                    "a text that begins here has no closing {} on its line",
                    style.close()
                ));
            }
            '\r' if lexer.rest().starts_with('\n') => {}
            '\\' if style == Style::Slashy => {
                if lexer.eat("/") {
                    text.push('/');
                } else {
                    text.push('\\');
                }
            }
            '\\' if style != Style::DollarSlashy => escape(lexer, &mut text)?,
            '$' if style == Style::DollarSlashy && lexer.eat("$") => text.push('$'),
            '$' if style == Style::DollarSlashy && lexer.eat("/") => text.push('/'),
            '$' if style.has_values() => {
                let piece = if lexer.eat("{") {
                    Some(Piece::Tokens(lexer.value()?))
                } else {
                    path(lexer).map(Piece::Path)
                };
                match piece {
                    Some(piece) => {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                        }
                        pieces.push(piece);
                    }
                    None => text.push('$'),
                }
            }
            _ => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(pieces)
}

fn escape(lexer: &mut Lexer<'_>, text: &mut String) -> Result<(), String> {
    let Some(c) = lexer.bump() else {
        return Err("a text ends within an escape".to_owned());
    };
    match c {
        'n' => text.push('\n'),
        't' => text.push('\t'),
        'r' => text.push('\r'),
        'b' => text.push('\u{8}'),
        'f' => text.push('\u{c}'),
        '\n' => {}
        '\r' if lexer.eat("\n") => {}
        'u' => {
            let digits: String = lexer
                .rest()
                .chars()
                .take_while(|c| c.is_ascii_hexdigit())
                .take(4)
                .collect();
            let value = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
            let Some(value) = value.filter(|_| digits.len() == 4) else {
                return Err("`\\u` needs four hexadecimal digits".to_owned());
            };
            lexer.pos += 4;
            text.push(value);
        }
        '0'..='7' => {
            let mut value = c.to_digit(8).unwrap_or_default();
            while let Some(digit) = lexer.peek().and_then(|c| c.to_digit(8)).filter(|_| value < 32) {
                value = value * 8 + digit;
                lexer.pos += 1;
            }
            text.push(char::from_u32(value).unwrap_or('\u{fffd}'));
        }
        other => text.push(other),
    }
    Ok(())
}

/// `$name.other`, after the dollar.
fn path(lexer: &mut Lexer<'_>) -> Option<Vec<(u32, Name)>> {
    let mut out = Vec::new();
    loop {
        let rest = lexer.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = rest.get(..end)?;
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        out.push((offset(lexer.pos), word.into()));
        lexer.pos += end;
        let more = lexer
            .rest()
            .strip_prefix('.')
            .is_some_and(|after| after.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        if !more {
            return Some(out);
        }
        lexer.pos += 1;
    }
}
