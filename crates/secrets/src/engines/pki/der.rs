//! Just enough DER to turn PKCS#8 keys into the older forms clients expect, and PEM. Pure; owns no keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const CONTEXT_0: u8 = 0xa0;

/// One value: its tag, its content, its whole encoding and what follows.
struct Tlv<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn read(bytes: &[u8]) -> Option<Tlv<'_>> {
    let (tag, after) = bytes.split_first()?;
    let (first, after) = after.split_first()?;
    let (length, after) = if *first < 0x80 {
        (usize::from(*first), after)
    } else {
        let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (
            digits
                .iter()
                .fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)),
            after,
        )
    };
    let (content, rest) = after.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some(Tlv {
        tag: *tag,
        content,
        whole,
        rest,
    })
}

fn write(tag: u8, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + 6));
    out.push(tag);
    if let Ok(short @ 0..0x80) = u8::try_from(content.len()) {
        out.push(short);
    } else {
        let digits: Vec<u8> = content
            .len()
            .to_be_bytes()
            .into_iter()
            .skip_while(|digit| *digit == 0)
            .collect();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend_from_slice(&digits);
    }
    out.extend_from_slice(content);
    out
}

/// The PKCS#1 or SEC 1 key inside a PKCS#8 one.
pub(crate) fn inner_key(pkcs8: &[u8], ec: bool) -> Option<Zeroizing<Vec<u8>>> {
    let outer = read(pkcs8).filter(|tlv| tlv.tag == SEQUENCE)?;
    let version = read(outer.content).filter(|tlv| tlv.tag == INTEGER)?;
    let algorithm = read(version.rest).filter(|tlv| tlv.tag == SEQUENCE)?;
    let key = read(algorithm.rest).filter(|tlv| tlv.tag == OCTETS)?;
    if !ec {
        return Some(Zeroizing::new(key.content.to_vec()));
    }
    // SEC 1 alone must name the curve, which PKCS#8 keeps outside.
    let curve = read(read(algorithm.content)?.rest)?.whole;
    let body = read(key.content).filter(|tlv| tlv.tag == SEQUENCE)?;
    let version = read(body.content)?;
    let secret = read(version.rest)?;
    let mut parts = Zeroizing::new(Vec::new());
    parts.extend_from_slice(version.whole);
    parts.extend_from_slice(secret.whole);
    parts.extend_from_slice(&write(CONTEXT_0, curve));
    let mut rest = secret.rest;
    while let Some(tlv) = read(rest) {
        if tlv.tag != CONTEXT_0 {
            parts.extend_from_slice(tlv.whole);
        }
        rest = tlv.rest;
    }
    Some(write(SEQUENCE, &parts))
}

/// PKCS#8 around a PKCS#1 key.
pub(crate) fn pkcs8_from_pkcs1(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    const RSA: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let mut parts = Zeroizing::new(vec![INTEGER, 1, 0]);
    parts.extend_from_slice(&RSA);
    parts.extend_from_slice(&write(OCTETS, pkcs1));
    write(SEQUENCE, &parts)
}

/// PKCS#8 around a SEC 1 key that names its curve.
pub(crate) fn pkcs8_from_sec1(sec1: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const EC: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let body = read(sec1).filter(|tlv| tlv.tag == SEQUENCE)?;
    let secret = read(read(body.content)?.rest)?;
    let curve = read(secret.rest).filter(|tlv| tlv.tag == CONTEXT_0)?;
    let mut algorithm = EC.to_vec();
    algorithm.extend_from_slice(curve.content);
    let mut parts = Zeroizing::new(vec![INTEGER, 1, 0]);
    parts.extend_from_slice(&write(SEQUENCE, &algorithm));
    parts.extend_from_slice(&write(OCTETS, sec1));
    Some(write(SEQUENCE, &parts))
}

/// The content of an authority information access extension; `None` without addresses.
pub(crate) fn authority_access(ocsp: &[String], issuing: &[String]) -> Option<Vec<u8>> {
    const OCSP: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
    const ISSUERS: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
    const URI: u8 = 0x86;
    let mut parts = Vec::new();
    for (oid, urls) in [(OCSP, ocsp), (ISSUERS, issuing)] {
        for url in urls {
            let mut part = oid.to_vec();
            part.extend_from_slice(&write(URI, url.as_bytes()));
            parts.extend_from_slice(&write(SEQUENCE, &part));
        }
    }
    (!parts.is_empty()).then(|| write(SEQUENCE, &parts).to_vec())
}

/// PEM without a final line end, as Vault gives it.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----"));
    out
}

/// Every PEM block: label and bytes.
pub(crate) fn read_pem(text: &str) -> Vec<(String, Zeroizing<Vec<u8>>)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, after)) = after.split_once("-----") else {
            break;
        };
        let Some((body, after)) = after.split_once("-----END ") else {
            break;
        };
        let body: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
        if let Ok(der) = STANDARD.decode(body.as_bytes()) {
            blocks.push((label.to_owned(), Zeroizing::new(der)));
        }
        rest = after;
    }
    blocks
}
