//! The wall between pods: what the kernel lets through, made from the policies. Owns the table `herder` of the
//! fabric's network namespace. Must not know how policies are selected, nor touch devices.
//!
//! A pod's packets come in by its own device and are for another pod (*forward*) or for a service address (*input*);
//! there is nothing else that they may reach. Answers pass; everything else is held against the policies at every
//! packet, so that a change also ends connections that are open. The service addresses that the proxy serves are open:
//! the proxy decides, because only it knows which pod will answer. The control plane's own are decided here.
//!
//! A change is worked out against what is loaded and happens in one transaction. Names of chains stand for their
//! content, so a chain is made or removed, never changed; names of sets stand for how their members are selected, and
//! members come and go.

use super::nft::{Command, CtState, Element, Key, Nft, NftError, Rule, Set, Verdict};
use super::policy::{Peers, PolicySnapshot, PortRange, Profile, ProfileRule, short};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Pods whose policies are loaded. Until there are policies, it holds `OPEN` alone.
const KNOWN: &str = "known";
/// Stands in `KNOWN` for "whoever".
const OPEN: &str = "*";
const EGRESS: &str = "egress";
const INGRESS: &str = "ingress";
const CONNECTIONS: &str = "connections";
/// Service addresses, and the part of them that the control plane listens on itself.
const SERVICES: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 96, 0, 0), 16);
const CONTROL_PLANE: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 96, 0, 0), 28);

/// What is in the table besides what is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Content {
    enforced: bool,
    /// Sets of addresses, ranges and targets.
    sets: BTreeMap<String, (Set, BTreeSet<Key>)>,
    chains: BTreeMap<String, Vec<Rule>>,
    known: BTreeSet<String>,
    egress: BTreeMap<String, String>,
    ingress: BTreeMap<String, String>,
}

impl Content {
    fn of(policies: &PolicySnapshot) -> Self {
        let mut content = Self {
            enforced: true,
            ..Self::default()
        };
        for pod in &policies.pods {
            content.known.insert(pod.device.clone());
            for (profile, map, egress) in [
                (&pod.egress, &mut content.egress, true),
                (&pod.ingress, &mut content.ingress, false),
            ] {
                let Some(name) = profile else { continue };
                let chain = format!("{}-{name}", if egress { "e" } else { "i" });
                map.insert(pod.device.clone(), chain.clone());
                if !content.chains.contains_key(&chain) {
                    // A name without its profile allows nothing.
                    let nothing = Profile::default();
                    let profile = policies.profiles.get(name).unwrap_or(&nothing);
                    let rules = chain_of(profile, egress, policies, &mut content.sets);
                    content.chains.insert(chain, rules);
                }
            }
        }
        content
    }
}

/// The rules of a profile: what is allowed returns, the rest is refused.
fn chain_of(
    profile: &Profile,
    egress: bool,
    policies: &PolicySnapshot,
    sets: &mut BTreeMap<String, (Set, BTreeSet<Key>)>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for rule in &profile.rules {
        match rule {
            ProfileRule::Targets(name) => {
                let name_here = format!("t-{name}");
                let members = policies.targets.get(name).into_iter().flatten();
                let keys = members
                    .map(|(address, transport, port)| Key::Target(*address, transport.number(), *port));
                sets.entry(name_here.clone())
                    .or_insert_with(|| (Set::Targets, keys.collect()));
                rules.push(Rule::new().target_in(&name_here));
            }
            ProfileRule::Peers { peers, ports } => {
                for start in ports_of(ports.as_deref()) {
                    match peers {
                        None => rules.push(start),
                        Some(peers) => rules.extend(from_peers(&start, peers, egress, policies, sets)),
                    }
                }
            }
        }
    }
    let mut rules: Vec<Rule> = rules
        .into_iter()
        .map(|rule| rule.verdict(&Verdict::Return))
        .collect();
    rules.push(Rule::new().refuse());
    rules
}

fn ports_of(ports: Option<&[PortRange]>) -> Vec<Rule> {
    let Some(ports) = ports else {
        return vec![Rule::new()];
    };
    ports
        .iter()
        .map(|range| {
            let rule = Rule::new().transport(range.transport.number());
            match (range.first, range.last) {
                (0, u16::MAX) => rule,
                ends => rule.port(ends),
            }
        })
        .collect()
}

fn from_peers(
    start: &Rule,
    peers: &Peers,
    egress: bool,
    policies: &PolicySnapshot,
    sets: &mut BTreeMap<String, (Set, BTreeSet<Key>)>,
) -> Vec<Rule> {
    let matched = |name: &str| {
        if egress {
            start.clone().destination_in(name)
        } else {
            start.clone().source_in(name)
        }
    };
    let mut rules = Vec::new();
    for name in &peers.sets {
        let here = format!("s-{name}");
        let members = policies.sets.get(name).into_iter().flatten().copied();
        sets.entry(here.clone())
            .or_insert_with(|| (Set::Addresses, members.map(Key::Address).collect()));
        rules.push(matched(&here));
    }
    if !peers.ranges.is_empty() {
        let text = peers.ranges.iter().flat_map(|(first, last)| {
            let mut bytes = first.octets().to_vec();
            bytes.extend(last.octets());
            bytes
        });
        let name = format!("r-{}", short(&hex::encode(text.collect::<Vec<u8>>())));
        let keys = peers.ranges.iter().map(|(first, last)| Key::Range(*first, *last));
        sets.entry(name.clone())
            .or_insert_with(|| (Set::Ranges, keys.collect()));
        rules.push(matched(&name));
    }
    rules
}

/// What is always there.
fn base(most: Option<u32>) -> Vec<Command> {
    let mut commands = Command::fresh_table();
    commands.push(Command::set(KNOWN, Set::Devices, 1));
    commands.push(Command::set(EGRESS, Set::Verdicts, 2));
    commands.push(Command::set(INGRESS, Set::Verdicts, 3));
    if most.is_some() {
        commands.push(Command::set(CONNECTIONS, Set::Counters, 4));
    }
    commands.extend(["guard-from", "guard-to"].map(Command::chain));
    commands.push(Command::hook("input", 1));
    commands.push(Command::hook("forward", 2));
    let guard = |name: &str| Rule::new().verdict(&Verdict::Jump(name.to_owned()));
    let bounds = || {
        most.map(|most| {
            Rule::new()
                .state(&[CtState::New])
                .more_connections(CONNECTIONS, most)
                .verdict(&Verdict::Drop)
        })
    };
    let mut add = |chain: &str, rules: Vec<Rule>| {
        commands.extend(rules.iter().map(|rule| Command::rule(chain, rule)));
    };
    let mut input = vec![Rule::new().by_loopback().verdict(&Verdict::Accept)];
    input.extend(answers());
    input.push(Rule::new().towards(SERVICES, false).refuse());
    input.push(guard("guard-from"));
    input.extend(bounds());
    input.push(Rule::new().towards(CONTROL_PLANE, true).map_from_device(EGRESS));
    input.extend([6, 17].map(|transport| Rule::new().transport(transport).verdict(&Verdict::Accept)));
    add("input", input);
    let mut forward: Vec<Rule> = answers().into();
    forward.extend([guard("guard-from"), guard("guard-to")]);
    forward.extend(bounds());
    forward.push(Rule::new().map_from_device(EGRESS));
    forward.push(Rule::new().map_to_device(INGRESS));
    forward.push(Rule::new().verdict(&Verdict::Accept));
    add("forward", forward);
    commands.extend(Command::add(KNOWN, &[Key::Device(OPEN.to_owned()).into()]));
    commands
}

/// Answers, and what routers have to say about them; and nothing that belongs to no connection.
fn answers() -> [Rule; 3] {
    [
        Rule::new()
            .reply()
            .state(&[CtState::Established])
            .verdict(&Verdict::Accept),
        Rule::new()
            .transport(1)
            .state(&[CtState::Related])
            .verdict(&Verdict::Accept),
        Rule::new().state(&[CtState::Invalid]).verdict(&Verdict::Drop),
    ]
}

/// The requests that turn `before` into `after`, in an order that is safe also where it takes several transactions:
/// what is allowed to a pod is complete before the pod is known.
fn change(before: &Content, after: &Content) -> Vec<Command> {
    let mut commands = Vec::new();
    if after.enforced && !before.enforced {
        let drop = |rule: Rule| rule.verdict(&Verdict::Drop);
        let from = drop(Rule::new().in_by_none_of(KNOWN));
        commands.push(Command::rule("guard-from", &from));
        let to = drop(Rule::new().out_by_none_of(KNOWN));
        commands.push(Command::rule("guard-to", &to));
        commands.extend(Command::remove(KNOWN, &[Key::Device(OPEN.to_owned()).into()]));
    }
    let mut id = 100;
    for (name, (set, keys)) in &after.sets {
        let old = before.sets.get(name).map(|(_, keys)| keys);
        if old.is_none() {
            id += 1;
            commands.push(Command::set(name, *set, id));
        }
        let new: Vec<Element> = keys
            .iter()
            .filter(|key| old.is_none_or(|old| !old.contains(key)))
            .map(|key| key.clone().into())
            .collect();
        commands.extend(Command::add(name, &new));
        let gone: Vec<Element> = old
            .into_iter()
            .flatten()
            .filter(|key| !keys.contains(key))
            .map(|key| key.clone().into())
            .collect();
        commands.extend(Command::remove(name, &gone));
    }
    for (name, rules) in &after.chains {
        if !before.chains.contains_key(name) {
            commands.push(Command::chain(name));
            commands.extend(rules.iter().map(|rule| Command::rule(name, rule)));
        }
    }
    for (map, old, new) in [
        (EGRESS, &before.egress, &after.egress),
        (INGRESS, &before.ingress, &after.ingress),
    ] {
        let gone = old
            .iter()
            .filter(|(device, chain)| new.get(*device) != Some(chain));
        let gone: Vec<Element> = gone.map(verdict_of).collect();
        commands.extend(Command::remove(map, &gone));
        let added = new
            .iter()
            .filter(|(device, chain)| old.get(*device) != Some(chain));
        let added: Vec<Element> = added.map(verdict_of).collect();
        commands.extend(Command::add(map, &added));
    }
    let devices = |names: &mut dyn Iterator<Item = &String>| -> Vec<Element> {
        names.map(|name| Key::Device(name.clone()).into()).collect()
    };
    let gone = devices(&mut before.known.difference(&after.known));
    commands.extend(Command::remove(KNOWN, &gone));
    let added = devices(&mut after.known.difference(&before.known));
    commands.extend(Command::add(KNOWN, &added));
    for name in before.chains.keys() {
        if !after.chains.contains_key(name) {
            commands.push(Command::remove_chain(name));
        }
    }
    for name in before.sets.keys() {
        if !after.sets.contains_key(name) {
            commands.push(Command::remove_set(name));
        }
    }
    commands
}

fn verdict_of((device, chain): (&String, &String)) -> Element {
    Element(Key::Device(device.clone()), Some(Verdict::Jump(chain.clone())))
}

/// The table, and what was last put into it.
#[derive(Debug)]
pub(super) struct Wall {
    nft: Nft,
    content: Content,
    /// The most connections of one pod; none where the kernel cannot count them.
    most: Option<u32>,
}

impl Wall {
    /// Builds the wall without policies: pods reach pods and services, and nothing else.
    pub(super) fn build() -> Result<Self, NftError> {
        let mut nft = Nft::open()?;
        let mut most = Some(most_connections());
        if let Err(error) = nft.run(&base(most)) {
            tracing::warn!(error = %herder_base::chain(&error), "connections of a pod cannot be counted here");
            most = None;
            nft.run(&base(most))?;
        }
        // Connections that ended need not be remembered for long; where this cannot be set, they are.
        for (name, seconds) in [
            ("time_wait", 10),
            ("syn_sent", 20),
            ("syn_recv", 20),
            ("close_wait", 30),
            ("fin_wait", 30),
        ] {
            let path = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{name}");
            _ = std::fs::write(path, seconds.to_string());
        }
        Ok(Self {
            nft,
            content: Content::default(),
            most,
        })
    }

    /// Makes these policies hold. If the kernel holds something else than it should, all is built anew.
    pub(super) fn set(&mut self, policies: &PolicySnapshot) -> Result<(), NftError> {
        let after = Content::of(policies);
        if let Err(error) = self.nft.run(&change(&self.content, &after)) {
            tracing::warn!(error = %herder_base::chain(&error), "the packet filter is built anew");
            let mut commands = base(self.most);
            commands.extend(change(&Content::default(), &after));
            self.content = Content::default();
            self.nft.run(&commands)?;
        }
        self.content = after;
        Ok(())
    }
}

/// A part of what the machine can remember, so that no pod takes it all.
fn most_connections() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or_default();
    let all: u32 = text.trim().parse().unwrap_or(65_536);
    (all / 8).clamp(1024, 16_384)
}

/// Whether the policies of the pod behind a device are loaded, asked from anywhere in the fabric's network namespace.
#[derive(Debug)]
pub(crate) struct Gate(Nft);

impl Gate {
    pub(crate) fn open() -> Result<Self, NftError> {
        Nft::open().map(Self)
    }

    pub(crate) fn knows(&mut self, device: &str) -> Result<bool, NftError> {
        for name in [device, OPEN] {
            if self.0.has(KNOWN, &Key::Device(name.to_owned()).into())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
