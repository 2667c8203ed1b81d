//! A text with a place in it. Beyond its end there are zero bytes.

/// A place: characters before it, line and column from zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::yaml) struct Mark {
    pub(in crate::yaml) index: usize,
    pub(in crate::yaml) line: u32,
    pub(in crate::yaml) column: i32,
}

pub(super) struct Text<'t> {
    text: &'t str,
    pub(super) at: usize,
    pub(super) mark: Mark,
}

pub(super) fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t')
}

pub(super) fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-')
}

/// How many bytes the character has that begins with this one.
fn width(c: u8) -> usize {
    match c {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    }
}

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            mark: Mark::default(),
        }
    }

    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text
            .as_bytes()
            .get(self.at + ahead)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The text from a place up to here.
    pub(super) fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A part of the text.
    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    pub(super) fn at_bom(&self) -> bool {
        self.byte(0) == 0xef && self.byte(1) == 0xbb && self.byte(2) == 0xbf
    }

    /// Whether there is a break some bytes ahead.
    pub(super) fn is_break(&self, ahead: usize) -> bool {
        match self.byte(ahead) {
            b'\n' | b'\r' => true,
            0xc2 => self.byte(ahead + 1) == 0x85,
            0xe2 => self.byte(ahead + 1) == 0x80 && matches!(self.byte(ahead + 2), 0xa8 | 0xa9),
            _ => false,
        }
    }

    pub(super) fn at_break(&self) -> bool {
        self.is_break(0)
    }

    pub(super) fn is_break_or_end(&self, ahead: usize) -> bool {
        self.byte(ahead) == 0 || self.is_break(ahead)
    }

    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        is_blank(self.byte(ahead)) || self.is_break_or_end(ahead)
    }

    /// `---` or `...` with a blank or the end after it.
    pub(super) fn at_document_indicator(&self) -> bool {
        let c = self.byte(0);
        matches!(c, b'-' | b'.') && self.byte(1) == c && self.byte(2) == c && self.is_blank_or_end(3)
    }

    /// Goes over one character.
    pub(super) fn skip(&mut self) {
        if self.at < self.text.len() {
            self.at += width(self.byte(0));
        }
        self.mark.index += 1;
        self.mark.column += 1;
    }

    /// Goes over a run of characters that end before `at`.
    pub(super) fn skip_to(&mut self, at: usize) {
        let run = self.text.get(self.at..at).unwrap_or_default();
        let count = if run.is_ascii() {
            run.len()
        } else {
            run.chars().count()
        };
        self.at = at;
        self.mark.index += count;
        self.mark.column += i32::try_from(count).unwrap_or(i32::MAX / 2);
    }

    /// The bytes from here.
    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Goes to the end of the line.
    pub(super) fn skip_line_content(&mut self) {
        while !self.is_break_or_end(0) {
            let run = self
                .rest()
                .iter()
                .take_while(|c| (0x20..0x7f).contains(*c))
                .count();
            if run > 0 {
                self.skip_to(self.at + run);
            } else {
                self.skip();
            }
        }
    }

    /// Goes over a break; `\r\n` is one.
    pub(super) fn skip_break(&mut self) -> &'static str {
        let (bytes, text) = match (self.byte(0), self.byte(1), self.byte(2)) {
            (b'\r', b'\n', _) => (2, "\n"),
            (b'\r' | b'\n', ..) => (1, "\n"),
            (0xc2, ..) => (2, "\n"),
            (0xe2, _, 0xa8) => (3, "\u{2028}"),
            (0xe2, ..) => (3, "\u{2029}"),
            _ => return "",
        };
        self.at += bytes;
        self.mark.index += 1;
        self.mark.column = 0;
        self.mark.line += 1;
        text
    }

    /// What is wrong with the character here, if it may not be in a text at all.
    pub(super) fn forbidden(&self) -> Option<&'static str> {
        self.rest()
            .first()
            .filter(|c| **c == 0)
            .map(|_| "control characters are not allowed")
    }
}
