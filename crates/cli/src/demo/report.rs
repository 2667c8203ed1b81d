//! What the demo tells: progress while it plays, one report at the end.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A line that says what goes on, and a line per finished scene. Silent when JSON was asked for.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(crate) fn new(shown: bool) -> Self {
        if !shown {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(Some(bar))
    }

    pub(crate) fn say(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    pub(crate) fn scene(&self, name: &str, title: &str, result: &Result<Value>, took: Duration) {
        let Some(bar) = &self.0 else { return };
        let seconds = took.as_secs_f64();
        let line = match result {
            Ok(_) => format!("  ok    {name:<12} {seconds:>5.1} s  {title}"),
            Err(error) => format!("  FAIL  {name:<12} {seconds:>5.1} s  {title}\n        {error:#}"),
        };
        // A terminal that went away is no reason to stop.
        bar.suspend(|| println!("{line}"));
    }

    pub(crate) fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The report as it is printed with `--json`.
#[derive(Default)]
pub(crate) struct Report {
    ready: Value,
    scenes: Vec<Value>,
    remarks: Vec<String>,
    left_behind: Vec<String>,
}

impl Report {
    pub(crate) fn ready(&mut self, evidence: Value, took: Duration) {
        self.ready = json!({"seconds": round(took), "evidence": evidence});
    }

    pub(crate) fn scene(&mut self, name: &str, title: &str, result: Result<Value>, took: Duration) {
        self.scenes.push(match result {
            Ok(evidence) => json!({"name": name, "title": title, "ok": true, "seconds": round(took), "evidence": evidence}),
            Err(error) => json!({"name": name, "title": title, "ok": false, "seconds": round(took), "error": format!("{error:#}")}),
        });
    }

    /// What this user or machine does not get, a line each.
    pub(crate) fn remarks(&mut self, remarks: Vec<String>) {
        self.remarks = remarks;
    }

    /// Looks for anything that should have gone with the platform: processes whose command line names the directory,
    /// and mounts below it.
    pub(crate) fn left_behind(&mut self, dir: &Path) {
        let needle = dir.to_string_lossy().into_owned();
        let own = std::process::id().to_string();
        for entry in std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if pid != own && line.contains("internal ") && line.contains(&needle) {
                self.left_behind.push(format!("process {pid}: {line}"));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        self.left_behind.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&needle))
                .map(|line| format!("mount {line}")),
        );
        let devices = std::fs::read_dir("/sys/class/net")
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let devices = devices.map(|entry| entry.file_name().to_string_lossy().into_owned());
        self.left_behind.extend(
            devices
                .filter(|name| name.starts_with("herder"))
                .map(|name| format!("network device {name}")),
        );
    }

    pub(crate) fn ok(&self) -> bool {
        !self.scenes.is_empty()
            && self.scenes.iter().all(|scene| scene["ok"] == true)
            && self.left_behind.is_empty()
    }

    pub(crate) fn print(&self) -> Result<()> {
        let report = json!({
            "ok": self.ok(),
            "ready": self.ready,
            "scenes": self.scenes,
            "remarks": self.remarks,
            "left_behind": self.left_behind,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        Ok(())
    }

    pub(crate) fn summary(&self) {
        let held = self.scenes.iter().filter(|scene| scene["ok"] == true).count();
        println!(
            "{held} of {} scenes hold; everything was healthy after {} s",
            self.scenes.len(),
            self.ready["seconds"]
        );
        for remark in &self.remarks {
            println!("note: {remark}");
        }
        for left in &self.left_behind {
            println!("left behind: {left}");
        }
    }
}

fn round(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}
