//! A Jenkins `config.xml` as an item: the same tree and the same mapping that scripts go through.

use crate::compile::{Item, ItemKind, placed};
use crate::native;
use crate::xml::{Element, print, read};
use herder_base::{Diagnostic, Location};

/// Elements that hold other items rather than runs.
const FOLDERS: &[&str] = &[
    "com.cloudbees.hudson.plugins.folder.Folder",
    "jenkins.branch.OrganizationFolder",
    "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject",
];

/// Reads the `config.xml` of the job or folder `name`; `path` is said in diagnostics.
///
/// # Errors
/// If it is no XML, or not of a job.
pub fn import(name: &str, path: &str, text: &str) -> Result<Item, Diagnostic> {
    let root = read(text).map_err(|error| {
        let line = u32::try_from(error.line).unwrap_or_default();
        Diagnostic::error("xml", error.message).at(Location::new(path, line, 0))
    })?;
    let element = root.name();
    if !is_item(&element, &root) {
        let message = format!("`{element}` is not the configuration of a job");
        return Err(Diagnostic::error("not-a-job", message)
            .at(Location::new(path, 1, 0))
            .hint("jobs are at jobs/NAME/config.xml of a Jenkins home"));
    }
    let kind = if FOLDERS.contains(&element.as_str()) {
        ItemKind::Folder
    } else {
        ItemKind::Job
    };
    let mut warnings = Vec::new();
    let job = (kind == ItemKind::Job)
        .then(|| native::map(name, &root, &mut warnings))
        .map(|job| placed(job, &Location::new(path, 0, 0)));
    if element.ends_with("MultiBranchProject") || element.ends_with("OrganizationFolder") {
        let message = format!("`{element}` computes its jobs from branches; it is kept and does nothing");
        warnings.push(Diagnostic::warning("no-equivalent", message));
    }
    for warning in &mut warnings {
        warning.at.get_or_insert_with(|| Location::new(path, 0, 0));
    }
    Ok(Item {
        name: name.to_owned(),
        kind,
        made_by: "config.xml".to_owned(),
        xml: print(&root),
        job,
        warnings,
    })
}

/// Users, nodes, views and Jenkins itself have files of the same name.
fn is_item(element: &str, root: &Element) -> bool {
    let known = [
        "project",
        "flow-definition",
        "maven2-moduleset",
        "matrix-project",
        "com.tikal.jenkins.plugins.multijob.MultiJobProject",
        "com.cloudbees.plugins.flow.BuildFlow",
        "hudson.ivy.IvyModuleSet",
        "hudson.model.ExternalJob",
    ];
    known.contains(&element)
        || FOLDERS.contains(&element)
        || root.first("builders").is_some()
        || root.first("publishers").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_job_as_scripts_make_it() {
        let text = "<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <description>d</description>\n  <builders>\n    \
                    <hudson.tasks.Shell><command>make</command></hudson.tasks.Shell>\n    <x.Y/>\n  </builders>\n</project>";
        let item = import("team/a", "jobs/team/jobs/a/config.xml", text).unwrap();
        let job = item.job.unwrap();
        assert_eq!((job.name.as_str(), job.description.as_str()), ("team/a", "d"));
        assert_eq!(job.steps, [herder_job::Step::shell("make")]);
        assert_eq!(item.warnings.len(), 1);
        assert!(item.warnings[0].message.contains("x.Y"));
        // A step that cannot be run is not left out of a run in silence.
        assert_eq!(
            job.refused,
            ["jobs/team/jobs/a/config.xml: `x.Y` is a step that cannot be run here"]
        );
    }

    #[test]
    fn says_where_it_is_wrong() {
        let wrong = import("a", "a/config.xml", "<project>\n<x>\n</project>").unwrap_err();
        assert_eq!(wrong.at.unwrap().line, 3);
        let other = import("a", "a/config.xml", "<hudson><slaves/></hudson>").unwrap_err();
        assert_eq!(other.code, "not-a-job");
    }
}
