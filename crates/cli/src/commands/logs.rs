//! `herder logs APPLICATION -n NAMESPACE`: the logs of an application's pods.

use crate::args::Global;
use crate::platform::{Platform, escape};
use anyhow::Result;

/// Arguments of `herder logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The namespace (or environment) it runs in
    #[arg(short, long)]
    namespace: String,
    /// Only this container, of those that start a pod as well [default: all]
    #[arg(short, long)]
    container: Option<String>,
    /// Keep printing what comes
    #[arg(short, long)]
    follow: bool,
    /// What the containers wrote before they were last restarted
    #[arg(short, long, conflicts_with = "follow")]
    previous: bool,
    /// Only the last lines of each container
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let mut path = format!(
        "/api/v1/logs?application={}&namespace={}&follow={}&previous={}&json={}",
        escape(&args.application),
        escape(&args.namespace),
        args.follow,
        args.previous,
        global.json
    );
    if let Some(container) = &args.container {
        path.push_str(&format!("&container={}", escape(container)));
    }
    if let Some(lines) = args.tail {
        path.push_str(&format!("&tail={lines}"));
    }
    crate::output::copy(platform.stream(&path).await?).await
}
