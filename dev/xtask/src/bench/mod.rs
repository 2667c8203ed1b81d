//! Measures the product against its goals. Prints figures with the machine's noise (minimum, median, maximum of several
//! runs); never a pass or fail, because machines are shared.

mod hostile;
mod jobdsl;
mod kustomize;
mod pods;
mod product;
mod secrets;

use crate::run::{cargo, output};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// What measures one area, given the release binary.
type Area = (&'static str, fn(&Path) -> Result<()>);

const AREAS: &[Area] = &[
    ("noise", noise),
    ("cluster", product::cluster),
    ("pods", pods::run),
    ("demo", product::demo),
    ("estate", product::estate),
    ("secrets", secrets::run),
    ("hostile", hostile::run),
    ("kustomize", kustomize::run),
    ("jobdsl", jobdsl::run),
];

/// Runs all benchmarks, or those named.
pub fn run(args: &[String]) -> Result<()> {
    let known = |arg: &String| AREAS.iter().any(|(name, _)| name == arg);
    if let Some(unknown) = args.iter().find(|arg| !known(arg)) {
        let names: Vec<&str> = AREAS.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark `{unknown}`; there are {}", names.join(", "));
    }
    // Another build can be measured by the same measure.
    let binary = match std::env::var_os("HERDER_MEASURED") {
        Some(path) => PathBuf::from(path),
        None => {
            cargo(&["build", "--release", "--package", "herder"])?;
            binary()?
        }
    };
    println!("{:<52} {:>11} {:>11} {:>11}   goal", "", "min", "median", "max");
    for (name, measure) in AREAS {
        if args.is_empty() || args.iter().any(|arg| arg == name) {
            measure(&binary)?;
        }
    }
    Ok(())
}

fn binary() -> Result<PathBuf> {
    Ok(target()?.join("release/herder"))
}

/// Where cargo builds.
fn target() -> Result<PathBuf> {
    let metadata: Value = serde_json::from_str(&output(
        "cargo",
        &["metadata", "--format-version", "1", "--no-deps"],
    )?)?;
    let target = metadata["target_directory"]
        .as_str()
        .context("no target directory")?;
    Ok(PathBuf::from(target))
}

fn show(what: &str, mut values: Vec<f64>, unit: &str, goal: &str) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let cell = |value: f64| format!("{value:.2} {unit}").trim_end().to_owned();
    let (first, middle, last) = (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)));
    println!(
        "{what:<52} {:>11} {:>11} {:>11}   {goal}",
        cell(first),
        cell(middle),
        cell(last)
    );
}

/// How long a fixed piece of work takes here and now: the yardstick for everything below.
fn noise(_: &Path) -> Result<()> {
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

/// Writes a configuration for curl with the credentials of a kubeconfig: kubectl itself takes longer to start than to be
/// answered.
fn curl_config(dir: &Path, kubeconfig: &Path) -> Result<PathBuf> {
    let kubeconfig = std::fs::read_to_string(kubeconfig)?;
    let mut lines = String::new();
    for (field, option) in [
        ("certificate-authority-data", "cacert"),
        ("client-certificate-data", "cert"),
        ("client-key-data", "key"),
    ] {
        let encoded = kubeconfig
            .lines()
            .find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(": "))
            .context("no such field in the kubeconfig")?;
        let file = dir.join(option);
        let script = format!("printf %s '{encoded}' | base64 -d > '{}'", file.display());
        if !Command::new("sh").args(["-c", &script]).status()?.success() {
            bail!("base64 failed");
        }
        lines.push_str(&format!("{option} = \"{}\"\n", file.display()));
    }
    let config = dir.join("curl");
    std::fs::write(&config, lines)?;
    Ok(config)
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

/// Resident memory of one process, MB.
fn resident(pid: u32) -> Result<f64> {
    let kilobytes = number(Path::new(&format!("/proc/{pid}/status")), "VmRSS:");
    Ok(kilobytes.context("the process has ended")? / 1024.0)
}

/// Memory of a process and all below it, MB, each page counted once (PSS).
fn proportional(root: u32) -> Result<f64> {
    let mut below: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = number(&entry.path().join("status"), "PPid:") {
            below.entry(parent as u32).or_default().push(pid);
        }
    }
    let (mut pending, mut kilobytes) = (vec![root], 0.0);
    while let Some(pid) = pending.pop() {
        kilobytes += number(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:").unwrap_or_default();
        pending.extend(below.remove(&pid).unwrap_or_default());
    }
    Ok(kilobytes / 1024.0)
}

/// A number in a file of the kernel's; none if the process has gone meanwhile.
fn number(path: &Path, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
