//! What each part says alone is right, but does not fit together. Only warnings: whoever runs Vault or the cluster may
//! know more than git says.

use crate::render;
use crate::{Environment, Role, Unit};
use herder_base::{Diagnostic, suggest};
use herder_job::{Job, Target};
use serde_json::Value;

/// Pods that log in to Vault as a role that does not admit them.
pub(crate) fn vault_roles(units: &[Unit], roles: &[Role], found: &mut Vec<Diagnostic>) {
    // A fleet without roles leaves them to whoever runs Vault.
    if roles.is_empty() {
        return;
    }
    for object in units.iter().flat_map(|unit| &unit.objects) {
        let Some(pod) = render::pod(&object.value) else {
            continue;
        };
        let Some(name) = herder_object::annotations(pod).find(|(key, _)| *key == "herder.dev/vault-role")
        else {
            continue;
        };
        let name = name.1.trim();
        let account = pod
            .pointer("/spec/serviceAccountName")
            .and_then(Value::as_str)
            .unwrap_or("default");
        let Some(role) = roles.iter().find(|role| role.name == name) else {
            let message = format!(
                "{} logs in to Vault as role `{name}`, which is not in policies/roles.yaml",
                object.key
            );
            let mut diagnostic = Diagnostic::warning("vault-role", message).at(object.source.clone());
            let near = suggest(name, roles.iter().map(|role| role.name.as_str()));
            diagnostic.hint = near.map(|near| format!("did you mean `{near}`?"));
            found.push(diagnostic);
            continue;
        };
        let admits = |all: &[String], one: &str| all.iter().any(|pattern| super::wildcard(pattern, one));
        if !admits(&role.service_accounts, account) || !admits(&role.namespaces, &object.key.namespace) {
            let message = format!(
                "{} logs in to Vault as role `{name}`, which does not admit service account `{account}` of namespace `{}`",
                object.key, object.key.namespace
            );
            let hint = format!("add them to the role at {}", role.source);
            found.push(
                Diagnostic::warning("vault-role", message)
                    .at(object.source.clone())
                    .hint(hint),
            );
        }
    }
}

/// Jobs that deploy to a namespace in which Herder makes no service account for them.
pub(crate) fn job_targets(jobs: &[Job], environments: &[Environment], found: &mut Vec<Diagnostic>) {
    for job in jobs {
        let Target::Fixed(namespace) = &job.target else {
            continue;
        };
        if !environments
            .iter()
            .any(|environment| environment.namespace == *namespace)
        {
            found.push(
                Diagnostic::warning(
                    "job-target",
                    format!(
                        "the job `{}` deploys to namespace `{namespace}`, which is no environment",
                        job.name
                    ),
                )
                .at(job.at.clone())
                .hint(format!(
                    "add environments/{namespace}.yaml, or a service account `{}` with rights there",
                    render::DEPLOYER
                )),
            );
        }
    }
}
