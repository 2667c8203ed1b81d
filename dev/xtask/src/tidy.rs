//! The project's own rules, checked from `cargo metadata` and the files git tracks.
//!
//! Each rule is a function that pushes findings; all findings are printed, then the task fails if there are any.

use crate::run::{output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Which crates of ours a crate may import. `cli`, `server` and `dev/` compose and may import everything below.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("object", &[]),
    ("kustomize", &["object", "base"]),
    ("template", &["base"]),
    ("job", &["base"]),
    ("jobdsl", &["job", "base"]),
    ("fleet", &["kustomize", "jobdsl", "job", "object", "base"]),
    ("plan", &["fleet", "object", "base"]),
    ("git", &["base"]),
    ("cluster", &["plan", "object", "base"]),
    ("vault", &["template", "base"]),
    ("jobs", &["job", "base"]),
    ("ledger", &["base"]),
    ("store", &[]),
    ("listen", &[]),
    ("images", &["listen", "object", "base"]),
    (
        "apiserver",
        &["node", "images", "store", "listen", "object", "base"],
    ),
    ("node", &["images", "listen", "object", "base"]),
    ("control", &["apiserver", "node", "object", "base"]),
    (
        "kubelite",
        &[
            "apiserver",
            "control",
            "node",
            "images",
            "store",
            "object",
            "base",
        ],
    ),
    ("secrets", &["store", "listen", "base"]),
    ("edge", &["listen", "object", "base"]),
];

/// Crates without IO: neither in the manifest nor in the code.
const PURE: &[&str] = &[
    "base",
    "object",
    "kustomize",
    "template",
    "job",
    "jobdsl",
    "fleet",
    "plan",
];
const IMPURE_PACKAGES: &[&str] = &[
    "tokio",
    "kube",
    "hyper",
    "hyper-util",
    "axum",
    "rand",
    "getrandom",
    "reqwest",
    "nix",
    "sqlx",
];
const IMPURE_CODE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env::",
    "std::process",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
];
/// The one place that may read the machine's clock in a pure crate.
const IMPURE_EXCEPTIONS: &[&str] = &["crates/base/src/clock.rs"];

const MAX_LINES: usize = 800;
const MAX_PACKAGES: usize = 500;

pub fn run() -> Result<()> {
    let mut findings = Vec::new();
    let metadata: Value = serde_json::from_str(&output(
        "cargo",
        &["metadata", "--format-version", "1", "--locked"],
    )?)?;
    arrows(&metadata, &mut findings);
    packages(&mut findings)?;
    let files = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut sizes = Vec::new();
    for path in files.lines() {
        let Ok(text) = fs::read_to_string(root().join(path)) else {
            continue;
        };
        leaks(path, &text, &mut findings);
        if path.ends_with(".rs") && !path.starts_with("fuzz/") {
            source(path, &text, &mut findings);
            sizes.push(text.lines().count());
        }
    }
    architecture(&mut findings)?;
    sizes.sort_unstable();
    let at = |part: usize| sizes.get(sizes.len() * part / 100).copied().unwrap_or_default();
    println!(
        "tidy: {} source files, {} lines, median {}, p90 {}",
        sizes.len(),
        sizes.iter().sum::<usize>(),
        at(50),
        at(90)
    );
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        println!("tidy: {finding}");
    }
    bail!("{} findings", findings.len());
}

fn arrows(metadata: &Value, findings: &mut Vec<String>) {
    let allowed: BTreeMap<_, _> = ARROWS.iter().map(|(name, to)| (*name, *to)).collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(name) = package["name"]
            .as_str()
            .and_then(|name| name.strip_prefix("herder-"))
        else {
            continue;
        };
        let normal = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dep| dep["kind"].is_null());
        for dependency in normal.filter_map(|dep| dep["name"].as_str()) {
            if let (Some(ours), Some(may)) = (dependency.strip_prefix("herder-"), allowed.get(name))
                && !may.contains(&ours)
            {
                findings.push(format!("crates/{name} must not import crates/{ours}"));
            }
            if PURE.contains(&name) && IMPURE_PACKAGES.contains(&dependency) {
                findings.push(format!(
                    "crates/{name} is pure and must not depend on {dependency}"
                ));
            }
            if dependency == "kube" && name != "cluster" {
                findings.push(format!("crates/{name} imports kube; only crates/cluster may"));
            }
        }
    }
}

/// Counts what ships: normal dependencies of the binary on this platform.
fn packages(findings: &mut Vec<String>) -> Result<()> {
    let args = [
        "tree",
        "--locked",
        "--package",
        "herder",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = output("cargo", &args)?;
    let shipped: BTreeSet<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|l| !l.is_empty())
        .collect();
    println!(
        "tidy: {} packages shipped (at most {MAX_PACKAGES})",
        shipped.len()
    );
    if shipped.len() > MAX_PACKAGES {
        findings.push(format!(
            "{} packages shipped, more than {MAX_PACKAGES}",
            shipped.len()
        ));
    }
    Ok(())
}

fn source(path: &str, text: &str, findings: &mut Vec<String>) {
    let generated = text
        .lines()
        .take(5)
        .any(|line| line.contains("@generated") || line.contains("Table:"));
    let lines = text.lines().count();
    if lines > MAX_LINES && !generated {
        findings.push(format!(
            "{path}: {lines} lines, at most {MAX_LINES} (tables say `Table:` in their first lines)"
        ));
    }
    if !text.trim_start().starts_with("//!") {
        findings.push(format!(
            "{path}: begins without a `//!` that says what the module owns"
        ));
    }
    let pure = PURE
        .iter()
        .any(|name| path.starts_with(&format!("crates/{name}/src/")));
    if pure && !IMPURE_EXCEPTIONS.contains(&path) {
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in shipped
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for word in IMPURE_CODE.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{path}:{}: `{word}` in a pure crate", number + 1));
            }
        }
    }
}

/// Files must not name places that exist on one machine only.
fn leaks(path: &str, text: &str, findings: &mut Vec<String>) {
    let home = ["/home", "/"].concat();
    let conflict = ["<", ">"].map(|mark| format!("{} ", mark.repeat(7)));
    for (number, line) in text.lines().enumerate() {
        if line.starts_with(&conflict[0]) || line.starts_with(&conflict[1]) {
            findings.push(format!("{path}:{}: conflict marker", number + 1));
        }
        if line.contains(&home) && line.contains("/.cargo/") {
            findings.push(format!("{path}:{}: a path of one machine", number + 1));
        }
    }
}

/// Every path that ARCHITECTURE.md names in backticks exists.
fn architecture(findings: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    for word in text.split('`').skip(1).step_by(2) {
        let is_path = ["crates/", "dev/", "docs/", "fuzz/"]
            .iter()
            .any(|prefix| word.starts_with(prefix));
        if is_path && !word.contains(' ') && !root().join(word).exists() {
            findings.push(format!("ARCHITECTURE.md names `{word}`, which does not exist"));
        }
    }
    Ok(())
}
