//! `herder job`: jobs, their runs, and the scripts that define them. Each verb's work is in a file of its own.

mod artefacts;
mod compile;
mod plan;
mod runs;
pub(crate) mod scripts;

use crate::args::Global;
use anyhow::Result;
use clap::Subcommand;

/// Arguments of `herder job`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Runs(runs::Verb),
    /// List the files that a run kept, or fetch them
    Artefacts(artefacts::Args),
    /// Read Job DSL scripts and show or write the jobs they make
    Compile(compile::Args),
    /// Show what applying Job DSL scripts would create, change and remove
    Plan(plan::Args),
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.verb {
        Verb::Runs(verb) => runs::run(global, verb).await,
        Verb::Artefacts(args) => artefacts::run(global, &args).await,
        Verb::Compile(args) => compile::run(global, &args),
        Verb::Plan(args) => plan::run(global, &args),
    }
}
