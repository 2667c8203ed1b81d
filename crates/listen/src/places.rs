//! Counting without HTTP: so many at once in all, so many by where they come from. For what is carried, not served.

use crate::files::fitting;
use crate::room::Group;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Places to be taken. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    each: usize,
    taken: Mutex<(usize, HashMap<Group, usize>)>,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Inner>, Group);

impl Places {
    /// So many in all, and so many for each address; fewer where the process may have few files.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Self {
        let fits = fitting(all);
        Self(Arc::new(Inner {
            all: fits,
            each: (each * fits).div_ceil(all.max(1)),
            taken: Mutex::default(),
        }))
    }

    /// Takes a place for somebody at this address; none if there is none left for them.
    #[must_use]
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let group = Group::of(address);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_group) = &mut *taken;
        let own = by_group.entry(group).or_insert(0);
        if *all >= self.0.all || *own >= self.0.each {
            if *own == 0 {
                by_group.remove(&group);
            }
            return None;
        }
        *all += 1;
        *own += 1;
        Some(Place(Arc::clone(&self.0), group))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_group) = &mut *taken;
        *all = all.saturating_sub(1);
        if let Some(own) = by_group.get_mut(&self.1) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                by_group.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_have_all() {
        let places = Places::new(4, 3);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut held: Vec<Place> = (0..3).filter_map(|_| places.take(a)).collect();
        assert_eq!(held.len(), 3);
        assert!(places.take(a).is_none());
        held.extend(places.take(b));
        assert_eq!(held.len(), 4);
        assert!(places.take(b).is_none());
        held.clear();
        assert!(places.take(a).is_some());
        assert!(places.0.taken.lock().unwrap().1.is_empty());
    }
}
