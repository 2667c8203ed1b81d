//! Which job starts which: names as Jenkins resolves them, and what is said of jobs that are not there.

use super::jobs::Jobs;
use herder_base::{Diagnostic, Location, suggest};
use herder_job::{Job, Origin, Scope, Trigger};
use std::collections::BTreeSet;

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
        rights(job, &names, found);
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
fn rights(job: &Job, names: &BTreeSet<String>, found: &mut Vec<Diagnostic>) {
    let Some(Scope::These(patterns)) = &job.may.run else {
        return;
    };
    for pattern in patterns {
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
