//! How a platform is started: the values only, resolved from the command line by the cli.

use herder_base::Url;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the platform listens. Port 0 asks for any free port.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// The Kubernetes API server.
    pub kubernetes: SocketAddr,
    /// The Vault API.
    pub vault: SocketAddr,
    /// The edge, plain.
    pub http: SocketAddr,
    /// The edge, TLS.
    pub https: SocketAddr,
    /// The dashboard and the platform API.
    pub dashboard: SocketAddr,
}

/// A Vault of somebody else's, to use instead of the platform's own.
#[derive(Debug, Clone)]
pub struct ExternalVault {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// Where its token is; read again when it changes.
    pub token_file: PathBuf,
    /// PEM of its authority; the machine's roots without it.
    pub ca_file: Option<PathBuf>,
    /// Its namespace, where it has some.
    pub namespace: Option<String>,
}

/// Everything a platform needs to know to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// The fleet repository: a path or any git URL.
    pub fleet: Url,
    /// The branch of the fleet repository to follow.
    pub branch: String,
    /// How many node agents the embedded cluster runs.
    pub nodes: usize,
    /// Where to listen.
    pub listen: Listen,
    /// Which Vault to use; its own if none.
    pub vault: Option<ExternalVault>,
    /// The program to re-execute for the node side, normally this one.
    pub program: PathBuf,
    /// The addresses by which people open the dashboard through something in front of it, such as
    /// `https://herder.example.org`.
    pub dashboard_urls: Vec<String>,
    /// Whether anybody may make Herder look at its remotes, every few seconds at most.
    pub unsigned_webhooks: bool,
    /// Whether it goes on where it ended: what was taken down with `down --everything` stays down. Otherwise this start
    /// says that everything is to be up again.
    pub resume: bool,
    /// How often remotes are asked for news when no webhook calls.
    pub poll: std::time::Duration,
}
