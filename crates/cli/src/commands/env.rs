//! `herder env up|down|list`: developer environments.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::args::Global;
use crate::platform::{Platform, escape, find_dir};
use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Arguments of `herder env`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring an environment up and print where it answers
    Up {
        /// The environment
        name: String,
        /// How long it may live, such as 8h [default: what the environment says]
        #[arg(long)]
        lease: Option<String>,
        /// Do not wait until it is healthy
        #[arg(long)]
        no_wait: bool,
        /// How long to wait
        #[arg(long, default_value = "5m", value_parser = |text: &str| herder_base::parse_duration(text))]
        timeout: Duration,
    },
    /// Remove an environment without a trace
    Down {
        /// The environment
        name: String,
        /// Do not wait until it is gone
        #[arg(long)]
        no_wait: bool,
    },
    /// List environments
    List,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::of(&find_dir(global.dir.as_deref()))?;
    let by = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    match args.verb {
        Verb::Up {
            name,
            lease,
            no_wait,
            timeout,
        } => {
            let mut request = json!({"by": by});
            if let Some(lease) = lease {
                request["lease"] = json!(lease);
            }
            platform
                .post(&format!("/api/v1/environments/{}/up", escape(&name)), &request)
                .await?;
            let found = if no_wait {
                environment(&platform, &name).await?
            } else {
                wait_up(&platform, &name, timeout).await?
            };
            show(global, &found)
        }
        Verb::Down { name, no_wait } => {
            platform
                .post(
                    &format!("/api/v1/environments/{}/down", escape(&name)),
                    &json!({"by": by}),
                )
                .await?;
            while !no_wait && environment(&platform, &name).await?["present"] == true {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            show(global, &environment(&platform, &name).await?)
        }
        Verb::List => {
            let status = platform.get("/api/v1/status").await?;
            if global.json {
                println!("{}", serde_json::to_string_pretty(&status["environments"])?);
                return Ok(());
            }
            let mut table =
                vec![["ENVIRONMENT", "NAMESPACE", "KIND", "STATE", "UNTIL", "BY"].map(str::to_owned)];
            for item in status["environments"].as_array().into_iter().flatten() {
                let text = |field: &str| {
                    item.get(field)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let state = if item["up"] == true { "up" } else { "down" };
                table.push([
                    text("name"),
                    text("namespace"),
                    text("kind"),
                    state.to_owned(),
                    text("until"),
                    text("by"),
                ]);
            }
            crate::output::table(&table);
            Ok(())
        }
    }
}

async fn environment(platform: &Platform, name: &str) -> Result<Value> {
    let status = platform.get("/api/v1/status").await?;
    let found = status["environments"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["name"] == name)
        .cloned();
    match found {
        Some(found) => Ok(found),
        None => bail!("the fleet has no environment `{name}`"),
    }
}

/// Waits until every application of the environment is healthy.
async fn wait_up(platform: &Platform, name: &str, timeout: Duration) -> Result<Value> {
    let started = Instant::now();
    loop {
        let found = environment(platform, name).await?;
        if found["healthy"] == true {
            return Ok(found);
        }
        if started.elapsed() > timeout {
            bail!(
                "{name} is not healthy after {}: see `herder status`",
                herder_base::format_duration(timeout)
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn show(global: &Global, found: &Value) -> Result<()> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(found)?);
        return Ok(());
    }
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    if found["up"] == true {
        println!("{} is up until {}", text("name"), text("until"));
    } else {
        println!("{} is down", text("name"));
    }
    for url in found["urls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        println!("  {url}");
    }
    Ok(())
}
