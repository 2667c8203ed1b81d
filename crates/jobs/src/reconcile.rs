//! Makes the set of jobs match a list of definitions. Pure: says what is to change, and refuses what cannot be.

use crate::cron::{CronError, Schedule};
use herder_base::Location;
use herder_job::{Job, Origin, Step, Trigger};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// What happens to jobs that are no longer defined, as Job DSL names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Removed {
    /// They stay as they are.
    Ignore,
    /// They stay, but no trigger starts them.
    Disable,
    /// They go; their runs stay in the ledger.
    #[default]
    Delete,
}

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The name cannot be one.
    #[error(
        "`{0}` is no job name: parts between `/` must not be empty, `.` or `..`, nor hold control characters"
    )]
    Name(String),
    /// Two definitions have one name.
    #[error("there are two definitions of `{0}`")]
    Duplicate(String),
    /// The name belongs to Herder.
    #[error("`{0}` is built in and cannot be defined")]
    BuiltIn(String),
    /// A trigger's times cannot be read.
    #[error("the times of a trigger of `{job}` cannot be read")]
    Times {
        /// The job.
        job: String,
        /// What is wrong.
        source: CronError,
    },
    /// Shell steps and platform actions in one job.
    #[error(
        "`{0}` mixes shell steps and platform actions: put them into two jobs, one downstream of the other"
    )]
    Mixed(String),
}

/// What a reconcile did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// New jobs.
    pub created: Vec<String>,
    /// Jobs whose content changed.
    pub updated: Vec<String>,
    /// How many jobs were left as they were.
    pub unchanged: usize,
    /// Jobs that were deleted or disabled because they are no longer defined.
    pub removed: Vec<String>,
    /// Jobs that should have been removed, but so many at once that somebody must say so.
    pub kept: Vec<String>,
    /// Refused definitions and why; a former version of the job stays.
    pub refused: Vec<(String, String)>,
}

/// A definition with its times.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) definition: Job,
    pub(crate) hash: String,
    pub(crate) schedules: Vec<(Trigger, Schedule)>,
}

/// Checks a definition and reads its times.
pub(crate) fn check(definition: &Job, zone: &TimeZone) -> Result<Checked, Refusal> {
    let name = &definition.name;
    let bad =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control);
    if name.len() > 512 || name.split('/').any(bad) {
        return Err(Refusal::Name(name.clone()));
    }
    let actions = definition
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Action(_)))
        .count();
    if actions > 0 && actions < definition.steps.len() {
        return Err(Refusal::Mixed(name.clone()));
    }
    let mut schedules = Vec::new();
    for trigger in &definition.triggers {
        if let Trigger::Poll(text) | Trigger::Cron(text) = trigger {
            let schedule = Schedule::parse(text, name, zone).map_err(|source| Refusal::Times {
                job: name.clone(),
                source,
            })?;
            schedules.push((trigger.clone(), schedule));
        }
    }
    Ok(Checked {
        definition: definition.clone(),
        hash: definition.content_hash(),
        schedules,
    })
}

/// What is to change.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) put: Vec<Checked>,
    pub(crate) remove: Vec<String>,
    pub(crate) report: Reconciled,
}

/// A job that exists, as far as a reconcile needs to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing<'a> {
    pub(crate) hash: &'a str,
    pub(crate) origin: Origin,
    pub(crate) at: &'a Location,
    pub(crate) disabled: bool,
}

/// Removals beyond this share of the jobs (and more than a handful) need somebody's word.
const GUARD_PERCENT: usize = 50;
const GUARD_FREE: usize = 5;

/// Compares what exists with what is defined.
pub(crate) fn changes(
    existing: &BTreeMap<&str, Existing<'_>>,
    definitions: &[Job],
    removed: Removed,
    many: bool,
    zone: &TimeZone,
) -> Changes {
    let mut out = Changes::default();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for definition in definitions {
        let name = definition.name.as_str();
        let built_in = existing
            .get(name)
            .is_some_and(|job| job.origin == Origin::BuiltIn);
        let checked = if built_in {
            Err(Refusal::BuiltIn(name.to_owned()))
        } else if !seen.insert(name) {
            Err(Refusal::Duplicate(name.to_owned()))
        } else {
            check(definition, zone)
        };
        match (checked, existing.get(name)) {
            (Err(refusal), _) => {
                let why = herder_base::chain(&refusal).to_string();
                out.report.refused.push((name.to_owned(), why));
            }
            (Ok(checked), Some(job)) if job.hash == checked.hash && !job.disabled => {
                // Where it was written may have moved; that is no update.
                if job.origin != checked.definition.origin || *job.at != checked.definition.at {
                    out.put.push(checked);
                }
                out.report.unchanged += 1;
            }
            (Ok(checked), job) => {
                let list = if job.is_some() {
                    &mut out.report.updated
                } else {
                    &mut out.report.created
                };
                list.push(name.to_owned());
                out.put.push(checked);
            }
        }
    }
    let gone: Vec<String> = existing
        .iter()
        .filter(|(name, job)| job.origin != Origin::BuiltIn && !seen.contains(**name))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let guarded = gone.len() > GUARD_FREE && gone.len() * 100 > existing.len() * GUARD_PERCENT && !many;
    match removed {
        Removed::Ignore => {}
        _ if guarded => out.report.kept = gone,
        Removed::Disable | Removed::Delete => {
            out.report.removed.clone_from(&gone);
            out.remove = gone;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, spec: &str) -> Job {
        Job {
            name: name.to_owned(),
            triggers: vec![Trigger::Cron(spec.to_owned())],
            ..Job::default()
        }
    }

    #[test]
    fn says_what_changes() {
        let same = job("same", "@daily").content_hash();
        let (native, built_in) = (Origin::Native, Origin::BuiltIn);
        let nowhere = Location::default();
        let exists = |hash, origin| Existing {
            hash,
            origin,
            at: &nowhere,
            disabled: false,
        };
        let existing: BTreeMap<&str, Existing<'_>> = [
            ("same", exists(same.as_str(), native)),
            ("changed", exists("other", native)),
            ("broken", exists("other", native)),
            ("gone", exists("x", native)),
            ("update-jobs", exists("y", built_in)),
        ]
        .into();
        let definitions = [
            job("same", "@daily"),
            job("changed", "@daily"),
            job("new", "@daily"),
            job("broken", "W W * * *"),
            job("new", "@hourly"),
            job("update-jobs", "@daily"),
            job("../x", "@daily"),
        ];
        let changes = changes(&existing, &definitions, Removed::Delete, false, &TimeZone::UTC);
        assert_eq!(changes.report.created, ["new"]);
        assert_eq!(changes.report.updated, ["changed"]);
        assert_eq!(changes.report.unchanged, 1);
        // A job whose new version is refused is not gone: its former version stays.
        assert_eq!(changes.remove, ["gone"]);
        let refused: Vec<&str> = changes
            .report
            .refused
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(refused, ["broken", "new", "update-jobs", "../x"]);
        assert!(changes.report.refused[0].1.contains("`W` is no minute"));
    }

    #[test]
    fn guards_against_losing_everything() {
        let nowhere = Location::default();
        let names: Vec<String> = (0..20).map(|i| format!("job{i}")).collect();
        let existing: BTreeMap<&str, Existing<'_>> = names
            .iter()
            .map(|name| {
                let job = Existing {
                    hash: "x",
                    origin: Origin::Native,
                    at: &nowhere,
                    disabled: false,
                };
                (name.as_str(), job)
            })
            .collect();
        let none = changes(&existing, &[], Removed::Delete, false, &TimeZone::UTC);
        assert_eq!((none.remove.len(), none.report.kept.len()), (0, 20));
        let told = changes(&existing, &[], Removed::Delete, true, &TimeZone::UTC);
        assert_eq!(told.remove.len(), 20);
    }
}
