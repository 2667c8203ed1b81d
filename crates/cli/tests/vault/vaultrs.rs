//! vaultrs as judge: `HERDER_VAULTRS_TESTS` names a checkout of it. Its tests run in a copy, where what they call their
//! common module, which starts containers, is replaced by `vaultrs/fixture.rs`; the first run builds for minutes.

use super::server::{HERDER, directory};
use std::path::Path;
use std::process::Command;

/// vaultrs' tests that cannot pass, and why; anything else that fails is ours.
const CANNOT: [(&str, &str); 4] = [
    ("aws::test_auth", "Amazon's log in is not here"),
    ("aws::test_secret_engine", "Amazon's engine is not here"),
    ("login::test_aws_login", "Amazon's log in is not here"),
    ("ssh::test", "the SSH engine is not here"),
];

/// A provider on the internet that one test asks, and what answers instead.
const PROVIDER: (&str, &str) = (
    "\"https://samples.auth0.com/\"",
    "crate::common::provider() + \"/default\"",
);

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "{} is not there", from.display());
}

#[test]
fn its_own_tests_pass_save_those_that_cannot() {
    let Some(checkout) = std::env::var_os("HERDER_VAULTRS_TESTS") else {
        eprintln!("skipped: HERDER_VAULTRS_TESTS does not name a checkout of vaultrs");
        return;
    };
    let dir = directory("vaultrs");
    for part in [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "vaultrs",
        "vaultrs-login",
        "vaultrs-tests",
    ] {
        copy(&Path::new(&checkout).join(part), &dir.join(part));
    }
    let tests = dir.join("vaultrs-tests/tests/api_tests");
    std::fs::remove_dir_all(tests.join("common")).unwrap();
    std::fs::write(tests.join("common.rs"), include_str!("vaultrs/fixture.rs")).unwrap();
    let oidc = tests.join("oidc.rs");
    let text = std::fs::read_to_string(&oidc).unwrap();
    std::fs::write(&oidc, text.replace(PROVIDER.0, PROVIDER.1)).unwrap();
    let output = Command::new("cargo")
        .args(["test", "--locked", "-p", "vaultrs-tests", "--"])
        .args(["--include-ignored", "--test-threads=1"])
        .current_dir(&dir)
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultrs-target"),
        )
        .env("HERDER_PROGRAM", HERDER)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let ended = |how: &str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| {
                line.strip_prefix("test ")?
                    .strip_suffix(how)?
                    .strip_suffix(" ... ")
            })
            .collect()
    };
    let (passed, failed) = (ended("ok"), ended("FAILED"));
    println!(
        "vaultrs' own tests: {} passed, {} failed",
        passed.len(),
        failed.len()
    );
    for (test, why) in CANNOT.iter().filter(|(test, _)| failed.contains(test)) {
        println!("  {test}: {why}");
    }
    assert!(
        !passed.is_empty(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ours: Vec<&&str> = failed
        .iter()
        .filter(|test| !CANNOT.iter().any(|(cannot, _)| *test == cannot))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}\n{text}");
    std::fs::remove_dir_all(&dir).unwrap();
}
