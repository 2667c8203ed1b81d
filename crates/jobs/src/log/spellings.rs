//! The ways in which tools write a secret value: as it is, by line, encoded, escaped and quoted. Owns which of them are
//! looked for. Reversible encodings that a script makes up itself are beyond it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Values shorter than this are not hidden: hiding every `a` would hide the log and tell what the secret is.
const SHORTEST: usize = 4;
/// Lines of values of several lines that are shorter than this are not hidden by themselves.
const SHORTEST_LINE: usize = 6;
/// Encoded pieces that are shorter than this are not looked for.
const SHORTEST_PIECE: usize = 5;
/// Values longer than this are looked for only as they are, line by line.
const LONGEST: usize = 32 << 10;
/// More bytes of spellings than this are not looked for.
const MOST: usize = 8 << 20;
/// How lines of PEM begin that say nothing secret.
const MARKER: &str = "-----";
/// Words that are values of settings far more often than secrets.
const WORDS: [&str; 6] = ["true", "false", "null", "none", "True", "False"];

/// What to look for.
#[derive(Default)]
pub(super) struct Spellings {
    pub(super) texts: BTreeSet<Vec<u8>>,
    /// How many values are too short.
    pub(super) short: usize,
    size: usize,
}

/// All spellings of these values.
pub(super) fn of<'a>(values: impl Iterator<Item = &'a str>) -> Spellings {
    let mut found = Spellings::default();
    // Plain ones first: if there are too many spellings, those are missing last.
    let values: Vec<&str> = values.filter(|value| !value.trim().is_empty()).collect();
    for value in &values {
        let plain = value.trim();
        if plain.len() < SHORTEST {
            found.short += 1;
            continue;
        }
        for line in value.lines().map(str::trim) {
            let whole = line == plain;
            let marker = line.starts_with(MARKER);
            if whole || (line.len() >= SHORTEST_LINE && !marker) {
                found.add(line.as_bytes());
            }
        }
    }
    for value in values {
        let plain = value.trim();
        if plain.len() < SHORTEST || plain.len() > LONGEST || WORDS.contains(&plain) {
            continue;
        }
        found.encoded(value);
        if plain != value {
            found.encoded(plain);
        }
        // What tools do line by line.
        if plain.contains('\n') {
            let lines = plain.lines().map(str::trim);
            for line in lines.filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with(MARKER)) {
                found.encoded(line);
            }
        }
    }
    found
}

impl Spellings {
    fn add(&mut self, text: &[u8]) {
        let word = std::str::from_utf8(text).is_ok_and(|text| WORDS.contains(&text));
        if text.len() < SHORTEST || word || text.contains(&b'\n') || self.size + text.len() > MOST {
            return;
        }
        if self.texts.insert(text.to_vec()) {
            self.size += text.len();
        }
    }

    fn encoded(&mut self, value: &str) {
        let bytes = value.as_bytes();
        self.base64(bytes);
        for hex in [hex::encode(bytes), hex::encode_upper(bytes)] {
            self.add(hex.as_bytes());
        }
        for unreserved in ["-_.~", "-_.!~*'()", "-_.*", "-_.~/", "-_.~:/@!$&'()*+,;="] {
            let upper = percent(value, unreserved);
            self.add(percent_lower(&upper).as_bytes());
            self.add(upper.replace("%20", "+").as_bytes());
            self.add(upper.as_bytes());
        }
        let json = serde_json::to_string(value).unwrap_or_default();
        let json = json.trim_start_matches('"');
        let json = json.strip_suffix('"').unwrap_or(json);
        let ascii = ascii(json);
        // Within another text of JSON, too.
        for json in [json.to_owned(), json.replace('/', "\\/"), ascii] {
            self.add(json.as_bytes());
            let twice = json.replace('\\', "\\\\").replace('"', "\\\"");
            self.add(twice.as_bytes());
        }
        for (quote, quoted) in [("'", "'\\''"), ("'", "'\"'\"'"), ("'", "\\'"), ("'", "''")] {
            self.lines(&value.replace(quote, quoted));
        }
        self.lines(&escape(value, "\"\\$`"));
        self.lines(&escape(value, "\"\\$`!"));
        self.lines(&escape(value, "\\'\"$`!&|;<>()[]{}*?#~^ \t="));
        self.add(
            value
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
                .replace('\n', "\\n")
                .as_bytes(),
        );
        self.add(value.replace('\n', " ").as_bytes());
        let html = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        self.lines(&html);
        self.lines(&html.replace('"', "&quot;").replace('\'', "&#39;"));
        self.lines(&html.replace('"', "&#34;").replace('\'', "&#x27;"));
    }

    /// A spelling that goes over lines, by line.
    fn lines(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if (line.len() >= SHORTEST_LINE && !line.starts_with(MARKER)) || !text.contains('\n') {
                self.add(line.as_bytes());
            }
        }
    }

    /// Whole, and what is sure of it at each of the three places it can have within a longer text.
    fn base64(&mut self, bytes: &[u8]) {
        for engine in [&STANDARD, &URL_SAFE] {
            let whole = engine.encode(bytes);
            for width in [64, 76] {
                if whole.len() > width {
                    for line in whole
                        .as_bytes()
                        .chunks(width)
                        .filter(|line| line.len() >= SHORTEST_PIECE)
                    {
                        self.add(line);
                    }
                }
            }
            self.add(whole.trim_end_matches('=').as_bytes());
            self.add(whole.as_bytes());
            for before in 0..3 {
                let mut padded = vec![0; before];
                padded.extend_from_slice(bytes);
                let encoded = engine.encode(&padded);
                // The characters that no neighbour has a part in.
                let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
                if let Some(piece) = encoded.as_bytes().get(first..last)
                    && piece.len() >= SHORTEST_PIECE
                {
                    self.add(piece);
                }
            }
        }
    }
}

fn percent(value: &str, unreserved: &str) -> String {
    let mut out = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || unreserved.contains(c) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The escapes of a percent-encoded text in lower case.
fn percent_lower(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let (escape, tail) = after.split_at_checked(3).unwrap_or((after, ""));
        out.push_str(&escape.to_ascii_lowercase());
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// JSON with everything outside of ASCII escaped.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn escape(value: &str, special: &str) -> String {
    let mut out = String::with_capacity(value.len() * 2);
    for c in value.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Mask;
    use herder_base::Secret;

    const SECRET: &str = "pä$s'wo\"rd/+ &x?ÿ";

    #[test]
    fn tools_spell_it_in_many_ways() {
        let mask = Mask::new(&[Secret::from(SECRET)]);
        let json = serde_json::to_string(SECRET).unwrap();
        let mut spelled = vec![
            SECRET.to_owned(),
            json.clone(),
            serde_json::to_string(&json).unwrap(),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            percent(SECRET, "-_.~"),
            percent_lower(&percent(SECRET, "-_.~")),
            percent(SECRET, "-_.~").replace("%20", "+"),
            SECRET.replace('\'', "'\\''"),
            SECRET.replace('&', "&amp;"),
            escape(SECRET, "\"\\$`"),
        ];
        for engine in [&STANDARD, &URL_SAFE] {
            for before in ["", "a", "ab", "abc", "user:"] {
                for after in ["", "\n", "zz"] {
                    spelled.push(engine.encode(format!("{before}{SECRET}{after}")));
                }
            }
        }
        for spelling in spelled {
            let line = format!("before {spelling} after");
            let hidden = mask.apply_text(&line);
            assert!(hidden.contains("********"), "{line}");
            let left = hidden.replace("********", "");
            let left = left.trim_start_matches("before ").trim_end_matches(" after");
            assert!(left.len() <= 14, "{line}: {left}");
        }
    }

    #[test]
    fn values_of_several_lines() {
        let key = format!(
            "-----BEGIN KEY-----\n{}\n{}\n}}\n-----END KEY-----\n",
            "A1b2".repeat(16),
            "C3d4".repeat(16)
        );
        let mask = Mask::new(&[Secret::new(key.clone())]);
        let hidden = mask.apply_text(&key);
        assert_eq!(
            hidden,
            "-----BEGIN KEY-----\n********\n********\n}\n-----END KEY-----\n"
        );
        assert_eq!(
            mask.apply_text(&serde_json::to_string(&key).unwrap()),
            "\"********\""
        );
        let wrapped: Vec<String> = STANDARD
            .encode(&key)
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        assert!(
            wrapped
                .iter()
                .all(|line| mask.apply_text(line).starts_with("********")),
            "{wrapped:?}"
        );
    }

    #[test]
    fn much_is_bounded() {
        let many: Vec<String> = (0..5000)
            .map(|i| format!("{i:04}-{}", "x".repeat(2000)))
            .collect();
        let found = of(many.iter().map(String::as_str));
        assert!(found.size <= MOST);
        assert!(found.texts.contains(many[3000].as_bytes()));
    }
}
