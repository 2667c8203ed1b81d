//! `herder logs APPLICATION -n NAMESPACE`: the logs of an application's pods.

use crate::args::Global;
use crate::platform::{Platform, escape, find_dir};
use anyhow::Result;

/// Arguments of `herder logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// The namespace (or environment) it runs in
    #[arg(short, long)]
    namespace: String,
    /// Keep printing what comes
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each container
    #[arg(long)]
    tail: Option<u64>,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::of(&find_dir(global.dir.as_deref()))?;
    let tail = args
        .tail
        .map(|lines| format!("&tail={lines}"))
        .unwrap_or_default();
    let path = format!(
        "/api/v1/logs?application={}&namespace={}&follow={}{tail}",
        escape(&args.application),
        escape(&args.namespace),
        args.follow
    );
    crate::output::copy(platform.stream(&path).await?).await
}
