//! How much one client, and all of them, may hold of something at a time. One pod must not take what others need.

use super::policy::is_pod_address;
use nix::sys::resource::{Resource, getrlimit};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A client's excess is worth a line in the log so often.
const SAID: Duration = Duration::from_secs(60);

/// Places, counted by client.
#[derive(Debug)]
pub(super) struct Bounds {
    each: usize,
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    of: HashMap<IpAddr, usize>,
    all: usize,
    said: Option<Instant>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    bounds: Arc<Bounds>,
    client: IpAddr,
}

impl Bounds {
    pub(super) fn new(each: usize, all: usize) -> Self {
        Self {
            each,
            all,
            taken: Mutex::default(),
        }
    }

    /// For connections that take two open files each: most of those that this process may have, and of these a
    /// twelfth for one client.
    pub(super) fn of_open_files() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        let all = usize::try_from(files / 8 * 3)
            .unwrap_or(24_576)
            .clamp(128, 24_576);
        Self::new((all / 12).max(64), all)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let own = taken.of.get(&client).copied().unwrap_or(0);
        // What is no pod's comes from the node itself: nobody else's doing.
        let pod = matches!(client, IpAddr::V4(v4) if is_pod_address(v4));
        if taken.all >= self.all || (pod && own >= self.each) {
            if taken.said.is_none_or(|said| said.elapsed() > SAID) {
                taken.said = Some(Instant::now());
                tracing::warn!(
                    %client, held = own, limit = self.each, all = taken.all,
                    "a pod holds as many connections to services as it may; more are refused"
                );
            }
            return None;
        }
        taken.all += 1;
        taken.of.insert(client, own + 1);
        Some(Place {
            bounds: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.bounds.taken();
        taken.all = taken.all.saturating_sub(1);
        match taken.of.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = taken.of.remove(&self.client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let bounds = Arc::new(Bounds::new(2, 5));
        let (greedy, other) = (IpAddr::from([10, 42, 1, 2]), IpAddr::from([10, 42, 1, 3]));
        let places: Vec<_> = (0..4).map(|_| bounds.enter(greedy)).collect();
        assert_eq!(places.iter().flatten().count(), 2);
        assert!(bounds.enter(other).is_some());
        drop(places);
        assert!(bounds.enter(greedy).is_some());
        let node = IpAddr::from([10, 42, 1, 1]);
        let of_node: Vec<_> = (0..9).map(|_| bounds.enter(node)).collect();
        assert_eq!(of_node.iter().flatten().count(), 5);
        assert!(bounds.enter(other).is_none());
    }
}
