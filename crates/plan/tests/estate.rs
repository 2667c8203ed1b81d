//! A real estate: `../shared/corpora/moj`, a folder per namespace, read as a fleet and planned twice.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may"
)]

use herder_base::{Commit, Diagnostic, Tree, TreeBuilder};
use herder_fleet::{Fleet, Inputs, read};
use herder_plan::{Known, Observed, ServedKind, State, What, check, plan};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The corpus, wherever the workspace or one of its worktrees lies.
fn corpus() -> Option<PathBuf> {
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    let found = start
        .ancestors()
        .map(|dir| dir.join("shared/corpora/moj"))
        .find(|dir| dir.is_dir());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the corpus moj is missing"
        );
        eprintln!("skipped: the corpus ../shared/corpora/moj is not here");
    }
    found
}

fn add(builder: &mut TreeBuilder, root: &Path, dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(builder, root, &path);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            builder.insert(&name, std::fs::read(&path).unwrap()).unwrap();
        }
    }
}

fn estate(root: &Path, change: Option<(&str, &str)>) -> Inputs {
    let mut builder = TreeBuilder::default();
    add(&mut builder, root, root);
    builder
        .insert("fleet.yaml", *b"discover: namespaces/*\n")
        .unwrap();
    if let Some((path, text)) = change {
        builder.insert(path, text.as_bytes()).unwrap();
    }
    let commit = if change.is_some() { "b" } else { "a" };
    Inputs {
        fleet_url: "/estate.git".into(),
        root: builder.build(Commit::new(commit.repeat(40))),
        ..Inputs::default()
    }
}

/// A cluster that serves Kubernetes' own kinds and holds what a plan applied, with a few defaults of a server's.
fn cluster(observed: &mut Observed, plan: &herder_plan::Plan) {
    for action in plan.writes() {
        match action.what {
            What::Apply => {
                let mut value = (**action.value.as_ref().unwrap()).clone();
                value["metadata"]["uid"] = "1".into();
                value["metadata"]["resourceVersion"] = "1".into();
                observed.insert(value);
            }
            What::Delete => {
                observed.remove(&action.key);
            }
            What::Hold => {}
        }
    }
}

fn served() -> Observed {
    let mut observed = Observed::default();
    for (group, version, kinds) in [
        (
            "",
            "v1",
            &[
                "Namespace",
                "LimitRange",
                "ResourceQuota",
                "ConfigMap",
                "ServiceAccount",
                "Service",
            ][..],
        ),
        ("networking.k8s.io", "v1", &["NetworkPolicy", "Ingress"]),
        ("rbac.authorization.k8s.io", "v1", &["Role", "RoleBinding"]),
        ("batch", "v1", &["CronJob"]),
        ("apps", "v1", &["Deployment"]),
    ] {
        for kind in kinds {
            observed.serve(
                group,
                kind,
                ServedKind {
                    versions: vec![version.to_owned()],
                    plural: kind.to_ascii_lowercase(),
                    namespaced: *kind != "Namespace",
                },
            );
        }
    }
    observed
}

fn said(found: &[Diagnostic]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

fn timed(root: &Path, change: Option<(&str, &str)>) -> (Fleet, Vec<Diagnostic>) {
    let inputs = estate(root, change);
    let start = Instant::now();
    let (fleet, found) = read(&inputs);
    eprintln!("read {} files in {:?}", Tree::len(&inputs.root), start.elapsed());
    (fleet, found)
}

#[test]
fn a_second_pass_writes_nothing_and_a_commit_touches_its_own_namespace() {
    let Some(root) = corpus() else { return };
    let (fleet, found) = timed(&root, None);
    assert_eq!(fleet.units.len(), 162);
    assert_eq!(fleet.objects().count(), 1408);
    assert_eq!(fleet.units.iter().filter(|unit| unit.held.is_some()).count(), 0);
    assert!(found.is_empty(), "{:#?}", said(&found));

    let mut observed = served();
    let now = Timestamp::UNIX_EPOCH;
    let first = plan(
        &fleet,
        &observed,
        &State::new(Known::Known(std::collections::BTreeMap::new())),
        now,
    );
    if let Err(refused) = check(first.clone()) {
        panic!("{:?}", said(&refused.faults));
    }
    assert_eq!(first.writes().count(), 1152);
    let skipped: Vec<(&str, usize)> = first.skipped.iter().map(|s| (s.kind.as_str(), s.count)).collect();
    assert_eq!(
        skipped,
        [
            ("cert-manager.io/v1 Certificate", 217),
            ("monitoring.coreos.com/v1 PrometheusRule", 23),
            ("monitoring.coreos.com/v1 ServiceMonitor", 12),
            ("projectcalico.org/v3 NetworkPolicy", 4),
        ]
    );
    cluster(&mut observed, &first);

    let start = Instant::now();
    let second = plan(
        &fleet,
        &observed,
        &State::new(Known::Known(std::collections::BTreeMap::new())),
        now,
    );
    eprintln!(
        "planned {} unchanged objects in {:?}",
        second.unchanged,
        start.elapsed()
    );
    assert!(second.is_empty() && second.actions.is_empty());
    assert_eq!(second.unchanged, 1152);

    let changed = "namespaces/cccd-staging/02-limitrange.yaml";
    let text = "apiVersion: v1\nkind: LimitRange\nmetadata:\n  name: limitrange\n  namespace: cccd-staging\nspec:\n  limits: []\n";
    let (fleet, _) = timed(&root, Some((changed, text)));
    let third = plan(
        &fleet,
        &observed,
        &State::new(Known::Known(std::collections::BTreeMap::new())),
        now,
    );
    assert_eq!(third.units(), ["cccd-staging"]);
    assert_eq!(third.writes().count(), 1);

    let (fleet, found) = timed(&root, Some((changed, "kind: [\n")));
    let fourth = plan(
        &fleet,
        &observed,
        &State::new(Known::Known(std::collections::BTreeMap::new())),
        now,
    );
    assert!(fourth.is_empty(), "a file that cannot be read changes nothing");
    assert!(
        said(&found).iter().any(|line| line.starts_with(changed)),
        "{:#?}",
        said(&found)
    );
}
