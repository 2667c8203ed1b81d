//! The only job that is not declared anywhere.

use herder_base::Url;
use herder_jobs::{Action, Job, Origin, Retention, Source, Step};

/// Its name.
pub(crate) const UPDATE_JOBS: &str = "update-jobs";

/// `update-jobs`: reads the fleet repository and makes the set of jobs match it. The flow starts it for every commit that
/// it reads.
pub(crate) fn update_jobs(fleet_url: &Url, branch: &str) -> Job {
    Job {
        name: UPDATE_JOBS.to_owned(),
        description: "Checks out the fleet repository and creates all other jobs from it".to_owned(),
        sources: vec![Source {
            url: fleet_url.clone(),
            branch: branch.to_owned(),
            ..Source::default()
        }],
        steps: vec![Step::Action(Action::UpdateJobs)],
        quiet_period: Some(0),
        retention: Retention {
            runs: Some(50),
            age: None,
        },
        origin: Origin::BuiltIn,
        ..Job::default()
    }
}
