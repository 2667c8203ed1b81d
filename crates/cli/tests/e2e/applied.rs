//! What is applied, and what is not: each object that git says wrongly is left out by itself and told with its place; what the
//! cluster refuses, drops or lets go is not done again and again.

use crate::running::{Dir, Up, alone, commit, repository};
use serde_json::Value;

const JOB: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  ttlSecondsAfterFinished: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: c, image: host, command: ['true']}
";

const FIXED: &str = "apiVersion: batch/v1
kind: Job
metadata:
  name: fixed
  finalizers: [example.org/hold]
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: c, image: host, command: ['true']}
";

const TYPO: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: typo}
spec:
  replica: 0
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: host, command: [sleep, inf]}]}
";

const LENIENT: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: lenient, annotations: {herder.dev/strict: 'false'}}
data: {a: b}
dataa: {c: d}
";

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: db}
stringData: {password: 'ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]'}
sops: {mac: 'ENC[AES256_GCM,data:x]', version: 3.8.1}
";

fn finding<'a>(status: &'a Value, code: &str) -> Option<&'a Value> {
    status["diagnostics"]
        .as_array()?
        .iter()
        .find(|found| found["code"] == code)
}

/// Applies an object to the namespace as somebody, the fields that they set before and leave out now go.
fn apply(up: &Up, object: &str, manager: &str) {
    let file = up.dir().join("applied.yaml");
    std::fs::write(&file, object).unwrap();
    let file = file.to_str().unwrap().to_owned();
    up.kubectl(&[
        "apply",
        "--server-side",
        "--field-manager",
        manager,
        "-n",
        "shop",
        "-f",
        &file,
    ]);
}

#[test]
fn what_may_not_be_applied_is_told_once_and_stops_nothing_else() {
    let _alone = alone();
    let dir = Dir::new("applied");
    let repo = dir.path().join("fleet");
    repository(
        &repo,
        &[
            ("fleet.yaml", "discover: n/*\n"),
            ("n/shop/typo.yaml", TYPO),
            ("n/shop/lenient.yaml", LENIENT),
            ("n/shop/once.yaml", JOB),
            ("n/shop/fixed.yaml", FIXED),
            (
                "n/shop/plain.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n",
            ),
        ],
    );
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &[]);
    let status = up.until("the typo", |up| {
        let status = up.status();
        finding(&status, "unknown-field").is_some().then_some(status)
    });
    let typo = finding(&status, "unknown-field").unwrap();
    assert_eq!(typo["at"], "n/shop/typo.yaml:5:3");
    assert!(
        typo["hint"]
            .as_str()
            .unwrap()
            .contains("did you mean `replicas`?"),
        "{typo}"
    );
    up.until("the others", |up| {
        (up.kubectl(&["get", "configmaps", "-n", "shop", "-o", "name"])
            .matches("configmap/")
            .count()
            >= 2)
            .then_some(())
    });
    assert!(
        !up.kubectl(&["get", "deployments", "-n", "shop", "-o", "name"])
            .contains("typo")
    );

    // The Job does its work, goes, and is not made again.
    let jobs = |up: &Up| -> String { up.kubectl(&["get", "jobs", "-n", "shop", "-o", "name"]) };
    up.until("the Job to end and go", |up| {
        (up.herder(&["status", "--json"]).contains("\"generation\"")
            && !jobs(up).contains("once")
            && up
                .kubectl(&["get", "events", "-n", "shop", "-o", "json"])
                .contains("once"))
        .then_some(())
    });
    let quiet = |up: &mut Up| -> u64 {
        let status = up.until("a quiet pass", |up| {
            Some(up.status()).filter(|status| status["pass"]["written"] == 0)
        });
        status["pass"]["generation"].as_u64().unwrap_or_default()
    };
    let made = |up: &Up| -> usize {
        let events: Value = serde_json::from_str(&up.kubectl(&["get", "events", "-n", "shop", "-o", "json"]))
            .unwrap_or_default();
        let items = events["items"].as_array().cloned().unwrap_or_default();
        let created = items.iter().filter(|event| {
            event["reason"] == "SuccessfulCreate" && event["involvedObject"]["name"] == "once"
        });
        created.count()
    };
    quiet(&mut up);

    // A change that cannot be made in place, and ciphertext over what runs.
    let template = FIXED.replace("'true'", "'false'");
    commit(
        &repo,
        &[("n/shop/fixed.yaml", &template), ("n/shop/secret.yaml", SECRET)],
        "Change what cannot be changed",
    );
    let status = up.until("the refusal", |up| {
        let status = up.status();
        finding(&status, "immutable").is_some().then_some(status)
    });
    let refused = finding(&status, "immutable").unwrap();
    assert_eq!(refused["at"], "n/shop/fixed.yaml:1");
    assert!(
        refused["message"].as_str().unwrap().contains("since "),
        "{refused}"
    );
    assert!(
        refused["hint"].as_str().unwrap().contains("herder.dev/recreate"),
        "{refused}"
    );
    assert!(finding(&status, "encrypted").is_some(), "{status}");
    assert!(
        !up.kubectl(&["get", "secrets", "-n", "shop", "-o", "name"])
            .contains("/db")
    );
    let first = status["pass"]["generation"].as_u64().unwrap();
    // Some passes later (somebody else's objects wake it) it is said, and was logged once.
    for number in 0..3 {
        let noise = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: noise-{number}}}\n");
        apply(&up, &noise, "somebody");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    up.until("later passes", |up| {
        Some(up.status()).filter(|status| {
            status["pass"]["generation"].as_u64() > Some(first + 2) && finding(status, "immutable").is_some()
        })
    });
    let log = std::fs::read_to_string(dir.path().join("herder.log")).unwrap();
    assert_eq!(log.matches("the cluster refused").count(), 1, "{log}");
    assert!(log.matches("keeps this field otherwise").count() == 1, "{log}");
    assert_eq!(made(&up), 1, "the Job ran again");

    // It may be made anew: told to go, it waits for its finalizer, which is said.
    let anew = template.replace(
        "name: fixed\n",
        "name: fixed\n  annotations: {herder.dev/recreate: 'true'}\n",
    );
    commit(&repo, &[("n/shop/fixed.yaml", &anew)], "Make it anew");
    up.until("the deletion", |up| {
        let job: Value =
            serde_json::from_str(&up.kubectl(&["get", "job", "fixed", "-n", "shop", "-o", "json"])).ok()?;
        job["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    let status = up.until("what it waits for", |up| {
        let status = up.status();
        finding(&status, "stuck").is_some().then_some(status)
    });
    let stuck = finding(&status, "stuck").unwrap();
    assert!(
        stuck["message"].as_str().unwrap().contains("example.org/hold"),
        "{stuck}"
    );
    apply(
        &up,
        &FIXED.replace("  finalizers: [example.org/hold]\n", ""),
        "herder",
    );
    up.until("the new Job", |up| {
        let job = up.kubectl(&["get", "job", "fixed", "-n", "shop", "-o", "json"]);
        (job.contains("\"false\"") && !job.contains("deletionTimestamp")).then_some(())
    });
}
