//! What a run may ask of the platform: what its job's definition declares, on its own environments, and nothing more.
//!
//! Owns the rule alone. Whoever serves a request asks here first, and says no in the words that are found here.

use crate::api::Failure;
use crate::view::View;
use herder_fleet::{Environment, EnvironmentKind, Fleet};
use herder_jobs::{Job, May, RunId, Scope, Target};
use std::collections::BTreeMap;

/// A run's rights.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    /// What its job may do.
    pub(crate) may: May,
    /// The namespace it deploys to; a job that deploys nowhere is the platform's.
    pub(crate) namespace: Option<String>,
}

impl Rights {
    /// Whether a namespace is the run's own.
    fn owns(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    fn holds(&self, scope: Option<&Scope>, environment: &Environment) -> bool {
        scope.is_some_and(|scope| scope.holds(&environment.name, self.owns(&environment.namespace)))
    }

    /// Whether it may bring an environment up and down.
    pub(crate) fn env(&self, run: &RunId, fleet: &Fleet, name: &str) -> Result<(), Failure> {
        self.on_environment(run, fleet, name, "env", self.may.env.as_ref())
    }

    /// Whether it may promote to an environment.
    pub(crate) fn promote(&self, run: &RunId, fleet: &Fleet, name: &str) -> Result<(), Failure> {
        self.on_environment(run, fleet, name, "promote", self.may.promote.as_ref())
    }

    fn on_environment(
        &self,
        run: &RunId,
        fleet: &Fleet,
        name: &str,
        word: &str,
        scope: Option<&Scope>,
    ) -> Result<(), Failure> {
        let what = match word {
            "promote" => format!("promote to `{name}`"),
            _ => format!("bring `{name}` up or down"),
        };
        let Some(scope) = scope else {
            return Err(undeclared(run, &what, word));
        };
        let held = match fleet.environment(name) {
            Some(environment) => self.holds(Some(scope), environment),
            // Whether it exists is told only to whom it would be open.
            None => scope.holds(name, self.namespace.is_none()),
        };
        if held {
            Ok(())
        } else {
            Err(elsewhere(run, &what, word, name))
        }
    }

    /// Whether it may start a job with these parameters.
    pub(crate) fn start(
        &self,
        run: &RunId,
        job: &Job,
        given: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let what = format!("start the job `{}`", job.name);
        let Some(scope) = &self.may.run else {
            return Err(undeclared(run, &what, "run"));
        };
        let namespace = match &job.target {
            Target::None => None,
            Target::Fixed(namespace) => Some(namespace.clone()),
            Target::Parameter(name) => {
                let default = || {
                    job.parameters
                        .iter()
                        .find(|p| p.name == *name)
                        .map(|p| p.default_value())
                };
                given.get(name).cloned().or_else(default)
            }
        };
        let own = match (&self.namespace, namespace) {
            (None, _) => true,
            (Some(own), Some(namespace)) => *own == namespace,
            // One that deploys nowhere is the platform's: its rights are not this run's to use.
            (Some(_), None) => job.may.is_nothing(),
        };
        if scope.holds(&job.name, own) {
            Ok(())
        } else {
            Err(elsewhere(run, &what, "run", &job.name))
        }
    }

    /// Whether it may read a job's runs: its own job's, and those of jobs that it may start.
    pub(crate) fn reads(&self, run: &RunId, job: &Job, namespace: Option<&str>) -> Result<(), Failure> {
        if job.name == run.job {
            return Ok(());
        }
        match namespace {
            Some(namespace) => {
                let what = format!("read runs of `{}`", job.name);
                let scope = self
                    .may
                    .run
                    .as_ref()
                    .ok_or_else(|| undeclared(run, &what, "run"))?;
                if scope.holds(&job.name, self.owns(namespace)) {
                    Ok(())
                } else {
                    Err(elsewhere(run, &what, "run", &job.name))
                }
            }
            None => self.start(run, job, &BTreeMap::new()),
        }
    }

    /// Whether it may see how a namespace is: its own, and those of environments that it may do something to.
    pub(crate) fn sees(&self, fleet: &Fleet, namespace: &str) -> bool {
        if self.namespace.as_deref() == Some(namespace) {
            return true;
        }
        let mut environments = fleet.environments.iter();
        environments.any(|environment| {
            let developer = matches!(environment.kind, EnvironmentKind::Developer(_));
            environment.namespace == namespace
                && ((developer && self.holds(self.may.env.as_ref(), environment))
                    || self.holds(self.may.promote.as_ref(), environment))
        })
    }

    /// The part of the view that it may see.
    pub(crate) fn view(&self, fleet: &Fleet, whole: &View) -> View {
        let mut view = View {
            fleet: whole.fleet.clone(),
            stages: whole.stages.clone(),
            applications: whole.applications.clone(),
            environments: whole.environments.clone(),
            ..View::default()
        };
        view.environments
            .retain(|environment| self.sees(fleet, &environment.namespace));
        let names: Vec<&str> = view
            .environments
            .iter()
            .map(|environment| environment.name.as_str())
            .collect();
        view.stages.retain(|stage| names.contains(&stage.as_str()));
        for row in &mut view.applications {
            row.cells.retain(|cell| self.sees(fleet, &cell.namespace));
            row.health = row.cells.iter().map(|cell| cell.health).min().unwrap_or_default();
        }
        view.applications.retain(|row| !row.cells.is_empty());
        view
    }
}

fn undeclared(run: &RunId, what: &str, word: &str) -> Failure {
    Failure::forbidden(format!("{run} may not {what}: its job does not say that it may")).hint(format!(
        "write `may: [{word}]` in the job's file in the fleet repository"
    ))
}

fn elsewhere(run: &RunId, what: &str, word: &str, name: &str) -> Failure {
    Failure::forbidden(format!("{run} may not {what}: it is not the job's own")).hint(format!(
        "a job may do so to its own environment only, or to what its file names: `may: {{{word}: [{name}]}}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_fleet::Lease;

    fn run() -> RunId {
        RunId {
            job: "j".to_owned(),
            number: 1,
        }
    }

    fn fleet() -> Fleet {
        let environment = |name: &str, kind| Environment {
            name: name.to_owned(),
            namespace: format!("ns-{name}"),
            kind,
            after: None,
            stage: None,
            config: None,
            include: Vec::new(),
            state: Vec::new(),
            team: None,
            labels: BTreeMap::new(),
            pod_security: None,
            deployer_role: None,
            quota: BTreeMap::new(),
            substitute: None,
            cluster_scoped: false,
            source: herder_base::Location::default(),
        };
        Fleet {
            environments: vec![
                environment("staging", EnvironmentKind::Permanent),
                environment("production", EnvironmentKind::Permanent),
                environment("dev-a", EnvironmentKind::Developer(Lease::default())),
                environment("dev-b", EnvironmentKind::Developer(Lease::default())),
            ],
            ..Fleet::default()
        }
    }

    fn rights(may: May, namespace: Option<&str>) -> Rights {
        Rights {
            may,
            namespace: namespace.map(str::to_owned),
        }
    }

    fn named(names: &[&str]) -> Option<Scope> {
        Some(Scope::These(
            names.iter().map(|name| (*name).to_owned()).collect(),
        ))
    }

    #[test]
    fn nothing_is_allowed_that_is_not_declared() {
        let (fleet, run) = (fleet(), run());
        for namespace in [None, Some("ns-staging"), Some("ns-dev-a")] {
            let none = rights(May::default(), namespace);
            assert!(none.env(&run, &fleet, "dev-a").is_err());
            assert!(none.promote(&run, &fleet, "staging").is_err());
            assert!(none.start(&run, &Job::default(), &BTreeMap::new()).is_err());
            assert!(!none.sees(&fleet, "ns-production"));
        }
        let failure = rights(May::default(), None)
            .env(&run, &fleet, "dev-a")
            .unwrap_err();
        let (said, hint) = failure.for_people();
        assert_eq!(
            said,
            "j #1 may not bring `dev-a` up or down: its job does not say that it may"
        );
        assert!(hint.contains("may: [env]"), "{hint}");
    }

    #[test]
    fn what_is_declared_is_for_its_own() {
        let (fleet, run) = (fleet(), run());
        let all = || May {
            env: Some(Scope::Own),
            promote: Some(Scope::Own),
            run: Some(Scope::Own),
        };
        let staging = rights(all(), Some("ns-staging"));
        assert!(staging.promote(&run, &fleet, "staging").is_ok());
        assert!(staging.promote(&run, &fleet, "production").is_err());
        assert!(staging.env(&run, &fleet, "dev-a").is_err());
        let platform = rights(all(), None);
        assert!(
            platform.env(&run, &fleet, "dev-a").is_ok()
                && platform.promote(&run, &fleet, "production").is_ok()
        );
        let some = rights(
            May {
                env: named(&["dev-a"]),
                ..May::default()
            },
            None,
        );
        assert!(some.env(&run, &fleet, "dev-a").is_ok());
        assert!(some.env(&run, &fleet, "dev-b").is_err() && some.promote(&run, &fleet, "staging").is_err());
        assert!(
            some.sees(&fleet, "ns-dev-a")
                && !some.sees(&fleet, "ns-dev-b")
                && !some.sees(&fleet, "ns-staging")
        );
    }

    #[test]
    fn a_job_starts_no_job_of_more_rights() {
        let run = run();
        let own = rights(
            May {
                run: Some(Scope::Own),
                ..May::default()
            },
            Some("ns-staging"),
        );
        let job = |target, may| Job {
            name: "x".to_owned(),
            target,
            may,
            parameters: vec![herder_jobs::Parameter {
                name: "NAMESPACE".to_owned(),
                description: String::new(),
                kind: herder_jobs::ParameterKind::String {
                    default: "ns-staging".to_owned(),
                },
            }],
            ..Job::default()
        };
        let powerful = May {
            promote: Some(Scope::Own),
            ..May::default()
        };
        let to = |namespace: &str| [("NAMESPACE".to_owned(), namespace.to_owned())].into();
        let parameter = || Target::Parameter("NAMESPACE".to_owned());
        for (target, may, given, expected) in [
            (
                Target::Fixed("ns-staging".to_owned()),
                May::default(),
                BTreeMap::new(),
                true,
            ),
            (
                Target::Fixed("ns-production".to_owned()),
                May::default(),
                BTreeMap::new(),
                false,
            ),
            (parameter(), May::default(), BTreeMap::new(), true),
            (parameter(), May::default(), to("ns-production"), false),
            (Target::None, May::default(), BTreeMap::new(), true),
            (Target::None, powerful, BTreeMap::new(), false),
        ] {
            let job = job(target, may);
            assert_eq!(
                own.start(&run, &job, &given).is_ok(),
                expected,
                "{job:?} {given:?}"
            );
        }
    }
}
