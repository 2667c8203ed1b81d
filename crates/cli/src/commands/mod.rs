//! One file per command: its arguments, whose doc comments are the help, and one function that runs it.
//!
//! Commands call the crate that does the work and print the result; they hold no product behaviour.

pub(crate) mod agent;
mod artefacts;
pub(crate) mod audit;
pub(crate) mod checkout;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod demo_app;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod job;
pub(crate) mod kubectl;
pub(crate) mod kustomize;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod manual;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod rollback;
pub(crate) mod secret;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod suspend;
pub(crate) mod sync;
pub(crate) mod template;
pub(crate) mod up;
pub(crate) mod vault;
pub(crate) mod version;
pub(crate) mod webhook;
pub(crate) mod why;

use crate::args::{Command, Herder};
use anyhow::{Context, Result};
use std::future::Future;
use std::process::ExitCode;

/// Runs the command that was asked for.
pub(crate) fn run(herder: Herder) -> Result<ExitCode> {
    let global = &herder.global;
    let done = match herder.command {
        // Those that are another program's command line say themselves how they ended.
        Command::Vault(args) => return Ok(vault::main(args.words)),
        Command::Template(args) => return Ok(template::main(args.flags)),
        Command::Demo(args) => wait(2, global.verbose, demo::run(global, args)),
        Command::Up(args) => wait(2, global.verbose, up::run(global, args)),
        Command::Cluster(args) => wait(2, global.verbose, cluster::run(global, args)),
        Command::Down(args) => wait(1, global.verbose, down::run(global, args)),
        Command::Status(args) => wait(1, global.verbose, status::run(global, args)),
        Command::Why(args) => wait(1, global.verbose, why::run(global, args)),
        Command::Logs(args) => wait(1, global.verbose, logs::run(global, args)),
        Command::Login => wait(1, global.verbose, login::run(global)),
        Command::Webhook => wait(1, global.verbose, webhook::run(global)),
        Command::Audit(args) => wait(1, global.verbose, audit::run(global, args)),
        Command::Plan(args) => wait(1, global.verbose, plan::run(global, args)),
        Command::Promote(args) => wait(1, global.verbose, promote::run(global, args)),
        Command::Rollback(args) => wait(1, global.verbose, rollback::run(global, args)),
        Command::History(args) => wait(1, global.verbose, history::run(global, args)),
        Command::Sync => wait(1, global.verbose, sync::run(global)),
        Command::Suspend(args) => wait(1, global.verbose, suspend::run(global, args)),
        Command::Resume(args) => wait(1, global.verbose, suspend::resume(global, args)),
        Command::Env(args) => wait(1, global.verbose, env::run(global, args)),
        Command::Job(args) => wait(1, global.verbose, job::run(global, args)),
        Command::Import(args) => wait(1, global.verbose, import::run(global, args)),
        Command::Image(args) => wait(1, global.verbose, image::run(global, args)),
        Command::Secret(args) => {
            let dir = crate::locate::dir(global);
            wait(1, global.verbose, async move {
                secret::run(args, dir.as_deref(), global.json).await
            })
        }
        Command::Kubectl(args) => wait(1, global.verbose, kubectl::run(global, args)),
        Command::Agent(args) => wait(1, global.verbose, agent::run(args)),
        Command::DemoApp(args) => wait(1, global.verbose, demo_app::run(args)),
        Command::Steps(args) => wait(1, global.verbose, steps::run(args)),
        Command::Checkout(args) => wait(1, global.verbose, checkout::run(args)),
        Command::Kustomize(args) => kustomize::run(args),
        Command::Completion(args) => completion::run(&args),
        Command::Context(args) => context::run(global, args),
        Command::Explain(args) => explain::run(global, &args),
        Command::Manual(args) => manual::run(&args),
        Command::Version => {
            version::run(global);
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs a command that waits for other programs, on as many threads as it can use.
fn wait(threads: usize, verbose: u8, work: impl Future<Output = Result<()>>) -> Result<()> {
    crate::output::log(verbose);
    let mut builder = if threads > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = runtime.block_on(work);
    // Whatever still runs is of no more use once the command has its result.
    runtime.shutdown_background();
    result
}
