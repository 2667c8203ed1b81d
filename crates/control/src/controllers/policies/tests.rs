//! Every rule of the API's documentation, as a table of cases: who may reach whom.

use super::compile::compile;
use herder_node::fabric::{Judge, PolicySnapshot, Transport};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;

const WEB: Ipv4Addr = Ipv4Addr::new(10, 42, 1, 2);
const DB: Ipv4Addr = Ipv4Addr::new(10, 42, 1, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 42, 2, 2);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 42, 1, 1);
const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
const VAULT: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 2);

fn pod(namespace: &str, name: &str, address: Ipv4Addr, labels: Value, ports: Value) -> Arc<Value> {
    Arc::new(json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels},
        "spec": {"containers": [{"ports": ports}]},
        "status": {"phase": "Running", "podIP": address.to_string()},
    }))
}

fn pods() -> Vec<Arc<Value>> {
    let port = |name: &str, number: u16| json!([{"name": name, "containerPort": number}]);
    vec![
        pod("shop", "web", WEB, json!({"app": "web"}), port("http", 8080)),
        pod(
            "shop",
            "db",
            DB,
            json!({"app": "db", "tier": "data"}),
            port("sql", 5432),
        ),
        pod("other", "other", OTHER, json!({"app": "web"}), port("http", 9090)),
    ]
}

fn namespaces() -> Vec<Arc<Value>> {
    vec![
        Arc::new(json!({"metadata": {"name": "shop", "labels": {"team": "a"}}})),
        Arc::new(json!({"metadata": {"name": "other", "labels": {"team": "b"}}})),
    ]
}

fn policy(spec: Value) -> Arc<Value> {
    Arc::new(json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}))
}

fn with(specs: &[Value]) -> PolicySnapshot {
    let policies: Vec<_> = specs.iter().cloned().map(policy).collect();
    compile(&policies, &pods(), &namespaces())
}

fn may(specs: &[Value], from: Ipv4Addr, to: Ipv4Addr, port: u16) -> bool {
    Judge::new(with(specs)).allows(from, to, (Transport::Tcp, port))
}

/// What one rule for `db` lets in: from `web` and from `other`, on the port of `db` and on another.
fn lets_in(rule: Value) -> String {
    let spec = json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [rule]});
    let seen = |from, port| {
        if may(std::slice::from_ref(&spec), from, DB, port) {
            '+'
        } else {
            '-'
        }
    };
    [(WEB, 5432), (WEB, 1), (OTHER, 5432), (OTHER, 1)]
        .map(|(from, port)| seen(from, port))
        .iter()
        .collect()
}

#[test]
fn who_is_isolated() {
    let all = |spec: Value, way: &str| {
        let snapshot = with(&[spec]);
        let isolated = snapshot.pods.iter().filter(|pod| match way {
            "in" => pod.ingress.is_some(),
            _ => pod.egress.is_some(),
        });
        isolated.map(|pod| pod.address).collect::<Vec<_>>()
    };
    // Nobody without a policy; policies of a namespace are for its pods.
    assert!(
        with(&[])
            .pods
            .iter()
            .all(|pod| pod.ingress.is_none() && pod.egress.is_none())
    );
    let mut everyone = all(json!({"podSelector": {}}), "in");
    everyone.sort_unstable();
    assert_eq!(everyone, [WEB, DB]);
    // What types there are follows from what there is, unless it is said.
    assert!(all(json!({"podSelector": {}}), "out").is_empty());
    assert!(all(json!({"podSelector": {}, "egress": []}), "out").is_empty());
    assert_eq!(all(json!({"podSelector": {}, "egress": [{}]}), "out").len(), 2);
    assert_eq!(all(json!({"podSelector": {}, "egress": [{}]}), "in").len(), 2);
    let only_egress = json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]});
    assert!(all(only_egress.clone(), "in").is_empty());
    assert_eq!(all(only_egress, "out").len(), 2);
    let expression = json!({"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}});
    assert_eq!(all(expression, "in"), [DB]);
}

#[test]
fn default_deny_and_allow_all() {
    for (specs, from_web, from_other) in [
        (vec![], true, true),
        (vec![json!({"podSelector": {}})], false, false),
        (vec![json!({"podSelector": {}, "ingress": [{}]})], true, true),
        (
            vec![json!({"podSelector": {}, "policyTypes": ["Egress"]})],
            false,
            true,
        ),
        (
            vec![json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]})],
            true,
            true,
        ),
        (
            vec![json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})],
            false,
            false,
        ),
        // Policies add up; none takes away.
        (
            vec![
                json!({"podSelector": {}}),
                json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}),
            ],
            true,
            false,
        ),
        // Both ends must allow it.
        (
            vec![
                json!({"podSelector": {}, "policyTypes": ["Egress"]}),
                json!({"podSelector": {}, "ingress": [{}]}),
            ],
            false,
            true,
        ),
    ] {
        assert_eq!(may(&specs, WEB, DB, 5432), from_web, "{specs:?}");
        assert_eq!(may(&specs, OTHER, DB, 5432), from_other, "{specs:?}");
    }
    let deny = [json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})];
    assert!(may(&deny, DB, DB, 1), "a pod reaches itself");
    assert!(may(&deny, NODE, DB, 1), "probes and the edge come from the node");
    assert!(may(&deny, OTHER, OTHER, 1) && !may(&deny, WEB, OTHER, 1));
}

#[test]
fn peers() {
    for (rule, seen) in [
        (json!({}), "++++"),
        (json!({"from": []}), "++++"),
        (json!({"from": [{"podSelector": {}}]}), "++--"),
        (
            json!({"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}),
            "++--",
        ),
        (
            json!({"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}),
            "----",
        ),
        (json!({"from": [{"namespaceSelector": {}}]}), "++++"),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]}),
            "--++",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}]}),
            "--++",
        ),
        // Both in one peer: and. In two peers: or.
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": {"matchLabels": {"app": "db"}}}]}),
            "----",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}, "podSelector": {"matchLabels": {"app": "web"}}}]}),
            "--++",
        ),
        (
            json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}, {"podSelector": {}}]}),
            "++++",
        ),
        (json!({"from": [{"ipBlock": {"cidr": "10.42.1.0/24"}}]}), "++--"),
        (
            json!({"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.42.2.0/24"]}}]}),
            "++--",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.42.0.0/16", "except": ["10.42.1.0/24", "10.42.2.2/32"]}}]}),
            "----",
        ),
        (json!({"from": [{"ipBlock": {"cidr": "10.42.2.2/32"}}]}), "--++"),
        // What says nothing, or nothing that can be understood, allows nothing.
        (json!({"from": [{}]}), "----"),
        (json!({"from": [{"ipBlock": {"cidr": "nonsense"}}]}), "----"),
        (json!({"from": [{"ipBlock": {"cidr": "::/0"}}]}), "----"),
        (
            json!({"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["nonsense"]}}]}),
            "----",
        ),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.42.2.2/32"}, "podSelector": {}}]}),
            "--++",
        ),
    ] {
        assert_eq!(lets_in(rule.clone()), seen, "{rule}");
    }
}

#[test]
fn ports() {
    for (ports, seen) in [
        (json!([]), "++++"),
        (json!([{"port": 5432}]), "+-+-"),
        (json!([{"port": 5432, "protocol": "TCP"}]), "+-+-"),
        (json!([{"port": 5432, "protocol": "UDP"}]), "----"),
        (json!([{"protocol": "TCP"}]), "++++"),
        (json!([{"protocol": "SCTP"}]), "----"),
        (json!([{"port": 5000, "endPort": 6000}]), "+-+-"),
        (json!([{"port": 5433, "endPort": 6000}]), "----"),
        (json!([{"port": 1}, {"port": 5432}]), "++++"),
        (json!([{"port": "sql"}]), "+-+-"),
        // No container has it: nothing, not everything.
        (json!([{"port": "http"}]), "----"),
        (json!([{"port": "sql", "protocol": "UDP"}]), "----"),
        (json!([{"port": 6000, "endPort": 5000}]), "----"),
        (json!([{"port": 70000}]), "----"),
    ] {
        assert_eq!(lets_in(json!({"ports": ports})), seen, "{ports}");
    }
    let both = json!({"from": [{"podSelector": {}}], "ports": [{"port": 5432}]});
    assert_eq!(lets_in(both), "+---", "peers and ports");
}

#[test]
fn egress() {
    let rule = |rule: Value| json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [rule]});
    for (spec, db, other, dns, api, vault) in [
        (rule(json!({})), true, true, true, true, true),
        (
            rule(json!({"to": [{"podSelector": {}}]})),
            true,
            false,
            false,
            false,
            false,
        ),
        (
            rule(json!({"to": [{"namespaceSelector": {}}]})),
            true,
            true,
            true,
            false,
            true,
        ),
        (
            rule(json!({"to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}]})),
            false,
            false,
            false,
            true,
            false,
        ),
        (
            rule(
                json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}),
            ),
            false,
            false,
            true,
            false,
            false,
        ),
        (
            rule(
                json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "herder-system"}}}]}),
            ),
            false,
            false,
            false,
            false,
            true,
        ),
    ] {
        let specs = std::slice::from_ref(&spec);
        let seen = [(DB, 5432), (OTHER, 9090), (DNS, 53), (API, 443), (VAULT, 8200)]
            .map(|(to, port)| may(specs, WEB, to, port));
        assert_eq!(seen, [db, other, dns, api, vault], "{spec}");
        assert!(may(specs, DB, OTHER, 1), "others are not concerned");
    }
    // A name means whatever port the receiver gives it.
    let named = rule(json!({"to": [{"namespaceSelector": {}}], "ports": [{"port": "http"}]}));
    let named = std::slice::from_ref(&named);
    assert!(may(named, WEB, OTHER, 9090) && !may(named, WEB, OTHER, 8080) && !may(named, WEB, DB, 5432));
    let anywhere = rule(json!({"ports": [{"port": "sql"}, {"port": 7}]}));
    let anywhere = std::slice::from_ref(&anywhere);
    assert!(may(anywhere, WEB, DB, 5432) && may(anywhere, WEB, DB, 7) && !may(anywhere, WEB, DB, 8));
}

#[test]
fn an_address_has_one_pod() {
    let mut all = pods();
    let mut gone = (*pod("shop", "gone", OTHER, json!({}), json!([]))).clone();
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    all.insert(0, Arc::new(gone));
    let mut ended = (*pod("shop", "ended", DB, json!({}), json!([]))).clone();
    ended["status"]["phase"] = json!("Succeeded");
    all.push(Arc::new(ended));
    all.push(pod("shop", "node", NODE, json!({}), json!([])));
    let snapshot = compile(&[], &all, &namespaces());
    assert_eq!(snapshot, compile(&[], &pods(), &namespaces()));
    // And whoever has none reaches nobody.
    let judge = Judge::new(snapshot);
    let stranger = Ipv4Addr::new(10, 42, 1, 77);
    assert!(!judge.allows(stranger, DB, (Transport::Tcp, 1)));
    assert!(!judge.allows(DB, stranger, (Transport::Tcp, 1)));
}

#[test]
fn networks() {
    use super::cidr::{merge, parse, without};
    let range = |text: &str| parse(text).unwrap();
    let show = |ranges: Vec<(Ipv4Addr, Ipv4Addr)>| {
        let texts: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        texts.join(" ")
    };
    assert_eq!(show(vec![range("0.0.0.0/0")]), "0.0.0.0-255.255.255.255");
    assert_eq!(show(vec![range("10.1.2.3/24")]), "10.1.2.0-10.1.2.255");
    assert!(parse("10.0.0.0/33").is_none() && parse("10.0.0.0").is_none());
    assert_eq!(
        show(without(
            range("10.0.0.0/30"),
            &[range("10.0.0.1/32"), range("10.0.0.3/32")]
        )),
        "10.0.0.0-10.0.0.0 10.0.0.2-10.0.0.2"
    );
    assert_eq!(show(without(range("10.0.0.0/30"), &[range("0.0.0.0/0")])), "");
    assert_eq!(
        show(merge(vec![
            range("10.0.1.0/24"),
            range("10.0.0.0/24"),
            range("10.0.0.0/25"),
            range("11.0.0.0/8")
        ])),
        "10.0.0.0-10.0.1.255 11.0.0.0-11.255.255.255"
    );
}

/// As many policies as the estate of the Ministry of Justice has, in its shapes, and 500 pods.
#[test]
fn an_estate_compiles_in_no_time() {
    let name = |n: usize| format!("team-{n}");
    let mut policies = Vec::new();
    let mut spaces = Vec::new();
    let mut all = Vec::new();
    for n in 0..1600 {
        spaces.push(Arc::new(json!({"metadata": {"name": name(n), "labels": {"component": if n == 0 { "ingress-controllers" } else { "app" }}}})));
        for spec in [
            json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}),
            json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"component": "ingress-controllers"}}}]}]}),
        ] {
            policies.push(Arc::new(
                json!({"metadata": {"name": "p", "namespace": name(n)}, "spec": spec}),
            ));
        }
    }
    for n in 0..500_u16 {
        let host = u8::try_from(n % 250 + 2).unwrap();
        let address = Ipv4Addr::new(10, 42, u8::try_from(n / 250 + 1).unwrap(), host);
        all.push(pod(
            &name(usize::from(n) % 400),
            &format!("pod-{n}"),
            address,
            json!({"app": "x"}),
            json!([]),
        ));
    }
    let begun = std::time::Instant::now();
    let snapshot = compile(&policies, &all, &spaces);
    println!("3,200 policies and 500 pods: {:?}", begun.elapsed());
    assert_eq!(
        (snapshot.pods.len(), snapshot.profiles.len(), snapshot.sets.len()),
        (500, 400, 401)
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}
