//! Addresses of the node's slice. An address comes back last: a pod just gone may still be on somebody's mind.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of one node.
#[derive(Debug)]
pub(crate) struct Ipam(Mutex<VecDeque<Ipv4Addr>>);

/// An address that nobody else has, given back when dropped: whatever step is cancelled, it cannot be forgotten.
#[derive(Debug)]
pub(crate) struct Address {
    ipam: Arc<Ipam>,
    address: Ipv4Addr,
}

impl Address {
    /// It.
    pub(crate) fn get(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut free = self.ipam.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push_back(self.address);
    }
}

impl Ipam {
    /// The slice `10.42.INDEX.0/24`.
    pub(crate) fn new(index: u8) -> Arc<Self> {
        let slice = (2..=254).map(|host| Ipv4Addr::new(10, 42, index, host));
        Arc::new(Self(Mutex::new(slice.collect())))
    }

    /// Takes one; `None` when all are in use.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Address> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = free.pop_front()?;
        Some(Address {
            ipam: Arc::clone(self),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_and_are_not_reused_soon() {
        let ipam = Ipam::new(3);
        let first = ipam.take().unwrap();
        assert_eq!(first.get(), Ipv4Addr::new(10, 42, 3, 2));
        drop(first);
        let rest: Vec<_> = std::iter::from_fn(|| ipam.take()).collect();
        assert_eq!(rest.len(), 253);
        assert_eq!(rest.last().map(Address::get), Some(Ipv4Addr::new(10, 42, 3, 2)));
        drop(rest);
        let again: Vec<_> = std::iter::from_fn(|| ipam.take()).collect();
        assert_eq!(again.len(), 253);
    }

    #[tokio::test]
    async fn a_cancelled_step_gives_its_address_back() {
        let ipam = Ipam::new(3);
        let step = async {
            let _address = ipam.take().unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = step => {}
            () = std::future::ready(()) => {}
        }
        let all: Vec<_> = std::iter::from_fn(|| ipam.take()).collect();
        assert_eq!(all.len(), 253);
    }
}
