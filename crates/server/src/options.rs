//! How a platform is started: the values only, resolved from the command line by the cli.

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

/// Everything a platform needs to know to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// The fleet repository: a path or any git URL.
    pub fleet: String,
    /// The branch of the fleet repository to follow.
    pub branch: String,
    /// How many node agents the embedded cluster runs.
    pub nodes: usize,
    /// Where to listen.
    pub listen: Listen,
    /// The program to re-execute for the node side, normally this one.
    pub program: PathBuf,
    /// How often remotes are asked for news when no webhook calls.
    pub poll: std::time::Duration,
}
