//! Explaining an application: what git says about it, then what the cluster says.

use crate::api::Failure;
use crate::state::Shared;
use crate::view::{StepView, WhyView};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use herder_cluster::LogOptions;
use std::fmt::Write;

impl Shared {
    /// The namespace that a name means: a namespace, or an environment's.
    fn namespace(&self, name: &str) -> String {
        let environment = self
            .reading()
            .and_then(|reading| Some(reading.fleet.environment(name)?.namespace.clone()));
        environment.unwrap_or_else(|| name.to_owned())
    }

    /// Why an application is as it is.
    pub(crate) async fn why(&self, application: &str, namespace: &str) -> Result<WhyView, Failure> {
        let namespace = self.namespace(namespace);
        let view = self.view();
        let cell = view
            .applications
            .iter()
            .find(|row| row.name == application)
            .and_then(|row| row.cells.iter().find(|cell| cell.namespace == namespace));
        let mut chain = self.git_steps(application, &namespace);
        if cell.is_none() && chain.is_empty() {
            let names = view.applications.iter().map(|row| row.name.as_str());
            let failure = Failure::not_found(format!("no application `{application}` is in `{namespace}`"));
            return Err(match herder_base::suggest(application, names) {
                Some(near) if near != application => failure.hint(format!("did you mean `{near}`?")),
                _ => failure.hint("`herder status` lists applications and where they are"),
            });
        }
        let held = self.held(application, &namespace);
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
                && refused.is_none()
                && absent.is_none()
                && hosts.is_empty(),
            cause: why.cause,
            remedy: why.remedy,
            chain,
            log_tail: why.log_tail,
        };
        // What keeps a new version from even being tried comes before how the old one is.
        if let Some(reason) = held {
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

    /// The logs of an application's pods, line by line, each with its pod and container in front.
    pub(crate) async fn logs(
        &self,
        application: &str,
        namespace: &str,
        follow: bool,
        tail: Option<i64>,
    ) -> Result<impl Stream<Item = Bytes> + Send + 'static, Failure> {
        let namespace = self.namespace(namespace);
        let states = self.cluster.applications();
        let state = states
            .into_iter()
            .find(|state| state.application == application && state.namespace == namespace);
        let state = state.ok_or_else(|| {
            Failure::not_found(format!("no application `{application}` runs in `{namespace}`"))
        })?;
        let mut streams = Vec::new();
        for pod in state.pods {
            let object = self
                .cluster
                .get("v1", "Pod", &namespace, &pod.name)
                .await
                .map_err(|error| Failure::upstream(&error))?;
            let containers = object
                .as_ref()
                .and_then(|pod| pod.pointer("/spec/containers")?.as_array())
                .into_iter()
                .flatten();
            for container in containers.filter_map(|container| container["name"].as_str()) {
                let options = LogOptions {
                    follow,
                    tail,
                    previous: false,
                };
                let prefix = format!("{}/{container}: ", pod.name);
                let log = self.cluster.logs(&namespace, &pod.name, container, options).await;
                // A container that has not started has no log yet; the others' are shown all the same.
                let log = futures::stream::iter(log).flatten();
                streams.push(Box::pin(lines(log, prefix)));
            }
        }
        Ok(futures::stream::select_all(streams))
    }
}

/// Whole lines with a prefix; a log that cannot be read says so in a line.
fn lines<E: std::error::Error + 'static>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    prefix: String,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let mut rest = Vec::new();
    stream.map(move |chunk| {
        let mut out = String::new();
        match chunk {
            Ok(bytes) => rest.extend_from_slice(&bytes),
            Err(error) => rest.extend_from_slice(
                format!("the log cannot be read: {}\n", herder_base::chain(&error)).as_bytes(),
            ),
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            // Writing to a string cannot fail.
            let _written = write!(out, "{prefix}{}", String::from_utf8_lossy(&line));
        }
        Bytes::from(out)
    })
}
