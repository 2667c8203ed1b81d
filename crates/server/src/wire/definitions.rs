//! Jobs as the fleet declares them → definitions as the runner takes them.

use herder_base::Url;
use herder_fleet::job::{self, Job};
use herder_jobs::{
    Action, Definition, Origin, Parameter, ParameterKind, Retention, Source, Step, Target, Threshold, Trigger,
};

/// The only job that is not declared anywhere.
pub(crate) const UPDATE_JOBS: &str = "update-jobs";

/// `update-jobs`: checks out the fleet repository and makes the set of jobs match it.
pub(crate) fn update_jobs(fleet_url: &Url, branch: &str) -> Definition {
    Definition {
        name: UPDATE_JOBS.to_owned(),
        description: "Checks out the fleet repository and creates all other jobs from it".to_owned(),
        sources: vec![Source {
            url: fleet_url.clone(),
            branch: branch.to_owned(),
            directory: String::new(),
        }],
        triggers: vec![Trigger::Poll("H/5 * * * *".to_owned()), Trigger::Webhook],
        steps: vec![Step::Action(Action::UpdateJobs)],
        quiet_period: Some(0),
        retention: Retention {
            runs: Some(50),
            days: None,
        },
        origin: Origin::BuiltIn,
        ..Definition::default()
    }
}

/// One declared job.
pub(crate) fn definition(job: &Job) -> Definition {
    Definition {
        name: job.name.clone(),
        description: job.description.clone(),
        parameters: job.parameters.iter().map(parameter).collect(),
        sources: job.sources.iter().map(source).collect(),
        triggers: job.triggers.iter().map(trigger).collect(),
        steps: job
            .steps
            .iter()
            .map(|step| Step::Shell(step.shell.clone()))
            .collect(),
        namespace: match &job.target {
            job::Target::Platform => Target::None,
            job::Target::Namespace(name) => Target::Fixed(name.clone()),
            job::Target::Parameter(name) => Target::Parameter(name.clone()),
        },
        timeout: job.timeout.map(|timeout| timeout.as_secs()),
        retries: job.retries,
        concurrent: job.concurrent,
        quiet_period: job.quiet_period.map(|period| period.as_secs()),
        retention: Retention {
            runs: job.retention.runs,
            days: job
                .retention
                .age
                .map(|age| u32::try_from(age.as_secs() / 86400).unwrap_or(u32::MAX)),
        },
        artefacts: job.artefacts.clone(),
        env: job.env.clone(),
        downstream: Vec::new(),
        disabled: job.disabled,
        origin: match job.origin {
            job::Origin::Native => Origin::Native,
            job::Origin::JobDsl => Origin::JobDsl(job.source.to_string()),
        },
    }
}

fn parameter(parameter: &job::Parameter) -> Parameter {
    let default = parameter.default.clone();
    let kind = match &parameter.kind {
        job::ParameterKind::Text => ParameterKind::String { default },
        job::ParameterKind::Lines => ParameterKind::Text { default },
        job::ParameterKind::Boolean => ParameterKind::Boolean {
            default: default == "true",
        },
        job::ParameterKind::Choice(choices) => ParameterKind::Choice {
            choices: choices.clone(),
        },
        job::ParameterKind::Password => ParameterKind::Password { default },
    };
    Parameter {
        name: parameter.name.clone(),
        description: parameter.description.clone(),
        kind,
    }
}

fn source(source: &job::JobSource) -> Source {
    Source {
        url: source.url.clone(),
        branch: source.branch.clone(),
        directory: source.directory.clone(),
    }
}

fn trigger(trigger: &job::Trigger) -> Trigger {
    match trigger {
        job::Trigger::Poll(spec) => Trigger::Poll(spec.clone()),
        job::Trigger::Cron(spec) => Trigger::Cron(spec.clone()),
        job::Trigger::Webhook => Trigger::Webhook,
        job::Trigger::Upstream { jobs, threshold } => Trigger::Upstream {
            jobs: jobs.clone(),
            threshold: if threshold.eq_ignore_ascii_case("failure") {
                Threshold::Always
            } else {
                Threshold::Success
            },
        },
    }
}
