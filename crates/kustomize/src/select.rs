//! Selecting resources: by expressions on what they are and were called, and by labels and annotations.

use crate::budget;
use crate::error::{Error, Result};
use crate::kustomization::Selector;
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::schema::Schema;
use regex::Regex;
use std::collections::BTreeMap;

/// Steps that looking at one resource takes.
const LOOK: usize = 4;

/// A selector's expressions, anchored; an empty one matches everything.
struct Pattern(Option<Regex>);

impl Pattern {
    fn new(pattern: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Ok(Self(None));
        }
        budget::expression(&format!("^(?:{pattern})$"))?
            .map(|regex| Self(Some(regex)))
            .ok_or_else(|| Error::new(format!("`{pattern}` is not a regular expression")))
    }

    fn fits(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// Which resources a patch's target selects.
pub(crate) fn select(map: &ResMap, selector: &Selector, schema: &Schema) -> Result<Vec<usize>> {
    let id = &selector.id;
    let group = Pattern::new(&id.gvk.group)?;
    let version = Pattern::new(&id.gvk.version)?;
    let kind = Pattern::new(&id.gvk.kind)?;
    let name = Pattern::new(&id.name)?;
    let namespace = Pattern::new(&id.namespace)?;
    let labels = Requirements::parse(&selector.labels)?;
    let annotations = Requirements::parse(&selector.annotations)?;
    budget::work(map.list().len().saturating_mul(LOOK))?;
    let mut found = Vec::new();
    for (at, resource) in map.list().iter().enumerate() {
        let (found_group, found_version) = crate::id::group_version(resource.api_version());
        if !kind.fits(resource.kind()) || !group.fits(found_group) || !version.fits(found_version) {
            continue;
        }
        let original = resource.original_id(schema);
        if !name.fits(&original.name) && !name.fits(resource.name()) {
            continue;
        }
        if namespace.0.is_some() {
            let current = resource.id(schema);
            if !namespace.fits(original.effective_namespace())
                && !namespace.fits(current.effective_namespace())
            {
                continue;
            }
        }
        if labels.fit(|| resource.labels()) && annotations.fit(|| resource.annotations()) {
            found.push(at);
        }
    }
    Ok(found)
}

/// Whether labels and annotations fit.
pub(crate) fn fits_labels(resource: &Resource, selector: &Selector) -> Result<bool> {
    let labels = Requirements::parse(&selector.labels)?;
    let annotations = Requirements::parse(&selector.annotations)?;
    Ok(annotations.fit(|| resource.annotations()) && labels.fit(|| resource.labels()))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

/// A label selector: `a=b,c in (d,e),!f`.
struct Requirements(Vec<(String, Operator)>);

impl Requirements {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::new(format!("`{text}` is not a label selector"));
        let mut list = Vec::new();
        let mut depth = 0;
        let parts = text.split(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        });
        for part in parts.map(str::trim) {
            if part.is_empty() {
                if text.trim().is_empty() {
                    break;
                }
                return Err(wrong());
            }
            list.push(requirement(part).ok_or_else(wrong)?);
        }
        Ok(Self(list))
    }

    fn fit(&self, map: impl FnOnce() -> BTreeMap<String, String>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let map = map();
        self.0.iter().all(|(key, operator)| {
            let value = map.get(key);
            match operator {
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Greater(limit) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|v| v > *limit),
                Operator::Less(limit) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|v| v < *limit),
            }
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

fn requirement(text: &str) -> Option<(String, Operator)> {
    let name = |text: &str| Some(text.trim().to_owned()).filter(|name| is_name(name));
    let value = |text: &str| Some(text.trim().to_owned()).filter(|value| value.is_empty() || is_name(value));
    if let Some(key) = text.strip_prefix('!') {
        return Some((name(key)?, Operator::Absent));
    }
    if let Some((key, found)) = text.split_once("!=") {
        return Some((name(key)?, Operator::NotIn(vec![value(found)?])));
    }
    if let Some((key, found)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some((name(key)?, Operator::In(vec![value(found)?])));
    }
    if let Some((key, found)) = text.split_once('>') {
        return Some((name(key)?, Operator::Greater(found.trim().parse().ok()?)));
    }
    if let Some((key, found)) = text.split_once('<') {
        return Some((name(key)?, Operator::Less(found.trim().parse().ok()?)));
    }
    if let Some((head, values)) = text.split_once('(') {
        let values = values.strip_suffix(')')?;
        let values: Vec<String> = values.split(',').map(value).collect::<Option<_>>()?;
        let mut words = head.split_whitespace();
        let key = name(words.next()?)?;
        return match (words.next()?, words.next()) {
            ("in", None) => Some((key, Operator::In(values))),
            ("notin", None) => Some((key, Operator::NotIn(values))),
            _ => None,
        };
    }
    Some((name(text)?, Operator::Exists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors() {
        let map = || {
            BTreeMap::from([
                ("app".to_owned(), "web".to_owned()),
                ("n".to_owned(), "5".to_owned()),
            ])
        };
        for (text, fits) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web,n==5", true),
            ("app != web", false),
            ("app in (api, web)", true),
            ("app notin (web)", false),
            ("missing notin (web)", true),
            ("n > 4, n<6", true),
        ] {
            assert_eq!(Requirements::parse(text).unwrap().fit(map), fits, "{text}");
        }
        for text in ["a,", "a in b", "a b", "(a)", "="] {
            assert!(Requirements::parse(text).is_err(), "{text}");
        }
    }
}
