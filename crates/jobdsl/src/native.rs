//! From a job's XML to what runs. The same path serves Job DSL, `configure` blocks and imported config.xml. What has
//! no equivalent is reported, and stays in the XML.

use crate::xml::Node;
use herder_base::Diagnostic;
use std::collections::BTreeMap;

/// A job in native terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeJob {
    /// Its full name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What a run may be given.
    pub parameters: Vec<NativeParameter>,
    /// What is checked out.
    pub sources: Vec<NativeSource>,
    /// What starts it.
    pub triggers: Vec<NativeTrigger>,
    /// Shell scripts, in order.
    pub steps: Vec<String>,
    /// Minutes a run may take.
    pub timeout_minutes: Option<u64>,
    /// How many times a failed run is tried again.
    pub retries: u32,
    /// Whether several runs may go on at once.
    pub concurrent: bool,
    /// Seconds to wait for more of the same.
    pub quiet_period: Option<u64>,
    /// Whether triggers are ignored.
    pub disabled: bool,
    /// At most so many finished runs are kept.
    pub keep_runs: Option<u32>,
    /// At most so many days finished runs are kept.
    pub keep_days: Option<u32>,
    /// Patterns of files to keep.
    pub artefacts: Vec<String>,
    /// More environment variables.
    pub env: BTreeMap<String, String>,
    /// Jobs to start when it succeeds.
    pub downstream: Vec<String>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeParameter {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its default.
    pub default: String,
    /// What it takes.
    pub kind: NativeParameterKind,
}

/// What a parameter takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NativeParameterKind {
    /// A line.
    #[default]
    String,
    /// Several lines.
    Text,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// A line nobody may see.
    Password,
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeSource {
    /// Its URL.
    pub url: String,
    /// Its branch, as written.
    pub branch: String,
    /// Directory below the workspace.
    pub directory: String,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeTrigger {
    /// Look for changes at these times.
    Poll(String),
    /// Run at these times.
    Cron(String),
    /// A notice of a push.
    Webhook,
    /// The end of other jobs.
    Upstream {
        /// Their names.
        jobs: Vec<String>,
        /// `SUCCESS`, `UNSTABLE` or `FAILURE`.
        threshold: String,
    },
}

/// Maps a job; what has no equivalent is reported.
pub(crate) fn map(name: &str, root: &Node, warnings: &mut Vec<Diagnostic>) -> NativeJob {
    let mut mapper = Mapper {
        job: NativeJob {
            name: name.to_owned(),
            ..NativeJob::default()
        },
        warnings,
    };
    for child in root.elements() {
        mapper.section(&child);
    }
    mapper.job
}

struct Mapper<'a> {
    job: NativeJob,
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
];

impl Mapper<'_> {
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
            "goals" if !node.text().trim().is_empty() => {
                self.job.steps.push(format!("mvn -B {}", node.text().trim()))
            }
            "definition" => {
                if !node.text().trim().is_empty() {
                    self.no_equivalent("definition", "is a pipeline: pipelines are kept and not run yet");
                }
            }
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
        self.job.keep_days = number("daysToKeep");
        self.job.keep_runs = number("numToKeep");
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
        let kind = match short {
            "StringParameterDefinition" => NativeParameterKind::String,
            "TextParameterDefinition" => NativeParameterKind::Text,
            "BooleanParameterDefinition" => NativeParameterKind::Boolean,
            "ChoiceParameterDefinition" => {
                let mut choices = Vec::new();
                texts(node.first("choices").as_ref(), &mut choices);
                NativeParameterKind::Choice(choices)
            }
            "PasswordParameterDefinition" => NativeParameterKind::Password,
            other => {
                self.no_equivalent(other, "is read as a text parameter");
                NativeParameterKind::String
            }
        };
        let default = match &kind {
            NativeParameterKind::Choice(choices) => choices.first().cloned().unwrap_or_default(),
            NativeParameterKind::Boolean => (node.text_of("defaultValue").trim() == "true").to_string(),
            _ => node.text_of("defaultValue"),
        };
        self.job.parameters.push(NativeParameter {
            name: node.text_of("name"),
            description: node.text_of("description"),
            default,
            kind,
        });
    }

    fn scm(&mut self, node: &Node) {
        let class = node.attribute("class").unwrap_or_default();
        match class.as_str() {
            "hudson.scm.NullSCM" | "" => {}
            "hudson.plugins.git.GitSCM" => self.git(node),
            "org.jenkinsci.plugins.multiplescms.MultiSCM" => {
                if let Some(list) = node.first("scms") {
                    for scm in list.elements() {
                        if scm.name() == "hudson.plugins.git.GitSCM"
                            || scm.attribute("class").as_deref() == Some("hudson.plugins.git.GitSCM")
                        {
                            self.git(&scm);
                        } else {
                            self.no_equivalent(&scm.name(), "is not read: only git is");
                        }
                    }
                }
            }
            other => self.no_equivalent(other, "is not read: only git is"),
        }
    }

    fn git(&mut self, node: &Node) {
        let branch = node
            .first("branches")
            .and_then(|branches| branches.elements().first().map(|spec| spec.text_of("name")))
            .unwrap_or_default();
        let directory = node
            .first("extensions")
            .and_then(|list| {
                list.elements()
                    .into_iter()
                    .find(|e| e.name().ends_with("RelativeTargetDirectory"))
            })
            .map(|e| e.text_of("relativeTargetDir"))
            .unwrap_or_default();
        let remotes = node
            .first("userRemoteConfigs")
            .map(|list| list.elements())
            .unwrap_or_default();
        if remotes.len() > 1 {
            self.no_equivalent("userRemoteConfigs", "has several remotes: the first is used");
        }
        if let Some(remote) = remotes.first() {
            if !remote.text_of("credentialsId").is_empty() {
                self.no_equivalent(
                    "credentialsId",
                    "is not used: the platform has its own credentials per remote",
                );
            }
            self.job.sources.push(NativeSource {
                url: remote.text_of("url"),
                branch,
                directory,
            });
        }
    }

    fn trigger(&mut self, node: &Node) {
        let spec = node.text_of("spec");
        match node.name().as_str() {
            "hudson.triggers.SCMTrigger" => self.job.triggers.push(NativeTrigger::Poll(spec)),
            "hudson.triggers.TimerTrigger" => self.job.triggers.push(NativeTrigger::Cron(spec)),
            "com.cloudbees.jenkins.GitHubPushTrigger"
            | "com.cloudbees.jenkins.plugins.BitBucketTrigger"
            | "com.dabsquared.gitlabjenkins.GitLabPushTrigger" => {
                self.job.triggers.push(NativeTrigger::Webhook)
            }
            "jenkins.triggers.ReverseBuildTrigger" => {
                let jobs = node.text_of("upstreamProjects");
                let jobs = jobs
                    .split(',')
                    .map(str::trim)
                    .filter(|job| !job.is_empty())
                    .map(str::to_owned)
                    .collect();
                let threshold = node
                    .first("threshold")
                    .map(|t| t.text_of("name"))
                    .unwrap_or_default();
                self.job
                    .triggers
                    .push(NativeTrigger::Upstream { jobs, threshold });
            }
            other => self.no_equivalent(other, ""),
        }
    }

    fn step(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.tasks.Shell" => self.job.steps.push(node.text_of("command")),
            "hudson.tasks.Maven" => {
                let mut words = vec!["mvn".to_owned(), "-B".to_owned()];
                let pom = node.text_of("pom");
                if !pom.is_empty() {
                    words.push(format!("-f {pom}"));
                }
                for line in node
                    .text_of("properties")
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                {
                    words.push(format!("'-D{}'", line.trim().replace('\'', "'\\''")));
                }
                words.push(node.text_of("targets"));
                let opts = node.text_of("jvmOptions");
                let prefix = if opts.trim().is_empty() {
                    String::new()
                } else {
                    format!("MAVEN_OPTS='{}' ", opts.trim())
                };
                self.job.steps.push(format!("{prefix}{}", words.join(" ").trim()));
            }
            "hudson.plugins.gradle.Gradle" => {
                let program = if node.text_of("useWrapper") == "true" {
                    "./gradlew"
                } else {
                    "gradle"
                };
                let words = [node.text_of("switches"), node.text_of("tasks")];
                let dir = node.text_of("rootBuildScriptDir");
                let cd = if dir.is_empty() {
                    String::new()
                } else {
                    format!("cd \"{dir}\"\n")
                };
                self.job
                    .steps
                    .push(format!("{cd}{program} {}", words.join(" ").trim()));
            }
            "hudson.tasks.Ant" => self
                .job
                .steps
                .push(format!("ant {}", node.text_of("targets")).trim().to_owned()),
            other => self.no_equivalent(other, ""),
        }
    }

    fn publisher(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.tasks.ArtifactArchiver" => {
                let patterns = node.text_of("artifacts");
                self.job.artefacts.extend(
                    patterns
                        .split(',')
                        .map(str::trim)
                        .filter(|p| !p.is_empty())
                        .map(str::to_owned),
                );
            }
            "hudson.tasks.BuildTrigger" => {
                let jobs = node.text_of("childProjects");
                self.job.downstream.extend(
                    jobs.split(',')
                        .map(str::trim)
                        .filter(|job| !job.is_empty())
                        .map(str::to_owned),
                );
            }
            "com.chikli.hudson.plugin.naginator.NaginatorPublisher" => {
                self.job.retries = node.text_of("maxSchedule").trim().parse().unwrap_or(0);
            }
            other => self.no_equivalent(other, ""),
        }
    }

    fn wrapper(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.plugins.build__timeout.BuildTimeoutWrapper" => {
                self.job.timeout_minutes = node
                    .first("strategy")
                    .and_then(|strategy| strategy.text_of("timeoutMinutes").trim().parse().ok());
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
            other => self.no_equivalent(other, ""),
        }
    }
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
