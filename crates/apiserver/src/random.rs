//! Random bytes and texts where clients may send anything, the same in every run: what reads them never panics, and
//! ends soon.
use crate::api::proto;
use crate::api::select::{Fields, Labels};
use herder_object::schema;
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

fn bytes(number: u8, inner: &[u8]) -> Vec<u8> {
    let length = u8::try_from(inner.len()).unwrap_or(127).min(127);
    [&[number << 3 | 2, length], inner].concat()
}

/// A message: numbers, texts and messages, with lengths that are mostly right.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..10),
        (0..16_u8, 0..128_u8).prop_map(|(number, value)| vec![number << 3, value]),
        Just(b"a/1".to_vec()),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop::collection::vec((0..16_u8, inner), 0..5).prop_map(|fields| {
            let fields = fields.iter().map(|(number, inner)| bytes(*number, inner));
            fields.collect::<Vec<_>>().concat()
        })
    })
}

#[test]
fn any_protobuf_is_read_or_refused() {
    let kinds: Vec<_> = schema::kinds()
        .map(|(version, kind, _)| (version, kind))
        .collect();
    run(
        &(prop::sample::select(kinds), message()),
        |((version, kind), raw)| {
            let meta = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
            let raw = raw.get(..127).unwrap_or(&raw);
            let body = [b"k8s\0".to_vec(), bytes(1, &meta), bytes(2, raw)].concat();
            if let Ok(value) = proto::decode(&body) {
                prop_assert_eq!(&value["kind"], kind);
            }
            Ok(())
        },
    );
}

#[test]
fn any_selector_is_read_or_refused() {
    let texts = of(&[
        "a",
        "b/c",
        "=",
        "==",
        "!",
        "!=",
        "in",
        "notin",
        "(",
        ")",
        ",",
        " ",
        "<",
        ">",
        "9",
        "é",
        "metadata.name",
    ]);
    let object = json!({"metadata": {"name": "a", "labels": {"a": "9", "b/c": "x"}}});
    run(&texts, |text| {
        let _labels = Labels::parse(&text).map(|labels| labels.matches(&object));
        let _fields = Fields::parse(&text).map(|fields| fields.matches(&object));
        Ok(())
    });
}
