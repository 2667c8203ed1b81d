//! What other programs send, byte for byte as they send it, over real connections: terraform's provider at its start and
//! for its resources, the External Secrets Operator, consul-template, and the rules of the HTTP interface itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::SystemClock;
use herder_secrets::{Config, Op, Request, Server, Storage};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Wire {
    address: String,
    root: String,
    key: String,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Value,
}

impl Reply {
    fn data(&self) -> &Value {
        &self.body["data"]
    }
}

impl Wire {
    async fn start() -> Self {
        let server = Server::open(Config {
            storage: Storage::InMemory,
            clock: Arc::new(SystemClock),
            api_addr: String::new(),
        })
        .unwrap();
        let init = server.init(1, 1, None).await.unwrap();
        let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut wire = Self {
            address,
            root: init.root_token.to_string(),
            key,
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        server
            .handle(Request::new(Op::Write, "sys/unseal").with(json!({ "key": wire.key })))
            .await
            .unwrap();
        let cancel = wire.cancel.clone();
        wire.tasks.spawn(server.clone().run(cancel.clone()));
        wire.tasks
            .spawn(async move { server.serve(listener, None, cancel).await });
        wire
    }

    /// Headers as given, body as it is.
    async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("x-vault-token", token), ("x-vault-request", "true")];
        self.raw(method, &format!("/v1/{path}"), &headers, &body).await
    }

    async fn root(&self, method: &str, path: &str, body: Value) -> Reply {
        let reply = self.ask(&self.root, method, path, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {reply:?}");
        reply
    }
}

#[tokio::test]
async fn terraform_starts_and_reads_back_what_it_wrote() {
    let wire = Wire::start().await;
    // The provider wants a version to decide what it may use, a living token, and a child of it.
    let status = wire.raw("GET", "/v1/sys/seal-status", &[], "").await;
    let version = status.body["version"].as_str().unwrap();
    assert_eq!(
        version
            .split('.')
            .filter_map(|part| part.parse::<u32>().ok())
            .count(),
        3
    );
    let own = wire.root("GET", "auth/token/lookup-self", Value::Null).await;
    assert!(own.data()["policies"].is_array() && own.data()["accessor"].is_string());
    let child = json!({
        "display_name": "terraform", "ttl": "1200s", "explicit_max_ttl": "1200s", "renewable": false,
        "policies": ["root"], "metadata": null,
    });
    let child = wire.root("POST", "auth/token/create", child).await;
    assert_eq!(child.body["auth"]["lease_duration"], 1200);
    let token = child.body["auth"]["client_token"].as_str().unwrap().to_owned();
    let ask = |method: &'static str, path: &'static str, body: Value| wire.ask(&token, method, path, body);
    // A mount: created, read from the list, tuned, read from the tuning.
    let mount = json!({
        "type": "kv", "description": "d", "options": { "version": "2" }, "local": false, "seal_wrap": false,
        "config": { "default_lease_ttl": "3600s", "max_lease_ttl": "7200s" },
    });
    assert_eq!(ask("POST", "sys/mounts/tf", mount).await.status, 204);
    let mounts = ask("GET", "sys/mounts", Value::Null).await;
    for at in ["/tf~1", "/data/tf~1"] {
        assert_eq!(mounts.body.pointer(at).unwrap()["options"]["version"], "2");
    }
    let tune =
        json!({ "default_lease_ttl": "1800s", "max_lease_ttl": "7200s", "options": { "version": "2" } });
    assert_eq!(ask("PUT", "sys/mounts/tf/tune", tune).await.status, 204);
    let tuned = ask("GET", "sys/mounts/tf/tune", Value::Null).await;
    assert_eq!(tuned.data()["default_lease_ttl"], 1800);
    // A policy and a role: what is read is what was written, with every default filled in.
    let rules = "path \"tf/*\" {\n  capabilities = [\"read\"]\n}\n";
    assert_eq!(
        ask("PUT", "sys/policy/tf", json!({ "policy": rules }))
            .await
            .status,
        204
    );
    let policy = ask("GET", "sys/policy/tf", Value::Null).await;
    assert_eq!(policy.body["rules"], rules);
    assert_eq!(
        ask("POST", "sys/auth/approle", json!({ "type": "approle" }))
            .await
            .status,
        204
    );
    let role = json!({
        "bind_secret_id": true, "secret_id_num_uses": 5, "secret_id_ttl": 600, "token_policies": ["tf"],
        "token_ttl": 300, "token_max_ttl": 900, "token_num_uses": 0, "token_period": 0, "token_type": "default",
        "token_no_default_policy": false, "token_explicit_max_ttl": 0, "token_bound_cidrs": [],
    });
    assert_eq!(ask("PUT", "auth/approle/role/tf", role.clone()).await.status, 204);
    let read = ask("GET", "auth/approle/role/tf", Value::Null).await;
    for (key, value) in role.as_object().unwrap() {
        assert!(
            &read.data()[key] == value
                || read.data()[key].is_null() && value.as_array().is_some_and(Vec::is_empty),
            "{key}: {} instead of {value}",
            read.data()[key]
        );
    }
    // Destroying: absent things are absent, not errors.
    assert_eq!(
        ask("DELETE", "auth/approle/role/tf", Value::Null).await.status,
        204
    );
    assert_eq!(ask("GET", "auth/approle/role/tf", Value::Null).await.status, 404);
    assert_eq!(ask("DELETE", "sys/mounts/tf", Value::Null).await.status, 204);
    assert_eq!(
        ask("POST", "auth/token/revoke-self", Value::Null).await.status,
        204
    );
    assert_eq!(
        ask("GET", "auth/token/lookup-self", Value::Null).await.status,
        403
    );
}

#[tokio::test]
async fn external_secrets_reads_finds_and_pushes() {
    let wire = Wire::start().await;
    wire.root(
        "POST",
        "sys/mounts/secret",
        json!({ "type": "kv", "options": { "version": "2" } }),
    )
    .await;
    wire.root(
        "POST",
        "secret/data/shop/db",
        json!({ "data": { "user": "ann", "n": 1.5 } }),
    )
    .await;
    let rules =
        "path \"secret/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"] }";
    wire.root("PUT", "sys/policy/eso", json!({ "policy": rules }))
        .await;
    wire.root("POST", "sys/auth/approle", json!({ "type": "approle" }))
        .await;
    wire.root(
        "POST",
        "auth/approle/role/eso",
        json!({ "token_policies": "eso", "token_ttl": "10m" }),
    )
    .await;
    let role = wire
        .root("GET", "auth/approle/role/eso/role-id", Value::Null)
        .await;
    let secret = wire
        .root("POST", "auth/approle/role/eso/secret-id", json!({}))
        .await;
    let login = json!({ "role_id": role.data()["role_id"], "secret_id": secret.data()["secret_id"] });
    let login = wire
        .raw("PUT", "/v1/auth/approle/login", &[], &login.to_string())
        .await;
    let token = login.body["auth"]["client_token"].as_str().unwrap().to_owned();
    let ask = |method: &'static str, path: &'static str, body: Value| wire.ask(&token, method, path, body);
    let own = ask("GET", "auth/token/lookup-self", Value::Null).await;
    assert!(own.data()["ttl"].as_i64().unwrap() > 500 && own.data()["type"] == "service");
    let read = ask("GET", "secret/data/shop/db", Value::Null).await;
    assert_eq!(read.data()["data"], json!({ "user": "ann", "n": 1.5 }));
    assert_eq!(
        ask("GET", "secret/data/shop/db?version=1", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        ask("GET", "secret/data/shop/db?version=9", Value::Null)
            .await
            .status,
        404
    );
    // Find: lists folders, then asks for the metadata of each name.
    let found = ask("GET", "secret/metadata/?list=true", Value::Null).await;
    assert_eq!(found.data()["keys"], json!(["shop/"]));
    let found = ask("LIST", "secret/metadata/shop", Value::Null).await;
    assert_eq!(found.data()["keys"], json!(["db"]));
    // Push: only over what it manages itself, which it learns from the custom metadata.
    assert_eq!(
        ask("GET", "secret/metadata/shop/new", Value::Null).await.status,
        404
    );
    let mark = json!({ "custom_metadata": { "managed-by": "external-secrets" } });
    assert_eq!(ask("POST", "secret/metadata/shop/new", mark).await.status, 204);
    let pushed = ask("POST", "secret/data/shop/new", json!({ "data": { "a": "b" } })).await;
    assert_eq!(pushed.data()["version"], 1);
    let managed = ask("GET", "secret/metadata/shop/new", Value::Null).await;
    assert_eq!(
        managed.data()["custom_metadata"]["managed-by"],
        "external-secrets"
    );
    assert_eq!(
        ask("DELETE", "secret/data/shop/new", Value::Null).await.status,
        204
    );
    let gone = ask("GET", "secret/data/shop/new", Value::Null).await;
    assert_eq!((gone.status, &gone.data()["data"]), (404, &Value::Null));
    assert!(
        gone.data()["metadata"]["deletion_time"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    assert_eq!(
        ask("DELETE", "secret/metadata/shop/new", Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(
        ask("PUT", "auth/token/revoke-self", Value::Null).await.status,
        204
    );
    assert_eq!(ask("GET", "secret/data/shop/db", Value::Null).await.status, 403);
}

#[tokio::test]
async fn consul_template_learns_the_version_of_a_mount() {
    let wire = Wire::start().await;
    wire.root(
        "POST",
        "sys/mounts/secret",
        json!({ "type": "kv", "options": { "version": "2" } }),
    )
    .await;
    wire.root("POST", "sys/mounts/old", json!({ "type": "kv" })).await;
    wire.root(
        "PUT",
        "sys/policy/t",
        json!({ "policy": "path \"secret/data/a\" { capabilities = [\"read\"] }" }),
    )
    .await;
    let made = wire
        .root(
            "POST",
            "auth/token/create",
            json!({ "policies": ["t"], "ttl": "1h" }),
        )
        .await;
    let token = made.body["auth"]["client_token"].as_str().unwrap();
    let found = wire
        .ask(token, "GET", "sys/internal/ui/mounts/secret/data/a", Value::Null)
        .await;
    assert_eq!(found.data()["path"], "secret/");
    assert_eq!(found.data()["type"], "kv");
    assert_eq!(found.data()["options"]["version"], "2");
    let denied = wire
        .ask(token, "GET", "sys/internal/ui/mounts/old/a", Value::Null)
        .await;
    assert_eq!(denied.status, 403, "nobody learns of mounts out of reach");
    let renewed = wire
        .ask(token, "PUT", "auth/token/renew-self", json!({ "increment": 600 }))
        .await;
    assert_eq!(renewed.body["auth"]["renewable"], true);
}

#[tokio::test]
async fn the_interface_itself() {
    let wire = Wire::start().await;
    wire.root(
        "PUT",
        "sys/mounts/secret",
        json!({ "type": "kv", "options": { "version": "2" } }),
    )
    .await;
    let token = wire.root.clone();
    let with = |method: &'static str,
                path: &'static str,
                headers: Vec<(&'static str, String)>,
                body: &'static str| {
        let (wire, token) = (&wire, token.clone());
        async move {
            let mut all = vec![("x-vault-token", token.as_str())];
            all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
            wire.raw(method, path, &all, body).await
        }
    };
    // Absent and forbidden look as clients expect, and say nothing else.
    let absent = with("GET", "/v1/secret/data/none", vec![], "").await;
    assert_eq!((absent.status, &absent.body), (404, &json!({ "errors": [] })));
    assert!(absent.head.contains("cache-control: no-store"));
    let forbidden = wire
        .raw(
            "GET",
            "/v1/secret/data/none",
            &[("x-vault-token", "hvs.wrong")],
            "",
        )
        .await;
    assert_eq!(forbidden.status, 403);
    assert_eq!(
        forbidden.body,
        json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n"] })
    );
    assert_eq!(wire.raw("GET", "/v1/secret/data/none", &[], "").await.status, 403);
    // Both headers carry tokens; both verbs write; forms and JSON are read.
    let bearer = format!("Bearer {token}");
    let own = wire
        .raw(
            "GET",
            "/v1/auth/token/lookup-self",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    assert_eq!(own.status, 200);
    for method in ["PUT", "POST"] {
        let body = "{\"data\":{\"a\":\"b\",\"n\":12345678901234567890}}";
        assert_eq!(with(method, "/v1/secret/data/a", vec![], body).await.status, 200);
    }
    let merge = vec![("content-type", "application/merge-patch+json".to_owned())];
    let patched = with(
        "PATCH",
        "/v1/secret/data/a",
        merge,
        "{\"data\":{\"c\":\"d\",\"a\":null}}",
    )
    .await;
    assert_eq!(patched.data()["version"], 3);
    let read = with("GET", "/v1/secret/data/a", vec![], "").await;
    assert_eq!(
        read.data()["data"],
        json!({ "c": "d", "n": 12_345_678_901_234_567_890_u64 })
    );
    for key in [
        "request_id",
        "lease_id",
        "renewable",
        "lease_duration",
        "wrap_info",
        "warnings",
        "auth",
    ] {
        assert!(read.body.get(key).is_some(), "{key}");
    }
    let head = with("HEAD", "/v1/secret/data/a", vec![], "").await;
    assert_eq!((head.status, head.body), (200, Value::Null));
    // Wrapping hides the answer; what cannot be has a reason.
    let wrapped = with(
        "GET",
        "/v1/secret/data/a",
        vec![("x-vault-wrap-ttl", "60s".to_owned())],
        "",
    )
    .await;
    assert!(wrapped.body["data"].is_null() && wrapped.body["wrap_info"]["ttl"] == 60);
    let namespaced = with(
        "GET",
        "/v1/secret/data/a",
        vec![("x-vault-namespace", "team".to_owned())],
        "",
    )
    .await;
    assert!(
        namespaced
            .body
            .to_string()
            .contains("namespaces are not supported")
    );
    for (method, path, body, status) in [
        ("POST", "/v1/secret/data/a", "{", 400),
        ("POST", "/v1/secret/data/a", "[]", 400),
        ("POST", "/v1/secret/data/a", "{}", 400),
        ("GET", "/v1/secret/data/%zz", "", 400),
        ("GET", "/v1/secret/../sys/raw", "", 400),
        ("GET", "/v1/secret/%2e%2e/sys/raw", "", 400),
        ("OPTIONS", "/v1/secret/data/a", "", 405),
        ("GET", "/v1/nowhere/at/all", "", 404),
        ("GET", "/elsewhere", "", 404),
        ("GET", "/", "", 200),
    ] {
        assert_eq!(
            with(method, path, vec![], body).await.status,
            status,
            "{method} {path} {body}"
        );
    }
    // Health by status alone; sealed says so to everybody.
    assert_eq!(wire.raw("GET", "/v1/sys/health", &[], "").await.status, 200);
    assert_eq!(with("PUT", "/v1/sys/seal", vec![], "").await.status, 204);
    assert_eq!(wire.raw("GET", "/v1/sys/health", &[], "").await.status, 503);
    assert_eq!(
        wire.raw("GET", "/v1/sys/health?sealedcode=299", &[], "")
            .await
            .status,
        299
    );
    let sealed = with("GET", "/v1/secret/data/a", vec![], "").await;
    assert_eq!(
        (sealed.status, sealed.body.to_string().contains("sealed")),
        (503, true)
    );
    let key = json!({ "key": wire.key }).to_string();
    assert_eq!(
        wire.raw("PUT", "/v1/sys/unseal", &[], &key).await.body["sealed"],
        false
    );
    assert_eq!(with("GET", "/v1/secret/data/a", vec![], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_ends_although_its_client_hung_up() {
    let mut wire = Wire::start().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.log");
    wire.root(
        "PUT",
        "sys/audit/file",
        json!({ "type": "file", "options": { "file_path": log } }),
    )
    .await;
    wire.root("POST", "sys/mounts/db", json!({ "type": "database" }))
        .await;
    // A database that takes its time to say nothing.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let body = json!({
        "plugin_name": "postgresql-database-plugin",
        "connection_url": format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@{}/x?sslmode=disable",
            database.local_addr().unwrap()
        ),
        "username": "a", "password": "b",
    })
    .to_string();
    let mut client = TcpStream::connect(&wire.address).await.unwrap();
    let text = format!(
        "POST /v1/db/config/main HTTP/1.1\r\nhost: x\r\nx-vault-token: {}\r\ncontent-length: {}\r\n\r\n{body}",
        wire.root,
        body.len()
    );
    client.write_all(text.as_bytes()).await.unwrap();
    let (held, _) = database.accept().await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(300)).await;
    wire.cancel.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop((held, database));
    // The end waits for the request.
    while wire.tasks.join_next().await.is_some() {}
    let lines = std::fs::read_to_string(&log).unwrap();
    let about: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains("db/config/main"))
        .collect();
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(
        about.last().unwrap().contains("\"type\":\"response\""),
        "{about:?}"
    );
}

/// What a client hears that says so much and then nothing, and after how many seconds.
async fn stalled(address: &str, text: &str) -> (String, u64) {
    let begun = std::time::Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(45), stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    (String::from_utf8(bytes).unwrap(), begun.elapsed().as_secs())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_talking_are_not_waited_for() {
    let wire = Wire::start().await;
    let (nothing, head, body) = tokio::join!(
        stalled(&wire.address, ""),
        stalled(&wire.address, "GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nx-half"),
        stalled(
            &wire.address,
            "PUT /v1/sys/unseal HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        ),
    );
    assert!(nothing.1 < 20 && head.1 < 20, "{nothing:?} {head:?}");
    assert!(body.0.starts_with("HTTP/1.1 408 "), "{body:?}");
    assert!((25..40).contains(&body.1), "{body:?}");
}
