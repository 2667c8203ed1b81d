//! Which job starts which: names as Jenkins resolves them, and what is said of jobs that are not there.

use super::jobs::Jobs;
use herder_base::{Diagnostic, Location, suggest};
use herder_job::{Job, Origin, Scope, Trigger};
use std::collections::{BTreeMap, BTreeSet};

/// Puts whole names where jobs name each other, and refuses jobs that would start one that does not exist.
pub(crate) fn tie(all: &mut Jobs, found: &mut Vec<Diagnostic>) {
    let names: BTreeSet<String> = all.jobs.iter().map(|job| job.name.clone()).collect();
    // Of jobs that could not be read nobody knows the names.
    let held = all.held.is_some();
    for job in &mut all.jobs {
        let mut missing = Vec::new();
        let (own, origin) = (job.name.clone(), job.origin);
        let mut whole = |name: &mut String, starts: bool| match resolve(&own, origin, name, &names) {
            Some(found) => *name = found,
            None => missing.push((name.clone(), starts)),
        };
        for next in &mut job.downstream {
            whole(&mut next.job, true);
        }
        for trigger in &mut job.triggers {
            if let Trigger::Upstream { jobs, .. } = trigger {
                jobs.iter_mut().for_each(|name| whole(name, false));
            }
        }
        for (name, starts) in missing {
            say(job, &name, starts, held, &names, found);
        }
        rights(job, &names, held, found);
    }
    circles(&all.jobs, found);
}

/// Says of jobs that start each other in a circle that they come to an end. Each circle is told once, at the job of it
/// that comes first.
fn circles(jobs: &[Job], found: &mut Vec<Diagnostic>) {
    let mut starts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for job in jobs {
        for next in &job.downstream {
            starts.entry(&job.name).or_default().insert(&next.job);
        }
        for trigger in &job.triggers {
            if let Trigger::Upstream { jobs, .. } = trigger {
                for first in jobs {
                    starts.entry(first).or_default().insert(&job.name);
                }
            }
        }
    }
    let mut over: BTreeSet<&str> = BTreeSet::new();
    for job in jobs {
        // The way to where we are, each with what it starts and has not been looked at.
        let mut way: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut next = Some(job.name.as_str());
        loop {
            if let Some(name) = next.take()
                && !over.contains(name)
            {
                if let Some(at) = way.iter().position(|(known, _)| *known == name) {
                    let mut line: Vec<&str> = way.iter().skip(at).map(|(name, _)| *name).collect();
                    line.push(name);
                    let message = format!("jobs start each other in a circle: {}", line.join(" → "));
                    found.push(
                        Diagnostic::warning("circle", message)
                            .at(job.at.clone())
                            .hint("a job that has led to a run is not started by it again"),
                    );
                } else {
                    let followers = starts.get(name).into_iter().flatten().copied().collect();
                    way.push((name, followers));
                }
            }
            let Some((name, left)) = way.last_mut() else { break };
            match left.pop() {
                Some(follower) => next = Some(follower),
                None => {
                    over.insert(name);
                    way.pop();
                }
            }
        }
    }
}

/// A job by the name that another gives it: below the other's folder first in Job DSL, whole first otherwise; `/` in front
/// makes it whole, `..` goes up.
fn resolve(own: &str, origin: Origin, name: &str, names: &BTreeSet<String>) -> Option<String> {
    let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = |folder: &str| {
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in name.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                parts.pop()?;
            } else {
                parts.push(part);
            }
        }
        Some(parts.join("/")).filter(|name| names.contains(name))
    };
    match origin {
        _ if name.starts_with('/') => below(""),
        Origin::JobDsl => below(folder).or_else(|| below("")),
        Origin::Native | Origin::BuiltIn => below("").or_else(|| below(folder)),
    }
}

fn say(
    job: &mut Job,
    name: &str,
    starts: bool,
    held: bool,
    names: &BTreeSet<String>,
    found: &mut Vec<Diagnostic>,
) {
    let at: Location = job.at.clone();
    let what = if starts { "is to start" } else { "waits for" };
    let message = format!("`{}` {what} `{name}`, and there is no such job", job.name);
    // A job that waits for one that is not there is started by nobody, which harms nobody; one that starts nothing would
    // end well and have done half of what it says.
    let mut diagnostic = if starts && !held {
        job.refuse(&at, &format!("starts `{name}`, and there is no such job"));
        Diagnostic::error("missing-reference", message)
    } else {
        Diagnostic::warning("missing-reference", message)
    };
    diagnostic.at = Some(at);
    diagnostic.hint =
        suggest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    found.push(diagnostic);
}

/// Jobs that a job may start must exist if they are named whole.
fn rights(job: &mut Job, names: &BTreeSet<String>, held: bool, found: &mut Vec<Diagnostic>) {
    let Some(Scope::These(patterns)) = job.may.run.clone() else {
        return;
    };
    for pattern in &patterns {
        // The steps of Job DSL name the jobs that they start.
        if job.origin == Origin::JobDsl && !names.contains(pattern) {
            let whole = resolve(&job.name, job.origin, pattern, names);
            let Some(whole) = whole.filter(|whole| whole != pattern) else {
                say(job, pattern, true, held, names, found);
                continue;
            };
            let why = format!("a step starts `{pattern}`: name it whole, `{whole}`");
            let at = job.at.clone();
            job.refuse(&at, &why);
            found.push(Diagnostic::error("missing-reference", format!("`{}`: {why}", job.name)).at(at));
            continue;
        }
        if !names.iter().any(|name| herder_base::wildcard(pattern, name)) {
            let message = format!("`{}` may run `{pattern}`, and there is no such job", job.name);
            found.push(Diagnostic::warning("missing-reference", message).at(job.at.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_told_once() {
        let job = |name: &str, next: &[&str]| Job {
            name: name.to_owned(),
            downstream: next
                .iter()
                .map(|next| herder_job::Downstream {
                    job: (*next).to_owned(),
                    ..Default::default()
                })
                .collect(),
            ..Job::default()
        };
        let mut found = Vec::new();
        let mut last = job("d", &[]);
        last.triggers = vec![Trigger::Upstream {
            jobs: vec!["d".to_owned()],
            when: herder_job::When::Always,
        }];
        let jobs = [
            job("a", &["b", "c"]),
            job("b", &["c"]),
            job("c", &["b", "d"]),
            last,
        ];
        circles(&jobs, &mut found);
        let told: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "jobs start each other in a circle: d → d",
                "jobs start each other in a circle: c → b → c"
            ]
        );
    }

    #[test]
    fn names_are_resolved_as_in_jenkins() {
        let names: BTreeSet<String> = ["a", "f/a", "f/g/b"].map(str::to_owned).into();
        for (own, name, dsl, native) in [
            ("f/x", "a", Some("f/a"), Some("a")),
            ("f/x", "/a", Some("a"), Some("a")),
            ("f/x", "g/b", Some("f/g/b"), Some("f/g/b")),
            ("f/g/x", "../a", Some("f/a"), Some("f/a")),
            ("x", "../a", None, None),
            ("x", "b", None, None),
        ] {
            assert_eq!(
                resolve(own, Origin::JobDsl, name, &names).as_deref(),
                dsl,
                "{own} {name}"
            );
            assert_eq!(
                resolve(own, Origin::Native, name, &names).as_deref(),
                native,
                "{own} {name}"
            );
        }
    }
}
