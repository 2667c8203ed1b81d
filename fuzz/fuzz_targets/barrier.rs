//! Any bytes where sealed ones or a keyring should be: an error, never a value or a panic.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(herder_secrets::fuzzing::refuses_blob("logical/x/y", bytes));
    herder_secrets::fuzzing::read_keyring(bytes);
});
