//! Any text as consul-template's configuration, and any words as its flags.
#![no_main]

use herder_vault::consul_template::{Invocation, Settings, read_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = read_text(&mut Settings::default(), "fuzz", text);
    let words: Vec<String> = text
        .split_whitespace()
        .filter(|word| !word.contains("config"))
        .map(str::to_owned)
        .collect();
    let _ = Invocation::read(&words, None);
});
