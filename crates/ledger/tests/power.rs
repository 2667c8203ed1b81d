//! What was acknowledged survives a loss of power: the ledger lies on a file system of its own, and after each answer the
//! disk below it is copied as it is at that moment. What was not synced is not in the copy. Needs root and loop devices.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "says why a test was skipped")]

use herder_ledger::{Actor, AuditEntry, Lease, Ledger, NewPlan, NewPromotion, NewRun, RunChange};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the test that runs in a mount namespace of its own.
const INSIDE: &str = "HERDER_TEST_POWER";

#[test]
fn what_was_acknowledged_survives_a_loss_of_power() {
    let Some(dir) = std::env::var_os(INSIDE) else {
        return outside();
    };
    let disk = Disk::make(Path::new(&dir));
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(cut(&disk));
}

/// Runs this test again where its mounts are seen by nobody and end with it.
fn outside() {
    let able = Command::new("sh")
        .args([
            "-c",
            "test $(id -u) = 0 && command -v mkfs.ext4 && command -v unshare && losetup -f",
        ])
        .output()
        .is_ok_and(|tried| tried.status.success());
    if !able {
        assert!(
            std::env::var_os("CI").is_none() || !is_root(),
            "mkfs.ext4, unshare and a loop device are missing, and CI must have them"
        );
        eprintln!("skipped: needs root, mkfs.ext4 and a loop device");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inside = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "what_was_acknowledged_survives_a_loss_of_power",
            "--nocapture",
        ])
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    assert!(
        inside.status.success(),
        "{}{}",
        String::from_utf8_lossy(&inside.stdout),
        String::from_utf8_lossy(&inside.stderr)
    );
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// A file system in a file.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    copies: PathBuf,
}

fn must(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

impl Disk {
    fn make(dir: &Path) -> Self {
        let disk = Self {
            image: dir.join("disk"),
            mounted: dir.join("now"),
            copies: dir.join("after"),
        };
        std::fs::create_dir(&disk.mounted).unwrap();
        std::fs::create_dir(&disk.copies).unwrap();
        std::fs::File::create(&disk.image)
            .unwrap()
            .set_len(48 << 20)
            .unwrap();
        must(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
                .arg(&disk.image),
        );
        // The file system syncs nothing by itself meanwhile.
        must(
            Command::new("mount")
                .args(["-o", "loop,commit=3600"])
                .args([&disk.image, &disk.mounted]),
        );
        disk
    }

    /// Pulls the plug on a copy, and opens the ledger on what is left.
    async fn after_a_cut(&self) -> Ledger {
        let copy = self.copies.with_extension("disk");
        // Of an earlier cut, if there was one.
        let _unmounted = Command::new("umount").arg(&self.copies).output();
        std::fs::copy(&self.image, &copy).unwrap();
        must(
            Command::new("mount")
                .args(["-o", "loop"])
                .args([&copy, &self.copies]),
        );
        open(&self.copies).await
    }
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
    let left = disk.after_a_cut().await;
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
        let left = disk.after_a_cut().await;
        assert!(left.run("a", number).await.unwrap().is_some(), "run {number}");
        left.close().await;
    }

    let change = RunChange {
        status: Some("succeeded".to_owned()),
        ..RunChange::default()
    };
    ledger.change_run("a", 1, &change).await.unwrap();
    let left = disk.after_a_cut().await;
    assert_eq!(left.run("a", 1).await.unwrap().unwrap().status, "succeeded");
    left.close().await;

    let lease = Lease {
        environment: "dev".to_owned(),
        by: "ada".to_owned(),
        since: at,
        until: at,
    };
    ledger.put_lease(&lease).await.unwrap();
    let left = disk.after_a_cut().await;
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
    let left = disk.after_a_cut().await;
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
        let left = disk.after_a_cut().await;
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
    let left = disk.after_a_cut().await;
    assert_eq!(left.plan_head().await.unwrap().unwrap().generation, 1);
    left.close().await;
    ledger.close().await;
}
