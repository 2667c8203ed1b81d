//! `herder job list|run|log|runs|abort`: jobs and their runs.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::args::Global;
use crate::platform::{Platform, escape};
use crate::watching;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Between two looks at a run that is about to end.
const MOMENT: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List jobs with their last run
    List {
        /// Show them again whenever something changes
        #[arg(short, long)]
        watch: bool,
    },
    /// Start a run
    Run {
        /// The job
        job: String,
        /// Parameters, NAME=VALUE
        #[arg(value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Follow its log and exit with its result
        #[arg(short, long)]
        follow: bool,
    },
    /// List the runs of a job
    Runs {
        /// The job
        job: String,
    },
    /// Print the log of a run
    Log {
        /// The job
        job: String,
        /// The run [default: the latest]
        number: Option<u64>,
        /// Keep printing until it ends
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop a run
    Abort {
        /// The job
        job: String,
        /// The run
        number: u64,
    },
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<()> {
    let platform = Platform::find(global)?;
    match verb {
        Verb::List { watch } => {
            watching::show(&platform, watch, global.json, async || {
                list(global, &platform, watch).await
            })
            .await
        }
        Verb::Run {
            job,
            parameters,
            follow,
        } => {
            let mut values = Map::new();
            for pair in &parameters {
                let (name, value) = pair
                    .split_once('=')
                    .with_context(|| format!("`{pair}` is not NAME=VALUE"))?;
                values.insert(name.to_owned(), json!(value));
            }
            let run = platform
                .post("/api/v1/runs", &json!({"job": job, "parameters": values}))
                .await?;
            let number = run["number"].as_u64().context("the answer has no run number")?;
            if !follow {
                return print(
                    global,
                    &run,
                    &format!(
                        "{job} #{number} is {}",
                        run["status"].as_str().unwrap_or("queued")
                    ),
                );
            }
            log(global, &platform, &job, number, true).await?;
            let run = ended(&platform, &job, number).await?;
            let status = run["status"].as_str().unwrap_or_default();
            eprintln!(
                "{job} #{number}: {status} {}",
                run["reason"].as_str().unwrap_or_default()
            );
            if status == "succeeded" {
                Ok(())
            } else {
                Err(crate::output::Exit(1).into())
            }
        }
        Verb::Runs { job } => {
            let runs = platform
                .get(&format!("/api/v1/runs?job={}", escape(&job)))
                .await?;
            let mut table =
                vec![["RUN", "STATUS", "NAMESPACE", "CAUSE", "QUEUED", "REASON"].map(str::to_owned)];
            for run in runs.as_array().into_iter().flatten() {
                let text = |field: &str| {
                    run.get(field)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                table.push([
                    format!("#{}", run["number"]),
                    text("status"),
                    text("namespace"),
                    text("cause"),
                    text("queued_at"),
                    text("reason"),
                ]);
            }
            if global.json {
                return print(global, &runs, "");
            }
            crate::output::table(&table);
            Ok(())
        }
        Verb::Log { job, number, follow } => {
            let number = match number {
                Some(number) => number,
                None => newest(&platform, &job).await?,
            };
            log(global, &platform, &job, number, follow).await
        }
        Verb::Abort { job, number } => {
            let run = platform
                .post("/api/v1/runs/abort", &json!({"job": job, "number": number}))
                .await?;
            print(global, &run, &format!("{job} #{number} is being stopped"))
        }
    }
}

async fn list(global: &Global, platform: &Platform, watch: bool) -> Result<()> {
    let jobs = platform.get("/api/v1/jobs").await?;
    if global.json {
        return watching::document(&jobs, watch);
    }
    let mut table = vec![["JOB", "LAST RUN", "STATUS", "TRIGGERS", "ORIGIN"].map(str::to_owned)];
    for job in jobs.as_array().into_iter().flatten() {
        let text = |pointer: &str| {
            job.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let number = job
            .pointer("/last/number")
            .map(|number| format!("#{number}"))
            .unwrap_or_default();
        table.push([
            text("/name"),
            number,
            if job["refused"].as_array().is_some_and(|why| !why.is_empty()) {
                "refused".to_owned()
            } else {
                text("/last/status")
            },
            text("/triggers"),
            text("/origin"),
        ]);
    }
    crate::output::table(&table);
    Ok(())
}

/// The number of a job's newest run.
pub(super) async fn newest(platform: &Platform, job: &str) -> Result<u64> {
    let runs = platform.get(&format!("/api/v1/runs?job={}", escape(job))).await?;
    runs.pointer("/0/number")
        .and_then(Value::as_u64)
        .with_context(|| format!("`{job}` has never run"))
}

async fn one(platform: &Platform, job: &str, number: u64) -> Result<Value> {
    let run = platform
        .get(&format!("/api/v1/runs/one?job={}&number={number}", escape(job)))
        .await?;
    if run.is_null() {
        bail!("`{job}` has no run #{number}");
    }
    Ok(run)
}

/// A run whose log has ended: that is a moment before how it ended is written down.
async fn ended(platform: &Platform, job: &str, number: u64) -> Result<Value> {
    let patience = crate::waiting::patience()?;
    let ending = async {
        loop {
            let run = one(platform, job, number).await?;
            if !run["finished_at"].is_null() {
                return Ok(run);
            }
            tokio::time::sleep(MOMENT).await;
        }
    };
    tokio::time::timeout(patience, ending).await.with_context(|| {
        format!("the log of {job} #{number} has ended and the run has not, for {patience:?}")
    })?
}

async fn log(global: &Global, platform: &Platform, job: &str, number: u64, follow: bool) -> Result<()> {
    let path = format!(
        "/api/v1/runs/log?job={}&number={number}&follow={follow}&json={}",
        escape(job),
        global.json
    );
    crate::output::copy(platform.stream(&path).await?).await
}

fn print(global: &Global, value: &Value, line: &str) -> Result<()> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        println!("{line}");
    }
    Ok(())
}
