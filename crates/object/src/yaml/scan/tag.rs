//! Tags and directives.

use super::text::{is_blank, is_word};
use super::{Result, Scanner, Token, error};

impl<'t> Scanner<'t> {
    pub(super) fn scan_directive(&mut self) -> Result<Token<'t>> {
        let start = self.text.mark;
        self.text.skip();
        let from = self.text.at;
        while is_word(self.text.byte(0)) {
            self.text.skip();
        }
        let name = self.text.since(from);
        if name.is_empty() {
            return Err(error(start, "could not find expected directive name"));
        }
        if !self.text.is_blank_or_end(0) {
            return Err(error(start, "found unexpected non-alphabetical character"));
        }
        let token = match name {
            "YAML" => {
                self.skip_blanks();
                let major = self.scan_version_number()?;
                if self.text.byte(0) != b'.' {
                    return Err(error(start, "did not find expected digit or '.' character"));
                }
                self.text.skip();
                Token::Version(major, self.scan_version_number()?)
            }
            "TAG" => {
                self.skip_blanks();
                let handle = self.scan_tag_handle(true)?;
                if !is_blank(self.text.byte(0)) {
                    return Err(error(start, "did not find expected whitespace"));
                }
                self.skip_blanks();
                let prefix = self.scan_tag_uri("")?;
                if !self.text.is_blank_or_end(0) {
                    return Err(error(start, "did not find expected whitespace or line break"));
                }
                Token::TagDirective(handle, prefix)
            }
            _ => return Err(error(start, "found unknown directive name")),
        };
        self.skip_blanks();
        if self.text.byte(0) == b'#' {
            self.text.skip_line_content();
        }
        if !self.text.is_break_or_end(0) {
            return Err(error(start, "did not find expected comment or line break"));
        }
        self.text.skip_break();
        Ok(token)
    }

    fn skip_blanks(&mut self) {
        while is_blank(self.text.byte(0)) {
            self.text.skip();
        }
    }

    fn scan_version_number(&mut self) -> Result<u8> {
        let from = self.text.at;
        while self.text.byte(0).is_ascii_digit() {
            self.text.skip();
        }
        let digits = self.text.since(from);
        match digits.len() {
            0 => Err(error(self.text.mark, "did not find expected version number")),
            1 | 2 => Ok(digits.parse().unwrap_or_default()),
            _ => Err(error(self.text.mark, "found extremely long version number")),
        }
    }

    pub(super) fn scan_tag(&mut self) -> Result<Token<'t>> {
        let start = self.text.mark;
        let (mut handle, mut suffix);
        if self.text.byte(1) == b'<' {
            self.text.skip();
            self.text.skip();
            handle = String::new();
            suffix = self.scan_tag_uri("")?;
            if self.text.byte(0) != b'>' {
                return Err(error(start, "did not find the expected '>'"));
            }
            self.text.skip();
        } else {
            handle = self.scan_tag_handle(false)?;
            if handle.len() > 1 && handle.ends_with('!') {
                suffix = self.scan_tag_uri("")?;
            } else {
                suffix = self.scan_tag_uri(&handle)?;
                "!".clone_into(&mut handle);
                if suffix.is_empty() {
                    std::mem::swap(&mut handle, &mut suffix);
                }
            }
        }
        if !self.text.is_blank_or_end(0) {
            return Err(error(start, "did not find expected whitespace or line break"));
        }
        Ok(Token::Tag(handle, suffix))
    }

    fn scan_tag_handle(&mut self, directive: bool) -> Result<String> {
        if self.text.byte(0) != b'!' {
            return Err(error(self.text.mark, "did not find expected '!'"));
        }
        let from = self.text.at;
        self.text.skip();
        while is_word(self.text.byte(0)) {
            self.text.skip();
        }
        if self.text.byte(0) == b'!' {
            self.text.skip();
        } else if directive && self.text.since(from) != "!" {
            return Err(error(self.text.mark, "did not find expected '!'"));
        }
        Ok(self.text.since(from).to_owned())
    }

    /// A tag's URI; `head` is what was taken for a handle and is part of it, its `!` left out.
    fn scan_tag_uri(&mut self, head: &str) -> Result<String> {
        let mut bytes: Vec<u8> = head.get(1..).unwrap_or_default().as_bytes().to_vec();
        let mut any = !head.is_empty();
        loop {
            let c = self.text.byte(0);
            if c == b'%' {
                let hex = [self.text.byte(1), self.text.byte(2)];
                let octet = std::str::from_utf8(&hex)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                let Some(octet) = octet else {
                    return Err(error(self.text.mark, "did not find URI escaped octet"));
                };
                bytes.push(octet);
                (0..3).for_each(|_| self.text.skip());
            } else if is_word(c) || (c != 0 && b";/?:@&=+$,.!~*'()[]".contains(&c)) {
                bytes.push(c);
                self.text.skip();
            } else {
                break;
            }
            any = true;
        }
        if !any {
            return Err(error(self.text.mark, "did not find expected tag URI"));
        }
        String::from_utf8(bytes).map_err(|_| error(self.text.mark, "found an incorrect UTF-8 octet"))
    }
}
