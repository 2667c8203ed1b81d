//! Discovery: folders that are namespaces.

use super::glob::directories;
use super::outline::Outline;
use herder_base::{Diagnostic, Location, Tree};
use std::collections::BTreeSet;

/// The folders of the fleet repository with a meaning of their own.
const RESERVED: [&str; 7] = [
    "teams",
    "environments",
    "applications",
    "jobs",
    "policies",
    "stacks",
    "manifests",
];

/// Finds the folders that the globs match.
pub(crate) fn folders(
    tree: &Tree,
    globs: &[(String, Location)],
    outline: &mut Outline,
    found: &mut Vec<Diagnostic>,
) {
    let mut all = BTreeSet::new();
    for (glob, at) in globs {
        if glob.split('/').any(|part| part == "..") || glob.starts_with('/') {
            hold(outline, glob, "it leaves the repository");
            found.push(
                Diagnostic::error("glob", format!("the glob `{glob}` leaves the repository")).at(at.clone()),
            );
            continue;
        }
        let mut matched = directories(tree, glob);
        matched.retain(|dir| {
            let reserved = RESERVED.contains(&dir.split('/').next().unwrap_or(dir));
            if reserved {
                found.push(
                    Diagnostic::warning(
                        "glob",
                        format!("`{dir}` has a meaning of its own and is no namespace"),
                    )
                    .at(at.clone()),
                );
            }
            !reserved && !dir.is_empty()
        });
        if matched.is_empty() {
            // Most likely a spelling mistake; it must not look as if every namespace had been removed.
            hold(outline, glob, "it matches nothing");
            found.push(
                Diagnostic::error("glob", format!("the glob `{glob}` matches no folder"))
                    .at(at.clone())
                    .hint("remove it if there are to be no such namespaces; until then nothing is deleted"),
            );
        }
        all.extend(matched);
    }
    outline.folders = all.into_iter().collect();
}

fn hold(outline: &mut Outline, glob: &str, why: &str) {
    outline
        .held
        .units
        .get_or_insert_with(|| format!("the discovery glob `{glob}`: {why}"));
}
