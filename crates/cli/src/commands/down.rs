//! `herder down --everything`: removes all workloads, jobs, policies and namespaces of the fleet; state survives.

use crate::args::Global;
use crate::failing::Failing;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

/// Arguments of `herder down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Yes, everything that git can bring back
    #[arg(long)]
    everything: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    if !args.everything {
        return Err(Failing::usage("say what is to go: `--everything`")
            .hint(
                "`herder down --everything` removes all that `herder up FLEET` made from git; Vault's data, volumes \
                 marked as state and the ledger stay",
            )
            .into());
    }
    let platform = Platform::find(global)?;
    let answer = platform
        .post("/api/v1/down", &json!({"everything": true}))
        .await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        println!(
            "{}",
            answer
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("everything is down")
        );
    }
    Ok(())
}
