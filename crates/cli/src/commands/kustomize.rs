//! `herder kustomize build`: what `kustomize build` prints, from the files of this machine.

mod disk;

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use disk::Disk;
use herder_kustomize::{LoadRestrictor, NoRemotes, Options, Reorder, build_from};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `herder kustomize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the objects that a kustomization makes
    Build(BuildArgs),
}

/// Arguments of `kustomize build` and `kubectl kustomize`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The directory of the kustomization
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write to this file instead of standard output
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Which files a kustomization may read
    #[arg(long, value_enum, default_value = "LoadRestrictionsRootOnly")]
    load_restrictor: Restrictor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Restrictor {
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone")]
    None,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let Verb::Build(args) = args.verb;
    build(args)
}

/// Builds and prints.
pub(crate) fn build(args: BuildArgs) -> Result<()> {
    let here = std::env::current_dir().context("the working directory is gone")?;
    let dir = Disk::path(&args.dir).with_context(|| format!("there is no directory {}", args.dir.display()))?;
    let load_restrictor = if args.load_restrictor == Restrictor::None { LoadRestrictor::None } else { LoadRestrictor::RootOnly };
    let built = build_from(&Disk::new(&here), &dir, &Options { load_restrictor, reorder: Reorder::Legacy }, &NoRemotes)?;
    for warning in &built.warnings {
        eprintln!("{warning}");
    }
    let text = built.to_yaml();
    match args.output {
        Some(path) => std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display())),
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}
