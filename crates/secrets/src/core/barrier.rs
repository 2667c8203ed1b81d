//! The barrier: everything stored is AES-256-GCM sealed with the storage path as associated data, under a keyring whose
//! terms are kept so that old entries still open after a rotation. Owns keys; never writes storage itself.

use crate::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::{Zeroize, Zeroizing};

/// Version of the format: term (4 bytes), this byte, nonce (12), ciphertext and tag.
const FORMAT: u8 = 2;
const HEADER: usize = 4 + 1 + NONCE_LEN;
/// 90 % of 2^32: the number of random nonces after which one key should not be used any more.
pub(crate) const MOST_ENCRYPTIONS: u64 = 3_865_470_566;

/// 32 bytes that are wiped.
pub(crate) type Key = Zeroizing<Vec<u8>>;

/// Random bytes from the operating system's generator.
pub(crate) fn random(length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Internal("the random number generator failed"))?;
    Ok(bytes)
}

#[derive(Serialize, Deserialize)]
struct Stored {
    active: u32,
    terms: BTreeMap<u32, StoredTerm>,
}

#[derive(Serialize, Deserialize, Zeroize)]
struct StoredTerm {
    key: String,
    #[zeroize(skip)]
    installed: jiff::Timestamp,
    #[serde(default)]
    encryptions: u64,
}

struct Term {
    raw: Key,
    cipher: LessSafeKey,
    installed: jiff::Timestamp,
    before: u64,
}

/// The data keys by term. Dropping it wipes them.
pub(crate) struct Keyring {
    terms: BTreeMap<u32, Term>,
    active: u32,
    encryptions: AtomicU64,
    /// How many of them the stored ring knows of.
    noted: AtomicU64,
}

/// How often the count of encryptions is stored: a crash forgets at most so many, and the limit has room for thousands
/// of crashes.
const NOTE_EVERY: u64 = 100_000;

/// What is to be done about the keyring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// Nothing.
    None,
    /// Store its count.
    Note,
    /// Make a new key: random nonces of the present one would begin to repeat.
    Rotate,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

fn cipher(key: &[u8]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| Error::Internal("a barrier key has the wrong length"))
}

impl Keyring {
    /// A ring with one new key.
    pub(crate) fn generate(now: jiff::Timestamp) -> Result<Self> {
        let mut ring = Self {
            terms: BTreeMap::new(),
            active: 0,
            encryptions: AtomicU64::new(0),
            noted: AtomicU64::new(0),
        };
        ring.rotate(now)?;
        Ok(ring)
    }

    /// The ring with a new active key.
    pub(crate) fn rotated(&self, now: jiff::Timestamp) -> Result<Self> {
        let mut next = Self::read(&self.write()?)?;
        next.rotate(now)?;
        Ok(next)
    }

    fn rotate(&mut self, now: jiff::Timestamp) -> Result<()> {
        let raw = random(32)?;
        let cipher = cipher(&raw)?;
        self.active += 1;
        self.encryptions = AtomicU64::new(0);
        self.noted = AtomicU64::new(0);
        self.terms.insert(
            self.active,
            Term {
                raw,
                cipher,
                installed: now,
                before: 0,
            },
        );
        Ok(())
    }

    /// As JSON, to be sealed with the root key.
    pub(crate) fn write(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut stored = Stored {
            active: self.active,
            terms: self
                .terms
                .iter()
                .map(|(term, key)| {
                    let encryptions = key.before
                        + if *term == self.active {
                            self.encryptions.load(Ordering::Relaxed)
                        } else {
                            0
                        };
                    (
                        *term,
                        StoredTerm {
                            key: STANDARD.encode(&key.raw),
                            installed: key.installed,
                            encryptions,
                        },
                    )
                })
                .collect(),
        };
        let bytes =
            serde_json::to_vec(&stored).map_err(|_| Error::Internal("the keyring could not be written"))?;
        stored.terms.values_mut().for_each(Zeroize::zeroize);
        Ok(Zeroizing::new(bytes))
    }

    /// From JSON.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let corrupt = || Error::Corrupt("core/keyring".to_owned());
        let mut stored: Stored = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
        let mut terms = BTreeMap::new();
        for (number, term) in &mut stored.terms {
            let raw = Zeroizing::new(STANDARD.decode(&term.key).map_err(|_| corrupt())?);
            let cipher = cipher(&raw)?;
            terms.insert(
                *number,
                Term {
                    raw,
                    cipher,
                    installed: term.installed,
                    before: term.encryptions,
                },
            );
            term.zeroize();
        }
        if !terms.contains_key(&stored.active) {
            return Err(corrupt());
        }
        Ok(Self {
            terms,
            active: stored.active,
            encryptions: AtomicU64::new(0),
            noted: AtomicU64::new(0),
        })
    }

    /// Seals a value for a path.
    pub(crate) fn seal(&self, path: &str, value: &[u8]) -> Result<Vec<u8>> {
        let term = self.terms.get(&self.active).ok_or(Error::Sealed)?;
        self.encryptions.fetch_add(1, Ordering::Relaxed);
        let mut out = Vec::with_capacity(HEADER + value.len() + 16);
        out.extend_from_slice(&self.active.to_be_bytes());
        seal_into(&term.cipher, path, value, out)
    }

    /// Opens what was sealed for the same path.
    pub(crate) fn open(&self, path: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let corrupt = || Error::Corrupt(path.to_owned());
        let (term, rest) = sealed.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let term = self.terms.get(&u32::from_be_bytes(*term)).ok_or_else(corrupt)?;
        open_from(&term.cipher, path, rest)
    }

    /// See [`Upkeep`].
    pub(crate) fn upkeep(&self) -> Upkeep {
        let (_, _, all) = self.status();
        if all >= MOST_ENCRYPTIONS {
            return Upkeep::Rotate;
        }
        let now = self.encryptions.load(Ordering::Relaxed);
        if now.saturating_sub(self.noted.load(Ordering::Relaxed)) < NOTE_EVERY {
            return Upkeep::None;
        }
        self.noted.store(now, Ordering::Relaxed);
        Upkeep::Note
    }

    /// Active term, when it was installed, how often it was used.
    pub(crate) fn status(&self) -> (u32, Option<jiff::Timestamp>, u64) {
        let term = self.terms.get(&self.active);
        (
            self.active,
            term.map(|term| term.installed),
            term.map_or(0, |term| term.before) + self.encryptions.load(Ordering::Relaxed),
        )
    }
}

fn seal_into(cipher: &LessSafeKey, path: &str, value: &[u8], mut out: Vec<u8>) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Error::Internal("the random number generator failed"))?;
    out.push(FORMAT);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(value);
    let tag = cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(path.as_bytes()),
            out.get_mut(start..).unwrap_or_default(),
        )
        .map_err(|_| Error::Internal("encryption failed"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

fn open_from(cipher: &LessSafeKey, path: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let corrupt = || Error::Corrupt(path.to_owned());
    let (format, rest) = sealed.split_first().ok_or_else(corrupt)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(corrupt)?;
    if *format != FORMAT {
        return Err(corrupt());
    }
    let mut bytes = Zeroizing::new(body.to_vec());
    let length = cipher
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(path.as_bytes()),
            &mut bytes,
        )
        .map_err(|_| corrupt())?
        .len();
    bytes.truncate(length);
    Ok(bytes)
}

/// Seals with a single key: the root key under the unseal key, the keyring under the root key.
pub(crate) fn wrap(key: &[u8], path: &str, value: &[u8]) -> Result<Vec<u8>> {
    seal_into(&cipher(key)?, path, value, Vec::new())
}

/// The reverse of [`wrap`].
pub(crate) fn unwrap(key: &[u8], path: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    open_from(&cipher(key)?, path, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_before_its_nonces_repeat() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let ring = Keyring::generate(now).unwrap();
        ring.seal("a", b"b").unwrap();
        assert_eq!(ring.upkeep(), Upkeep::None);
        ring.encryptions.fetch_add(NOTE_EVERY, Ordering::Relaxed);
        assert_eq!(ring.upkeep(), Upkeep::Note);
        assert_eq!(ring.upkeep(), Upkeep::None);
        // The count survives a restart, and decides then, too.
        ring.encryptions.store(MOST_ENCRYPTIONS - 1, Ordering::Relaxed);
        let ring = Keyring::read(&ring.write().unwrap()).unwrap();
        assert_ne!(ring.upkeep(), Upkeep::Rotate);
        ring.seal("a", b"b").unwrap();
        assert_eq!(ring.upkeep(), Upkeep::Rotate);
        assert_eq!(ring.rotated(now).unwrap().upkeep(), Upkeep::None);
    }

    #[test]
    fn confidential_bound_to_its_path_and_readable_after_rotation() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let ring = Keyring::generate(now).unwrap();
        let sealed = ring.seal("a/b", b"value").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"value"));
        assert_ne!(sealed, ring.seal("a/b", b"value").unwrap(), "nonces are unique");
        assert_eq!(&**ring.open("a/b", &sealed).unwrap(), b"value");
        assert!(
            matches!(ring.open("a/c", &sealed), Err(Error::Corrupt(_))),
            "moved"
        );
        for position in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[position] ^= 1;
            assert!(ring.open("a/b", &bad).is_err(), "flipped bit at {position}");
            assert!(
                ring.open("a/b", &sealed[..position]).is_err(),
                "cut at {position}"
            );
        }
        let next = ring.rotated(now).unwrap();
        assert_eq!(next.status().0, 2);
        assert_eq!(&**next.open("a/b", &sealed).unwrap(), b"value");
        let again = Keyring::read(&next.write().unwrap()).unwrap();
        let newer = next.seal("x", b"y").unwrap();
        assert_eq!(&**again.open("x", &newer).unwrap(), b"y");
        assert!(ring.open("x", &newer).is_err(), "the old ring lacks the new term");
    }
}
