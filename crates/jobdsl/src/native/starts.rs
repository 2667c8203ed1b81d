//! Steps that start other jobs: `downstreamParameterized` among the steps, and the phases of a MultiJob. They become scripts
//! that ask the platform, and the job may start exactly these jobs.

use super::{Mapper, names};
use crate::xml::Node;
use herder_job::{Downstream, Scope, Step};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A job to start within a step.
struct Start {
    job: String,
    parameters: BTreeMap<String, String>,
    wait: bool,
    /// Whether its failure is one of the step.
    counts: bool,
}

impl Mapper<'_> {
    /// `steps { downstreamParameterized { trigger(…) } }`
    pub(super) fn trigger_step(&mut self, node: &Node) {
        let mut starts = Vec::new();
        for config in node.first("configs").iter().flat_map(|list| list.elements()) {
            let block = config.first("block");
            let counts = block.iter().any(|block| {
                ["buildStepFailureThreshold", "failureThreshold"]
                    .iter()
                    .any(|name| block.first(name).is_some())
            });
            if config
                .first("configFactories")
                .is_some_and(|list| !list.elements().is_empty())
            {
                self.refuse(
                    "parameterFactories",
                    "are parameters that a started job cannot be given here",
                );
            }
            let parameters = self.parameters_of(&config, false);
            for job in names(&config.text_of("projects")) {
                starts.push(Start {
                    job,
                    parameters: parameters.clone(),
                    wait: block.is_some(),
                    counts,
                });
            }
        }
        self.start("start jobs", &starts, false);
    }

    /// `phase('…') { phaseJob('…') }`
    pub(super) fn phase(&mut self, node: &Node) {
        let counts = matches!(
            node.text_of("continuationCondition").trim(),
            "" | "SUCCESSFUL" | "UNSTABLE"
        );
        let mut starts = Vec::new();
        for config in node.first("phaseJobs").iter().flat_map(|list| list.elements()) {
            if config.text_of("disableJob").trim() == "true" {
                continue;
            }
            if config.text_of("enableCondition").trim() == "true" {
                self.refuse(
                    "phaseJob",
                    "with a condition is Groovy of Jenkins: write the condition into a step",
                );
            }
            let current = config.text_of("currParams").trim() == "true";
            starts.push(Start {
                job: config.text_of("jobName").trim().to_owned(),
                parameters: self.parameters_of(&config, current),
                wait: true,
                counts,
            });
        }
        let one_by_one = node.text_of("executionType").trim() == "SEQUENTIALLY";
        self.start(
            &format!("phase {}", node.text_of("phaseName")),
            &starts,
            one_by_one,
        );
    }

    fn parameters_of(&mut self, config: &Node, current: bool) -> BTreeMap<String, String> {
        let mut next = Downstream {
            current,
            ..Downstream::default()
        };
        for given in config.first("configs").iter().flat_map(|list| list.elements()) {
            self.given(&given, &mut next);
        }
        if next.same_commits {
            self.refuse(
                "gitRevision",
                "cannot be given to a job that a step starts: do so in `publishers`",
            );
        }
        let mut parameters = BTreeMap::new();
        if next.current {
            let own = self.job.parameters.iter();
            parameters.extend(own.map(|own| (own.name.clone(), format!("${{{}}}", own.name))));
        }
        parameters.extend(next.parameters);
        parameters
    }

    fn start(&mut self, name: &str, starts: &[Start], one_by_one: bool) {
        let mut text = String::from("set +x\nfailed=0\npids=\n");
        for start in starts.iter().filter(|start| !start.job.is_empty()) {
            Scope::add(&mut self.job.may.run, &start.job);
            let mut line = String::from("herder job run");
            if start.wait {
                line.push_str(" --follow");
            }
            let _ = write!(line, " -- {}", quoted(&start.job));
            for (name, value) in &start.parameters {
                let _ = write!(line, " {}={}", quoted(name), with_variables(value));
            }
            // What it wrote is in its own log.
            line.push_str(if start.wait { " >/dev/null" } else { "" });
            let failed = if start.counts || !start.wait {
                "failed=1"
            } else {
                "true"
            };
            let _ = if start.wait && !one_by_one && start.counts {
                writeln!(text, "{line} & pids=\"$pids $!\"")
            } else if start.wait && !one_by_one {
                writeln!(text, "({line} || true) & pids=\"$pids $!\"")
            } else {
                writeln!(text, "{line} || {failed}")
            };
        }
        text.push_str("for pid in $pids; do wait \"$pid\" || failed=1; done\nexit \"$failed\"\n");
        self.job.steps.push(Step::Shell {
            name: name.to_owned(),
            text,
            env: BTreeMap::new(),
        });
    }
}

/// A word of the shell, as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A word of the shell in which only variables are replaced, as Jenkins does: no command of a parameter is run.
fn with_variables(text: &str) -> String {
    let mut out = String::from("\"");
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let plain_dollar = letter == '$'
            && !letters
                .peek()
                .is_some_and(|next| next.is_ascii_alphabetic() || *next == '_' || *next == '{');
        if matches!(letter, '"' | '\\' | '`') || plain_dollar {
            out.push('\\');
        }
        out.push(letter);
        // Within braces only a name: everything else the shell knows there is no variable of Jenkins'.
        if letter == '$' && letters.peek() == Some(&'{') {
            let name: String = letters.clone().skip(1).take_while(|c| *c != '}').collect();
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.is_empty() {
                out.insert(out.len() - 1, '\\');
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_are_replaced() {
        for (text, expected) in [
            ("a b", "\"a b\""),
            ("$A-${B_1}", "\"$A-${B_1}\""),
            ("$(id) `id` \"x\" \\", "\"\\$(id) \\`id\\` \\\"x\\\" \\\\\""),
            ("${A:-$(id)}", "\"\\${A:-\\$(id)}\""),
            ("5$", "\"5\\$\""),
        ] {
            assert_eq!(with_variables(text), expected, "{text}");
        }
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
