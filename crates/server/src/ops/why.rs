//! Explaining an application: what git says about it, then what the cluster says.

use super::names;
use crate::api::Failure;
use crate::state::Shared;
use crate::view::{StepView, WhyView};

impl Shared {
    /// The namespace that a name means: a namespace, or an environment's.
    pub(crate) fn namespace(&self, name: &str) -> String {
        let environment = self
            .reading()
            .and_then(|reading| Some(reading.fleet.environment(name)?.namespace.clone()));
        environment.unwrap_or_else(|| name.to_owned())
    }

    /// Why an application is as it is.
    pub(crate) async fn why(&self, application: &str, asked: &str) -> Result<WhyView, Failure> {
        let namespace = self.namespace(asked);
        let view = self.view();
        let cell = view
            .applications
            .iter()
            .find(|row| row.name == application)
            .and_then(|row| row.cells.iter().find(|cell| cell.namespace == namespace));
        let mut chain = self.git_steps(application, &namespace);
        if cell.is_none() && chain.is_empty() {
            return Err(names::no_application(&view, application, asked, &namespace));
        }
        let held = self.held(application, &namespace);
        let suspended = self.suspensions().await?;
        let suspended = suspended
            .iter()
            .find(|one| one.application == application && one.namespace == namespace);
        let refused = view
            .pass
            .refusals
            .iter()
            .find(|refusal| refusal.is_about(application, &namespace))
            .map(|refusal| (refusal.text.clone(), refusal.remedy.clone()));
        let absent = view
            .pass
            .absent
            .iter()
            .find(|absent| absent.is_about(application, &namespace))
            .cloned();
        let why = self
            .cluster
            .diagnose(&namespace, application)
            .await
            .map_err(|error| Failure::upstream(&error))?;
        chain.extend(why.chain.into_iter().map(|step| StepView {
            kind: step.kind,
            name: step.name,
            state: step.state,
            detail: step.detail,
            bad: step.bad,
        }));
        let hosts = self.refused_hosts(application, &namespace);
        chain.extend(hosts.iter().cloned());
        let mut shown = WhyView {
            application: application.to_owned(),
            namespace,
            healthy: why.healthy
                && held.is_none()
                && suspended.is_none()
                && refused.is_none()
                && absent.is_none()
                && hosts.is_empty(),
            cause: why.cause,
            remedy: why.remedy,
            chain,
            log_tail: why.log_tail,
        };
        // What keeps a new version from even being tried comes before how the old one is.
        if let Some(one) = suspended {
            shown.remedy = format!("`herder resume {application} -n {asked}` lets git have its way again");
            shown.cause = one.why();
        } else if let Some(reason) = held {
            shown.remedy = "mend what git says; until then what runs stays as it is".to_owned();
            shown.cause = format!("held: {reason}");
        } else if let Some((reason, remedy)) = refused {
            shown.remedy = remedy;
            shown.cause = format!("the cluster refused a change: {reason}");
        } else if let Some(absent) = absent.filter(|_| why.healthy) {
            shown.remedy = absent.remedy;
            shown.cause = format!("incomplete: {}", absent.text);
        } else if let Some(step) = hosts.first().filter(|_| why.healthy) {
            shown.remedy = "give the host to this namespace in fleet.yaml, or use another one".to_owned();
            shown.cause = format!("the edge does not serve Ingress {}: {}", step.name, step.detail);
        }
        Ok(shown)
    }

    /// The application's Ingresses of which the edge refuses a host, and the namespace's that say no application.
    fn refused_hosts(&self, application: &str, namespace: &str) -> Vec<StepView> {
        let refused = self.refused_hosts.load();
        let ours = refused.iter().filter(|((place, _), refusal)| {
            place == namespace && (refusal.application == application || refusal.application.is_empty())
        });
        ours.map(|((_, name), refusal)| StepView {
            kind: "Ingress".to_owned(),
            name: name.clone(),
            state: "refused".to_owned(),
            detail: refusal.reasons.join("; "),
            bad: true,
        })
        .collect()
    }

    /// The commits and files an application's objects come from.
    fn git_steps(&self, application: &str, namespace: &str) -> Vec<StepView> {
        let Some(reading) = self.reading() else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        for (_, desired) in reading.fleet.objects() {
            let ours =
                desired.application.as_deref() == Some(application) && desired.key.namespace == namespace;
            if !ours
                || !matches!(
                    desired.key.gvk.kind.as_str(),
                    "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob"
                )
            {
                continue;
            }
            let annotation = herder_object::annotations(&desired.value)
                .find(|(key, _)| *key == herder_fleet::SOURCE_ANNOTATION);
            steps.push(StepView {
                kind: "Commit".to_owned(),
                name: annotation
                    .map(|(_, value)| value.to_owned())
                    .unwrap_or_else(|| desired.source.to_string()),
                state: desired.version.clone().unwrap_or_default(),
                detail: format!("declares {}", desired.key),
                bad: false,
            });
        }
        steps
    }

    /// Why an application cannot be read from git, if so.
    fn held(&self, application: &str, namespace: &str) -> Option<String> {
        let reading = self.reading()?;
        let unit = reading
            .fleet
            .units
            .iter()
            .find(|unit| unit.namespace == namespace)?;
        unit.held
            .clone()
            .or_else(|| unit.held_applications.get(application).cloned())
    }
}
