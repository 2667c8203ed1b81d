//! jobs/**: the native form and Job DSL.

use super::documents;
use super::outline::Outline;
use super::settings::{duration, scalar, scalars, texts};
use crate::format::{Checked, JOB};
use crate::{EnvironmentKind, Inputs};
use herder_base::{Diagnostic, Severity, suggest};
use herder_job::{
    Artefacts, Downstream, Job, May, Origin, Parameter, ParameterKind, Retention, Scope, Source, Step,
    Target, Trigger, When,
};
use serde_json::Value;
use std::time::Duration;

/// The jobs, and why the list may be incomplete.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    pub(crate) held: Option<String>,
}

/// The job that Herder brings along.
const BUILT_IN: &str = "update-jobs";

/// Reads them all, in order of their names.
pub(crate) fn read(inputs: &Inputs, outline: &Outline, found: &mut Vec<Diagnostic>) -> Jobs {
    let mut all = Jobs::default();
    for (path, _) in inputs.root.below("jobs") {
        if path.ends_with(".groovy") {
            let (jobs, whole) = super::jobdsl::read(inputs, path, found);
            all.jobs.extend(jobs);
            if !whole {
                all.held
                    .get_or_insert_with(|| format!("{path} could not be read"));
            }
        } else if documents::is_yaml(path) {
            let (documents, bad) = documents::file(&inputs.root, path, &JOB, found);
            if bad {
                all.held
                    .get_or_insert_with(|| format!("{path} could not be read"));
            }
            let single = documents.len() == 1;
            for mut checked in documents {
                if single && checked.get("name").is_none() && checked.name == documents::stem(path) {
                    let below = path.strip_prefix("jobs/").unwrap_or(path);
                    below
                        .rsplit_once('.')
                        .map_or(below, |(name, _)| name)
                        .clone_into(&mut checked.name);
                }
                match native(inputs, outline, &checked, found) {
                    Some(job) => all.jobs.push(job),
                    None => {
                        all.held
                            .get_or_insert_with(|| format!("{path} could not be read"));
                    }
                }
            }
        }
    }
    all.jobs.sort_by(|a, b| (&a.name, &a.at).cmp(&(&b.name, &b.at)));
    let mut kept: Vec<Job> = Vec::with_capacity(all.jobs.len());
    for job in std::mem::take(&mut all.jobs) {
        if let Some(first) = kept.iter().find(|first| first.name == job.name) {
            all.held
                .get_or_insert_with(|| format!("job `{}` is defined twice", job.name));
            found.push(
                Diagnostic::error("duplicate", format!("there is a job `{}` already", job.name))
                    .at(job.at)
                    .hint(format!("the first one is at {}", first.at)),
            );
        } else if job.name == BUILT_IN {
            found.push(
                Diagnostic::error("name", format!("the job `{BUILT_IN}` is Herder's own"))
                    .at(job.at)
                    .hint("choose another name"),
            );
        } else {
            kept.push(job);
        }
    }
    all.jobs = kept;
    super::links::tie(&mut all, found);
    all
}

fn native(inputs: &Inputs, outline: &Outline, checked: &Checked, found: &mut Vec<Diagnostic>) -> Option<Job> {
    let before = found.len();
    let good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(|c: char| c.is_control() || "\\:*?\"<>|#%;".contains(c))
    };
    if !checked.name.split('/').all(good) {
        let message = format!("`{}` is no name for a job", checked.name);
        found.push(Diagnostic::error("name", message).at(checked.at.clone()));
    }
    let list = |name: &str| checked.get(name).and_then(Value::as_array).into_iter().flatten();
    let parameters = parameters(checked, found);
    let sources = sources(inputs, checked, found);
    let artefacts = kept(checked, found);
    let mut may = may(checked.get("may"));
    let (target, environment) = target(outline, checked, &parameters, found);
    let target = match environment.filter(|name| may.env.is_some() && is_leased(outline, name)) {
        None => target,
        Some(name) => {
            let own = |scope: &mut Option<Scope>| {
                if *scope == Some(Scope::Own) {
                    *scope = Some(Scope::These(vec![name.clone()]));
                }
            };
            own(&mut may.env);
            own(&mut may.promote);
            Target::None
        }
    };
    let retention = checked.get("retention");
    let mut job = Job {
        name: checked.name.clone(),
        description: checked.text("description").unwrap_or_default().to_owned(),
        triggers: triggers(checked.get("triggers")),
        steps: list("steps").map(step).collect(),
        target,
        may,
        env: scalars(checked.get("env")),
        timeout: seconds(checked.get("timeout")),
        retries: number(checked.get("retries")).unwrap_or(0),
        concurrent: checked
            .get("concurrent")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        disabled: checked.get("disabled").and_then(Value::as_bool).unwrap_or(false),
        quiet_period: seconds(checked.get("quietPeriod")),
        retention: Retention {
            runs: number(retention.and_then(|retention| retention.get("runs"))),
            age: seconds(retention.and_then(|retention| retention.get("age"))),
        },
        artefacts,
        downstream: list("downstream").map(downstream).collect(),
        refused: Vec::new(),
        origin: Origin::Native,
        at: checked.at.clone(),
        parameters,
        sources,
    };
    let errors = found.iter().skip(before).any(|d| d.severity == Severity::Error);
    if errors {
        return None;
    }
    if !job.does_something() {
        let why = "has no step and starts no other job: a run of it would do nothing";
        job.refuse(&checked.at, why);
        let message = format!("`{}` {why}", job.name);
        found.push(Diagnostic::error("no-steps", message).at(checked.at.clone()));
    }
    Some(job)
}

/// A developer environment is not there before its job has brought it up, so the job runs elsewhere, for it.
fn is_leased(outline: &Outline, name: &str) -> bool {
    outline.environments.iter().any(|environment| {
        environment.name == *name && matches!(environment.kind, EnvironmentKind::Developer(_))
    })
}

fn parameters(checked: &Checked, found: &mut Vec<Diagnostic>) -> Vec<Parameter> {
    let all = checked.get("parameters").and_then(Value::as_array);
    let mut parameters = Vec::new();
    for (index, value) in all.into_iter().flatten().enumerate() {
        match parameter(value) {
            Ok(parameter) => parameters.push(parameter),
            Err((code, message)) => found
                .push(Diagnostic::error(code, message).at(checked.place(&format!("/parameters/{index}")))),
        }
    }
    parameters
}

fn sources(inputs: &Inputs, checked: &Checked, found: &mut Vec<Diagnostic>) -> Vec<Source> {
    let all = checked.get("sources").and_then(Value::as_array);
    let mut sources: Vec<Source> = all
        .into_iter()
        .flatten()
        .map(|value| source(inputs, value))
        .collect();
    if let Some(value) = checked.get("source") {
        if !sources.is_empty() {
            found.push(
                Diagnostic::error("bad-value", "`source` and `sources` exclude each other")
                    .at(checked.place("/source")),
            );
        }
        sources.push(source(inputs, value));
    }
    for (index, source) in sources.iter().enumerate() {
        if !herder_job::is_within(&source.directory) {
            let message = format!("`{}` leaves the workspace", source.directory);
            let at = checked.place(&format!("/sources/{index}/directory"));
            found.push(Diagnostic::error("bad-value", message).at(at));
        }
    }
    sources
}

/// What a run keeps, within its workspace.
fn kept(checked: &Checked, found: &mut Vec<Diagnostic>) -> Artefacts {
    let artefacts = artefacts(checked.get("artefacts"));
    for pattern in artefacts.include.iter().chain(&artefacts.exclude) {
        if !herder_job::is_within(pattern) {
            let message = format!("`{pattern}` leaves the workspace");
            found.push(Diagnostic::error("bad-value", message).at(checked.place("/artefacts")));
        }
    }
    artefacts
}

fn number(value: Option<&Value>) -> Option<u32> {
    value
        .and_then(Value::as_u64)
        .and_then(|number| u32::try_from(number).ok())
}

/// A duration in whole seconds; a part of one counts as one, so that little never becomes nothing.
fn seconds(value: Option<&Value>) -> Option<u64> {
    duration(value).map(whole)
}

fn whole(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn parameter(value: &Value) -> Result<Parameter, (&'static str, String)> {
    let text = |name: &str| value.get(name).map(scalar).unwrap_or_default();
    let (name, default) = (text("name"), text("default"));
    let choices: Option<Vec<String>> = value
        .get("choices")
        .and_then(Value::as_array)
        .map(|all| all.iter().map(scalar).collect());
    let word = match (text("type"), &choices) {
        (word, Some(_)) if word.is_empty() => "choice".to_owned(),
        (word, _) => word,
    };
    if word != "choice" && choices.is_some() {
        return Err((
            "bad-value",
            format!("`{name}` has choices, but is of type `{word}`"),
        ));
    }
    let kind = match word.as_str() {
        "lines" => ParameterKind::Text { default },
        "boolean" => match default.as_str() {
            "" | "false" => ParameterKind::Boolean { default: false },
            "true" => ParameterKind::Boolean { default: true },
            other => {
                return Err((
                    "bad-value",
                    format!("the default of `{name}` is `{other}`, which is neither true nor false"),
                ));
            }
        },
        "choice" => {
            let choices = choices.unwrap_or_default();
            let Some(first) = choices.first() else {
                return Err(("missing-field", format!("the choice `{name}` has no choices")));
            };
            let default = if value.get("default").is_none() {
                first.clone()
            } else {
                default
            };
            if !choices.contains(&default) {
                return Err((
                    "bad-value",
                    format!(
                        "the default `{default}` of `{name}` is none of {}",
                        choices.join(", ")
                    ),
                ));
            }
            ParameterKind::Choice { choices, default }
        }
        "password" => ParameterKind::Password { default },
        _ => ParameterKind::String { default },
    };
    Ok(Parameter {
        name,
        description: text("description"),
        kind,
    })
}

fn source(inputs: &Inputs, value: &Value) -> Source {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    Source {
        url: inputs
            .fleet_url
            .resolve(value.as_str().unwrap_or_else(|| text("repository"))),
        branch: text("branch").to_owned(),
        directory: text("directory").to_owned(),
        depth: number(value.get("depth")),
        submodules: value.get("submodules").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn triggers(value: Option<&Value>) -> Vec<Trigger> {
    let Some(value) = value else { return Vec::new() };
    let mut all = Vec::new();
    let times = |name: &str| Some(texts(value.get(name)).join("\n")).filter(|text| !text.is_empty());
    all.extend(times("poll").map(Trigger::Poll));
    all.extend(times("cron").map(Trigger::Cron));
    if value.get("webhook").and_then(Value::as_bool) == Some(true) {
        all.push(Trigger::Webhook);
    }
    let jobs = texts(value.get("upstream"));
    if !jobs.is_empty() {
        let when = match value.get("threshold").and_then(Value::as_str) {
            Some("failure") => When::Completed,
            _ => When::Success,
        };
        all.push(Trigger::Upstream { jobs, when });
    }
    all
}

fn step(value: &Value) -> Step {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    Step::Shell {
        name: text("name").to_owned(),
        text: value.as_str().unwrap_or_else(|| text("shell")).to_owned(),
        env: std::collections::BTreeMap::new(),
    }
}

fn artefacts(value: Option<&Value>) -> Artefacts {
    let Some(value) = value else {
        return Artefacts::default();
    };
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let include = if value.is_array() {
        Some(value)
    } else {
        value.get("include")
    };
    Artefacts {
        include: texts(include),
        exclude: texts(value.get("exclude")),
        allow_empty: flag("allowEmpty"),
        always: flag("always"),
    }
}

fn downstream(value: &Value) -> Downstream {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    Downstream {
        job: value.as_str().unwrap_or_else(|| text("job")).to_owned(),
        when: match text("when") {
            "failure" => When::Failure,
            "completed" => When::Completed,
            "always" => When::Always,
            _ => When::Success,
        },
        parameters: scalars(value.get("parameters")),
        current: flag("current"),
        same_commits: flag("sameCommits"),
    }
}

fn may(value: Option<&Value>) -> May {
    let Some(value) = value else { return May::default() };
    let words = texts(Some(value));
    let scope = |word: &str| {
        if words.iter().any(|given| given == word) {
            return Some(Scope::Own);
        }
        value.get(word).map(|names| Scope::These(texts(Some(names))))
    };
    May {
        env: scope("env"),
        promote: scope("promote"),
        run: scope("run"),
    }
}

/// Where the job deploys to, with environments turned into their namespaces, and the environment if it names one.
fn target(
    outline: &Outline,
    checked: &Checked,
    parameters: &[Parameter],
    found: &mut Vec<Diagnostic>,
) -> (Target, Option<String>) {
    let nowhere = (Target::None, None);
    let (field, text) = match (checked.text("environment"), checked.text("namespace")) {
        (Some(_), Some(_)) => {
            found.push(
                Diagnostic::error("bad-value", "`environment` and `namespace` exclude each other")
                    .at(checked.place("/namespace")),
            );
            return nowhere;
        }
        (Some(text), None) => ("environment", text),
        (None, Some(text)) => ("namespace", text),
        (None, None) => return nowhere,
    };
    let at = || checked.place(&format!("/{field}"));
    if let Some(name) = text.strip_prefix('$') {
        let name = name.trim_start_matches('{').trim_end_matches('}');
        if !parameters.iter().any(|parameter| parameter.name == name) {
            let names = parameters.iter().map(|parameter| parameter.name.as_str());
            let mut diagnostic =
                Diagnostic::error("missing-reference", format!("there is no parameter `{name}`")).at(at());
            diagnostic.hint = suggest(name, names).map(|near| format!("did you mean `${near}`?"));
            found.push(diagnostic);
        }
        return (Target::Parameter(name.to_owned()), None);
    }
    if field == "namespace" {
        return (Target::Fixed(text.to_owned()), None);
    }
    match outline
        .environments
        .iter()
        .find(|environment| environment.name == text)
    {
        Some(environment) => (
            Target::Fixed(environment.namespace.clone()),
            Some(environment.name.clone()),
        ),
        None => {
            let names = outline
                .environments
                .iter()
                .map(|environment| environment.name.as_str());
            let mut diagnostic =
                Diagnostic::error("missing-reference", format!("there is no environment `{text}`")).at(at());
            diagnostic.hint = suggest(text, names).map(|near| format!("did you mean `{near}`?"));
            found.push(diagnostic);
            nowhere
        }
    }
}
