//! The store's promises: conditions, order, durability across opening, watches, group commit.

use herder_store::{Expect, Op, OpenError, Store, TxnError};

fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store
        .range(prefix)
        .0
        .iter()
        .map(|(key, _)| key.to_string())
        .collect()
}

#[tokio::test]
async fn transactions_happen_wholly_or_not_at_all() {
    let store = Store::in_memory();
    let first = store
        .txn(vec![
            Op::put("a/1", "x").expecting(Expect::Absent),
            Op::put("a/2", "y"),
            Op::put("b/1", "z"),
        ])
        .await
        .unwrap();
    let refused = store
        .txn(vec![
            Op::put("a/3", "n"),
            Op::delete("a/1").expecting(Expect::Revision(first + 7)),
        ])
        .await;
    assert!(matches!(refused, Err(TxnError::Conflict(conflict)) if conflict.actual == Some(first)));
    assert_eq!(keys(&store, "a/"), ["a/1", "a/2"]);
    let nothing = store.txn(vec![Op::delete("absent")]).await.unwrap();
    assert_eq!(nothing, first, "a transaction without changes takes no revision");
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state").join("kube.redb");
    let before = {
        let store = Store::open(&path).unwrap();
        let writes = (0..500).map(|n| {
            let store = store.clone();
            async move { store.txn(vec![Op::put(format!("k/{n:03}"), n.to_string())]).await }
        });
        let mut tasks = tokio::task::JoinSet::new();
        for write in writes {
            tasks.spawn(write);
        }
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        store.txn(vec![Op::delete("k/007")]).await.unwrap()
    };
    let store = Store::open(&path).unwrap();
    assert_eq!(store.range("k/").0.len(), 499);
    let entry = store.get("k/123").unwrap();
    assert_eq!(&entry.value[..], b"123");
    assert!(store.txn(vec![Op::put("k/new", "")]).await.unwrap() > before);
    assert!(Store::open(&path).is_err(), "one process, one handle");
}

#[tokio::test]
async fn a_watch_sees_its_prefix_in_order() {
    let store = Store::in_memory();
    store.txn(vec![Op::put("a", "0")]).await.unwrap();
    let mut watch = store.watch("p/", store.revision()).unwrap();
    for n in 0..3 {
        store
            .txn(vec![Op::put(format!("p/{n}"), "v"), Op::put("q", "v")])
            .await
            .unwrap();
    }
    store.txn(vec![Op::delete("p/1")]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let change = watch.next().await.unwrap().unwrap();
        seen.push((change.key.to_string(), change.entry.is_some()));
    }
    let expected = [("p/0", true), ("p/1", true), ("p/2", true), ("p/1", false)];
    assert_eq!(seen, expected.map(|(key, there)| (key.to_owned(), there)));
}

#[tokio::test]
async fn a_file_that_is_used_and_one_that_is_damaged_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let store = Store::open(&path).unwrap();
    let used = Store::open(&path).unwrap_err();
    assert!(matches!(used, OpenError::InUse { .. }), "{used}");
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for left in [
        &whole[..100],
        &whole[..whole.len() / 2],
        b"something else entirely".as_slice(),
    ] {
        std::fs::write(&path, left).unwrap();
        let damaged = Store::open(&path).unwrap_err();
        assert!(matches!(damaged, OpenError::Damaged { .. }), "{damaged:?}");
    }
}
