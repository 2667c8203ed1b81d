//! Digests.

use super::Pure;
use super::args::{bytes, count};
use crate::value::string;
use sha2::{Digest, Sha256};

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sha256Hex", |a| {
        count("sha256Hex", a, 1..=1)?;
        Ok(string(hex(&Sha256::digest(bytes("sha256Hex", a, 0)?))))
    }),
    ("hmacSHA256Hex", |a| {
        count("hmacSHA256Hex", a, 2..=2)?;
        let (message, key) = (bytes("hmacSHA256Hex", a, 0)?, bytes("hmacSHA256Hex", a, 1)?);
        Ok(string(hex(&hmac(&key, &message))))
    }),
    ("md5sum", |a| {
        count("md5sum", a, 1..=1)?;
        Ok(string(hex(&md5(&bytes("md5sum", a, 0)?))))
    }),
];

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// HMAC-SHA256.
pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    let digest = Sha256::digest(key);
    let key = if key.len() > block.len() { &digest[..] } else { key };
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    let inner = Sha256::new()
        .chain_update(block.map(|b| b ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(block.map(|b| b ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

/// MD5 (RFC 1321), for `md5sum` only: a checksum, no protection. Thirty lines rather than a dependency.
fn md5(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(message.len() as u64).wrapping_mul(8).to_le_bytes());
    for chunk in padded.chunks_exact(64) {
        let words: Vec<u32> = chunk
            .chunks_exact(4)
            .map(|b| {
                b.iter()
                    .rev()
                    .fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            })
            .collect();
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64usize {
            let (mixed, word) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "the constants are defined as the whole part of 2^32 |sin(i+1)|"
            )]
            let constant = (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let shift = SHIFTS
                .get(i / 16)
                .and_then(|row| row.get(i % 4))
                .copied()
                .unwrap_or(0);
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(constant)
                .wrapping_add(words.get(word).copied().unwrap_or(0));
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut out = [0u8; 16];
    for (slot, byte) in out
        .iter_mut()
        .zip(state.iter().flat_map(|word| word.to_le_bytes()))
    {
        *slot = byte;
    }
    out
}
