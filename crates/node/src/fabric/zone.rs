//! What the cluster's names mean: a pure lookup table made from the service snapshot.

use super::types::{DOMAIN, KUBERNETES, Protocol, ServiceSnapshot};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Answers are true for so long, in seconds.
const TTL: u32 = 5;

/// The names of the cluster.
#[derive(Debug, Default)]
pub(super) struct Zone {
    records: HashMap<String, Vec<RData>>,
    /// Names that exist only because longer ones do.
    parents: HashSet<String>,
}

/// What the zone says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// These records (none: the name exists, but not with this type).
    Records(Vec<Record>),
    /// There is no such name.
    NoSuchName,
    /// The name is not of this cluster.
    NotOurs,
}

impl Zone {
    /// Reads the snapshot.
    pub(super) fn new(snapshot: &ServiceSnapshot) -> Self {
        let mut zone = Self::default();
        zone.add(DOMAIN, &[]);
        zone.add(&format!("svc.{DOMAIN}"), &[]);
        zone.add(
            &format!("kubernetes.default.svc.{DOMAIN}"),
            &[address(IpAddr::V4(KUBERNETES))],
        );
        for service in &snapshot.services {
            let name = format!("{}.{}.svc.{DOMAIN}", service.name, service.namespace).to_lowercase();
            let mut ips: Vec<IpAddr> = service.cluster_ip.into_iter().collect();
            ips.extend(&service.headless_ips);
            let mut records: Vec<RData> = Vec::new();
            for ip in ips {
                let record = address(ip);
                if !zone
                    .records
                    .get(&name)
                    .is_some_and(|known| known.contains(&record))
                {
                    records.push(record);
                }
                zone.add_reverse(ip, &name);
            }
            if let Some(target) = service.external_name.as_deref().and_then(absolute) {
                records = vec![RData::CNAME(CNAME(target))];
            }
            zone.add(&name, &records);
            for (host, ip) in &service.hosts {
                let host = format!("{}.{name}", host.to_lowercase());
                zone.add(&host, &[address(*ip)]);
                zone.add_reverse(*ip, &host);
            }
            for port in &service.ports {
                let (Some(port_name), Some(target)) = (&port.name, absolute(&name)) else {
                    continue;
                };
                let protocol = if port.protocol == Protocol::Udp {
                    "_udp"
                } else {
                    "_tcp"
                };
                let srv = RData::SRV(SRV::new(0, 100, port.port, target));
                zone.add(&format!("_{port_name}.{protocol}.{name}").to_lowercase(), &[srv]);
            }
        }
        zone
    }

    fn add(&mut self, name: &str, records: &[RData]) {
        self.records
            .entry(name.to_owned())
            .or_default()
            .extend_from_slice(records);
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            self.parents.insert(parent.to_owned());
            rest = parent;
        }
    }

    fn add_reverse(&mut self, ip: IpAddr, name: &str) {
        let IpAddr::V4(ip) = ip else { return };
        let [a, b, c, d] = ip.octets();
        if let Some(target) = absolute(name) {
            let reverse = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
            self.records
                .entry(reverse)
                .or_insert_with(|| vec![RData::PTR(PTR(target))]);
        }
    }

    /// Answers `name` (as asked, any case).
    pub(super) fn lookup(&self, name: &Name, kind: RecordType) -> Verdict {
        let key = name.to_ascii().trim_end_matches('.').to_lowercase();
        let ours = key == DOMAIN || key.ends_with(&format!(".{DOMAIN}"));
        let Some(found) = self.records.get(&key) else {
            return match (ours, self.parents.contains(&key)) {
                (true, true) => Verdict::Records(Vec::new()),
                (true, false) => Verdict::NoSuchName,
                (false, _) => Verdict::NotOurs,
            };
        };
        let matches = |data: &&RData| {
            data.record_type() == kind || kind == RecordType::ANY || data.record_type() == RecordType::CNAME
        };
        let record = |data: &RData| Record::from_rdata(name.clone(), TTL, data.clone());
        Verdict::Records(found.iter().filter(matches).map(record).collect())
    }

    /// Goes with negative answers, so that they are cached no longer than positive ones.
    pub(super) fn authority() -> Option<Record> {
        let zone = absolute(DOMAIN)?;
        let (mname, rname) = (
            absolute(&format!("ns.dns.{DOMAIN}"))?,
            absolute(&format!("hostmaster.{DOMAIN}"))?,
        );
        let soa = SOA::new(mname, rname, 1, 7200, 1800, 86_400, TTL);
        Some(Record::from_rdata(zone, TTL, RData::SOA(soa)))
    }
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()
}

#[cfg(test)]
mod tests {
    use super::super::types::{ServiceEntry, ServicePortEntry};
    use super::*;

    fn ips(verdict: &Verdict) -> Vec<String> {
        match verdict {
            Verdict::Records(records) => records.iter().map(|record| record.data.to_string()).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn names_mean_what_the_snapshot_says() {
        let port = ServicePortEntry {
            name: Some("http".into()),
            port: 80,
            protocol: Protocol::Tcp,
            backends: vec![],
            sticky: false,
        };
        let web = ServiceEntry {
            namespace: "shop".into(),
            name: "web".into(),
            cluster_ip: "10.96.1.2".parse().ok(),
            ports: vec![port],
            ..ServiceEntry::default()
        };
        let db = ServiceEntry {
            namespace: "shop".into(),
            name: "db".into(),
            headless_ips: vec![IpAddr::from([10, 42, 1, 2]), IpAddr::from([10, 42, 2, 2])],
            hosts: vec![("db-0".into(), IpAddr::from([10, 42, 1, 2]))],
            ..ServiceEntry::default()
        };
        let zone = Zone::new(&ServiceSnapshot {
            services: vec![web, db],
        });
        for (name, kind, want) in [
            ("web.shop.svc.cluster.local.", RecordType::A, "10.96.1.2"),
            ("WEB.shop.svc.Cluster.Local.", RecordType::A, "10.96.1.2"),
            ("web.shop.svc.cluster.local.", RecordType::AAAA, ""),
            ("db.shop.svc.cluster.local.", RecordType::A, "10.42.1.2,10.42.2.2"),
            ("db-0.db.shop.svc.cluster.local.", RecordType::A, "10.42.1.2"),
            (
                "_http._tcp.web.shop.svc.cluster.local.",
                RecordType::SRV,
                "0 100 80 web.shop.svc.cluster.local.",
            ),
            (
                "2.1.96.10.in-addr.arpa.",
                RecordType::PTR,
                "web.shop.svc.cluster.local.",
            ),
            ("shop.svc.cluster.local.", RecordType::A, ""),
            ("no.shop.svc.cluster.local.", RecordType::A, "NoSuchName"),
            (
                "kubernetes.default.svc.cluster.local.",
                RecordType::A,
                "10.96.0.1",
            ),
            ("example.com.", RecordType::A, "NotOurs"),
        ] {
            let name = Name::from_ascii(name).unwrap();
            assert_eq!(ips(&zone.lookup(&name, kind)).join(","), want, "{name} {kind}");
        }
    }
}
