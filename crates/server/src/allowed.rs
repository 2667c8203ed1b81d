//! Which remotes may be reached now: the list of the fleet that was read last. Every address that comes out of a job, a
//! run or a request passes here before git sees it.

use herder_base::{AllowList, AllowedRemote, Namer, Refused, Url};
use herder_fleet::Fleet;
use herder_jobs::expand;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The list in force. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Allowed(Arc<Mutex<Arc<AllowList>>>);

impl Allowed {
    /// Before anything is read, only the fleet repository itself.
    pub(crate) fn new(fleet: &Url) -> Self {
        let mut list = AllowList::default();
        list.name(fleet, false);
        Self(Arc::new(Mutex::new(Arc::new(list))))
    }

    /// Puts another list in force: what the fleet allows, and what its jobs are without anybody's parameters.
    pub(crate) fn put(&self, fleet_url: &Url, fleet: &Fleet) {
        let mut list = fleet.remotes.clone();
        list.name(fleet_url, false);
        for job in &fleet.jobs {
            let defaults: BTreeMap<String, String> = job
                .parameters
                .iter()
                .map(|parameter| (parameter.name.clone(), parameter.default_value()))
                .collect();
            for source in &job.sources {
                list.name(&Url::from(expand(source.url.expose(), &defaults)), false);
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
    }

    /// A remote that a job or a run names.
    pub(crate) fn admit(&self, url: &Url) -> Result<AllowedRemote, Refused> {
        let list = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        list.admit(url, Namer::Other)
    }
}
