//! The controls that `restricted` adds. Kubernetes exempts pods for Windows from some; here every pod runs on Linux, so
//! none is exempt.

use super::baseline::SECCOMP;
use super::checks::{
    Pod, containers, finding, items, name, of, plural, quoted, set, setters, text, wrong_values,
};
use super::{Finding, Version};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn escalation(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let names = pod.those(|container| of(container, "allowPrivilegeEscalation") != Some(&Value::Bool(false)));
    (!names.is_empty()).then(|| {
        finding(
            "allowPrivilegeEscalation != false",
            format!(
                "{} must set securityContext.allowPrivilegeEscalation=false",
                containers(&names)
            ),
        )
    })
}

pub(super) fn capabilities(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let keeping = pod.those(|container| {
        !items(container, "/securityContext/capabilities/drop").any(|dropped| dropped == "ALL")
    });
    let added = |container: &Value| -> BTreeSet<String> {
        items(container, "/securityContext/capabilities/add")
            .map(|one| text(Some(one)))
            .filter(|one| one != "NET_BIND_SERVICE")
            .collect()
    };
    let adding = pod.those(|container| !added(container).is_empty());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            containers(&keeping)
        ));
    }
    if !adding.is_empty() {
        let all: BTreeSet<String> = pod
            .containers
            .iter()
            .flat_map(|container| added(container))
            .collect();
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(&all)
        ));
    }
    (!details.is_empty()).then(|| finding("unrestricted capabilities", details.join("; ")))
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn volumes(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let wrong = |volume: &Value| -> BTreeSet<String> {
        let fields = volume.as_object();
        fields
            .into_iter()
            .flatten()
            .filter(|(key, value)| {
                key.as_str() != "name" && set(Some(value)).is_some() && !VOLUMES.contains(&key.as_str())
            })
            .map(|(key, _)| key.clone())
            .collect()
    };
    let bad: Vec<&Value> = items(pod.spec, "/volumes")
        .filter(|volume| !wrong(volume).is_empty())
        .collect();
    let kinds: BTreeSet<String> = bad.iter().flat_map(|volume| wrong(volume)).collect();
    let names: Vec<&str> = bad.into_iter().map(name).collect();
    (!names.is_empty()).then(|| {
        finding(
            "restricted volume types",
            format!(
                "{} {} {} {} {}",
                plural("volume", "volumes", names.len()),
                quoted(&names),
                plural("uses", "use", names.len()),
                plural("restricted volume type", "restricted volume types", kinds.len()),
                quoted(&kinds)
            ),
        )
    })
}

pub(super) fn non_root(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    const REASON: &str = "runAsNonRoot != true";
    let yes = Value::Bool(true);
    let own = pod.own("runAsNonRoot");
    let explicit = pod.those(|container| of(container, "runAsNonRoot").is_some_and(|value| *value != yes));
    if let Some(who) = setters(own.is_some_and(|value| *value != yes), &explicit) {
        return Some(finding(
            REASON,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        ));
    }
    if own.is_some() {
        return None;
    }
    let silent = pod.those(|container| of(container, "runAsNonRoot").is_none());
    (!silent.is_empty()).then(|| {
        finding(
            REASON,
            format!(
                "pod or {} must set securityContext.runAsNonRoot=true",
                containers(&silent)
            ),
        )
    })
}

pub(super) fn user(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    let root = |value: Option<&Value>| value.is_some_and(|value| value.as_f64() == Some(0.0));
    let who = setters(
        root(pod.own("runAsUser")),
        &pod.those(|container| root(of(container, "runAsUser"))),
    )?;
    Some(finding("runAsUser=0", format!("{who} must not set runAsUser=0")))
}

pub(super) fn seccomp(pod: &Pod<'_>, _: Version) -> Option<Finding> {
    const FIELD: &str = "seccompProfile/type";
    if let Some((who, values)) = wrong_values(pod, FIELD, &SECCOMP) {
        return Some(finding(
            "seccompProfile",
            format!(
                "{who} must not set securityContext.seccompProfile.type to {}",
                quoted(&values)
            ),
        ));
    }
    if pod.own(FIELD).is_some() {
        return None;
    }
    let silent = pod.those(|container| of(container, FIELD).is_none());
    (!silent.is_empty()).then(|| {
        finding(
            "seccompProfile",
            format!(
                "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
                containers(&silent)
            ),
        )
    })
}
