//! The front door: hosts of other namespaces, and what applications get of whoever knocks.

use crate::attacked::{Dir, Platform, Who, as_both, commit, run, until};
use crate::dashboard::{ask, give, header, status};
use serde_json::{Value, json};
use std::process::Command;

/// A web server that answers with the request's head, and sets cookies of Herder's names.
const ECHO: &str = r#"$s=IO::Socket::INET->new(LocalPort=>8080,Listen=>9,ReuseAddr=>1) or die;while($c=$s->accept){$r="";while(<$c>){$r.=$_;last if /^\r\n$/}print $c "HTTP/1.1 200 OK\r\nSet-Cookie: herder_session=planted; Path=/\r\nSet-Cookie: __Host-herder_session=planted; Path=/; Secure\r\nSet-Cookie: own=1\r\nContent-Length: ".length($r)."\r\nConnection: close\r\n\r\n".$r;close $c}"#;

fn ingress(namespace: &str, name: &str, hosts: &[&str], more: &Value) -> String {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let rules = hosts.iter().map(|host| {
        let mut rule = json!({"http": {"paths": [{"path": "/login", "pathType": "Exact", "backend": backend}, {"path": "/", "pathType": "Prefix", "backend": backend}]}});
        if !host.is_empty() {
            rule["host"] = json!(host);
        }
        rule
    });
    let mut ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "labels": {"herder.dev/application": name}}, "spec": {"rules": rules.collect::<Vec<_>>()}});
    crate::attacked::merge(&mut ingress, more);
    ingress.to_string()
}

fn service(namespace: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    .to_string()
}

#[test]
fn a_host_and_what_is_sent_to_it_are_its_owners() {
    as_both(|who: Who| {
        let dir = Dir::new("edge");
        let path = dir.path().join("fleet");
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"herder.dev/application": "web"}},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "web", "image": "host",
                    "command": ["/usr/bin/perl", "-MIO::Socket::INET", "-e", ECHO], "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}}}});
        let thief = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "thief", "labels": {"herder.dev/application": "thief"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "host", "command": ["sleep", "9"]}]}}}});
        commit(
            &path,
            &[
                ("fleet.yaml", "discover: namespaces/*\n"),
                ("namespaces/shop/web.yaml", &web.to_string()),
                ("namespaces/shop/service.yaml", &service("shop")),
                (
                    "namespaces/shop/ingress.yaml",
                    &ingress("shop", "web", &["shop.example.org"], &json!({})),
                ),
                // Before `shop` in every order.
                ("namespaces/attacker/service.yaml", &service("attacker")),
                ("namespaces/attacker/thief.yaml", &thief.to_string()),
            ],
        );
        give(who, &path);
        let platform = Platform::start(who, &dir, path.to_str().unwrap(), &[]);
        let edge = platform.endpoints["edge"]["http"].as_str().unwrap();
        let at = edge.trim_start_matches("http://").to_owned();
        until("answer of the shop", || {
            let answer = ask(&at, "GET", "/", &[("Host", "shop.example.org")], "");
            (status(&answer) == 200).then_some(())
        });
        hosts(&platform, &at);
        headers(&at);
        others_pods(&platform, &at);
        certificates(&platform);
        // What the fleet gives is nobody else's, who had it before or not.
        let free = ingress("attacker", "free", &["free.example.org"], &json!({}));
        assert!(platform.kubectl(&["create", "-f", "-"], &free).ok);
        let place = || {
            let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
            platform
                .kubectl(&["-n", "attacker", "get", "ingress", "free", "-o", path], "")
                .out
        };
        until("place of a free host", || (place() == "127.0.0.1").then_some(()));
        let root = run(
            Command::new("chown")
                .args(["-R", "--reference"])
                .arg(dir.path())
                .arg(&path),
            "",
        );
        assert!(root.ok, "{root:?}");
        let given = "discover: namespaces/*\nhosts:\n  free.example.org: shop\n  '*': attacker\n";
        commit(&path, &[("fleet.yaml", given)]);
        give(who, &path);
        until("taking of what was given", || {
            let event = platform.kubectl(&["-n", "attacker", "get", "events", "-o", "json"], "");
            let every = ask(&at, "GET", "/", &[("Host", "unknown.example.net")], "");
            let given = event.out.contains("fleet.yaml gives `free.example.org` to shop");
            (given && every.contains("attacker/web") && place().is_empty()).then_some(())
        });
    });
}

/// A slice of one namespace that names another's pod leads no stranger there, past what guards the pod.
fn others_pods(platform: &Platform, at: &str) {
    let pods = platform.kubectl(
        &[
            "-n",
            "shop",
            "get",
            "pods",
            "-o",
            "jsonpath={.items[0].status.podIP}",
        ],
        "",
    );
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "conf", "namespace": "attacker"},
         "spec": {"ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "conf", "namespace": "attacker", "labels": {"kubernetes.io/service-name": "conf"}},
         "endpoints": [{"addresses": [pods.out.trim()]}], "ports": [{"port": 8080, "name": ""}]},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "conf", "namespace": "attacker"},
         "spec": {"rules": [{"host": "conf.attacker.test", "http": {"paths": [{"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": "conf", "port": {"number": 80}}}}]}}]}},
    ]});
    let made = platform.kubectl(&["create", "-f", "-"], &objects.to_string());
    assert!(made.ok, "{made:?}");
    let answer = until("route of the attacker", || {
        let answer = ask(
            at,
            "GET",
            "/",
            &[("Host", "conf.attacker.test"), ("Accept", "text/plain")],
            "",
        );
        (status(&answer) != 404).then_some(answer)
    });
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("no pod's of its namespace"), "{answer}");
}

/// Who knows a name sees its certificate; who knows none learns none.
fn certificates(platform: &Platform) {
    let edge = platform.endpoints["edge"]["https"].as_str().unwrap();
    let at = edge.trim_start_matches("https://");
    let names = |server: &str| {
        let script = format!(
            "openssl s_client -connect {at} -servername {server} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
        );
        run(Command::new("sh").args(["-c", &script]), "").out
    };
    until("certificate of the shop", || {
        names("shop.example.org")
            .contains("DNS:shop.example.org")
            .then_some(())
    });
    let own = names("shop.example.org");
    assert!(!own.contains("attacker"), "{own}");
    let other = names("evil.example.com");
    assert!(!other.contains("shop") && !other.contains("attacker"), "{other}");
}

/// What somebody with rights in one namespace makes of the others' hosts.
fn hosts(platform: &Platform, at: &str) {
    let more = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;"}},
        "spec": {"tls": [{"hosts": ["shop.example.org"], "secretName": "shop/cert"}], "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
    let wanted = [
        "shop.example.org",
        "*.example.org",
        "",
        "localhost",
        "SHOP.example.org",
    ];
    // Kubernetes itself takes no capitals; what does not come in cannot be stolen with.
    let wanted = &wanted[..5];
    let made = platform.kubectl(
        &["create", "-f", "-"],
        &ingress("attacker", "thief", wanted, &more),
    );
    assert!(made.ok, "{made:?}");
    let refused = until("verdict on the thief", || {
        let event = platform.kubectl(&["-n", "attacker", "get", "events", "-o", "json"], "");
        let leads = ask(at, "GET", "/x", &[("Host", "unknown.example.net")], "");
        (event.out.contains("HostRefused") || leads.contains("attacker/")).then_some(event.out)
    });
    for (host, path) in [
        ("shop.example.org", "/login"),
        ("SHOP.example.org.", "/login"),
        ("shop.example.org:80", "/login"),
        ("other.example.org", "/"),
        ("localhost", "/"),
        ("127.0.0.1", "/"),
        ("unknown.example.net", "/"),
    ] {
        let answer = ask(at, "GET", path, &[("Host", host)], "");
        assert!(
            !answer.contains("attacker/"),
            "{host}{path} leads to the attacker: {answer}"
        );
        let ours = host.to_ascii_lowercase().starts_with("shop");
        assert_eq!(status(&answer), if ours { 200 } else { 404 }, "{host}: {answer}");
    }
    for reason in [
        "`shop.example.org` belongs to namespace shop, which had it first",
        "`*.example.org` is a wildcard, which only the fleet can give",
        "it has a rule for every host",
        "`localhost` is this machine's own name",
    ] {
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    let status = platform.kubectl(
        &[
            "-n",
            "attacker",
            "get",
            "ingress",
            "thief",
            "-o",
            "jsonpath={.status.loadBalancer.ingress}",
        ],
        "",
    );
    assert!(
        status.ok && (status.out.is_empty() || status.out == "[]"),
        "{status:?}"
    );
    let status = platform.kubectl(
        &[
            "-n",
            "shop",
            "get",
            "ingress",
            "web",
            "-o",
            "jsonpath={.status.loadBalancer.ingress[0].ip}",
        ],
        "",
    );
    assert_eq!(status.out, "127.0.0.1", "{status:?}");
    until("finding about the thief", || {
        let said = platform.herder(&["status"]);
        said.out
            .contains("Ingress attacker/thief: `shop.example.org` belongs")
            .then_some(())
    });
    let why = platform.herder(&["why", "thief", "-n", "attacker"]);
    assert!(
        why.out.contains("`shop.example.org` belongs to namespace shop"),
        "{why:?}"
    );
    // An older Ingress of another namespace is still not the owner once the owner is made anew.
    let gone = platform.kubectl(&["-n", "shop", "delete", "ingress", "web"], "");
    assert!(gone.ok, "{gone:?}");
    until("shop's Ingress again", || {
        let answer = ask(at, "GET", "/login", &[("Host", "shop.example.org")], "");
        assert!(!answer.contains("attacker/"), "the thief was quicker: {answer}");
        (crate::dashboard::status(&answer) == 200).then_some(())
    });
}

/// What an application gets of a browser that is signed in to the dashboard, and what it makes of it.
fn headers(at: &str) {
    let answer = ask(
        at,
        "GET",
        "/x",
        &[
            ("Host", "shop.example.org"),
            (
                "Cookie",
                "a=1; herder_session=stolen; herder_token=stolen; __Host-herder_session=stolen; b=2",
            ),
            ("X-Forwarded-For", "stolen"),
            ("X_Forwarded_For", "stolen"),
            ("X-Real_IP", "stolen"),
            ("X-Forwarded-User", "stolen"),
            ("X-Original-URL", "/stolen"),
            ("Forwarded", "for=stolen"),
            ("True-Client-IP", "stolen"),
        ],
        "",
    );
    assert!(
        !answer.contains("stolen"),
        "the application got what it must not: {answer}"
    );
    assert!(
        answer.contains("cookie: a=1; b=2") && answer.contains("x-real-ip: 127.0.0.1"),
        "{answer}"
    );
    assert!(
        !answer.contains("planted"),
        "the application set Herder's cookie: {answer}"
    );
    assert_eq!(header(&answer, "set-cookie"), Some("own=1"));
    for request in [
        "GET / HTTP/1.1\r\nConnection: close\r\nHost: shop.example.org\r\nHost: other\r\n\r\n",
        "GET http://other.example/ HTTP/1.1\r\nConnection: close\r\nHost: shop.example.org\r\n\r\n",
        "POST / HTTP/1.1\r\nConnection: close\r\nHost: shop.example.org\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nConnection: close\r\nHost: shop.example.org\r\n\r\n",
    ] {
        let answer = crate::attacked::http(at, request);
        let both = request.contains("chunked");
        assert!(status(&answer) == 400 || both, "{request}: {answer}");
        assert!(!answer.contains("smuggled"), "{answer}");
    }
}
