//! Random texts, paths and bytes, the same in every run: the parser of policies, the ACL and the barrier's decoder never
//! panic and never contradict themselves. The fuzz targets ask the same of more inputs.

use herder_secrets::{Policy, fuzzing, parse_hcl};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Pieces that policies are made of, put together in any way.
fn policy_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "path ",
        "\"secret/*\" ",
        "\"a/+/b\" ",
        "\"a/+/*\" ",
        "\"+/b\" ",
        "\"\" ",
        "\"a/b\" ",
        "{ ",
        "} ",
        "capabilities = ",
        "[\"read\", \"list\"] ",
        "[\"deny\"] ",
        "[\"create\", \"update\", \"sudo\"] ",
        "policy = \"write\" ",
        "allowed_parameters = { \"x\" = [\"1\", \"a*\"] } ",
        "denied_parameters = { \"*\" = [] } ",
        "min_wrapping_ttl = \"1s\" ",
        "max_wrapping_ttl = 90 ",
        "# comment\n",
        "/* ",
        "*/ ",
        "<<EOT\nx\nEOT\n",
        "\n",
        "\\",
        "\"",
        "{{identity.entity.id}}",
        "}}",
        ",",
        "=",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn path() -> impl Strategy<Value = String> {
    prop::string::string_regex("(secret|a|b|\\+|\\*|x|)(/(a|b|c|\\+|\\*||ü)){0,4}/?")
        .unwrap_or_else(|_| unreachable!())
}

#[test]
fn any_text_is_a_policy_or_an_error() {
    let anything = prop_oneof![
        policy_like(),
        ".*",
        prop::string::string_regex("[\\[\\]{}\"=,<>\\\\\n a-z/*#]{0,80}").unwrap_or_else(|_| unreachable!())
    ];
    runner(4000)
        .run(&(anything, path()), |(text, path)| {
            if let Err(error) = parse_hcl(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
            let _parsed = Policy::parse(&text);
            prop_assert!(fuzzing::policy_is_consistent(&text, &path));
            Ok(())
        })
        .unwrap_or_else(|error| std::panic::panic_any(error.to_string()));
}

/// Whole policies, so that the answers are not all "no".
#[test]
fn answers_do_not_contradict_each_other() {
    let rule = (
        path(),
        prop::sample::subsequence(
            vec![
                "read", "list", "create", "update", "delete", "patch", "deny", "sudo",
            ],
            1..4,
        ),
    )
        .prop_map(|(path, words)| {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            format!("path {path:?} {{ capabilities = [{}] }}\n", words.join(","))
        });
    let policy = prop::collection::vec(rule, 1..8).prop_map(|rules| rules.concat());
    runner(4000)
        .run(&(policy, path()), |(text, path)| {
            prop_assert!(
                fuzzing::policy_is_consistent(&text, &path),
                "{} at {}",
                text,
                path
            );
            Ok(())
        })
        .unwrap_or_else(|error| std::panic::panic_any(error.to_string()));
}

#[test]
fn bytes_that_nobody_sealed_never_open() {
    let blob = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        // With the head of a real one.
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|rest| [&[0, 0, 0, 1, 2][..], &rest].concat()),
    ];
    runner(4000)
        .run(&blob, |blob| {
            prop_assert!(fuzzing::refuses_blob("logical/x", &blob));
            prop_assert!(fuzzing::refuses_changed("logical/x", &blob));
            fuzzing::read_keyring(&blob);
            Ok(())
        })
        .unwrap_or_else(|error| std::panic::panic_any(error.to_string()));
}
