//! Decisions over small fleets, as snapshots of the plans people see; and what holds of every fleet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may"
)]

use herder_base::{Commit, Tree};
use herder_fleet::{Fleet, Inputs, read};
use herder_plan::{Known, Observed, Plan, ServedKind, State, What, check, plan};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn fleet(files: &[(&str, &str)]) -> Fleet {
    let root = Tree::from_texts(files.iter().copied()).unwrap();
    let inputs = Inputs {
        fleet_url: "/fleet.git".into(),
        root,
        ..Inputs::default()
    };
    read(&inputs).0
}

fn state() -> State {
    State::new(Known::Known(BTreeMap::new()))
}

fn served() -> Observed {
    let mut observed = Observed::default();
    for (group, kind, namespaced) in [
        ("", "Namespace", false),
        ("", "ConfigMap", true),
        ("", "Secret", true),
        ("", "Service", true),
        ("", "ServiceAccount", true),
        ("", "PersistentVolumeClaim", true),
        ("", "PersistentVolume", false),
        ("apps", "Deployment", true),
        ("networking.k8s.io", "Ingress", true),
        ("rbac.authorization.k8s.io", "Role", true),
        ("rbac.authorization.k8s.io", "RoleBinding", true),
        ("apiextensions.k8s.io", "CustomResourceDefinition", false),
    ] {
        observed.serve(
            group,
            kind,
            ServedKind {
                versions: vec!["v1".to_owned()],
                plural: kind.to_ascii_lowercase() + "s",
                namespaced,
            },
        );
    }
    observed
}

fn apply(observed: &mut Observed, plan: &Plan) {
    let plan = check(plan.clone()).unwrap();
    for action in plan.writes() {
        match action.what {
            What::Apply => observed.insert(action.value.clone().unwrap()),
            What::Delete => {
                observed.remove(&action.key);
                if action.key.gvk.kind == "Namespace" {
                    let inside: Vec<_> = observed
                        .objects()
                        .filter(|live| live.key.namespace == action.key.name)
                        .map(|live| live.key.clone())
                        .collect();
                    inside.iter().for_each(|key| {
                        observed.remove(key);
                    });
                }
            }
            What::Hold => {}
        }
    }
}

fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for action in &plan.actions {
        writeln!(
            text,
            "{:?} {} ({}): {}",
            action.what, action.key, action.unit, action.reason
        )
        .unwrap();
    }
    for note in &plan.notes {
        writeln!(text, "{note}").unwrap();
    }
    writeln!(text, "unchanged {}", plan.unchanged).unwrap();
    text
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const OBJECTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec: {replicas: 2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data: {a: b}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, labels: {herder.dev/state: 'true'}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: shop}
";

#[test]
fn orders_changes_and_deletes() {
    let files = [
        ("fleet.yaml", "discover: [n/*]"),
        ("n/shop/all.yaml", OBJECTS),
        ("n/other/x.yaml", OBJECTS),
    ];
    let mut observed = served();
    let mut said = String::new();
    let state = state();
    let first = plan(&fleet(&files), &observed, &state, at(0));
    said += &show(&first);
    apply(&mut observed, &first);

    // Somebody scales by hand, a controller copies labels, somebody has an object of their own.
    let mut drifted = (*observed.get(&first.actions[6].key).unwrap().value).clone();
    drifted["spec"]["replicas"] = json!(5);
    observed.insert(drifted);
    observed.insert(json!({"apiVersion": "v1", "kind": "Service", "metadata": {
        "name": "copy", "namespace": "shop", "labels": {"herder.dev/fleet": "fleet", "herder.dev/unit": "shop"}}}));
    observed.insert(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own", "namespace": "shop"}}),
    );
    said += "-- drift and a removed field and object\n";
    let without = OBJECTS
        .replace("data: {a: b}", "data: {}")
        .replace("kind: Ingress", "kind: Service");
    let files = [
        ("fleet.yaml", "discover: [n/*]"),
        ("n/shop/all.yaml", without.as_str()),
        ("n/other/x.yaml", OBJECTS),
    ];
    let second = plan(&fleet(&files), &observed, &state, at(0));
    said += &show(&second);
    apply(&mut observed, &second);

    said += "-- a namespace with state removed from git\n";
    let files = [("fleet.yaml", "discover: [n/*]"), ("n/other/x.yaml", OBJECTS)];
    let third = plan(&fleet(&files), &observed, &state, at(0));
    said += &show(&third);
    insta::assert_snapshot!(said);
}

#[test]
fn state_outlives_everything() {
    let files = [("fleet.yaml", "discover: [n/*]"), ("n/shop/all.yaml", OBJECTS)];
    let fleet = fleet(&files);
    let mut observed = served();
    let first = plan(&fleet, &observed, &state(), at(0));
    apply(&mut observed, &first);
    let mut claim: Value = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "claimed", "namespace": "shop", "labels": {"herder.dev/state": "true"}},
        "spec": {"volumeName": "pv"}});
    observed.insert(claim.clone());
    let down = State {
        everything_down: true,
        ..state()
    };
    let mut said = String::from("-- on a volume that would be lost\n");
    said += &show(&plan(&fleet, &observed, &down, at(0)));
    observed.insert(
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
        "spec": {"persistentVolumeReclaimPolicy": "Retain"}}),
    );
    said += "-- on a volume that is retained\n";
    let all = plan(&fleet, &observed, &down, at(0));
    said += &show(&all);
    apply(&mut observed, &all);
    said += "-- while it goes\n";
    claim["metadata"]["name"] = json!("other");
    observed.insert(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    said += &show(&plan(&fleet, &observed, &state(), at(0)));
    insta::assert_snapshot!(said);
}

#[test]
fn leases_begin_and_end() {
    let files = [
        ("fleet.yaml", ""),
        ("environments/dev-a.yaml", "kind: developer\n"),
    ];
    let fleet = fleet(&files);
    let mut observed = served();
    assert!(plan(&fleet, &observed, &state(), at(0)).actions.is_empty());
    let up = State {
        leases: Known::Known(BTreeMap::from([("dev-a".to_owned(), at(100))])),
        ..state()
    };
    let first = plan(&fleet, &observed, &up, at(99));
    assert_eq!(first.writes().count(), 4);
    apply(&mut observed, &first);
    assert!(plan(&fleet, &observed, &up, at(99)).actions.is_empty());
    let unread = State::new(Known::Unknown("the ledger cannot list leases".to_owned()));
    let held = plan(&fleet, &observed, &unread, at(99));
    assert!(held.actions.is_empty(), "{}", show(&held));
    assert!(held.notes[0].message.contains("the ledger cannot list leases"));
    let end = plan(&fleet, &observed, &up, at(100));
    insta::assert_snapshot!(show(&end));
    apply(&mut observed, &end);
    assert!(observed.is_empty());
}

#[test]
fn what_cannot_be_read_is_not_deleted_and_much_is_not_deleted_at_once() {
    let plain = OBJECTS.replace("herder.dev/state", "state");
    let many: Vec<(String, String)> = (0..20)
        .map(|i| (format!("n/n{i}/x.yaml"), plain.clone()))
        .collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    files.push(("fleet.yaml", "discover: n/*"));
    let mut observed = served();
    let first = plan(&fleet(&files), &observed, &state(), at(0));
    apply(&mut observed, &first);

    let broken = [("fleet.yaml", "discover: m/*"), ("n/n1/x.yaml", plain.as_str())];
    let held = plan(&fleet(&broken), &observed, &state(), at(0));
    assert!(held.is_empty() && held.actions.is_empty());
    assert_eq!(held.notes.len(), 1, "{}", show(&held));

    let half = [("fleet.yaml", "discover: n/*"), ("n/n1/x.yaml", plain.as_str())];
    let guarded = plan(&fleet(&half), &observed, &state(), at(0));
    assert!(guarded.is_empty());
    assert_eq!(
        guarded
            .notes
            .iter()
            .filter(|note| note.code == "mass-delete")
            .count(),
        1
    );
    let allowed = State {
        allow_mass_delete: true,
        ..state()
    };
    let told = plan(&fleet(&half), &observed, &allowed, at(0));
    assert_eq!(
        told.writes()
            .filter(|action| action.key.gvk.kind == "Namespace")
            .count(),
        19
    );

    let unserved = plan(&fleet(&files), &Observed::default(), &state(), at(0));
    assert!(unserved.is_empty());
    assert_eq!(unserved.notes[0].code, "not-observed");
}

#[test]
fn what_a_running_version_mounts_stays_until_it_is_gone() {
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let (old, new) = (config("settings-1"), config("settings-2"));
    let before = [("fleet.yaml", "discover: [n/*]"), ("n/shop/x.yaml", old.as_str())];
    let after = [("fleet.yaml", "discover: [n/*]"), ("n/shop/x.yaml", new.as_str())];
    let mut observed = served();
    let first = plan(&fleet(&before), &observed, &state(), at(0));
    apply(&mut observed, &first);
    let mut in_use = observed.clone();
    let spec = json!({"volumes": [{"name": "v", "configMap": {"name": "settings-1"}}]});
    in_use.uses("ReplicaSet shop-1", "shop", &spec);
    let rolling = plan(&fleet(&after), &in_use, &state(), at(0));
    let held: Vec<&str> = rolling
        .actions
        .iter()
        .filter(|action| action.what == What::Hold)
        .map(|action| action.reason.as_str())
        .collect();
    assert_eq!(held.len(), 1, "{}", show(&rolling));
    assert!(held[0].contains("ReplicaSet shop-1 still needs it"), "{held:?}");
    assert_eq!(rolling.writes().count(), 1);
    // Gone with its user; and `down` takes both.
    let after_it = plan(&fleet(&after), &observed, &state(), at(0));
    assert!(after_it.writes().any(|action| action.what == What::Delete));
    let down = State {
        everything_down: true,
        ..state()
    };
    assert!(
        plan(&fleet(&after), &in_use, &down, at(0))
            .writes()
            .all(|action| action.what == What::Delete)
    );
}

#[test]
fn what_git_names_anywhere_is_not_pruned_although_it_is_refused() {
    let at_home = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved}\n";
    let away = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved, namespace: web}\n";
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n";
    let before = [
        ("fleet.yaml", "discover: [n/*]"),
        ("n/web/x.yaml", at_home),
        ("n/web/y.yaml", other),
    ];
    let mut observed = served();
    let first = plan(&fleet(&before), &observed, &state(), at(0));
    apply(&mut observed, &first);
    for place in ["manifests/x.yaml", "n/elsewhere/x.yaml"] {
        let after = [
            ("fleet.yaml", "discover: [n/*]"),
            (place, away),
            ("n/web/y.yaml", other),
        ];
        let moved = plan(&fleet(&after), &observed, &state(), at(0));
        assert!(
            moved.writes().all(|action| action.what != What::Delete),
            "{}",
            show(&moved)
        );
        let held = moved
            .actions
            .iter()
            .find(|action| action.what == What::Hold)
            .unwrap();
        assert!(held.reason.contains(place), "{}", held.reason);
    }
}

#[test]
fn a_group_that_does_not_answer_is_not_empty() {
    let text = "
apiVersion: example.org/v1
kind: Thing
metadata: {name: a, namespace: shop}
";
    let files = [("fleet.yaml", "discover: [n/*]"), ("n/shop/x.yaml", text)];
    let mut observed = served();
    let served_nothing = plan(&fleet(&files), &observed, &state(), at(0));
    assert_eq!(served_nothing.skipped.len(), 1);
    apply(&mut observed, &served_nothing);
    observed.silence("example.org", "503 Service Unavailable");
    let held = plan(&fleet(&files), &observed, &state(), at(0));
    assert!(held.skipped.is_empty() && held.is_empty(), "{}", show(&held));
    assert!(held.actions[0].reason.contains("503 Service Unavailable"));

    // Nor is a namespace that may hold something of that group.
    let gone = [("fleet.yaml", "discover: [n/*]"), ("n/other/x.yaml", OBJECTS)];
    let kept = plan(&fleet(&gone), &observed, &state(), at(0));
    assert!(
        kept.writes().all(|action| action.what == What::Apply),
        "{}",
        show(&kept)
    );
}

#[test]
fn one_units_mistake_holds_up_no_other() {
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n---\n");
    let many: String = (0..60).map(|n| config(&format!("c{n}"))).collect();
    let two = config("kept") + &config("removed");
    let before = [
        ("fleet.yaml", "discover: [n/*]"),
        ("n/a/x.yaml", many.as_str()),
        ("n/b/x.yaml", two.as_str()),
    ];
    let mut observed = served();
    let first = plan(&fleet(&before), &observed, &state(), at(0));
    apply(&mut observed, &first);
    let (one, kept) = (config("c0"), config("kept"));
    let after = [
        ("fleet.yaml", "discover: [n/*]"),
        ("n/a/x.yaml", one.as_str()),
        ("n/b/x.yaml", kept.as_str()),
    ];
    let second = plan(&fleet(&after), &observed, &state(), at(0));
    let deleted: Vec<&str> = second.writes().map(|action| action.key.name.as_str()).collect();
    assert_eq!(deleted, ["removed"], "{}", show(&second));
    let notes: Vec<&str> = second.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("59 of the 61 objects it had in namespace a")),
        "{notes:?}"
    );
}

#[test]
fn own_definitions_count_as_served() {
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, names: {kind: Thing, plural: things}, versions: [{name: v1}]}
---
apiVersion: example.org/v1
kind: Thing
metadata: {name: a, namespace: default}
---
apiVersion: example.org/v2
kind: Thing
metadata: {name: b, namespace: default}
";
    let plan = plan(
        &fleet(&[("fleet.yaml", ""), ("manifests/x.yaml", definition)]),
        &served(),
        &state(),
        at(0),
    );
    let kinds: Vec<&str> = plan.writes().map(|action| action.key.gvk.kind.as_str()).collect();
    assert_eq!(kinds, ["CustomResourceDefinition", "Thing"]);
    assert_eq!(plan.skipped[0].kind, "example.org/v2 Thing");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..5).prop_map(Value::from),
        "[a-z0-9]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn applying_a_plan_leaves_nothing_to_plan(
        before in prop::collection::btree_map(("[a-d]", "[x-z]"), value(), 0..12),
        after in prop::collection::btree_map(("[a-d]", "[x-z]"), value(), 0..12),
    ) {
        let make = |objects: &BTreeMap<(String, String), Value>| {
            let files: Vec<(String, String)> = objects
                .iter()
                .map(|((namespace, name), value)| {
                    // Any value, as a kind without a schema may have it.
                    let metadata = json!({"name": name, "annotations": {"herder.dev/strict": "false"}});
                    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": value});
                    (format!("n/{namespace}/{name}.yaml"), object.to_string())
                })
                .chain([("fleet.yaml".to_owned(), "discover: n/*".to_owned()), ("n/.keep/x".to_owned(), String::new())])
                .collect();
            fleet(&files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>())
        };
        let state = State { allow_mass_delete: true, ..state() };
        let mut observed = served();
        for fleet in [make(&before), make(&after)] {
            let first = plan(&fleet, &observed, &state, at(0));
            apply(&mut observed, &first);
            let second = plan(&fleet, &observed, &state, at(0));
            prop_assert!(second.actions.is_empty(), "{}", show(&second));
            if fleet.held.units.is_none() {
                prop_assert_eq!(observed.len(), fleet.objects().count());
            }
        }
        prop_assert_eq!(Commit::default(), make(&after).commit);
    }
}
