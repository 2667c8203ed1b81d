//! Any text as a policy, any path: no panic, no hang, and no answer that contradicts another.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    let _ = herder_secrets::parse_hcl(text);
    assert!(herder_secrets::fuzzing::policy_is_consistent(text, path));
});
