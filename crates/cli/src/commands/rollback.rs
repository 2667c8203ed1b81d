//! `herder rollback APPLICATION -n ENVIRONMENT`: a commit that gives a stage the version back that it had before.

use crate::args::Global;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

/// Arguments of `herder rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The environment
    #[arg(short = 'n', long, alias = "namespace", value_name = "STAGE")]
    environment: String,
    /// A version, or a commit of the config repository [default: what was there before]
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Show the commit without making it
    #[arg(long)]
    dry_run: bool,
    /// Wait until the version is healthy or has failed
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let request = json!({
        "application": args.application, "environment": args.environment, "to": args.to, "dry_run": args.dry_run,
        "wait": args.wait, "by": std::env::var("USER").unwrap_or_default(),
    });
    let answer = platform.post("/api/v1/rollback", &request).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        println!(
            "{}",
            answer.get("message").and_then(Value::as_str).unwrap_or_default()
        );
    }
    Ok(())
}
