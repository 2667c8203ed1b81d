//! What the control plane and the fabric say to each other: configuration, the service snapshot, exits, errors.
//! Data only: nothing here touches a socket or a process.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use thiserror::Error;

/// The fabric's own address.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 1);
/// What pods know as their gateway: an address that nobody has, of a neighbour that is written down.
pub(crate) const WAY_OUT: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Where pods ask for names.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The `kubernetes` service.
pub const KUBERNETES: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The suffix of every name the cluster answers for.
pub const DOMAIN: &str = "cluster.local";

/// How to start a fabric.
#[derive(Debug, Clone)]
pub struct FabricConfig {
    /// The data directory (`DIR`).
    pub dir: PathBuf,
    /// The `herder` binary, re-executed for the fabric, the agents and the container launchers.
    pub exe: PathBuf,
    /// Names this cluster's cgroups: unique on the machine, safe as a file name.
    pub cluster_id: String,
}

/// How to start one node agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The node's name.
    pub name: String,
    /// Which slice of the pod network is its own: `10.42.INDEX.0/24`, from 1 to 250, unique in the cluster.
    pub index: u8,
    /// How many nodes share the machine: capacity is divided by it.
    pub nodes: usize,
    /// The bearer token the agent shows to the API server.
    pub token: String,
    /// Labels for the Node object, besides the usual ones.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl NodeConfig {
    /// A node named `name` with slice `index`, alone on the machine.
    pub fn new(name: impl Into<String>, index: u8, token: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            index,
            nodes: 1,
            token: token.into(),
            labels: BTreeMap::new(),
        }
    }
}

/// A node agent ended: everything that ran on the node is gone with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeExit {
    /// The node's name.
    pub name: String,
    /// Its process id on the machine.
    pub pid: u32,
    /// How it ended, for people: `killed by SIGKILL`, `exit code 1`.
    pub reason: String,
    /// It was asked to end.
    pub expected: bool,
}

/// Every service of the cluster, as the proxy and the DNS server need it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSnapshot {
    /// The services, in any order.
    pub services: Vec<ServiceEntry>,
}

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its address; none when headless.
    #[serde(default)]
    pub cluster_ip: Option<IpAddr>,
    /// `spec.externalName`, answered as a CNAME.
    #[serde(default)]
    pub external_name: Option<String>,
    /// Its ports. A port without backends refuses connections. The first sixteen addresses of the services range are
    /// the control plane's own (`Fabric::listen`): they have names, but are not proxied.
    #[serde(default)]
    pub ports: Vec<ServicePortEntry>,
    /// What a headless service's name resolves to: its ready pods.
    #[serde(default)]
    pub headless_ips: Vec<IpAddr>,
    /// `HOSTNAME.name.namespace.svc` → address, for pods with a hostname and this subdomain.
    #[serde(default)]
    pub hosts: Vec<(String, IpAddr)>,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePortEntry {
    /// The port's name, for SRV records.
    #[serde(default)]
    pub name: Option<String>,
    /// The port on the service's address.
    pub port: u16,
    /// TCP or UDP.
    #[serde(default)]
    pub protocol: Protocol,
    /// Ready pods.
    #[serde(default)]
    pub backends: Vec<SocketAddr>,
    /// `sessionAffinity: ClientIP`.
    #[serde(default)]
    pub sticky: bool,
}

/// A transport the proxy carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Why the fabric could not do what was asked.
#[derive(Debug, Error)]
pub enum FabricError {
    /// The process could not be started.
    #[error("could not start the cluster network ({what})")]
    Start {
        /// The step.
        what: &'static str,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// The process started, but could not build the network.
    #[error("the cluster network could not be built: {0}")]
    Build(String),
    /// It refused a request.
    #[error("the cluster network refused: {0}")]
    Refused(String),
    /// The process ended.
    #[error("the cluster network ended; stop and start Herder again (see DIR/kubelite/fabric.log for why)")]
    Gone,
    /// The message channel failed.
    #[error("could not talk to the cluster network")]
    Channel(#[source] io::Error),
}
