//! Devices, addresses, routes and neighbours by netlink. Owns no policy: addresses are decided elsewhere, and who may
//! talk to whom is the wall's business.
//!
//! Every pod hangs on a cable of its own to a router, the fabric's namespace: there is no bridge, no address range that
//! two pods share a wire for, and no ARP. What a pod sends with a source address that is not behind its device is
//! dropped by the reverse path filter.

use super::types::{GATEWAY, WAY_OUT as WAY_OUT_ADDRESS};
use futures::TryStreamExt;
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::{fs, io};
use thiserror::Error;
use tokio::task::JoinSet;

/// The kernel's table of local addresses.
const LOCAL_TABLE: u32 = 255;
/// The hardware address of every pod's way out. It may be the same for all: no two of them share a wire.
const WAY_OUT: [u8; 6] = [0x0a, 0x58, 169, 254, 1, 1];

/// Why the network could not be built.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    /// No netlink socket.
    #[error("could not talk to the kernel's network configuration")]
    Socket(#[source] io::Error),
    /// One request was refused.
    #[error("the kernel refused {what}")]
    Refused {
        /// The request.
        what: &'static str,
        /// The kernel's reason.
        #[source]
        source: rtnetlink::Error,
    },
    /// A device that should be there is not.
    #[error("there is no network device {0}")]
    Missing(String),
    /// A setting that keeps pods apart could not be made.
    #[error("could not set {path} (is /proc/sys read-only here?)")]
    Setting {
        /// The setting.
        path: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

/// A netlink connection of the network namespace the calling thread is in.
#[derive(Debug)]
pub(crate) struct Links {
    handle: Handle,
    // Dropped, and so aborted, with the connection.
    _connection: JoinSet<()>,
}

fn refused(what: &'static str) -> impl Fn(rtnetlink::Error) -> LinkError {
    move |source| LinkError::Refused { what, source }
}

/// The outer end of a pod's cable. It names the pod, not only its address: what is said about a pod by the name of
/// its device is never true of a later pod with the same address.
#[must_use]
pub fn device(uid: &str, address: Ipv4Addr) -> String {
    let [_, _, node, host] = address.octets();
    let digest = Sha256::digest(uid.as_bytes());
    let mark = digest
        .iter()
        .take(4)
        .fold(0_u32, |mark, byte| mark << 8 | u32::from(*byte));
    format!("h{node:02x}{host:02x}{mark:08x}")
}

/// The hardware address inside a pod.
fn hardware(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![0x0a, 0x58, a, b, c, d]
}

/// Writes a setting of the calling thread's network namespace.
fn set(path: &'static str, value: &str) -> Result<(), LinkError> {
    match fs::write(path, value) {
        // A kernel without IPv6 needs not be told.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains("/ipv6/") => Ok(()),
        other => other.map_err(|source| LinkError::Setting { path, source }),
    }
}

impl Links {
    /// Opens the connection; needs a running reactor.
    pub(crate) fn open() -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Socket)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Ok(Self {
            handle,
            _connection: tasks,
        })
    }

    /// The cluster's network: a router without a wire of its own, its address, and a services range any address of
    /// which can be listened on.
    pub(crate) async fn build_cluster(&self) -> Result<(), LinkError> {
        // Routing first: switching it on resets the others. The defaults are what devices are born with.
        for (path, value) in [
            ("/proc/sys/net/ipv4/ip_forward", "1"),
            // Strict: a packet is taken only from the device that its source address is behind.
            ("/proc/sys/net/ipv4/conf/all/rp_filter", "1"),
            ("/proc/sys/net/ipv4/conf/default/rp_filter", "1"),
            ("/proc/sys/net/ipv4/conf/all/accept_source_route", "0"),
            ("/proc/sys/net/ipv4/conf/default/accept_source_route", "0"),
            ("/proc/sys/net/ipv4/conf/all/accept_redirects", "0"),
            ("/proc/sys/net/ipv4/conf/default/accept_redirects", "0"),
            ("/proc/sys/net/ipv4/conf/all/send_redirects", "0"),
            ("/proc/sys/net/ipv4/conf/default/send_redirects", "0"),
            // Nobody asks, nobody answers: every neighbour is written down.
            ("/proc/sys/net/ipv4/conf/all/arp_ignore", "8"),
            ("/proc/sys/net/ipv4/conf/default/arp_ignore", "8"),
            ("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"),
            ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
        ] {
            set(path, value)?;
        }
        self.up("lo").await?;
        let lo = self.index("lo").await?;
        self.local(lo, GATEWAY).await?;
        let services = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::new(10, 96, 0, 0), 16)
            .output_interface(lo)
            .table_id(LOCAL_TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        self.handle
            .route()
            .add(services)
            .execute()
            .await
            .map_err(refused("the services range"))
    }

    /// A node's own address; having it already is fine.
    pub(crate) async fn add_node_address(&self, address: Ipv4Addr) -> Result<(), LinkError> {
        let lo = self.index("lo").await?;
        self.local(lo, address).await
    }

    async fn local(&self, lo: u32, address: Ipv4Addr) -> Result<(), LinkError> {
        let add = self.handle.address().add(lo, IpAddr::V4(address), 32).replace();
        add.execute().await.map_err(refused("a node's address"))
    }

    /// Inside a pod's namespace: loopback, and `eth0` whose other end `peer` appears in the namespace `outside`. The
    /// pod's only neighbour is the way out, written down; there is no wire that another pod hangs on.
    pub(crate) async fn build_pod(
        &self,
        address: Ipv4Addr,
        peer: &str,
        outside: &OwnedFd,
    ) -> Result<(), LinkError> {
        // What is made from here on; loopback keeps its ::1.
        set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        self.up("lo").await?;
        let other = LinkUnspec::new_with_name(peer)
            .setns_by_fd(outside.as_raw_fd())
            .address(WAY_OUT.to_vec())
            .arp(false)
            .build();
        let pair = LinkVeth::new("eth0", peer)
            .address(hardware(address))
            .up()
            .set_info_data(rtnetlink::packet_route::link::InfoData::Veth(
                rtnetlink::packet_route::link::InfoVeth::Peer(other),
            ))
            .build();
        self.handle
            .link()
            .add(pair)
            .execute()
            .await
            .map_err(refused("the pod's device"))?;
        let index = self.index("eth0").await?;
        let add = self.handle.address().add(index, IpAddr::V4(address), 32);
        add.execute().await.map_err(refused("the pod's address"))?;
        self.neighbour(index, WAY_OUT_ADDRESS, &WAY_OUT).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(WAY_OUT_ADDRESS)
            .output_interface(index)
            .onlink()
            .build();
        self.handle
            .route()
            .add(route)
            .execute()
            .await
            .map_err(refused("the pod's default route"))
    }

    /// Leads a pod's address to its device, and nowhere else. `from` is what the node's own connections come from.
    pub(crate) async fn attach(
        &self,
        name: &str,
        address: Ipv4Addr,
        from: Ipv4Addr,
    ) -> Result<(), LinkError> {
        self.up(name).await?;
        let index = self.index(name).await?;
        self.neighbour(index, address, &hardware(address)).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .pref_source(from)
            .build();
        // An earlier pod's device may be there still, for a moment.
        let add = self.handle.route().add(route).replace();
        add.execute().await.map_err(refused("the pod's route"))
    }

    async fn neighbour(&self, index: u32, address: Ipv4Addr, hardware: &[u8]) -> Result<(), LinkError> {
        let add = self
            .handle
            .neighbours()
            .add(index, IpAddr::V4(address))
            .link_layer_address(hardware)
            .state(NeighbourState::Permanent)
            .replace();
        add.execute().await.map_err(refused("a neighbour"))
    }

    /// Deletes a device; one that is gone is fine.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), LinkError> {
        let Ok(index) = self.index(name).await else {
            return Ok(());
        };
        match self.handle.link().del(index).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -nix::libc::ENODEV => Ok(()),
            other => other.map_err(refused("to delete a device")),
        }
    }

    async fn up(&self, name: &str) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_name(name).up().build();
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(refused("to bring a device up"))
    }

    async fn index(&self, name: &str) -> Result<u32, LinkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        let link = links.try_next().await.map_err(refused("to look up a device"))?;
        link.map(|link| link.header.index)
            .ok_or_else(|| LinkError::Missing(name.to_owned()))
    }
}
