//! Random texts as quantities, the same in every run: what reads them never panics and keeps the sign.

#![expect(clippy::panic, reason = "these are tests")]

use herder_object::quantity;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config {
        cases: 5000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(strategy, test)
        .unwrap_or_else(|error| std::panic::panic_any(error.to_string()));
}

/// Texts made of these pieces, in any way.
fn of(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_quantity_has_its_sign() {
    let texts = of(&[
        "0",
        "1",
        "9",
        "99999999999999999",
        ".",
        "-",
        "+",
        "e",
        "E",
        "30",
        "i",
        "m",
        "n",
        "u",
        "K",
        "G",
        "P",
        "é",
    ]);
    run(&texts, |text| {
        if let Some(amount) = quantity::milli(&json!(text)) {
            prop_assert!(
                if text.trim().starts_with('-') {
                    amount <= 0
                } else {
                    amount >= 0
                },
                "{}",
                text
            );
            prop_assert!(!quantity::print(amount, "memory").is_empty());
        }
        Ok(())
    });
}
