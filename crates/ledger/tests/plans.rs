//! Plans in the ledger: one follows exactly the one before, and what became of it is kept.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use herder_ledger::{Error, Ledger, NewPlan, PlanState, PlannedAction};
use jiff::Timestamp;
use std::path::Path;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn plan(generation: u64, id: &str, parent: Option<&str>) -> NewPlan {
    NewPlan {
        generation,
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        fleet: "f".to_owned(),
        commit: "c0ffee".to_owned(),
        unchanged: 7,
        actions: vec![PlannedAction {
            part: "object".to_owned(),
            what: "apply".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "a".to_owned(),
            reason: "it does not exist".to_owned(),
            ..PlannedAction::default()
        }],
        skipped: Vec::new(),
        notes: vec!["a note".to_owned()],
        at: at(i64::try_from(generation).unwrap()),
    }
}

#[tokio::test]
async fn one_plan_follows_the_one_before() {
    let ledger = Ledger::open("sqlite::memory:").await.unwrap();
    assert_eq!(ledger.plan_head().await.unwrap(), None);
    let first = plan(1, "one", None);
    ledger.record_plan(&first).await.unwrap();
    // Of two that follow the same plan one is recorded, whatever it says.
    for stale in [
        plan(1, "other", None),
        plan(3, "later", None),
        plan(2, "x", Some("y")),
    ] {
        let error = ledger.record_plan(&stale).await.unwrap_err();
        assert!(matches!(error, Error::Stale { last: 1, .. }), "{error}");
    }
    // What has not ended has nothing after it.
    let next = plan(2, "two", Some("one"));
    let error = ledger.record_plan(&next).await.unwrap_err();
    assert_eq!(error.to_string(), "plan 1 has not ended");

    let mut done = first.actions.clone();
    done[0].outcome = Some("created".to_owned());
    ledger.end_plan(1, &done, at(2)).await.unwrap();
    // Once.
    assert!(matches!(
        ledger.end_plan(1, &first.actions, at(3)).await.unwrap_err(),
        Error::Stale { .. }
    ));
    ledger.record_plan(&next).await.unwrap();
    ledger.drop_plan(2, "killed", at(4)).await.unwrap();
    let rows = ledger.plans(9).await.unwrap();
    assert_eq!(
        (rows[0].state, rows[0].why.as_str(), rows[0].parent.as_deref()),
        (PlanState::Dropped, "killed", Some("one"))
    );
    assert_eq!(
        (rows[1].state, &rows[1].actions, rows[1].ended_at),
        (PlanState::Applied, &done, Some(at(2)))
    );
    assert_eq!((rows[1].unchanged, &rows[1].notes), (7, &first.notes));

    // The same again and again is one row.
    let mut same = plan(3, "two", Some("two"));
    for generation in 3..6 {
        same.generation = generation;
        ledger.record_plan(&same).await.unwrap();
        same.actions[0].refused = Some("denied".to_owned());
        ledger.end_plan(generation, &same.actions, at(9)).await.unwrap();
    }
    let rows = ledger.plans(9).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (
            rows[0].generation,
            rows[0].repeats,
            rows[0].since,
            rows[0].refused
        ),
        (5, 3, at(2), 1)
    );
}

async fn refused(dir: &Path) -> String {
    let at = |name: &str| dir.join(name);
    let opened = Ledger::open_sealed(&at("ledger.sqlite"), &at("audit.key"), &at("audit.head")).await;
    herder_base::chain(&opened.unwrap_err()).to_string()
}

#[tokio::test]
async fn a_lost_or_spoilt_ledger_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.sqlite");
    let head = dir.path().join("audit.head");
    {
        let ledger = Ledger::open_sealed(&file, &dir.path().join("audit.key"), &head)
            .await
            .unwrap();
        ledger.take_up_seal().await.unwrap();
        let entry = herder_ledger::AuditEntry {
            at: at(0),
            actor: herder_ledger::Actor::herder(),
            action: "a".to_owned(),
            subject: String::new(),
            detail: String::new(),
        };
        for _ in 0..200 {
            ledger.audit(&entry).await.unwrap();
        }
        ledger.close().await;
    }
    let whole = std::fs::read(&file).unwrap();
    let spoil = |bytes: &[u8]| std::fs::write(&file, bytes).unwrap();

    spoil(b"");
    let told = refused(dir.path()).await;
    assert!(
        told.contains("is empty, but") && told.contains("held 200 audit entries"),
        "{told}"
    );
    std::fs::remove_file(&file).unwrap();
    let told = refused(dir.path()).await;
    assert!(told.contains("is missing, but"), "{told}");
    assert!(!file.exists(), "nothing is made in its place");
    spoil(b"{\"this\": \"is something else\"}");
    let told = refused(dir.path()).await;
    assert!(told.contains("is no ledger"), "{told}");
    spoil(b"SQLite");
    assert!(refused(dir.path()).await.contains("is no ledger"));
    let mut garbage = whole.clone();
    garbage[16..].fill(0xa5);
    spoil(&garbage);
    let told = refused(dir.path()).await;
    assert!(told.contains("is damaged: put it back"), "{told}");
    spoil(&whole[..5000]);
    let told = refused(dir.path()).await;
    assert!(told.contains("is damaged: put it back"), "{told}");
    // As it was, it opens; and whoever gives up the history can begin anew.
    spoil(&whole);
    Ledger::open(file.to_str().unwrap()).await.unwrap().close().await;
    spoil(b"");
    std::fs::remove_file(&head).unwrap();
    Ledger::open_sealed(&file, &dir.path().join("audit.key"), &head)
        .await
        .unwrap();
}
