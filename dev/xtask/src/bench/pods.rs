//! How long a pod takes from its creation to Ready: image `host`, one after another on an idle cluster.

use super::{Dir, Running, curl_config, show};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Instant;

const PODS: usize = 30;

/// Measures; prints figures.
pub(super) fn run(binary: &Path) -> Result<()> {
    let dir = Dir::new("pods")?;
    let child = Command::new(binary)
        .args(["cluster", "--nodes", "1", "--dir"])
        .arg(dir.0.join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut cluster = Running(child);
    let out = cluster.0.stdout.take().context("no output")?;
    let mut lines = BufReader::new(out).lines();
    lines.next().context("herder cluster ended")??;
    let kubeconfig = dir.0.join("data/kubeconfig");
    let config = curl_config(&dir.0, &kubeconfig)?;
    let text = std::fs::read_to_string(&kubeconfig)?;
    let server = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: "))
        .context("no server in the kubeconfig")?;
    let pods = format!("{server}/api/v1/namespaces/default/pods");
    let watching = Command::new("curl")
        .args(["--silent", "--no-buffer", "--config"])
        .arg(&config)
        .arg(format!("{pods}?watch=true"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut watching = Running(watching);
    let mut events = BufReader::new(watching.0.stdout.take().context("no output")?).lines();
    let mut took = Vec::new();
    // The first pods of a cluster wait for what comes up with it.
    for index in 0..PODS + 3 {
        let name = format!("p{index}");
        let started = Instant::now();
        create(&config, &pods, &name)?;
        ready(&mut events, &name)?;
        if index >= 3 {
            took.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    show(
        "a pod, from its creation to Ready",
        took,
        "ms",
        "p50 under 150 ms",
    );
    Ok(())
}

fn create(config: &Path, pods: &str, name: &str) -> Result<()> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "host", "command": ["sleep", "1000"]}]}});
    let output = Command::new("curl")
        .args(["--silent", "--fail-with-body", "--config"])
        .arg(config)
        .args(["--header", "Content-Type: application/json", "--data"])
        .arg(pod.to_string())
        .arg(pods)
        .output()?;
    if !output.status.success() {
        bail!("the pod was refused: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

fn ready(events: &mut Lines<BufReader<ChildStdout>>, name: &str) -> Result<()> {
    for event in events {
        let event: Value = serde_json::from_str(&event?)?;
        let pod = &event["object"];
        let ready = pod["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        if pod["metadata"]["name"] == name && ready {
            return Ok(());
        }
    }
    bail!("the watch ended before {name} was ready")
}
