//! Connections that take without giving, against every listener; and what a pod hears on the wire.

use super::attacked::{Dir, Platform, Said, Who, as_both, commit, http, until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What most machines give a program that does not ask for more.
const USUAL_FILES: u64 = 1024;
/// Connections of one attack on each listener.
const MANY: u64 = 1500;
/// The longest that anybody else may wait meanwhile.
const BEARABLE: Duration = Duration::from_secs(10);

#[test]
fn connections_that_do_nothing_cost_nobody_else_anything() {
    as_both(|who| {
        let dir = Dir::new("listeners");
        let platform = start(who, &dir);
        let hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7, 7];
        let head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ";
        let body = b"POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n{";
        let greedy = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(8);
        let attacks: [(&str, &[u8], &[u8]); 4] = [
            ("idle", b"", b""),
            ("half-open", hello, head),
            ("slow-writing", hello, body),
            ("slow-reading", hello, &greedy),
        ];
        for (name, tls, plain) in attacks {
            attack(&platform, name, tls, plain);
        }
    });
}

#[test]
fn what_one_client_may_have_ends_with_words() {
    as_both(|who| {
        let dir = Dir::new("words");
        let platform = start(who, &dir);
        no_room_has_words(&platform);
    });
}

#[test]
fn what_one_user_may_have_ends_with_words() {
    as_both(|who| {
        let dir = Dir::new("watches");
        let platform = start(who, &dir);
        namespace(&platform);
        one_users_watches_are_counted(&platform);
    });
}

#[test]
fn vault_and_platform_speak_tls_only_in_the_cluster() {
    as_both(|who| {
        let dir = Dir::new("wire");
        let platform = start(who, &dir);
        namespace(&platform);
        the_wire_tells_nothing(&platform);
    });
}

/// A platform that got as few files as is usual, while this test may have as many as it can.
fn start(who: Who, dir: &Dir) -> Platform {
    let fleet = dir.path().join("fleet");
    commit(&fleet, &[("fleet.yaml", "name: listeners\n")]);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, USUAL_FILES.min(hard), hard).unwrap();
    let platform = Platform::start(who, dir, &fleet.to_string_lossy(), &[]);
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    until("the platform's first answers", || {
        ask_all(&platform).is_ok().then_some(())
    });
    platform
}

/// `host:port` of a URL in endpoints.json.
fn at(platform: &Platform, pointer: &str) -> String {
    let url = platform
        .endpoints
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap();
    url.split("//").nth(1).unwrap().trim_end_matches('/').to_owned()
}

fn attack(platform: &Platform, name: &str, tls: &[u8], plain: &[u8]) {
    let listeners = [
        ("/kubernetes", tls),
        ("/vault/addr", plain),
        ("/dashboard/url", plain),
        ("/edge/http", plain),
        ("/edge/https", tls),
    ];
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let each = MANY.min(hard.saturating_sub(200) / 5);
    let mut held = Vec::new();
    for (pointer, bytes) in listeners {
        let address = at(platform, pointer).parse().unwrap();
        let mut misses = 0;
        for _ in 0..each {
            // Refused and shed ones are the server's good right.
            let Ok(mut stream) = TcpStream::connect_timeout(&address, BEARABLE) else {
                misses += 1;
                if misses == 3 {
                    break;
                }
                continue;
            };
            drop(stream.write_all(bytes));
            held.push(stream);
        }
    }
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        if let Err(trouble) = ask_all(platform) {
            panic!("{name}, {each} connections to each listener: {trouble}");
        }
        // Slow, but never silent.
        for stream in held.iter_mut().step_by(50) {
            drop(stream.write_all(b"x"));
        }
    }
}

/// Asks every listener as its users do; each must answer soon.
fn ask_all(platform: &Platform) -> Result<(), String> {
    let asked = |what: &str, begun: Instant, answer: &str, wanted: &str| {
        if !answer.contains(wanted) {
            return Err(format!("{what} answered {answer:?}"));
        }
        if begun.elapsed() > BEARABLE {
            return Err(format!("{what} took {:?}", begun.elapsed()));
        }
        Ok(())
    };
    let plain = [
        ("/vault/addr", "/v1/sys/health", "\"sealed\":false"),
        ("/dashboard/url", "/healthz", "200 OK"),
        ("/edge/http", "/", "404 Not Found"),
    ];
    for (pointer, path, wanted) in plain {
        let begun = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n");
        asked(pointer, begun, &patient(&at(platform, pointer), &request), wanted)?;
    }
    let begun = Instant::now();
    let said = platform.kubectl(&["get", "--raw", "/readyz", "--request-timeout=10s"], "");
    asked("kubectl", begun, &format!("{} {}", said.out, said.err), "ok")
}

/// Like `http`, but what does not connect answers nothing.
fn patient(address: &str, request: &str) -> String {
    match TcpStream::connect_timeout(&address.parse().unwrap(), BEARABLE) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(BEARABLE)).unwrap();
            drop(stream.write_all(request.as_bytes()));
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer));
            String::from_utf8_lossy(&answer).into_owned()
        }
        Err(error) => error.to_string(),
    }
}

/// When everybody works there is no room, and whoever comes is told so, and when to come again.
fn no_room_has_words(platform: &Platform) {
    let file = platform
        .endpoints
        .pointer("/dashboard/token_file")
        .and_then(Value::as_str)
        .unwrap();
    let token = std::fs::read_to_string(file).unwrap();
    let board = at(platform, "/dashboard/url");
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {board}\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    let mut held = Vec::new();
    let refused = (0..MANY).find_map(|_| {
        let mut stream = TcpStream::connect(&board).unwrap();
        stream.set_read_timeout(Some(BEARABLE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 2048];
        let length = stream.read(&mut answer).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        held.push(stream);
        (!answer.starts_with("HTTP/1.1 200")).then_some(answer)
    });
    let Some(refused) = refused else {
        panic!("there is no end to what one client may have");
    };
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let words = refused.to_ascii_lowercase();
    assert!(
        words.contains("retry-after: 1") && words.contains("busy"),
        "{refused}"
    );
    assert!(words.contains("try again in a second"), "{refused}");
    drop(held);
    until("room again", || {
        let answer = http(
            &board,
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        answer.contains("200 OK").then_some(())
    });
}

/// A namespace with its deployer.
fn namespace(platform: &Platform) {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flood"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "herder-deployer", "namespace": "flood"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": "herder-deployer", "namespace": "flood"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
         "subjects": [{"kind": "ServiceAccount", "name": "herder-deployer", "namespace": "flood"}]},
    ]});
    let made = platform.kubectl(&["apply", "-f", "-"], &objects.to_string());
    assert!(made.ok, "{made:?}");
}

/// A deployer who opens watches without end has some, and is then told to wait; others are not held up.
fn one_users_watches_are_counted(platform: &Platform) {
    let token = platform.kubectl(&["-n", "flood", "create", "token", "herder-deployer"], "");
    let ca = platform.kubectl(
        &[
            "-n",
            "default",
            "get",
            "configmap",
            "kube-root-ca.crt",
            "-o",
            "jsonpath={.data.ca\\.crt}",
        ],
        "",
    );
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.out.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let address = at(platform, "/kubernetes");
    let request = format!(
        "GET /api/v1/namespaces/flood/pods?watch=true HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        token.out.trim()
    );
    let mut held = Vec::new();
    let refused = (0..450).find_map(|_| {
        let session = rustls::ClientConnection::new(Arc::clone(&config), "localhost".try_into().unwrap());
        let socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(BEARABLE)).unwrap();
        let mut stream = rustls::StreamOwned::new(session.unwrap(), socket);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        held.push(stream);
        (!answer.starts_with("HTTP/1.1 200")).then_some(answer)
    });
    let Some(refused) = refused else {
        panic!("there is no end to the watches that one user may have");
    };
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let words = refused.to_ascii_lowercase();
    assert!(words.contains("retry-after: 1"), "{refused}");
    assert!(
        words.contains("toomanyrequests") || words.contains("too many"),
        "{refused}"
    );
    let begun = Instant::now();
    let other = platform.kubectl(&["get", "namespaces", "--request-timeout=10s"], "");
    assert!(other.ok && begun.elapsed() < BEARABLE, "{other:?}");
}

/// What a pod can hear of Vault and of the platform on the cluster's network is TLS, of an authority that it knows.
fn the_wire_tells_nothing(platform: &Platform) {
    let said = script(
        platform,
        "plain",
        "for at in vault.herder-system/8200 platform.herder-system/80 platform.herder-system/443; do \
           (exec 3<>/dev/tcp/$at && printf 'GET /v1/sys/health HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3 \
            && timeout 5 cat <&3 | head -c 300 | tr -cd '[:print:]') 2>/dev/null; done; echo; echo done",
    );
    assert!(said.out.contains("done"), "{said:?}");
    assert!(
        !said.out.contains("HTTP/1.1"),
        "something answered without TLS: {said:?}"
    );
    let said = script(
        platform,
        "secure",
        "export VAULT_ADDR=https://vault.herder-system:8200 VAULT_CACERT=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt; \
         /usr/local/bin/herder vault status 2>&1; unset VAULT_CACERT; /usr/local/bin/herder vault status 2>&1; echo done",
    );
    assert_eq!(said.out.matches("initialized ").count(), 1, "{said:?}");
    assert!(
        said.out.contains("certificate"),
        "a strange authority is trusted: {said:?}"
    );
}

/// Runs a script in a pod to its end; what it printed.
fn script(platform: &Platform, name: &str, script: &str) -> Said {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "flood"},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                 "containers": [{"name": "c", "image": "host", "command": ["/bin/bash", "-c", script]}]},
    });
    let made = platform.kubectl(&["create", "-f", "-"], &pod.to_string());
    assert!(made.ok, "{made:?}");
    until("end of the pod", || {
        let path = "jsonpath={.status.phase}";
        let said = platform.kubectl(&["-n", "flood", "get", "pod", name, "-o", path], "");
        matches!(said.out.trim(), "Succeeded" | "Failed").then_some(())
    });
    platform.kubectl(&["-n", "flood", "logs", name], "")
}
