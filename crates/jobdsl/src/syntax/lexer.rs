//! Text to tokens. Texts with values in them hold the tokens of the values. What cannot be read becomes a `Bad` token
//! that ends with its line, so that one wrong line does not take the rest of the file with it.

use super::ast::Name;
use super::strings;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) at: u32,
    pub(super) end: u32,
    /// A line break stands before it.
    pub(super) newline: bool,
    /// A space or line break stands before it.
    pub(super) space: bool,
    pub(super) kind: Tok,
}

#[derive(Debug, Clone)]
pub(super) enum Tok {
    Word(Name),
    Int(i64),
    Decimal(f64),
    Text(Name),
    GText(Rc<[Piece]>),
    Op(&'static str),
    Bad(Rc<str>),
    End,
}

/// A piece of a text: characters, or the tokens of a value.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(Name),
    /// Dotted path of `$a.b`.
    Path(Vec<(u32, Name)>),
    Tokens(Rc<[Token]>),
}

/// Longest first: the first that fits is taken.
const OPERATORS: &[&str] = &[
    ">>>=", "**=", ">>>", "<<=", ">>=", "<=>", "==~", "===", "!==", "..<", "...", "?.", "?:", "?=", "*.",
    ".&", ".@", "::", "->", "++", "--", "**", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "&&", "||",
    "==", "!=", "<=", ">=", "=~", "<<", ">>", "..", "(", ")", "[", "]", "{", "}", ",", ";", ":", "?", ".",
    "=", "<", ">", "+", "-", "*", "/", "%", "!", "~", "&", "|", "^", "@",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    pub(super) pos: usize,
    tokens: Vec<Token>,
    depth: usize,
}

/// How deep values in texts in values may nest.
const DEEPEST: usize = 40;

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        pos: 0,
        tokens: Vec::new(),
        depth: 0,
    };
    if text.starts_with("#!") {
        lexer.skip_line();
    }
    lexer.run(false);
    lexer.tokens
}

impl<'a> Lexer<'a> {
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.pos += what.len();
        }
        found
    }

    fn skip_line(&mut self) {
        self.pos += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Reads tokens to the end of the text, or within a value to its closing brace.
    fn run(&mut self, inner: bool) {
        let mut braces = 0usize;
        loop {
            let (newline, space) = self.blanks();
            let at = self.pos;
            let kind = match self.peek() {
                None => Tok::End,
                Some('}') if inner && braces == 0 => {
                    self.pos += 1;
                    Tok::End
                }
                Some(_) => self.token(),
            };
            match &kind {
                Tok::Op("{") => braces += 1,
                Tok::Op("}") => braces = braces.saturating_sub(1),
                _ => {}
            }
            let end = matches!(kind, Tok::End);
            self.tokens.push(Token {
                at: offset(at),
                end: offset(self.pos),
                newline,
                space,
                kind,
            });
            if end {
                return;
            }
        }
    }

    /// Skips spaces and comments; says whether there were line breaks, and anything.
    fn blanks(&mut self) -> (bool, bool) {
        let start = self.pos;
        let mut newline = false;
        loop {
            match self.peek() {
                Some('\n') => {
                    newline = true;
                    self.pos += 1;
                }
                Some(c) if c.is_whitespace() || c == '\u{feff}' => self.pos += c.len_utf8(),
                Some('\\') if self.rest().starts_with("\\\n") => self.pos += 2,
                Some('\\') if self.rest().starts_with("\\\r\n") => self.pos += 3,
                Some('/') if self.rest().starts_with("//") => self.skip_line(),
                Some('/') if self.rest().starts_with("/*") => {
                    let body = self.rest();
                    let len = body
                        .get(2..)
                        .and_then(|b| b.find("*/"))
                        .map_or(body.len(), |i| i + 4);
                    newline |= body.get(..len).is_some_and(|comment| comment.contains('\n'));
                    self.pos += len;
                }
                _ => return (newline, self.pos > start),
            }
        }
    }

    fn token(&mut self) -> Tok {
        let rest = self.rest();
        let Some(first) = self.peek() else { return Tok::End };
        if first == '"' || first == '\'' {
            return self.quoted(first);
        }
        if rest.starts_with("$/") && !self.after_value() {
            self.pos += 2;
            return self.text_until(strings::Style::DollarSlashy);
        }
        if first == '/' && !self.after_value() && closes_on_line(rest) {
            self.pos += 1;
            return self.text_until(strings::Style::Slashy);
        }
        if first.is_alphabetic() || first == '_' || first == '$' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            self.pos += end;
            return Tok::Word(rest.get(..end).unwrap_or_default().into());
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        for op in OPERATORS {
            if rest.starts_with(op) {
                self.pos += op.len();
                return Tok::Op(op);
            }
        }
        self.bad(format!("`{first}` has no meaning here"))
    }

    /// Ends the line as one wrong token.
    fn bad(&mut self, why: String) -> Tok {
        self.skip_line();
        Tok::Bad(why.into())
    }

    /// Whether the last token ends a value, so that `/` divides and does not begin a text.
    fn after_value(&self) -> bool {
        match self.tokens.last().map(|token| &token.kind) {
            Some(Tok::Word(word)) => {
                // A command's first argument may be a pattern only after these words.
                !matches!(
                    &**word,
                    "return" | "in" | "case" | "assert" | "throw" | "as" | "else"
                )
            }
            Some(Tok::Int(_) | Tok::Decimal(_) | Tok::Text(_) | Tok::GText(_)) => true,
            Some(Tok::Op(op)) => matches!(*op, ")" | "]" | "}" | "++" | "--"),
            Some(Tok::Bad(_) | Tok::End) | None => false,
        }
    }

    fn number(&mut self) -> Tok {
        let rest = self.rest();
        let lower = rest.get(..2).unwrap_or_default().to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0b", 2)] {
            if lower == prefix {
                let digits: String = rest
                    .chars()
                    .skip(2)
                    .take_while(|c| c.is_digit(radix) || *c == '_')
                    .collect();
                self.pos += 2 + digits.len();
                self.eat("L");
                return match i64::from_str_radix(&digits.replace('_', ""), radix) {
                    Ok(value) => Tok::Int(value),
                    Err(_) => self.bad(format!("the number {prefix}{digits} is too large or empty")),
                };
            }
        }
        let digits = |text: &str| {
            text.find(|c: char| !(c.is_ascii_digit() || c == '_'))
                .unwrap_or(text.len())
        };
        let mut end = digits(rest);
        let mut decimal = false;
        if let Some(fraction) = rest.get(end..).and_then(|r| r.strip_prefix('.'))
            && fraction.starts_with(|c: char| c.is_ascii_digit())
        {
            decimal = true;
            end += 1 + digits(fraction);
        }
        if let Some(exponent) = rest.get(end..).filter(|r| r.starts_with(['e', 'E'])) {
            let sign = usize::from(exponent.get(1..).is_some_and(|r| r.starts_with(['+', '-'])));
            let len = exponent.get(1 + sign..).map_or(0, digits);
            if len > 0 {
                decimal = true;
                end += 1 + sign + len;
            }
        }
        let text = rest.get(..end).unwrap_or_default().replace('_', "");
        self.pos += end;
        if let Some(suffix) = self.peek().filter(|c| "lLiIgGdDfF".contains(*c)) {
            self.pos += 1;
            decimal |= "dDfF".contains(suffix);
        }
        if decimal {
            return text
                .parse()
                .map_or_else(|_| self.bad(format!("`{text}` is no number")), Tok::Decimal);
        }
        match text.parse::<i64>() {
            Ok(value) => Tok::Int(value),
            Err(_) => text
                .parse()
                .map_or_else(|_| self.bad(format!("`{text}` is no number")), Tok::Decimal),
        }
    }

    fn quoted(&mut self, quote: char) -> Tok {
        let style = match (quote, self.rest()) {
            ('\'', rest) if rest.starts_with("'''") => strings::Style::TripleSingle,
            ('\'', _) => strings::Style::Single,
            (_, rest) if rest.starts_with("\"\"\"") => strings::Style::TripleDouble,
            _ => strings::Style::Double,
        };
        self.pos += style.open();
        self.text_until(style)
    }

    fn text_until(&mut self, style: strings::Style) -> Tok {
        let start = self.pos;
        match strings::read(self, style) {
            Ok(pieces) => match pieces.as_slice() {
                [] => Tok::Text("".into()),
                [Piece::Text(text)] => Tok::Text(text.clone()),
                _ => Tok::GText(pieces.into()),
            },
            Err(why) => {
                self.pos = start;
                self.bad(why)
            }
        }
    }

    /// The tokens of `${…}`, after its opening brace.
    pub(super) fn value(&mut self) -> Result<Rc<[Token]>, String> {
        if self.depth >= DEEPEST {
            return Err("values in texts nest too deep".to_owned());
        }
        let mut inner = Lexer {
            text: self.text,
            pos: self.pos,
            tokens: Vec::new(),
            depth: self.depth + 1,
        };
        inner.run(true);
        let closed = inner.pos > 0 && self.text.as_bytes().get(inner.pos - 1) == Some(&b'}');
        self.pos = inner.pos;
        if closed && inner.tokens.last().is_some_and(|end| end.at < end.end) {
            Ok(inner.tokens.into())
        } else {
            Err("a value in a text (`${`) is not closed".to_owned())
        }
    }
}

/// Whether a text that begins with `/` ends on its line.
fn closes_on_line(rest: &str) -> bool {
    let mut escaped = false;
    for c in rest.chars().skip(1) {
        match c {
            '\n' => return false,
            '/' if !escaped => return true,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    false
}

pub(super) fn offset(pos: usize) -> u32 {
    u32::try_from(pos).unwrap_or(u32::MAX)
}
