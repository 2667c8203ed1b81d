//! `herder agent`: inside a pod, renders secrets and certificates and keeps them fresh.

use anyhow::{Context, Result, bail};
use herder_base::{SystemClock, chain};
use herder_vault::agent::{self, Config};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments of `herder agent`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write every file once and end; for an init container
    Init(Task),
    /// Keep token, secrets and certificates fresh; for a sidecar
    Run(Task),
    /// Run a program with the variables that the agent wrote
    Exec(Exec),
}

#[derive(Debug, clap::Args)]
struct Task {
    /// What to do, as JSON: Vault's address, the role, files, certificates, variables
    #[arg(long, env = "HERDER_AGENT", value_name = "JSON", hide_env_values = true)]
    config: String,
    /// Where the reason of a failure is left for the kubelet
    #[arg(long, default_value = "/dev/termination-log", value_name = "FILE")]
    termination_log: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Exec {
    /// File of variables
    #[arg(long, default_value = "/herder/secrets/env", value_name = "FILE")]
    env_file: PathBuf,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Does what was asked for.
pub(crate) async fn run(args: Args) -> Result<()> {
    crate::print::outlive_reader();
    match args.command {
        Command::Init(task) => {
            let result = init(&task).await;
            if let Err(error) = &result {
                // People read this in `kubectl describe` and `herder why`: one line, the reason first.
                let _ = std::fs::write(&task.termination_log, format!("{error:#}\n"));
            }
            result
        }
        Command::Run(task) => keep(&task).await,
        Command::Exec(exec) => Err(execute(&exec)),
    }
}

async fn init(task: &Task) -> Result<()> {
    let config = Config::parse(&task.config)?;
    agent::init(config, Arc::new(SystemClock)).await?;
    Ok(())
}

async fn keep(task: &Task) -> Result<()> {
    let config = Config::parse(&task.config)?;
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let work = agent::run(config, Arc::new(SystemClock), cancel.clone());
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return Ok(result?),
        _ = terminate.recv() => cancel.cancel(),
        _ = tokio::signal::ctrl_c() => cancel.cancel(),
    }
    Ok(work.await?)
}

/// Becomes the program; returns only if that fails.
fn execute(exec: &Exec) -> anyhow::Error {
    let go = || -> Result<std::convert::Infallible> {
        let text = std::fs::read_to_string(&exec.env_file)
            .with_context(|| format!("cannot read variables from {}", exec.env_file.display()))?;
        let Some((program, arguments)) = exec.command.split_first() else {
            bail!("no program to run")
        };
        let error = std::process::Command::new(program)
            .args(arguments)
            .envs(agent::parse_env_file(&text))
            .exec();
        bail!("cannot run `{program}`: {}", chain(&error))
    };
    match go() {
        Ok(never) => match never {},
        Err(error) => error,
    }
}
