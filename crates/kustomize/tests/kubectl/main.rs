//! Random scalars and random kustomizations, against `kubectl kustomize` where there is one.
//!
//! `HERDER_FUZZ=100` runs a hundred times as many, `HERDER_SEED=7` other ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod charts;
#[path = "../../../cli/src/commands/kustomize/helm.rs"]
mod helm;
mod kustomizations;
mod overlay;
mod resources;
mod scalars;

use herder_kustomize::{NoRemotes, Options, Tree, build};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

impl Numbers {
    fn seeded(round: u64) -> Self {
        let seed: u64 = variable("HERDER_SEED").unwrap_or(0);
        Self(0x9e37_79b9_7f4a_7c15 ^ (round << 20) ^ (seed << 44))
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.next(of.len())]
    }

    /// True once in so many times.
    fn once_in(&mut self, many: usize) -> bool {
        self.next(many) == 0
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn rounds() -> u64 {
    variable("HERDER_FUZZ").unwrap_or(1)
}

/// Whether the judge is here.
fn kubectl() -> bool {
    let is_right = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).contains("v5.5");
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_ok_and(is_right);
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must have kubectl with kustomize v5.5"
        );
        println!("skipped: there is no kubectl with kustomize v5.5");
    }
    found
}

fn built(files: &BTreeMap<String, String>, dir: &str) -> Result<String, herder_kustomize::Error> {
    let tree = Tree::from_texts(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).unwrap();
    build(&tree, dir, &Options::default(), &NoRemotes).map(|build| build.to_yaml())
}

fn ours(files: &BTreeMap<String, String>, dir: &str) -> Option<String> {
    built(files, dir).ok()
}

/// Why the directory `top` is refused.
fn why(files: &BTreeMap<String, String>) -> Option<String> {
    built(files, "top").err().map(|error| error.to_string())
}

fn theirs(files: &BTreeMap<String, String>, dir: &str) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(root.path().join(dir))
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}
