//! Decides what a set of policies allows: exact paths before patterns, the most specific pattern only, deny above all.
//! Pure. Owns no policy text.

use super::path::{CanonicalPath, fold};
use super::policy::{Parameters, Permissions, Policy, capability as c};
use super::request::Op;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) op: Op,
    /// For [`Op::Write`]: the path does not exist yet.
    pub(crate) create: bool,
    pub(crate) path: &'a CanonicalPath,
    pub(crate) data: &'a Map<String, Value>,
    pub(crate) wrap_ttl: Option<i64>,
}

/// Why not, in no more detail than a log may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Grant {
    pub(crate) allowed: bool,
    pub(crate) sudo: bool,
}

/// The merged rules of some policies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acl {
    root: bool,
    exact: BTreeMap<String, Permissions>,
    prefix: BTreeMap<String, Permissions>,
    /// With `+` segments; the key ends in `*` if it is a glob.
    segments: BTreeMap<String, Permissions>,
    /// Whether a rule has a letter in another case than names are kept in.
    mixed: bool,
}

impl Acl {
    /// Everything is allowed.
    pub(crate) fn root() -> Self {
        Self {
            root: true,
            ..Self::default()
        }
    }

    /// Merges policies.
    pub(crate) fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut acl = Self::default();
        for rule in policies.into_iter().flat_map(|policy| &policy.rules) {
            let plus = rule.path.split('/').any(|segment| segment == "+");
            let (map, key) = match (plus, rule.glob) {
                (true, true) => (&mut acl.segments, format!("{}*", rule.path)),
                (true, false) => (&mut acl.segments, rule.path.clone()),
                (false, true) => (&mut acl.prefix, rule.path.clone()),
                (false, false) => (&mut acl.exact, rule.path.clone()),
            };
            acl.mixed |= fold(&key) != key;
            add(map, key, &rule.permissions);
        }
        acl
    }

    /// Whether the request may happen also if letters' cases do not count: for what is found by a name in any case. Rules
    /// that differ only in case are one rule here, so that no spelling goes around the one that denies.
    pub(crate) fn allows_folded(&self, ask: &Ask<'_>) -> bool {
        let path = ask.path.folded();
        if self.root || !self.mixed && path == *ask.path {
            return self.check(ask).allowed;
        }
        let mut folded = Self::default();
        for (from, to) in [
            (&self.exact, &mut folded.exact),
            (&self.prefix, &mut folded.prefix),
            (&self.segments, &mut folded.segments),
        ] {
            for (key, permissions) in from {
                add(to, fold(key), permissions);
            }
        }
        folded.check(&Ask { path: &path, ..*ask }).allowed
    }

    /// Whether a request could be allowed with some data: asked before a long body is read.
    pub(crate) fn could(&self, op: Op, path: &CanonicalPath) -> bool {
        let wanted = match op {
            Op::Write => c::CREATE | c::UPDATE,
            Op::Patch => c::PATCH,
            Op::Delete => c::DELETE,
            Op::Read => c::READ,
            Op::List => c::LIST,
        };
        self.root
            || self
                .find(path, op == Op::List)
                .is_some_and(|found| found.bits & c::DENY == 0 && found.bits & wanted != 0)
    }

    fn find(&self, path: &str, list: bool) -> Option<&Permissions> {
        self.exact
            .get(path)
            .or_else(|| list.then(|| self.exact.get(path.strip_suffix('/')?)).flatten())
            .or_else(|| self.pattern(path))
            .or_else(|| list.then(|| self.pattern(path.strip_suffix('/')?)).flatten())
    }

    /// The most specific pattern that matches.
    fn pattern(&self, path: &str) -> Option<&Permissions> {
        // Position of the first wildcard, then not a glob, then fewer `+`, then longer, then lexicographically later.
        type Rank<'a> = (usize, bool, std::cmp::Reverse<usize>, usize, &'a str);
        let mut best: Option<(Rank<'_>, &Permissions)> = None;
        for end in (0..=path.len()).rev().filter(|end| path.is_char_boundary(*end)) {
            let head = path.get(..end).unwrap_or_default();
            if let Some((key, permissions)) = self.prefix.get_key_value(head) {
                best = Some(((end, false, std::cmp::Reverse(0), end, key.as_str()), permissions));
                break;
            }
        }
        for (key, permissions) in &self.segments {
            let (pattern, glob) = key
                .strip_suffix('*')
                .map_or((key.as_str(), false), |rest| (rest, true));
            if !matches(pattern, glob, path) {
                continue;
            }
            let plus = pattern.split('/').filter(|segment| *segment == "+").count();
            let first = pattern.find('+').unwrap_or(pattern.len());
            let rank = (first, !glob, std::cmp::Reverse(plus), pattern.len(), key.as_str());
            if best.as_ref().is_none_or(|(found, _)| rank > *found) {
                best = Some((rank, permissions));
            }
        }
        best.map(|(_, permissions)| permissions)
    }

    /// Whether the request may happen.
    pub(crate) fn check(&self, ask: &Ask<'_>) -> Grant {
        if self.root {
            return Grant {
                allowed: true,
                sudo: true,
            };
        }
        let Some(permissions) = self.find(ask.path, ask.op == Op::List) else {
            return Grant::default();
        };
        let sudo = permissions.bits & c::SUDO != 0;
        let needed = match ask.op {
            Op::Read => c::READ,
            Op::List => c::LIST,
            Op::Delete => c::DELETE,
            Op::Patch => c::PATCH,
            Op::Write if ask.create => c::CREATE,
            Op::Write => c::UPDATE,
        };
        let allowed = permissions.bits & c::DENY == 0
            && permissions.bits & needed != 0
            && wrapping(permissions, ask.wrap_ttl)
            && (matches!(ask.op, Op::List | Op::Delete) || parameters(permissions, ask.data));
        Grant { allowed, sudo }
    }

    /// The words for `sys/capabilities`.
    pub(crate) fn capabilities(&self, path: &CanonicalPath) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        let bits = self
            .find(path, path.ends_with('/'))
            .map_or(0, |permissions| permissions.bits);
        if bits == 0 || bits & c::DENY != 0 {
            return vec!["deny"];
        }
        c::WORDS
            .iter()
            .filter(|(_, bit)| bits & bit != 0)
            .map(|(word, _)| *word)
            .collect()
    }

    /// Whether any rule reaches into what is below a prefix: used to show mounts only to those who may use them.
    pub(crate) fn reaches(&self, prefix: &str) -> bool {
        let live = |permissions: &Permissions| permissions.bits & c::DENY == 0 && permissions.bits != 0;
        self.root
            || self
                .exact
                .iter()
                .any(|(path, p)| live(p) && path.starts_with(prefix))
            || self
                .prefix
                .iter()
                .any(|(path, p)| live(p) && (path.starts_with(prefix) || prefix.starts_with(path.as_str())))
            || self.segments.iter().any(|(path, p)| {
                live(p)
                    && path
                        .trim_end_matches('*')
                        .split('/')
                        .zip(prefix.trim_end_matches('/').split('/'))
                        .all(|(pattern, segment)| {
                            pattern == "+"
                                || pattern == segment
                                || path.ends_with('*') && segment.starts_with(pattern)
                        })
            })
    }

    /// `exact_paths` and `glob_paths` for the UI's resultant ACL.
    pub(crate) fn describe(&self) -> Value {
        let words = |map: &BTreeMap<String, Permissions>| -> Map<String, Value> {
            map.iter()
                .map(|(path, permissions)| {
                    let words: Vec<&str> = c::WORDS
                        .iter()
                        .filter(|(_, bit)| permissions.bits & bit != 0)
                        .map(|(word, _)| *word)
                        .collect();
                    (path.clone(), serde_json::json!({ "capabilities": words }))
                })
                .collect()
        };
        serde_json::json!({ "root": self.root, "exact_paths": words(&self.exact), "glob_paths": words(&self.prefix) })
    }
}

fn matches(pattern: &str, glob: bool, path: &str) -> bool {
    let mut segments = path.split('/');
    let mut patterns = pattern.split('/').peekable();
    while let Some(wanted) = patterns.next() {
        let Some(segment) = segments.next() else {
            return false;
        };
        let last = patterns.peek().is_none();
        let fits = if last && glob {
            return wanted == "+" || segment.starts_with(wanted);
        } else {
            wanted == "+" && !segment.is_empty() || wanted == segment
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

fn add(map: &mut BTreeMap<String, Permissions>, key: String, permissions: &Permissions) {
    match map.entry(key) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(permissions.clone());
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => merge(entry.get_mut(), permissions),
    }
}

fn merge(into: &mut Permissions, from: &Permissions) {
    if into.bits & c::DENY != 0 {
        return;
    }
    if from.bits & c::DENY != 0 {
        *into = from.clone();
        return;
    }
    into.bits |= from.bits;
    // The laxer bound wins, as all merging of grants widens.
    if into.min_wrapping == 0 || (from.min_wrapping > 0 && from.min_wrapping < into.min_wrapping) {
        into.min_wrapping = from.min_wrapping;
    }
    if from.max_wrapping > into.max_wrapping {
        into.max_wrapping = from.max_wrapping;
    }
    union(&mut into.allowed, &from.allowed);
    union(&mut into.denied, &from.denied);
    for required in &from.required {
        if !into.required.contains(required) {
            into.required.push(required.clone());
        }
    }
}

fn union(into: &mut Option<Parameters>, from: &Option<Parameters>) {
    let Some(from) = from else { return };
    let into = into.get_or_insert_default();
    for (key, values) in from {
        match into.get_mut(key) {
            // An empty list allows or denies every value, and merging keeps that.
            Some(present) if present.is_empty() || values.is_empty() => present.clear(),
            Some(present) => present.extend(values.iter().cloned()),
            None => {
                into.insert(key.clone(), values.clone());
            }
        }
    }
}

fn wrapping(permissions: &Permissions, ttl: Option<i64>) -> bool {
    (permissions.max_wrapping == 0 || ttl.is_some_and(|ttl| ttl <= permissions.max_wrapping))
        && (permissions.min_wrapping == 0 || ttl.is_some_and(|ttl| ttl >= permissions.min_wrapping))
}

fn parameters(permissions: &Permissions, data: &Map<String, Value>) -> bool {
    // As handlers read it: another case is another parameter.
    if permissions
        .required
        .iter()
        .any(|key| !data.contains_key(&key.to_lowercase()))
    {
        return false;
    }
    if data.is_empty() {
        return true;
    }
    if let Some(denied) = &permissions.denied {
        if denied.contains_key("*") {
            return false;
        }
        // Each by itself: one that differs only in case from another must not stand in for it.
        if data.iter().any(|(key, value)| {
            denied
                .get(&key.to_lowercase())
                .is_some_and(|values| listed(values, value))
        }) {
            return false;
        }
    }
    match &permissions.allowed {
        None => true,
        Some(allowed) if allowed.is_empty() => true,
        Some(allowed) => {
            let any = allowed.contains_key("*");
            if any && allowed.len() == 1 {
                return true;
            }
            data.iter()
                .all(|(key, value)| match allowed.get(&key.to_lowercase()) {
                    Some(values) => listed(values, value),
                    None => any,
                })
        }
    }
}

/// Whether a value is one of a rule's; texts may hold globs at either end.
fn listed(values: &[Value], value: &Value) -> bool {
    values.is_empty()
        || values.iter().any(|allowed| match (allowed, value) {
            (Value::String(pattern), Value::String(text)) => glob(pattern, text),
            (allowed, value) => allowed == value,
        })
}

fn glob(pattern: &str, text: &str) -> bool {
    let (front, rest) = pattern
        .strip_prefix('*')
        .map_or((false, pattern), |rest| (true, rest));
    let (back, middle) = rest.strip_suffix('*').map_or((false, rest), |rest| (true, rest));
    match (front, back) {
        (true, true) => text.contains(middle),
        (true, false) => text.ends_with(middle),
        (false, true) => text.starts_with(middle),
        (false, false) => text == middle,
    }
}

#[cfg(test)]
#[path = "acl_tests.rs"]
mod tests;
