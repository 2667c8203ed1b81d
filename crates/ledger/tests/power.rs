//! What was acknowledged survives a loss of power: the ledger lies on a file system of its own, and after each answer the
//! disk below it is copied as it is at that moment. What was not synced is not in the copy. Needs root and loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod disk;

use disk::{Disk, must};
use herder_ledger::{Actor, AuditEntry, Lease, Ledger, NewPlan, NewPromotion, NewRun, RunChange};
use jiff::Timestamp;
use std::path::Path;
use std::process::Command;

#[test]
fn what_was_acknowledged_survives_a_loss_of_power() {
    let Some(disk) = Disk::inside("what_was_acknowledged_survives_a_loss_of_power") else {
        return;
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(cut(&disk));
}

/// The ledger as a loss of power at this moment would leave it.
async fn left_of(disk: &Disk) -> Ledger {
    open(disk.after_a_cut()).await
}

async fn open(dir: &Path) -> Ledger {
    let file = dir.join("state/ledger.sqlite");
    let beside = |name: &str| dir.join("state").join(name);
    Ledger::open_sealed(&file, &beside("audit.key"), &beside("audit.head"))
        .await
        .unwrap()
}

async fn cut(disk: &Disk) {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    std::fs::create_dir(disk.mounted.join("state")).unwrap();
    must(Command::new("sync").arg("-f").arg(&disk.mounted));
    let ledger = open(&disk.mounted).await;
    ledger.take_up_seal().await.unwrap();
    // The file itself, with its tables.
    let left = left_of(disk).await;
    assert_eq!(left.leases().await.unwrap(), []);
    left.close().await;

    let run = NewRun {
        job: "a".to_owned(),
        status: "queued".to_owned(),
        queued_at: at,
        ..NewRun::default()
    };
    for number in 1..=3 {
        ledger.create_run(&run).await.unwrap();
        let left = left_of(disk).await;
        assert!(left.run("a", number).await.unwrap().is_some(), "run {number}");
        left.close().await;
    }

    let change = RunChange {
        status: Some("succeeded".to_owned()),
        ..RunChange::default()
    };
    ledger.change_run("a", 1, &change).await.unwrap();
    let left = left_of(disk).await;
    assert_eq!(left.run("a", 1).await.unwrap().unwrap().status, "succeeded");
    left.close().await;

    let lease = Lease {
        environment: "dev".to_owned(),
        by: "ada".to_owned(),
        since: at,
        until: at,
    };
    ledger.put_lease(&lease).await.unwrap();
    let left = left_of(disk).await;
    assert_eq!(left.leases().await.unwrap(), [lease]);
    left.close().await;

    let promotion = NewPromotion {
        application: "shop".to_owned(),
        from: None,
        to: "production".to_owned(),
        version: "1".to_owned(),
        commit: "c".to_owned(),
        author: "ada".to_owned(),
        detail: String::new(),
        at,
    };
    let id = ledger.record_promotion(&promotion).await.unwrap();
    let left = left_of(disk).await;
    assert_eq!(left.promotions(None, 9).await.unwrap()[0].id, id);
    left.close().await;

    let entry = AuditEntry {
        at,
        actor: Actor::herder(),
        action: "promote".to_owned(),
        subject: String::new(),
        detail: String::new(),
    };
    for _ in 0..2 {
        let record = ledger.audit(&entry).await.unwrap();
        let left = left_of(disk).await;
        let report = left.take_up_seal().await.unwrap();
        assert_eq!((report.checked, report.fault), (record.seq, None));
        left.close().await;
    }

    let plan = NewPlan {
        generation: 1,
        id: "p".to_owned(),
        parent: None,
        fleet: "f".to_owned(),
        commit: "c".to_owned(),
        unchanged: 0,
        actions: Vec::new(),
        skipped: Vec::new(),
        notes: Vec::new(),
        at,
    };
    ledger.record_plan(&plan).await.unwrap();
    let left = left_of(disk).await;
    assert_eq!(left.plan_head().await.unwrap().unwrap().generation, 1);
    left.close().await;
    ledger.close().await;
}
