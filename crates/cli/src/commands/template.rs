//! `herder template`: consul-template's command line, read as Go reads flags, so that scripts need no change.

use anyhow::{Context, Result};
use herder_base::SystemClock;
use herder_vault::consul_template::{End, Invocation, run, usage};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::prelude::*;

/// What clap knows of it: the flags are read by the command itself.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// consul-template's flags; `herder template -help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub(crate) flags: Vec<OsString>,
}

/// Runs with the arguments behind the command's name.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let arguments = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match finish(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => crate::output::finish(Err(error)),
    }
}

fn finish(arguments: Vec<String>) -> Result<u8> {
    let local = std::env::var("CT_LOCAL_CONFIG").ok();
    let mut invocation = Invocation::read(&arguments, local.as_deref())?;
    if invocation.help {
        print!("{}", usage());
        return Ok(0);
    }
    if invocation.version {
        println!(
            "herder {} (answers as consul-template)",
            env!("CARGO_PKG_VERSION")
        );
        return Ok(0);
    }
    log(&invocation)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let end = runtime.block_on(async {
        loop {
            match run(&invocation, Arc::new(SystemClock), &mut std::io::stdout()).await? {
                // A configuration that cannot be read any more ends it, with the reason.
                End::Reload => invocation = Invocation::read(&arguments, local.as_deref())?,
                end => break Ok::<_, anyhow::Error>(end),
            }
        }
    })?;
    runtime.shutdown_background();
    Ok(match end {
        End::Program(code) => u8::try_from(code).unwrap_or(1),
        End::Done | End::Reload => 0,
    })
}

/// Sends log lines to standard error, and to a file if one is named.
fn log(invocation: &Invocation) -> Result<()> {
    let level = match invocation
        .settings
        .log_level
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("warn" | "warning") => "warn",
        Some("trace") => "trace,hyper=info,h2=info,rustls=info",
        Some("debug") => "debug,hyper=info,h2=info,rustls=info",
        Some("info") => "info",
        Some("err" | "error") => "error",
        Some(_) => anyhow::bail!("-log-level takes trace, debug, info, warn or err"),
    };
    let filter = || tracing_subscriber::EnvFilter::new(level);
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .with_filter(filter());
    let file = match &invocation.settings.log_file {
        Some(path) => {
            let path: PathBuf = if path.is_dir() {
                path.join("consul-template.log")
            } else {
                path.clone()
            };
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Some(
                tracing_subscriber::fmt::layer()
                    .with_writer(Arc::new(file))
                    .with_ansi(false)
                    .with_target(false)
                    .with_filter(filter()),
            )
        }
        None => None,
    };
    let _first = tracing_subscriber::registry()
        .with(terminal)
        .with(file)
        .try_init();
    Ok(())
}
