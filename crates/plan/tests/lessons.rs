//! Passes that end: what the cluster keeps otherwise, refuses, or lets go by its own rule is not done again and again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may"
)]

use herder_base::Tree;
use herder_fleet::{Fleet, Inputs, read};
use herder_plan::{Ended, Known, Lessons, Observed, Plan, ServedKind, State, What, check, plan};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn fleet(text: &str) -> Fleet {
    let root = Tree::from_texts([("fleet.yaml", "discover: n/*\n"), ("n/shop/all.yaml", text)]).unwrap();
    read(&Inputs {
        root,
        ..Inputs::default()
    })
    .0
}

fn served() -> Observed {
    let mut observed = Observed::default();
    for (group, kind, namespaced) in [
        ("", "Namespace", false),
        ("", "ConfigMap", true),
        ("", "PersistentVolumeClaim", true),
        ("apps", "Deployment", true),
        ("batch", "Job", true),
    ] {
        let served = ServedKind {
            versions: vec!["v1".to_owned()],
            plural: kind.to_ascii_lowercase() + "s",
            namespaced,
        };
        observed.serve(group, kind, served);
    }
    observed
}

fn state() -> State {
    State::new(Known::Known(BTreeMap::new()))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What a plan does with the objects of a name.
fn does(plan: &Plan, name: &str) -> Vec<(What, String)> {
    let plan = check(plan.clone()).unwrap();
    plan.actions
        .iter()
        .filter(|action| action.key.name == name)
        .map(|action| (action.what, action.reason.clone()))
        .collect()
}

/// As a cluster would hold it.
fn live(plan: &Plan, name: &str, more: &Value) -> Value {
    let action = plan
        .actions
        .iter()
        .find(|action| action.key.name == name)
        .unwrap();
    let mut value = (**action.value.as_ref().unwrap()).clone();
    value["metadata"]["uid"] = json!("u");
    value["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (field, more) in more.as_object().unwrap() {
        for (name, more) in more.as_object().unwrap() {
            value[field][name] = more.clone();
        }
    }
    value
}

const JOB: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec: {ttlSecondsAfterFinished: 0, template: {spec: {restartPolicy: Never, containers: [{name: c, image: a}]}}}
";

#[test]
fn a_refused_change_is_held_until_it_is_time_or_something_changes() {
    let text = JOB.replace("ttlSecondsAfterFinished: 0, ", "");
    let mut observed = served();
    let first = plan(&fleet(&text), &observed, &state(), at(0));
    let running = live(&first, "job", &json!({}));
    observed.insert(running.clone());
    let changed = fleet(&text.replace("image: a", "image: b"));
    let second = plan(&changed, &observed, &state(), at(1));
    let action = second
        .actions
        .iter()
        .find(|action| action.key.name == "job")
        .unwrap();
    let mut lessons = Lessons::default();
    let why = "Job.batch \"job\" is invalid: spec.template: Invalid value: {}: field is immutable";
    lessons.refused(&action.key, action.value.as_deref(), Some(&running), why, at(1));
    observed.learn(lessons);
    let held = does(&plan(&changed, &observed, &state(), at(2)), "job");
    assert_eq!(held.len(), 1);
    assert!(
        held[0].0 == What::Hold && held[0].1.contains("field is immutable"),
        "{held:?}"
    );
    assert_eq!(
        does(&plan(&changed, &observed, &state(), at(6)), "job")[0].0,
        What::Apply
    );
    // Another commit is tried at once.
    let other = fleet(&text.replace("image: a", "image: c"));
    assert_eq!(
        does(&plan(&other, &observed, &state(), at(2)), "job")[0].0,
        What::Apply
    );

    // It may ask to be made anew; what is state never is.
    let asks = |annotations: &str| {
        let annotated = text.replace("image: a", "image: b").replace(
            "{name: job}",
            &format!("{{name: job, annotations: {{herder.dev/recreate: 'true'{annotations}}}}}"),
        );
        let fleet = fleet(&annotated);
        let planned = plan(&fleet, &observed, &state(), at(2));
        let action = planned
            .actions
            .iter()
            .find(|action| action.key.name == "job")
            .unwrap();
        let mut lessons = Lessons::default();
        let mut running = running.clone();
        if !annotations.is_empty() {
            running["metadata"]["annotations"]["herder.dev/state"] = json!("true");
        }
        lessons.refused(&action.key, action.value.as_deref(), Some(&running), why, at(2));
        let mut observed = observed.clone();
        observed.insert(running);
        observed.learn(lessons);
        does(&plan(&fleet, &observed, &state(), at(2)), "job")[0].0
    };
    assert_eq!(asks(""), What::Delete);
    assert_eq!(asks(", herder.dev/state: 'true'"), What::Hold);
}

#[test]
fn what_the_cluster_keeps_otherwise_is_not_written_again() {
    let fleet = fleet(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {herder.dev/strict: 'false'}}\ndata: {a: b}\ndataa: {x: y}\n",
    );
    let mut observed = served();
    let first = plan(&fleet, &observed, &state(), at(0));
    let action = first
        .actions
        .iter()
        .find(|action| action.key.name == "c")
        .unwrap()
        .clone();
    let mut answer = live(&first, "c", &json!({}));
    answer.as_object_mut().unwrap().remove("dataa");
    observed.insert(answer.clone());
    assert_eq!(
        does(&plan(&fleet, &observed, &state(), at(0)), "c")[0].0,
        What::Apply
    );
    let mut lessons = Lessons::default();
    let kept = lessons.taken(&action.key, action.value.as_deref().unwrap(), &answer);
    assert_eq!(
        kept.iter().map(|kept| kept.path.as_str()).collect::<Vec<_>>(),
        ["dataa"]
    );
    // Said once.
    assert!(
        lessons
            .taken(&action.key, action.value.as_deref().unwrap(), &answer)
            .is_empty()
    );
    observed.learn(lessons);
    assert_eq!(does(&plan(&fleet, &observed, &state(), at(0)), "c"), []);
    // What somebody else changes is written all the same.
    answer["data"]["a"] = json!("z");
    observed.insert(answer);
    let again = does(&plan(&fleet, &observed, &state(), at(0)), "c");
    assert!(
        again[0].0 == What::Apply && again[0].1.contains("data.a"),
        "{again:?}"
    );
}

#[test]
fn a_job_that_ended_and_went_is_not_made_again() {
    let fleet_of = |image: &str| fleet(&JOB.replace("image: a", &format!("image: {image}")));
    let mut observed = served();
    let first = plan(&fleet_of("a"), &observed, &state(), at(0));
    observed.insert(live(&first, "shop", &json!({})));
    let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    let mut job = live(&first, "job", &json!({}));
    job["status"] = done["status"].clone();
    // Seen while it was there, or only as it went.
    for gone in [false, true] {
        let mut observed = observed.clone();
        if gone {
            observed.finish(job.clone().into());
        } else {
            observed.insert(job.clone());
        }
        let ended = Ended::default().seen(&fleet_of("a"), &observed);
        let ended = Ended::from_text(&ended.to_text()).unwrap();
        let with = |ended| State { ended, ..state() };
        let mut without = served();
        without.insert(live(&first, "shop", &json!({})));
        let state = with(Known::Known(ended.clone()));
        let next = plan(&fleet_of("a"), &without, &state, at(0));
        assert_eq!(does(&next, "job"), []);
        assert_eq!(next.ended.len(), 1);
        // Changed, it is another piece of work.
        assert_eq!(
            does(&plan(&fleet_of("b"), &without, &state, at(0)), "job")[0].0,
            What::Apply
        );
        // So it is in a namespace made anew.
        let mut anew = served();
        let mut namespace = live(&first, "shop", &json!({}));
        namespace["metadata"]["uid"] = json!("other");
        anew.insert(namespace);
        assert_eq!(
            does(&plan(&fleet_of("a"), &anew, &state, at(0)), "job")[0].0,
            What::Apply
        );
        // Not knowing is not running it twice.
        let unknown = with(Known::Unknown("the ledger does not answer".to_owned()));
        assert_eq!(
            does(&plan(&fleet_of("a"), &without, &unknown, at(0)), "job")[0].0,
            What::Hold
        );
    }
}

#[test]
fn what_does_not_go_is_named_with_its_finalizer() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let mut observed = served();
    let first = plan(&fleet(text), &observed, &state(), at(0));
    observed.insert(live(&first, "shop", &json!({})));
    observed.insert(live(&first, "c", &json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z", "finalizers": ["example.org/hold"]}})));
    for wanted in [text, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"] {
        let soon = plan(&fleet(wanted), &observed, &state(), at(5));
        assert!(soon.notes.iter().all(|note| note.code != "stuck"));
        let late = plan(&fleet(wanted), &observed, &state(), at(60));
        let note = late.notes.iter().find(|note| note.code == "stuck").unwrap();
        assert!(
            note.message.contains("since 1970-01-01T00:00:00Z") && note.message.contains("example.org/hold"),
            "{note}"
        );
        assert!(late.is_empty());
    }
}

#[test]
fn hooks_and_waves_wait_for_their_turn() {
    let hook = "apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {argocd.argoproj.io/hook: PreSync, argocd.argoproj.io/hook-delete-policy: HookSucceeded}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: a}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: first, annotations: {argocd.argoproj.io/sync-wave: '-1'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: second}
data: {a: b}
";
    let fleet_one = fleet(hook);
    let mut observed = served();
    let pass = |observed: &Observed, fleet: &Fleet, state: &State| plan(fleet, observed, state, at(0));
    let first = pass(&observed, &fleet_one, &state());
    assert_eq!(does(&first, "migrate")[0].0, What::Apply);
    let waits = does(&first, "first");
    assert!(
        waits[0].0 == What::Hold && waits[0].1.contains("Job shop/migrate is not there yet"),
        "{waits:?}"
    );
    observed.insert(live(&first, "shop", &json!({})));
    observed.insert(live(&first, "migrate", &json!({})));
    assert!(
        does(&pass(&observed, &fleet_one, &state()), "first")[0]
            .1
            .contains("has not finished yet")
    );
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    let mut job = live(&first, "migrate", &json!({}));
    job["status"] = done;
    observed.insert(job);
    let second = pass(&observed, &fleet_one, &state());
    assert_eq!(does(&second, "first")[0].0, What::Apply);
    assert!(
        does(&second, "second")[0]
            .1
            .contains("ConfigMap shop/first is not there yet")
    );
    observed.insert(live(&second, "first", &json!({})));
    let third = pass(&observed, &fleet_one, &state());
    assert_eq!(does(&third, "second")[0].0, What::Apply);
    observed.insert(live(&third, "second", &json!({})));
    assert!(pass(&observed, &fleet_one, &state()).is_empty());
    // Its work is done: it goes once that is remembered, and is not made again.
    let ended = Ended::default().seen(&fleet_one, &observed);
    let remembered = State {
        ended: Known::Known(ended),
        ..state()
    };
    assert_eq!(
        does(&pass(&observed, &fleet_one, &remembered), "migrate")[0].0,
        What::Delete
    );
    let mut without = observed.clone();
    let key = first
        .actions
        .iter()
        .find(|action| action.key.name == "migrate")
        .unwrap()
        .key
        .clone();
    without.remove(&key);
    assert!(pass(&without, &fleet_one, &remembered).is_empty());
    // The application changes: it runs again, and the application waits for it.
    let changed = fleet(&hook.replace("{a: b}", "{a: c}"));
    let again = pass(&observed, &changed, &remembered);
    assert_eq!(does(&again, "migrate")[0].0, What::Delete);
    assert_eq!(does(&again, "second")[0].0, What::Hold);
    assert_eq!(
        does(&pass(&without, &changed, &remembered), "migrate")[0].0,
        What::Apply
    );
}

#[test]
fn what_asks_to_stay_or_to_be_left_alone_in_others_words_is() {
    let config = |name: &str, annotations: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\ndata: {{a: {data}}}\n---\n"
        )
    };
    let kept = config("kept", "helm.sh/resource-policy: keep", "b");
    let once = |data| config("once", "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent", data);
    let mut observed = served();
    let first = plan(&fleet(&(kept + &once("b"))), &observed, &state(), at(0));
    for name in ["shop", "kept", "once"] {
        observed.insert(live(&first, name, &json!({})));
    }
    let second = plan(&fleet(&once("c")), &observed, &state(), at(0));
    assert!(second.is_empty());
    assert!(
        does(&second, "kept")[0]
            .1
            .contains("helm.sh/resource-policy: keep asks to keep it")
    );
    assert!(does(&second, "once")[0].1.contains("asks to leave it as it is"));
}
