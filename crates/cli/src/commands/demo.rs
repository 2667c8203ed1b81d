//! `herder demo`: writes an example organisation, starts everything from it and plays the story.

use crate::args::Global;
use crate::commands::up::{ListenArgs, VaultArgs};
use crate::demo;
use anyhow::Result;
use std::path::PathBuf;

/// Arguments of `herder demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Play the story, report, stop everything and exit; otherwise stay up until Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
    /// How many node agents the embedded cluster runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) nodes: u8,
    /// Only these scenes, by name; the ones they build on are the reader's concern
    #[arg(long, value_name = "SCENE", value_delimiter = ',')]
    pub(crate) scenes: Vec<String>,
    /// A folder of namespace folders to use for the estate scene instead of the built-in one
    #[arg(long, value_name = "DIR")]
    pub(crate) estate: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) vault: VaultArgs,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    crate::print::outlive_reader();
    let dir = global.dir.clone().unwrap_or_else(|| PathBuf::from("herder-demo"));
    demo::play(&dir, global.json, args).await
}
