//! Text into tokens, as Go's lexer cuts it.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A token, where it begins and on which line.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) pos: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    /// As messages name it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Define
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Nil
            | Kind::Range
            | Kind::Template
            | Kind::With
            | Kind::Dot => format!("<{}>", self.text),
            _ if self.text.chars().count() > 10 => {
                let short: String = self.text.chars().take(10).collect();
                format!("{}...", super::printf::quote(short.as_bytes(), false))
            }
            _ => super::printf::quote(self.text.as_bytes(), false),
        }
    }
}

/// The state of cutting.
pub(super) struct Lexer<'a> {
    input: &'a str,
    left: &'a str,
    right: &'a str,
    pos: usize,
    line: usize,
    inside: bool,
    parens: u32,
    ended: bool,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
/// The minus and the space beside it.
const TRIM: usize = 2;

fn left_trim(s: &str) -> bool {
    s.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACE))
}

fn right_trim(s: &str) -> bool {
    s.strip_prefix(SPACE).is_some_and(|rest| rest.starts_with('-'))
}

fn alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a str, left: &'a str, right: &'a str) -> Self {
        Self {
            input,
            left: if left.is_empty() { "{{" } else { left },
            right: if right.is_empty() { "}}" } else { right },
            pos: 0,
            line: 1,
            inside: false,
            parens: 0,
            ended: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.input.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    /// Ends a token that began at `start`.
    fn token(&mut self, kind: Kind, start: usize) -> Token {
        let text = self.input.get(start..self.pos).unwrap_or_default();
        let line = self.line;
        self.line += text.matches('\n').count();
        Token {
            kind,
            pos: start,
            line,
            text: text.to_owned(),
        }
    }

    fn error(&mut self, start: usize, message: impl Into<String>) -> Token {
        // The line is where the text was read up to, as far as Go counts it.
        let skipped = self.input.get(start..self.pos).unwrap_or_default();
        let _ = skipped;
        self.ended = true;
        Token {
            kind: Kind::Error,
            pos: start,
            line: self.line,
            text: message.into(),
        }
    }

    /// The next token; after an error or the end, the end for ever.
    pub(super) fn next(&mut self) -> Token {
        if self.ended {
            return Token {
                kind: Kind::Eof,
                pos: self.pos,
                line: self.line,
                text: String::new(),
            };
        }
        if self.inside { self.action() } else { self.text() }
    }

    fn text(&mut self) -> Token {
        loop {
            let start = self.pos;
            let Some(at) = self.rest().find(self.left) else {
                self.pos = self.input.len();
                if self.pos > start {
                    return self.token(Kind::Text, start);
                }
                self.ended = true;
                return self.token(Kind::Eof, start);
            };
            if at > 0 {
                let end = start + at;
                let after = self.input.get(end + self.left.len()..).unwrap_or_default();
                let text = self.input.get(start..end).unwrap_or_default();
                let kept = if left_trim(after) {
                    text.trim_end_matches(SPACE)
                } else {
                    text
                };
                self.pos = start + kept.len();
                let token = self.token(Kind::Text, start);
                self.line += text.get(kept.len()..).unwrap_or_default().matches('\n').count();
                self.pos = end;
                if !token.text.is_empty() {
                    return token;
                }
            }
            let start = self.pos;
            self.pos += self.left.len();
            let marker = if left_trim(self.rest()) { TRIM } else { 0 };
            let after = self.rest().get(marker..).unwrap_or_default();
            if after.starts_with("/*") {
                if let Some(error) = self.comment(marker) {
                    return error;
                }
                continue;
            }
            let token = self.token(Kind::LeftDelim, start);
            let skipped = self.rest().get(..marker).unwrap_or_default();
            self.line += skipped.matches('\n').count();
            self.pos += marker;
            self.inside = true;
            self.parens = 0;
            return token;
        }
    }

    fn comment(&mut self, marker: usize) -> Option<Token> {
        self.line += self
            .rest()
            .get(..marker)
            .unwrap_or_default()
            .matches('\n')
            .count();
        self.pos += marker;
        let start = self.pos;
        self.pos += 2;
        let Some(end) = self.rest().find("*/") else {
            return Some(self.error(start, "unclosed comment"));
        };
        self.pos += end + 2;
        let (closed, trim) = self.at_right();
        if !closed {
            return Some(self.error(start, "comment ends before closing delimiter"));
        }
        if trim {
            self.pos += TRIM;
        }
        self.pos += self.right.len();
        if trim {
            self.skip_space();
        }
        self.line += self
            .input
            .get(start..self.pos)
            .unwrap_or_default()
            .matches('\n')
            .count();
        None
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches(SPACE).len();
    }

    fn at_right(&self) -> (bool, bool) {
        let rest = self.rest();
        if right_trim(rest) && rest.get(TRIM..).is_some_and(|rest| rest.starts_with(self.right)) {
            return (true, true);
        }
        (rest.starts_with(self.right), false)
    }

    fn right(&mut self) -> Token {
        let (_, trim) = self.at_right();
        if trim {
            let marker = self.rest().get(..TRIM).unwrap_or_default();
            self.line += marker.matches('\n').count();
            self.pos += TRIM;
        }
        let start = self.pos;
        self.pos += self.right.len();
        let token = self.token(Kind::RightDelim, start);
        if trim {
            let before = self.pos;
            self.skip_space();
            let skipped = self.input.get(before..self.pos).unwrap_or_default();
            self.line += skipped.matches('\n').count();
        }
        self.inside = false;
        token
    }

    fn action(&mut self) -> Token {
        if self.at_right().0 {
            if self.parens == 0 {
                return self.right();
            }
            return self.error(self.pos, "unclosed left paren");
        }
        let start = self.pos;
        let Some(c) = self.bump() else {
            return self.error(start, "unclosed action");
        };
        match c {
            c if SPACE.contains(&c) => self.space(start),
            '=' => self.token(Kind::Assign, start),
            ':' => {
                if self.bump() == Some('=') {
                    self.token(Kind::Declare, start)
                } else {
                    self.error(start, "expected :=")
                }
            }
            '|' => self.token(Kind::Pipe, start),
            '"' => self.quoted(start, '"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted(start, '\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.pos += end + 1;
                    self.token(Kind::RawString, start)
                }
                None => self.error(start, "unterminated raw quoted string"),
            },
            '$' => self.name(start, Kind::Variable, Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && !self.rest().is_empty() => {
                self.name(start, Kind::Field, Kind::Dot)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = start;
                self.number(start)
            }
            c if alphanumeric(c) => self.identifier(start),
            '(' => {
                self.parens += 1;
                self.token(Kind::LeftParen, start)
            }
            ')' => match self.parens.checked_sub(1) {
                Some(parens) => {
                    self.parens = parens;
                    self.token(Kind::RightParen, start)
                }
                None => self.error(start, "unexpected right paren"),
            },
            c if c.is_ascii_graphic() => self.token(Kind::Char, start),
            c => self.error(
                start,
                format!("unrecognized character in action: {}", unicode(Some(c))),
            ),
        }
    }

    fn space(&mut self, start: usize) -> Token {
        self.skip_space();
        // The last space may belong to a trim marker.
        if let Some(before) = self.pos.checked_sub(1)
            && let Some(tail) = self.input.get(before..)
            && right_trim(tail)
            && tail.get(TRIM..).is_some_and(|rest| rest.starts_with(self.right))
        {
            self.pos = before;
            if before == start {
                return self.right();
            }
        }
        self.token(Kind::Space, start)
    }

    fn quoted(&mut self, start: usize, quote: char, kind: Kind, message: &str) -> Token {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.bump();
                }
                Some(c) if c == quote => return self.token(kind, start),
                None | Some('\n' | '\\') => return self.error(start, message),
                Some(_) => {}
            }
        }
    }

    /// A field or variable; `bare` if nothing follows the dot or dollar.
    fn name(&mut self, start: usize, kind: Kind, bare: Kind) -> Token {
        if self.terminated() {
            return self.token(bare, start);
        }
        while self.peek().is_some_and(alphanumeric) {
            self.bump();
        }
        if !self.terminated() {
            return self.bad_character(start);
        }
        self.token(kind, start)
    }

    fn bad_character(&mut self, start: usize) -> Token {
        let c = self.peek();
        self.error(start, format!("bad character {}", unicode(c)))
    }

    fn identifier(&mut self, start: usize) -> Token {
        while self.peek().is_some_and(alphanumeric) {
            self.bump();
        }
        if !self.terminated() {
            return self.bad_character(start);
        }
        let kind = match self.input.get(start..self.pos).unwrap_or_default() {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.token(kind, start)
    }

    fn terminated(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) if SPACE.contains(&c) => true,
            Some(_) => self.rest().starts_with(self.right),
        }
    }

    fn number(&mut self, start: usize) -> Token {
        let good = self.scan_number();
        if good && !matches!(self.peek(), Some('+' | '-')) {
            return self.token(Kind::Number, start);
        }
        let complex = good
            && self.scan_number()
            && self
                .input
                .get(start..self.pos)
                .is_some_and(|text| text.ends_with('i'));
        if complex {
            return self.token(Kind::Complex, start);
        }
        let text = self.input.get(start..self.pos).unwrap_or_default();
        let message = format!(
            "bad number syntax: {}",
            super::printf::quote(text.as_bytes(), false)
        );
        self.error(start, message)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.bump();
        }
        found
    }

    fn run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.run(digits);
        if self.accept(".") {
            self.run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits.len() > DECIMAL.len() && self.accept("pP") {
            self.accept("+-");
            self.run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(alphanumeric) {
            self.bump();
            return false;
        }
        true
    }
}

/// `%#U`.
fn unicode(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(c) if super::printf::printable(c) || c == ' ' => format!("U+{:04X} '{c}'", u32::from(c)),
        Some(c) => format!("U+{:04X}", u32::from(c)),
    }
}
