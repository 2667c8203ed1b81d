//! The whole product: start, memory, and a real estate.

use super::{Dir, RUNS, Running, proportional, resident, show};
use crate::run::root;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `herder cluster` from start to `ready`.
pub(super) fn cluster(binary: &Path) -> Result<()> {
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

/// The demo: from nothing to all services healthy, and what it weighs when idle.
pub(super) fn demo(binary: &Path) -> Result<()> {
    let (mut ready, mut memory, mut all) = (Vec::new(), Vec::new(), Vec::new());
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
        // The scene named begins when everything is healthy, and takes no time of its own.
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("stays up")));
        found.context("herder demo ended before it was ready")??;
        ready.push(started.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_secs(10));
        memory.push(resident(running.0.id())?);
        all.push(proportional(running.0.id())?);
    }
    show("herder demo: cold start to all healthy", ready, "s", "under 15 s");
    show(
        "herder demo, idle: memory of the process",
        memory,
        "MB",
        "under 150 MB",
    );
    show(
        "  with network, three nodes and everything in pods",
        all,
        "MB",
        "",
    );
    Ok(())
}

/// The real estate where the corpora are: first pass, second pass.
pub(super) fn estate(binary: &Path) -> Result<()> {
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
