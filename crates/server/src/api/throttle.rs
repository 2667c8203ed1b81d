//! How often an address may be wrong when it signs in.

use jiff::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many wrong tries within [`WINDOW`], then none are looked at until it is over.
const TRIES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; more than that are counted together.
const REMEMBERED: usize = 4096;

/// Wrong tries by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, (u32, Timestamp)>>);

/// One subscriber has a whole /64 of IPv6.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

impl Throttle {
    /// How long an address has to wait before it is looked at, if it has to.
    pub(crate) fn wait(&self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = tries.get(&place(address)).or_else(|| {
            let full = tries.len() >= REMEMBERED;
            full.then(|| tries.get(&OTHERS)).flatten()
        });
        let (count, since) = entry?;
        let passed = now.duration_since(*since).unsigned_abs();
        (*count >= TRIES && passed < WINDOW).then(|| WINDOW - passed)
    }

    /// Counts a wrong try.
    pub(crate) fn wrong(&self, address: IpAddr, now: Timestamp) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |since: &Timestamp| now.duration_since(*since).unsigned_abs() >= WINDOW;
        if tries.len() >= REMEMBERED {
            tries.retain(|_, (_, since)| !over(since));
        }
        let mut place = place(address);
        if tries.len() >= REMEMBERED && !tries.contains_key(&place) {
            place = OTHERS;
        }
        let entry = tries.entry(place).or_insert((0, now));
        if over(&entry.1) {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }
}

const OTHERS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_wrong_too_often_waits() {
        let throttle = Throttle::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let [a, b]: [IpAddr; 2] = ["2001:db8::1", "192.0.2.1"].map(|text| text.parse().unwrap());
        for _ in 0..TRIES {
            assert_eq!(throttle.wait(a, at(0)), None);
            throttle.wrong(a, at(0));
        }
        assert!(throttle.wait("2001:db8::2".parse().unwrap(), at(1)).is_some());
        assert_eq!(throttle.wait(b, at(1)), None);
        assert_eq!(throttle.wait(a, at(60)), None);
        throttle.wrong(a, at(60));
        assert_eq!(throttle.wait(a, at(61)), None);
    }

    #[test]
    fn many_addresses_take_bounded_room() {
        let throttle = Throttle::default();
        for n in 0..10_000u32 {
            throttle.wrong(IpAddr::from((n + 1).to_be_bytes()), Timestamp::UNIX_EPOCH);
        }
        assert!(throttle.0.lock().unwrap().len() <= REMEMBERED + 1);
        let new = "198.51.100.1".parse().unwrap();
        assert!(throttle.wait(new, Timestamp::UNIX_EPOCH).is_some());
    }
}
