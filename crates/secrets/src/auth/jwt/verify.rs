//! Signatures of JSON web tokens. Only asymmetric algorithms; "none" and HMAC are not known here at all.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use x509_parser::prelude::FromDer;

/// A key tokens are verified with.
pub(crate) enum PublicKey {
    /// Modulus and exponent, big endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// Curve's size in bits and uncompressed point.
    Ec(usize, Vec<u8>),
    /// Ed25519.
    Ed(Vec<u8>),
}

impl PublicKey {
    /// From PEM: a public key or a certificate.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.trim().as_bytes()).ok()?;
        if block.label == "CERTIFICATE" {
            let (_, certificate) =
                x509_parser::certificate::X509Certificate::from_der(&block.contents).ok()?;
            return Self::from_spki(certificate.public_key());
        }
        let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&block.contents).ok()?;
        Self::from_spki(&spki)
    }

    fn from_spki(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Option<Self> {
        use x509_parser::public_key::PublicKey as Parsed;
        match spki.parsed().ok()? {
            Parsed::RSA(key) => Some(Self::Rsa(key.modulus.to_vec(), key.exponent.to_vec())),
            Parsed::EC(point) => {
                let bits = match point.data().len() {
                    65 => 256,
                    97 => 384,
                    133 => 521,
                    _ => return None,
                };
                Some(Self::Ec(bits, point.data().to_vec()))
            }
            Parsed::Unknown(bytes) if bytes.len() == 32 => Some(Self::Ed(bytes.to_vec())),
            _ => None,
        }
    }

    /// From a JSON web key.
    pub(crate) fn from_jwk(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        match text("kty")? {
            "RSA" => Some(Self::Rsa(bytes("n")?, bytes("e")?)),
            "EC" => {
                let bits = match text("crv")? {
                    "P-256" => 256,
                    "P-384" => 384,
                    "P-521" => 521,
                    _ => return None,
                };
                let length = bits / 8 + usize::from(bits % 8 > 0);
                let mut point = vec![4];
                for coordinate in [bytes("x")?, bytes("y")?] {
                    point.extend(std::iter::repeat_n(0, length.checked_sub(coordinate.len())?));
                    point.extend(coordinate);
                }
                Some(Self::Ec(bits, point))
            }
            "OKP" if text("crv")? == "Ed25519" => Some(Self::Ed(bytes("x")?)),
            _ => None,
        }
    }

    fn verifies(&self, algorithm: &str, message: &[u8], signed: &[u8]) -> bool {
        match self {
            Self::Rsa(n, e) => {
                let parameters = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                let n: Vec<u8> = n.iter().copied().skip_while(|byte| *byte == 0).collect();
                RsaPublicKeyComponents { n: &n, e }
                    .verify(parameters, message, signed)
                    .is_ok()
            }
            Self::Ec(bits, point) => {
                let verification: &'static dyn VerificationAlgorithm = match (algorithm, bits) {
                    ("ES256", 256) => &signature::ECDSA_P256_SHA256_FIXED,
                    ("ES384", 384) => &signature::ECDSA_P384_SHA384_FIXED,
                    ("ES512", 521) => &signature::ECDSA_P521_SHA512_FIXED,
                    _ => return false,
                };
                UnparsedPublicKey::new(verification, point)
                    .verify(message, signed)
                    .is_ok()
            }
            Self::Ed(key) => {
                algorithm == "EdDSA"
                    && UnparsedPublicKey::new(&signature::ED25519, key)
                        .verify(message, signed)
                        .is_ok()
            }
        }
    }
}

/// A token's claims, if one of the keys signed it.
pub(crate) fn verified(jwt: &str, keys: &[PublicKey], allowed: &[String]) -> Option<Value> {
    let (message, signed) = jwt.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let algorithm = header.get("alg")?.as_str()?;
    if !allowed.is_empty() && !allowed.iter().any(|name| name == algorithm) {
        return None;
    }
    let signed = URL_SAFE_NO_PAD.decode(signed).ok()?;
    keys.iter()
        .any(|key| key.verifies(algorithm, message.as_bytes(), &signed))
        .then(|| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok())?
}
