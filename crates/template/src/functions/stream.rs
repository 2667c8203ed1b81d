//! Random bytes from a seed: HMACs of each block's number, as many as are drawn.

use super::args::fail;
use super::hash::hmac;
use crate::engine::Result;

/// How much one rendering draws, as each byte takes its time.
const LIMIT: usize = 1 << 20;

/// What is drawn in one round. Not to be cloned: the same bytes would come twice.
pub(super) struct Stream {
    key: [u8; 32],
    block: [u8; 32],
    drawn: usize,
}

impl Stream {
    /// The bytes that a template gets of a seed.
    pub(super) fn new(seed: &str, template: &[u8; 32]) -> Self {
        Self {
            key: hmac(seed.as_bytes(), template),
            block: [0; 32],
            drawn: 0,
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        if self.drawn >= LIMIT {
            return fail("more than 1 MiB of randomness");
        }
        let (number, at) = (self.drawn / 32, self.drawn % 32);
        if at == 0 {
            self.block = hmac(&self.key, &number.to_le_bytes());
        }
        self.drawn += 1;
        Ok(self.block.get(at).copied().unwrap_or_default())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// A number below another, each as likely.
    pub(super) fn below(&mut self, limit: u64) -> Result<u64> {
        // As few bytes as hold it.
        let bits = u64::BITS - limit.saturating_sub(1).leading_zeros();
        let mask = u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(0);
        loop {
            let mut number = 0;
            for _ in 0..bits.div_ceil(8) {
                number = number << 8 | u64::from(self.byte()?);
            }
            if number & mask < limit {
                return Ok(number & mask);
            }
        }
    }
}
