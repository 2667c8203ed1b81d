//! Addresses of the node's slice. An address comes back last: a pod just gone may still be on somebody's mind.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// The free addresses of one node.
#[derive(Debug)]
pub(crate) struct Ipam(VecDeque<Ipv4Addr>);

impl Ipam {
    /// The slice `10.42.INDEX.0/24`.
    pub(crate) fn new(index: u8) -> Self {
        Self((2..=254).map(|host| Ipv4Addr::new(10, 42, index, host)).collect())
    }

    /// Takes one; `None` when all are in use.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        self.0.pop_front()
    }

    /// Gives one back.
    pub(crate) fn give(&mut self, address: Ipv4Addr) {
        self.0.push_back(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_reused_soon() {
        let mut ipam = Ipam::new(3);
        let first = ipam.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 42, 3, 2));
        ipam.give(first);
        let rest: Vec<_> = std::iter::from_fn(|| ipam.take()).collect();
        assert_eq!(rest.len(), 253);
        assert_eq!(rest.last(), Some(&first));
    }
}
