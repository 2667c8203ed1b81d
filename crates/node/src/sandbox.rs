//! A pod's user, network, host name and IPC namespaces, held by descriptors: no pause process, no files. Closing the
//! descriptors after the containers ended makes the kernel remove them. What a sandbox takes it owns, so that dropping it,
//! or a step of its making, gives everything back.

use super::ids::EACH;
use super::ipam::Address;
use super::sysctls;
use super::users::{Map, Users};
use crate::fabric::link::{self, LinkError, Links};
use crate::fabric::wall::Gate;
use herder_base::chain;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a pod waits for its network policies.
const ADMISSION: Duration = Duration::from_secs(5);

/// Why a pod's namespaces could not be made.
#[derive(Debug, Error)]
pub(crate) enum SandboxError {
    /// The thread that makes them.
    #[error("the pod's namespaces could not be made")]
    Make(#[source] io::Error),
    /// The network inside.
    #[error("the pod's network could not be set up: {0}")]
    Inside(String),
    /// The outer end.
    #[error("the pod could not be connected to the cluster's network")]
    Attach(#[source] LinkError),
}

/// A pod's namespaces.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The pod's address.
    address: Address,
    /// The user namespace that the others belong to, unless that is the machine's.
    pub(crate) users: Option<Arc<Users>>,
    net: OwnedFd,
    ipc: OwnedFd,
    uts: OwnedFd,
    device: String,
}

/// Namespaces as they were made: user, network, IPC, host name.
type Made = (Option<Users>, OwnedFd, OwnedFd, OwnedFd);

const KINDS: [(&str, CloneFlags); 3] = [
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
];

impl Sandbox {
    /// Makes them and connects the pod; with ids of its own if there is a `map`.
    pub(crate) async fn new(
        links: &Links,
        outside: &Arc<OwnedFd>,
        (uid, hostname, sysctls): (&str, &str, Vec<(String, String)>),
        (address, node): (Address, Ipv4Addr),
        map: Option<Map>,
    ) -> Result<Self, SandboxError> {
        let ip = address.get();
        let device = link::device(uid, ip);
        // A namespace that is just being taken apart may still hold the name.
        links.delete(&device).await.map_err(SandboxError::Attach)?;
        let (sender, receiver) = oneshot::channel();
        let (outside, hostname, peer) = (Arc::clone(outside), hostname.to_owned(), device.clone());
        // A thread of its own: it leaves the agent's namespaces and never comes back.
        std::thread::Builder::new()
            .name("sandbox".to_owned())
            .stack_size(512 << 10)
            .spawn(move || {
                // Whoever asked may have given up: then the namespaces end here, and only after them nobody has the address.
                let made = make(ip, (&hostname, &sysctls), &peer, &outside, map);
                _ = sender.send(made.map(|made| (made, address)));
            })
            .map_err(SandboxError::Make)?;
        let made = receiver
            .await
            .map_err(|_| SandboxError::Make(io::Error::other("the thread ended")))?;
        let ((users, net, ipc, uts), address) = made?;
        links
            .attach(&device, ip, node)
            .await
            .map_err(SandboxError::Attach)?;
        Ok(Self {
            address,
            users: users.map(Arc::new),
            net,
            ipc,
            uts,
            device,
        })
    }

    /// The pod's address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.get()
    }

    /// The network namespace.
    pub(crate) fn network(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// The network, IPC and host name namespaces; valid inside the agent's pid namespace.
    pub(crate) fn paths(&self) -> Vec<String> {
        [&self.net, &self.ipc, &self.uts]
            .map(|fd| format!("/proc/1/fd/{}", fd.as_raw_fd()))
            .into()
    }

    /// Waits until the pod's network policies hold, so that none of its processes runs before. Where that takes too
    /// long the pod starts all the same: until its policies hold, its packets are dropped.
    pub(crate) async fn admitted(&self) {
        let begun = Instant::now();
        let mut wait = Duration::from_millis(1);
        let asked = Gate::open().map(|mut gate| async move {
            loop {
                match gate.knows(&self.device) {
                    Ok(true) => return Ok(()),
                    Ok(false) if begun.elapsed() > ADMISSION => {
                        tracing::warn!(
                            device = self.device,
                            "a pod's network policies were not loaded in time; it starts without a network"
                        );
                        return Ok(());
                    }
                    Ok(false) => tokio::time::sleep(wait).await,
                    Err(error) => return Err(error),
                }
                wait = (wait * 2).min(Duration::from_millis(20));
            }
        });
        let outcome = match asked {
            Ok(asked) => asked.await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(device = self.device, error = %chain(&error), "a pod's network policies could not be asked for");
        }
    }

    /// Takes the pod off the network at once, without waiting for the kernel to notice that the namespace is unused.
    pub(crate) async fn disconnect(&self, links: &Links) {
        if let Err(error) = links.delete(&self.device).await {
            tracing::warn!(device = self.device, error = %chain(&error), "a pod's device could not be removed");
        }
    }
}

/// Enters new namespaces; those of a pod with ids of its own belong to its user namespace, which this thread stays out of.
fn enter(map: Option<Map>) -> io::Result<Made> {
    let wrong = || io::Error::other("the kernel made other namespaces than it was asked for");
    let Some(map) = map else {
        let flags = KINDS
            .iter()
            .fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
        unshare(flags)?;
        let open = |kind: &str| File::open(format!("/proc/thread-self/ns/{kind}")).map(OwnedFd::from);
        return Ok((None, open("net")?, open("ipc")?, open("uts")?));
    };
    let (users, fds) = Users::make(map, &KINDS)?;
    for (fd, (_, flag)) in fds.iter().zip(KINDS) {
        setns(fd, flag)?;
    }
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(wrong);
    Ok((Some(users), next()?, next()?, next()?))
}

fn make(
    address: Ipv4Addr,
    (hostname, settings): (&str, &[(String, String)]),
    peer: &str,
    outside: &OwnedFd,
    map: Option<Map>,
) -> Result<Made, SandboxError> {
    let made = enter(map).map_err(SandboxError::Make)?;
    sethostname(hostname).map_err(|errno| SandboxError::Make(errno.into()))?;
    // What container runtimes set for pods; kernels without them are fine. Every group of the pod may ping: without
    // raw sockets there is no other way.
    _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let groups = match made.0.as_ref().map(|users| &users.map) {
        Some(map @ Map::Own(_)) => format!("{} {}", map.first(), map.first() + EACH - 1),
        Some(Map::One) => "0 0".to_owned(),
        None => "0 2147483647".to_owned(),
    };
    _ = fs::write("/proc/sys/net/ipv4/ping_group_range", groups);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SandboxError::Make)?;
    runtime.block_on(async {
        let inside = |error: LinkError| SandboxError::Inside(chain(&error).to_string());
        let links = Links::open().map_err(inside)?;
        links.build_pod(address, peer, outside).await.map_err(inside)
    })?;
    let map = made.0.as_ref().map(|users| &users.map);
    sysctls::set(settings, map).map_err(SandboxError::Make)?;
    Ok(made)
}
