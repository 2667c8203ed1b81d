//! Hides secret values in what is written.

use herder_base::Secret;
use std::fmt;

/// What stands where a secret was.
const HIDDEN: &[u8] = b"********";

/// Values shorter than this are not masked: hiding every `a` would hide the log and tell what the secret is.
const SHORTEST: usize = 3;

/// Replaces secret values. Values of several lines are hidden line by line.
#[derive(Default)]
pub struct Mask(Vec<Secret<Vec<u8>>>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} values)", self.0.len())
    }
}

impl Mask {
    /// Hides these values.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret<String>>) -> Self {
        let mut parts: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| {
                secret
                    .expose()
                    .lines()
                    .map(|line| line.trim().as_bytes().to_vec())
            })
            .filter(|part| part.len() >= SHORTEST)
            .collect();
        // Longest first, so that a value holding another is hidden whole.
        parts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        parts.dedup();
        Self(parts.into_iter().map(Secret::new).collect())
    }

    /// The longest value's length: so much of an unfinished line may be the beginning of a secret.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.0.first().map_or(0, |part| part.expose().len())
    }

    /// The bytes with every secret hidden.
    #[must_use]
    pub fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        if self.0.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, tail)) = rest.split_first() {
            match self
                .0
                .iter()
                .find_map(|part| rest.strip_prefix(part.expose().as_slice()))
            {
                Some(after) => {
                    out.extend_from_slice(HIDDEN);
                    rest = after;
                }
                None => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
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
            Secret::from("l1x\nl2x"),
        ];
        let mask = Mask::new(&secrets);
        for (text, expected) in [
            ("+ curl -u me:hunter2 x", "+ curl -u me:******** x"),
            ("hunter2-long", "********"),
            ("ab stays", "ab stays"),
            ("l2x l1x", "******** ********"),
            ("hunter", "hunter"),
            ("", ""),
        ] {
            assert_eq!(mask.apply_text(text), expected);
        }
    }
}
