//! A transit key as stored, and the primitives for its kind.

use crate::core::barrier::random;
use crate::core::token::after;
use crate::{Error, Result};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::hkdf;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// One version's material, base64.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Version {
    /// Symmetric key, or PKCS#8; empty where only the public key was imported.
    pub(super) secret: String,
    /// For HMAC.
    pub(super) hmac: String,
    /// DER of the public key, or the raw one.
    pub(super) public: String,
    pub(super) created: Timestamp,
}

/// See the module.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TransitKey {
    pub(super) kind: String,
    pub(super) derived: bool,
    pub(super) convergent: bool,
    pub(super) exportable: bool,
    pub(super) allow_plaintext_backup: bool,
    pub(super) deletion_allowed: bool,
    pub(super) min_decryption: u32,
    pub(super) min_encryption: u32,
    pub(super) min_available: u32,
    pub(super) latest: u32,
    pub(super) auto_rotate: i64,
    /// Made elsewhere.
    #[serde(default)]
    pub(super) imported: bool,
    /// Whether an imported key may have versions made here.
    #[serde(default)]
    pub(super) allow_rotation: bool,
    pub(super) versions: BTreeMap<u32, Version>,
}

pub(super) fn broken<E>(_: E) -> Error {
    Error::Internal("a transit key cannot be made or used")
}

/// Kinds of keys.
pub(super) const KINDS: [&str; 11] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "hmac",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
];

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derived(secret: &[u8], context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0; length]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[context], Length(length))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(broken)?;
    Ok(out)
}

/// A private key as Go has it, which is what Vault derives from and exports.
pub(super) fn seed_and_public(pair: &Ed25519KeyPair) -> Result<Zeroizing<Vec<u8>>> {
    let seed = pair.seed().map_err(broken)?;
    let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(broken)?;
    let mut whole = Zeroizing::new(seed.as_ref().to_vec());
    whole.extend_from_slice(pair.public_key().as_ref());
    Ok(whole)
}

pub(super) fn ecdsa(kind: &str) -> &'static EcdsaSigningAlgorithm {
    match kind {
        "ecdsa-p384" => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        "ecdsa-p521" => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

impl Version {
    fn generate(kind: &str, now: Timestamp) -> Result<Self> {
        let (secret, public): (Zeroizing<Vec<u8>>, Vec<u8>) = match kind {
            "aes128-gcm96" => (random(16)?, Vec::new()),
            "aes256-gcm96" | "chacha20-poly1305" | "hmac" => (random(32)?, Vec::new()),
            "ed25519" => {
                let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(broken)?;
                (
                    Zeroizing::new(der.as_ref().to_vec()),
                    pair.public_key().as_ref().to_vec(),
                )
            }
            "rsa-2048" | "rsa-3072" | "rsa-4096" => {
                let size = match kind {
                    "rsa-3072" => KeySize::Rsa3072,
                    "rsa-4096" => KeySize::Rsa4096,
                    _ => KeySize::Rsa2048,
                };
                let pair = RsaKeyPair::generate(size).map_err(broken)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(broken)?;
                (
                    Zeroizing::new(der.as_ref().to_vec()),
                    pair.public_key().as_der().map_err(broken)?.as_ref().to_vec(),
                )
            }
            _ => {
                let der = EcdsaKeyPair::generate_pkcs8(ecdsa(kind), &SystemRandom::new()).map_err(broken)?;
                let pair = EcdsaKeyPair::from_pkcs8(ecdsa(kind), der.as_ref()).map_err(broken)?;
                let public = pair.public_key().as_der().map_err(broken)?.as_ref().to_vec();
                (Zeroizing::new(der.as_ref().to_vec()), public)
            }
        };
        Ok(Self {
            secret: STANDARD.encode(&*secret),
            hmac: STANDARD.encode(&*random(32)?),
            public: STANDARD.encode(public),
            created: now,
        })
    }

    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        if self.secret.is_empty() {
            return Err(Error::invalid("this version of the key has no private key here"));
        }
        STANDARD.decode(&self.secret).map(Zeroizing::new).map_err(broken)
    }

    pub(super) fn public_bytes(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.public).map_err(broken)
    }

    pub(super) fn hmac_key(&self, algorithm: hmac::Algorithm) -> Result<hmac::Key> {
        let bytes = STANDARD.decode(&self.hmac).map(Zeroizing::new).map_err(broken)?;
        Ok(hmac::Key::new(algorithm, &bytes))
    }
}

impl TransitKey {
    pub(super) fn empty(kind: &str) -> Result<Self> {
        if !KINDS.contains(&kind) {
            return Err(Error::invalid(format!(
                "unknown key type {kind}; known are {}",
                KINDS.join(", ")
            )));
        }
        Ok(Self {
            kind: kind.to_owned(),
            derived: false,
            convergent: false,
            exportable: false,
            allow_plaintext_backup: false,
            deletion_allowed: false,
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            latest: 0,
            auto_rotate: 0,
            imported: false,
            allow_rotation: false,
            versions: BTreeMap::new(),
        })
    }

    /// When the key gets another version by itself, if it ever does. Missed periods count once, as the time is that of the
    /// latest version.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let mine = self.auto_rotate > 0 && (!self.imported || self.allow_rotation);
        let latest = self.versions.get(&self.latest).filter(|_| mine)?;
        Some(after(latest.created, self.auto_rotate))
    }

    pub(super) fn rotate(&mut self, now: Timestamp) -> Result<()> {
        self.add(Version::generate(&self.kind, now)?);
        Ok(())
    }

    pub(super) fn add(&mut self, version: Version) {
        self.latest += 1;
        self.versions.insert(self.latest, version);
    }

    /// Whether a key of its own can be made for every context.
    pub(super) fn derives(&self) -> bool {
        self.is_symmetric() || self.kind == "ed25519"
    }

    /// The pair that signs, for a derived key that of the context.
    pub(super) fn ed25519(&self, version: &Version, context: &[u8]) -> Result<Ed25519KeyPair> {
        let pair = Ed25519KeyPair::from_pkcs8(&version.bytes()?).map_err(broken)?;
        if !self.derived {
            return Ok(pair);
        }
        let seed = derived(&seed_and_public(&pair)?, context, 32)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map_err(broken)
    }

    pub(super) fn is_symmetric(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "aes128-gcm96" | "aes256-gcm96" | "chacha20-poly1305"
        )
    }

    pub(super) fn encrypts(&self) -> bool {
        self.is_symmetric() || self.kind.starts_with("rsa-")
    }

    pub(super) fn signs(&self) -> bool {
        self.kind == "ed25519" || self.kind.starts_with("rsa-") || self.kind.starts_with("ecdsa-")
    }

    /// The version to use; zero means the newest.
    pub(super) fn pick(&self, asked: i64) -> Result<(u32, &Version)> {
        let number = match asked {
            0 => self.latest,
            asked => u32::try_from(asked).map_err(|_| Error::invalid("key version cannot be negative"))?,
        };
        if number < self.min_encryption {
            return Err(Error::invalid(
                "requested version for encryption is less than the minimum encryption key version",
            ));
        }
        let version = self.versions.get(&number).ok_or_else(|| {
            Error::invalid("requested version for encryption is higher than the latest key version")
        })?;
        Ok((number, version))
    }

    /// The version something was made with.
    pub(super) fn past(&self, number: u32) -> Result<&Version> {
        if number < self.min_decryption {
            return Err(Error::invalid(
                "ciphertext or signature version is disallowed by policy (too old)",
            ));
        }
        self.versions
            .get(&number)
            .ok_or_else(|| Error::invalid("invalid ciphertext: its version does not exist"))
    }

    fn algorithm(&self) -> &'static aead::Algorithm {
        match self.kind.as_str() {
            "aes128-gcm96" => &aead::AES_128_GCM,
            "chacha20-poly1305" => &aead::CHACHA20_POLY1305,
            _ => &aead::AES_256_GCM,
        }
    }

    fn symmetric(&self, version: &Version, context: &[u8]) -> Result<(LessSafeKey, Zeroizing<Vec<u8>>)> {
        let mut bytes = version.bytes()?;
        if self.derived {
            bytes = derived(&bytes, context, self.algorithm().key_len())?;
        }
        let key = UnboundKey::new(self.algorithm(), &bytes).map_err(broken)?;
        Ok((LessSafeKey::new(key), bytes))
    }

    pub(super) fn seal(
        &self,
        version: &Version,
        plain: &[u8],
        context: &[u8],
        associated: &[u8],
    ) -> Result<Vec<u8>> {
        if !self.is_symmetric() {
            let public = PublicEncryptingKey::from_der(&version.public_bytes()?).map_err(broken)?;
            let public = OaepPublicEncryptingKey::new(public).map_err(broken)?;
            let mut out = vec![0; public.ciphertext_size()];
            let length = public
                .encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut out, None)
                .map_err(|_| Error::invalid("the plaintext is too long for an RSA key: use datakey"))?
                .len();
            out.truncate(length);
            return Ok(out);
        }
        let (key, raw) = self.symmetric(version, context)?;
        let nonce: [u8; 12] = if self.convergent {
            // The same plaintext gives the same ciphertext, and different ones never share a nonce.
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &raw), plain);
            tag.as_ref()
                .get(..12)
                .and_then(|head| head.try_into().ok())
                .ok_or_else(|| broken(()))?
        } else {
            random(12)?.as_slice().try_into().map_err(broken)?
        };
        let mut out = nonce.to_vec();
        let mut body = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut body,
        )
        .map_err(broken)?;
        out.append(&mut body);
        Ok(out)
    }

    pub(super) fn open(
        &self,
        version: &Version,
        sealed: &[u8],
        context: &[u8],
        associated: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let wrong = || Error::invalid("invalid ciphertext: unable to decrypt");
        if !self.is_symmetric() {
            let private = PrivateDecryptingKey::from_pkcs8(&version.bytes()?).map_err(broken)?;
            let private = OaepPrivateDecryptingKey::new(private).map_err(broken)?;
            let mut out = Zeroizing::new(vec![0; private.min_output_size()]);
            let length = private
                .decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut out, None)
                .map_err(|_| wrong())?
                .len();
            out.truncate(length);
            return Ok(out);
        }
        let (nonce, body) = sealed.split_first_chunk::<12>().ok_or_else(wrong)?;
        let (key, _) = self.symmetric(version, context)?;
        let mut out = Zeroizing::new(body.to_vec());
        let length = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated),
                &mut out,
            )
            .map_err(|_| wrong())?
            .len();
        out.truncate(length);
        Ok(out)
    }
}
