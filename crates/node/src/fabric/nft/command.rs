//! Requests of a transaction, and the attributes that netlink messages are made of.

use super::rule::Rule;
use std::net::Ipv4Addr;

/// The only table of the fabric.
pub(super) const TABLE: &str = "herder";
/// IPv4: the fabric has no other.
pub(super) const FAMILY: u8 = 2;
/// nf_tables among netfilter's subsystems.
pub(super) const SUBSYSTEM: u16 = 10;
/// Elements in one message: an attribute holds less than 64 KiB.
const ELEMENTS: usize = 400;

const NESTED: u16 = 0x8000;
pub(super) const LIST_ELEM: u16 = 1;
/// Of netlink's header.
pub(super) const REQUEST: u16 = 1;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Attributes, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attrs(pub(super) Vec<u8>);

impl Attrs {
    /// Adds one; its length must fit 16 bits, which callers see to.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes);
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(super) fn nest(&mut self, kind: u16, build: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        build(&mut inner);
        self.put(kind | NESTED, &inner.0);
    }
}

/// What a rule or a map's element decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    Drop,
    Accept,
    Return,
    Jump(String),
}

impl Verdict {
    pub(super) fn put(&self, kind: u16, attrs: &mut Attrs) {
        let code: i32 = match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => -3,
            Self::Return => -5,
        };
        attrs.nest(kind, |data| {
            data.nest(2, |verdict| {
                verdict.put(1, &code.to_be_bytes());
                if let Self::Jump(chain) = self {
                    verdict.text(2, chain);
                }
            });
        });
    }
}

/// What a set's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Set {
    /// Devices.
    Devices,
    /// Devices, with a verdict for each.
    Verdicts,
    /// Devices, with what the kernel counts for each.
    Counters,
    /// Addresses.
    Addresses,
    /// Ranges of addresses.
    Ranges,
    /// Addresses with a transport and a port.
    Targets,
}

impl Set {
    /// `(key type as the nft program shows it, bytes of a key, flags)`.
    fn shape(self) -> (u32, u32, u32) {
        let (address, protocol, port, device) = (7, 12, 13, 41);
        match self {
            Self::Devices => (device, 16, 0),
            Self::Verdicts => (device, 16, 8),
            Self::Counters => (device, 16, 0x20),
            Self::Addresses => (address, 4, 0),
            Self::Ranges => (address, 4, 4),
            Self::Targets => (address << 12 | protocol << 6 | port, 12, 0),
        }
    }
}

/// A key of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Key {
    Device(String),
    Address(Ipv4Addr),
    /// First and last.
    Range(Ipv4Addr, Ipv4Addr),
    /// Address, transport, port.
    Target(Ipv4Addr, u8, u16),
}

/// A device's name as the kernel compares it.
pub(super) fn device_bytes(name: &str) -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    // The last byte stays zero: no device has a longer name.
    for (into, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *into = from;
    }
    bytes
}

/// An element of a set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Element(pub(in super::super) Key, pub(in super::super) Option<Verdict>);

impl From<Key> for Element {
    fn from(key: Key) -> Self {
        Self(key, None)
    }
}

impl Element {
    fn put(&self, list: &mut Attrs) {
        let mut one = |key: &[u8], end: bool| {
            list.nest(LIST_ELEM, |element| {
                element.nest(1, |data| data.put(1, key));
                if end {
                    element.number(3, 1);
                }
                if let Some(verdict) = &self.1 {
                    verdict.put(2, element);
                }
            });
        };
        match &self.0 {
            Key::Device(name) => one(&device_bytes(name), false),
            Key::Address(address) => one(&address.octets(), false),
            Key::Range(first, last) => {
                one(&first.octets(), false);
                // The end is the first address beyond; the last address of all has none.
                if let Some(beyond) = u32::from(*last).checked_add(1) {
                    one(&beyond.to_be_bytes(), true);
                }
            }
            Key::Target(address, protocol, port) => {
                let mut key = address.octets().to_vec();
                key.extend([*protocol, 0, 0, 0]);
                key.extend(port.to_be_bytes());
                key.extend([0, 0]);
                one(&key, false);
            }
        }
    }
}

/// One request of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Command {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) attrs: Attrs,
    /// What it does, for an error's text.
    pub(super) what: String,
}

impl Command {
    fn new(kind: u16, flags: u16, what: String, build: impl FnOnce(&mut Attrs)) -> Self {
        let mut attrs = Attrs::default();
        attrs.text(1, TABLE);
        build(&mut attrs);
        Self {
            kind,
            flags,
            attrs,
            what,
        }
    }

    /// The table, new and empty, whatever was there.
    pub(in super::super) fn fresh_table() -> Vec<Self> {
        let table = |kind, flags, what: &str| Self::new(kind, flags, what.to_owned(), |_| {});
        vec![
            table(0, CREATE, "make the table"),
            table(2, 0, "remove the table"),
            table(0, CREATE, "make the table"),
        ]
    }

    /// A chain that packets come to by themselves (`hook`: 1 input, 2 forward); what no rule decides is dropped.
    pub(in super::super) fn hook(name: &str, hook: u32) -> Self {
        Self::new(3, CREATE, format!("make the chain {name}"), |chain| {
            chain.text(3, name);
            chain.nest(4, |at| {
                at.number(1, hook);
                at.number(2, 0);
            });
            chain.number(5, 0);
            chain.text(7, "filter");
        })
    }

    /// A chain that others jump to.
    pub(in super::super) fn chain(name: &str) -> Self {
        Self::new(3, CREATE, format!("make the chain {name}"), |chain| {
            chain.text(3, name);
        })
    }

    /// Removes a chain with its rules.
    pub(in super::super) fn remove_chain(name: &str) -> Self {
        Self::new(5, 0, format!("remove the chain {name}"), |chain| {
            chain.text(3, name);
        })
    }

    /// A rule at the end of a chain.
    pub(in super::super) fn rule(chain: &str, rule: &Rule) -> Self {
        Self::new(6, CREATE | APPEND, format!("add a rule to {chain}"), |attrs| {
            attrs.text(2, chain);
            attrs.put(4 | NESTED, &rule.bytes().0);
        })
    }

    /// A set or a map; `id` is unique in the transaction.
    pub(in super::super) fn set(name: &str, set: Set, id: u32) -> Self {
        let (kind, length, flags) = set.shape();
        Self::new(9, CREATE, format!("make the set {name}"), |attrs| {
            attrs.text(2, name);
            attrs.number(3, flags);
            attrs.number(4, kind);
            attrs.number(5, length);
            if set == Set::Verdicts {
                attrs.number(6, 0xffff_ff00);
            }
            if set == Set::Counters {
                attrs.nest(9, |desc| desc.number(1, 65_536));
            }
            attrs.number(10, id);
        })
    }

    /// Removes a set that no rule uses any more.
    pub(in super::super) fn remove_set(name: &str) -> Self {
        Self::new(11, 0, format!("remove the set {name}"), |attrs| {
            attrs.text(2, name)
        })
    }

    /// Puts elements into a set.
    pub(in super::super) fn add(set: &str, elements: &[Element]) -> Vec<Self> {
        Self::elements(12, CREATE, set, elements)
    }

    /// Takes elements out of a set.
    pub(in super::super) fn remove(set: &str, elements: &[Element]) -> Vec<Self> {
        Self::elements(14, 0, set, elements)
    }

    /// Asks for one element; not part of a transaction.
    pub(super) fn get(set: &str, element: &Element) -> Self {
        Self::element_list(13, 0, set, std::slice::from_ref(element))
    }

    fn elements(kind: u16, flags: u16, set: &str, elements: &[Element]) -> Vec<Self> {
        elements
            .chunks(ELEMENTS)
            .map(|chunk| Self::element_list(kind, flags, set, chunk))
            .collect()
    }

    fn element_list(kind: u16, flags: u16, set: &str, elements: &[Element]) -> Self {
        Self::new(kind, flags, format!("change the set {set}"), |attrs| {
            attrs.text(2, set);
            attrs.nest(3, |list| {
                for element in elements {
                    element.put(list);
                }
            });
        })
    }

    /// The whole message.
    pub(super) fn message(&self, sequence: u32, more: u16) -> Vec<u8> {
        let kind = SUBSYSTEM << 8 | self.kind;
        message(
            kind,
            REQUEST | self.flags | more,
            sequence,
            (FAMILY, 0),
            &self.attrs.0,
        )
    }
}

/// A netlink message of netfilter's.
pub(super) fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, resource): (u8, u16),
    attrs: &[u8],
) -> Vec<u8> {
    let length = u32::try_from(20 + attrs.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(20 + attrs.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attrs);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut attrs = Attrs::default();
        attrs.text(1, "abc");
        attrs.nest(2, |inner| inner.number(3, 7));
        let mut want = vec![8, 0, 1, 0, b'a', b'b', b'c', 0];
        want.extend([12, 0, 2, 0x80, 8, 0, 3, 0, 0, 0, 0, 7]);
        assert_eq!(attrs.0, want);
    }

    #[test]
    fn keys_are_as_the_kernel_compares_them() {
        assert_eq!(&device_bytes("h0102deadbeef")[..14], b"h0102deadbeef\0");
        let range = |last: [u8; 4]| {
            let mut list = Attrs::default();
            Element::from(Key::Range(Ipv4Addr::new(10, 0, 0, 0), last.into())).put(&mut list);
            list.0.len()
        };
        // A start and an end; or a start alone, where the range ends with the last address there is.
        assert_eq!(range([10, 0, 0, 255]), 16 + 24);
        assert_eq!(range([255, 255, 255, 255]), 16);
    }
}
