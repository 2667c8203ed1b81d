//! From a wish to parameters: defaults filled in, values checked, secrets hidden.

use super::handle::TriggerError;
use herder_base::Secret;
use herder_job::{Job, ParameterKind, Target};
use std::collections::BTreeMap;

/// What stands in records where a secret was.
pub(super) const HIDDEN: &str = "********";

/// All parameters of a run. `strict` refuses names the job does not have; triggers by other jobs drop them.
pub(super) fn parameters(
    definition: &Job,
    given: &BTreeMap<String, String>,
    strict: bool,
) -> Result<BTreeMap<String, String>, TriggerError> {
    let job = || definition.name.clone();
    if strict
        && let Some(name) = given
            .keys()
            .find(|name| !definition.parameters.iter().any(|p| p.name == **name))
    {
        let known: Vec<&str> = definition.parameters.iter().map(|p| p.name.as_str()).collect();
        return Err(TriggerError::NoParameter {
            job: job(),
            name: name.clone(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        });
    }
    let mut out = BTreeMap::new();
    for parameter in &definition.parameters {
        let value = given.get(&parameter.name).cloned();
        let value = value.unwrap_or_else(|| parameter.default_value());
        let wrong = |why: String| TriggerError::Value {
            job: job(),
            name: parameter.name.clone(),
            value: if parameter.is_secret() {
                HIDDEN.to_owned()
            } else {
                value.clone()
            },
            why,
        };
        match &parameter.kind {
            ParameterKind::Choice { choices, .. } if !choices.contains(&value) => {
                return Err(wrong(format!("choose one of {}", choices.join(", "))));
            }
            ParameterKind::Boolean { .. } if value != "true" && value != "false" => {
                return Err(wrong("write true or false".to_owned()));
            }
            _ => {}
        }
        if matches!(&definition.target, Target::Parameter(name) if *name == parameter.name)
            && !is_namespace(&value)
        {
            return Err(wrong(
                "a namespace has up to 63 lower-case letters, digits and inner dashes".to_owned(),
            ));
        }
        out.insert(parameter.name.clone(), value);
    }
    Ok(out)
}

fn is_namespace(value: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    value.len() <= 63
        && edge(value.as_bytes().first())
        && edge(value.as_bytes().last())
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The namespace a run deploys to.
pub(super) fn namespace(definition: &Job, parameters: &BTreeMap<String, String>) -> Option<String> {
    match &definition.target {
        Target::None => None,
        Target::Fixed(name) => Some(name.clone()),
        Target::Parameter(name) => parameters.get(name).filter(|value| !value.is_empty()).cloned(),
    }
}

/// The parameters as they may be recorded.
pub(super) fn hidden(definition: &Job, parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut out = parameters.clone();
    for parameter in definition.parameters.iter().filter(|p| p.is_secret()) {
        if let Some(value) = out.get_mut(&parameter.name).filter(|value| !value.is_empty()) {
            HIDDEN.clone_into(value);
        }
    }
    out
}

/// The values that must not be seen.
pub(super) fn secrets(definition: &Job, parameters: &BTreeMap<String, String>) -> Vec<Secret<String>> {
    definition
        .parameters
        .iter()
        .filter(|parameter| parameter.is_secret())
        .filter_map(|parameter| parameters.get(&parameter.name))
        .map(|value| Secret::new(value.clone()))
        .collect()
}
