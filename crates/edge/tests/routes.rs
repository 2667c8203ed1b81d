//! Ingress semantics as tables: hosts, paths, precedence, endpoints, findings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where it fails"
)]

use herder_edge::Routes;
use herder_edge::routes::{Owners, build as build_for};
use serde_json::{Value, json};

/// As if nobody owned any host.
fn build<'a>(objects: impl IntoIterator<Item = &'a Value>) -> (Routes, Vec<herder_base::Diagnostic>) {
    let built = build_for(objects, &Owners::anyone(), &|_, _| true);
    (built.routes, built.diagnostics)
}

fn service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81}]}})
}

fn slice(namespace: &str, service: &str, endpoints: Value) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": format!("{service}-x"), "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}], "endpoints": endpoints})
}

/// Rules as `(host, path, type, service)`.
fn ingress(name: &str, created: &str, rules: &[(&str, &str, &str, &str)]) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .map(|(host, path, kind, service)| {
            json!({"host": host, "http": {"paths": [{"path": path, "pathType": kind,
                "backend": {"service": {"name": service, "port": {"number": 80}}}}]}})
        })
        .collect();
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": created}, "spec": {"rules": rules}})
}

/// Service names that requests lead to; `-` for none.
fn leads(objects: &[Value], requests: &[(&str, &str, &str)]) {
    let (routes, diagnostics) = build(objects);
    for (host, path, expected) in requests {
        let found = routes.find(host, path).map_or("-", |route| {
            route
                .backend
                .name
                .strip_prefix("ns/")
                .and_then(|name| name.strip_suffix(":80"))
                .unwrap()
        });
        assert_eq!(found, *expected, "{host}{path} in {routes:?} {diagnostics:?}");
    }
}

#[test]
fn hosts() {
    leads(
        &[ingress(
            "i",
            "",
            &[
                ("foo.com", "/", "Prefix", "exact"),
                ("*.foo.com", "/", "Prefix", "wild"),
                ("Bar.COM", "/a", "Prefix", "bar"),
                ("", "/any", "Prefix", "any"),
            ],
        )],
        &[
            ("foo.com", "/", "exact"),
            ("FOO.com", "/x", "exact"),
            ("foo.com.", "/", "exact"),
            ("a.foo.com", "/", "wild"),
            ("a.b.foo.com", "/", "-"),
            (".foo.com", "/", "-"),
            ("bar.com", "/a", "bar"),
            ("bar.com", "/any/x", "any"),
            ("other.org", "/any", "any"),
            ("other.org", "/", "-"),
            ("", "/any", "any"),
        ],
    );
}

#[test]
fn paths() {
    let rules: Vec<(&str, &str, &str, &str)> = vec![
        ("h", "/", "Prefix", "root"),
        ("h", "/aaa", "Prefix", "aaa"),
        ("h", "/aaa/bbb", "Prefix", "bbb"),
        ("h", "/foo", "Exact", "exact-foo"),
        ("h", "/foo", "Prefix", "prefix-foo"),
        ("h", "/slash/", "Prefix", "slash"),
        ("h", "/exact/", "Exact", "exact-slash"),
        ("h", "/impl", "ImplementationSpecific", "impl"),
    ];
    leads(
        &[ingress("i", "", &rules)],
        &[
            ("h", "/", "root"),
            ("h", "/x", "root"),
            ("h", "/aaa", "aaa"),
            ("h", "/aaa/", "aaa"),
            ("h", "/aaa/ccc", "aaa"),
            ("h", "/aaabbb", "root"),
            ("h", "/aaa/bbb", "bbb"),
            ("h", "/aaa/bbb/", "bbb"),
            ("h", "/aaa/bbb/ccc", "bbb"),
            ("h", "/aaa/bbbxyz", "aaa"),
            ("h", "/AAA", "root"),
            ("h", "/foo", "exact-foo"),
            ("h", "/foo/", "prefix-foo"),
            ("h", "/foo/bar", "prefix-foo"),
            ("h", "/FOO", "root"),
            ("h", "/slash", "slash"),
            ("h", "/slash/", "slash"),
            ("h", "/slash/x", "slash"),
            ("h", "/exact", "root"),
            ("h", "/exact/", "exact-slash"),
            ("h", "/impl/x", "impl"),
        ],
    );
}

#[test]
fn default_backend_and_conflicts() {
    let mut old = ingress("old", "2026-01-01T00:00:00Z", &[("h", "/a", "Prefix", "old")]);
    let young = ingress(
        "young",
        "2026-02-01T00:00:00Z",
        &[("h", "/a/", "Prefix", "young"), ("h", "/b", "Prefix", "b")],
    );
    leads(
        &[young.clone(), old.clone()],
        &[
            ("h", "/a", "old"),
            ("h", "/b", "b"),
            ("h", "/c", "-"),
            ("x", "/", "-"),
        ],
    );
    old["spec"]["defaultBackend"] = json!({"service": {"name": "default", "port": {"number": 80}}});
    leads(
        &[young.clone(), old.clone()],
        &[("h", "/a", "old"), ("h", "/c", "default"), ("x", "/", "default")],
    );
    let (_, diagnostics) = build(&[young, old]);
    assert!(
        diagnostics
            .iter()
            .any(|d| d.code == "route-taken" && d.message.contains("ns/young")),
        "{diagnostics:?}"
    );
}

#[test]
fn endpoints() {
    let endpoints = json!([
        {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
        {"addresses": ["10.0.0.4"], "conditions": {"ready": true, "terminating": true}},
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["not an address"]},
        {"addresses": ["fd00::1"], "conditions": {}},
    ]);
    let mut named = ingress(
        "i",
        "",
        &[
            ("h", "/", "Prefix", "web"),
            ("h", "/none", "Prefix", "gone"),
            ("h", "/empty", "Prefix", "empty"),
        ],
    );
    named["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({"name": "admin"});
    let objects = [
        named,
        service("ns", "web"),
        service("ns", "empty"),
        slice("ns", "web", endpoints.clone()),
        slice("other", "web", json!([{"addresses": ["10.9.9.9"]}])),
        slice(
            "ns",
            "empty",
            json!([{"addresses": ["10.0.0.9"], "conditions": {"ready": false}}]),
        ),
    ];
    let (routes, diagnostics) = build(&objects);
    let backend = &routes.find("h", "/").unwrap().backend;
    let addresses: Vec<String> = backend.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1:8081", "10.0.0.2:8081", "[fd00::1]:8081"]);
    let problem = |path| routes.find("h", path).unwrap().backend.problem.clone().unwrap();
    assert_eq!(problem("/none"), "service ns/gone does not exist");
    assert_eq!(
        problem("/empty"),
        "service ns/empty has no ready pod (1 not ready)"
    );
    assert_eq!(
        diagnostics.iter().filter(|d| d.code == "no-endpoint").count(),
        2,
        "{diagnostics:?}"
    );
}

#[test]
fn nonsense_is_reported_and_the_rest_works() {
    let mut bad = ingress(
        "i",
        "",
        &[
            ("h", "/ok", "Prefix", "ok"),
            ("bad host", "/", "Prefix", "x"),
            ("h", "no-slash", "Prefix", "x"),
            ("h", "/t", "Regex", "x"),
            ("*", "/", "Prefix", "x"),
            ("10.0.0.1", "/", "Prefix", "x"),
        ],
    );
    bad["spec"]["rules"].as_array_mut().unwrap().push(json!({"host": "h", "http": {"paths": [{"path": "/nb"}, {"path": "/r", "backend": {"resource": {}}}]}}));
    bad["spec"]["tls"] = json!([{"hosts": ["h"], "secretName": "missing"}, 7]);
    let (routes, diagnostics) = build(&[
        bad,
        json!(null),
        json!({"kind": "Ingress"}),
        json!({"kind": "Ingress", "spec": {"rules": "x"}}),
    ]);
    assert!(routes.find("h", "/ok").is_some());
    let codes: Vec<&str> = diagnostics.iter().map(|d| d.code).collect();
    for code in [
        "bad-host",
        "bad-path",
        "bad-path-type",
        "no-backend",
        "bad-backend",
        "no-certificate",
    ] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    assert_eq!(codes.iter().filter(|code| **code == "bad-host").count(), 3);
}

fn rcgen_pair() -> (String, String) {
    use base64::Engine as _;
    let made = rcgen::generate_simple_self_signed(vec!["shop.example.org".to_owned()]).unwrap();
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    (encode(made.cert.pem()), encode(made.signing_key.serialize_pem()))
}

#[test]
fn another_namespace_s_hosts_are_refused_with_the_reason() {
    let of = |namespace: &str, mut ingress: Value| {
        ingress["metadata"]["namespace"] = json!(namespace);
        ingress
    };
    let victim = of(
        "shop",
        ingress(
            "web",
            "2024-01-01T00:00:00Z",
            &[("Shop.example.org", "/", "Prefix", "shop")],
        ),
    );
    let mut thief = of(
        "attacker",
        ingress(
            "steal",
            "2025-01-01T00:00:00Z",
            &[
                ("shop.EXAMPLE.org", "/login", "Exact", "thief"),
                ("*.example.org", "/", "Prefix", "thief"),
                ("", "/", "Prefix", "thief"),
                ("own.example.org", "/", "Prefix", "thief"),
            ],
        ),
    );
    thief["spec"]["defaultBackend"] = json!({"service": {"name": "thief", "port": {"number": 80}}});
    thief["spec"]["tls"] =
        json!([{"hosts": ["shop.example.org"], "secretName": "cert"}, {"secretName": "shop/cert"}]);
    let rcgen = rcgen_pair();
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "type": "kubernetes.io/tls",
        "metadata": {"name": "cert", "namespace": "attacker"}, "data": {"tls.crt": rcgen.0, "tls.key": rcgen.1}});
    let owners = Owners {
        known: true,
        ..Owners::default()
    };
    let built = build_for([&thief, &victim, &secret], &owners, &|_, _| true);
    for (host, path) in [
        ("shop.example.org", "/login"),
        ("SHOP.example.org.", "/login"),
        ("shop.example.org", "/"),
    ] {
        let route = built.routes.find(host, path).unwrap();
        assert!(route.backend.name.starts_with("shop/"), "{host}{path}");
    }
    for host in ["other.example.org", "", "192.0.2.1"] {
        assert!(built.routes.find(host, "/").is_none(), "{host}");
    }
    assert!(built.routes.find("own.example.org", "/").is_some());
    assert!(built.routes.certificate("shop.example.org").is_none());
    let refusal = &built.refused[&("attacker".to_owned(), "steal".to_owned())];
    assert!(refusal.serves);
    let reasons = refusal.reasons.join("\n");
    for part in [
        "`shop.example.org` belongs to namespace shop, which had it first",
        "`*.example.org` is a wildcard",
        "it has a rule for every host",
    ] {
        assert!(reasons.contains(part), "{reasons}");
    }
    assert_eq!(built.refused.len(), 1);
}

#[test]
fn hosts_that_are_none() {
    let strange = [
        "a.b:80",
        "127.0.0.1",
        "[::1]",
        "b\u{fc}cher.example",
        "a.b.",
        "a..b",
        "*",
        "*.*.b",
        "a.*.b",
        "a b",
    ];
    let rules: Vec<(&str, &str, &str, &str)> =
        strange.iter().map(|host| (*host, "/", "Prefix", "x")).collect();
    let (routes, diagnostics) = build(&[ingress("i", "", &rules)]);
    assert_eq!(routes.iter().count(), 0);
    assert_eq!(
        diagnostics
            .iter()
            .filter(|found| found.code == "bad-host")
            .count(),
        strange.len()
    );
}

#[test]
fn a_service_leads_to_its_own_namespaces_pods() {
    let objects = [
        ingress("i", "", &[("a.test", "/", "Prefix", "web")]),
        service("ns", "web"),
        slice(
            "ns",
            "web",
            json!([{"addresses": ["10.42.1.3"]}, {"addresses": ["10.42.1.4"]}]),
        ),
    ];
    let own: std::net::IpAddr = "10.42.1.4".parse().unwrap();
    let addresses = |may: &dyn Fn(&str, std::net::IpAddr) -> bool| {
        let built = build_for(&objects, &Owners::anyone(), may);
        let route = built.routes.find("a.test", "/").unwrap();
        (route.backend.endpoints.len(), route.backend.problem.clone())
    };
    assert_eq!(
        addresses(&|namespace, ip| namespace == "ns" && ip == own),
        (1, None)
    );
    let (count, problem) = addresses(&|_, _| false);
    assert_eq!(count, 0);
    assert!(problem.unwrap().contains("no pod's of its namespace"));
}

#[test]
fn a_namespace_has_so_many_hosts() {
    let hosts: Vec<String> = (0..250).map(|n| format!("h{n}.test")).collect();
    let rules: Vec<_> = hosts
        .iter()
        .map(|host| (host.as_str(), "/", "Prefix", "web"))
        .collect();
    let built = build_for([&ingress("i", "", &rules)], &Owners::anyone(), &|_, _| true);
    assert_eq!(built.routes.hosts().count(), 200);
    let refusal = built.refused.values().next().unwrap();
    assert!(
        refusal.reasons[0].contains("has 200 hosts already"),
        "{refusal:?}"
    );
}
