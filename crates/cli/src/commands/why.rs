//! `herder why APPLICATION -n NAMESPACE`: the cause first, then the way from commit to log line.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::args::Global;
use crate::platform::{Platform, escape};
use anyhow::Result;
use herder_base::Plain;
use serde_json::Value;

/// Arguments of `herder why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The namespace (or environment) it runs in
    #[arg(short, long)]
    namespace: String,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let path = format!(
        "/api/v1/why?application={}&namespace={}",
        escape(&args.application),
        escape(&args.namespace)
    );
    let why = platform.get(&path).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&why)?);
        return Ok(());
    }
    // Much of it is what applications wrote.
    let text = |value: &Value, field: &str| {
        let text = value.get(field).and_then(Value::as_str).unwrap_or_default();
        Plain(text).to_string()
    };
    println!("{}", text(&why, "cause"));
    if !text(&why, "remedy").is_empty() {
        println!("  {}", text(&why, "remedy"));
    }
    println!();
    for step in why["chain"].as_array().into_iter().flatten() {
        let mark = if step["bad"] == true { "✕" } else { "·" };
        println!(
            "  {mark} {} {}  {}  {}",
            text(step, "kind"),
            text(step, "name"),
            text(step, "state"),
            text(step, "detail")
        );
    }
    let lines: Vec<&str> = why["log_tail"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !lines.is_empty() {
        println!("\n  last log lines:");
    }
    for line in lines {
        println!("  | {}", Plain(line));
    }
    Ok(())
}
