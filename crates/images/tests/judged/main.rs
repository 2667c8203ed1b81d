//! What other programs say of archives, pulls and pushes: Debian's skopeo, umoci and docker-registry.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is a test"
)]

mod archives;
mod registry;

use std::path::Path;
use std::process::Command;

/// Whether a judge is here; where one is counted on, it has to be.
fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    if !found {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{program} is needed here"
        );
        println!("{program} is not on this machine: its judgement is missing");
    }
    found
}

/// Its output; it has to succeed.
fn ran(command: &mut Command) -> Vec<u8> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn skopeo(args: &[&str], dir: &Path) {
    let policy = dir.join("policy.json");
    std::fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let mut skopeo = Command::new("skopeo");
    ran(skopeo.arg("--policy").arg(&policy).args(args).env("HOME", dir));
}
