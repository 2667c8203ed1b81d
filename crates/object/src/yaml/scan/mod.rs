//! Text to tokens, as libyaml's scanner finds them (the one go-yaml has): what it accepts, refuses and keeps of breaks
//! and blanks is what manifests were written against.
//!
//! Owns indentation and simple keys. Comments are skipped. The grammar is the parser's.

mod scalar;
mod tag;
mod text;

use super::node::{Style, YamlError};
use std::borrow::Cow;
use std::collections::VecDeque;
use text::{Text, is_blank, is_word};

pub(super) use text::Mark;

/// Deeper than anything real, shallow enough for every recursive walk on a small stack.
pub(super) const MAX_DEPTH: usize = 120;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    StreamStart,
    StreamEnd,
    Version(u8, u8),
    TagDirective(String, String),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'t str),
    Anchor(&'t str),
    /// Handle and suffix.
    Tag(String, String),
    Scalar(Cow<'t, str>, Style),
}

#[derive(Debug, Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

pub(super) struct Scanner<'t> {
    text: Text<'t>,
    tokens: VecDeque<(Token<'t>, Mark)>,
    taken: usize,
    started: bool,
    ended: bool,
    indent: i32,
    indents: Vec<i32>,
    keys: Vec<SimpleKey>,
    key_allowed: bool,
    flow: usize,
}

type Result<T> = std::result::Result<T, YamlError>;

fn error(mark: Mark, message: impl Into<String>) -> YamlError {
    YamlError {
        line: mark.line + 1,
        column: mark.column.unsigned_abs() + 1,
        message: message.into(),
    }
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text: Text::new(text),
            tokens: VecDeque::new(),
            taken: 0,
            started: false,
            ended: false,
            indent: -1,
            indents: Vec::new(),
            keys: vec![SimpleKey::default()],
            key_allowed: true,
            flow: 0,
        }
    }

    /// The next token, left where it is.
    pub(super) fn peek(&mut self) -> Result<&(Token<'t>, Mark)> {
        while !self.ended && self.needs_more()? {
            self.fetch()?;
        }
        if self.tokens.is_empty() {
            self.tokens.push_back((Token::StreamEnd, self.text.mark));
        }
        self.tokens
            .front()
            .ok_or_else(|| error(Mark::default(), "the stream has ended"))
    }

    /// Takes the token that was peeked at.
    pub(super) fn take(&mut self) -> Option<(Token<'t>, Mark)> {
        self.taken += 1;
        self.tokens.pop_front()
    }

    /// Whether the first token may still turn out to be a key.
    fn needs_more(&mut self) -> Result<bool> {
        if self.tokens.is_empty() {
            return Ok(true);
        }
        let taken = self.taken;
        match self
            .keys
            .iter()
            .position(|key| key.possible && key.token == taken)
        {
            Some(at) => self.key_is_valid(at),
            None => Ok(false),
        }
    }

    fn key_is_valid(&mut self, at: usize) -> Result<bool> {
        let mark = self.text.mark;
        let Some(key) = self.keys.get_mut(at).filter(|key| key.possible) else {
            return Ok(false);
        };
        if key.mark.line < mark.line || key.mark.index + 1024 < mark.index {
            if key.required {
                return Err(error(key.mark, "could not find expected ':'"));
            }
            key.possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn push(&mut self, token: Token<'t>, mark: Mark) {
        self.tokens.push_back((token, mark));
    }

    fn fetch(&mut self) -> Result<()> {
        if !self.started {
            self.started = true;
            self.push(Token::StreamStart, self.text.mark);
            return Ok(());
        }
        self.skip_to_token();
        self.unroll(self.text.mark.column);
        let mark = self.text.mark;
        let c = self.text.byte(0);
        if self.text.at_end() {
            return self.fetch_end();
        }
        if let Some(message) = self.text.forbidden() {
            return Err(error(mark, message));
        }
        if mark.column == 0 && c == b'%' {
            return self.fetch_directive();
        }
        if mark.column == 0 && self.text.at_document_indicator() {
            let token = if c == b'-' {
                Token::DocumentStart
            } else {
                Token::DocumentEnd
            };
            self.unroll(-1);
            self.remove_key()?;
            self.key_allowed = false;
            (0..3).for_each(|_| self.text.skip());
            self.push(token, mark);
            return Ok(());
        }
        let next_blank = self.text.is_blank_or_end(1);
        match c {
            b'[' => self.fetch_flow_start(Token::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Token::FlowMappingStart),
            b']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Token::FlowMappingEnd),
            b',' => {
                self.remove_key()?;
                self.key_allowed = true;
                self.indicator(Token::FlowEntry)
            }
            b'-' if next_blank => self.fetch_block_entry(),
            b'?' if self.flow > 0 || next_blank => self.fetch_key(),
            b':' if self.flow > 0 || next_blank => self.fetch_value(),
            b'*' | b'&' => self.fetch_anchor(),
            b'!' => {
                self.save_key()?;
                self.key_allowed = false;
                let token = self.scan_tag()?;
                self.push(token, mark);
                Ok(())
            }
            b'|' | b'>' if self.flow == 0 => {
                self.remove_key()?;
                self.key_allowed = true;
                let token = self.scan_block_scalar(c == b'|')?;
                self.push(token, mark);
                Ok(())
            }
            b'\'' | b'"' => {
                self.save_key()?;
                self.key_allowed = false;
                let token = self.scan_flow_scalar(c == b'\'')?;
                self.push(token, mark);
                Ok(())
            }
            _ if self.may_start_plain(c) => {
                self.save_key()?;
                self.key_allowed = false;
                let token = self.scan_plain_scalar()?;
                self.push(token, mark);
                Ok(())
            }
            b'\t' => Err(error(mark, "found a tab where an indentation space is expected")),
            _ => Err(error(mark, "found character that cannot start any token")),
        }
    }

    fn may_start_plain(&self, c: u8) -> bool {
        match c {
            b'-' => !is_blank(self.text.byte(1)),
            b'?' | b':' => self.flow == 0 && !self.text.is_blank_or_end(1),
            b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"'
            | b'%' | b'@' | b'`' => false,
            _ => !self.text.is_blank_or_end(0),
        }
    }

    fn indicator(&mut self, token: Token<'t>) -> Result<()> {
        let mark = self.text.mark;
        self.text.skip();
        self.push(token, mark);
        Ok(())
    }

    fn skip_to_token(&mut self) {
        loop {
            // go-yaml means to skip the mark at the start of any line, but only ever looks at the start of its buffer.
            if self.text.mark.index == 0 && self.text.at_bom() {
                self.text.skip();
            }
            loop {
                let c = self.text.byte(0);
                if c == b' ' || (c == b'\t' && (self.flow > 0 || !self.key_allowed)) {
                    self.text.skip();
                } else {
                    break;
                }
            }
            if self.text.byte(0) == b'#' {
                self.text.skip_line_content();
            }
            if !self.text.at_break() {
                return;
            }
            self.text.skip_break();
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    fn save_key(&mut self) -> Result<()> {
        if !self.key_allowed {
            return Ok(());
        }
        let key = SimpleKey {
            possible: true,
            required: self.flow == 0 && self.indent == self.text.mark.column,
            token: self.taken + self.tokens.len(),
            mark: self.text.mark,
        };
        self.remove_key()?;
        if let Some(last) = self.keys.last_mut() {
            *last = key;
        }
        Ok(())
    }

    fn remove_key(&mut self) -> Result<()> {
        match self.keys.last_mut() {
            Some(key) if key.possible && key.required => Err(error(key.mark, "could not find expected ':'")),
            Some(key) => {
                key.possible = false;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Begins a block collection if the column is deeper; `at` is the number of the token it goes before.
    fn roll(&mut self, column: i32, at: Option<usize>, token: Token<'t>, mark: Mark) -> Result<()> {
        if self.flow > 0 || self.indent >= column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column;
        if self.indents.len() > MAX_DEPTH {
            return Err(error(mark, format!("nested more than {MAX_DEPTH} deep")));
        }
        match at {
            Some(at) => self.tokens.insert(at.saturating_sub(self.taken), (token, mark)),
            None => self.push(token, mark),
        }
        Ok(())
    }

    fn unroll(&mut self, column: i32) {
        if self.flow > 0 {
            return;
        }
        while self.indent > column {
            self.push(Token::BlockEnd, self.text.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_end(&mut self) -> Result<()> {
        self.unroll(-1);
        self.remove_key()?;
        self.key_allowed = false;
        self.ended = true;
        self.push(Token::StreamEnd, self.text.mark);
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<()> {
        self.unroll(-1);
        self.remove_key()?;
        self.key_allowed = false;
        let mark = self.text.mark;
        let token = self.scan_directive()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token<'t>) -> Result<()> {
        self.save_key()?;
        self.keys.push(SimpleKey::default());
        self.flow += 1;
        if self.flow > MAX_DEPTH {
            return Err(error(
                self.text.mark,
                format!("nested more than {MAX_DEPTH} deep"),
            ));
        }
        self.key_allowed = true;
        self.indicator(token)
    }

    fn fetch_flow_end(&mut self, token: Token<'t>) -> Result<()> {
        self.remove_key()?;
        if self.flow > 0 {
            self.flow -= 1;
            self.keys.pop();
        }
        self.key_allowed = false;
        self.indicator(token)
    }

    fn fetch_block_entry(&mut self) -> Result<()> {
        if self.flow == 0 {
            let mark = self.text.mark;
            if !self.key_allowed {
                return Err(error(
                    mark,
                    "block sequence entries are not allowed in this context",
                ));
            }
            self.roll(mark.column, None, Token::BlockSequenceStart, mark)?;
        }
        self.remove_key()?;
        self.key_allowed = true;
        self.indicator(Token::BlockEntry)
    }

    fn fetch_key(&mut self) -> Result<()> {
        if self.flow == 0 {
            let mark = self.text.mark;
            if !self.key_allowed {
                return Err(error(mark, "mapping keys are not allowed in this context"));
            }
            self.roll(mark.column, None, Token::BlockMappingStart, mark)?;
        }
        self.remove_key()?;
        self.key_allowed = self.flow == 0;
        self.indicator(Token::Key)
    }

    fn fetch_value(&mut self) -> Result<()> {
        let at = self.keys.len().saturating_sub(1);
        if self.key_is_valid(at)? {
            let key = self.keys.get(at).copied().unwrap_or_default();
            self.tokens
                .insert(key.token.saturating_sub(self.taken), (Token::Key, key.mark));
            self.roll(
                key.mark.column,
                Some(key.token),
                Token::BlockMappingStart,
                key.mark,
            )?;
            if let Some(key) = self.keys.get_mut(at) {
                key.possible = false;
            }
            self.key_allowed = false;
        } else {
            if self.flow == 0 {
                let mark = self.text.mark;
                if !self.key_allowed {
                    return Err(error(mark, "mapping values are not allowed in this context"));
                }
                self.roll(mark.column, None, Token::BlockMappingStart, mark)?;
            }
            self.key_allowed = self.flow == 0;
        }
        self.indicator(Token::Value)
    }

    fn fetch_anchor(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let mark = self.text.mark;
        let is_alias = self.text.byte(0) == b'*';
        self.text.skip();
        let start = self.text.at;
        while is_word(self.text.byte(0)) {
            self.text.skip();
        }
        let name = self.text.since(start);
        let ended = self.text.is_blank_or_end(0)
            || matches!(
                self.text.byte(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !ended {
            return Err(error(
                mark,
                "did not find expected alphabetic or numeric character",
            ));
        }
        let token = if is_alias {
            Token::Alias(name)
        } else {
            Token::Anchor(name)
        };
        self.push(token, mark);
        Ok(())
    }
}
