//! Hides secret values in what is written, in every spelling in which tools write them. One automaton for all of them:
//! the time taken does not depend on how many there are.

use super::spellings;
use aho_corasick::{AhoCorasick, MatchKind};
use herder_base::Secret;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What stands where a secret was.
const HIDDEN: &[u8] = b"********";

/// Replaces secret values, their lines and their other spellings. None of these goes over the end of a line, so that
/// whole lines can be masked by themselves. Clones share what they know.
#[derive(Clone, Default)]
pub struct Mask(Arc<Known>);

#[derive(Default)]
struct Known {
    automaton: Option<AhoCorasick>,
    spellings: usize,
    longest: usize,
    short: usize,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} spellings)", self.0.spellings)
    }
}

impl Mask {
    /// Hides these values.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret<String>>) -> Self {
        let found = spellings::of(secrets.into_iter().map(|secret| secret.expose().as_str()));
        let longest = found.texts.iter().map(Vec::len).max().unwrap_or_default();
        let spellings = found.texts.len();
        let automaton = (spellings > 0)
            .then(|| {
                AhoCorasick::builder()
                    // A value that holds another is hidden whole.
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(&found.texts)
            })
            .and_then(Result::ok);
        Self(Arc::new(Known {
            automaton,
            spellings,
            longest,
            short: found.short,
        }))
    }

    /// How many values are too short to be hidden.
    #[must_use]
    pub fn short(&self) -> usize {
        self.0.short
    }

    /// The longest spelling's length: so much of an unfinished line may be the beginning of a secret.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.0.longest
    }

    /// Whole lines with every secret hidden.
    #[must_use]
    pub fn apply<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = &self.0.automaton else {
            return Cow::Borrowed(bytes);
        };
        let mut out = Vec::new();
        let mut from = 0;
        for found in automaton.find_iter(bytes) {
            out.extend_from_slice(bytes.get(from..found.start()).unwrap_or_default());
            out.extend_from_slice(HIDDEN);
            from = found.end();
        }
        if from == 0 {
            return Cow::Borrowed(bytes);
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// As much of the beginning of an unfinished line as is sure, with every secret hidden; the rest stays in `bytes`.
    pub fn drain(&self, bytes: &mut Vec<u8>) -> Vec<u8> {
        let Some(automaton) = &self.0.automaton else {
            return std::mem::take(bytes);
        };
        // A secret that begins before this place is whole; one that begins after it may not be.
        let sure = (bytes.len() + 1).saturating_sub(self.0.longest);
        let mut out = Vec::with_capacity(sure);
        let mut from = 0;
        for found in automaton.find_iter(bytes.as_slice()) {
            if found.start() >= sure {
                break;
            }
            out.extend_from_slice(bytes.get(from..found.start()).unwrap_or_default());
            out.extend_from_slice(HIDDEN);
            from = found.end();
        }
        out.extend_from_slice(bytes.get(from..sure).unwrap_or_default());
        bytes.drain(..from.max(sure));
        out
    }

    /// The text with every secret hidden.
    #[must_use]
    pub fn apply_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.apply(text.as_bytes())).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_whole_values() {
        let secrets = [
            Secret::from("hunter2"),
            Secret::from("hunter2-long"),
            Secret::from("ab"),
            Secret::from("line-one\nline-two"),
        ];
        let mask = Mask::new(&secrets);
        assert_eq!(mask.short(), 1);
        for (text, expected) in [
            ("+ curl -u me:hunter2 x", "+ curl -u me:******** x"),
            ("hunter2-long", "********"),
            ("ab stays", "ab stays"),
            ("line-two line-one", "******** ********"),
            ("hunter", "hunter"),
            ("", ""),
        ] {
            assert_eq!(mask.apply_text(text), expected);
        }
    }

    /// However a long line is cut into portions, what comes out is the same.
    #[test]
    fn hides_across_portions() {
        let secrets = [Secret::from("s3cr3t-value"), Secret::from("s3cr3t")];
        let mask = Mask::new(&secrets);
        let text = b"a s3cr3t-value b s3cr3t c s3cr3t-valu s3cr3t-s3cr3t-value";
        let whole = mask.apply(text).into_owned();
        for size in 1..text.len() {
            let (mut held, mut out) = (Vec::new(), Vec::new());
            for portion in text.chunks(size) {
                held.extend_from_slice(portion);
                out.extend(mask.drain(&mut held));
                assert!(held.len() < mask.longest());
            }
            out.extend_from_slice(&mask.apply(&held));
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&whole),
                "{size}"
            );
        }
    }
}
