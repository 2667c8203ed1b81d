//! Codes that sign a browser in once and only for minutes, for the links that are printed. Kept in memory, by digest: a
//! restart ends them.

use crate::secret_file;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a code holds.
pub(crate) const HOLDS: Duration = Duration::from_secs(600);
/// Codes at once; the oldest goes.
const MOST: usize = 32;

/// The codes that hold now.
#[derive(Debug, Default)]
pub(crate) struct Codes(Mutex<VecDeque<([u8; 32], Timestamp)>>);

impl Codes {
    /// A new code.
    pub(crate) fn issue(&self, now: Timestamp) -> Result<String, std::io::Error> {
        let code = secret_file::random()?;
        let until = now.saturating_add(HOLDS).unwrap_or(Timestamp::MAX);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > now);
        if codes.len() >= MOST {
            codes.pop_front();
        }
        codes.push_back((key(&code), until));
        Ok(code)
    }

    /// Whether a code holds; it does not after this.
    pub(crate) fn redeem(&self, code: &str, now: Timestamp) -> bool {
        let key = key(code);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > now);
        // Digests are compared, so that how long it takes tells nothing of a code.
        let before = codes.len();
        codes.retain(|(own, _)| *own != key);
        codes.len() < before
    }
}

fn key(code: &str) -> [u8; 32] {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(digest(&SHA256, code.as_bytes()).as_ref()) {
        *to = *from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_holds_once_and_for_minutes() {
        let codes = Codes::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let code = codes.issue(at(0)).unwrap();
        assert!(!codes.redeem("", at(1)));
        assert!(codes.redeem(&code, at(599)));
        assert!(!codes.redeem(&code, at(599)));
        let late = codes.issue(at(0)).unwrap();
        assert!(!codes.redeem(&late, at(600)));
        let first = codes.issue(at(0)).unwrap();
        for _ in 0..MOST {
            codes.issue(at(0)).unwrap();
        }
        assert!(!codes.redeem(&first, at(1)));
    }
}
