//! A folder per namespace: the small estate in this repository, and the real one where the corpora are.

use crate::running::{Dir, Up, alone, commit, git, missing, repository};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn small(name: &str) -> Vec<(String, String)> {
    vec![
        (
            format!("namespaces/{name}/00-namespace.yaml"),
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    estate: small\n"
            ),
        ),
        (
            format!("namespaces/{name}/01-config.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: \"1\"\n".to_owned(),
        ),
        (
            format!("namespaces/{name}/02-certificate.yaml"),
            format!(
                "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata:\n  name: {name}\n  namespace: {name}\nspec:\n  secretName: tls\n"
            ),
        ),
    ]
}

/// Brings up an estate, passes again, touches one folder; `folders` is how many namespaces it has.
fn check(repo: &Path, dir: &Dir, folders: usize, touch: &str) {
    let mut up = Up::start(repo.to_str().unwrap(), dir.path(), &[]);
    let namespaces = |up: &Up| -> Option<BTreeSet<String>> {
        let list: Value =
            serde_json::from_str(&up.kubectl(&["get", "namespaces", "-o", "json", "-l", "herder.dev/fleet"]))
                .ok()?;
        Some(
            list["items"]
                .as_array()?
                .iter()
                .map(|item| {
                    format!(
                        "{} {}",
                        item["metadata"]["name"], item["metadata"]["resourceVersion"]
                    )
                })
                .collect(),
        )
    };
    up.until("all namespaces", |up| {
        namespaces(up).filter(|found| found.len() == folders)
    });
    let status = up.until("a quiet pass", |up| {
        Some(up.status()).filter(|status| {
            let (fleet, pass) = (&status["fleet"], &status["pass"]);
            fleet["namespaces"] == folders && pass["generation"].as_u64() > Some(1) && pass["written"] == 0
        })
    });
    assert_eq!(
        status["pass"]["failures"],
        Value::Array(vec![]),
        "the cluster refused something"
    );
    let notes: Vec<&str> = status["pass"]["notes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let certificates = notes
        .iter()
        .filter(|note| note.contains("cert-manager.io/v1 Certificate"))
        .count();
    assert_eq!(certificates, 1, "an unknown kind is reported once: {notes:?}");
    let before = namespaces(&up).unwrap();
    let file = repo.join(touch);
    let text = std::fs::read_to_string(&file).unwrap().replacen(
        "  labels:\n",
        "  labels:\n    touched: \"true\"\n",
        1,
    );
    commit(repo, &[(touch, &text)], "Touch one namespace");
    let after = up.until("the touched namespace", |up| {
        namespaces(up).filter(|after| *after != before)
    });
    assert_eq!(
        before.symmetric_difference(&after).count(),
        2,
        "one namespace is touched and no other"
    );
}

#[test]
fn a_small_estate() {
    let _alone = alone();
    let dir = Dir::new("small-estate");
    let repo = dir.path().join("fleet");
    let mut files = vec![("fleet.yaml".to_owned(), "discover: namespaces/*\n".to_owned())];
    for number in 0..8 {
        files.extend(small(&format!("team-{number}")));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    repository(&repo, &files);
    check(&repo, &dir, 8, "namespaces/team-3/00-namespace.yaml");
}

#[test]
fn a_real_estate() {
    let _alone = alone();
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/moj");
    if !corpus.is_dir() {
        return missing("the corpus of real namespaces");
    }
    let dir = Dir::new("real-estate");
    let repo = dir.path().join("fleet");
    repository(&repo, &[("fleet.yaml", "discover: namespaces/*\n")]);
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(corpus.join("namespaces"))
        .arg(&repo)
        .status()
        .unwrap();
    assert!(copied.success());
    let folders: Vec<String> = std::fs::read_dir(repo.join("namespaces"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    git(&repo, &["add", "--all"]);
    commit(&repo, &[], "The estate");
    let touch = folders
        .iter()
        .map(|folder| format!("namespaces/{folder}/00-namespace.yaml"))
        .find(|file| std::fs::read_to_string(repo.join(file)).is_ok_and(|text| text.contains("  labels:\n")))
        .unwrap();
    check(&repo, &dir, folders.len(), &touch);
}
