//! Secrets of a run: what a script can make of them, and where they may be found afterwards.

use crate::attacked::{Dir, Platform, Said, Who, as_both, commit, run, until};
use std::path::Path;
use std::process::Command;

const PASSWORD: &str = "hunter2 \"q\"/'s'&x";

/// Every spelling that a shell has at hand, the token's too, in portions, and in a line that never ends.
const LEAK: &str = r#"#!/bin/bash
enc() { printf %s "$1" | base64 -w0; echo; }
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; echo; }
for secret in "$PASSWORD" "$HERDER_TOKEN" "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)"; do
  echo "plain $secret"
  echo "base64 $(enc "$secret")"
  echo "base64-1 $(enc "a$secret")"
  echo "base64-2 $(enc "ab$secret")"
  echo "base64-url $(enc "$secret" | tr '+/' '-_' | tr -d '=')"
  echo "hex $(hex "$secret")"
  echo "hex $(hex "$secret" | tr a-f A-F)"
  printf %s "portions ${secret:0:5}"; sleep 0.3; printf '%s\n' "${secret:5}"
  echo "stderr $secret" >&2
done
echo "json $(printf %s "$PASSWORD" | sed 's/"/\\"/g')"
echo "url $(printf %s "$PASSWORD" | sed 's/ /%20/g; s/"/%22/g; s,/,%2F,g; s/'"'"'/%27/g; s/&/%26/g')"
head -c 200000 /dev/zero | tr '\0' x; printf %s "$PASSWORD"; head -c 200000 /dev/zero | tr '\0' y
echo
grep -r . /herder/run | sed 's/^/files /' | grep -v step-
set -x
: "$PASSWORD"
sleep 4
echo finished
"#;

fn fleet(dir: &Path, who: Who) -> String {
    let script: String = LEAK.lines().map(|line| format!("  {line}\n")).collect();
    let job = format!(
        "environment: testing\nparameters:\n- name: PASSWORD\n  type: password\n- name: PIN\n  type: password\n  default: 'a-default-of-its-own'\nsteps:\n- |\n{script}"
    );
    let path = dir.join("fleet");
    let files = [
        ("fleet.yaml", "name: masked\n"),
        ("environments/testing.yaml", "labels: {}\n"),
        ("jobs/leak.yaml", &job),
    ];
    commit(&path, &files);
    owned(&path, who);
    path.display().to_string()
}

/// Gives a repository to whom Herder belongs: git reads none of somebody else's.
pub(crate) fn owned(path: &Path, who: Who) {
    if who == Who::User {
        let said = run(Command::new("chown").args(["-R", "65534:65534"]).arg(path), "");
        assert!(said.ok, "{said:?}");
    }
}

/// Starts a run as soon as the job is known.
pub(crate) fn start(platform: &Platform, job: &str, parameters: &[&str]) {
    until("the job", || {
        let said = platform.herder(&[&["job", "run", job], parameters].concat());
        said.ok.then_some(())
    });
}

/// The log of a run once it has ended.
pub(crate) fn log(platform: &Platform, job: &str) -> Said {
    platform.herder(&["job", "log", job, "--follow"])
}

#[test]
fn a_script_cannot_print_what_it_was_given() {
    as_both(|who| {
        let dir = Dir::new("masking");
        let fleet = fleet(dir.path(), who);
        let platform = Platform::start(who, &dir, &fleet, &["--nodes", "1"]);
        start(&platform, "leak", &[&format!("PASSWORD={PASSWORD}"), "PIN=123"]);
        // While it runs: not in the pod, which everybody who may look at pods can read.
        let pod = until("the pod", || {
            let said = platform.kubectl(&["-n", "testing", "get", "pods", "-o", "json"], "");
            said.out.contains("steps").then_some(said.out)
        });
        assert!(
            !pod.contains("hunter2") && !pod.contains("a-default-of-its-own"),
            "{pod}"
        );
        let log = log(&platform, "leak");
        assert!(log.out.contains("finished"), "{log:?}");
        assert!(
            log.out.contains("1 secret values are shorter than 4 characters"),
            "{}",
            log.out
        );
        let short: String = log
            .out
            .replace(&"x".repeat(100), "")
            .replace(&"y".repeat(100), "");
        for spelling in [
            "hunter2",
            "aHVudGVyM",
            "h1bnRlcj",
            "odW50ZXIy",
            "68756e746572",
            "68756E746572",
        ] {
            assert!(!short.contains(spelling), "{spelling}: {short}");
        }
        for what in [
            "plain",
            "base64",
            "base64-1",
            "base64-2",
            "base64-url",
            "hex",
            "portions",
            "stderr",
        ] {
            let shown = short.lines().filter(|line| !line.contains("[step"));
            let lines: Vec<&str> = shown.filter(|line| line.contains(&format!("{what} "))).collect();
            assert!(lines.len() >= 3, "{what}: {short}");
            assert!(lines.iter().all(|line| line.contains("********")), "{lines:?}");
        }
        assert!(!short.contains("files "), "the token is a file: {short}");
        // Afterwards: neither in the ledger, nor in logs, nor in what the platform answers.
        let jobs = platform.herder(&["job", "list", "--json"]);
        let runs = platform.herder(&["job", "runs", "leak", "--json"]);
        let audit = platform.herder(&["audit", "--json"]);
        for said in [jobs, runs, audit] {
            assert!(
                !said.out.contains("hunter2") && !said.out.contains("a-default-of"),
                "{}",
                said.out
            );
        }
        for place in [
            "state/ledger.sqlite",
            "state/ledger.sqlite-wal",
            "logs",
            "kubelite",
        ] {
            let found = run(
                Command::new("grep")
                    .args(["-rlaF", "hunter2"])
                    .arg(platform.dir.join(place)),
                "",
            );
            assert!(found.out.is_empty(), "{found:?}");
        }
        // What belonged to the run went with it.
        until("an end of the Secret", || {
            let secrets = platform.kubectl(&["-n", "testing", "get", "secrets", "-o", "name"], "");
            (secrets.ok && !secrets.out.contains("run-leak")).then_some(())
        });
    });
}
