//! All seats of one listener: who gets one, who gives one up, and who has been waited for too long.

use crate::files::fitting;
use crate::limits::{Limits, Refusal};
use crate::seat::{Clock, Order, Seat};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Who counts as one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// Whoever is on this machine.
    Machine,
    /// An address of version 4.
    Four(u32),
    /// What one customer has of version 6: 64 bits.
    Six(u64),
}

impl Group {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            ip if ip.is_loopback() => Self::Machine,
            IpAddr::V4(ip) => Self::Four(ip.to_bits()),
            IpAddr::V6(ip) => Self::Six(upper(ip)),
        }
    }
}

fn upper(ip: Ipv6Addr) -> u64 {
    u64::try_from(ip.to_bits() >> 64).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Table {
    seats: HashMap<u64, Arc<Seat>>,
    groups: HashMap<Group, usize>,
    next: u64,
    /// Who gives way next, as last seen, for all and for single groups.
    giving: HashMap<Option<Group>, VecDeque<(u64, u64)>>,
    refused: u64,
}

/// The seats of one listener.
#[derive(Debug)]
pub(crate) struct Room {
    name: &'static str,
    pub(crate) limits: Limits,
    connections: usize,
    clock: Arc<Clock>,
    started: Instant,
    table: Mutex<Table>,
}

/// There is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) refusal: Refusal,
    /// There will be one as soon as we have looked at what others sent: it is us who are slow.
    pub(crate) soon: bool,
}

/// A seat that somebody sits on; free again when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    room: Arc<Room>,
    number: u64,
    pub(crate) seat: Arc<Seat>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.room.table().remove(self.number);
    }
}

impl Table {
    fn remove(&mut self, number: u64) -> Option<Arc<Seat>> {
        let seat = self.seats.remove(&number)?;
        if let Some(count) = self.groups.get_mut(&seat.group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.groups.remove(&seat.group);
            }
        }
        Some(seat)
    }

    /// Frees the seat of whoever is waited for longest; whether there was somebody.
    fn make_way(&mut self, whose: Option<Group>, now: u64) -> bool {
        loop {
            let next = self.giving.get_mut(&whose).and_then(VecDeque::pop_front);
            let Some((number, since)) = next else {
                if self.look(whose, now) {
                    continue;
                }
                return false;
            };
            // It may have asked for something since it was seen.
            let still = self
                .seats
                .get(&number)
                .is_some_and(|seat| seat.waits() == Some(since));
            if still && let Some(seat) = self.remove(number) {
                seat.give_way();
                return true;
            }
        }
    }

    /// Looks for the next ones to give way, several at once: looking costs as much as there are seats.
    fn look(&mut self, whose: Option<Group>, now: u64) -> bool {
        let mut found: Vec<(u64, u64, u64)> = self
            .seats
            .iter()
            .filter(|(_, seat)| whose.is_none_or(|group| seat.group == group))
            .filter_map(|(number, seat)| Some((seat.age(now)?, *number, seat.waits()?)))
            .collect();
        let some = (found.len() / 16).clamp(1, 256);
        if found.len() > some {
            found.select_nth_unstable_by(some - 1, |a, b| b.cmp(a));
            found.truncate(some);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        let any = !found.is_empty();
        let queue = found
            .into_iter()
            .map(|(_, number, since)| (number, since))
            .collect();
        if any {
            self.giving.insert(whose, queue);
        } else {
            self.giving.remove(&whose);
        }
        any
    }
}

impl Room {
    pub(crate) fn new(name: &'static str, limits: Limits) -> Self {
        Self {
            name,
            connections: fitting(limits.connections),
            limits,
            clock: Arc::default(),
            started: Instant::now(),
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most seats somebody may have.
    fn most(&self, group: Group) -> usize {
        match group {
            Group::Machine => self.connections - self.connections / 4,
            _ => self.limits.per_peer.min(self.connections),
        }
    }

    /// How many seats there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Notes that somebody was sent away.
    pub(crate) fn refused(&self) {
        self.table().refused += 1;
    }

    fn now(&self) -> u64 {
        self.clock.set(self.started.elapsed());
        self.clock.get()
    }

    /// A seat for a new client, if need be that of one who is waited for.
    pub(crate) fn enter(self: &Arc<Self>, group: Group, tls: bool) -> Result<Entry, Denied> {
        let now = self.now();
        let mut table = self.table();
        let own = table.groups.get(&group).copied().unwrap_or_default();
        let refused = if own >= self.most(group) {
            (!table.make_way(Some(group), now)).then_some(Refusal::Peer)
        } else if table.seats.len() >= self.connections {
            (!table.make_way(None, now)).then_some(Refusal::Full)
        } else {
            None
        };
        if let Some(refusal) = refused {
            let all = refusal == Refusal::Full;
            let soon = table
                .seats
                .values()
                .any(|seat| (all || seat.group == group) && seat.is_unseen());
            return Err(Denied { refusal, soon });
        }
        let seat = Arc::new(Seat::new(group, Arc::clone(&self.clock), tls));
        let number = table.next;
        table.next += 1;
        table.seats.insert(number, Arc::clone(&seat));
        *table.groups.entry(group).or_insert(0) += 1;
        Ok(Entry {
            room: Arc::clone(self),
            number,
            seat,
        })
    }

    /// A seat beside all others, for somebody who is refused with words.
    pub(crate) fn spare(self: &Arc<Self>, group: Group, tls: bool) -> Entry {
        Entry {
            room: Arc::clone(self),
            number: u64::MAX,
            seat: Arc::new(Seat::new(group, Arc::clone(&self.clock), tls)),
        }
    }

    /// Ends those who are waited for too long; whether there is anybody to look at again.
    pub(crate) fn sweep(&self) -> bool {
        let now = self.now();
        let mut table = self.table();
        for seat in table.seats.values() {
            match seat.overdue(now, &self.limits) {
                Order::Stay => {}
                order => seat.tell(order),
            }
        }
        // What was seen may have grown old, and groups may have gone.
        table.giving.clear();
        let refused = std::mem::take(&mut table.refused);
        if refused > 0 {
            tracing::warn!(
                listener = self.name,
                refused,
                open = table.seats.len(),
                "connections were refused: all that there may be are busy"
            );
        }
        !table.seats.is_empty()
    }

    /// Asks some who are waited for to go: there are no files left.
    pub(crate) fn shed(&self) {
        let now = self.now();
        let mut table = self.table();
        for _ in 0..16 {
            if !table.make_way(None, now) {
                break;
            }
        }
    }

    /// Tells everybody.
    pub(crate) fn tell_all(&self, order: Order) {
        for seat in self.table().seats.values() {
            seat.tell(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(connections: usize, per_peer: usize) -> Arc<Room> {
        Arc::new(Room::new(
            "test",
            Limits {
                connections,
                per_peer,
                ..Limits::default()
            },
        ))
    }

    fn work(entry: &Entry) {
        entry.seat.request(http::Version::HTTP_11);
    }

    #[tokio::test]
    async fn the_longest_waited_for_gives_way_and_who_works_does_not() {
        let room = room(8, 4);
        let peer = Group::of([10, 0, 0, 1].into());
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(room.enter(peer, false).unwrap());
            taken.iter().for_each(|entry| entry.seat.ran_dry());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        work(&taken[0]);
        let fifth = room.enter(peer, false).unwrap();
        assert_eq!(taken[0].seat.order(), Order::Stay);
        assert_eq!(taken[1].seat.order(), Order::Go);
        work(&taken[2]);
        work(&taken[3]);
        work(&fifth);
        assert_eq!(room.enter(peer, false).unwrap_err().refusal, Refusal::Peer);
        let other = Group::of([10, 0, 0, 2].into());
        assert!(room.enter(other, false).is_ok(), "another's place is kept");
        drop(fifth);
        assert!(room.enter(peer, false).is_ok());
    }

    #[test]
    fn the_machine_leaves_room_for_others() {
        let room = room(8, 8);
        let taken: Vec<Entry> = (0..6)
            .map(|_| room.enter(Group::of([127, 3, 2, 1].into()), false).unwrap())
            .collect();
        let next = room.enter(Group::Machine, false);
        assert!(next.unwrap_err().soon, "nobody was looked at yet");
        taken.iter().for_each(work);
        let next = room.enter(Group::of(Ipv6Addr::LOCALHOST.into()), false);
        let denied = next.unwrap_err();
        assert_eq!((denied.refusal, denied.soon), (Refusal::Peer, false));
        let others: Vec<Entry> = (0..2)
            .map(|n| room.enter(Group::of([10, 0, 0, n].into()), false).unwrap())
            .collect();
        others.iter().for_each(work);
        let full = room.enter(Group::of([10, 0, 0, 9].into()), false);
        assert_eq!(full.unwrap_err().refusal, Refusal::Full);
    }

    #[test]
    fn a_customer_of_version_6_is_one() {
        let of = |text: &str| Group::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:127.0.0.9"), Group::Machine);
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
