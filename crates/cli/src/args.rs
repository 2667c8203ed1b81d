//! The command line as typed. Every command's arguments live beside the command.

use crate::commands;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Git in, running services out.
///
/// Herder makes Kubernetes and Vault match what your git repositories say, on one machine with everything embedded or
/// against the clusters you have, shows what happened and why, and brings everything back from git.
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
    /// Data directory of the running herder (also where `up` and `demo` keep everything)
    #[arg(long, global = true, env = "HERDER_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
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
    /// Move an application's version to a stage by a commit in its config repository
    Promote(commands::promote::Args),
    /// Bring developer environments up and down
    Env(commands::env::Args),
    /// List jobs, start them, follow their runs; compile and plan Job DSL
    #[command(alias = "jobs")]
    Job(commands::job::Args),
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
}
