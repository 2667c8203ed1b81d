//! The seal on the audit chain's head: a signature by a key outside the ledger, and the newest sealed head outside it.
//!
//! The chain shows what was changed inside it, the signature that somebody without the key wrote its end, and the head
//! kept outside that the ledger was put back to an older, once rightly sealed, state. Who can write the directory of
//! the key can do all of it: the seal is against who has the ledger alone.

use crate::error::SealError;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SEED: usize = 32;

/// The end of the chain, signed. This is what an export ends with and what is kept outside the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedHead {
    /// The number of the last link.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// The signature over both, hexadecimal; Ed25519 over `herder audit head\nSEQ\nHASH\n`.
    pub seal: String,
    /// The public key, hexadecimal.
    pub key: String,
}

impl SealedHead {
    /// Whether the signature is right for the key it names.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        let (Ok(key), Ok(seal)) = (hex::decode(&self.key), hex::decode(&self.seal)) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message(self.seq, &self.hash).as_bytes(), &seal)
            .is_ok()
    }
}

fn message(seq: u64, hash: &str) -> String {
    format!("herder audit head\n{seq}\n{hash}\n")
}

/// Signs heads and keeps the newest one outside the ledger.
pub(crate) struct Sealer {
    pair: Ed25519KeyPair,
    head: PathBuf,
    /// The newest head that was sealed here; held while the chain is extended.
    pub(crate) newest: tokio::sync::Mutex<Option<SealedHead>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.head.display())
    }
}

impl Sealer {
    /// With the key in a file, made if there is none, and the head in another.
    pub(crate) fn open(key: &Path, head: &Path) -> Result<Arc<Self>, SealError> {
        let fail = |path: &Path| {
            let path = path.display().to_string();
            move |source| SealError::File { path, source }
        };
        let seed = match std::fs::read_to_string(key) {
            Ok(text) => hex::decode(text.trim()).ok().filter(|seed| seed.len() == SEED),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = vec![0; SEED];
                aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), &mut seed)
                    .map_err(|_| SealError::Random)?;
                write(key, hex::encode(&seed).as_bytes()).map_err(fail(key))?;
                Some(seed)
            }
            Err(error) => return Err(fail(key)(error)),
        };
        let bad = || SealError::Key(key.display().to_string());
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed.ok_or_else(bad)?).map_err(|_| bad())?;
        private(key).map_err(fail(key))?;
        let newest = kept(head)?;
        Ok(Arc::new(Self {
            pair,
            head: head.to_owned(),
            newest: tokio::sync::Mutex::new(newest),
        }))
    }

    /// The public key.
    pub(crate) fn key(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// Seals a head.
    pub(crate) fn seal(&self, seq: u64, hash: &str) -> SealedHead {
        SealedHead {
            seq,
            hash: hash.to_owned(),
            seal: hex::encode(self.pair.sign(message(seq, hash).as_bytes()).as_ref()),
            key: self.key(),
        }
    }

    /// Whether this key sealed it.
    pub(crate) fn is_ours(&self, head: &SealedHead) -> bool {
        head.key == self.key() && head.is_genuine()
    }

    /// Keeps a head outside the ledger. Blocks for as long as the disk takes.
    pub(crate) fn keep(&self, head: &SealedHead) -> Result<(), SealError> {
        let bytes = serde_json::to_vec(head).unwrap_or_default();
        write(&self.head, &bytes).map_err(|source| SealError::File {
            path: self.head.display().to_string(),
            source,
        })
    }
}

/// Writes a file for its owner alone, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let staged = path.with_extension("tmp");
    // One left behind by a crash may have been made with other rights.
    let _gone = std::fs::remove_file(&staged);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&staged, path)?;
    sync_directory(path)
}

/// Syncs the directory that a file is in: only then its name is on disk.
pub(crate) fn sync_directory(file: &Path) -> std::io::Result<()> {
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// How many entries the head outside says the chain has; none if there is no such file.
pub(crate) fn sealed_entries(head: &Path) -> Result<Option<u64>, SealError> {
    Ok(kept(head)?.map(|head| head.seq))
}

/// The head outside.
fn kept(head: &Path) -> Result<Option<SealedHead>, SealError> {
    match std::fs::read(head) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| SealError::Head {
                path: head.display().to_string(),
            }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SealError::File {
            path: head.display().to_string(),
            source,
        }),
    }
}

/// Makes a file its owner's alone.
pub(crate) fn private(path: &Path) -> std::io::Result<()> {
    let now = std::fs::metadata(path)?.permissions().mode() & 0o7777;
    if now == 0o600 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}
