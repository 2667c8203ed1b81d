//! kustomize: the corpus of real builds in process, single commands against `kubectl kustomize`, and how cost grows.
//!
//! Trees are made here or read from the corpora; nothing of them stays.

use super::{Dir, RUNS, show};
use crate::run::{cargo, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// CPU seconds of the Go library for one build of the corpora, on average: 51.5 s for 4,181 builds, one process, warm.
const GO_SECONDS_PER_BUILD: f64 = 51.5 / 4181.0;
/// Of this many real builds one is run through both commands.
const SAMPLE: usize = 25;

pub(super) fn run(binary: &Path) -> Result<()> {
    let corpus = root().join("../shared/corpora/kustomize");
    if corpus.is_dir() {
        in_process(&corpus)?;
        by_command(binary, &corpus)?;
    } else {
        println!("kustomize: the corpus of real builds is not here; only made-up sets are measured");
    }
    growth(binary)?;
    large(binary)
}

/// The whole corpus by the library, in one process.
fn in_process(corpus: &Path) -> Result<()> {
    cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "herder-kustomize",
        "--example",
        "measure",
    ])?;
    let program = super::target()?.join("release/examples/measure");
    let (mut cpu, mut ratio, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    let mut builds = 0.0;
    for _ in 0..RUNS {
        let printed = Command::new(&program).arg(corpus).output()?;
        if !printed.status.success() {
            bail!("measure: {}", String::from_utf8_lossy(&printed.stderr));
        }
        let result: Value = serde_json::from_slice(&printed.stdout)?;
        let number = |name: &str| result[name].as_f64().with_context(|| format!("no {name}"));
        builds = number("builds")?;
        cpu.push(number("cpu_seconds")?);
        ratio.push(GO_SECONDS_PER_BUILD * builds / number("cpu_seconds")?);
        wall.push(number("two_threads_seconds_for_1500")?);
    }
    show(
        &format!("kustomize: {builds} real builds, in process, CPU"),
        cpu,
        "s",
        "",
    );
    show("  Go library's recorded mean / ours", ratio, "x", "at least 20 x");
    show("  1,500 of them on two threads, wall", wall, "s", "under 1 s");
    Ok(())
}

/// The same builds by a command each, against kubectl.
fn by_command(binary: &Path, corpus: &Path) -> Result<()> {
    if output("kubectl", &["version", "--client"]).is_err() {
        println!("kustomize: no kubectl to compare with");
        return Ok(());
    }
    let list = fs::read_to_string(corpus.join("real.jsonl"))?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for line in list.lines().step_by(SAMPLE) {
        let case: Value = serde_json::from_str(line)?;
        let text = |name: &str| case[name].as_str().with_context(|| format!("no {name}"));
        let dir = corpus.join("real/inputs").join(text("repo")?).join(text("dir")?);
        let mut args = vec![];
        if text("mode")? == "loose" {
            args.extend(["--load-restrictor", "LoadRestrictionsNone"]);
        }
        let mut our = Command::new(binary);
        our.args(["kustomize", "build"]).args(&args).arg(&dir);
        let mut their = Command::new("kubectl");
        their.arg("kustomize").args(&args).arg(&dir);
        let (our, their) = (milliseconds(&mut our)?, milliseconds(&mut their)?);
        ours.push(our);
        theirs.push(their);
        ratios.push(their / our);
    }
    show("kustomize: herder kustomize build, wall", ours, "ms", "");
    show("  kubectl kustomize, the same builds", theirs, "ms", "");
    show("  kubectl / herder, pair by pair", ratios, "x", "at least 10 x");
    Ok(())
}

/// How the time grows with the number of plain Deployments.
fn growth(binary: &Path) -> Result<()> {
    for (count, goal) in [
        (1000, ""),
        (4000, "under 0.3 s (kubectl: 91 s of CPU)"),
        (16_000, "4 x the line above"),
    ] {
        let dir = Dir::new("deployments")?;
        let mut all = String::new();
        for at in 0..count {
            write!(
                all,
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{at}\n  labels: {{app: app-{at}}}\nspec:\n  \
                 replicas: 1\n  selector:\n    matchLabels: {{app: app-{at}}}\n  template:\n    metadata:\n      labels: \
                 {{app: app-{at}}}\n    spec:\n      containers:\n      - name: app\n        image: registry.example/app:{at}\n        \
                 ports:\n        - containerPort: 8080\n"
            )?;
        }
        fs::write(dir.0.join("all.yaml"), all)?;
        fs::write(dir.0.join("kustomization.yaml"), "resources: [all.yaml]\n")?;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let mut command = Command::new(binary);
            times.push(milliseconds(command.args(["kustomize", "build"]).arg(&dir.0))? / 1000.0);
        }
        show(
            &format!("kustomize: {count} plain Deployments, wall"),
            times,
            "s",
            goal,
        );
    }
    Ok(())
}

/// Twelve megabytes of custom resource definitions: time and memory.
fn large(binary: &Path) -> Result<()> {
    let dir = Dir::new("definitions")?;
    let mut files = Vec::new();
    let mut bytes = 0;
    while bytes < 12_000_000 {
        let at = files.len();
        let text = definition(at)?;
        bytes += text.len();
        fs::write(dir.0.join(format!("crd-{at}.yaml")), text)?;
        files.push(format!("- crd-{at}.yaml\n"));
    }
    fs::write(
        dir.0.join("kustomization.yaml"),
        format!("resources:\n{}", files.concat()),
    )?;
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let out = dir.0.join("out.yaml");
        let mut command = Command::new(binary);
        command.args(["kustomize", "build", "-o"]).arg(&out).arg(&dir.0);
        let started = Instant::now();
        memory.push(peak(&mut command)?);
        times.push(started.elapsed().as_secs_f64());
    }
    show(
        &format!("kustomize: {:.1} MB of definitions, wall", bytes as f64 / 1e6),
        times,
        "s",
        "",
    );
    show("  peak memory", memory, "MB", "under 100 MB");
    Ok(())
}

/// One definition of about 300 kB, nested and described as real ones are.
fn definition(at: usize) -> Result<String> {
    let mut text = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things{at}.example.org\nspec:\n  \
         group: example.org\n  names: {{kind: Thing{at}, plural: things{at}}}\n  scope: Namespaced\n  versions:\n  - name: v1\n    \
         served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n"
    );
    for field in 0..1000 {
        write!(
            text,
            "          field{field}:\n            description: |-\n              What the {field}th field of a thing is for, in a sentence \
             or two: it says\n              how much of it there may be, and \"what\" happens otherwise.\n            type: object\n            \
             properties:\n              items:\n                type: array\n                items: {{type: string, pattern: '^[a-z]+$'}}\n"
        )?;
    }
    Ok(text)
}

/// How long a command takes; it must succeed.
fn milliseconds(command: &mut Command) -> Result<f64> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// The most memory a command held, MB: read from the kernel while it runs, as nothing here may ask `wait4`.
fn peak(command: &mut Command) -> Result<f64> {
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut most = 0.0_f64;
    loop {
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id()))
            && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            most = most.max(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0);
        }
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("{command:?} failed");
            }
            return Ok(most);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
