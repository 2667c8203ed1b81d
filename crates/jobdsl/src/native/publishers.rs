//! What happens after the steps.

use super::{Mapper, at_worst, names};
use crate::xml::Node;
use herder_job::{Artefacts, Downstream, When};
use std::collections::BTreeMap;

/// Parts of names of what only tells or shows something: without it a run is none the worse.
const TELLS: &[&str] = &[
    "junit",
    "report",
    "mail",
    "notif",
    "slack",
    "irc",
    "jabber",
    "hipchat",
    "jacoco",
    "cobertura",
    "coverage",
    "checkstyle",
    "pmd",
    "findbugs",
    "warnings",
    "analysis",
    "dry",
    "tasks",
    "violations",
    "testng",
    "xunit",
    "plot",
    "fingerprint",
    "javadoc",
    "html",
    "chuck",
    "status",
    "sonar",
    "log",
    "jslint",
    "emma",
    "rcov",
    "clover",
    "gatling",
    "robot",
    "cucumber",
    "sloccount",
    "crap4j",
    "flog",
    "jira",
    "bugzilla",
    "mantis",
    "description",
    "wscleanup",
    "ws__cleanup",
    "rundeck",
    "twitter",
    "flowdock",
    "pagerduty",
    "telegram",
    "mattermost",
    "rocket",
    "allure",
    "benchmark",
    "performance",
    "perf",
    "image",
    "badge",
    "claim",
    "gerrit",
    "phabricator",
    "stash",
    "weblogic.notif",
];

impl Mapper<'_> {
    pub(super) fn publisher(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.tasks.ArtifactArchiver" => self.archive(node),
            "hudson.tasks.BuildTrigger" => {
                let threshold = node
                    .first("threshold")
                    .map(|t| t.text_of("name"))
                    .unwrap_or_default();
                for job in names(&node.text_of("childProjects")) {
                    self.job.downstream.push(Downstream {
                        job,
                        when: at_worst(&threshold),
                        ..Downstream::default()
                    });
                }
            }
            "hudson.plugins.parameterizedtrigger.BuildTrigger" => {
                for config in node.first("configs").iter().flat_map(|list| list.elements()) {
                    self.trigger_config(&config);
                }
            }
            "com.chikli.hudson.plugin.naginator.NaginatorPublisher" => {
                self.job.retries = node.text_of("maxSchedule").trim().parse().unwrap_or(0);
            }
            other => {
                let name = other.to_ascii_lowercase();
                if TELLS.iter().any(|part| name.contains(part)) {
                    self.no_equivalent(other, "");
                } else {
                    self.refuse(other, "is done after the steps, and cannot be done here");
                }
            }
        }
    }

    fn archive(&mut self, node: &Node) {
        let flag = |name: &str| node.text_of(name).trim() == "true";
        let artefacts = Artefacts {
            include: names(&node.text_of("artifacts")),
            exclude: names(&node.text_of("excludes")),
            allow_empty: flag("allowEmptyArchive"),
            always: !flag("onlyIfSuccessful"),
        };
        for pattern in artefacts.include.iter().chain(&artefacts.exclude) {
            if !herder_job::is_within(pattern) {
                self.refuse(
                    "archiveArtifacts",
                    &format!("names `{pattern}`, which leaves the workspace"),
                );
            }
        }
        let Artefacts {
            include,
            exclude,
            allow_empty,
            always,
        } = artefacts;
        let all = &mut self.job.artefacts;
        all.allow_empty = allow_empty && (all.allow_empty || all.is_none());
        all.include.extend(include);
        all.exclude.extend(exclude);
        all.always |= always;
    }

    /// One `trigger(…)` of `downstreamParameterized`.
    fn trigger_config(&mut self, node: &Node) {
        let condition = node.text_of("condition");
        let when = match condition.trim() {
            "" | "SUCCESS" | "UNSTABLE_OR_BETTER" => When::Success,
            "FAILED" | "UNSTABLE_OR_WORSE" => When::Failure,
            "FAILED_OR_BETTER" => When::Completed,
            "ALWAYS" => When::Always,
            other => {
                self.refuse(other, "is a condition of `trigger` that no run fulfils here");
                return;
            }
        };
        let mut next = Downstream {
            when,
            ..Downstream::default()
        };
        let given = node
            .first("configs")
            .map(|list| list.elements())
            .unwrap_or_default();
        for given in given {
            self.given(&given, &mut next);
        }
        for job in names(&node.text_of("projects")) {
            self.job.downstream.push(Downstream { job, ..next.clone() });
        }
    }

    /// One kind of parameters that a started job is given.
    pub(super) fn given(&mut self, node: &Node, next: &mut Downstream) {
        let class = node.name();
        match class.rsplit('.').next().unwrap_or(&class) {
            "CurrentBuildParameters" => next.current = true,
            "PredefinedBuildParameters" => next.parameters.extend(pairs(&node.text_of("properties"))),
            "BooleanParameters" => {
                for one in node.first("configs").iter().flat_map(|list| list.elements()) {
                    next.parameters.insert(one.text_of("name"), one.text_of("value"));
                }
            }
            "GitRevisionBuildParameters" => next.same_commits = true,
            "NodeParameters" | "NodeLabelBuildParameter" => {
                self.no_equivalent(&class, "is not used: every run gets a pod of its own");
            }
            _ => self.refuse(&class, "are parameters that a started job cannot be given here"),
        }
    }
}

/// `KEY=VALUE` lines.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, _)| !name.is_empty() && !name.starts_with('#'))
        .collect()
}
