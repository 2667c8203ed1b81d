//! `herder import`: takes over what another system holds. Each system has a file of its own.

mod jenkins;

use crate::args::Global;
use anyhow::Result;
use clap::Subcommand;

/// Arguments of `herder import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Jobs of a Jenkins: a config.xml, a Jenkins home, or the repository of a seed job
    Jenkins(jenkins::Args),
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.from {
        From::Jenkins(args) => jenkins::run(global, args).await,
    }
}
