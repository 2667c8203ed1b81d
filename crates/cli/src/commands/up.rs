//! `herder up FLEET`: makes everything true that a fleet repository says, and keeps it so until Ctrl-C.

use crate::args::Global;
use crate::platform;
use anyhow::{Context, Result, bail};
use herder_server::{ExternalVault, Listen, Options, Platform};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments of `herder up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The fleet repository: a path or any git URL
    #[arg(value_name = "FLEET")]
    fleet: String,
    /// The branch to follow [default: the remote's default branch]
    #[arg(long, default_value = "")]
    branch: String,
    /// How many node agents the embedded cluster runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// How often remotes are asked for news when no webhook calls
    #[arg(long, default_value = "10s", value_parser = |text: &str| herder_base::duration_with_unit(text))]
    poll: Duration,
    /// Go on where it ended, as a service does after a restart: what was taken down with `down --everything` stays down
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    vault: VaultArgs,
    #[command(flatten)]
    door: DoorArgs,
}

/// How the dashboard is reached from elsewhere.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DoorArgs {
    /// An address by which people open the dashboard, such as https://herder.example.org, if it is not its own; may be
    /// given several times
    #[arg(long = "dashboard-url", value_name = "URL", value_parser = dashboard_url)]
    pub(crate) dashboard_urls: Vec<String>,
    /// Let anybody make herder look at its repositories, every 5 s at most, by a notice without a signature
    #[arg(long)]
    pub(crate) allow_unsigned_webhooks: bool,
}

fn dashboard_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if plain && !authority.as_str().contains('@') => {
            Ok(text.to_owned())
        }
        _ => {
            Err("write http://HOST or https://HOST, with a port if it has one and nothing behind".to_owned())
        }
    }
}

/// Another Vault than herder's own. Given on the command line only: a variable that stands in a shell for something else
/// must not make a fleet's policies those of that Vault.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VaultArgs {
    /// A Vault or OpenBao to use instead of the one built in, such as https://vault.example.org:8200
    #[arg(long, value_name = "URL", requires = "vault_token_file")]
    vault_addr: Option<String>,
    /// The file with the token for it; kept alive, and read again when it changes
    #[arg(long, value_name = "FILE", requires = "vault_addr")]
    vault_token_file: Option<PathBuf>,
    /// The authority of its certificate, PEM [default: the machine's]
    #[arg(long, value_name = "FILE", requires = "vault_addr")]
    vault_ca: Option<PathBuf>,
    /// Its namespace, where it has some
    #[arg(long, value_name = "NAME", requires = "vault_addr")]
    vault_namespace: Option<String>,
}

impl VaultArgs {
    /// The Vault that was asked for, if one was. Paths become absolute, so that they mean the same from everywhere.
    pub(crate) fn resolve(&self) -> Result<Option<ExternalVault>> {
        let (Some(address), Some(token_file)) = (&self.vault_addr, &self.vault_token_file) else {
            return Ok(None);
        };
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
        };
        Ok(Some(ExternalVault {
            address: address.trim_end_matches('/').to_owned(),
            token_file: absolute(token_file)?,
            ca_file: self.vault_ca.as_ref().map(absolute).transpose()?,
            namespace: self.vault_namespace.clone(),
        }))
    }
}

/// Where to listen.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListenArgs {
    /// Address for everything that has none of its own below; port 0 picks free ports
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The edge, HTTP
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_http: Option<SocketAddr>,
    /// The edge, HTTPS
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_https: Option<SocketAddr>,
    /// The dashboard and the platform API
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_dashboard: Option<SocketAddr>,
    /// The Kubernetes API server
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_kubernetes: Option<SocketAddr>,
    /// The Vault API
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_vault: Option<SocketAddr>,
}

impl ListenArgs {
    /// One address for each listener. A port in `--listen` goes to the dashboard, since only one can have it.
    pub(crate) fn resolve(&self) -> Listen {
        let any = SocketAddr::new(self.listen.ip(), 0);
        Listen {
            kubernetes: self.listen_kubernetes.unwrap_or(any),
            vault: self.listen_vault.unwrap_or(any),
            http: self.listen_http.unwrap_or(any),
            https: self.listen_https.unwrap_or(any),
            dashboard: self.listen_dashboard.unwrap_or(self.listen),
        }
    }
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    crate::print::outlive_reader();
    let dir = global.dir.clone().unwrap_or_else(platform::default_dir);
    let options = Options {
        dir: dir.clone(),
        fleet: resolve_fleet(&args.fleet)?.into(),
        branch: args.branch,
        nodes: usize::from(args.nodes),
        listen: args.listen.resolve(),
        vault: args.vault.resolve()?,
        program: program()?,
        poll: args.poll,
        dashboard_urls: args.door.dashboard_urls,
        unsigned_webhooks: args.door.allow_unsigned_webhooks,
        resume: args.resume,
    };
    // Asked for once and from here on, so that it is heard while the platform starts, too.
    let mut stop = std::pin::pin!(interrupted());
    let cancel = CancellationToken::new();
    let platform = {
        let mut start = std::pin::pin!(Platform::start(options));
        tokio::select! {
            started = &mut start => started?,
            () = &mut stop => {
                cancel.cancel();
                // Only what has started can be stopped in order, and a start takes a second.
                start.await?
            }
        }
    };
    if cancel.is_cancelled() {
        return Ok(platform.run(cancel).await?);
    }
    crate::contexts::remember(&dir);
    if global.json {
        println!("{}", serde_json::to_string_pretty(platform.endpoints())?);
    } else {
        print_endpoints(platform.endpoints(), &platform.login_link()?);
    }
    let mut serving = std::pin::pin!(platform.run(cancel.clone()));
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = &mut stop => {}
    }
    eprintln!("stopping (press Ctrl-C again to stop at once)");
    cancel.cancel();
    tokio::select! {
        result = &mut serving => Ok(result?),
        () = interrupted() => bail!("stopped before everything had ended"),
    }
}

/// Resolves when the terminal or the service manager asks the program to end.
pub(crate) async fn interrupted() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// The program to re-execute for the node side: this one, even if its file is replaced meanwhile.
pub(crate) fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}

/// A path becomes absolute, so that it means the same from everywhere; anything else is a URL already.
fn resolve_fleet(fleet: &str) -> Result<String> {
    if fleet.contains("://") || (fleet.contains(':') && !Path::new(fleet).exists()) {
        return Ok(fleet.to_owned());
    }
    let path = Path::new(fleet)
        .canonicalize()
        .with_context(|| format!("there is no repository at {fleet}: give a path or a git URL"))?;
    Ok(path.to_string_lossy().into_owned())
}

/// The addresses people need, with a link that signs the browser in.
pub(crate) fn print_endpoints(endpoints: &serde_json::Value, link: &str) {
    let text = |pointer: &str| {
        endpoints
            .pointer(pointer)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    println!("  dashboard   {link}");
    println!("              (once and within ten minutes; `herder login` prints another)");
    println!("  edge        {}  {}", text("/edge/http"), text("/edge/https"));
    println!("  kubernetes  export KUBECONFIG={}", text("/kubeconfig"));
    println!(
        "  vault       export VAULT_ADDR={} VAULT_TOKEN=$(cat {})",
        text("/vault/addr"),
        text("/vault/token_file")
    );
}

/// An address that listens nowhere in particular, for tests of the resolver.
#[cfg(test)]
fn anywhere(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_goes_to_the_dashboard() {
        let args = ListenArgs {
            listen: anywhere(8080),
            listen_http: Some(anywhere(80)),
            listen_https: None,
            listen_dashboard: None,
            listen_kubernetes: None,
            listen_vault: None,
        };
        let listen = args.resolve();
        assert_eq!(
            (listen.dashboard.port(), listen.http.port(), listen.https.port()),
            (8080, 80, 0)
        );
    }
}
