//! `herder env up|down|list`: developer environments.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::args::Global;
use crate::failing::Failing;
use crate::platform::{Platform, escape};
use crate::watching;
use anyhow::Result;
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
        #[arg(long, value_parser = lease)]
        lease: Option<String>,
        /// Do not wait until it is healthy
        #[arg(long)]
        no_wait: bool,
        /// How long to wait
        #[arg(long, default_value = "5m", value_parser = |text: &str| herder_base::duration_with_unit(text))]
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
    List {
        /// Show them again whenever something changes
        #[arg(short, long)]
        watch: bool,
    },
}

/// The platform reads it, too; a mistake is told before anything is asked.
fn lease(text: &str) -> Result<String, herder_base::ParseDurationError> {
    herder_base::duration_with_unit(text).map(|_| text.to_owned())
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
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
        Verb::List { watch } => {
            watching::show(&platform, watch, global.json, async || {
                list(global, &platform.get("/api/v1/status").await?, watch)
            })
            .await
        }
    }
}

fn list(global: &Global, status: &Value, watch: bool) -> Result<()> {
    if global.json {
        return watching::document(&status["environments"], watch);
    }
    let mut table = vec![["ENVIRONMENT", "NAMESPACE", "KIND", "STATE", "UNTIL", "BY"].map(str::to_owned)];
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

async fn environment(platform: &Platform, name: &str) -> Result<Value> {
    let status = platform.get("/api/v1/status").await?;
    let all = || status["environments"].as_array().into_iter().flatten();
    if let Some(found) = all().find(|item| item["name"] == name) {
        return Ok(found.clone());
    }
    let known = all().filter_map(|item| item["name"].as_str());
    Err(Failing::unknown(format!("the fleet has no environment `{name}`"), name, known).into())
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
            let after = herder_base::format_duration(timeout);
            let failing = Failing::unhealthy(format!("{name} is not healthy after {after}"));
            return Err(failing
                .hint(format!("`herder status -n {name}` shows what is not"))
                .into());
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
