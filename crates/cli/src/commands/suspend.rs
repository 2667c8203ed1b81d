//! `herder suspend` and `herder resume`: an application stays as it is for a time, whatever git says.

use crate::args::Global;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

/// Arguments of `herder suspend`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The namespace (or environment) it runs in
    #[arg(short, long)]
    namespace: String,
    /// How long, such as 2h; it ends by itself
    #[arg(long = "for", value_name = "DURATION", default_value = "8h", value_parser = |text: &str| herder_base::duration_with_unit(text).map(|_| text.to_owned()))]
    lasts: String,
    /// Why, for whoever wonders
    #[arg(long, default_value = "")]
    reason: String,
}

/// Arguments of `herder resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The application
    application: String,
    /// The namespace (or environment) it runs in
    #[arg(short, long)]
    namespace: String,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let request = json!({
        "application": args.application, "namespace": args.namespace, "for": args.lasts, "reason": args.reason,
        "by": std::env::var("USER").unwrap_or_default(),
    });
    let answer = Platform::find(global)?.post("/api/v1/suspend", &request).await?;
    let until = answer.get("until").and_then(Value::as_str).unwrap_or_default();
    say(
        global,
        &answer,
        &format!(
            "{} in {} stays as it is until {until}",
            args.application, args.namespace
        ),
    )
}

pub(crate) async fn resume(global: &Global, args: ResumeArgs) -> Result<()> {
    let request = json!({
        "application": args.application, "namespace": args.namespace,
        "by": std::env::var("USER").unwrap_or_default(),
    });
    let answer = Platform::find(global)?.post("/api/v1/resume", &request).await?;
    say(
        global,
        &answer,
        &format!("{} in {} is as git says", args.application, args.namespace),
    )
}

fn say(global: &Global, answer: &Value, line: &str) -> Result<()> {
    if global.json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        println!("{line}");
    }
    Ok(())
}
