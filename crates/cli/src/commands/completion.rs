//! `herder completion SHELL`: prints a completion script.

use crate::args::Herder;
use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `herder completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete for
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    clap_complete::generate(
        args.shell,
        &mut Herder::command(),
        "herder",
        &mut std::io::stdout(),
    );
    Ok(())
}
