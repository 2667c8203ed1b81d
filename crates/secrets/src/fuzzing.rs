//! Doors for fuzz targets and random tests into what is otherwise private: sealed blobs, policies. Not an interface.

use crate::Policy;
use crate::core::acl::{Acl, Ask};
use crate::core::barrier::Keyring;
use crate::core::request::Op;

/// Opens a blob that nobody sealed. Must give an error, never a value or a panic; true if it did.
#[must_use]
pub fn refuses_blob(path: &str, blob: &[u8]) -> bool {
    Keyring::generate(jiff::Timestamp::UNIX_EPOCH).is_ok_and(|ring| ring.open(path, blob).is_err())
}

/// Reads bytes as a stored keyring: any answer but a panic is right.
pub fn read_keyring(bytes: &[u8]) {
    drop(Keyring::read(bytes));
}

/// Reads a policy and asks it about a path. True unless an answer contradicts the others: nothing may be allowed where
/// the capabilities say "deny", and two policies together never allow what one of them denies outright.
#[must_use]
pub fn policy_is_consistent(text: &str, path: &str) -> bool {
    let Ok(policy) = Policy::parse(text) else {
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
