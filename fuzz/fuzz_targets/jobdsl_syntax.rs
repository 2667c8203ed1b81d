//! Any text: the lexer and parser come to an end, with a tree or a place.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err((at, _)) = herder_jobdsl::check_syntax(text) {
        assert!(usize::try_from(at).is_ok_and(|at| at <= text.len()));
    }
    let _ = herder_jobdsl::is_script(text);
});
