//! What strangers wrote, on its way to a terminal: nothing in it steers the terminal, as the terminal may be the
//! administrator's. Lines and tabs stay; who pipes a log gets its bytes as they are.

use std::fmt::Write as _;

/// Whether a character does something to a terminal, or to the order in which others are shown.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes a stream of bytes fit to be shown, in portions that may end anywhere.
#[derive(Debug, Default)]
pub struct Screen {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Screen {
    /// The next portion. What steers is shown as its number, what is no text as `\u{fffd}`.
    pub fn show(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        for chunk in all.utf8_chunks() {
            for c in chunk.valid().chars() {
                if steers(c) && c != '\n' && c != '\t' {
                    _ = write!(shown, "{}", c.escape_default());
                } else {
                    shown.push(c);
                }
            }
            let bad = chunk.invalid();
            let last = bad.as_ptr_range().end == all.as_ptr_range().end;
            // The beginning of a character at the very end may go on in the next portion.
            let begun = std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none());
            if last && begun {
                self.rest = bad.to_vec();
            } else if !bad.is_empty() {
                shown.push('\u{fffd}');
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_wherever_it_is_cut() {
        let log = "ok\tü€🦀\n\u{1b}]0;PWN\u{7}\u{1b}[2J\r\u{9b}2J\u{202e}x\n".as_bytes();
        let whole = Screen::default().show(log);
        assert_eq!(
            whole,
            "ok\tü€🦀\n\\u{1b}]0;PWN\\u{7}\\u{1b}[2J\\r\\u{9b}2J\\u{202e}x\n"
        );
        for at in 0..log.len() {
            let mut screen = Screen::default();
            let (a, b) = log.split_at(at);
            assert_eq!(screen.show(a) + &screen.show(b), whole, "{at}");
        }
        let mut screen = Screen::default();
        assert_eq!(
            screen.show(b"a\x9b2J\xffb") + &screen.show(b"c"),
            "a\u{fffd}2J\u{fffd}bc"
        );
    }
}
