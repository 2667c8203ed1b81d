//! hvac as judge. `HERDER_HVAC` may name a directory that pip installed hvac into (`pip install --target`);
//! `HERDER_HVAC_TESTS` a checkout of hvac with its tests, `HERDER_HVAC_PYTHON` a Python with what those need.

use super::server::{Server, directory, shim};
use std::path::Path;
use std::process::Command;

fn python() -> Command {
    let mut command = Command::new("python3");
    if let Some(path) = std::env::var_os("HERDER_HVAC") {
        command.env("PYTHONPATH", path);
    }
    command
}

/// Every family of the API, by our own script.
#[test]
fn every_family_answers_as_hvac_expects() {
    let there = python().args(["-c", "import hvac"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "hvac is missing: python3 -m pip install hvac"
        );
        eprintln!("skipped: Python has no hvac (python3 -m pip install hvac)");
        return;
    }
    let dir = directory("families");
    let token = "judges-root-token";
    let (open, sealed) = (Server::dev(token), Server::sealed(&dir));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vault/families.py");
    let output = python()
        .args(["-W", "ignore"])
        .arg(script)
        .args([open.address.as_str(), token, sealed.address.as_str()])
        .arg(dir.join("endpoints.md"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
    // The documentation's table is what this run has seen, no more and no less.
    let table = std::fs::read_to_string(dir.join("endpoints.md")).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/secrets-endpoints.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (head, _) = text.split_once("| endpoint |").unwrap();
    let fresh = format!("{head}{table}");
    if std::env::var_os("HERDER_UPDATE_DOCS").is_some() {
        std::fs::write(&page, &fresh).unwrap();
    }
    assert!(
        text == fresh || std::env::var_os("HERDER_UPDATE_DOCS").is_some(),
        "docs/secrets-endpoints.md is out of date: run this test with HERDER_UPDATE_DOCS=1"
    );
}

/// hvac's tests that cannot pass, and why; anything else that fails is ours.
const CANNOT: [(&str, &str); 10] = [
    ("auth_methods/test_aws.py", "Amazon's log in is not here"),
    ("auth_methods/test_azure.py", "Azure's log in is not here"),
    ("auth_methods/test_gcp.py", "Google's log in is not here"),
    ("auth_methods/test_ldap.py", "LDAP is not here"),
    ("auth_methods/test_okta.py", "Okta is not here"),
    ("secrets_engines/test_aws.py", "Amazon's engine is not here"),
    ("secrets_engines/test_azure.py", "Azure's engine is not here"),
    ("secrets_engines/test_gcp.py", "Google's engine is not here"),
    ("secrets_engines/test_ssh.py", "the SSH engine is not here"),
    (
        "::test_auth_gcp_alternate_mount_point",
        "Google's log in is not here",
    ),
];

/// Tests whose certificates ran out on 2026-11-18, and one about another version of the HTTP library than is installed:
/// they pass when the clock is set back and the library is older than 2.32.
const OUTDATED: [&str; 3] = [
    "test_cert.py::TestCert::test_login_",
    "test_cert.py::TestCertEnv::test_login_",
    "::test_illegal_token",
];
const SET_BACK: &str = "@2026-11-10 12:00:00";

#[test]
fn its_own_tests_pass_save_those_that_cannot() {
    let Some(checkout) = std::env::var_os("HERDER_HVAC_TESTS") else {
        eprintln!("skipped: HERDER_HVAC_TESTS does not name a checkout of hvac with its tests");
        return;
    };
    let dir = directory("hvac");
    let path = format!(
        "{}:{}",
        shim(&dir).display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let python = std::env::var_os("HERDER_HVAC_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command
        .args(["-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider"])
        .args(["--tb=line", "-rf", "tests/integration_tests"])
        .current_dir(checkout)
        .env("PATH", path);
    let set_back = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ]
    .iter()
    .find(|library| Path::new(library).exists());
    if let Some(library) = set_back {
        command.env("LD_PRELOAD", library).env("FAKETIME", SET_BACK);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("FAILED "))
        .collect();
    let ours: Vec<&&str> = failed
        .iter()
        .filter(|test| !CANNOT.iter().any(|(part, _)| test.contains(part)))
        .filter(|test| !OUTDATED.iter().any(|part| test.contains(part)))
        .collect();
    let summary = text.lines().last().unwrap_or_default();
    println!("hvac's own tests: {summary}");
    for (part, why) in CANNOT {
        let count = failed.iter().filter(|test| test.contains(part)).count();
        println!("  {count:3} of {part}: {why}");
    }
    for part in OUTDATED {
        let count = failed.iter().filter(|test| test.contains(part)).count();
        println!("  {count:3} of {part}: outdated fixture or library");
    }
    assert!(
        summary.contains(" passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(ours.is_empty(), "{ours:#?}");
}
