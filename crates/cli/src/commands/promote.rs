//! `herder promote APPLICATION --to STAGE`: a commit in the stage's config repository that moves exactly the pins.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON by key: what is not there reads as null"
)]

use crate::args::Global;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

/// Arguments of `herder promote`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The environment to promote to
    #[arg(long, value_name = "STAGE")]
    to: String,
    /// The environment to take the version from [default: the stage before]
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["version", "reference"])]
    from: Option<String>,
    /// Pin this version instead of another stage's
    #[arg(long, requires = "reference")]
    version: Option<String>,
    /// The commit of the application's repository that the version was built from
    #[arg(long = "ref", value_name = "COMMIT", requires = "version")]
    reference: Option<String>,
    /// Show the commit without making it
    #[arg(long)]
    dry_run: bool,
    /// Wait until the promoted version is healthy or has failed
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let by = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let mut request = json!({"application": args.application, "to": args.to, "by": by, "dry_run": args.dry_run, "wait": args.wait});
    for (field, value) in [
        ("from", args.from),
        ("version", args.version),
        ("reference", args.reference),
    ] {
        if let Some(value) = value {
            request[field] = json!(value);
        }
    }
    let answer = platform.post("/api/v1/promote", &request).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let text = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default();
    println!("{}", text("message"));
    if !text("diff").is_empty() {
        println!("{}", text("diff"));
    }
    Ok(())
}
