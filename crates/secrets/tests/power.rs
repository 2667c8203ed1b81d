//! What was answered is in the audit file, also after a loss of power.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "../../ledger/tests/disk/mod.rs"]
mod disk;

use disk::Disk;
use herder_base::SystemClock;
use herder_secrets::{Config, Op, Request, Server, Storage};
use serde_json::json;
use std::sync::Arc;

#[test]
fn what_was_answered_is_recorded_after_a_loss_of_power() {
    let Some(disk) = Disk::inside("what_was_answered_is_recorded_after_a_loss_of_power") else {
        return;
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(cut(&disk));
}

async fn cut(disk: &Disk) {
    let server = Server::open(Config {
        storage: Storage::InMemory,
        clock: Arc::new(SystemClock),
        api_addr: String::new(),
    })
    .unwrap();
    let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
    let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
    let ask = |request: Request| {
        let server = server.clone();
        async move { server.handle(request.token("root")).await }
    };
    ask(Request::new(Op::Write, "sys/unseal").with(json!({ "key": key })))
        .await
        .unwrap();
    let file = disk.mounted.join("audit.log");
    ask(Request::new(Op::Write, "sys/audit/file")
        .with(json!({"type": "file", "options": {"file_path": file}})))
    .await
    .unwrap();
    let recorded = |path: &str| {
        let left = std::fs::read_to_string(disk.after_a_cut().join("audit.log")).unwrap_or_default();
        let lines = left.lines().filter(|line| line.contains(path));
        lines
            .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            .count()
    };
    for number in 0..3 {
        let path = format!("sys/policies/acl/marker-{number}");
        let policy = json!({"policy": "path \"x\" { capabilities = [\"read\"] }"});
        ask(Request::new(Op::Write, &path).with(policy)).await.unwrap();
        assert_eq!(recorded(&path), 2, "request and answer of {path}");
    }
    // Reads too, where that is asked for.
    let options = json!({"type": "file", "options": {"file_path": "discard", "sync": "all"}});
    ask(Request::new(Op::Write, "sys/audit/all").with(options))
        .await
        .unwrap();
    ask(Request::new(Op::Read, "sys/policies/acl/marker-1"))
        .await
        .unwrap();
    assert_eq!(recorded("sys/policies/acl/marker-1"), 4);
    // Many at once share syncs, and none is answered before its own lines are on disk.
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..40 {
        let server = server.clone();
        asked.spawn(async move {
            let request = Request::new(Op::Read, format!("sys/policies/acl/many-{number}"));
            let _answered = server.handle(request.token("root")).await;
        });
    }
    asked.join_all().await;
    let left = std::fs::read_to_string(disk.after_a_cut().join("audit.log")).unwrap_or_default();
    let answers = left.lines().filter(|line| line.contains("acl/many-")).count();
    assert_eq!(answers, 80);
}
