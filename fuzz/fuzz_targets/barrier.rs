//! Any bytes where sealed ones or a keyring should be, and any change to sealed ones: an error, never a value or a
//! panic.
#![no_main]
use herder_secrets::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(fuzzing::refuses_blob("logical/x/y", bytes));
    assert!(fuzzing::refuses_changed("logical/x/y", bytes));
    fuzzing::read_keyring(bytes);
});
