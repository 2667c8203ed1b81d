//! Keyed hashes of short texts: what tokens are stored under and what audit lines show. Every request costs several, so
//! the key's two blocks are hashed once; the library does that for each, and wipes both. Owns no key's storage.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 with one key.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha256>);

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed")
    }
}

/// A tag as lower case hexadecimal digits.
pub(crate) struct Digits([u8; 64]);

impl Digits {
    pub(crate) fn as_str(&self) -> &str {
        // Digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Keyed {
    pub(crate) fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    pub(crate) fn hash(&self, text: &str) -> Digits {
        let tag = self.0.clone().chain_update(text).finalize().into_bytes();
        let mut digits = Digits([0; 64]);
        // As long as the tag: 64 digits of 32 bytes.
        let _ = hex::encode_to_slice(tag, &mut digits.0);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_other_implementation() {
        for length in [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000] {
            for key in [&b""[..], b"k", &[7; 32], &[9; 64], &[3; 65], &[1; 200]] {
                let text = "x".repeat(length);
                let theirs = aws_lc_rs::hmac::sign(
                    &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key),
                    text.as_bytes(),
                );
                assert_eq!(Keyed::new(key).hash(&text).as_str(), hex::encode(theirs));
            }
        }
    }
}
