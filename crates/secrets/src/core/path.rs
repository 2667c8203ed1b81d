//! The one form of a path. Owns what is canonical; everything that decides, records or routes takes a [`CanonicalPath`],
//! so that none of them can see another path than the others.
//!
//! A path is what stands below `/v1/`, percent signs decoded once. Canonical is a path of segments that are neither empty
//! nor `.` nor `..`, of printable characters, without a slash at its ends; that of a list ends in one slash. Nothing is
//! decoded, folded or normalised after this. What is not canonical is refused, never repaired: Vault's mux answers with a
//! redirect, which most clients follow with a read, so only reads get one here, and only for a slash too many.

use super::request::Op;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Longest accepted path, in bytes; a policy is asked once for every byte.
const LONGEST: usize = 8 << 10;

/// See the module. Cannot be made, nor changed, but by [`CanonicalPath::new`].
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CanonicalPath(String);

impl CanonicalPath {
    /// Takes a path as it is if it is canonical for an operation. A list's may lack its last slash, those of reading and
    /// deleting may have one.
    ///
    /// # Errors
    /// [`NotCanonical`] with what is wrong and what to write instead.
    pub fn new(op: Op, text: impl Into<String>) -> Result<Self, NotCanonical> {
        let mut text = text.into();
        if let Some(fault) = fault(&text) {
            return Err(NotCanonical::new(op, text, fault));
        }
        let open = text.ends_with('/');
        match op {
            Op::List if !open => text.push('/'),
            Op::Read | Op::Delete if open => {
                text.pop();
            }
            Op::Write | Op::Patch if open => return Err(NotCanonical::new(op, text, Fault::Open)),
            _ => {}
        }
        Ok(Self(text))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in one case: for names that mean the same in any.
    pub(crate) fn folded(&self) -> Self {
        // Canonical again: no letter becomes a slash, a dot or nothing.
        Self(fold(&self.0))
    }
}

impl Deref for CanonicalPath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text in one case, letter by letter, so that a part is folded as it is in the whole.
pub(crate) fn fold(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

/// The segments of a canonical path's rest; a list's last slash begins none.
pub(crate) fn segments(rest: &str) -> Vec<&str> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Vec::new();
    }
    rest.split('/').collect()
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Encoding,
    Empty,
    Dots,
    Unprintable,
    Open,
    Long,
}

/// A path that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCanonical {
    path: String,
    fault: Fault,
    /// What was probably meant.
    meant: Option<String>,
    read: bool,
}

impl NotCanonical {
    fn new(op: Op, mut path: String, fault: Fault) -> Self {
        let meant = matches!(fault, Fault::Empty | Fault::Dots)
            .then(|| cleaned(op, &path))
            .flatten();
        if fault == Fault::Long {
            let end = path.floor_char_boundary(256);
            path.truncate(end);
            path.push('…');
        }
        Self {
            path,
            fault,
            meant,
            read: matches!(op, Op::Read | Op::List),
        }
    }

    /// A path whose percent signs cannot be decoded.
    pub(crate) fn undecodable(path: &str) -> Self {
        Self::new(
            Op::Write,
            path.get(..LONGEST).unwrap_or(path).to_owned(),
            Fault::Encoding,
        )
    }

    /// The path as it was asked for.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where a client that only reads may be sent, as Vault does: a slash too many is a mistake, dots are not.
    pub(crate) fn redirect(&self) -> Option<&str> {
        self.meant
            .as_deref()
            .filter(|_| self.read && self.fault == Fault::Empty)
    }
}

impl fmt::Display for NotCanonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.fault {
            // Vault's own words.
            Fault::Open => return f.write_str("cannot write to a path ending in '/'"),
            Fault::Encoding => write!(
                f,
                "invalid request path {path:?}: a percent sign is not followed by the two digits of a byte, or the bytes are not UTF-8"
            ),
            Fault::Empty => write!(f, "invalid request path {path:?}: it has an empty segment"),
            Fault::Dots => write!(f, "invalid request path {path:?}: it has a segment . or .."),
            Fault::Unprintable => write!(
                f,
                "invalid request path {path:?}: it has characters that cannot be printed"
            ),
            Fault::Long => write!(
                f,
                "invalid request path {path:?}: it is longer than {LONGEST} bytes"
            ),
        }?;
        match &self.meant {
            Some(meant) => write!(f, "; write {meant:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NotCanonical {}

fn fault(text: &str) -> Option<Fault> {
    if text.len() > LONGEST {
        return Some(Fault::Long);
    }
    if text.is_empty() {
        return Some(Fault::Empty);
    }
    // Of the segment under way.
    let (mut length, mut dots) = (0_usize, 0_usize);
    let mut ascii = true;
    for byte in text.bytes() {
        match byte {
            b'/' if length == 0 => return Some(Fault::Empty),
            b'/' if length == dots && length <= 2 => return Some(Fault::Dots),
            b'/' => (length, dots) = (0, 0),
            b'.' => (length, dots) = (length + 1, dots + 1),
            ..0x20 | 0x7f => return Some(Fault::Unprintable),
            _ => {
                length += 1;
                ascii &= byte.is_ascii();
            }
        }
    }
    if length > 0 && length == dots && length <= 2 {
        return Some(Fault::Dots);
    }
    (!ascii && !text.chars().all(printable)).then_some(Fault::Unprintable)
}

/// Go's `unicode.IsPrint`: no controls, formats, private or unassigned characters, and of spaces only the usual one. The
/// library escapes just these, but marks that belong to a letter only where they follow none.
fn printable(letter: char) -> bool {
    letter.is_ascii() || String::from_iter(['a', letter]).escape_debug().count() == 2
}

/// As Go's mux cleans a path; `None` if that leaves nothing or leads out.
fn cleaned(op: Op, path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop()?;
            }
            segment => kept.push(segment),
        }
    }
    let open = if op == Op::List { "/" } else { "" };
    let text = kept.join("/") + open;
    fault(&text).is_none().then_some(text)
}

/// A path's bytes for an address.
pub(crate) fn encoded(path: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    if path.as_bytes().iter().all(plain) {
        return path.into();
    }
    path.bytes()
        .map(|byte| {
            if plain(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_as_they_are() {
        for (op, text, path) in [
            (Op::Read, "sys/mounts", "sys/mounts"),
            (Op::Read, "sys/mounts/", "sys/mounts"),
            (Op::Delete, "secret/data/x/", "secret/data/x"),
            (Op::List, "secret/metadata", "secret/metadata/"),
            (Op::List, "secret/metadata/", "secret/metadata/"),
            (Op::Write, "secret/data/...", "secret/data/..."),
            (Op::Write, "secret/data/.a/b..c", "secret/data/.a/b..c"),
            (
                Op::Read,
                "secret/data/a b+c*d;e?f#g\\h%2f",
                "secret/data/a b+c*d;e?f#g\\h%2f",
            ),
            (
                Op::Read,
                "secret/data/é/e\u{301}/ｓys/名",
                "secret/data/é/e\u{301}/ｓys/名",
            ),
        ] {
            assert_eq!(CanonicalPath::new(op, text).unwrap().as_str(), path);
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        let long = "a/".repeat(LONGEST);
        for text in [
            "",
            "/",
            "//",
            "/sys/seal",
            "sys//seal",
            "sys/seal//",
            "./sys",
            "sys/./seal",
            "sys/.",
            "..",
            "sys/..",
            "sys/../sys/seal",
            "sys/seal/.",
            "sys/seal\0",
            "sys/se\nal",
            "sys/seal\u{7f}",
            "sys/se\u{200b}al",
            "sys/se\u{202e}al",
            "sys/\u{feff}seal",
            "sys/se\u{ad}al",
            "sys/se\u{a0}al",
            "sys/\u{e000}",
            &long,
        ] {
            for op in [Op::Read, Op::List, Op::Write, Op::Patch, Op::Delete] {
                assert!(CanonicalPath::new(op, text).is_err(), "{text:?}");
            }
        }
        for op in [Op::Write, Op::Patch] {
            let error = CanonicalPath::new(op, "secret/data/x/").unwrap_err();
            assert_eq!(error.to_string(), "cannot write to a path ending in '/'");
        }
    }

    #[test]
    fn says_what_was_meant_but_leads_nobody_out() {
        for (op, text, meant) in [
            (Op::Read, "transit//export/x", Some("transit/export/x")),
            (Op::List, "/secret/metadata", Some("secret/metadata/")),
            (Op::Read, "secret/data/x//", Some("secret/data/x")),
            (Op::Write, "sys//seal", None),
            (Op::Read, "secret/../sys/raw", None),
            (Op::Read, "a//../../evil", None),
            (Op::Read, "//", None),
            (Op::Read, "sys/se\nal//", None),
        ] {
            let refused = CanonicalPath::new(op, text).unwrap_err();
            assert_eq!(refused.redirect(), meant, "{text}");
        }
        let refused = CanonicalPath::new(Op::Write, "sys//seal").unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("it has an empty segment; write \"sys/seal\""),
            "{refused}"
        );
    }

    #[test]
    fn folds_letter_by_letter() {
        assert_eq!(fold("role/ΑΣ"), fold("role/ας"));
        assert_eq!(fold("role/ΑΣΒ").get(..9), fold("role/ΑΣ").get(..9));
        assert_eq!(fold("KELVIN"), "kelvin");
    }

    #[test]
    fn addresses_hold_no_other_bytes() {
        assert_eq!(encoded("secret/a-b_c.~"), "secret/a-b_c.~");
        assert_eq!(encoded("a b/é%\r\n?"), "a%20b/%C3%A9%25%0D%0A%3F");
    }
}
