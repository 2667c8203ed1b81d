//! What is run.

use super::Mapper;
use crate::xml::Node;
use herder_job::Step;

impl Mapper<'_> {
    pub(super) fn shell(&mut self, text: impl Into<String>) {
        self.job.steps.push(Step::shell(text));
    }

    pub(super) fn step(&mut self, node: &Node) {
        match node.name().as_str() {
            "hudson.tasks.Shell" => self.shell(node.text_of("command")),
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
                self.shell(format!("{prefix}{}", words.join(" ").trim()));
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
                self.shell(format!("{cd}{program} {}", words.join(" ").trim()));
            }
            "hudson.tasks.Ant" => {
                let line = format!("ant {}", node.text_of("targets"));
                self.shell(line.trim());
            }
            "com.tikal.jenkins.plugins.multijob.MultiJobBuilder" => self.phase(node),
            "hudson.plugins.parameterizedtrigger.TriggerBuilder" => self.trigger_step(node),
            "hudson.tasks.BatchFile" | "hudson.plugins.powershell.PowerShell" => {
                self.refuse(&node.name(), "is a step for Windows");
            }
            other => self.refuse(other, "is a step that cannot be run here"),
        }
    }
}
