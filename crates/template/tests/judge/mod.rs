//! The judge: a Go toolchain, named by HERDER_GO or found in PATH. Without one the tests say that they did not happen;
//! in CI there must be one.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The go command and its GOROOT.
pub(crate) struct Go {
    command: String,
    pub(crate) root: PathBuf,
}

/// Finds it.
pub(crate) fn go() -> Option<Go> {
    let command = std::env::var("HERDER_GO").unwrap_or_else(|_| "go".to_owned());
    match Command::new(&command).args(["env", "GOROOT"]).output() {
        Ok(output) if output.status.success() => Some(Go {
            command,
            root: String::from_utf8_lossy(&output.stdout).trim().into(),
        }),
        _ => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must have a Go toolchain (set HERDER_GO)"
            );
            eprintln!("not compared with Go: no Go toolchain (set HERDER_GO)");
            None
        }
    }
}

impl Go {
    /// A command in a directory of its own, with a cache that stays if GOCACHE names one.
    pub(crate) fn run(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.command);
        command.current_dir(dir).env("GOFLAGS", "-mod=mod").env(
            "GOCACHE",
            std::env::var("GOCACHE").unwrap_or_else(|_| dir.join("cache").display().to_string()),
        );
        command
    }
}
