//! The record of who did what: changed, cut and put back by somebody who can write the ledger's file.

use crate::attacked::{Dir, Platform, Who, as_both, run, until};
use crate::dashboard::{ask, board, cookie, fleet, sign_in, status, token};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Cuts two entries off, or changes one, and mends every hash after it as the ledger itself would.
const FORGE: &str = r#"
import hashlib, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
if sys.argv[2] == "cut":
    end = db.execute("SELECT max(seq) FROM audit").fetchone()[0] - 2
    db.execute("DELETE FROM audit WHERE seq > ?", (end,))
else:
    db.execute("UPDATE audit SET actor = 'somebody-else' WHERE seq = (SELECT max(seq) FROM audit) - 1")
previous = ""
for seq, at, actor, action, subject, detail in db.execute("SELECT seq, at, actor, action, subject, detail FROM audit ORDER BY seq").fetchall():
    digest = hashlib.sha256()
    for field in [previous, str(seq), str(at), actor, action, subject, detail]:
        digest.update(len(field.encode()).to_bytes(8, "big") + field.encode())
    hash = digest.hexdigest()
    db.execute("UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", (previous, hash, seq))
    previous = hash
db.execute("UPDATE audit_head SET seq = (SELECT max(seq) FROM audit), hash = ?", (previous,))
db.commit()
"#;

fn forge(ledger: &Path, how: &str) {
    let said = run(
        Command::new("python3").args(["-c", FORGE]).arg(ledger).arg(how),
        "",
    );
    assert!(said.ok, "{said:?}");
}

/// Three entries: what Herder mends is written down.
fn entries(platform: &Platform, at: &str, bearer: &str) {
    until("three entries", || {
        let audit = ask(at, "GET", "/api/v1/audit", &[("Authorization", bearer)], "");
        if audit.matches("plan.applied").count() >= 3 {
            return Some(());
        }
        platform.kubectl(&["-n", "a", "delete", "configmap", "a", "--ignore-not-found"], "");
        std::thread::sleep(std::time::Duration::from_millis(300));
        None
    });
}

#[test]
fn whoever_writes_the_ledger_is_seen() {
    as_both(|who: Who| {
        let dir = Dir::new("audit");
        let fleet = fleet(who, &dir);
        let platform = Platform::start(who, &dir, &fleet, &[]);
        let (at, token) = (board(&platform), token(&platform));
        let bearer = format!("Bearer {token}");
        entries(&platform, &at, &bearer);
        let ledger = platform.dir.join("state/ledger.sqlite");
        let whole = |at: &str| {
            ask(
                at,
                "GET",
                "/api/v1/audit?limit=1",
                &[("Authorization", &bearer)],
                "",
            )
        };
        assert!(whole(&at).contains("\"whole\":true"), "{}", whole(&at));
        // While it runs.
        forge(&ledger, "change");
        assert!(
            whole(&at).contains("\"whole\":false"),
            "a forged chain passes: {}",
            whole(&at)
        );
        let said = platform.herder(&["audit", "verify"]);
        assert!(
            !said.ok && said.err.contains("the audit chain cannot be believed"),
            "{said:?}"
        );

        // Cut while it does not run, and seen at the start; a sign-in outlives the restart.
        let session = cookie(&sign_in(&at, &token, "/"));
        drop(platform);
        forge(&ledger, "cut");
        let port = at.rsplit_once(':').unwrap().1;
        let listen = format!("127.0.0.1:{port}");
        let platform = Platform::start(who, &dir, &fleet, &["--listen-dashboard", &listen]);
        let said = platform.herder(&["audit", "verify"]);
        assert!(
            !said.ok && said.err.contains("the audit chain cannot be believed"),
            "{said:?}"
        );
        let log = std::fs::read_to_string(dir.path().join("platform.log")).unwrap();
        assert!(log.contains("the audit chain cannot be believed"), "{log}");
        let page = ask(&at, "GET", "/audit", &[("Cookie", &session)], "");
        assert_eq!(status(&page), 200, "the restart signed people out: {page}");
        assert!(page.contains("The chain is broken"), "{page}");
    });
}

#[test]
fn the_record_says_what_was_proved() {
    as_both(|who: Who| {
        let dir = Dir::new("record");
        let platform = Platform::start(who, &dir, &fleet(who, &dir), &[]);
        for name in [
            "ledger.sqlite",
            "ledger.sqlite-wal",
            "ledger.sqlite-shm",
            "audit.key",
            "audit.head",
            "webhook.secret",
        ] {
            let found = std::fs::metadata(platform.dir.join("state").join(name));
            let mode = found.unwrap_or_else(|_| panic!("no {name}")).permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} is others' to read");
        }
        let (at, bearer) = (board(&platform), format!("Bearer {}", token(&platform)));
        // A name that is only claimed, and ones that try to look like a proof.
        let json = ("Content-Type", "application/json");
        for by in ["ada", "herder", "session 1234) (token"] {
            let body = format!("{{\"job\": \"update-jobs\", \"by\": \"{by}\"}}");
            let answer = ask(
                &at,
                "POST",
                "/api/v1/runs",
                &[("Authorization", &bearer), json],
                &body,
            );
            assert_eq!(status(&answer), 200, "{answer}");
        }
        let export = platform.herder(&["audit", "export"]);
        assert!(export.ok, "{export:?}");
        for claim in ["ada", "herder", "session 1234 token"] {
            let actor = format!("\"actor\":\"token (unverified: {claim})\"");
            assert!(export.out.contains(&actor), "{actor}: {}", export.out);
        }
        let whole = platform.herder(&["audit", "verify"]);
        assert!(whole.ok && whole.out.contains("whole and in order"), "{whole:?}");
        // What was exported can be checked alone, and shows a line that was changed or left out.
        let file = dir.path().join("export.jsonl");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            platform.herder(&["audit", "verify", "--file", file.to_str().unwrap()])
        };
        assert!(check(&export.out).ok);
        let without_first: Vec<&str> = export.out.lines().skip(1).collect();
        for forged in [export.out.replacen("ada", "eve", 1), without_first.join("\n")] {
            let said = check(&forged);
            assert!(!said.ok && said.err.contains("cannot be believed"), "{said:?}");
        }
    });
}
