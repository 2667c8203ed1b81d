//! IPv4 networks, and what is left of one without some others. Pure.

use std::net::Ipv4Addr;

/// First and last address.
pub(super) type Range = (Ipv4Addr, Ipv4Addr);

/// The addresses of a network such as `10.0.0.0/8`; `None` if it is none (or of IPv6, which pods have not).
pub(super) fn parse(text: &str) -> Option<Range> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let hosts = match bits {
        0 => u32::MAX,
        1..=32 => u32::MAX.checked_shr(bits).unwrap_or(0),
        _ => return None,
    };
    let first = u32::from(address) & !hosts;
    Some((first.into(), (first | hosts).into()))
}

/// `from` without `holes`.
pub(super) fn without(from: Range, holes: &[Range]) -> Vec<Range> {
    let mut left = vec![(u32::from(from.0), u32::from(from.1))];
    for (first, last) in holes.iter().map(|hole| (u32::from(hole.0), u32::from(hole.1))) {
        left = left
            .into_iter()
            .flat_map(|(a, b)| {
                if last < a || first > b {
                    return vec![(a, b)];
                }
                let below = first.checked_sub(1).filter(|end| *end >= a).map(|end| (a, end));
                let above = last
                    .checked_add(1)
                    .filter(|start| *start <= b)
                    .map(|start| (start, b));
                below.into_iter().chain(above).collect()
            })
            .collect();
    }
    left.into_iter().map(|(a, b)| (a.into(), b.into())).collect()
}

/// The same addresses in ranges that neither overlap nor touch, in order.
pub(super) fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if u32::from(before.1).saturating_add(1) >= u32::from(first) => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}
