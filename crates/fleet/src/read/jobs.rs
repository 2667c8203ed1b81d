//! jobs/**: the native form and Job DSL.

use super::documents;
use super::outline::Outline;
use super::settings::{duration, scalar, scalars, texts};
use crate::Inputs;
use crate::format::{Checked, JOB};
use crate::job::{Job, JobSource, Origin, Parameter, ParameterKind, Retention, Step, Target, Trigger};
use herder_base::{Diagnostic, suggest};
use serde_json::Value;

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
    all.jobs
        .sort_by(|a, b| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
    let mut kept: Vec<Job> = Vec::with_capacity(all.jobs.len());
    for job in std::mem::take(&mut all.jobs) {
        if let Some(first) = kept.iter().find(|first| first.name == job.name) {
            all.held
                .get_or_insert_with(|| format!("job `{}` is defined twice", job.name));
            found.push(
                Diagnostic::error("duplicate", format!("there is a job `{}` already", job.name))
                    .at(job.source)
                    .hint(format!("the first one is at {}", first.source)),
            );
        } else if job.name == BUILT_IN {
            found.push(
                Diagnostic::error("name", format!("the job `{BUILT_IN}` is Herder's own"))
                    .at(job.source)
                    .hint("choose another name"),
            );
        } else {
            kept.push(job);
        }
    }
    all.jobs = kept;
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
    let parameters: Vec<Parameter> = list("parameters").map(parameter).collect();
    for (index, parameter) in parameters.iter().enumerate() {
        if matches!(&parameter.kind, ParameterKind::Choice(choices) if choices.is_empty()) {
            let message = format!("the choice `{}` has no choices", parameter.name);
            found.push(
                Diagnostic::error("missing-field", message)
                    .at(checked.place(&format!("/parameters/{index}"))),
            );
        }
    }
    let mut sources: Vec<JobSource> = list("sources").map(|value| source(inputs, value)).collect();
    if let Some(value) = checked.get("source") {
        if !sources.is_empty() {
            found.push(
                Diagnostic::error("bad-value", "`source` and `sources` exclude each other")
                    .at(checked.place("/source")),
            );
        }
        sources.push(source(inputs, value));
    }
    let target = target(outline, checked, &parameters, found);
    let retention = checked.get("retention");
    let job = Job {
        name: checked.name.clone(),
        description: checked.text("description").unwrap_or_default().to_owned(),
        triggers: triggers(checked.get("triggers")),
        steps: list("steps")
            .enumerate()
            .map(|(index, value)| step(index, value))
            .collect(),
        target,
        env: scalars(checked.get("env")),
        image: checked.text("image").unwrap_or_default().to_owned(),
        timeout: duration(checked.get("timeout")),
        retries: number(checked.get("retries")).unwrap_or(0),
        concurrent: checked
            .get("concurrent")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        disabled: checked.get("disabled").and_then(Value::as_bool).unwrap_or(false),
        quiet_period: duration(checked.get("quietPeriod")),
        retention: Retention {
            runs: number(retention.and_then(|retention| retention.get("runs"))),
            age: duration(retention.and_then(|retention| retention.get("age"))),
        },
        artefacts: texts(checked.get("artefacts")),
        origin: Origin::Native,
        xml: None,
        warnings: Vec::new(),
        source: checked.at.clone(),
        parameters,
        sources,
    };
    if job.steps.is_empty() {
        found.push(
            Diagnostic::warning("empty", format!("the job `{}` has no steps", job.name))
                .at(checked.at.clone()),
        );
    }
    let errors = found
        .iter()
        .skip(before)
        .any(|d| d.severity == herder_base::Severity::Error);
    (!errors).then_some(job)
}

fn number(value: Option<&Value>) -> Option<u32> {
    value
        .and_then(Value::as_u64)
        .and_then(|number| u32::try_from(number).ok())
}

fn parameter(value: &Value) -> Parameter {
    let text = |name: &str| value.get(name).map(scalar).unwrap_or_default();
    let choices: Vec<String> = value
        .get("choices")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(scalar)
        .collect();
    let kind = match text("type").as_str() {
        "lines" => ParameterKind::Lines,
        "boolean" => ParameterKind::Boolean,
        "choice" => ParameterKind::Choice(choices.clone()),
        "password" => ParameterKind::Password,
        _ if !choices.is_empty() => ParameterKind::Choice(choices.clone()),
        _ => ParameterKind::Text,
    };
    let mut default = text("default");
    if default.is_empty() {
        default = match &kind {
            ParameterKind::Choice(choices) => choices.first().cloned().unwrap_or_default(),
            ParameterKind::Boolean => "false".to_owned(),
            _ => default,
        };
    }
    Parameter {
        name: text("name"),
        kind,
        default,
        description: text("description"),
    }
}

fn source(inputs: &Inputs, value: &Value) -> JobSource {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    JobSource {
        url: inputs
            .fleet_url
            .resolve(value.as_str().unwrap_or_else(|| text("repository"))),
        branch: text("branch").to_owned(),
        directory: text("directory").to_owned(),
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
        let threshold = value
            .get("threshold")
            .and_then(Value::as_str)
            .unwrap_or("success")
            .to_owned();
        all.push(Trigger::Upstream { jobs, threshold });
    }
    all
}

fn step(index: usize, value: &Value) -> Step {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let shell = value
        .as_str()
        .or_else(|| text("shell"))
        .unwrap_or_default()
        .to_owned();
    let name = text("name").map_or_else(|| first_line(&shell, index), str::to_owned);
    Step { name, shell }
}

/// A step without a name is called by its first command.
pub(crate) fn first_line(shell: &str, index: usize) -> String {
    let line = shell
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    match line {
        Some(line) => line.chars().take(60).collect(),
        None => format!("step {}", index + 1),
    }
}

/// Where the job deploys to, with environments turned into their namespaces.
fn target(
    outline: &Outline,
    checked: &Checked,
    parameters: &[Parameter],
    found: &mut Vec<Diagnostic>,
) -> Target {
    let (field, text) = match (checked.text("environment"), checked.text("namespace")) {
        (Some(_), Some(_)) => {
            found.push(
                Diagnostic::error("bad-value", "`environment` and `namespace` exclude each other")
                    .at(checked.place("/namespace")),
            );
            return Target::Platform;
        }
        (Some(text), None) => ("environment", text),
        (None, Some(text)) => ("namespace", text),
        (None, None) => return Target::Platform,
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
        return Target::Parameter(name.to_owned());
    }
    if field == "namespace" {
        return Target::Namespace(text.to_owned());
    }
    match outline
        .environments
        .iter()
        .find(|environment| environment.name == text)
    {
        Some(environment) => Target::Namespace(environment.namespace.clone()),
        None => {
            let names = outline
                .environments
                .iter()
                .map(|environment| environment.name.as_str());
            let mut diagnostic =
                Diagnostic::error("missing-reference", format!("there is no environment `{text}`")).at(at());
            diagnostic.hint = suggest(text, names).map(|near| format!("did you mean `{near}`?"));
            found.push(diagnostic);
            Target::Platform
        }
    }
}
