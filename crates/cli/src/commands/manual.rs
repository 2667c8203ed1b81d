//! `herder manual DIR`: writes the manual pages, one for each command. For `cargo xtask dist`, hence hidden.

use crate::args::Herder;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::path::{Path, PathBuf};

/// Arguments of `herder manual`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write them
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot create {}", args.dir.display()))?;
    let mut command = Herder::command().disable_help_subcommand(true);
    command.build();
    page(&command, "herder", &args.dir)
}

/// One page, and those of the commands below it.
fn page(command: &clap::Command, name: &str, dir: &Path) -> Result<()> {
    let file = dir.join(format!("{name}.1"));
    let mut text = Vec::new();
    // A page's name has dashes, the command itself keeps its blanks.
    let shown = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(shown)
        .title(name.to_uppercase())
        .source(concat!("herder ", env!("CARGO_PKG_VERSION")))
        .manual("Herder")
        .render(&mut text)?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        page(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(())
}
