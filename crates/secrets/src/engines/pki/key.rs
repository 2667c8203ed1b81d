//! Private keys: making, storing, and showing them in the format asked for.

use super::der;
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// A key as stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bits: i64,
    /// Base64 of PKCS#8.
    #[serde(with = "wiped")]
    pub(crate) pkcs8: Zeroizing<String>,
}

/// A text that is wiped, as a plain one in JSON.
mod wiped {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

fn failed(error: &rcgen::Error) -> Error {
    Error::invalid(format!("the key cannot be made or used: {error}"))
}

/// The signature algorithm for a kind and size of key.
fn algorithm(kind: &str, bits: i64) -> Result<&'static SignatureAlgorithm> {
    Ok(match (kind, bits) {
        ("rsa", _) => &rcgen::PKCS_RSA_SHA256,
        ("ec", 0 | 256) => &rcgen::PKCS_ECDSA_P256_SHA256,
        ("ec", 384) => &rcgen::PKCS_ECDSA_P384_SHA384,
        ("ec", 521) => &rcgen::PKCS_ECDSA_P521_SHA512,
        ("ed25519", _) => &rcgen::PKCS_ED25519,
        ("ec", _) => {
            return Err(Error::invalid(format!(
                "unsupported bit length for EC key: {bits}; write 256, 384 or 521"
            )));
        }
        _ => {
            return Err(Error::invalid(format!(
                "unknown key type: {kind}; write rsa, ec or ed25519"
            )));
        }
    })
}

impl Key {
    /// Makes a key.
    pub(crate) fn generate(kind: &str, bits: i64, name: String) -> Result<(Self, KeyPair)> {
        let kind = if kind.is_empty() || kind == "any" {
            "rsa"
        } else {
            kind
        };
        let algorithm = algorithm(kind, bits)?;
        let pair = if kind == "rsa" {
            let size = match bits {
                0 | 2048 => RsaKeySize::_2048,
                3072 => RsaKeySize::_3072,
                4096 => RsaKeySize::_4096,
                _ => {
                    return Err(Error::invalid(format!(
                        "unsupported bit length for RSA key: {bits}; write 2048, 3072 or 4096"
                    )));
                }
            };
            KeyPair::generate_rsa_for(algorithm, size)
        } else {
            KeyPair::generate_for(algorithm)
        }
        .map_err(|error| failed(&error))?;
        let bits = match (kind, bits) {
            ("rsa", 0) => 2048,
            ("ec", 0) => 256,
            ("ed25519", _) => 0,
            (_, bits) => bits,
        };
        Ok((Self::of(&pair, kind, bits, name), pair))
    }

    fn of(pair: &KeyPair, kind: &str, bits: i64, name: String) -> Self {
        let der = Zeroizing::new(pair.serialize_der());
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            name,
            kind: kind.to_owned(),
            bits,
            pkcs8: Zeroizing::new(STANDARD.encode(&*der)),
        }
    }

    /// Takes over a key given as PEM.
    pub(crate) fn import(label: &str, bytes: &[u8], name: String) -> Result<(Self, KeyPair)> {
        let pkcs8 = match label {
            "PRIVATE KEY" => Zeroizing::new(bytes.to_vec()),
            "RSA PRIVATE KEY" => der::pkcs8_from_pkcs1(bytes),
            "EC PRIVATE KEY" => der::pkcs8_from_sec1(bytes)
                .ok_or_else(|| Error::invalid("the EC key does not name its curve"))?,
            other => return Err(Error::invalid(format!("a PEM block {other:?} is no private key"))),
        };
        let pair = KeyPair::try_from(pkcs8.as_slice()).map_err(|error| failed(&error))?;
        let used = pair.algorithm();
        let (kind, bits) = if used == &rcgen::PKCS_ECDSA_P256_SHA256 {
            ("ec", 256)
        } else if used == &rcgen::PKCS_ECDSA_P384_SHA384 {
            ("ec", 384)
        } else if used == &rcgen::PKCS_ECDSA_P521_SHA512 {
            ("ec", 521)
        } else if used == &rcgen::PKCS_ED25519 {
            ("ed25519", 0)
        } else {
            ("rsa", 2048)
        };
        Ok((Self::of(&pair, kind, bits, name), pair))
    }

    /// The key, ready to sign.
    pub(crate) fn pair(&self) -> Result<KeyPair> {
        let der = Zeroizing::new(
            STANDARD
                .decode(self.pkcs8.as_bytes())
                .map_err(|_| Error::Internal("a stored key is damaged"))?,
        );
        KeyPair::from_pkcs8_der_and_sign_algo(&der.as_slice().into(), algorithm(&self.kind, self.bits)?)
            .map_err(|error| failed(&error))
    }

    /// Puts `private_key` and `private_key_type` into an answer, in the asked format.
    pub(crate) fn show(
        &self,
        format: &str,
        private_format: &str,
        into: &mut Map<String, Value>,
    ) -> Result<()> {
        let pkcs8 = Zeroizing::new(
            STANDARD
                .decode(self.pkcs8.as_bytes())
                .map_err(|_| Error::Internal("a stored key is damaged"))?,
        );
        let broken = || Error::Internal("a stored key is damaged");
        let (label, der) = match (private_format, self.kind.as_str()) {
            ("pkcs8", _) | (_, "ed25519") => ("PRIVATE KEY", pkcs8),
            (_, "ec") => ("EC PRIVATE KEY", der::inner_key(&pkcs8, true).ok_or_else(broken)?),
            _ => (
                "RSA PRIVATE KEY",
                der::inner_key(&pkcs8, false).ok_or_else(broken)?,
            ),
        };
        let text = if format == "der" {
            STANDARD.encode(&*der)
        } else {
            der::pem(label, &der)
        };
        into.insert("private_key".to_owned(), json!(text));
        into.insert("private_key_type".to_owned(), json!(self.kind));
        Ok(())
    }
}
