//! The control plane's side of the fabric: starts the process, sends requests, hands out sockets made inside.

use super::types::{FabricConfig, FabricError, NodeConfig, NodeExit, ServiceSnapshot};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A running fabric. Clones share it; it ends on `shutdown`, or when the process that started it ends.
#[derive(Debug, Clone)]
pub struct Fabric {
    exits: broadcast::Sender<NodeExit>,
}

#[expect(clippy::unused_async, reason = "the bodies follow")]
impl Fabric {
    /// Starts the process and waits until its network is up.
    ///
    /// # Errors
    /// When a namespace, the bridge or the DNS server could not be made; the text names the step.
    pub async fn start(_config: FabricConfig) -> Result<Self, FabricError> {
        Err(FabricError::Gone)
    }

    /// Connects to an address inside the cluster's network: a pod or a service.
    ///
    /// # Errors
    /// As a plain connect, and when the fabric has ended.
    pub async fn dial(&self, _to: SocketAddr) -> io::Result<TcpStream> {
        Err(io::Error::other(FabricError::Gone))
    }

    /// Listens on an address inside the cluster's network; port 0 picks one.
    ///
    /// # Errors
    /// As a plain bind, and when the fabric has ended.
    pub async fn listen(&self, _at: SocketAddr) -> io::Result<TcpListener> {
        Err(io::Error::other(FabricError::Gone))
    }

    /// Starts a node agent and returns its process id on the machine.
    ///
    /// # Errors
    /// When the name is running already or the process could not be started.
    pub async fn spawn_node(&self, _node: NodeConfig) -> Result<u32, FabricError> {
        Err(FabricError::Gone)
    }

    /// Kills a node agent, and with it everything that runs on the node, as pulling the plug would.
    ///
    /// # Errors
    /// When no such node runs.
    pub async fn kill_node(&self, _name: &str) -> Result<(), FabricError> {
        Err(FabricError::Gone)
    }

    /// Notices of agents that ended, from now on.
    #[must_use]
    pub fn subscribe_node_exits(&self) -> broadcast::Receiver<NodeExit> {
        self.exits.subscribe()
    }

    /// Publishes the services: proxies and names follow at once, open connections stay.
    ///
    /// # Errors
    /// When the fabric has ended.
    pub async fn set_services(&self, _services: ServiceSnapshot) -> Result<(), FabricError> {
        Err(FabricError::Gone)
    }

    /// Ends the agents, the fabric and all they hold. Idempotent.
    pub async fn shutdown(&self) {}
}
