//! The command line as typed. Every command's arguments live beside the command.

use crate::commands;
use crate::paint;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Git in, running services out.
///
/// Herder makes Kubernetes and Vault match what your git repositories say, on one machine with everything embedded, shows
/// what happened and why, and brings everything back from git. A Vault that you have already can take the place of the
/// embedded one.
#[derive(Debug, Parser)]
#[command(
    name = "herder",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Herder {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Data directory of the running herder (also where `up` and `demo` keep everything) [default: the running one]
    #[arg(long, global = true, env = "HERDER_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The herder to talk to, by its name in `herder context list`
    #[arg(
        long,
        global = true,
        env = "HERDER_CONTEXT",
        value_name = "NAME",
        conflicts_with = "dir"
    )]
    pub(crate) context: Option<String>,
    /// Print JSON instead of text, failures too; what goes on (logs, --watch) is one document a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours in what is printed
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: paint::When,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the whole story on an example organisation, with everything embedded
    Demo(commands::demo::Args),
    /// Make everything true that a fleet repository says, and keep it so
    Up(commands::up::Args),
    /// Remove what `up` made; state survives
    Down(commands::down::Args),
    /// Show applications by stage: version, health, what needs attention
    Status(commands::status::Args),
    /// Explain why an application is not healthy, from commit to log line
    Why(commands::why::Args),
    /// Print the logs of an application's pods
    Logs(commands::logs::Args),
    /// Print a link that signs a browser in to the dashboard, once and within ten minutes
    Login,
    /// Print where git servers ring, and the secret that they sign with
    Webhook,
    /// Check and export the record of who did what
    Audit(commands::audit::Args),
    /// Show the last plan: every action with its reason and what became of it
    Plan(commands::plan::Args),
    /// Move an application's version to a stage by a commit in its config repository
    Promote(commands::promote::Args),
    /// Give an application the version back that a stage had before, by a commit in its config repository
    Rollback(commands::rollback::Args),
    /// Show which version stood where since when, by which commit of whom
    History(commands::history::Args),
    /// Read git now and make it true; answers when that is done
    Sync,
    /// Leave an application as it is, whatever git says, for a time
    Suspend(commands::suspend::Args),
    /// Let git have its way again
    Resume(commands::suspend::ResumeArgs),
    /// Bring developer environments up and down
    Env(commands::env::Args),
    /// List jobs, start them, follow their runs; compile and plan Job DSL
    #[command(alias = "jobs")]
    Job(commands::job::Args),
    /// The herders that you know: list them, choose one, add one on another machine
    Context(commands::context::Args),
    /// Say more of an error's code, as `docs/errors.md` does
    Explain(commands::explain::Args),
    /// Take over jobs from another system
    Import(commands::import::Args),
    /// Pull, import, build, push and prune container images
    Image(commands::image::Args),
    /// Read and write secrets by Vault path
    Secret(commands::secret::Args),
    /// Run the embedded Kubernetes alone
    Cluster(commands::cluster::Args),
    /// Build kustomizations, as kustomize does
    Kustomize(commands::kustomize::Args),
    /// The few kubectl verbs that job steps need, for machines without kubectl
    Kubectl(commands::kubectl::Args),
    /// Render templates with secrets, as consul-template does
    Template(commands::template::Args),
    /// The embedded Vault alone, and the commands people type at any Vault
    Vault(commands::vault::Args),
    /// Inside a pod: render secrets and keep them fresh
    Agent(commands::agent::Args),
    /// The example application that the demo deploys
    #[command(hide = true)]
    DemoApp(commands::demo_app::Args),
    /// Inside a job's pod: fetch the checkout
    #[command(hide = true)]
    Checkout(commands::checkout::Args),
    /// Inside a job's pod: run the steps
    #[command(hide = true)]
    Steps(commands::steps::Args),
    /// Print a shell completion script
    Completion(commands::completion::Args),
    /// Write the manual pages
    #[command(hide = true)]
    Manual(commands::manual::Args),
    /// Print the version of this program, and of its JSON
    Version,
}

/// Reads the command line; help has the colours that it asks for.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Herder, clap::Error> {
    let word = |at: usize| arguments.get(at).and_then(|word| word.to_str());
    let mut when = paint::When::Auto;
    for at in 0..options(arguments) {
        let given = match word(at) {
            Some("--color") => word(at + 1),
            Some(other) => other.strip_prefix("--color="),
            None => None,
        };
        when = match given {
            Some("always") => paint::When::Always,
            Some("never") => paint::When::Never,
            Some("auto") => paint::When::Auto,
            _ => when,
        };
    }
    paint::decide(when);
    let command = Herder::command().color(paint::choice(when));
    Herder::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// Whether a command line that makes no sense asks for JSON all the same.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take(options(arguments))
        .any(|word| word == "--json")
}

/// How many words are herder's own; those behind `--` are another program's.
fn options(arguments: &[OsString]) -> usize {
    arguments
        .iter()
        .position(|word| word == "--")
        .unwrap_or(arguments.len())
}
