//! What is checked out.

use super::Mapper;
use crate::xml::Node;
use herder_job::Source;

impl Mapper<'_> {
    pub(super) fn scm(&mut self, node: &Node) {
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
                            self.refuse(&scm.name(), "cannot be checked out: only git is");
                        }
                    }
                }
            }
            other => self.refuse(other, "cannot be checked out: only git is"),
        }
    }

    fn git(&mut self, node: &Node) {
        let branches = node
            .first("branches")
            .map(|list| list.elements())
            .unwrap_or_default();
        if branches.len() > 1 {
            self.no_equivalent("branches", "has several branches: the first is used");
        }
        let branch = branches
            .first()
            .map(|spec| spec.text_of("name"))
            .unwrap_or_default();
        let mut source = Source {
            branch,
            ..Source::default()
        };
        for extension in node.first("extensions").iter().flat_map(|list| list.elements()) {
            self.extension(&extension, &mut source);
        }
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
            source.url = remote.text_of("url").into();
            self.job.sources.push(source);
        }
    }

    fn extension(&mut self, node: &Node, source: &mut Source) {
        let class = node.name();
        match class.rsplit('.').next().unwrap_or(&class) {
            "RelativeTargetDirectory" => source.directory = node.text_of("relativeTargetDir"),
            "CloneOption" => {
                let depth = node
                    .text_of("depth")
                    .trim()
                    .parse()
                    .ok()
                    .filter(|depth| *depth > 0);
                source.depth = if node.text_of("shallow").trim() == "true" {
                    depth
                } else {
                    Some(0)
                };
            }
            "SubmoduleOption" => {
                source.submodules = node.text_of("disableSubmodules").trim() != "true";
            }
            "PreBuildMerge" => self.refuse(
                "mergeOptions",
                "merges before the build: what would be built is no commit of the remote",
            ),
            // Every run has a fresh workspace.
            "WipeWorkspace"
            | "CleanCheckout"
            | "CleanBeforeCheckout"
            | "PruneStaleBranch"
            | "LocalBranch"
            | "CheckoutOption"
            | "PerBuildTag"
            | "UserIdentity" => {}
            _ => self.no_equivalent(&class, ""),
        }
    }
}
