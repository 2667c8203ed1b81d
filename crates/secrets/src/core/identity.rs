//! Entities behind log ins: which one an alias belongs to and which policies it brings. Owns the stored form; the HTTP
//! paths are in `engines::identity`.

use super::context::Cx;
use super::params::Login;
use crate::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An entity, as far as log ins need it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) disabled: bool,
}

/// The entity of a log in, if its alias has one.
pub(crate) fn entity_for_login(_cx: &mut Cx<'_>, _login: &Login) -> Result<Option<Entity>> {
    Ok(None)
}

/// Policies an entity brings by itself and by its groups.
pub(crate) fn policies_of(_cx: &mut Cx<'_>, entity: &Entity) -> Result<Vec<String>> {
    Ok(entity.policies.clone())
}

/// An entity by its id; none for the empty id.
pub(crate) fn by_id(_cx: &mut Cx<'_>, _id: &str) -> Result<Option<Entity>> {
    Ok(None)
}

/// A policy with `{{identity.…}}` filled in; rules that cannot be filled are left out.
pub(crate) fn fill(policy: &super::policy::Policy, entity: Option<&Entity>) -> super::policy::Policy {
    let rules = policy
        .rules
        .iter()
        .filter_map(|rule| {
            let mut rule = rule.clone();
            rule.path = fill_text(&rule.path, entity)?;
            Some(rule)
        })
        .collect();
    super::policy::Policy { rules }
}

fn fill_text(text: &str, entity: Option<&Entity>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}")?;
        let entity = entity?;
        let value = match name.trim() {
            "identity.entity.id" => entity.id.as_str(),
            "identity.entity.name" => entity.name.as_str(),
            other => entity
                .metadata
                .get(other.strip_prefix("identity.entity.metadata.")?)?
                .as_str(),
        };
        // A value that changes what the path matches must not come from outside.
        if value.is_empty() || value.contains(['*', '+', '/']) {
            return None;
        }
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
