//! The demo: all ten scenes, as root and as an ordinary user, and nothing left behind.

use crate::running::{Dir, HERDER, alone, missing, run};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);
const SCENES: usize = 10;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

fn devices() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn play(mut command: Command) -> Value {
    let before = devices();
    let output = run(&mut command, PATIENCE);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "no report ({error}):\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    for scene in report["scenes"].as_array().unwrap() {
        eprintln!(
            "{} {} {} s {}",
            scene["name"],
            scene["ok"],
            scene["seconds"],
            scene["error"].as_str().unwrap_or_default()
        );
    }
    assert!(
        output.status.success() && report["ok"] == true,
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(report["scenes"].as_array().unwrap().len(), SCENES);
    assert_eq!(devices(), before, "network devices were left behind");
    report
}

#[test]
fn the_story_holds() {
    let _alone = alone();
    let dir = Dir::new("demo");
    let mut command = Command::new(HERDER);
    command
        .args(["demo", "--once", "--json", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.path().join("demo"));
    let report = play(command);
    eprintln!("healthy after {} s", report["ready"]["seconds"]);
}

#[test]
fn the_story_holds_for_an_ordinary_user() {
    let _alone = alone();
    if !is_root() {
        return eprintln!("an ordinary user runs these tests: the other test has shown it");
    }
    if !Command::new("setpriv")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return missing("setpriv");
    }
    let dir = Dir::new("user");
    // The binary may lie where an ordinary user cannot reach it.
    let binary = dir.path().join("herder");
    std::fs::copy(HERDER, &binary).unwrap();
    for path in [dir.path(), &binary] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&binary);
    command
        .args(["demo", "--once", "--json", "--dir"])
        .arg(dir.path().join("demo"))
        .env("HOME", dir.path())
        .env_remove("XDG_DATA_HOME");
    let report = play(command);
    let remarks = report["remarks"].as_array().unwrap();
    assert_eq!(
        remarks.len(),
        1,
        "one line says what an ordinary user does not get: {remarks:?}"
    );
}
