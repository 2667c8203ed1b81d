//! The `H` of Jenkins' cron: a pseudo-random sequence seeded by the job's full name, so that each job keeps its own
//! times and all jobs together spread evenly. MD5 folded to 64 bits seeds the generator of `java.util.Random`.

use md5::{Digest, Md5};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

/// A source of numbers for `H` terms; every term draws one, in the order of the text.
#[derive(Debug, Clone)]
pub struct Hash(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Random(u64),
    Zero,
    #[cfg(test)]
    Last,
    #[cfg(test)]
    One,
}

impl Hash {
    /// The sequence of a job, by full name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let digest: [u8; 16] = Md5::digest(name.as_bytes()).into();
        let word = |half: &[u8]| half.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        let (low, high) = digest.split_at(8);
        // Folding byte i onto byte i % 8 is the same as xor of the two big-endian halves.
        Self(Kind::Random(((word(low) ^ word(high)) ^ MULTIPLIER) & MASK))
    }

    /// Always the lowest value: for texts without a job.
    #[must_use]
    pub const fn zero() -> Self {
        Self(Kind::Zero)
    }

    #[cfg(test)]
    pub(super) const fn last() -> Self {
        Self(Kind::Last)
    }

    #[cfg(test)]
    pub(super) const fn one() -> Self {
        Self(Kind::One)
    }

    /// A number from zero up to, not including, `bound`.
    pub fn next(&mut self, bound: u32) -> u32 {
        let state = match &mut self.0 {
            Kind::Random(state) => state,
            Kind::Zero => return 0,
            #[cfg(test)]
            Kind::Last => return bound - 1,
            #[cfg(test)]
            Kind::One => return 1,
        };
        if bound == 0 {
            return 0;
        }
        let mut bits = || {
            *state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
            *state >> 17
        };
        let bound = u64::from(bound);
        if bound.is_power_of_two() {
            return u32::try_from((bound * bits()) >> 31).unwrap_or_default();
        }
        loop {
            let drawn = bits();
            let value = drawn % bound;
            // Java draws again when the last, incomplete stretch was hit (its int overflows).
            if drawn - value + (bound - 1) < 1 << 31 {
                return u32::try_from(value).unwrap_or_default();
            }
        }
    }
}
