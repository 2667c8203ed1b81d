//! policies/*.hcl and policies/roles.yaml.

use super::documents::{self, stem};
use super::settings::{duration, texts};
use crate::format::ROLES;
use crate::{Held, Inputs, Policy, Role};
use herder_base::{Diagnostic, Location, suggest};
use serde_json::Value;

/// Reads policies and roles; the last part says which of the two lists is incomplete.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> (Vec<Policy>, Vec<Role>, Held) {
    let mut held = Held::default();
    let mut policies: Vec<Policy> = Vec::new();
    let mut roles = Vec::new();
    for (path, _) in inputs.root.below("policies") {
        if path.ends_with(".hcl") {
            let at = Location::new(path, 0, 0);
            let Some(text) = inputs.root.text(path) else {
                held.policies = Some(format!("{path} is not UTF-8 text"));
                found.push(Diagnostic::error("encoding", "the file is not UTF-8 text").at(at));
                continue;
            };
            let name = stem(path).to_owned();
            if let Some(first) = policies.iter().find(|policy| policy.name == name) {
                held.policies = Some(format!("policy `{name}` is there twice"));
                found.push(
                    Diagnostic::error("duplicate", format!("there is a policy `{name}` already"))
                        .at(at)
                        .hint(format!("the first one is {}", first.source)),
                );
                continue;
            }
            if name == "root" || name == "default" {
                found.push(
                    Diagnostic::error("name", format!("the policy `{name}` is Vault's own"))
                        .at(at)
                        .hint("choose another file name"),
                );
                continue;
            }
            policies.push(Policy {
                name,
                text: text.to_owned(),
                source: at,
            });
        } else if documents::is_yaml(path) {
            let (documents, bad) = documents::file(&inputs.root, path, &ROLES, found);
            if bad {
                held.roles = Some(format!("{path} could not be read"));
            }
            for checked in documents {
                let all = checked.get("roles").and_then(Value::as_object);
                for (name, role) in all.into_iter().flatten() {
                    let pointer = name.replace('~', "~0").replace('/', "~1");
                    roles.push(Role {
                        name: name.clone(),
                        service_accounts: texts(role.get("serviceAccounts")),
                        namespaces: texts(role.get("namespaces")),
                        policies: texts(role.get("policies")),
                        ttl: duration(role.get("ttl")),
                        max_ttl: duration(role.get("maxTtl")),
                        audience: role.get("audience").and_then(Value::as_str).map(str::to_owned),
                        source: checked.place(&format!("/roles/{pointer}")),
                    });
                }
            }
        }
    }
    roles.sort_by(|a, b| (&a.name, &a.source).cmp(&(&b.name, &b.source)));
    roles.dedup_by(|later, first| {
        let twice = later.name == first.name;
        if twice {
            held.roles = Some(format!("role `{}` is there twice", first.name));
            found.push(
                Diagnostic::error("duplicate", format!("there is a role `{}` already", later.name))
                    .at(later.source.clone())
                    .hint(format!("the first one is at {}", first.source)),
            );
        }
        twice
    });
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    for role in &roles {
        for policy in &role.policies {
            if policy != "default" && !names.contains(&policy.as_str()) {
                let mut diagnostic = Diagnostic::warning(
                    "missing-reference",
                    format!(
                        "role `{}` names the policy `{policy}`, which is not here",
                        role.name
                    ),
                )
                .at(role.source.clone());
                diagnostic.hint = Some(match suggest(policy, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add policies/{policy}.hcl"),
                });
                found.push(diagnostic);
            }
        }
    }
    (policies, roles, held)
}
