//! Bad input: each is a diagnostic with file and line, everything else keeps running, nothing that runs is deleted.

use crate::closed_pipe::unread;
use crate::running::{Dir, Up, alone, commit, git, repository};
use serde_json::Value;
use std::path::Path;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: \"1\"\n";

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

fn findings(status: &Value) -> Vec<String> {
    status["diagnostics"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|finding| {
            format!(
                "{} {}: {} {}",
                finding["severity"], finding["at"], finding["message"], finding["hint"]
            )
        })
        .collect()
}

fn start(dir: &Dir) -> (Up, std::path::PathBuf) {
    let repo = dir.path().join("fleet");
    let files = [
        ("fleet.yaml", "discover: namespaces/*\n".to_owned()),
        (
            "environments/staging.yaml",
            "config: ../config-staging\n".to_owned(),
        ),
        ("namespaces/one/00-namespace.yaml", namespace("one")),
        ("namespaces/one/config.yaml", CONFIG.to_owned()),
        ("namespaces/two/00-namespace.yaml", namespace("two")),
        ("namespaces/two/config.yaml", CONFIG.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    repository(
        &dir.path().join("config-staging"),
        &[
            ("web/kustomization.yaml", "resources: [config.yaml]\n"),
            ("web/config.yaml", CONFIG),
        ],
    );
    repository(&repo, &files);
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &[]);
    for name in ["one", "two", "staging"] {
        up.until(name, |up| has_config(up, name).then_some(()));
    }
    (up, repo)
}

fn has_config(up: &Up, namespace: &str) -> bool {
    up.kubectl(&["get", "configmap", "settings", "-n", namespace, "-o", "name"])
        .contains("settings")
}

/// Commits something wrong, waits for the finding, and sees that all that ran still does.
fn wrong(up: &mut Up, repo: &Path, files: &[(&str, &str)], told: &[&str]) {
    commit(repo, files, "Something wrong");
    let found = up.until(&format!("the finding {told:?}"), |up| {
        let all = findings(&up.status());
        all.iter()
            .find(|finding| told.iter().all(|word| finding.contains(word)))
            .cloned()
    });
    eprintln!("{found}");
    for name in ["one", "two", "staging"] {
        assert!(has_config(up, name), "{name} lost its config after {found}");
    }
    git(
        repo,
        &[
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.org",
            "revert",
            "--no-edit",
            "HEAD",
        ],
    );
    up.until("no findings", |up| {
        findings(&up.status()).is_empty().then_some(())
    });
}

#[test]
fn every_kind_of_mistake_is_told_and_harms_nothing() {
    let _alone = alone();
    let dir = Dir::new("bad-input");
    let (mut up, repo) = start(&dir);
    let data = up.dir().to_string_lossy().into_owned();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["env", "list"],
        &["job", "list", "--json"],
    ] {
        let (said, code) = unread(&[args, &["--dir", &data]].concat(), dir.path());
        assert_eq!(
            (code, said.contains("panicked")),
            (Some(0), false),
            "herder {args:?}: {said}"
        );
    }
    wrong(
        &mut up,
        &repo,
        &[(
            "namespaces/one/config.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings\n",
        )],
        &["namespaces/one/config.yaml:"],
    );
    wrong(
        &mut up,
        &repo,
        &[("environments/staging.yaml", "confg: ../config-staging\n")],
        &["environments/staging.yaml:1", "confg", "config"],
    );
    wrong(
        &mut up,
        &repo,
        &[("environments/other.yaml", "config: ../no-such-repository\n")],
        &["environments/other.yaml:1", "no-such-repository"],
    );
    wrong(
        &mut up,
        &repo,
        &[("environments/far.yaml", "config: https://127.0.0.1:1/far.git\n")],
        &["environments/far.yaml:1", "127.0.0.1:1"],
    );
    wrong(
        &mut up,
        &repo,
        &[("namespaces/three/00-namespace.yaml", &namespace("two"))],
        &["namespaces/t", "/00-namespace.yaml:1", "two"],
    );
    wrong(
        &mut up,
        &repo,
        &[("fleet.yaml", "discover: [namespaces/*\n")],
        &["fleet.yaml:"],
    );
    // What is new and right beside what is wrong comes up all the same.
    commit(
        &repo,
        &[
            ("namespaces/one/config.yaml", ": :\n"),
            ("namespaces/four/00-namespace.yaml", &namespace("four")),
            ("namespaces/four/config.yaml", CONFIG),
        ],
        "Right beside wrong",
    );
    up.until("the right one", |up| has_config(up, "four").then_some(()));
    assert!(has_config(&up, "one"));
    // The whole fleet becomes unreachable.
    std::fs::rename(&repo, dir.path().join("away")).unwrap();
    up.until("the unreadable fleet", |up| {
        findings(&up.status())
            .iter()
            .any(|finding| finding.contains("fleet"))
            .then_some(())
    });
    for name in ["one", "two", "four", "staging"] {
        assert!(
            has_config(&up, name),
            "{name} lost its config with the fleet unreachable"
        );
    }
}
