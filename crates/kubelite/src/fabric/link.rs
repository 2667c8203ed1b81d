//! Devices, addresses and routes by netlink. Owns no policy: addresses are decided elsewhere.

use super::types::GATEWAY;
use futures::TryStreamExt;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use thiserror::Error;
use tokio::task::JoinSet;

/// The bridge every pod hangs on.
pub(crate) const BRIDGE: &str = "herder0";
/// The kernel's table of local addresses.
const LOCAL_TABLE: u32 = 255;

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

    /// The cluster's network: loopback, bridge, gateway address, and a services range any address of which can be
    /// listened on.
    pub(crate) async fn build_cluster(&self) -> Result<(), LinkError> {
        self.up("lo").await?;
        // A fixed hardware address: else it changes as pods come and go, and with it everyone's neighbour entries.
        let bridge = LinkBridge::new(BRIDGE)
            .address(vec![0x0a, 0x58, 10, 42, 0, 1])
            .up()
            .build();
        self.handle
            .link()
            .add(bridge)
            .execute()
            .await
            .map_err(refused("the bridge"))?;
        let index = self.index(BRIDGE).await?;
        let add = self.handle.address().add(index, IpAddr::V4(GATEWAY), 16);
        add.execute().await.map_err(refused("the bridge's address"))?;
        let lo = self.index("lo").await?;
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

    /// A node's own address on the bridge; having it already is fine.
    pub(crate) async fn add_node_address(&self, address: Ipv4Addr) -> Result<(), LinkError> {
        let index = self.index(BRIDGE).await?;
        let add = self
            .handle
            .address()
            .add(index, IpAddr::V4(address), 32)
            .replace();
        add.execute().await.map_err(refused("the node's address"))
    }

    /// Inside a pod's namespace: loopback, and `eth0` whose other end `peer` appears in the namespace `outside`.
    pub(crate) async fn build_pod(
        &self,
        address: Ipv4Addr,
        peer: &str,
        outside: &OwnedFd,
    ) -> Result<(), LinkError> {
        self.up("lo").await?;
        let [a, b, c, d] = address.octets();
        let other = LinkUnspec::new_with_name(peer)
            .setns_by_fd(outside.as_raw_fd())
            .build();
        let pair = LinkVeth::new("eth0", peer)
            .address(vec![0x0a, 0x58, a, b, c, d])
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
        let add = self.handle.address().add(index, IpAddr::V4(address), 16);
        add.execute().await.map_err(refused("the pod's address"))?;
        self.up("eth0").await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(GATEWAY)
            .output_interface(index)
            .build();
        self.handle
            .route()
            .add(route)
            .execute()
            .await
            .map_err(refused("the pod's default route"))
    }

    /// Hangs a pod's outer end on the bridge.
    pub(crate) async fn attach(&self, name: &str) -> Result<(), LinkError> {
        let bridge = self.index(BRIDGE).await?;
        let message = LinkUnspec::new_with_name(name).controller(bridge).up().build();
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(refused("a port of the bridge"))
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
