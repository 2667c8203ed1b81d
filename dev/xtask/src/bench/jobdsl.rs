//! How long a large seed repository takes: scripts evaluated in process, and what they make compared with what was
//! there.

use super::{RUNS, show};
use crate::run::{output, root};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

pub(super) fn run(_: &Path) -> Result<()> {
    let corpus = root().join("../shared/corpora/jobdsl");
    if !corpus.is_dir() {
        println!("jobdsl: skipped, the corpus of seed repositories is not here");
        return Ok(());
    }
    let path = |name: &str| corpus.join(name).to_string_lossy().into_owned();
    let (inputs, expected) = (path("inputs"), path("expected"));
    let (mut compile, mut all) = (Vec::new(), Vec::new());
    let mut what = String::new();
    for _ in 0..RUNS {
        let line = output(
            "cargo",
            &[
                "run",
                "--quiet",
                "--release",
                "--package",
                "herder-jobdsl",
                "--example",
                "bench",
                "--",
                &inputs,
                &expected,
            ],
        )?;
        let figures: Value = serde_json::from_str(line.trim()).context("the benchmark gave no figures")?;
        let number = |name: &str| {
            figures
                .get(name)
                .and_then(Value::as_f64)
                .context("a figure is missing")
        };
        compile.push(number("compile")? * 1000.0);
        all.push(number("all")? * 1000.0);
        what = format!("{} scripts, {} items", number("scripts")?, number("items")?);
    }
    show(&format!("Job DSL, {what}: evaluated"), compile, "ms", "");
    show("the same, evaluated and compared", all, "ms", "under 1000 ms");
    Ok(())
}
