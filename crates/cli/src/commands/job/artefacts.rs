//! `herder job artefacts JOB [NUMBER]`: the files that a run kept.

use super::runs::newest;
use crate::args::Global;
use crate::platform::{Platform, escape};
use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `herder job artefacts`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job
    job: String,
    /// The run [default: the latest]
    number: Option<u64>,
    /// Print this one to standard output
    #[arg(long, value_name = "PATH", conflicts_with = "output")]
    cat: Option<String>,
    /// Write all of them below this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let number = match args.number {
        Some(number) => number,
        None => newest(&platform, &args.job).await?,
    };
    let run = format!("job={}&number={number}", escape(&args.job));
    if let Some(path) = &args.cat {
        let mut out = std::io::stdout().lock();
        return fetch(&platform, &run, path, &mut out).await;
    }
    let all = platform.get(&format!("/api/v1/runs/artefacts?{run}")).await?;
    let paths: Vec<&str> = all
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("path").and_then(Value::as_str))
        .collect();
    if let Some(dir) = &args.output {
        for path in &paths {
            let place = place(dir, path)?;
            let mut file =
                std::fs::File::create(&place).with_context(|| format!("cannot write {}", place.display()))?;
            fetch(&platform, &run, path, &mut file).await?;
            if !global.json {
                println!("{}", place.display());
            }
        }
        if !global.json {
            return Ok(());
        }
    }
    if global.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if paths.is_empty() {
        println!("{} #{number} has kept no files", args.job);
        return Ok(());
    }
    let mut table = vec![["PATH", "BYTES"].map(str::to_owned)];
    for one in all.as_array().into_iter().flatten() {
        let text = |field: &str| {
            let value = one.get(field).cloned().unwrap_or_default();
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        table.push([text("path"), text("size")]);
    }
    crate::output::table(&table);
    Ok(())
}

/// Where a file goes. Its name comes from a job, so it must stay below.
fn place(dir: &Path, path: &str) -> Result<PathBuf> {
    if path.is_empty() || !herder_job::is_within(path) {
        bail!("`{path}` is no name of an artefact");
    }
    let place = dir.join(path);
    let parent = place.parent().unwrap_or(dir);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    Ok(place)
}

async fn fetch(platform: &Platform, run: &str, path: &str, to: &mut impl Write) -> Result<()> {
    let place = format!("/api/v1/runs/artefact?{run}&path={}", escape(path));
    let mut body = platform.stream(&place).await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.with_context(|| format!("{path} broke off"))?;
        if let Ok(bytes) = frame.into_data() {
            to.write_all(&bytes)?;
        }
    }
    to.flush()?;
    Ok(())
}
