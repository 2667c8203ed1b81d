//! The ledger on SQLite; on PostgreSQL too when `HERDER_TEST_POSTGRES` names a database.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use herder_base::{Diagnostic, Location};
use herder_ledger::{
    Actor, AuditEntry, AuditFault, DecisionRecord, Head, Lease, Ledger, NewDeployment, NewPromotion, NewRun,
    Rollout, RunChange, RunFilter,
};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn run(job: &str) -> NewRun {
    NewRun {
        job: job.to_owned(),
        status: "queued".to_owned(),
        cause: "manual".to_owned(),
        parameters: [("NAMESPACE".to_owned(), "staging".to_owned())].into(),
        namespace: Some("staging".to_owned()),
        queued_at: at(0),
        log: format!("{job}/{{n}}.log"),
        ..NewRun::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_have_no_gaps_under_concurrency() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/ledger.sqlite");
    let ledger = Ledger::open(path.to_str().unwrap()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..40 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let job = if i % 2 == 0 { "team/a" } else { "b" };
            ledger.create_run(&run(job)).await.unwrap().number
        });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=20).flat_map(|n| [n, n]).collect();
    assert_eq!(numbers, expected);
    ledger.close().await;

    let again = Ledger::open(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    assert_eq!(again.create_run(&run("b")).await.unwrap().number, 21);
    assert_eq!(again.run("b", 21).await.unwrap().unwrap().log, "b/21.log");
}

#[tokio::test]
async fn everything_is_read_back_as_written() {
    let ledger = Ledger::open("sqlite::memory:").await.unwrap();
    let created = ledger.create_run(&run("abc")).await.unwrap();
    assert_eq!(ledger.run("abc", 1).await.unwrap().unwrap(), created);
    ledger
        .change_run(
            "abc",
            1,
            &RunChange {
                status: Some("failed".into()),
                reason: Some("step 2 ended with 1".into()),
                commits: Some([("url".into(), "c0ffee".into())].into()),
                cause: None,
                attempt: Some(1),
                started_at: Some(at(1)),
                finished_at: Some(at(9)),
            },
        )
        .await
        .unwrap();
    ledger.create_run(&run("abc")).await.unwrap();
    let list = |filter: RunFilter| {
        let ledger = ledger.clone();
        async move {
            ledger
                .runs(&filter)
                .await
                .unwrap()
                .iter()
                .map(|r| r.number)
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(list(RunFilter::default()).await, [2, 1]);
    let failed = RunFilter {
        status: Some("failed".into()),
        job: Some("abc".into()),
        ..RunFilter::default()
    };
    assert_eq!(list(failed).await, [1]);
    assert_eq!(ledger.latest_runs().await.unwrap()[0].number, 2);
    let one = ledger.run("abc", 1).await.unwrap().unwrap();
    assert_eq!((one.finished_at, one.attempt), (Some(at(9)), 1));
    let unknown = ledger.change_run("abc", 99, &RunChange::default()).await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no run abc #99");

    let mut rollout = Rollout {
        job: "abc".into(),
        number: 1,
        namespace: "staging".into(),
        kind: "Deployment".into(),
        name: "shop".into(),
        generation: 3,
        health: "progressing".into(),
        detail: String::new(),
        at: at(5),
    };
    ledger.record_rollout(&rollout).await.unwrap();
    rollout.health = "healthy".into();
    ledger.record_rollout(&rollout).await.unwrap();
    assert_eq!(ledger.rollouts_of("abc", 1).await.unwrap(), [rollout.clone()]);
    let newer = Rollout {
        generation: 4,
        number: 2,
        at: at(4),
        ..rollout.clone()
    };
    ledger.record_rollout(&newer).await.unwrap();
    assert_eq!(ledger.latest_rollouts().await.unwrap(), [newer]);
    ledger.delete_runs("abc", &[1]).await.unwrap();
    assert!(ledger.run("abc", 1).await.unwrap().is_none());
    assert_eq!(ledger.create_run(&run("abc")).await.unwrap().number, 3);

    let promotion = NewPromotion {
        application: "shop".into(),
        from: Some("testing".into()),
        to: "staging".into(),
        version: "1.2".into(),
        commit: "c1".into(),
        author: "ada".into(),
        detail: String::new(),
        at: at(2),
    };
    assert_eq!(ledger.record_promotion(&promotion).await.unwrap(), 1);
    assert_eq!(
        ledger.promotions(Some("shop"), 5).await.unwrap()[0]
            .from
            .as_deref(),
        Some("testing")
    );
    assert!(ledger.promotions(Some("other"), 5).await.unwrap().is_empty());

    let mut lease = Lease {
        environment: "dev".into(),
        by: "ada".into(),
        since: at(0),
        until: at(60),
    };
    ledger.put_lease(&lease).await.unwrap();
    lease.until = at(120);
    ledger.put_lease(&lease).await.unwrap();
    assert_eq!(ledger.leases().await.unwrap(), [lease]);
    assert!(ledger.end_lease("dev").await.unwrap() && !ledger.end_lease("dev").await.unwrap());

    let deployment = NewDeployment {
        application: "shop".into(),
        namespace: "staging".into(),
        version: "1".into(),
        commit: "c".into(),
        run: Some(("abc".into(), 3)),
        health: "healthy".into(),
        detail: String::new(),
        at: at(3),
    };
    let twice = [deployment.clone(), deployment.clone()];
    assert_eq!(ledger.record_deployments(&twice).await.unwrap(), 1);
    assert_eq!(ledger.record_deployments(&twice).await.unwrap(), 0);
    let history = ledger.deployments(None, Some("staging"), 9).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].run, Some(("abc".into(), 3)));

    let found = [Diagnostic::error("unknown-field", "no `x`")
        .at(Location::new("a.yaml", 3, 4))
        .hint("write y")];
    ledger.replace_findings(&found).await.unwrap();
    ledger.replace_findings(&found).await.unwrap();
    let findings = ledger.findings().await.unwrap();
    assert_eq!((findings.len(), findings[0].line), (1, 3));

    let head = Head {
        job: "abc".into(),
        remote: "u".into(),
        branch: "main".into(),
        commit: "c".into(),
        at: at(1),
    };
    ledger.put_head(&head).await.unwrap();
    assert_eq!(ledger.heads().await.unwrap(), [head]);
    for i in 0..230 {
        let decision = DecisionRecord {
            job: "abc".into(),
            at: at(i),
            about: "poll".into(),
            ran: i % 2 == 0,
            why: "no change".into(),
        };
        ledger.record_decision(&decision).await.unwrap();
    }
    let decisions = ledger.decisions("abc", 1000).await.unwrap();
    assert_eq!((decisions.len(), decisions[0].at), (200, at(229)));
    ledger.forget_job("abc").await.unwrap();
    assert!(ledger.decisions("abc", 1).await.unwrap().is_empty());

    ledger.put_fact("down", "true").await.unwrap();
    assert_eq!(ledger.fact("down").await.unwrap().as_deref(), Some("true"));
    ledger.drop_fact("down").await.unwrap();
    assert_eq!(ledger.fact("down").await.unwrap(), None);
}

#[tokio::test]
async fn the_audit_chain_shows_tampering() {
    for (statement, fault) in [
        (
            "UPDATE audit SET actor = 'eve' WHERE seq = 3",
            AuditFault::Changed(3),
        ),
        ("DELETE FROM audit WHERE seq = 2", AuditFault::Missing(2)),
        (
            "UPDATE audit SET previous = 'x' WHERE seq = 4",
            AuditFault::Unlinked(4),
        ),
        (
            "DELETE FROM audit WHERE seq > 3",
            AuditFault::Shortened {
                recorded: 5,
                found: 3,
            },
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let ledger = Ledger::open(path.to_str().unwrap()).await.unwrap();
        for i in 0..5 {
            ledger
                .audit(&AuditEntry {
                    at: at(i),
                    actor: Actor::herder().claiming("ada"),
                    action: "promote".into(),
                    subject: "shop".into(),
                    detail: "{}".into(),
                })
                .await
                .unwrap();
        }
        let report = ledger.verify().await.unwrap();
        assert_eq!((report.checked, report.fault), (5, None));
        assert_eq!(ledger.audit_log(Some(5), 2).await.unwrap()[0].seq, 4);
        let raw = sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::query(statement).execute(&raw).await.unwrap();
        assert_eq!(ledger.verify().await.unwrap().fault, Some(fault), "{statement}");
    }
}

/// A sealed ledger with three entries, its file, and a raw connection to it.
async fn sealed(dir: &std::path::Path) -> (Ledger, sqlx::SqlitePool) {
    let path = dir.join("ledger.sqlite");
    let ledger = open_sealed(dir).await;
    for i in 0..3 {
        append(&ledger, i).await;
    }
    let raw = sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
    (ledger, raw)
}

async fn open_sealed(dir: &std::path::Path) -> Ledger {
    let path = dir.join("ledger.sqlite");
    let ledger = Ledger::open(path.to_str().unwrap()).await.unwrap();
    let ledger = ledger
        .sealed(&dir.join("audit.key"), &dir.join("audit.head"))
        .unwrap();
    ledger.take_up_seal().await.unwrap();
    ledger
}

async fn append(ledger: &Ledger, i: i64) {
    ledger
        .audit(&AuditEntry {
            at: at(i),
            actor: Actor::herder(),
            action: "promote".into(),
            subject: "shop".into(),
            detail: String::new(),
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn whoever_has_the_ledger_alone_cannot_write_it_anew() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (ledger, raw) = sealed(dir.path()).await;
    let report = ledger.verify().await.unwrap();
    assert_eq!((report.checked, &report.fault), (3, &None));
    assert!(report.head.unwrap().is_genuine());
    for name in [
        "ledger.sqlite",
        "ledger.sqlite-wal",
        "ledger.sqlite-shm",
        "audit.key",
        "audit.head",
    ] {
        let mode = std::fs::metadata(dir.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    // A fourth link, hashed rightly, by somebody without the key.
    let forged = ledger.audit_after(0, 9).await.unwrap();
    let unsealed = Ledger::open(dir.path().join("ledger.sqlite").to_str().unwrap())
        .await
        .unwrap();
    append(&unsealed, 4).await;
    assert_eq!(
        ledger.verify().await.unwrap().fault,
        Some(AuditFault::Unsealed(4))
    );
    // What comes after is recorded, and does not hide it.
    append(&ledger, 5).await;
    assert_eq!(
        ledger.verify().await.unwrap().fault,
        Some(AuditFault::Unsealed(5))
    );

    // Back to the second link.
    for statement in ["DELETE FROM audit WHERE seq > 2", "UPDATE audit_head SET seq = 2"] {
        sqlx::query(statement).execute(&raw).await.unwrap();
    }
    sqlx::query("UPDATE audit_head SET hash = $1")
        .bind(&forged[1].hash)
        .execute(&raw)
        .await
        .unwrap();
    let put_back = AuditFault::PutBack { sealed: 3, found: 2 };
    assert_eq!(ledger.verify().await.unwrap().fault, Some(put_back.clone()));
    drop(ledger);
    let ledger = open_sealed(dir.path()).await;
    assert_eq!(ledger.verify().await.unwrap().fault, Some(put_back));
    append(&ledger, 9).await;
    assert_eq!(
        ledger.verify().await.unwrap().fault,
        Some(AuditFault::Rewritten(3))
    );
}

#[tokio::test]
async fn a_crash_between_ledger_and_head_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _raw) = sealed(dir.path()).await;
    let head = std::fs::read(dir.path().join("audit.head")).unwrap();
    append(&ledger, 4).await;
    ledger.close().await;
    std::fs::write(dir.path().join("audit.head"), head).unwrap();
    let ledger = open_sealed(dir.path()).await;
    append(&ledger, 5).await;
    let report = ledger.verify().await.unwrap();
    assert_eq!((report.checked, report.fault), (5, None));

    let mut exported = ledger.audit_after(0, 9).await.unwrap();
    let head = report.head.unwrap();
    assert_eq!(herder_ledger::check(&exported, &head).fault, None);
    exported[1].detail = "another".to_owned();
    assert_eq!(
        herder_ledger::check(&exported, &head).fault,
        Some(AuditFault::Changed(2))
    );
}

#[tokio::test]
async fn a_readable_ledger_is_made_private_and_sessions_end() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let ledger = Ledger::open(path.to_str().unwrap()).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let session = |id: &str, fingerprint: &str| herder_ledger::Session {
        id: id.into(),
        fingerprint: fingerprint.into(),
        address: "127.0.0.1".into(),
        since: at(0),
        seen: at(0),
    };
    for (id, fingerprint) in [("a", "x"), ("b", "y"), ("c", "x")] {
        ledger.put_session(&session(id, fingerprint)).await.unwrap();
    }
    ledger.touch_session("a", at(60)).await.unwrap();
    ledger.sweep_sessions("x", at(-1), at(30)).await.unwrap();
    assert_eq!(ledger.session("a").await.unwrap().unwrap().seen, at(60));
    assert_eq!(ledger.session("b").await.unwrap(), None);
    assert_eq!(ledger.session("c").await.unwrap(), None);
    ledger.end_session("a").await.unwrap();
    ledger.touch_session("a", at(90)).await.unwrap();
    assert_eq!(ledger.session("a").await.unwrap(), None);
}
