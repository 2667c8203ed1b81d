//! Rules: expressions one after the other. A packet that one of them does not fit goes on to the next rule.

use super::command::{Attrs, LIST_ELEM, Verdict};
use std::net::Ipv4Addr;

/// The first register, and the second and third words of the same 16 bytes.
const WORDS: [u32; 3] = [8, 9, 10];
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// States of a connection, as the kernel numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum CtState {
    Invalid = 1,
    Established = 2,
    Related = 4,
    New = 8,
}

/// A rule under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Rule(Attrs);

impl Rule {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(&self) -> &Attrs {
        &self.0
    }

    fn expression(mut self, name: &str, build: impl FnOnce(&mut Attrs)) -> Self {
        self.0.nest(LIST_ELEM, |expression| {
            expression.text(1, name);
            expression.nest(2, build);
        });
        self
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.expression("meta", |data| {
            data.number(1, register);
            data.number(2, key);
        })
    }

    /// `base`: 1 the network header, 2 the transport header.
    fn payload(self, base: u32, (offset, length): (u32, u32), register: u32) -> Self {
        self.expression("payload", |data| {
            data.number(1, register);
            data.number(2, base);
            data.number(3, offset);
            data.number(4, length);
        })
    }

    fn ct(self, key: u32) -> Self {
        self.expression("ct", |data| {
            data.number(1, WORDS[0]);
            data.number(2, key);
        })
    }

    fn compare(self, how: u32, value: &[u8]) -> Self {
        self.expression("cmp", |data| {
            data.number(1, WORDS[0]);
            data.number(2, how);
            data.nest(3, |data| data.put(1, value));
        })
    }

    fn mask(self, mask: &[u8]) -> Self {
        let zero = vec![0; mask.len()];
        let length = u32::try_from(mask.len()).unwrap_or(4);
        self.expression("bitwise", |data| {
            data.number(1, WORDS[0]);
            data.number(2, WORDS[0]);
            data.number(3, length);
            data.nest(4, |data| data.put(1, mask));
            data.nest(5, |data| data.put(1, &zero));
        })
    }

    fn lookup(self, set: &str, not: bool) -> Self {
        self.expression("lookup", |data| {
            data.text(1, set);
            data.number(2, WORDS[0]);
            if not {
                data.number(5, 1);
            }
        })
    }

    /// From the fabric itself.
    pub(in super::super) fn by_loopback(self) -> Self {
        // Loopback is the first device of every namespace.
        self.meta(4, WORDS[0]).compare(EQUAL, &1_u32.to_ne_bytes())
    }

    /// Its connection is in one of these states.
    pub(in super::super) fn state(self, states: &[CtState]) -> Self {
        let bits = states.iter().fold(0_u32, |bits, state| bits | *state as u32);
        self.ct(0)
            .mask(&bits.to_ne_bytes())
            .compare(NOT_EQUAL, &0_u32.to_ne_bytes())
    }

    /// An answer: against the direction of the connection's first packet.
    pub(in super::super) fn reply(self) -> Self {
        self.ct(1).compare(EQUAL, &[1])
    }

    /// A transport: 1 ICMP, 6 TCP, 17 UDP, 132 SCTP.
    pub(in super::super) fn transport(self, protocol: u8) -> Self {
        self.meta(16, WORDS[0]).compare(EQUAL, &[protocol])
    }

    /// To a port of the range; to be said after the transport.
    pub(in super::super) fn port(self, (first, last): (u16, u16)) -> Self {
        let loaded = self.payload(2, (2, 2), WORDS[0]);
        if first == last {
            return loaded.compare(EQUAL, &first.to_be_bytes());
        }
        loaded.expression("range", |data| {
            data.number(1, WORDS[0]);
            data.number(2, EQUAL);
            data.nest(3, |data| data.put(1, &first.to_be_bytes()));
            data.nest(4, |data| data.put(1, &last.to_be_bytes()));
        })
    }

    /// To an address in, or not in, a network.
    pub(in super::super) fn towards(self, (network, bits): (Ipv4Addr, u32), inside: bool) -> Self {
        let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
        self.payload(1, (16, 4), WORDS[0])
            .mask(&mask.to_be_bytes())
            .compare(if inside { EQUAL } else { NOT_EQUAL }, &network.octets())
    }

    /// From an address in a set.
    pub(in super::super) fn source_in(self, set: &str) -> Self {
        self.payload(1, (12, 4), WORDS[0]).lookup(set, false)
    }

    /// To an address in a set.
    pub(in super::super) fn destination_in(self, set: &str) -> Self {
        self.payload(1, (16, 4), WORDS[0]).lookup(set, false)
    }

    /// To an address, transport and port in a set.
    pub(in super::super) fn target_in(self, set: &str) -> Self {
        let [address, protocol, port] = WORDS;
        self.payload(1, (16, 4), address)
            .meta(16, protocol)
            .payload(2, (2, 2), port)
            .lookup(set, false)
    }

    /// From a device that is not in a set.
    pub(in super::super) fn in_by_none_of(self, set: &str) -> Self {
        self.meta(6, WORDS[0]).lookup(set, true)
    }

    /// To a device that is not in a set.
    pub(in super::super) fn out_by_none_of(self, set: &str) -> Self {
        self.meta(7, WORDS[0]).lookup(set, true)
    }

    /// Does what a map says about the device that the packet comes from; nothing if it says nothing.
    pub(in super::super) fn map_from_device(self, map: &str) -> Self {
        self.meta(6, WORDS[0]).map(map)
    }

    /// The same for the device that it leaves by.
    pub(in super::super) fn map_to_device(self, map: &str) -> Self {
        self.meta(7, WORDS[0]).map(map)
    }

    fn map(self, map: &str) -> Self {
        self.expression("lookup", |data| {
            data.text(1, map);
            data.number(2, WORDS[0]);
            data.number(3, 0);
        })
    }

    /// Goes on only if the device that the packet comes from has more than `most` connections.
    pub(in super::super) fn more_connections(self, set: &str, most: u32) -> Self {
        self.meta(6, WORDS[0]).expression("dynset", |data| {
            data.text(1, set);
            data.number(3, 0);
            data.number(4, WORDS[0]);
            data.nest(7, |counter| {
                counter.text(1, "connlimit");
                counter.nest(2, |data| {
                    data.number(1, most);
                    data.number(2, 1);
                });
            });
        })
    }

    /// Tells the sender that this is not allowed, so that it does not wait.
    pub(in super::super) fn refuse(self) -> Self {
        self.expression("reject", |data| {
            data.number(1, 0);
            // Administratively prohibited: `No route to host` to programs.
            data.put(2, &[13]);
        })
    }

    /// Decides.
    pub(in super::super) fn verdict(self, verdict: &Verdict) -> Self {
        self.expression("immediate", |data| {
            data.number(1, 0);
            verdict.put(2, data);
        })
    }
}
