//! Who may do what: masters everything, nodes as `node` has it, and everybody by roles and bindings, evaluated from the
//! registry at each question.

use super::{User, node};
use crate::registry::Registry;
use serde_json::{Value, json};
use std::sync::Arc;

/// What somebody wants to do.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// Verb, such as `get`.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Resource; empty for a path.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty for all or none.
    pub namespace: String,
    /// Name; empty for all.
    pub name: String,
    /// The path, if it is not about a resource.
    pub path: String,
}

/// The answer, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

/// Answers questions from roles and bindings.
#[derive(Debug, Clone)]
pub struct Rbac {
    registry: Registry,
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn has(rule: &Value, list: &str, wanted: &str) -> bool {
    items(rule, list).any(|item| item == "*" || item == wanted)
}

pub(super) fn items<'a>(value: &'a Value, list: &str) -> impl Iterator<Item = &'a str> {
    let items = value.get(list).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str)
}

pub(crate) fn allows(rule: &Value, want: &Attributes) -> bool {
    if !has(rule, "verbs", &want.verb) {
        return false;
    }
    if want.resource.is_empty() {
        return items(rule, "nonResourceURLs").any(|url| match url.strip_suffix('*') {
            Some(prefix) => want.path.starts_with(prefix),
            None => url == want.path,
        });
    }
    let resource = items(rule, "resources").any(|item| {
        if want.subresource.is_empty() {
            return item == "*" || item == want.resource;
        }
        match item.split_once('/') {
            Some((resource, sub)) => {
                (resource == "*" || resource == want.resource) && (sub == "*" || sub == want.subresource)
            }
            None => item == "*",
        }
    });
    let mut names = items(rule, "resourceNames").peekable();
    let named = names.peek().is_none() || names.any(|name| name == want.name);
    has(rule, "apiGroups", &want.group) && resource && named
}

fn is_subject(binding: &Value, user: &User, namespace: &str) -> bool {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    subjects.into_iter().flatten().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => user.is_in(name),
            "ServiceAccount" => {
                let own = text(subject, "/namespace");
                let namespace = if own.is_empty() { namespace } else { own };
                user.name
                    .strip_prefix("system:serviceaccount:")
                    .and_then(|rest| rest.split_once(':'))
                    == Some((namespace, name))
            }
            _ => false,
        }
    })
}

impl Rbac {
    /// Over this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Whether a user may do something.
    #[must_use]
    pub fn decide(&self, user: &User, want: &Attributes) -> Decision {
        if user.is_in("system:masters") {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        let as_node = user
            .node()
            .and_then(|name| node::decide(&self.registry, name, want));
        if let Some(Ok(())) = as_node {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        for (binding, rules) in self.rules(user, &want.namespace) {
            if rules.iter().any(|rule| allows(rule, want)) {
                let kind = herder_object::kind(&binding);
                let reason = format!(
                    "RBAC: allowed by {kind} \"{}\" of {} \"{}\" to {}",
                    herder_object::name(&binding),
                    text(&binding, "/roleRef/kind"),
                    text(&binding, "/roleRef/name"),
                    user.name,
                );
                return Decision {
                    allowed: true,
                    reason,
                };
            }
        }
        Decision {
            allowed: false,
            reason: as_node.and_then(Result::err).unwrap_or_default(),
        }
    }

    /// The rules that hold for a user in a namespace (and in the whole cluster), by binding.
    #[must_use]
    pub fn rules(&self, user: &User, namespace: &str) -> Vec<(Arc<Value>, Vec<Value>)> {
        let mut found = Vec::new();
        let (bindings, _) = self
            .registry
            .list("clusterrolebindings.rbac.authorization.k8s.io", None);
        for binding in bindings {
            if is_subject(&binding, user, "") {
                let rules = self.cluster_role(text(&binding, "/roleRef/name"));
                found.push((binding, rules));
            }
        }
        if namespace.is_empty() {
            return found;
        }
        let (bindings, _) = self
            .registry
            .list("rolebindings.rbac.authorization.k8s.io", Some(namespace));
        for binding in bindings {
            if !is_subject(&binding, user, namespace) {
                continue;
            }
            let name = text(&binding, "/roleRef/name");
            let rules = if text(&binding, "/roleRef/kind") == "Role" {
                self.registry
                    .get("roles.rbac.authorization.k8s.io", namespace, name)
                    .map(|role| rules_of(&role))
                    .unwrap_or_default()
            } else {
                self.cluster_role(name)
            };
            found.push((binding, rules));
        }
        found
    }

    fn cluster_role(&self, name: &str) -> Vec<Value> {
        let Some(role) = self
            .registry
            .get("clusterroles.rbac.authorization.k8s.io", "", name)
        else {
            return Vec::new();
        };
        let (all, _) = self.registry.list("clusterroles.rbac.authorization.k8s.io", None);
        rules_with_aggregated(&role, &all)
    }

    /// The message of a refusal, with why if there is more to say.
    #[must_use]
    pub fn refusal(user: &User, want: &Attributes, decision: &Decision) -> String {
        let message = Self::plain_refusal(user, want);
        if decision.reason.is_empty() {
            return message;
        }
        format!("{message}: {}", decision.reason)
    }

    fn plain_refusal(user: &User, want: &Attributes) -> String {
        if want.resource.is_empty() {
            return format!(
                "forbidden: User \"{}\" cannot {} path \"{}\"",
                user.name, want.verb, want.path
            );
        }
        let resource = if want.subresource.is_empty() {
            want.resource.clone()
        } else {
            format!("{}/{}", want.resource, want.subresource)
        };
        let place = if want.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", want.namespace)
        };
        let full = if want.group.is_empty() {
            want.resource.clone()
        } else {
            format!("{}.{}", want.resource, want.group)
        };
        let name = if want.name.is_empty() {
            String::new()
        } else {
            format!(" \"{}\"", want.name)
        };
        format!(
            "{full}{name} is forbidden: User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}",
            user.name, want.verb, want.group
        )
    }
}

/// The rules of a cluster role, those of the roles it is made of included.
pub(super) fn rules_with_aggregated(role: &Value, all: &[Arc<Value>]) -> Vec<Value> {
    let mut rules = rules_of(role);
    let name = herder_object::name(role);
    let selectors = role
        .pointer("/aggregationRule/clusterRoleSelectors")
        .and_then(Value::as_array);
    if let Some(selectors) = selectors {
        for other in all {
            let chosen = selectors
                .iter()
                .any(|selector| crate::api::select::matches_structured(selector, other));
            if chosen && herder_object::name(other) != name {
                rules.extend(rules_of(other));
            }
        }
    }
    rules
}

pub(super) fn rules_of(role: &Value) -> Vec<Value> {
    role.get("rules")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// The rules as `SubjectRulesReviewStatus`.
pub(crate) fn rules_status(rules: impl Iterator<Item = Value>) -> Value {
    let (mut resource, mut path) = (Vec::new(), Vec::new());
    for rule in rules {
        let list = |key: &str| rule.get(key).cloned().unwrap_or_else(|| json!([]));
        if rule.get("nonResourceURLs").is_some() {
            path.push(json!({"verbs": list("verbs"), "nonResourceURLs": list("nonResourceURLs")}));
        } else {
            let mut entry = json!({"verbs": list("verbs"), "apiGroups": list("apiGroups"), "resources": list("resources")});
            if let (Some(names), Some(map)) = (rule.get("resourceNames"), entry.as_object_mut()) {
                map.insert("resourceNames".to_owned(), names.clone());
            }
            resource.push(entry);
        }
    }
    json!({"resourceRules": resource, "nonResourceRules": path, "incomplete": false})
}
