//! `herder kustomize`: what `kustomize build` prints, and edits that keep the file's layout. Also answers to `kustomize`.

mod disk;
mod edit;
mod function;
mod helm;
mod remote;

use anyhow::{Context, Result, anyhow};
use disk::Disk;
use herder_kustomize::{Files, LoadRestrictor, Options, Remotes, Reorder, Tree, build_from, print_from};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `herder kustomize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the objects that a kustomization makes
    Build(BuildArgs),
    /// Change a kustomization file, keeping its comments and layout
    Edit(edit::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The directory with the kustomization, or the URL of one in a git repository
    #[arg(default_value = ".", value_name = "DIR|URL")]
    target: String,
    /// Write to this file, or into this directory one file per object
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Which files a kustomization may read: those below it, or any
    #[arg(long, value_enum, default_value_t = Restrictor::RootOnly, value_name = "WHICH")]
    load_restrictor: Restrictor,
    /// The order of the output if the kustomization asks for none
    #[arg(long, value_enum, default_value_t = Order::Legacy, value_name = "ORDER")]
    reorder: Order,
    /// Render helm charts with the helm program
    #[arg(long)]
    enable_helm: bool,
    /// The helm program
    #[arg(long, default_value = "helm", value_name = "PROGRAM")]
    helm_command: String,
    /// The Kubernetes version that charts are rendered for, unless they say
    #[arg(long, value_name = "VERSION")]
    helm_kube_version: Option<String>,
    /// The API versions that charts are rendered for, unless they say
    #[arg(long, value_delimiter = ',', value_name = "VERSIONS")]
    helm_api_versions: Vec<String>,
    /// Run this KRM function, a program named in a kustomization's plugins; may be repeated
    #[arg(long = "allow-function", value_name = "PROGRAM")]
    functions: Vec<String>,
    /// Print no warnings
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Restrictor {
    #[value(name = "LoadRestrictionsRootOnly", alias = "rootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone", alias = "none")]
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Order {
    #[value(alias = "unspecified")]
    Legacy,
    None,
}

/// Does what was asked for.
pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Build(args) => run_build(&args),
        Command::Edit(args) => edit::run(&args),
    }
}

/// Builds and prints, as `kustomize build` and `kubectl kustomize`.
pub(crate) fn run_build(args: &BuildArgs) -> Result<()> {
    let options = Options {
        load_restrictor: match args.load_restrictor {
            Restrictor::RootOnly => LoadRestrictor::RootOnly,
            Restrictor::None => LoadRestrictor::None,
        },
        reorder: match args.reorder {
            Order::Legacy => Reorder::Legacy,
            Order::None => Reorder::None,
        },
    };
    let failed = || format!("{} cannot be built", args.target);
    let helm = args.enable_helm.then(|| helm::Program {
        command: args.helm_command.clone(),
        cache: remote::cache_dir("helm"),
        kube_version: args.helm_kube_version.clone(),
        api_versions: args.helm_api_versions.clone(),
    });
    let remotes = remote::Fetching::new(helm, function::Allowed(args.functions.clone()))?;
    let warnings = match &args.output {
        Some(dir) if dir.is_dir() => {
            let built = from(&args.target, &remotes, |files, dir, remotes| {
                build_from(files, dir, &options, remotes)
            });
            let built = built.with_context(failed)?;
            write_each(dir, &built.objects)?;
            built.warnings
        }
        output => {
            let printed = from(&args.target, &remotes, |files, dir, remotes| {
                print_from(files, dir, &options, remotes)
            });
            let (text, warnings) = printed.with_context(failed)?;
            match output {
                None => print(&text)?,
                Some(file) => {
                    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
                }
            }
            warnings
        }
    };
    if !args.quiet {
        let mut stderr = std::io::stderr().lock();
        for warning in &warnings {
            writeln!(stderr, "{warning}")?;
        }
    }
    Ok(())
}

/// Builds a directory of this machine, or one of a repository.
fn from<T>(
    target: &str,
    remotes: &remote::Fetching,
    build: impl FnOnce(&dyn Files, &str, &dyn Remotes) -> std::result::Result<T, herder_kustomize::Error>,
) -> Result<T> {
    if let Some(reference) = herder_kustomize::parse_url(target)
        && !Path::new(target).is_dir()
    {
        let tree: Tree = remotes
            .fetch(&reference)
            .map_err(|reason| anyhow!("it cannot be fetched: {reason}"))?;
        return Ok(build(&tree, &reference.path, remotes)?);
    }
    let dir = Disk::path(Path::new(target)).context("there is no such directory")?;
    let here = std::env::current_dir().unwrap_or_default();
    Ok(build(&Disk::new(&here), &dir, remotes)?)
}

/// Prints; a reader that has had enough is no error.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("the output cannot be written"),
    }
}

/// A file per object, named as upstream names them.
fn write_each(dir: &Path, objects: &[Value]) -> Result<()> {
    let namespaces: BTreeSet<&str> = objects.iter().map(herder_object::namespace).collect();
    let mut files: BTreeMap<String, &Value> = BTreeMap::new();
    for object in objects {
        let kind = format!(
            "{}_{}",
            herder_object::api_version(object),
            herder_object::kind(object)
        )
        .replace('/', "_");
        let mut name = format!("{kind}_{}.yaml", herder_object::name(object)).to_lowercase();
        let namespace = herder_object::namespace(object);
        if namespaces.len() > 1 && !namespace.is_empty() {
            name = format!("{namespace}_{name}").to_lowercase();
        }
        if name.contains('/') {
            return Err(anyhow!("`{name}` cannot be the name of a file"));
        }
        files.insert(name, object);
    }
    for (name, object) in files {
        let path = dir.join(name);
        fs::write(&path, herder_object::yaml::print(object))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
