//! Shamir's secret sharing over GF(2^8), in the share format Vault uses: one byte per secret byte, then the x
//! coordinate. Multiplication runs in constant time; no tables indexed by secrets.

use super::barrier::random;
use crate::{Error, Result};
use zeroize::Zeroizing;

fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0u8;
    for _ in 0..8 {
        product ^= a & (b & 1).wrapping_neg();
        let carry = (a >> 7).wrapping_neg();
        a = (a << 1) ^ (0x1b & carry);
        b >>= 1;
    }
    product
}

/// a^254 = 1/a; zero for zero.
fn invert(a: u8) -> u8 {
    let mut result = 1;
    let mut power = a;
    for bit in 1..8 {
        power = multiply(power, power);
        result = multiply(result, power);
        debug_assert!(bit < 8);
    }
    result
}

/// Splits a secret into `shares` parts of which any `threshold` bring it back.
pub(crate) fn split(secret: &[u8], shares: usize, threshold: usize) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    if !(2..=255).contains(&threshold) || !(threshold..=255).contains(&shares) || secret.is_empty() {
        return Err(Error::invalid(
            "need 2 to 255 shares and a threshold between 2 and their number",
        ));
    }
    // Distinct non-zero x coordinates in random order (Fisher-Yates with rejection-free 16 bit draws).
    let mut xs: Vec<u8> = (1..=255).collect();
    let draws = random(512)?;
    for (index, draw) in draws.chunks_exact(2).enumerate().take(254) {
        let left = 255 - index;
        let pick = usize::from(u16::from_be_bytes([
            draw.first().copied().unwrap_or_default(),
            draw.get(1).copied().unwrap_or_default(),
        ])) % left;
        xs.swap(index, index + pick);
    }
    let mut parts: Vec<Zeroizing<Vec<u8>>> = xs
        .iter()
        .take(shares)
        .map(|_| Zeroizing::new(Vec::with_capacity(secret.len() + 1)))
        .collect();
    for byte in secret {
        let coefficients = random(threshold - 1)?;
        for (part, x) in parts.iter_mut().zip(&xs) {
            let y = coefficients
                .iter()
                .fold(0, |sum, coefficient| multiply(sum ^ coefficient, *x));
            part.push(y ^ byte);
        }
    }
    for (part, x) in parts.iter_mut().zip(&xs) {
        part.push(*x);
    }
    Ok(parts)
}

/// Puts shares together. Wrong or too few shares give a wrong secret, never a panic; unequal lengths and duplicates are
/// refused.
pub(crate) fn combine(shares: &[Zeroizing<Vec<u8>>]) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = |text: &str| Error::invalid(format!("the unseal keys do not fit together: {text}"));
    let length = shares.first().map_or(0, |share| share.len());
    if shares.len() < 2 || length < 2 || shares.iter().any(|share| share.len() != length) {
        return Err(wrong("at least two of the same length are needed"));
    }
    let xs: Vec<u8> = shares.iter().filter_map(|share| share.last().copied()).collect();
    for (index, x) in xs.iter().enumerate() {
        if *x == 0 || xs.iter().skip(index + 1).any(|other| other == x) {
            return Err(wrong("the same key was given twice"));
        }
    }
    let weights: Vec<u8> = xs
        .iter()
        .map(|x| {
            xs.iter().filter(|other| *other != x).fold(1, |product, other| {
                multiply(product, multiply(*other, invert(*other ^ *x)))
            })
        })
        .collect();
    let mut secret = Zeroizing::new(vec![0; length - 1]);
    for (share, weight) in shares.iter().zip(&weights) {
        for (sum, y) in secret.iter_mut().zip(share.iter()) {
            *sum ^= multiply(*y, *weight);
        }
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn field() {
        assert_eq!(multiply(3, 7), 9);
        assert_eq!(multiply(0x53, 0xca), 1);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
        assert_eq!(invert(0), 0);
    }

    #[test]
    fn refuses_nonsense() {
        for (shares, threshold) in [(1, 2), (2, 1), (256, 3), (2, 3), (0, 0)] {
            assert!(split(b"s", shares, threshold).is_err(), "{shares} {threshold}");
        }
        assert!(split(b"", 3, 2).is_err());
        let parts = split(b"secret", 3, 2).unwrap();
        assert!(combine(&parts[..1]).is_err());
        assert!(combine(&[parts[0].clone(), parts[0].clone()]).is_err());
        assert!(combine(&[parts[0].clone(), Zeroizing::new(vec![1])]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_threshold_many_bring_it_back(secret in proptest::collection::vec(any::<u8>(), 1..40), threshold in 2usize..6, more in 0usize..5, skip in 0usize..5) {
            let parts = split(&secret, threshold + more, threshold).unwrap();
            let from = skip.min(more);
            prop_assert_eq!(&**combine(&parts[from..from + threshold]).unwrap(), &secret);
        }
    }
}
