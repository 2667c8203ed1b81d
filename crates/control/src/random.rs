//! Random texts as schedules, the same in every run: what reads them never panics, and ends soon.

use crate::controllers::cron;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

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
fn any_schedule_goes_forward() {
    let field = || of(&["*", "1", "5", "59", "-", "/", ",", "?", "mon", "feb", "7", "31"]);
    let texts = prop_oneof![
        (field(), field(), field(), field(), field())
            .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}")),
        of(&[
            "@every ",
            "@daily",
            "TZ=UTC ",
            "CRON_TZ=Europe/London ",
            "1",
            "99999999999",
            "h",
            "m",
            "s",
            "* ",
            "0 "
        ]),
    ];
    run(&texts, |text| {
        if let Ok(schedule) = cron::Schedule::parse(&text, "") {
            let next = schedule.next(Timestamp::UNIX_EPOCH);
            prop_assert!(next.is_none_or(|next| next > Timestamp::UNIX_EPOCH), "{}", text);
        }
        Ok(())
    });
}
