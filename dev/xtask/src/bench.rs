//! Measures the product against its goals. Prints figures with the machine's noise (minimum, median, maximum of several
//! runs); never a pass or fail, because machines are shared.

use crate::run::{cargo, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// Runs all benchmarks, or the one named.
pub fn run(args: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--package", "herder"])?;
    let binary = binary()?;
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    println!("{:<44} {:>10} {:>10} {:>10}   goal", "", "min", "median", "max");
    if wanted("noise") {
        noise()?;
    }
    if wanted("cluster") {
        cluster(&binary)?;
    }
    if wanted("demo") {
        demo(&binary)?;
    }
    if wanted("estate") {
        estate(&binary)?;
    }
    Ok(())
}

fn binary() -> Result<PathBuf> {
    let metadata: Value = serde_json::from_str(&output(
        "cargo",
        &["metadata", "--format-version", "1", "--no-deps"],
    )?)?;
    let target = metadata["target_directory"]
        .as_str()
        .context("no target directory")?;
    Ok(Path::new(target).join("release/herder"))
}

fn show(what: &str, mut values: Vec<f64>, unit: &str, goal: &str) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let cell = |value: f64| format!("{value:.2} {unit}");
    let (first, middle, last) = (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)));
    println!(
        "{what:<44} {:>10} {:>10} {:>10}   {goal}",
        cell(first),
        cell(middle),
        cell(last)
    );
}

/// How long a fixed piece of work takes here and now: the yardstick for everything below.
fn noise() -> Result<()> {
    let mut values = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let status = Command::new("git")
            .args(["--version"])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("git does not run");
        }
        let mut x = 1u64;
        for i in 0..50_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
        }
        values.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    show(
        "machine: 50 M multiplications + one process",
        values,
        "ms",
        "(yardstick)",
    );
    Ok(())
}

/// A directory that goes with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("herder-bench-{name}-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A directory left in the temporary directory does no harm.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

/// A program in the background, told to end when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _told = Command::new("kill").arg(self.0.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// `herder cluster` from start to `ready`.
fn cluster(binary: &Path) -> Result<()> {
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let dir = Dir::new("cluster")?;
        let started = Instant::now();
        let child = Command::new(binary)
            .args(["cluster", "--nodes", "3", "--dir"])
            .arg(&dir.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Running(child);
        let out = running.0.stdout.take().context("no output")?;
        let line = BufReader::new(out)
            .lines()
            .next()
            .context("herder cluster ended")??;
        if line != "ready" {
            bail!("herder cluster said `{line}`");
        }
        ready.push(started.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_secs(2));
        memory.push(resident(running.0.id())?);
    }
    show("herder cluster, 3 nodes: start to ready", ready, "s", "under 1 s");
    show("herder cluster, idle: memory of the process", memory, "MB", "");
    Ok(())
}

/// Resident memory of one process, MB.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}

/// The demo: from nothing to all services healthy, and what it weighs when idle.
fn demo(binary: &Path) -> Result<()> {
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let dir = Dir::new("demo")?;
        let started = Instant::now();
        let command = Command::new(binary)
            .args(["demo", "--scenes", "bootstrap", "--dir"])
            .arg(dir.0.join("demo"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Running(command);
        let out = running.0.stdout.take().context("no output")?;
        let mut lines = BufReader::new(out).lines();
        // The addresses are printed once everything is healthy.
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("dashboard")));
        found.context("herder demo ended before it was ready")??;
        ready.push(started.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_secs(10));
        memory.push(resident(running.0.id())?);
    }
    show("herder demo: cold start to all healthy", ready, "s", "under 15 s");
    show(
        "herder demo, idle: memory of the process",
        memory,
        "MB",
        "under 150 MB",
    );
    Ok(())
}

/// The real estate where the corpora are: first pass, second pass.
fn estate(binary: &Path) -> Result<()> {
    let corpus = root().join("../shared/corpora/moj");
    if !corpus.is_dir() {
        println!("estate: skipped, the corpus of real namespaces is not here");
        return Ok(());
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let dir = Dir::new("estate")?;
        let demo = dir.0.join("demo");
        let mut command = Command::new(binary);
        command
            .args(["demo", "--once", "--json", "--scenes", "estate", "--estate"])
            .arg(&corpus)
            .arg("--dir")
            .arg(&demo);
        let report: Value = serde_json::from_slice(&command.stderr(Stdio::null()).output()?.stdout)
            .context("the demo gave no report")?;
        let evidence = report
            .pointer("/scenes/0/evidence")
            .with_context(|| format!("the scene failed: {report}"))?;
        cold.push(evidence["first_pass_seconds"].as_f64().context("no first pass")?);
        warm.push(
            evidence["second_pass_seconds"]
                .as_f64()
                .context("no second pass")?,
        );
    }
    show(
        "162 real namespaces, from commit to true",
        cold,
        "s",
        "under 10 s",
    );
    show("the same, second pass", warm, "s", "under 1 s");
    Ok(())
}
