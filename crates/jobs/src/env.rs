//! The environment of steps, as Jenkins gives it, and `$NAME` in a job's own texts.

use crate::run::{Checkout, RunId};
use herder_job::Job;
use std::collections::BTreeMap;

/// What the environment is made of.
#[derive(Debug, Clone, Copy)]
pub struct EnvInput<'a> {
    /// The run.
    pub id: &'a RunId,
    /// Its job.
    pub definition: &'a Job,
    /// Its parameters, unmasked.
    pub parameters: &'a BTreeMap<String, String>,
    /// What is checked out.
    pub checkouts: &'a [Checkout],
    /// The commit of the first checkout in the run before.
    pub previous: Option<&'a str>,
    /// The commit of the first checkout in the last successful run.
    pub previous_successful: Option<&'a str>,
    /// The namespace it deploys to.
    pub namespace: Option<&'a str>,
    /// Where the platform's pages are, without a slash at the end, if that is known.
    pub board: Option<&'a str>,
}

/// All variables but those only the executor knows (WORKSPACE, WORKSPACE_TMP, HOME, PATH).
#[must_use]
pub fn environment(input: EnvInput<'_>) -> BTreeMap<String, String> {
    let EnvInput { id, definition, .. } = input;
    let number = id.number.to_string();
    let mut env: BTreeMap<String, String> = definition.env.clone();
    let mut set = |name: &str, value: &str| {
        env.insert(name.to_owned(), value.to_owned());
    };
    set("CI", "true");
    set("BUILD_NUMBER", &number);
    set("BUILD_ID", &number);
    set("BUILD_DISPLAY_NAME", &format!("#{number}"));
    set("JOB_NAME", &id.job);
    set("JOB_BASE_NAME", definition.base_name());
    set(
        "BUILD_TAG",
        &format!("jenkins-{}-{number}", id.job.replace('/', "-")),
    );
    set("EXECUTOR_NUMBER", "0");
    set("NODE_NAME", "herder");
    if let Some(board) = input.board {
        let job = format!("{board}/runs/{}", id.job);
        set("JENKINS_URL", &format!("{board}/"));
        set("JOB_URL", &format!("{job}/"));
        set("BUILD_URL", &format!("{job}/{number}/"));
    }
    if let Some(namespace) = input.namespace {
        set("HERDER_NAMESPACE", namespace);
    }
    if let Some(first) = input.checkouts.first() {
        let branch = if first.branch.is_empty() {
            "HEAD"
        } else {
            &first.branch
        };
        set("GIT_COMMIT", &first.commit);
        set("GIT_BRANCH", &format!("origin/{branch}"));
        set("GIT_LOCAL_BRANCH", branch);
        set("GIT_URL", &first.url.to_string());
        if let Some(previous) = input.previous {
            set("GIT_PREVIOUS_COMMIT", previous);
        }
        if let Some(previous) = input.previous_successful {
            set("GIT_PREVIOUS_SUCCESSFUL_COMMIT", previous);
        }
    }
    if input.checkouts.len() > 1 {
        for (index, checkout) in (1u32..).zip(input.checkouts) {
            set(&format!("GIT_URL_{index}"), &checkout.url.to_string());
        }
    }
    // Parameters come last: a job that declares one named like a variable means it.
    for (name, value) in input.parameters {
        if is_variable_name(name) {
            set(name, value);
        }
    }
    env
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Replaces `$NAME` and `${NAME}`; names without a value stay as they are, as in Jenkins.
#[must_use]
pub fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, whole, tail) = if let Some(inner) = after.strip_prefix('{') {
            match inner.split_once('}') {
                Some((name, tail)) => (name, format!("${{{name}}}"), tail),
                None => ("", "$".to_owned(), after),
            }
        } else {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            (name, format!("${name}"), tail)
        };
        match values.get(name) {
            Some(value) => out.push_str(value),
            None => out.push_str(&whole),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_what_it_knows() {
        let values = [
            ("A".to_owned(), "x".to_owned()),
            ("B_1".to_owned(), "y".to_owned()),
        ]
        .into();
        for (text, expected) in [
            ("$A/${B_1}", "x/y"),
            ("$AB ${C} $", "$AB ${C} $"),
            ("${A", "${A"),
            ("é$A", "éx"),
        ] {
            assert_eq!(expand(text, &values), expected);
        }
    }

    #[test]
    fn is_jenkins_environment() {
        let definition = Job {
            name: "team/build".to_owned(),
            ..Job::default()
        };
        let id = RunId {
            job: "team/build".to_owned(),
            number: 7,
        };
        let checkouts = [Checkout {
            url: "https://h/r.git".into(),
            branch: "main".to_owned(),
            commit: "c0ffee".to_owned(),
            directory: String::new(),
            depth: None,
            submodules: false,
        }];
        let parameters = [
            ("NAMESPACE".to_owned(), "staging".to_owned()),
            ("bad-name".to_owned(), "x".to_owned()),
        ]
        .into();
        let env = environment(EnvInput {
            id: &id,
            definition: &definition,
            parameters: &parameters,
            checkouts: &checkouts,
            previous: Some("beef"),
            previous_successful: None,
            namespace: Some("staging"),
            board: Some("http://b"),
        });
        for (name, value) in [
            ("BUILD_TAG", "jenkins-team-build-7"),
            ("JOB_BASE_NAME", "build"),
            ("BUILD_URL", "http://b/runs/team/build/7/"),
            ("GIT_BRANCH", "origin/main"),
            ("GIT_PREVIOUS_COMMIT", "beef"),
            ("NAMESPACE", "staging"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!env.contains_key("bad-name") && !env.contains_key("GIT_PREVIOUS_SUCCESSFUL_COMMIT"));
    }
}
