//! One clock per wait: a command waits for as long as the platform says that it works, and no longer.

use crate::running::{Dir, HERDER, Up, alone, repository, run};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the command lets the platform be silent; it speaks every two seconds.
const IDLE: Duration = Duration::from_secs(4);

fn held(finalizers: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: held\n  namespace: shop\n  finalizers: [{finalizers}]\ndata: {{}}\n"
    )
}

fn down(up: &Up) -> Child {
    Command::new(HERDER)
        .args(["down", "--everything", "--json", "--dir"])
        .arg(up.dir())
        .env("HERDER_IDLE_LIMIT", format!("{}s", IDLE.as_secs()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_command_waits_for_as_long_as_it_is_worked_on() {
    let _alone = alone();
    let dir = Dir::new("waiting");
    let repo = dir.path().join("fleet");
    repository(
        &repo,
        &[
            ("fleet.yaml", "discover: namespaces/*\n"),
            (
                "namespaces/shop/namespace.yaml",
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n",
            ),
            (
                "policies/shop.hcl",
                "path \"secret/data/shop/*\" { capabilities = [\"read\"] }\n",
            ),
        ],
    );
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &[]);
    up.until("the namespace", |up| {
        up.kubectl(&["get", "namespaces", "-o", "json"])
            .contains("\"shop\"")
            .then_some(())
    });
    let file = dir.path().join("held.yaml");
    let apply = |up: &Up, finalizers: &str| {
        std::fs::write(&file, held(finalizers)).unwrap();
        up.kubectl(&["apply", "-f", file.to_str().unwrap()])
    };
    apply(&up, "example.org/wait");

    // What the platform is asked to remove cannot go: it says so, and the command waits beyond its own limit.
    let mut asked = down(&up);
    up.until("the deletion", |up| {
        let maps: Value =
            serde_json::from_str(&up.kubectl(&["get", "configmaps", "-n", "shop", "-o", "json"])).ok()?;
        let mut maps = maps["items"].as_array()?.iter();
        maps.any(|map| map["metadata"]["deletionTimestamp"].is_string())
            .then_some(())
    });
    std::thread::sleep(IDLE + IDLE / 2);
    assert_eq!(asked.try_wait().unwrap(), None, "it gave up");
    apply(&up, "");
    let output = asked.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("everything is down"),
        "{told}"
    );

    // What was done is in the ledger: the last plans, each with an outcome for all that it wrote.
    let plans: Value = serde_json::from_str(&up.herder(&["plan", "--json", "--limit", "9"])).unwrap();
    let plans = plans.as_array().unwrap();
    assert!(plans.iter().any(|plan| {
        let actions = plan["actions"].as_array().unwrap();
        plan["state"] == "applied"
            && actions
                .iter()
                .any(|action| action["what"] == "delete" && action["outcome"] == "deleted")
    }));
    // Policies are parts of the same plans.
    let policy = |what: &str, outcome: &str| {
        let mut actions = plans.iter().flat_map(|plan| plan["actions"].as_array().unwrap());
        actions.any(|action| {
            (&action["part"], &action["name"]) == (&"policy".into(), &"shop".into())
                && (&action["what"], &action["outcome"]) == (&what.into(), &outcome.into())
        })
    };
    assert!(
        policy("apply", "created") && policy("delete", "deleted"),
        "{plans:?}"
    );
    assert!(up.herder(&["plan"]).contains("generation"));

    // It is remembered: a service that starts again leaves it down, `up` brings it back.
    drop(up);
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &["--resume"]);
    up.until("a pass", |up| {
        (up.status()["pass"]["generation"].as_u64() > Some(0)).then_some(())
    });
    assert!(
        !up.kubectl(&["get", "namespaces", "-o", "json"])
            .contains("\"shop\"")
    );
    drop(up);
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &[]);
    up.until("the namespace again", |up| {
        up.kubectl(&["get", "namespaces", "-o", "json"])
            .contains("\"shop\"")
            .then_some(())
    });

    // A platform that says nothing is not waited for.
    up.signal("STOP");
    let output = down(&up).wait_with_output().unwrap();
    up.signal("CONT");
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("has said nothing for 4s"), "{told}");

    // Its ledger lost, it says so at once and makes none in its place.
    drop(up);
    let ledger = dir.path().join("state/ledger.sqlite");
    std::fs::write(&ledger, "").unwrap();
    let mut again = Command::new(HERDER);
    again
        .args(["up", repo.to_str().unwrap(), "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.path());
    let output = run(&mut again, Duration::from_secs(60));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("is empty, but"),
        "{told}"
    );
    assert_eq!(std::fs::metadata(&ledger).unwrap().len(), 0);
}
