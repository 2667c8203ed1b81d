//! `herder cluster`: the embedded Kubernetes alone. Writes DIR/kubeconfig, prints `ready`, runs until Ctrl-C.

use crate::args::Global;
use crate::commands::up::{interrupted, program};
use crate::platform;
use anyhow::{Context, Result, bail};
use herder_base::SystemClock;
use herder_kubelite::{Config, Kubelite};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Arguments of `herder cluster`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many node agents to run; 0 is an API server alone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=16))]
    nodes: u8,
    /// Where the API server listens; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    crate::print::outlive_reader();
    let dir = global.dir.clone().unwrap_or_else(platform::default_dir);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir
        .canonicalize()
        .with_context(|| format!("cannot resolve {}", dir.display()))?;
    let config = Config {
        dir,
        nodes: usize::from(args.nodes),
        listen: args.listen,
        exe: program()?,
        ingress: Vec::new(),
    };
    let kubelite = Kubelite::start(config, Arc::new(SystemClock)).await?;
    if global.json {
        println!(
            "{}",
            json!({"ready": true, "kubeconfig": kubelite.kubeconfig(), "kubernetes": kubelite.url()})
        );
    } else {
        println!("ready");
        eprintln!("export KUBECONFIG={}", kubelite.kubeconfig().display());
    }
    let cancel = CancellationToken::new();
    let mut serving = std::pin::pin!(kubelite.run(cancel.clone()));
    tokio::select! {
        () = &mut serving => bail!("the cluster ended by itself (see the log above)"),
        () = interrupted() => {}
    }
    cancel.cancel();
    tokio::select! {
        () = &mut serving => Ok(()),
        () = interrupted() => bail!("stopped before everything had ended"),
    }
}
