//! JSON straight into bytes. Every request costs two lines with dozens of texts, and most texts need no escapes: those are
//! copied at once. Numbers and escapes are the library's. Owns no fields.

use serde::Serialize;

/// Appends a value as the library writes it.
pub(super) fn value(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(out, value)
}

/// Appends a text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    // Without a way out in the middle, so that many bytes are looked at in one step.
    let escapes = text.bytes().fold(false, |found, byte| {
        found | (byte < 0x20) | (byte == b'"') | (byte == b'\\')
    });
    if escapes {
        return value(out, &text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// An object under way.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins a member; the caller appends its value.
    pub(super) fn member(&mut self, key: &str) -> serde_json::Result<&mut Vec<u8>> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        text(self.out, key)?;
        self.out.push(b':');
        Ok(self.out)
    }

    /// A member that is a text.
    pub(super) fn text(&mut self, key: &str, member: &str) -> serde_json::Result<()> {
        text(self.member(key)?, member)
    }

    /// A member as the library writes it.
    pub(super) fn value(&mut self, key: &str, member: &impl Serialize) -> serde_json::Result<()> {
        value(self.member(key)?, member)
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        for sample in ["", "plain", "a\"b", "a\\", "\n", "\u{7f}", "é\u{2028}😀", &all] {
            let mut out = Vec::new();
            text(&mut out, sample).unwrap();
            assert_eq!(out, serde_json::to_vec(sample).unwrap(), "{sample:?}");
        }
    }
}
