//! Any text as a policy and any path, parted by NUL: no panic, no hang, no answer that contradicts another, and nothing
//! that no rule speaks of is allowed.
#![no_main]
use herder_secrets::{fuzzing, hcl_object, parse_hcl};
use libfuzzer_sys::fuzz_target;

/// A path that a rule can only reach with a wildcard, or by an escape.
const UNNAMED: &str = "unnamed/path";

fuzz_target!(|input: &str| {
    let (text, path) = input.split_once('\0').unwrap_or((input, "secret/data/a"));
    if let Ok(items) = parse_hcl(text) {
        let _ = hcl_object(&items);
    }
    assert!(fuzzing::policy_is_consistent(text, path));
    if !text.contains(['*', '+', '\\']) && !text.contains("unnamed") {
        assert!(fuzzing::policy_denies(text, UNNAMED));
    }
});
