//! Reading: which repositories are needed, and what they say.

mod acknowledged;
mod applications;
pub(crate) mod configs;
mod discover;
mod documents;
mod environments;
mod folders;
mod glob;
mod hooks;
mod jobdsl;
mod jobs;
mod judge;
pub(crate) mod kustomize;
mod links;
mod lint;
mod objects;
pub(crate) mod outline;
mod place;
mod policies;
mod remotes;
mod renders;
mod security;
mod settings;
mod stacks;
mod substitute;
mod teams;
mod units;
mod values;

pub(crate) use glob::wildcard;
pub use renders::Renders;

use crate::{Fleet, Inputs, SourceRef};
use herder_base::{AllowList, Diagnostic, Namer};
use std::collections::BTreeSet;

/// The other repositories that `inputs` refers to, as far as its trees show: configs of environments, and remote bases
/// of kustomizations. What a repository other than the fleet's names is held against the fleet's list of remotes; one
/// that is refused has the reason in [`SourceRef::remote`]. Fetch what is missing from `inputs.trees` and ask again, until nothing is.
#[must_use]
pub fn sources(inputs: &Inputs) -> Vec<SourceRef> {
    let outline = outline::read(inputs, &mut Vec::new());
    let mut wanted = BTreeSet::new();
    for environment in &outline.environments {
        if let Some(config) = &environment.config
            && !configs::is_root(inputs, config)
        {
            // The fleet's own file names it.
            let remote = AllowList::default().admit(&config.repository, Namer::Fleet);
            wanted.insert(SourceRef {
                url: config.repository.clone(),
                reference: config.branch.clone(),
                why: environment.source.clone(),
                remote: Some(remote),
            });
        }
    }
    kustomize::remotes(inputs, &outline, &mut wanted);
    wanted.into_iter().collect()
}

/// Reads the fleet. What cannot be read is held and said, everything else is there.
#[must_use]
pub fn read(inputs: &Inputs) -> (Fleet, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let outline = outline::read(inputs, &mut found);
    let jobs = jobs::read(inputs, &outline, &mut found);
    let (policies, roles, held_policies) = policies::read(inputs, &mut found);
    stacks::read(inputs, &mut found);
    let acknowledged = acknowledged::read(inputs, &mut found);
    let units = units::read(inputs, &outline, &mut found);
    inputs.renders.end_pass();
    lint::vault_roles(&units, &roles, &mut found);
    lint::job_targets(&jobs.jobs, &outline.environments, &mut found);
    let remotes = remotes::list(inputs, &outline, &jobs.jobs);
    let mut held = outline.held;
    held.jobs = jobs.held;
    held.policies = held_policies.policies;
    held.roles = held_policies.roles;
    held.fleet.clone_from(&outline.broken);
    let applications =
        applications::complete(outline.applications, &outline.environments, &units, &mut found);
    let fleet = Fleet {
        name: outline.name,
        commit: inputs.root.commit().clone(),
        settings: outline.settings,
        units,
        environments: outline.environments,
        applications,
        teams: outline.teams,
        jobs: jobs.jobs,
        policies,
        roles,
        held,
        remotes,
        acknowledged,
    };
    found.sort_by(|a, b| (&a.at, a.severity, &a.message).cmp(&(&b.at, b.severity, &b.message)));
    found.dedup();
    (fleet, found)
}
