//! jobs/**.groovy: Job DSL scripts, as they are.

use super::jobs::first_line;
use crate::Inputs;
use crate::job::{Job, JobSource, Origin, Parameter, ParameterKind, Retention, Step, Target, Trigger};
use herder_base::{Diagnostic, Location, Severity};
use herder_jobdsl::{Item, ItemKind, NativeJob, NativeParameterKind, NativeTrigger, Options, compile};
use std::time::Duration;

/// The parameter that names the namespace a job deploys to.
const NAMESPACE: &str = "NAMESPACE";

/// The jobs of one script, and whether all of it could be read.
pub(crate) fn read(inputs: &Inputs, path: &str, found: &mut Vec<Diagnostic>) -> (Vec<Job>, bool) {
    let made = compile(&inputs.root, path, &Options::default());
    let whole = !made.diagnostics.iter().any(|d| d.severity == Severity::Error);
    found.extend(made.diagnostics);
    let mut jobs = Vec::new();
    for item in made.items.into_iter().filter(|item| item.kind == ItemKind::Job) {
        found.extend(item.warnings.iter().cloned());
        if let Some(native) = item.job.clone() {
            jobs.push(job(inputs, path, &item, native));
        }
    }
    (jobs, whole)
}

fn job(inputs: &Inputs, path: &str, item: &Item, native: NativeJob) -> Job {
    let parameters: Vec<Parameter> = native
        .parameters
        .into_iter()
        .map(|parameter| Parameter {
            name: parameter.name,
            kind: match parameter.kind {
                NativeParameterKind::String => ParameterKind::Text,
                NativeParameterKind::Text => ParameterKind::Lines,
                NativeParameterKind::Boolean => ParameterKind::Boolean,
                NativeParameterKind::Choice(choices) => ParameterKind::Choice(choices),
                NativeParameterKind::Password => ParameterKind::Password,
            },
            default: parameter.default,
            description: parameter.description,
        })
        .collect();
    let target = if parameters.iter().any(|parameter| parameter.name == NAMESPACE) {
        Target::Parameter(NAMESPACE.to_owned())
    } else {
        match native.env.get(NAMESPACE) {
            Some(namespace) => Target::Namespace(namespace.clone()),
            None => Target::Platform,
        }
    };
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    Job {
        name: native.name,
        description: native.description,
        sources: native
            .sources
            .into_iter()
            .map(|source| JobSource {
                url: inputs.fleet_url.resolve(&source.url),
                branch: source.branch,
                directory: source.directory,
            })
            .collect(),
        triggers: native
            .triggers
            .into_iter()
            .map(|trigger| match trigger {
                NativeTrigger::Poll(times) => Trigger::Poll(times),
                NativeTrigger::Cron(times) => Trigger::Cron(times),
                NativeTrigger::Webhook => Trigger::Webhook,
                NativeTrigger::Upstream { jobs, threshold } => Trigger::Upstream {
                    jobs,
                    threshold: threshold.to_lowercase(),
                },
            })
            .collect(),
        steps: native
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, shell)| Step {
                name: first_line(&shell, index),
                shell,
            })
            .collect(),
        target,
        env: native.env,
        image: String::new(),
        timeout: native
            .timeout_minutes
            .map(|minutes| Duration::from_secs(minutes * 60)),
        retries: native.retries,
        concurrent: native.concurrent,
        disabled: native.disabled,
        quiet_period: native.quiet_period.map(Duration::from_secs),
        retention: Retention {
            runs: native.keep_runs,
            age: native.keep_days.map(days),
        },
        artefacts: native.artefacts,
        origin: Origin::JobDsl,
        xml: Some(item.xml.clone()),
        warnings: item
            .warnings
            .iter()
            .map(|warning| warning.message.clone())
            .collect(),
        source: Location::new(path, 0, 0),
        parameters,
    }
}
