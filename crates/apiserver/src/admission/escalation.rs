//! Nobody gives away rights that they do not have, as Kubernetes' RBAC has it: neither by writing a role nor by binding
//! one, and a namespace is not opened by who has rights in that namespace only.

use crate::auth::{Attributes, Rbac, User, allows};
use crate::registry::{Index, Resource};
use herder_object::field::text;
use serde_json::Value;

const ROLES: &str = "roles.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
const GROUP: &str = "rbac.authorization.k8s.io";
/// So many single rights may one role give; a list of lists would otherwise take its time under the lock.
const MAX_RIGHTS: usize = 20_000;

/// Who writes, with the rights that they have.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    name: String,
    cluster: Vec<Value>,
    /// Those of the cluster included.
    here: Vec<Value>,
}

impl Author {
    /// Who writes to a resource in a namespace; `None` where it does not matter what they may do.
    pub(crate) fn of(rbac: &Rbac, user: &User, resource: &Resource, namespace: &str) -> Option<Self> {
        let matters = matches!(
            resource.storage_name.as_str(),
            ROLES | CLUSTER_ROLES | BINDINGS | CLUSTER_BINDINGS | "namespaces"
        );
        if !matters || user.is_in("system:masters") {
            return None;
        }
        let rules = |namespace: &str| {
            let rules = rbac.rules(user, namespace);
            rules.into_iter().flat_map(|(_, rules)| rules).collect()
        };
        Some(Self {
            name: user.name.clone(),
            cluster: rules(""),
            here: rules(namespace),
        })
    }

    fn may(&self, wide: bool, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let want = Attributes {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        self.rules(wide).iter().any(|rule| allows(rule, &want))
    }

    fn rules(&self, wide: bool) -> &[Value] {
        if wide { &self.cluster } else { &self.here }
    }

    /// Whether they may open a namespace: only who may write namespaces by a right of the whole cluster.
    pub(super) fn may_open(&self, namespace: &str) -> bool {
        ["update", "patch"]
            .iter()
            .any(|verb| self.may(true, verb, "", "namespaces", namespace))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Why a role or binding is refused.
pub(super) fn check(
    author: &Author,
    index: &Index,
    resource: &Resource,
    before: Option<&Value>,
    object: &Value,
) -> Option<String> {
    let same = |fields: &[&str]| {
        before.is_some_and(|before| fields.iter().all(|field| before.get(field) == object.get(field)))
    };
    let kind = resource.storage_name.as_str();
    let wide = matches!(kind, CLUSTER_ROLES | CLUSTER_BINDINGS);
    match kind {
        ROLES | CLUSTER_ROLES => {
            let name = text(object, "/metadata/name");
            if same(&["rules", "aggregationRule"])
                || author.may(wide, "escalate", GROUP, &resource.plural, name)
            {
                return None;
            }
            let aggregates = object.get("aggregationRule").is_some_and(|rule| !rule.is_null());
            if aggregates && !author.may(true, "*", "*", "*", "") {
                return Some("must have cluster-admin privileges to use an aggregationRule".to_owned());
            }
            missing(
                author,
                wide,
                object.get("rules").and_then(Value::as_array).map(Vec::as_slice),
            )
        }
        BINDINGS | CLUSTER_BINDINGS => {
            let name = text(object, "/roleRef/name");
            let (kind, plural) = match text(object, "/roleRef/kind") {
                "ClusterRole" => (CLUSTER_ROLES, "clusterroles"),
                _ => (ROLES, "roles"),
            };
            if same(&["roleRef", "subjects"]) || author.may(wide, "bind", GROUP, plural, name) {
                return None;
            }
            let place = if kind == ROLES {
                text(object, "/metadata/namespace")
            } else {
                ""
            };
            let rules = rules_of(index, kind, place, name);
            // What is not there yet might become anything.
            let Some(rules) = rules else {
                return Some(format!("{plural}.{GROUP} \"{name}\" not found"));
            };
            missing(author, wide, Some(&rules))
        }
        _ => None,
    }
}

/// The rules of a role, with those that it gathers from others.
fn rules_of(index: &Index, kind: &str, namespace: &str, name: &str) -> Option<Vec<Value>> {
    let list = |role: &Value| {
        let rules = role.get("rules").and_then(Value::as_array);
        rules.cloned().unwrap_or_default()
    };
    let role = index.get(kind, namespace, name)?;
    let mut rules = list(role);
    let selectors = role
        .pointer("/aggregationRule/clusterRoleSelectors")
        .and_then(Value::as_array);
    for selector in selectors.into_iter().flatten() {
        for other in index.all(kind, None) {
            if crate::api::select::matches_structured(selector, other) {
                rules.extend(list(other));
            }
        }
    }
    Some(rules)
}

/// Says which rules go beyond what the author may do.
fn missing(author: &Author, wide: bool, rules: Option<&[Value]>) -> Option<String> {
    let rules = rules.unwrap_or_default();
    let texts = |rule: &Value, list: &str| -> Vec<String> {
        let items = rule.get(list).and_then(Value::as_array);
        let texts = items.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let mut left = MAX_RIGHTS;
    let mut beyond = Vec::new();
    for rule in rules {
        let (verbs, paths) = (texts(rule, "verbs"), texts(rule, "nonResourceURLs"));
        let (groups, resources) = (texts(rule, "apiGroups"), texts(rule, "resources"));
        let mut names = texts(rule, "resourceNames");
        if names.is_empty() {
            names.push(String::new());
        }
        let rights = verbs.len().saturating_mul(
            groups
                .len()
                .saturating_mul(resources.len())
                .saturating_mul(names.len())
                .saturating_add(paths.len()),
        );
        left = match left.checked_sub(rights) {
            Some(left) => left,
            None => return Some(format!("a role may give at most {MAX_RIGHTS} single rights")),
        };
        let has = |want: &Attributes| author.rules(wide).iter().any(|own| allows(own, want));
        let held = verbs.iter().all(|verb| {
            let base = Attributes {
                verb: verb.clone(),
                ..Attributes::default()
            };
            paths.iter().all(|path| {
                has(&Attributes {
                    path: path.clone(),
                    ..base.clone()
                })
            }) && groups.iter().all(|group| {
                resources.iter().all(|resource| {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    names.iter().all(|name| {
                        has(&Attributes {
                            group: group.clone(),
                            resource: resource.to_owned(),
                            subresource: subresource.to_owned(),
                            name: name.clone(),
                            ..base.clone()
                        })
                    })
                })
            })
        });
        if !held {
            beyond.push(describe(rule));
        }
    }
    (!beyond.is_empty()).then(|| {
        format!(
            "user \"{}\" is attempting to grant RBAC permissions not currently held:\n{}",
            author.name,
            beyond.join("\n")
        )
    })
}

fn describe(rule: &Value) -> String {
    let parts: Vec<String> = [
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    ]
    .into_iter()
    .filter_map(|(shown, field)| {
        let list = rule.get(field)?;
        Some(format!("{shown}:{list}"))
    })
    .collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rights_cover_no_more_than_themselves() {
        let author = Author {
            name: "u".to_owned(),
            cluster: Vec::new(),
            here: vec![
                json!({"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}),
                json!({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]}),
                json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get"]}),
            ],
        };
        let may = |rule: Value| missing(&author, false, Some(&[rule])).is_none();
        assert!(may(
            json!({"apiGroups": [""], "resources": ["pods/log", "pods"], "verbs": ["get"]})
        ));
        assert!(may(
            json!({"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["*"]})
        ));
        assert!(may(
            json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get"]})
        ));
        assert!(!may(
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})
        ));
        assert!(!may(
            json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})
        ));
        assert!(!may(
            json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
        ));
        assert!(!may(
            json!({"apiGroups": [""], "resources": ["*"], "verbs": ["get"]})
        ));
        assert!(!may(json!({"nonResourceURLs": ["*"], "verbs": ["get"]})));
        let many: Vec<String> = (0..200).map(|i| i.to_string()).collect();
        let wide = json!({"apiGroups": ["apps"], "resources": many, "verbs": many});
        assert!(!may(wide));
        assert!(
            missing(
                &author,
                true,
                Some(&[json!({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get"]})])
            )
            .is_some()
        );
    }
}
