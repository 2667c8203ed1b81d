//! jobs/**.groovy: Job DSL scripts, as they are.

use crate::Inputs;
use herder_base::{Diagnostic, Severity};
use herder_job::Job;
use herder_jobdsl::{ItemKind, Options, compile};

/// The jobs of one script, and whether all of it could be read.
pub(crate) fn read(inputs: &Inputs, path: &str, found: &mut Vec<Diagnostic>) -> (Vec<Job>, bool) {
    // A seed repository is put below `jobs/` as it is, and its scripts name its files from there.
    let options = Options {
        seed: "jobs".to_owned(),
        ..Options::default()
    };
    let made = compile(&inputs.root, path, &options);
    let whole = !made.diagnostics.iter().any(|d| d.severity == Severity::Error);
    found.extend(made.diagnostics);
    let mut jobs = Vec::new();
    for item in made.items.into_iter().filter(|item| item.kind == ItemKind::Job) {
        found.extend(item.warnings);
        if let Some(mut job) = item.job {
            for source in &mut job.sources {
                source.url = inputs.fleet_url.resolve(source.url.expose());
            }
            jobs.push(job);
        }
    }
    (jobs, whole)
}
