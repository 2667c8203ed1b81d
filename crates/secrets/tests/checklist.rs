//! What upstream's own tests hold barrier, leases, tokens and audit to, asked of this server from outside. The table in
//! docs/secrets.md says which of upstream's names is covered by which test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::FixedClock;
use herder_secrets::{Config, Error, Op, Request, Response, Result, Server, Storage};
use herder_store::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Rig {
    server: Server,
    store: Store,
    clock: FixedClock,
    root: String,
    key: String,
}

impl Rig {
    async fn new() -> Self {
        let clock = FixedClock::new(jiff::Timestamp::from_second(1_700_000_000).unwrap());
        let store = Store::in_memory();
        let server = open(&store, &clock);
        let init = server.init(1, 1, None).await.unwrap();
        let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
        let rig = Self {
            server,
            store,
            clock,
            root: init.root_token.to_string(),
            key,
        };
        rig.unseal().await.unwrap();
        rig
    }

    async fn unseal(&self) -> Result<Response> {
        self.server
            .handle(Request::new(Op::Write, "sys/unseal").with(json!({ "key": self.key })))
            .await
    }

    /// The same storage under a new server, as after a restart.
    async fn restarted(self) -> Self {
        let server = open(&self.store, &self.clock);
        let rig = Self { server, ..self };
        rig.unseal().await.unwrap();
        rig
    }

    async fn ask(&self, token: &str, op: Op, path: &str, data: Value) -> Result<Response> {
        self.server
            .handle(Request::new(op, path).with(data).token(token))
            .await
    }

    async fn root(&self, op: Op, path: &str, data: Value) -> Result<Response> {
        self.ask(&self.root, op, path, data).await
    }

    async fn ok(&self, op: Op, path: &str, data: Value) -> Response {
        self.root(op, path, data)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn token(&self, data: Value) -> (String, String) {
        let auth = self.ok(Op::Write, "auth/token/create", data).await.auth.unwrap();
        (auth.client_token.to_string(), auth.accessor)
    }

    /// A role that gives certificates with leases, which are the leases at hand without another server.
    async fn leases(&self) {
        self.ok(Op::Write, "sys/mounts/pki", json!({ "type": "pki" }))
            .await;
        let root = json!({ "common_name": "Root", "key_type": "ec", "key_bits": 256, "ttl": "700h" });
        self.ok(Op::Write, "pki/root/generate/internal", root).await;
        let role = json!({ "allow_any_name": true, "key_type": "ec", "key_bits": 256, "generate_lease": true, "ttl": "1h" });
        self.ok(Op::Write, "pki/roles/r", role).await;
    }

    async fn lease(&self, token: &str) -> String {
        let wish = json!({ "common_name": "a.example.org" });
        let made = self.ask(token, Op::Write, "pki/issue/r", wish).await.unwrap();
        made.lease.unwrap().id
    }

    async fn lives(&self, token: &str) -> bool {
        self.ask(token, Op::Read, "auth/token/lookup-self", json!({}))
            .await
            .is_ok()
    }

    async fn leased(&self, id: &str) -> bool {
        self.root(Op::Write, "sys/leases/lookup", json!({ "lease_id": id }))
            .await
            .is_ok()
    }
}

fn open(store: &Store, clock: &FixedClock) -> Server {
    Server::open(Config {
        storage: Storage::Store(store.clone()),
        clock: Arc::new(clock.clone()),
        api_addr: String::new(),
    })
    .unwrap()
}

#[tokio::test]
async fn the_storage_tells_nothing_and_cannot_be_rearranged() {
    let rig = Rig::new().await;
    assert!(
        rig.server.init(1, 1, None).await.is_err(),
        "initialised only once"
    );
    rig.ok(Op::Write, "sys/mounts/kv", json!({ "type": "kv" })).await;
    rig.ok(Op::Write, "kv/one", json!({ "v": "plant-me-nowhere" }))
        .await;
    rig.ok(Op::Write, "kv/two", json!({ "v": "other" })).await;
    let (entries, _) = rig.store.range("");
    for (key, entry) in &entries {
        let bytes = entry.value.windows(b"plant-me-nowhere".len());
        assert!(
            !bytes.into_iter().any(|part| part == b"plant-me-nowhere"),
            "{key}"
        );
        let root = rig.root.as_bytes();
        assert!(!entry.value.windows(root.len()).any(|part| part == root), "{key}");
        assert!(!key.contains(&rig.root));
    }
    // One entry in another's place, a flipped bit, a cut end: each is an error, none a value.
    let find = |end: &str| {
        entries
            .iter()
            .find(|(key, _)| key.ends_with(end))
            .unwrap()
            .clone()
    };
    let ((one, first), (_, second)) = (find("/one"), find("/two"));
    let mut flipped = first.value.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [
        second.value.to_vec(),
        flipped,
        first.value[..9].to_vec(),
        Vec::new(),
    ] {
        rig.store
            .txn(vec![herder_store::Op::put(&*one, bad)])
            .await
            .unwrap();
        let found = rig.root(Op::Read, "kv/one", json!({})).await;
        assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");
    }
}

#[tokio::test]
async fn keys_rotate_and_old_entries_stay_readable() {
    let rig = Rig::new().await;
    rig.ok(Op::Write, "sys/mounts/kv", json!({ "type": "kv" })).await;
    for round in 0..3 {
        rig.ok(Op::Write, &format!("kv/{round}"), json!({ "n": round }))
            .await;
        rig.ok(Op::Write, "sys/rotate", json!({})).await;
    }
    let wrong = rig.key.replace(|c: char| c.is_ascii_digit(), "a");
    let rig = rig.restarted().await;
    assert_eq!(
        rig.ok(Op::Read, "sys/key-status", json!({})).await.data.unwrap()["term"],
        4
    );
    for round in 0..3 {
        let read = rig.ok(Op::Read, &format!("kv/{round}"), json!({})).await;
        assert_eq!(read.data.unwrap()["n"], round);
    }
    // Sealed, nothing is known; a wrong key opens nothing; the right one does.
    rig.ok(Op::Write, "sys/seal", json!({})).await;
    assert!(matches!(
        rig.root(Op::Read, "kv/0", json!({})).await,
        Err(Error::Sealed)
    ));
    let unseal = Request::new(Op::Write, "sys/unseal").with(json!({ "key": wrong }));
    assert!(rig.server.handle(unseal).await.is_err());
    assert!(matches!(
        rig.root(Op::Read, "kv/0", json!({})).await,
        Err(Error::Sealed)
    ));
    rig.unseal().await.unwrap();
    rig.ok(Op::Read, "kv/0", json!({})).await;
}

#[tokio::test]
async fn leases_are_kept_renewed_and_revoked() {
    let rig = Rig::new().await;
    rig.leases().await;
    let (token, _) = rig.token(json!({ "policies": ["root"], "ttl": "2h" })).await;
    let (a, b) = (rig.lease(&token).await, rig.lease(&token).await);
    let other = rig.lease(&rig.root).await;
    let count = rig
        .ok(Op::Read, "sys/leases/count", json!({}))
        .await
        .data
        .unwrap();
    assert_eq!(count["lease_count"], 3);
    let list = rig
        .ok(Op::List, "sys/leases/lookup/pki/issue/r/", json!({}))
        .await;
    assert_eq!(list.data.unwrap()["keys"].as_array().unwrap().len(), 3);
    let found = rig
        .ok(Op::Write, "sys/leases/lookup", json!({ "lease_id": a }))
        .await
        .data
        .unwrap();
    assert!(found["ttl"].as_i64().unwrap() <= 3600 && found["renewable"] == false);
    let refused = rig
        .root(Op::Write, "sys/leases/renew", json!({ "lease_id": a }))
        .await;
    assert!(refused.unwrap_err().to_string().contains("not renewable"));
    let unknown = rig
        .root(
            Op::Write,
            "sys/leases/renew",
            json!({ "lease_id": "pki/issue/r/none" }),
        )
        .await;
    assert!(unknown.is_err());
    // Kept over a restart; ends alone, with its prefix, with its token, with its time.
    let rig = rig.restarted().await;
    assert!(rig.leased(&a).await && rig.leased(&b).await && rig.leased(&other).await);
    rig.ok(Op::Write, "sys/leases/revoke", json!({ "lease_id": a }))
        .await;
    assert!(!rig.leased(&a).await && rig.leased(&b).await);
    rig.ok(Op::Write, "sys/leases/revoke", json!({ "lease_id": a }))
        .await;
    rig.ok(Op::Write, "auth/token/revoke", json!({ "token": token }))
        .await;
    assert!(!rig.leased(&b).await && rig.leased(&other).await);
    rig.clock.advance(Duration::from_secs(3601));
    assert!(!rig.leased(&other).await, "no task is needed for a lease to end");
    let last = rig.lease(&rig.root).await;
    rig.ok(Op::Write, "sys/leases/revoke-prefix/pki/issue", json!({}))
        .await;
    assert!(!rig.leased(&last).await);
    let last = rig.lease(&rig.root).await;
    rig.ok(Op::Delete, "sys/mounts/pki", json!({})).await;
    assert!(!rig.leased(&last).await, "with its mount");
    // What needs sudo is refused without, whatever else is allowed.
    let rules = "path \"sys/leases/*\" { capabilities = [\"create\", \"update\", \"list\"] }";
    rig.ok(Op::Write, "sys/policy/l", json!({ "policy": rules }))
        .await;
    let (plain, _) = rig.token(json!({ "policies": ["l"] })).await;
    let denied = rig
        .ask(&plain, Op::Write, "sys/leases/revoke-prefix/x", json!({}))
        .await;
    assert!(matches!(denied, Err(Error::Denied)));
}

#[tokio::test]
async fn an_expired_token_takes_everything_with_it() {
    let rig = Rig::new().await;
    rig.leases().await;
    let (token, _) = rig.token(json!({ "policies": ["root"], "ttl": "10m" })).await;
    let child = rig
        .ask(&token, Op::Write, "auth/token/create", json!({ "ttl": "1h" }))
        .await
        .unwrap()
        .auth
        .unwrap();
    let lease = rig.lease(&child.client_token).await;
    rig.clock.advance(Duration::from_secs(601));
    // Invalid at once, even before the task that tidies has come round; also after a restart in between.
    assert!(!rig.lives(&token).await && !rig.lives(&child.client_token).await);
    let rig = rig.restarted().await;
    assert!(!rig.lives(&child.client_token).await);
    let cancel = tokio_util::sync::CancellationToken::new();
    let (server, stop) = (rig.server.clone(), cancel.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { server.run(stop).await });
    for _ in 0..200 {
        if !rig.leased(&lease).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!rig.leased(&lease).await);
    cancel.cancel();
    tasks.join_next().await;
    let left: Vec<_> = rig.store.range("sys/token/id/").0;
    assert_eq!(left.len(), 1, "only the root token is left");
}

#[tokio::test]
async fn tokens_give_no_more_than_they_have() {
    let rig = Rig::new().await;
    let rules = "path \"auth/token/create*\" { capabilities = [\"update\"] }\n\
        path \"auth/token/lookup*\" { capabilities = [\"update\", \"read\"] }";
    rig.ok(Op::Write, "sys/policy/maker", json!({ "policy": rules }))
        .await;
    let (maker, accessor) = rig.token(json!({ "policies": ["maker"] })).await;
    let make = |data: Value| rig.ask(&maker, Op::Write, "auth/token/create", data);
    let made = make(json!({})).await.unwrap().auth.unwrap();
    assert_eq!(
        made.policies,
        ["default", "maker"],
        "a child has its parent's policies"
    );
    let less = make(json!({ "no_default_policy": true, "policies": ["maker"] }))
        .await
        .unwrap();
    assert_eq!(less.auth.unwrap().policies, ["maker"]);
    for more in [
        json!({ "policies": ["root"] }),
        json!({ "policies": ["maker", "other"] }),
        json!({ "id": "chosen" }),
        json!({ "no_parent": true }),
        json!({ "period": "1h" }),
    ] {
        assert!(make(more.clone()).await.is_err(), "{more}");
    }
    // An accessor is no token, an empty text is none, and one token's cubbyhole is nobody else's.
    for not in [accessor.as_str(), "", "hvs.", "hvb.AAAA", "root"] {
        assert!(!rig.lives(not).await, "{not:?}");
    }
    // Batch tokens cannot be parents, be renewed, or keep things.
    let both = "path \"auth/token/*\" { capabilities = [\"read\", \"update\"] }\npath \"cubbyhole/*\" { capabilities = [\"create\"] }";
    rig.ok(Op::Write, "sys/policy/both", json!({ "policy": both }))
        .await;
    let (batch, accessor) = rig.token(json!({ "policies": ["both"], "type": "batch" })).await;
    assert!(rig.lives(&batch).await && accessor.is_empty());
    for (path, data) in [
        ("auth/token/renew-self", json!({})),
        ("auth/token/create", json!({})),
        ("auth/token/revoke", json!({ "token": batch })),
        ("cubbyhole/a", json!({ "x": "1" })),
    ] {
        assert!(rig.ask(&batch, Op::Write, path, data).await.is_err(), "{path}");
    }
    // Chosen ids, once; roles bound what they may give.
    rig.token(json!({ "id": "chosen", "policies": ["default"] }))
        .await;
    assert!(rig.lives("chosen").await);
    let again = rig
        .root(Op::Write, "auth/token/create", json!({ "id": "chosen" }))
        .await;
    assert!(again.is_err());
    let role = json!({ "allowed_policies": "default,maker", "disallowed_policies": "maker", "token_explicit_max_ttl": "60s",
        "path_suffix": "here", "renewable": false });
    rig.ok(Op::Write, "auth/token/roles/r", role).await;
    let made = rig
        .ok(
            Op::Write,
            "auth/token/create/r",
            json!({ "policies": ["default"] }),
        )
        .await;
    let made = made.auth.unwrap();
    assert!(made.lease_duration <= 60 && !made.renewable);
    for refused in ["maker", "other", "root"] {
        let made = rig
            .root(Op::Write, "auth/token/create/r", json!({ "policies": [refused] }))
            .await;
        assert!(made.is_err(), "{refused}");
    }
    rig.clock.advance(Duration::from_secs(61));
    assert!(!rig.lives(&made.client_token).await);
    // Orphans survive their maker; children that are made orphans survive, too.
    let (parent, _) = rig.token(json!({ "policies": ["root"], "ttl": "1h" })).await;
    let child = |data: Value, path: &'static str| {
        let (rig, parent) = (&rig, parent.clone());
        async move {
            let made = rig.ask(&parent, Op::Write, path, data).await.unwrap();
            made.auth.unwrap().client_token.to_string()
        }
    };
    let orphan = child(json!({ "policies": ["default"] }), "auth/token/create-orphan").await;
    let kept = child(json!({ "policies": ["default"] }), "auth/token/create").await;
    rig.ok(Op::Write, "auth/token/revoke-orphan", json!({ "token": parent }))
        .await;
    assert!(rig.lives(&orphan).await && rig.lives(&kept).await && !rig.lives(&parent).await);
}

#[tokio::test]
async fn audit_records_all_or_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new().await;
    let file = dir.path().join("audit.log");
    let raw = dir.path().join("raw.log");
    let device = |path: &std::path::Path, more: Value| {
        let mut options = json!({ "file_path": path.to_str().unwrap() });
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "type": "file", "options": options })
    };
    rig.ok(Op::Write, "sys/audit/a", device(&file, json!({}))).await;
    rig.ok(
        Op::Write,
        "sys/audit/raw",
        device(&raw, json!({ "log_raw": "true", "prefix": "@cee: " })),
    )
    .await;
    rig.ok(Op::Write, "sys/mounts/kv", json!({ "type": "kv" })).await;
    let planted =
        json!({ "text": "plant-me-nowhere", "n": 7, "flag": true, "deep": [{ "x": "plant-me-nowhere" }] });
    rig.ok(Op::Write, "kv/a", planted).await;
    rig.ok(Op::Read, "kv/a", json!({})).await;
    let denied = rig.ask("hvs.wrong-token", Op::Read, "kv/a", json!({})).await;
    assert!(denied.is_err());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        !text.contains("plant-me-nowhere") && !text.contains(&rig.root) && !text.contains("hvs.wrong-token")
    );
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let requests = lines.iter().filter(|line| line["type"] == "request").count();
    assert_eq!(
        requests * 2,
        lines.len() - 1,
        "every request has an answer; the first one enabled the device"
    );
    let hash = rig
        .ok(
            Op::Write,
            "sys/audit-hash/a",
            json!({ "input": "plant-me-nowhere" }),
        )
        .await
        .data
        .unwrap()["hash"]
        .clone();
    let write = lines
        .iter()
        .find(|line| line["request"]["path"] == "kv/a" && line["request"]["operation"] == "update")
        .unwrap();
    assert_eq!(write["request"]["data"]["text"], hash);
    assert_eq!(write["request"]["data"]["deep"][0]["x"], hash);
    assert_eq!(
        (&write["request"]["data"]["n"], &write["request"]["data"]["flag"]),
        (&json!(7), &json!(true))
    );
    let refused = lines
        .iter()
        .find(|line| line["error"] == "permission denied")
        .unwrap();
    assert_eq!(refused["auth"], Value::Null);
    let raw_text = std::fs::read_to_string(&raw).unwrap();
    assert!(
        raw_text.lines().all(|line| line.starts_with("@cee: {")) && raw_text.contains("plant-me-nowhere")
    );
    // One device that cannot write does not matter beside one that can; alone, it stops everything.
    rig.ok(
        Op::Write,
        "sys/audit/full",
        device(std::path::Path::new("/dev/full"), json!({})),
    )
    .await;
    rig.ok(Op::Read, "kv/a", json!({})).await;
    rig.ok(Op::Delete, "sys/audit/raw", json!({})).await;
    // Removing the last one that works is done, but nobody can be told any more.
    let removed = rig.root(Op::Delete, "sys/audit/a", json!({})).await;
    assert!(matches!(removed, Err(Error::Audit)));
    for op in [Op::Read, Op::Write] {
        let stopped = rig.root(op, "kv/a", json!({ "v": "new" })).await;
        assert!(matches!(stopped, Err(Error::Audit)), "{stopped:?}");
    }
    let entries = rig.store.range("logical/").0;
    let rig = rig.restarted().await;
    assert_eq!(
        entries,
        rig.store.range("logical/").0,
        "what was refused was not done"
    );
}

/// Requests share writes; still each has both its lines, in order, in every device that was there all the time, and what is
/// answered is written already.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_that_are_written_together_are_all_there() {
    const EACH: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let rig = Arc::new(Rig::new().await);
    let files = [dir.path().join("a.log"), dir.path().join("b.log")];
    for (name, file) in ["a", "b"].iter().zip(&files) {
        let device = json!({ "type": "file", "options": { "file_path": file } });
        rig.ok(Op::Write, &format!("sys/audit/{name}"), device).await;
    }
    rig.ok(Op::Write, "sys/mounts/kv", json!({ "type": "kv" })).await;
    rig.ok(Op::Write, "kv/a", json!({ "v": 1 })).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (rig, file) = (Arc::clone(&rig), files[0].clone());
        tasks.spawn(async move {
            for turn in 0..EACH {
                if number == 0 && turn % 20 == 0 {
                    // Devices come and go meanwhile, and files are opened anew.
                    let device = json!({ "type": "file", "options": { "file_path": "discard" } });
                    rig.ok(Op::Write, "sys/audit/c", device).await;
                    rig.server.reopen_audit_files().unwrap();
                    rig.ok(Op::Delete, "sys/audit/c", json!({})).await;
                }
                let mut request = Request::new(Op::Read, "kv/a").token(&rig.root);
                request.id = format!("{number}-{turn}");
                rig.server.handle(request).await.unwrap();
                if turn % 50 == 0 {
                    let text = std::fs::read_to_string(&file).unwrap();
                    assert_eq!(text.matches(&format!("\"id\":\"{number}-{turn}\"")).count(), 2);
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut kinds: std::collections::BTreeMap<String, Vec<String>> = Default::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let id = line["request"]["id"].as_str().unwrap().to_owned();
            kinds
                .entry(id)
                .or_default()
                .push(line["type"].as_str().unwrap().to_owned());
        }
        for number in 0..16 {
            for turn in 0..EACH {
                assert_eq!(kinds[&format!("{number}-{turn}")], ["request", "response"]);
            }
        }
    }
}

/// A client may hang up while its lines wait for others; they are written all the same.
#[tokio::test]
async fn a_read_whose_client_hung_up_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::new().await;
    let file = dir.path().join("audit.log");
    let device = json!({ "type": "file", "options": { "file_path": file } });
    rig.ok(Op::Write, "sys/audit/a", device).await;
    rig.ok(Op::Write, "sys/mounts/kv", json!({ "type": "kv" })).await;
    rig.ok(Op::Write, "kv/a", json!({ "v": 1 })).await;
    let mut request = Request::new(Op::Read, "kv/a").token(&rig.root);
    request.id = "hung-up".to_owned();
    {
        let mut answer = std::pin::pin!(rig.server.handle(request));
        let once = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::future::Future::poll(answer.as_mut(), cx).is_pending())
        });
        assert!(once.await, "it waits for others once");
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("\"id\":\"hung-up\"").count(), 2);
}

#[tokio::test]
async fn no_lease_outlives_its_token() {
    let rig = Rig::new().await;
    rig.leases().await;
    let rules = "path \"pki/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    rig.ok(Op::Write, "sys/policies/acl/pki", json!({ "policy": rules }))
        .await;
    let wish = || json!({ "common_name": "a.example.org" });
    let (twice, _) = rig.token(json!({ "policies": ["pki"], "num_uses": 2 })).await;
    rig.lease(&twice).await;
    let error = rig
        .ask(&twice, Op::Write, "pki/issue/r", wish())
        .await
        .unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(
        error
            .to_string()
            .starts_with("Secret cannot be returned; token had one use left")
    );
    assert!(!rig.lives(&twice).await, "the use counts");
    // The first lease ended with its token, the second was never made.
    let count = rig.ok(Op::Read, "sys/leases/count", json!({})).await;
    assert_eq!(count.data.unwrap()["lease_count"], 0);
    let (batch, _) = rig
        .token(json!({ "policies": ["pki"], "type": "batch", "ttl": "10m" }))
        .await;
    let made = rig.ask(&batch, Op::Write, "pki/issue/r", wish()).await.unwrap();
    let lease = made.lease.unwrap();
    assert_eq!(lease.ttl, 600);
    assert!(rig.leased(&lease.id).await);
    rig.clock.advance(Duration::from_secs(601));
    assert!(!rig.leased(&lease.id).await);
}
