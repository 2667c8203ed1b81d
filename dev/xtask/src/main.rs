//! Development tasks, the one door for people and CI: `cargo xtask check|test|tidy|bench|dist`.
//!
//! Owns no product behaviour; everything here could be typed by hand.

mod bench;
mod dist;
mod run;
mod tidy;

use anyhow::{Result, bail};
use run::cargo;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask check | lint | test [ARGS] | tidy | bench [NAME] | dist [DIR]

  check   what CI runs: lint, then test
  lint    formatting, tidy, clippy, dependency rules
  test    the tests, end-to-end tests included
  tidy    the project's own rules: crate arrows, purity, file sizes, module docs, paths in ARCHITECTURE.md
  bench   measures the product against its goals; prints figures with the machine's noise
  dist    builds what is given to people: the stripped program, its manual pages, completions, documentation and unit
          for systemd, as an archive with its digest; by default into target/dist";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let (task, rest) = args
        .split_first()
        .map_or(("", &[][..]), |(task, rest)| (task.as_str(), rest));
    match task {
        "check" => check(),
        "lint" => lint(),
        "test" => test(rest),
        "tidy" => tidy::run(),
        "bench" => bench::run(rest),
        "dist" => dist::run(rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no task `{other}`\n{USAGE}"),
    }
}

/// Everything CI holds a change to, cheapest first.
fn check() -> Result<()> {
    lint()?;
    test(&[])
}

/// What can be said without running anything.
fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])?;
    // A workspace of its own, which nothing else builds: what it tries must still be what there is.
    cargo(&[
        "check",
        "--quiet",
        "--bins",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
    ])?;
    deny()
}

/// Licences, sources and duplicate versions, by cargo-deny where it is installed.
fn deny() -> Result<()> {
    if run::succeeds("cargo", &["deny", "--version"]) {
        return cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]);
    }
    if std::env::var_os("CI").is_some() {
        bail!("cargo-deny is not installed: `cargo install --locked cargo-deny`");
    }
    println!("deny: skipped, cargo-deny is not installed (cargo install --locked cargo-deny)");
    Ok(())
}

/// Builds the binary that end-to-end tests run, then runs all tests.
fn test(args: &[String]) -> Result<()> {
    cargo(&["build", "--package", "herder"])?;
    let mut command = vec!["test", "--workspace", "--no-fail-fast"];
    command.extend(args.iter().map(String::as_str));
    cargo(&command)
}
