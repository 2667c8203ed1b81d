//! Doors for fuzz targets and random tests into what is otherwise private: sealed blobs, policies. Not an interface.

use crate::Policy;
use crate::core::acl::{Acl, Ask};
use crate::core::barrier::Keyring;
use crate::core::path::CanonicalPath;
use crate::core::request::Op;

/// Opens a blob that nobody sealed. Must give an error, never a value or a panic; true if it did.
#[must_use]
pub fn refuses_blob(path: &str, blob: &[u8]) -> bool {
    Keyring::generate(jiff::Timestamp::UNIX_EPOCH).is_ok_and(|ring| ring.open(path, blob).is_err())
}

/// Seals a value and changes what was sealed: a bit, the length, the path. `change` says where, and what the value is.
/// True if nothing but the original opens.
#[must_use]
pub fn refuses_changed(path: &str, change: &[u8]) -> bool {
    let Ok(ring) = Keyring::generate(jiff::Timestamp::UNIX_EPOCH) else {
        return false;
    };
    let Ok(sealed) = ring.seal(path, change) else {
        return false;
    };
    let refuses = |blob: &[u8]| ring.open(path, blob).is_err();
    let at = change.iter().map(|byte| usize::from(*byte)).sum::<usize>();
    let mut flipped = sealed.clone();
    if let Some(byte) = flipped.get_mut(at % sealed.len().max(1)) {
        *byte ^= 1 << (at % 8);
    }
    let longer = [&sealed, change, &[0]].concat();
    ring.open(path, &sealed).is_ok_and(|value| *value == change)
        && refuses(&flipped)
        && sealed.get(..at % sealed.len().max(1)).is_some_and(refuses)
        && refuses(&longer)
        && ring.open(&format!("{path}x"), &sealed).is_err()
}

/// Reads bytes as a stored keyring: any answer but a panic is right.
pub fn read_keyring(bytes: &[u8]) {
    drop(Keyring::read(bytes));
}

/// True if a text is no policy, or one that allows nothing at a path.
#[must_use]
pub fn policy_denies(text: &str, path: &str) -> bool {
    // What is no path is refused before any policy is asked.
    let Ok(path) = CanonicalPath::new(Op::Read, path) else {
        return true;
    };
    Policy::parse(text).map_or(true, |policy| Acl::new([&policy]).capabilities(&path) == ["deny"])
}

/// Reads a policy and asks it about a path. True unless an answer contradicts the others: nothing may be allowed where
/// the capabilities say "deny", and two policies together never allow what one of them denies outright.
#[must_use]
pub fn policy_is_consistent(text: &str, path: &str) -> bool {
    let Ok(policy) = Policy::parse(text) else {
        return true;
    };
    let Ok(path) = &CanonicalPath::new(Op::Read, path) else {
        return true;
    };
    let acl = Acl::new([&policy]);
    let data = serde_json::Map::new();
    let grant = |acl: &Acl, op, create| {
        acl.check(&Ask {
            op,
            create,
            path,
            data: &data,
            wrap_ttl: None,
        })
        .allowed
    };
    let operations = [
        (Op::Read, false),
        (Op::Write, false),
        (Op::Write, true),
        (Op::Delete, false),
        (Op::Patch, false),
    ];
    let denied = acl.capabilities(path) == ["deny"];
    let twice = Acl::new([&policy, &policy]);
    let nothing = Policy::parse("").map(|empty| Acl::new([&policy, &empty]));
    operations.into_iter().all(|(op, create)| {
        let allowed = grant(&acl, op, create);
        (!allowed || !denied)
            && grant(&twice, op, create) == allowed
            && nothing
                .as_ref()
                .is_ok_and(|acl| grant(acl, op, create) == allowed)
    })
}
