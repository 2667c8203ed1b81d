//! Pod Security admission: what pods of a namespace may ask for, as the Pod Security Standards have it.
//!
//! Owns the levels, the labels of namespaces that choose them, and what is said. Pure: the API server asks it before it
//! stores a pod, the node agent again before it starts one. Must not look anything up.

mod baseline;
mod checks;
mod restricted;

use crate::Cause;
use serde_json::{Value, json};
use std::fmt;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much is forbidden; more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Privileged,
    /// What is known to reach beyond the pod.
    Baseline,
    /// Whatever a hardened pod does without.
    Restricted,
}

/// Which edition of the standards; later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// That of Kubernetes 1.N.
    Minor(u32),
    /// The newest known.
    Latest,
}

/// A level in an edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// How much is allowed.
    pub level: Level,
    /// As it was in that release.
    pub version: Version,
}

/// What holds for a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What is refused.
    pub enforce: Mode,
    /// What the author is warned of.
    pub warn: Mode,
}

/// One thing that a pod must not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    reason: String,
    detail: String,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::Latest => write!(f, "{}:latest", self.level),
            Version::Minor(minor) => write!(f, "{}:v1.{minor}", self.level),
        }
    }
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let digits = text.strip_prefix("v1.")?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let padded = digits.len() > 1 && digits.starts_with('0');
        digits.parse().ok().filter(|_| plain && !padded).map(Self::Minor)
    }
}

impl Policy {
    /// What a namespace's labels say; `baseline` is enforced and `restricted` warned of where they say nothing.
    pub fn of(namespace: &Value) -> Self {
        let label = |name: &str| {
            namespace
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(format!("{PREFIX}{name}")))
                .and_then(Value::as_str)
        };
        let mode = |name: &str, default: Level, if_wrong: Level| Mode {
            level: label(name).map_or(default, |text| Level::parse(text).unwrap_or(if_wrong)),
            version: label(&format!("{name}-version"))
                .and_then(Version::parse)
                .unwrap_or(Version::Latest),
        };
        Self {
            // What cannot be understood must not open anything.
            enforce: mode("enforce", Level::Baseline, Level::Restricted),
            warn: mode("warn", Level::Restricted, Level::Restricted),
        }
    }

    /// Whether `other` lets pods do what this does not.
    pub fn is_stricter_than(&self, other: &Self) -> bool {
        let (own, other) = (self.enforce, other.enforce);
        if own.level == Level::Privileged {
            return false;
        }
        other.level < own.level || other.version < own.version
    }
}

/// What is wrong with a namespace's labels.
pub fn check_labels(namespace: &Value) -> Vec<Cause> {
    let labels = namespace.pointer("/metadata/labels").and_then(Value::as_object);
    let wrong = labels.into_iter().flatten().filter_map(|(key, value)| {
        let name = key.strip_prefix(PREFIX)?;
        let text = value.as_str().unwrap_or_default();
        let why = match name {
            "enforce" | "audit" | "warn" => Level::parse(text)
                .is_none()
                .then_some("must be one of privileged, baseline, restricted"),
            "enforce-version" | "audit-version" | "warn-version" => Version::parse(text)
                .is_none()
                .then_some("must be \"latest\" or \"v1.x\""),
            _ => None,
        }?;
        Some(Cause {
            reason: "FieldValueInvalid".to_owned(),
            message: format!("Invalid value: {}: {why}", json!(text)),
            field: format!("metadata.labels[{key}]"),
        })
    });
    wrong.collect()
}

/// What a pod or pod template (`metadata` and `spec`) does that a level forbids.
pub fn evaluate(mode: Mode, pod: &Value) -> Vec<Finding> {
    checks::run(mode, &checks::Pod::of(pod))
}

/// Findings in Kubernetes' words.
pub fn describe(findings: &[Finding]) -> String {
    let parts: Vec<String> = findings
        .iter()
        .map(|finding| match finding.detail.as_str() {
            "" => finding.reason.clone(),
            detail => format!("{} ({detail})", finding.reason),
        })
        .collect();
    parts.join(", ")
}

/// Why a pod may not be in a namespace; an update may go on doing what the pod did before.
pub fn refusal(namespace: &Value, pod: &Value, before: Option<&Value>) -> Option<String> {
    let mode = Policy::of(namespace).enforce;
    let findings = evaluate(mode, pod);
    if findings.is_empty() || before.is_some_and(|before| evaluate(mode, before) == findings) {
        return None;
    }
    Some(format!(
        "violates PodSecurity \"{mode}\": {}",
        describe(&findings)
    ))
}

/// What the author of a pod or pod template should know, if it is not refused already.
pub fn warning(namespace: &Value, pod: &Value) -> Option<String> {
    let mode = Policy::of(namespace).warn;
    let findings = evaluate(mode, pod);
    (!findings.is_empty()).then(|| format!("would violate PodSecurity \"{mode}\": {}", describe(&findings)))
}

/// What the pods that are in a namespace already do that its new policy forbids, as one warning and a line for each kind
/// of finding.
pub fn of_namespace<'a>(
    namespace: &Value,
    before: Option<&Value>,
    pods: impl Iterator<Item = &'a Value>,
) -> Vec<String> {
    let mode = Policy::of(namespace).enforce;
    let old = before.map(|before| Policy::of(before).enforce);
    if mode.level == Level::Privileged || old.is_none() || old == Some(mode) {
        return Vec::new();
    }
    let mut found: std::collections::BTreeMap<String, Vec<&str>> = std::collections::BTreeMap::new();
    // As Kubernetes: so many pods are enough to know.
    for pod in pods.take(3000) {
        let findings = evaluate(mode, pod);
        if !findings.is_empty() {
            let reasons: Vec<&str> = findings.iter().map(|finding| finding.reason.as_str()).collect();
            found
                .entry(reasons.join(", "))
                .or_default()
                .push(crate::name(pod));
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "existing pods in namespace \"{}\" violate the new PodSecurity enforce level \"{mode}\"",
        crate::name(namespace)
    )];
    lines.extend(found.into_iter().map(|(reasons, names)| match names.as_slice() {
        [only] => format!("{only}: {reasons}"),
        [first, rest @ ..] => {
            let other = if rest.len() == 1 {
                "other pod"
            } else {
                "other pods"
            };
            format!("{first} (and {} {other}): {reasons}", rest.len())
        }
        [] => reasons,
    }));
    lines
}

#[cfg(test)]
mod tests;
