//! The server's interface as clients use it: whole requests, in memory, with a clock that is moved by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::{Clock, FixedClock};
use herder_secrets::{
    Config, EmbeddedConfig, Error, KubernetesReviewer, Op, Request, Response, Server, Storage,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Rig {
    server: Server,
    clock: FixedClock,
    root: String,
    keys: Vec<String>,
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value
        .pointer(at)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{at} in {value}"))
}

impl Rig {
    async fn new() -> Self {
        let clock = FixedClock::new(jiff::Timestamp::from_second(1_700_000_000).unwrap());
        let server = Server::open(Config {
            storage: Storage::InMemory,
            clock: Arc::new(clock.clone()),
            api_addr: String::new(),
        })
        .unwrap();
        let init =
            Request::new(Op::Write, "sys/init").with(json!({"secret_shares": 3, "secret_threshold": 2}));
        let init = server.handle(init).await.unwrap().bare.unwrap();
        let keys: Vec<String> = init["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect();
        let rig = Self {
            server,
            clock,
            root: text(&init, "/root_token").to_owned(),
            keys,
        };
        rig.unseal().await;
        rig
    }

    async fn unseal(&self) {
        for (key, sealed) in self.keys.iter().skip(1).zip([true, false]) {
            let status = self
                .server
                .handle(Request::new(Op::Write, "sys/unseal").with(json!({"key": key})))
                .await
                .unwrap();
            assert_eq!(status.bare.unwrap()["sealed"], sealed);
        }
    }

    async fn call(&self, token: &str, op: Op, path: &str, data: Value) -> Result<Response, Error> {
        self.server
            .handle(Request::new(op, path).with(data).token(token))
            .await
    }

    async fn ok(&self, op: Op, path: &str, data: Value) -> Response {
        let root = self.root.clone();
        self.call(&root, op, path, data)
            .await
            .unwrap_or_else(|error| panic!("{op:?} {path}: {error}"))
    }

    async fn data(&self, op: Op, path: &str, data: Value) -> Value {
        Value::Object(self.ok(op, path, data).await.data.unwrap())
    }

    async fn token(&self, data: Value) -> String {
        self.ok(Op::Write, "auth/token/create", data)
            .await
            .auth
            .unwrap()
            .client_token
            .to_string()
    }
}

#[tokio::test]
async fn seals_and_unseals() {
    let rig = Rig::new().await;
    rig.ok(
        Op::Write,
        "sys/mounts/secret",
        json!({"type": "kv", "options": {"version": "2"}}),
    )
    .await;
    rig.ok(Op::Write, "secret/data/a", json!({"data": {"k": "v"}}))
        .await;
    rig.ok(Op::Write, "sys/rotate", json!({})).await;
    rig.ok(Op::Write, "secret/data/b", json!({"data": {"k": "w"}}))
        .await;
    rig.ok(Op::Write, "sys/seal", json!({})).await;
    let refused = rig
        .call(&rig.root, Op::Read, "secret/data/a", json!({}))
        .await
        .unwrap_err();
    assert_eq!(refused.status(), 503);
    rig.unseal().await;
    assert_eq!(
        rig.data(Op::Read, "secret/data/a", json!({})).await["data"]["k"],
        "v"
    );
    assert_eq!(
        rig.data(Op::Read, "secret/data/b", json!({})).await["data"]["k"],
        "w"
    );
    assert_eq!(rig.data(Op::Read, "sys/key-status", json!({})).await["term"], 2);
}

#[tokio::test]
async fn policies_decide_and_nothing_is_allowed_by_default() {
    let rig = Rig::new().await;
    rig.ok(Op::Write, "sys/mounts/secret", json!({"type": "kv-v2"}))
        .await;
    rig.ok(
        Op::Write,
        "secret/data/shop/db",
        json!({"data": {"password": "x"}}),
    )
    .await;
    rig.ok(
        Op::Write,
        "sys/policies/acl/shop",
        json!({"policy": "path \"secret/data/shop/*\" { capabilities = [\"read\"] }"}),
    )
    .await;
    let token = rig.token(json!({"policies": ["shop"], "ttl": "1h"})).await;
    assert!(
        rig.call(&token, Op::Read, "secret/data/shop/db", json!({}))
            .await
            .is_ok()
    );
    for (op, path) in [
        (Op::Read, "secret/data/other"),
        (Op::Write, "secret/data/shop/db"),
        (Op::List, "secret/metadata/"),
        (Op::Read, "sys/mounts"),
        (Op::Write, "auth/token/create"),
        (Op::Read, "nowhere"),
    ] {
        let error = rig.call(&token, op, path, json!({"data": {}})).await.unwrap_err();
        assert_eq!(
            error.texts(),
            ["1 error occurred:\n\t* permission denied\n\n"],
            "{path}"
        );
    }
    for bad in ["", "hvs.nonsense", "hvb.AAAA"] {
        assert_eq!(
            rig.call(bad, Op::Read, "secret/data/shop/db", json!({}))
                .await
                .unwrap_err()
                .status(),
            403
        );
    }
    let wrong = rig
        .call(&rig.root, Op::Write, "sys/policy/x", json!({"policy": "path {"}))
        .await
        .unwrap_err();
    assert_eq!(wrong.status(), 400);
    let own = rig
        .call(
            &token,
            Op::Write,
            "sys/capabilities-self",
            json!({"paths": ["secret/data/shop/db", "x"]}),
        )
        .await
        .unwrap()
        .data
        .unwrap();
    assert_eq!(
        (own["secret/data/shop/db"].clone(), own["x"].clone()),
        (json!(["read"]), json!(["deny"]))
    );
}

#[tokio::test]
async fn a_token_takes_no_more_than_its_share() {
    let rig = Rig::new().await;
    rig.ok(
        Op::Write,
        "sys/policies/acl/make",
        json!({"policy": "path \"auth/token/create\" { capabilities = [\"update\"] }"}),
    )
    .await;
    // Its last use makes no child either.
    let once = rig.token(json!({"policies": ["make"], "num_uses": 1})).await;
    let child = rig.call(&once, Op::Write, "auth/token/create", json!({})).await;
    let words = child.unwrap_err().to_string();
    assert!(
        words.contains("restricted use token cannot generate child tokens"),
        "{words}"
    );

    let token = rig.token(json!({"policies": ["default"]})).await;
    let keep = async |name: &str, bytes: usize| {
        let path = format!("cubbyhole/{name}");
        rig.call(&token, Op::Write, &path, json!({"v": "x".repeat(bytes)}))
            .await
    };
    let words = keep("big", 1 << 20).await.unwrap_err().to_string();
    assert!(words.contains("max_entry_size"), "{words}");
    keep("a", 900_000).await.unwrap();
    keep("deep/b", 900_000).await.unwrap();
    let words = keep("c", 900_000).await.unwrap_err().to_string();
    assert!(
        words.contains("the cubbyhole of this token would hold more"),
        "{words}"
    );
    // What is there may be written again, and what goes makes place.
    keep("a", 900_000).await.unwrap();
    rig.call(&token, Op::Delete, "cubbyhole/a", json!({}))
        .await
        .unwrap();
    keep("c", 900_000).await.unwrap();

    let mut request = Request::new(Op::Read, "cubbyhole/c").token(&token);
    request.wrap_ttl = Some(99_999 * 3600);
    let wrap = rig.server.handle(request).await.unwrap().wrap.unwrap();
    assert_eq!(wrap.ttl, 768 * 3600);
}

#[tokio::test]
async fn tokens_end_with_their_time_their_uses_and_their_parents() {
    let rig = Rig::new().await;
    let short = rig.token(json!({"policies": ["default"], "ttl": "10s"})).await;
    let periodic = rig.token(json!({"policies": ["default"], "period": "10s"})).await;
    let thrice = rig.token(json!({"policies": ["default"], "num_uses": 3})).await;
    let capped = rig
        .token(json!({"policies": ["default"], "ttl": "10s", "explicit_max_ttl": "12s"}))
        .await;
    for uses_left in [true, true, true, false] {
        assert_eq!(
            rig.call(&thrice, Op::Read, "auth/token/lookup-self", json!({}))
                .await
                .is_ok(),
            uses_left
        );
    }
    let twice = rig.token(json!({"policies": ["default"], "num_uses": 2})).await;
    for _ in 0..2 {
        assert!(rig.call(&twice, Op::Read, "sys/mounts", json!({})).await.is_err());
    }
    let used_up = rig
        .call(&twice, Op::Read, "auth/token/lookup-self", json!({}))
        .await;
    assert!(used_up.is_err(), "refused requests count as uses");
    rig.clock.advance(Duration::from_secs(9));
    for token in [&periodic, &capped] {
        rig.call(token, Op::Write, "auth/token/renew-self", json!({}))
            .await
            .unwrap();
    }
    rig.clock.advance(Duration::from_secs(2));
    assert!(
        rig.call(&short, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_err()
    );
    assert!(
        rig.call(&capped, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_ok()
    );
    rig.clock.advance(Duration::from_secs(2));
    assert!(
        rig.call(&capped, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_err()
    );
    assert!(
        rig.call(&periodic, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_ok()
    );

    rig.ok(
        Op::Write,
        "sys/policy/maker",
        json!({"policy": "path \"auth/token/create\" { capabilities = [\"update\"] }"}),
    )
    .await;
    let parent = rig.token(json!({"policies": ["maker"]})).await;
    let child = rig
        .call(&parent, Op::Write, "auth/token/create", json!({}))
        .await
        .unwrap()
        .auth
        .unwrap();
    let batch = rig
        .call(&parent, Op::Write, "auth/token/create", json!({"type": "batch"}))
        .await
        .unwrap()
        .auth
        .unwrap();
    assert!(batch.client_token.starts_with("hvb."));
    let lives = async |token: &str| {
        rig.call(token, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_ok()
    };
    assert!(lives(&child.client_token).await && lives(&batch.client_token).await);
    rig.ok(Op::Write, "auth/token/revoke", json!({"token": parent}))
        .await;
    assert!(!lives(&child.client_token).await && !lives(&batch.client_token).await && !lives(&parent).await);
    assert!(
        rig.call(
            &rig.root,
            Op::Write,
            "auth/token/lookup-accessor",
            json!({"accessor": child.accessor})
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn kv2_keeps_versions() {
    let rig = Rig::new().await;
    rig.ok(
        Op::Write,
        "sys/mounts/kv",
        json!({"type": "kv", "options": {"version": 2}}),
    )
    .await;
    let missing = rig
        .call(&rig.root, Op::Read, "kv/data/a", json!({}))
        .await
        .unwrap_err();
    assert!(matches!(missing, Error::NotFound));
    for version in 1..=3 {
        let written = rig
            .data(
                Op::Write,
                "kv/data/a",
                json!({"data": {"n": version}, "options": {"cas": version - 1}}),
            )
            .await;
        assert_eq!(written["version"], version);
    }
    assert!(
        rig.call(
            &rig.root,
            Op::Write,
            "kv/data/a",
            json!({"data": {}, "options": {"cas": 1}})
        )
        .await
        .is_err()
    );
    assert_eq!(
        rig.data(Op::Read, "kv/data/a", json!({"version": "2"})).await["data"]["n"],
        2
    );
    rig.ok(Op::Write, "kv/delete/a", json!({"versions": [3]})).await;
    let deleted = rig.ok(Op::Read, "kv/data/a", json!({})).await;
    assert_eq!(
        (deleted.status, deleted.data.unwrap()["data"].clone()),
        (Some(404), Value::Null)
    );
    rig.ok(Op::Write, "kv/undelete/a", json!({"versions": "3"})).await;
    assert_eq!(rig.data(Op::Read, "kv/data/a", json!({})).await["data"]["n"], 3);
    rig.ok(
        Op::Patch,
        "kv/data/a",
        json!({"data": {"n": null, "m": {"x": 1}}}),
    )
    .await;
    assert_eq!(
        rig.data(Op::Read, "kv/data/a", json!({})).await["data"],
        json!({"m": {"x": 1}})
    );
    assert_eq!(
        rig.data(Op::Read, "kv/subkeys/a", json!({})).await["subkeys"],
        json!({"m": {"x": null}})
    );
    rig.ok(
        Op::Write,
        "kv/metadata/a",
        json!({"max_versions": 2, "custom_metadata": {"owner": "me"}}),
    )
    .await;
    rig.ok(Op::Write, "kv/data/a", json!({"data": {"n": 5}})).await;
    let metadata = rig.data(Op::Read, "kv/metadata/a", json!({})).await;
    assert_eq!(
        (
            metadata["oldest_version"].clone(),
            metadata["current_version"].clone()
        ),
        (json!(4), json!(5))
    );
    assert_eq!(
        rig.data(Op::List, "kv/metadata/", json!({})).await["keys"],
        json!(["a"])
    );
    rig.ok(Op::Delete, "kv/metadata/a", json!({})).await;
    assert!(
        rig.call(&rig.root, Op::List, "kv/metadata/", json!({}))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn issues_certificates_a_client_accepts() {
    let rig = Rig::new().await;
    // Certificates are checked against the real time by the verifier below.
    let now = herder_base::SystemClock.now();
    rig.clock
        .advance(Duration::try_from(now.duration_since(rig.clock.now())).unwrap_or_default());
    rig.ok(
        Op::Write,
        "sys/mounts/pki",
        json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}}),
    )
    .await;
    rig.ok(
        Op::Write,
        "pki/root/generate/internal",
        json!({"common_name": "Root", "ttl": "87600h", "key_type": "ec"}),
    )
    .await;
    for (kind, label) in [
        ("ec", "EC PRIVATE KEY"),
        ("rsa", "RSA PRIVATE KEY"),
        ("ed25519", "PRIVATE KEY"),
    ] {
        rig.ok(Op::Write, &format!("pki/roles/{kind}"), json!({"allowed_domains": ["shop.test"], "allow_subdomains": true, "key_type": kind, "max_ttl": "72h"})).await;
        let issued = rig
            .data(Op::Write, &format!("pki/issue/{kind}"), json!({"common_name": "www.shop.test", "alt_names": "api.shop.test", "ip_sans": "127.0.0.1", "ttl": "1h"}))
            .await;
        assert!(text(&issued, "/private_key").starts_with(&format!("-----BEGIN {label}-----")));
        let verified = verify(
            text(&issued, "/issuing_ca"),
            text(&issued, "/certificate"),
            "api.shop.test",
        );
        assert!(verified.is_ok(), "{kind}: {verified:?}");
        assert!(
            verify(
                text(&issued, "/issuing_ca"),
                text(&issued, "/certificate"),
                "else.test"
            )
            .is_err()
        );
        // Our own TLS stack must take the key in the format clients get.
        let key = <rustls_pki_types::PrivateKeyDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(
            text(&issued, "/private_key").as_bytes(),
        )
        .unwrap();
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let serial = text(&issued, "/serial_number").to_owned();
        rig.ok(Op::Write, "pki/revoke", json!({"serial_number": serial}))
            .await;
        assert_ne!(
            rig.data(Op::Read, &format!("pki/cert/{serial}"), json!({})).await["revocation_time"],
            0
        );
    }
    for bad in [
        json!({"common_name": "evil.test"}),
        json!({"common_name": "a.shop.test", "alt_names": "evil.test"}),
        json!({}),
    ] {
        assert_eq!(
            rig.call(&rig.root, Op::Write, "pki/issue/ec", bad)
                .await
                .unwrap_err()
                .status(),
            400
        );
    }
    let crl = rig.ok(Op::Read, "pki/crl/pem", json!({})).await.raw.unwrap().body;
    assert!(
        String::from_utf8(crl)
            .unwrap()
            .starts_with("-----BEGIN X509 CRL-----")
    );
}

fn verify(root: &str, leaf: &str, name: &str) -> Result<(), rustls::Error> {
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
    verifier
        .verify_server_cert(
            &leaf,
            &[],
            &ServerName::try_from(name.to_owned()).unwrap(),
            &[],
            UnixTime::now(),
        )
        .map(drop)
}

#[tokio::test]
async fn wraps_and_unwraps_once() {
    let rig = Rig::new().await;
    rig.ok(Op::Write, "cubbyhole/a", json!({"k": "v"})).await;
    let mut request = Request::new(Op::Read, "cubbyhole/a").token(&rig.root);
    request.wrap_ttl = Some(60);
    let wrap = rig.server.handle(request).await.unwrap().wrap.unwrap();
    let info = rig
        .data(Op::Write, "sys/wrapping/lookup", json!({"token": *wrap.token}))
        .await;
    assert_eq!(info["creation_path"], "cubbyhole/a");
    let inside = rig
        .call(&wrap.token, Op::Write, "sys/wrapping/unwrap", json!({}))
        .await
        .unwrap()
        .bare
        .unwrap();
    assert_eq!(inside["data"]["k"], "v");
    assert!(
        rig.call(&wrap.token, Op::Write, "sys/wrapping/unwrap", json!({}))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn audit_comes_before_the_answer_and_hides_values() {
    let rig = Rig::new().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.log");
    rig.ok(
        Op::Write,
        "sys/audit/file",
        json!({"type": "file", "options": {"file_path": file.to_str()}}),
    )
    .await;
    rig.ok(
        Op::Write,
        "cubbyhole/a",
        json!({"password": "plantedvalue", "n": 42}),
    )
    .await;
    rig.ok(Op::Read, "cubbyhole/a", json!({})).await;
    let log = std::fs::read_to_string(&file).unwrap();
    assert!(!log.contains("plantedvalue") && !log.contains(&rig.root));
    let hash = rig
        .data(Op::Write, "sys/audit-hash/file", json!({"input": "plantedvalue"}))
        .await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answer = lines.iter().rfind(|line| line["type"] == "response").unwrap();
    assert_eq!(answer["response"]["data"]["password"], hash["hash"]);
    assert_eq!(answer["response"]["data"]["n"], 42);
    // With the only device full, nothing is answered any more.
    rig.ok(
        Op::Write,
        "sys/audit/full",
        json!({"type": "file", "options": {"file_path": "/dev/full"}}),
    )
    .await;
    let removed = rig.call(&rig.root, Op::Delete, "sys/audit/file", json!({})).await;
    assert!(
        matches!(removed, Err(Error::Audit)),
        "already this answer has nowhere to be recorded"
    );
    assert!(matches!(
        rig.call(&rig.root, Op::Read, "cubbyhole/a", json!({})).await,
        Err(Error::Audit)
    ));
}

#[tokio::test]
async fn embedded_starts_again_with_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        dir: dir.path().to_owned(),
        api_addr: String::new(),
        kubernetes: Some(KubernetesReviewer {
            host: "https://127.0.0.1:1".to_owned(),
            ..KubernetesReviewer::default()
        }),
    };
    let clock: Arc<dyn Clock> = Arc::new(herder_base::SystemClock);
    let ca = {
        let embedded = herder_secrets::Embedded::start(config.clone(), Arc::clone(&clock))
            .await
            .unwrap();
        let token = embedded.root_token().unwrap();
        let write = Request::new(Op::Write, "secret/data/a")
            .with(json!({"data": {"k": "v"}}))
            .token(&token);
        embedded.server.handle(write).await.unwrap();
        embedded
            .server
            .handle(Request::new(Op::Read, "pki/ca/pem"))
            .await
            .unwrap()
            .raw
            .unwrap()
            .body
    };
    let embedded = herder_secrets::Embedded::start(config, clock).await.unwrap();
    let token = embedded.root_token().unwrap();
    let read = embedded
        .server
        .handle(Request::new(Op::Read, "secret/data/a").token(&token))
        .await
        .unwrap();
    assert_eq!(read.data.unwrap()["data"]["k"], "v");
    assert_eq!(
        embedded
            .server
            .handle(Request::new(Op::Read, "pki/ca/pem"))
            .await
            .unwrap()
            .raw
            .unwrap()
            .body,
        ca
    );
    use std::os::unix::fs::PermissionsExt;
    for file in ["vault.unseal-key", "vault.root-token", "vault.redb"] {
        let mode = std::fs::metadata(dir.path().join("state").join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let stored = std::fs::read(dir.path().join("state/vault.redb")).unwrap();
    assert!(
        !stored.windows(token.len()).any(|part| part == token.as_bytes()),
        "the token is not stored in clear"
    );
}

#[tokio::test]
async fn a_key_whose_storage_is_gone_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        dir: dir.path().to_owned(),
        api_addr: String::new(),
        kubernetes: None,
    };
    let clock: Arc<dyn Clock> = Arc::new(herder_base::SystemClock);
    let start = || herder_secrets::Embedded::start(config.clone(), Arc::clone(&clock));
    drop(start().await.unwrap());
    let state = dir.path().join("state");
    let read = |name: &str| std::fs::read_to_string(state.join(name)).unwrap();
    let (key, token) = (read("vault.unseal-key"), read("vault.root-token"));
    let kept = state.join("kept.redb");
    std::fs::rename(state.join("vault.redb"), &kept).unwrap();
    for damage in ["missing", "emptied", "another"] {
        let storage = state.join("vault.redb");
        match damage {
            "missing" => {}
            "emptied" => std::fs::write(&storage, "").unwrap(),
            _ => {
                std::fs::remove_file(&storage).unwrap();
                drop(herder_secrets::Server::open(Config {
                    storage: Storage::File(storage.clone()),
                    clock: Arc::clone(&clock),
                    api_addr: String::new(),
                }));
            }
        }
        let refused = start().await.unwrap_err().to_string();
        assert!(
            refused.contains("restore it from a backup"),
            "{damage}: {refused}"
        );
        assert_eq!(
            (read("vault.unseal-key"), read("vault.root-token")),
            (key.clone(), token.clone()),
            "{damage}"
        );
    }
    std::fs::rename(&kept, state.join("vault.redb")).unwrap();
    drop(start().await.unwrap());
    // A first start that was interrupted goes on with the key it had written.
    std::fs::remove_file(state.join("vault.redb")).unwrap();
    std::fs::remove_file(state.join("vault.root-token")).unwrap();
    drop(start().await.unwrap());
    assert_eq!(read("vault.unseal-key"), key);
}
