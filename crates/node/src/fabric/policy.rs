//! Who may talk to whom, as the fabric needs it: pods by device and address, and what each may send and receive. Data,
//! and the one function that judges a connection by it. Knows addresses, not Kubernetes: the controllers compile
//! NetworkPolicies into this, the wall makes the kernel enforce it, and the service proxy asks it.

use super::types::Protocol;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// The policies that hold, for every pod there is. Once the fabric has one, a pod that is not in it has no network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySnapshot {
    /// The pods.
    pub pods: Vec<PolicyPod>,
    /// What rules there are, by a name that stands for their content.
    pub profiles: BTreeMap<String, Profile>,
    /// Addresses of pods, by a name that stands for how they are selected.
    pub sets: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Ports that pods give a name to, by a name that stands for how they are selected.
    pub targets: BTreeMap<String, BTreeSet<(Ipv4Addr, Transport, u16)>>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPod {
    /// Its device in the fabric: names this pod, not only its address.
    pub device: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The profile of what it may receive; none: everything.
    pub ingress: Option<String>,
    /// The profile of what it may send; none: everything.
    pub egress: Option<String>,
}

/// Everything that is allowed: without rules, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Profile {
    /// Any of them suffices.
    pub rules: Vec<ProfileRule>,
}

/// Something that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProfileRule {
    /// Anybody (`peers` is none) or these, on these ports.
    Peers {
        /// With whom.
        peers: Option<Peers>,
        /// On which ports of the receiver; none: every port and transport.
        ports: Option<Vec<PortRange>>,
    },
    /// To the ports of a set of targets; for what a pod sends.
    Targets(String),
}

/// Some of the addresses there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peers {
    /// Names of sets.
    pub sets: Vec<String>,
    /// First and last address; neither overlapping nor touching.
    pub ranges: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// Ports of one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortRange {
    /// The transport.
    pub transport: Transport,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// A transport that policies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// Its number in an IP header.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
        }
    }
}

/// Whether an address is a pod's: in the pods' range, and neither the fabric's nor a node's own.
#[must_use]
pub fn is_pod_address(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [10, 42, 1..=250, 2..=254])
}

/// The policies that hold, ready to judge by.
#[derive(Debug, Default)]
pub struct Judge {
    policies: PolicySnapshot,
    /// Which of the pods has an address.
    places: HashMap<Ipv4Addr, usize>,
    /// There are policies at all: else everything is allowed, as in a fabric without controllers.
    enforced: bool,
}

impl Judge {
    /// Those that these policies make.
    #[must_use]
    pub fn new(policies: PolicySnapshot) -> Self {
        let places = policies
            .pods
            .iter()
            .enumerate()
            .map(|(place, pod)| (pod.address, place));
        Self {
            places: places.collect(),
            policies,
            enforced: true,
        }
    }

    fn pod(&self, address: Ipv4Addr) -> Option<&PolicyPod> {
        self.policies.pods.get(*self.places.get(&address)?)
    }

    /// Whether a connection may be made. What comes from the node itself (the edge, a probe) always may.
    pub fn allows(&self, from: Ipv4Addr, to: Ipv4Addr, port: (Transport, u16)) -> bool {
        if !self.enforced || !is_pod_address(from) || from == to {
            return true;
        }
        // Not known yet, or not any more: nobody can say what is allowed.
        let Some(sender) = self.pod(from) else {
            return false;
        };
        let receiver = self.pod(to);
        if receiver.is_none() && is_pod_address(to) {
            return false;
        }
        let ingress = receiver.and_then(|pod| pod.ingress.as_ref());
        self.profile(sender.egress.as_ref(), to, to, port) && self.profile(ingress, from, to, port)
    }

    fn profile(
        &self,
        profile: Option<&String>,
        peer: Ipv4Addr,
        receiver: Ipv4Addr,
        port: (Transport, u16),
    ) -> bool {
        let Some(name) = profile else { return true };
        let rules = self.policies.profiles.get(name).map(|profile| &profile.rules);
        rules.into_iter().flatten().any(|rule| match rule {
            ProfileRule::Peers { peers, ports } => {
                peers.as_ref().is_none_or(|peers| self.among(peers, peer))
                    && ports.as_ref().is_none_or(|ports| {
                        ports.iter().any(|range| {
                            range.transport == port.0 && (range.first..=range.last).contains(&port.1)
                        })
                    })
            }
            ProfileRule::Targets(name) => {
                let targets = self.policies.targets.get(name);
                targets.is_some_and(|targets| targets.contains(&(receiver, port.0, port.1)))
            }
        })
    }

    fn among(&self, peers: &Peers, address: Ipv4Addr) -> bool {
        let in_set = |name: &String| {
            let set = self.policies.sets.get(name);
            set.is_some_and(|set| set.contains(&address))
        };
        let in_range = |(first, last): &(Ipv4Addr, Ipv4Addr)| (*first..=*last).contains(&address);
        peers.sets.iter().any(in_set) || peers.ranges.iter().any(in_range)
    }
}

/// A name of bounded length that stands for `text`.
#[must_use]
pub fn short(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(digest.get(..10).unwrap_or(&digest))
}
