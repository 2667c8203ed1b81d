//! Roles and bindings may grant only what their author has: Kubernetes' rule against escalation, with its two ways
//! around, the verbs `escalate` (on roles) and `bind` (on the role that is bound).

use super::rbac::{allows, has, items, rules_of, rules_with_aggregated, text};
use super::{Attributes, Rbac, User};
use crate::registry::{Registry, Resource, Status};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "rbac.authorization.k8s.io";
/// Single rights that are compared at most: a role that grants more at once is written in more than one part.
const MOST: usize = 20_000;

/// What is needed to judge one write, read before it: the write itself happens under the registry's lock.
#[derive(Debug)]
pub(crate) struct Escalation {
    user: User,
    namespace: String,
    own: Vec<Value>,
    roles: Vec<Arc<Value>>,
    cluster_roles: Vec<Arc<Value>>,
}

impl Escalation {
    /// Reads what a user has in a namespace. `None` if the resource grants nothing or the user has everything.
    pub(crate) fn of(
        rbac: &Rbac,
        registry: &Registry,
        user: &User,
        resource: &Resource,
        namespace: &str,
    ) -> Option<Self> {
        if resource.group != GROUP || user.is_in("system:masters") {
            return None;
        }
        let own = rbac
            .rules(user, namespace)
            .into_iter()
            .flat_map(|(_, rules)| rules);
        let list = |what: &str, namespace| registry.list(&format!("{what}.{GROUP}"), namespace).0;
        Some(Self {
            user: user.clone(),
            namespace: namespace.to_owned(),
            own: own.collect(),
            roles: list("roles", Some(namespace)),
            cluster_roles: list("clusterroles", None),
        })
    }

    /// Refuses an object that would grant more than its author has.
    pub(crate) fn check(
        &self,
        resource: &Resource,
        current: Option<&Value>,
        object: &Value,
    ) -> Result<(), Status> {
        // What only lets it be collected grants nothing.
        if current.is_some_and(|current| same_grant(current, object)) {
            return Ok(());
        }
        let name = herder_object::name(object);
        if matches!(resource.plural.as_str(), "roles" | "clusterroles") {
            if self.may("escalate", &resource.plural, name) {
                return Ok(());
            }
            if object.get("aggregationRule").is_some_and(|rule| !rule.is_null()) {
                let all = serde_json::json!([
                    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                    {"verbs": ["*"], "nonResourceURLs": ["*"]},
                ]);
                let all = all.as_array().cloned().unwrap_or_default();
                if self
                    .missing(&all)
                    .map_err(|why| Status::forbidden(resource, name, &why))?
                    .is_some()
                {
                    return Err(Status::forbidden(
                        resource,
                        name,
                        "must have cluster-admin privileges to use the aggregationRule",
                    ));
                }
            }
            return self.covers(resource, name, &rules_of(object));
        }
        let (kind, role) = (text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
        let (plural, known) = if kind == "Role" {
            ("roles", &self.roles)
        } else {
            ("clusterroles", &self.cluster_roles)
        };
        if self.may("bind", plural, role) {
            return Ok(());
        }
        let Some(found) = known.iter().find(|known| herder_object::name(known) == role) else {
            let message = format!("{plural}.{GROUP} \"{role}\" not found");
            return Err(Status::new(404, "NotFound", message));
        };
        self.covers(resource, name, &rules_with_aggregated(found, &self.cluster_roles))
    }

    fn may(&self, verb: &str, plural: &str, name: &str) -> bool {
        let want = Attributes {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            resource: plural.to_owned(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        self.own.iter().any(|rule| allows(rule, &want))
    }

    fn covers(&self, resource: &Resource, name: &str, rules: &[Value]) -> Result<(), Status> {
        let refuse = |why: &str| Status::forbidden(resource, name, why);
        match self.missing(rules).map_err(|why| refuse(&why))? {
            None => Ok(()),
            Some(right) => {
                let groups: Vec<String> = self
                    .user
                    .groups
                    .iter()
                    .map(|group| format!("{group:?}"))
                    .collect();
                Err(refuse(&format!(
                    "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{right}",
                    self.user.name,
                    groups.join(" "),
                )))
            }
        }
    }

    /// The first single right of the rules that the user does not have, for people.
    fn missing(&self, rules: &[Value]) -> Result<Option<String>, String> {
        let mut left = MOST;
        for rule in rules {
            let (verbs, urls) = (list(rule, "verbs"), list(rule, "nonResourceURLs"));
            let (groups, resources) = (list(rule, "apiGroups"), list(rule, "resources"));
            let names = list(rule, "resourceNames");
            let rights = [urls.len(), groups.len().saturating_mul(resources.len())]
                .into_iter()
                .fold(0_usize, usize::saturating_add)
                .saturating_mul(verbs.len())
                .saturating_mul(names.len().max(1));
            left = left.checked_sub(rights).ok_or_else(|| {
                format!("it grants more than {MOST} single rights; write it in several roles")
            })?;
            for verb in &verbs {
                for url in &urls {
                    if !self
                        .own
                        .iter()
                        .any(|own| has(own, "verbs", verb) && has_url(own, url))
                    {
                        return Ok(Some(format!("{{NonResourceURLs:[{url:?}], Verbs:[{verb:?}]}}")));
                    }
                }
                for group in &groups {
                    for resource in &resources {
                        let own = self.own.iter().filter(|own| {
                            has(own, "verbs", verb)
                                && has(own, "apiGroups", group)
                                && has_resource(own, resource)
                        });
                        if let Some(name) = first_unnamed(&own.collect::<Vec<_>>(), &names) {
                            return Ok(Some(format!(
                                "{{APIGroups:[{group:?}], Resources:[{resource:?}]{name}, Verbs:[{verb:?}]}}"
                            )));
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}

/// A list without what it says twice.
fn list<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    let mut list: Vec<&str> = items(rule, field).collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn has_url(own: &Value, url: &str) -> bool {
    items(own, "nonResourceURLs").any(|own| match own.strip_suffix('*') {
        Some(prefix) => url.starts_with(prefix),
        None => own == url,
    })
}

fn has_resource(own: &Value, resource: &str) -> bool {
    let any = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    items(own, "resources").any(|own| own == "*" || own == resource || Some(own) == any.as_deref())
}

/// The part of a right that names an object no rule speaks of; `None` if all are spoken of.
fn first_unnamed(own: &[&Value], names: &[&str]) -> Option<String> {
    let whole = |own: &&Value| items(own, "resourceNames").next().is_none();
    if own.iter().any(whole) {
        return None;
    }
    if names.is_empty() {
        return Some(String::new());
    }
    let known = |name: &str| {
        own.iter()
            .any(|own| items(own, "resourceNames").any(|own| own == name))
    };
    names
        .iter()
        .find(|name| !known(name))
        .map(|name| format!(", ResourceNames:[{name:?}]"))
}

/// Whether two states of an object differ only in what keeps or lets go of it.
fn same_grant(current: &Value, object: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(map) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in [
                "ownerReferences",
                "finalizers",
                "managedFields",
                "resourceVersion",
            ] {
                map.remove(field);
            }
        }
        object
    };
    bare(current) == bare(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holder(own: Value) -> Escalation {
        Escalation {
            user: User::known("ann", Vec::new()),
            namespace: "shop".to_owned(),
            own: own.as_array().cloned().unwrap(),
            roles: Vec::new(),
            cluster_roles: Vec::new(),
        }
    }

    fn grants(own: &Value, wanted: &Value) -> bool {
        let missing = holder(own.clone()).missing(std::slice::from_ref(wanted));
        matches!(missing, Ok(None))
    }

    #[test]
    fn one_grants_what_one_has() {
        let own = json!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/log"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"]},
            {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"]},
            {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]},
        ]);
        let rule = |verbs: Value, groups: Value, resources: Value| json!({"verbs": verbs, "apiGroups": groups, "resources": resources});
        assert!(grants(
            &own,
            &rule(json!(["get"]), json!([""]), json!(["pods", "pods/log"]))
        ));
        assert!(grants(
            &own,
            &rule(json!(["*"]), json!(["apps"]), json!(["*", "deployments/scale"]))
        ));
        assert!(grants(
            &own,
            &json!({"verbs": ["get"], "nonResourceURLs": ["/api/v1", "/healthz"]})
        ));
        let named = |name: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": [name]});
        assert!(grants(&own, &named("mine")));
        for wanted in [
            rule(json!(["get", "delete"]), json!([""]), json!(["pods"])),
            rule(json!(["*"]), json!([""]), json!(["pods"])),
            rule(json!(["get"]), json!(["*"]), json!(["pods"])),
            rule(json!(["get"]), json!([""]), json!(["*"])),
            rule(json!(["get"]), json!([""]), json!(["pods/exec"])),
            rule(json!(["get"]), json!([""]), json!(["secrets"])),
            named("other"),
            json!({"verbs": ["get"], "nonResourceURLs": ["/*"]}),
            json!({"verbs": ["*"], "nonResourceURLs": ["/healthz"]}),
        ] {
            assert!(!grants(&own, &wanted), "{wanted}");
        }
        let many: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let wide = rule(json!(many), json!(many), json!(["pods"]));
        assert!(holder(json!([])).missing(&[wide]).is_err(), "too much to compare");
    }
}
