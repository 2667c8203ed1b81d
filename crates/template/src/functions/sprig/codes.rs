//! Digests, and base 32 and 64.

use super::super::Pure;
use super::super::args::bytes;
use super::super::hash::hex;
use crate::engine::Value;
use crate::value::string;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_sha1sum", |a| {
        Ok(string(hex(&sha1(&bytes("sha1sum", a, 0)?))))
    }),
    ("sprig_sha256sum", |a| {
        Ok(string(hex(&Sha256::digest(bytes("sha256sum", a, 0)?))))
    }),
    ("sprig_sha512sum", |a| {
        Ok(string(hex(&Sha512::digest(bytes("sha512sum", a, 0)?))))
    }),
    ("sprig_adler32sum", |a| {
        let (x, y) = bytes("adler32sum", a, 0)?
            .iter()
            .fold((1u32, 0u32), |(x, y), byte| {
                let x = (x + u32::from(*byte)) % 65521;
                (x, (y + x) % 65521)
            });
        Ok(string((y << 16 | x).to_string()))
    }),
    ("sprig_b64enc", |a| {
        Ok(string(STANDARD.encode(bytes("b64enc", a, 0)?)))
    }),
    ("sprig_b64dec", |a| {
        let decoded = super::super::encode::go_base64(&bytes("b64dec", a, 0)?, false);
        // The error is what is printed, as upstream has it.
        Ok(match decoded {
            Ok(decoded) => Value::from_bytes(&decoded),
            Err(at) => string(format!("illegal base64 data at input byte {at}")),
        })
    }),
    ("sprig_b32enc", |a| Ok(string(base32(&bytes("b32enc", a, 0)?)))),
    ("sprig_b32dec", |a| {
        Ok(match from_base32(&bytes("b32dec", a, 0)?) {
            Ok(decoded) => Value::from_bytes(&decoded),
            Err(at) => string(format!("illegal base32 data at input byte {at}")),
        })
    }),
];

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(data: &[u8]) -> String {
    let mut out = String::new();
    for chunk in data.chunks(5) {
        let bits = (0..5).fold(0u64, |bits, i| {
            bits << 8 | u64::from(chunk.get(i).copied().unwrap_or(0))
        });
        let used = (chunk.len() * 8).div_ceil(5);
        for i in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
            out.push(match ALPHABET.get(index) {
                Some(byte) if i < used => char::from(*byte),
                _ => '=',
            });
        }
    }
    out
}

/// The bytes, or the place of the first character that does not belong.
fn from_base32(text: &[u8]) -> std::result::Result<Vec<u8>, usize> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    let mut out = Vec::new();
    let blocks = text.chunks(8);
    let count = blocks.len();
    for (block, chunk) in blocks.enumerate() {
        let start = block * 8;
        let digits = chunk.iter().position(|b| *b == b'=').unwrap_or(chunk.len());
        let mut bits = 0u64;
        for (i, byte) in chunk.iter().take(digits).enumerate() {
            let Some(value) = ALPHABET.iter().position(|b| b == byte) else {
                return Err(start + i);
            };
            bits |= u64::try_from(value).unwrap_or(0) << (35 - 5 * i);
        }
        if chunk.len() < 8 {
            return Err(start + chunk.len());
        }
        let padded = chunk.iter().skip(digits).all(|b| *b == b'=');
        if digits < 8 && (!padded || block + 1 < count) || matches!(digits, 0 | 1 | 3 | 6) {
            return Err(start + digits);
        }
        out.extend(bits.to_be_bytes().iter().skip(3).take(digits * 5 / 8));
    }
    Ok(out)
}

/// SHA-1 (RFC 3174), for `sha1sum` only: a checksum, no protection. Thirty lines rather than a dependency.
fn sha1(message: &[u8]) -> Vec<u8> {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(message.len() as u64).wrapping_mul(8).to_be_bytes());
    for chunk in padded.chunks_exact(64) {
        let mut words: Vec<u32> = chunk
            .chunks_exact(4)
            .map(|b| b.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        for i in 16..80usize {
            let back = |n: usize| words.get(i - n).copied().unwrap_or(0);
            words.push((back(3) ^ back(8) ^ back(14) ^ back(16)).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (mixed, constant) = match i / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(mixed)
                .wrapping_add(e)
                .wrapping_add(constant)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}
