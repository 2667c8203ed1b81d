//! What stands between git and the cluster after a pass, in words: changes that the cluster refuses, objects that are left
//! out, objects that do not go. Pure.

use crate::view::{Finding, Refusal};
use herder_base::{Diagnostic, Severity};
use herder_plan::{Absent, Lessons, Plan};
use std::collections::BTreeMap;

/// What is told of a pass.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) absent: Vec<Refusal>,
    pub(crate) ended: Vec<(String, String)>,
    pub(crate) findings: Vec<Finding>,
}

/// Of a plan, and what the cluster has said to it and to the ones before.
pub(crate) fn standing(plan: &Plan, lessons: &Lessons) -> Standing {
    let mut told = Standing::default();
    let refused: BTreeMap<_, _> = lessons
        .refusals()
        .map(|(key, refusal)| ((&key.gvk.kind, &key.namespace, &key.name), refusal))
        .collect();
    for action in &plan.actions {
        let key = &action.key;
        let Some(refusal) = refused.get(&(&key.gvk.kind, &key.namespace, &key.name)) else {
            continue;
        };
        let fields = refusal.fields().join(", ");
        let (code, remedy) = if refusal.is_immutable() {
            let what = if fields.is_empty() {
                "this".to_owned()
            } else {
                format!("`{fields}`")
            };
            (
                "immutable",
                format!(
                    "{what} cannot be changed in place: take the change back, or annotate the object with {}: \"true\" to have it deleted and made anew",
                    herder_fleet::RECREATE_ANNOTATION
                ),
            )
        } else {
            ("refused", "change the object as the cluster asks".to_owned())
        };
        let text = format!("{key}: {}", refusal.why);
        let mut found = Diagnostic::error(
            code,
            format!("the cluster refuses {text} (since {})", refusal.since),
        )
        .hint(remedy.clone());
        found.at.clone_from(&action.source);
        told.findings.push(Finding::from(&found));
        told.refusals.push(Refusal {
            application: action.application.clone().unwrap_or_default(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            text,
            remedy,
        });
    }
    told.absent = plan.absent.iter().map(absent).collect();
    told.ended = plan
        .ended
        .iter()
        .map(|(key, application)| {
            (
                application.clone().unwrap_or_else(|| key.name.clone()),
                key.namespace.clone(),
            )
        })
        .collect();
    let notes = plan.notes.iter().filter(|note| note.severity != Severity::Note);
    told.findings.extend(notes.map(Finding::from));
    told
}

fn absent(absent: &Absent) -> Refusal {
    Refusal {
        application: absent.application.clone().unwrap_or_default(),
        namespace: absent.key.namespace.clone(),
        name: absent.key.name.clone(),
        text: format!("{}: {}", absent.key, absent.why),
        remedy: if absent.source.path.is_empty() {
            "`herder status` says what to do about it".to_owned()
        } else {
            format!(
                "mend what git says at {}; `herder status` has more",
                absent.source
            )
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_base::Location;
    use herder_object::{Gvk, Key};
    use herder_plan::{Action, Phase, What};
    use jiff::Timestamp;

    #[test]
    fn a_refusal_has_its_place_its_fields_and_a_way_out() {
        let key = Key {
            gvk: Gvk::new("batch/v1", "Job"),
            namespace: "shop".to_owned(),
            name: "migrate".to_owned(),
        };
        let plan = Plan {
            actions: vec![Action {
                what: What::Hold,
                key: key.clone(),
                value: None,
                unit: "shop".to_owned(),
                application: Some("web".to_owned()),
                phase: Phase::Workloads,
                reason: "held".to_owned(),
                source: Some(Location::new("shop/job.yaml", 3, 0)),
            }],
            absent: vec![Absent {
                key: key.clone(),
                application: None,
                source: Location::default(),
                why: "it does not go".to_owned(),
            }],
            ended: vec![(key.clone(), None)],
            ..Plan::default()
        };
        let mut lessons = Lessons::default();
        let why = "Job.batch \"migrate\" is invalid: spec.template: Invalid value: {}: field is immutable";
        lessons.refused(&key, None, None, why, Timestamp::UNIX_EPOCH);
        let told = standing(&plan, &lessons);
        let finding = &told.findings[0];
        assert_eq!(
            (finding.code.as_str(), finding.at.as_str()),
            ("immutable", "shop/job.yaml:3")
        );
        assert!(
            finding.message.contains("since 1970-01-01T00:00:00Z"),
            "{}",
            finding.message
        );
        assert!(
            finding
                .hint
                .starts_with("`spec.template` cannot be changed in place")
                && finding.hint.contains("herder.dev/recreate"),
            "{}",
            finding.hint
        );
        assert!(told.refusals[0].is_about("web", "shop") && !told.refusals[0].is_about("migrate", "shop"));
        assert!(told.absent[0].is_about("migrate", "shop"));
        assert_eq!(told.ended, [("migrate".to_owned(), "shop".to_owned())]);
        // What is not refused any more is not told.
        assert!(standing(&plan, &Lessons::default()).refusals.is_empty());
    }
}
