//! Delays that differ between processes, so that a thousand pods do not come back in the same moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A number in 0..1 that differs from call to call; good for spreading, not for secrets.
pub(crate) fn unit() -> f64 {
    // Every RandomState is keyed anew, which is all that is needed here.
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
    let unit = bits as f64 / (1u64 << 53) as f64;
    unit
}

/// The pause before attempt `n` (from zero): `base` doubled each time up to `limit`, then a random half of it.
pub(crate) fn backoff(base: Duration, limit: Duration, n: u32) -> Duration {
    let full = base.saturating_mul(2u32.saturating_pow(n.min(16))).min(limit);
    full.mul_f64(0.5 + unit() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_within_bounds() {
        for n in 0..40 {
            let pause = backoff(Duration::from_millis(100), Duration::from_secs(5), n);
            assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_secs(5));
        }
        assert!((0..100).map(|_| unit()).any(|u| u > 0.5));
    }
}
