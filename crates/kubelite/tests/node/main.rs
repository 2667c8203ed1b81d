//! Real agents run real containers, as root and as an ordinary user, against a small API server of the test's own.
//! Judges: pods talk by name, probes, volumes, crashes, memory, killed agents, and that nothing is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a test, only without the harness that would say so"
)]

mod api;
mod cancelled;
mod cluster;
mod images;
mod network;
mod pods;
mod scenes;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = herder_node::internal_main(&args) {
        return code;
    }
    // What the harness would be asked.
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let only = args
        .iter()
        .find(|arg| !arg.to_string_lossy().starts_with('-'))
        .map(|a| a.to_string_lossy().into_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if let Some(dir) = std::env::var_os("HERDER_TEST_VICTIM") {
        runtime.block_on(scenes::victim(Path::new(&dir)));
        return ExitCode::SUCCESS;
    }
    if let Some(dir) = std::env::var_os("HERDER_TEST_AS_USER") {
        runtime.block_on(scenes::run(Path::new(&dir), false, only.as_deref()));
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let root = nix::unistd::geteuid().is_root();
    if root && std::env::var_os("HERDER_TEST_ONLY_USER").is_none() {
        runtime.block_on(scenes::run(&dir.path().join("root"), true, only.as_deref()));
    }
    as_user(dir.path(), root, only.as_deref())
}

/// Again as an ordinary user: nobody, if this is root.
fn as_user(dir: &Path, root: bool, only: Option<&str>) -> ExitCode {
    let (exe, data) = (dir.join("herder-test"), dir.join("user"));
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    std::fs::create_dir(&data).unwrap();
    let mut command;
    if root {
        nix::unistd::chown(&data, Some(65534.into()), Some(65534.into())).unwrap();
        command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&exe);
    } else {
        command = Command::new(&exe);
    }
    let status = command
        .args(only)
        .env("HERDER_TEST_AS_USER", &data)
        .env("HOME", &data)
        .status()
        .unwrap();
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
