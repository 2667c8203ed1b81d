//! Which remotes the repositories of a fleet may name: what fleet.yaml lists, what the fleet's own files name, and what
//! lies beside that. Owns what counts as named; the rule is [`AllowList`]'s.

use super::jobs;
use super::outline::Outline;
use crate::Inputs;
use herder_base::{AllowList, AllowedRemote, Namer, Refused, Url};
use herder_job::Job;
use std::cell::OnceCell;

/// Answers who may reach what while a fleet is read.
pub(crate) struct Admission<'a> {
    inputs: &'a Inputs,
    outline: &'a Outline,
    list: AllowList,
    /// With what jobs name; they take long to read and are seldom needed for this.
    whole: OnceCell<AllowList>,
}

impl<'a> Admission<'a> {
    pub(crate) fn new(inputs: &'a Inputs, outline: &'a Outline) -> Self {
        Self {
            inputs,
            outline,
            list: list(inputs, outline, &[]),
            whole: OnceCell::new(),
        }
    }

    pub(crate) fn admit(&self, url: &Url, namer: Namer) -> Result<AllowedRemote, Refused> {
        self.list.admit(url, namer).or_else(|_| {
            let whole = self.whole.get_or_init(|| {
                let jobs = jobs::read(self.inputs, self.outline, &mut Vec::new());
                list(self.inputs, self.outline, &jobs.jobs)
            });
            whole.admit(url, namer)
        })
    }
}

/// The list, with what these jobs name.
pub(crate) fn list(inputs: &Inputs, outline: &Outline, jobs: &[Job]) -> AllowList {
    let siblings = outline.settings.sibling_remotes;
    let mut list = AllowList::default();
    list.name(&inputs.fleet_url, siblings);
    let configs = outline.environments.iter().filter_map(|e| e.config.as_ref());
    let sources = outline.applications.iter().map(|a| &a.repository);
    let checkouts = jobs.iter().flat_map(|job| &job.sources).map(|source| &source.url);
    for url in configs
        .map(|config| &config.repository)
        .chain(sources)
        .chain(checkouts)
    {
        list.name(url, siblings);
    }
    for line in &outline.settings.remotes {
        // What is no address was said when fleet.yaml was read.
        let _said = list.list(line);
    }
    list
}
