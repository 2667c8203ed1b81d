//! From a job's XML to what runs. The same path serves Job DSL, `configure` blocks and imported config.xml. What only
//! tells or shows something and has no equivalent is reported, and stays in the XML; what a run would have to do and
//! cannot is a reason to refuse the job.

mod matrix;
mod publishers;
mod scm;
mod starts;
mod steps;

use crate::xml::Node;
use herder_base::Diagnostic;
use herder_job::{Job, Origin, Parameter, ParameterKind, Retention, Scope, Target, Trigger, When};

/// The variable by which a job says what its steps may ask the platform for: `env`, `promote`, `run`.
const MAY: &str = "HERDER_MAY";
/// The parameter or variable that names the namespace a job deploys to.
const NAMESPACE: &str = "NAMESPACE";

/// Maps a job; what has no equivalent is reported.
pub(crate) fn map(name: &str, root: &Node, warnings: &mut Vec<Diagnostic>) -> Job {
    let mut mapper = Mapper {
        job: Job {
            name: name.to_owned(),
            origin: Origin::JobDsl,
            ..Job::default()
        },
        warnings,
    };
    mapper.kind(root);
    for child in root.elements() {
        mapper.section(&child);
    }
    mapper.matrix(root);
    mapper.conventions();
    if !mapper.job.does_something() && mapper.job.refused.is_empty() {
        let why = "has no step and starts no other job: a run of it would do nothing";
        mapper.job.refused.push(why.to_owned());
        let message = format!("`{name}` {why}");
        mapper.warnings.push(Diagnostic::error("no-steps", message));
    }
    mapper.job
}

struct Mapper<'a> {
    job: Job,
    warnings: &'a mut Vec<Diagnostic>,
}

/// Sections that say nothing a run depends on.
const SILENT: &[&str] = &[
    "actions",
    "keepDependencies",
    "canRoam",
    "displayName",
    "blockBuildWhenDownstreamBuilding",
    "blockBuildWhenUpstreamBuilding",
    "scmCheckoutRetryCount",
    "jdk",
    "customWorkspace",
    // Of matrix jobs, which are read as a whole.
    "axes",
    "executionStrategy",
    "combinationFilter",
];

impl Mapper<'_> {
    /// What it says is kept and does nothing; a run is none the worse for it.
    fn no_equivalent(&mut self, what: &str, why: &str) {
        // Names of Java classes, of which an element doubles the underscores.
        let what = what.replace("__", "_");
        let message = format!("`{what}` {why}");
        let message = if why.is_empty() {
            format!("`{what}` has no equivalent; it is kept in the job's XML and does nothing")
        } else {
            message
        };
        self.warnings.push(Diagnostic::warning("no-equivalent", message));
    }

    /// What a run would have to do and cannot: the job does not run.
    fn refuse(&mut self, what: &str, why: &str) {
        let what = what.replace("__", "_");
        let reason = if why.is_empty() {
            format!("`{what}` cannot be done here")
        } else {
            format!("`{what}` {why}")
        };
        let message = format!("{reason}, so the job does not run");
        if !self.job.refused.contains(&reason) {
            self.job.refused.push(reason);
            self.warnings.push(Diagnostic::error("refused", message));
        }
    }

    fn kind(&mut self, root: &Node) {
        match root.name().as_str() {
            "flow-definition" => self.refuse(
                "pipelineJob",
                "is a Jenkins pipeline: pipelines are not run; write its stages as steps, or as jobs that start each other",
            ),
            "com.cloudbees.plugins.flow.BuildFlow" => {
                self.refuse("buildFlowJob", "is a build flow: write it as jobs that start each other");
            }
            "hudson.model.ExternalJob" => {
                self.refuse("externalJob", "only records what is run elsewhere");
            }
            _ => {}
        }
    }

    fn section(&mut self, node: &Node) {
        let name = node.name();
        match name.as_str() {
            "description" => self.job.description = node.text(),
            "disabled" => self.job.disabled = node.text().trim() == "true",
            "concurrentBuild" => self.job.concurrent = node.text().trim() == "true",
            "quietPeriod" => self.job.quiet_period = node.text().trim().parse().ok(),
            "assignedNode" => {
                if !node.text().trim().is_empty() {
                    self.no_equivalent("label", "is not used: every run gets a pod of its own");
                }
            }
            "logRotator" => self.retention(node),
            "properties" => node.elements().iter().for_each(|child| self.property(child)),
            "scm" => self.scm(node),
            "triggers" => node.elements().iter().for_each(|child| self.trigger(child)),
            "builders" | "prebuilders" | "postbuilders" => {
                node.elements().iter().for_each(|child| self.step(child))
            }
            "publishers" => node.elements().iter().for_each(|child| self.publisher(child)),
            "buildWrappers" => node.elements().iter().for_each(|child| self.wrapper(child)),
            "goals" if !node.text().trim().is_empty() => self.shell(format!("mvn -B {}", node.text().trim())),
            // A pipeline's, which is refused as a whole.
            "definition" => {}
            _ if SILENT.contains(&name.as_str()) || node.is_empty() => {}
            _ => {
                if !node.elements().is_empty() {
                    self.no_equivalent(&name, "");
                }
            }
        }
    }

    fn retention(&mut self, node: &Node) {
        let number = |name: &str| {
            node.text_of(name)
                .trim()
                .parse::<i64>()
                .ok()
                .and_then(|n| u32::try_from(n).ok())
        };
        self.job.retention = Retention {
            runs: number("numToKeep"),
            age: number("daysToKeep").map(|days| u64::from(days) * 86_400),
        };
        for field in ["artifactDaysToKeep", "artifactNumToKeep"] {
            if number(field).is_some() {
                self.no_equivalent(field, "is not used: artefacts are kept as long as their run");
            }
        }
    }

    fn property(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.model.ParametersDefinitionProperty" => {
                if let Some(list) = node.first("parameterDefinitions") {
                    list.elements().iter().for_each(|child| self.parameter(child));
                }
            }
            "EnvInjectJobProperty" => {
                if let Some(info) = node.first("info") {
                    self.env(&info.text_of("propertiesContent"));
                }
            }
            "jenkins.model.BuildDiscarderProperty" => {
                if let Some(strategy) = node.first("strategy") {
                    self.retention(&strategy);
                }
            }
            "org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty" => {
                self.job.concurrent = false
            }
            "org.jenkinsci.plugins.workflow.job.properties.PipelineTriggersJobProperty" => {
                if let Some(list) = node.first("triggers") {
                    list.elements().iter().for_each(|child| self.trigger(child));
                }
            }
            "com.coravy.hudson.plugins.github.GithubProjectProperty"
            | "hudson.plugins.buildblocker.BuildBlockerProperty"
                if node.is_empty() => {}
            "com.coravy.hudson.plugins.github.GithubProjectProperty" => {}
            other => self.no_equivalent(other, ""),
        }
    }

    fn env(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=')
                && !key.trim().starts_with('#')
            {
                self.job
                    .env
                    .insert(key.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    fn parameter(&mut self, node: &Node) {
        let class = node.name();
        let short = class.rsplit('.').next().unwrap_or(&class);
        let default = node.text_of("defaultValue");
        let kind = match short {
            "StringParameterDefinition" => ParameterKind::String { default },
            "TextParameterDefinition" => ParameterKind::Text { default },
            "BooleanParameterDefinition" => ParameterKind::Boolean {
                default: default.trim() == "true",
            },
            "ChoiceParameterDefinition" => {
                let mut choices = Vec::new();
                texts(node.first("choices").as_ref(), &mut choices);
                ParameterKind::Choice {
                    default: choices.first().cloned().unwrap_or_default(),
                    choices,
                }
            }
            "PasswordParameterDefinition" => ParameterKind::Password { default },
            other => {
                self.no_equivalent(other, "is read as a text parameter");
                ParameterKind::String { default }
            }
        };
        self.job.parameters.push(Parameter {
            name: node.text_of("name"),
            description: node.text_of("description"),
            kind,
        });
    }

    fn trigger(&mut self, node: &Node) {
        let spec = node.text_of("spec");
        match node.name().as_str() {
            "hudson.triggers.SCMTrigger" => self.job.triggers.push(Trigger::Poll(spec)),
            "hudson.triggers.TimerTrigger" => self.job.triggers.push(Trigger::Cron(spec)),
            "com.cloudbees.jenkins.GitHubPushTrigger"
            | "com.cloudbees.jenkins.plugins.BitBucketTrigger"
            | "com.dabsquared.gitlabjenkins.GitLabPushTrigger" => self.job.triggers.push(Trigger::Webhook),
            "jenkins.triggers.ReverseBuildTrigger" => {
                let jobs = names(&node.text_of("upstreamProjects"));
                let threshold = node
                    .first("threshold")
                    .map(|t| t.text_of("name"))
                    .unwrap_or_default();
                self.job.triggers.push(Trigger::Upstream {
                    jobs,
                    when: at_worst(&threshold),
                });
            }
            other => self.no_equivalent(other, "is not known: it does not start the job"),
        }
    }

    fn wrapper(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.plugins.build__timeout.BuildTimeoutWrapper" => {
                self.job.timeout = node
                    .first("strategy")
                    .and_then(|strategy| strategy.text_of("timeoutMinutes").trim().parse::<u64>().ok())
                    .map(|minutes| minutes.saturating_mul(60));
            }
            "EnvInjectBuildWrapper" => {
                if let Some(info) = node.first("info") {
                    self.env(&info.text_of("propertiesContent"));
                }
            }
            // What these do every run has here.
            "hudson.plugins.timestamper.TimestamperBuildWrapper"
            | "hudson.plugins.ansicolor.AnsiColorBuildWrapper"
            | "hudson.plugins.ws__cleanup.PreBuildCleanup" => {}
            // The steps would run without what they need.
            other
                if [
                    "SecretBuildWrapper",
                    "SSHAgentBuildWrapper",
                    "ConfigFileBuildWrapper",
                    "EnvInjectPasswordWrapper",
                ]
                .iter()
                .any(|class| other.ends_with(class)) =>
            {
                self.refuse(
                    other,
                    "gives steps credentials or files of Jenkins, which are not here: let the step read them from Vault",
                );
            }
            other => self.no_equivalent(other, ""),
        }
    }

    /// What jobs say by the names of parameters and variables, since the language has no words for it.
    fn conventions(&mut self) {
        if let Some(text) = self.job.env.remove(MAY) {
            let mut may = std::mem::take(&mut self.job.may);
            for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
                match word {
                    "env" => may.env = Some(Scope::Own),
                    "promote" => may.promote = Some(Scope::Own),
                    // What its own steps start is said already.
                    "run" => {
                        may.run.get_or_insert(Scope::Own);
                    }
                    other => self.refuse(
                        MAY,
                        &format!("names `{other}`, which is none of env, promote, run"),
                    ),
                }
            }
            self.job.may = may;
        }
        let parameter = self
            .job
            .parameters
            .iter()
            .any(|parameter| parameter.name == NAMESPACE);
        self.job.target = match self.job.env.get(NAMESPACE) {
            _ if parameter => Target::Parameter(NAMESPACE.to_owned()),
            Some(namespace) => Target::Fixed(namespace.clone()),
            None => Target::None,
        };
    }
}

/// A threshold: the worst result that still counts. No run is `UNSTABLE` here.
fn at_worst(threshold: &str) -> When {
    match threshold.to_ascii_uppercase().as_str() {
        "FAILURE" => When::Completed,
        "ABORTED" | "NOT_BUILT" => When::Always,
        _ => When::Success,
    }
}

/// Names separated by commas.
fn names(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn texts(node: Option<&Node>, out: &mut Vec<String>) {
    let Some(node) = node else { return };
    let children = node.elements();
    if children.is_empty() {
        let text = node.text();
        if node.is_named("string") {
            out.push(text);
        }
        return;
    }
    for child in &children {
        texts(Some(child), out);
    }
}
