//! environments/*.yaml, and the order of stages.

use super::documents;
use super::outline::Outline;
use super::settings::{duration, scalars, texts};
use crate::format::{Checked, ENVIRONMENT};
use crate::{ConfigSource, Environment, EnvironmentKind, Inputs, Lease, StateRule};
use herder_base::{Diagnostic, normalise, suggest};
use serde_json::Value;

/// Reads the environments into the outline, in stage order.
pub(crate) fn read(inputs: &Inputs, outline: &mut Outline, found: &mut Vec<Diagnostic>) {
    let (all, bad) = documents::folder(&inputs.root, "environments", &ENVIRONMENT, found);
    let names: Vec<(String, String)> = all
        .iter()
        .map(|checked| (checked.name.clone(), namespace(checked).to_owned()))
        .collect();
    let (all, twice) = documents::unique("environment", all, found);
    if bad {
        outline
            .held
            .units
            .get_or_insert_with(|| "a file in environments/ could not be read".to_owned());
    }
    if twice {
        // Which of the two is meant is not ours to say: neither changes anything.
        for checked in &all {
            if names.iter().filter(|(name, _)| *name == checked.name).count() > 1 {
                let why = format!("environment `{}` is defined twice", checked.name);
                for (_, namespace) in names.iter().filter(|(name, _)| *name == checked.name) {
                    outline.doubtful.push((namespace.clone(), why.clone()));
                }
            }
        }
    }
    let mut environments: Vec<Environment> = all
        .iter()
        .filter_map(|checked| environment(inputs, checked, outline, found))
        .collect();
    stages(&mut environments, found);
    outline.environments = environments;
}

fn namespace(checked: &Checked) -> &str {
    checked.text("namespace").unwrap_or(&checked.name)
}

fn environment(
    inputs: &Inputs,
    checked: &Checked,
    outline: &mut Outline,
    found: &mut Vec<Diagnostic>,
) -> Option<Environment> {
    if !crate::format::is_name(&checked.name) {
        outline
            .held
            .units
            .get_or_insert_with(|| "a file in environments/ could not be read".to_owned());
        let message = format!("`{}` is no name for an environment", checked.name);
        found.push(
            Diagnostic::error("name", message)
                .at(checked.at.clone())
                .hint("use lower-case letters, digits and `-`"),
        );
        return None;
    }
    let developer = checked.text("kind") == Some("developer");
    let lease = checked.get("lease");
    let defaults = Lease::default();
    let kind = if developer {
        let max = duration(lease.and_then(|lease| lease.get("max"))).unwrap_or(defaults.max);
        let default =
            duration(lease.and_then(|lease| lease.get("default"))).unwrap_or(defaults.default.min(max));
        if default > max {
            let message = "the default lease is longer than the longest one";
            found.push(Diagnostic::warning("lease", message).at(checked.place("/lease/default")));
        }
        EnvironmentKind::Developer(Lease {
            default: default.min(max),
            max,
        })
    } else {
        if lease.is_some() {
            let message = "only developer environments have leases";
            found.push(
                Diagnostic::warning("lease", message)
                    .at(checked.place("/lease"))
                    .hint("add `kind: developer`"),
            );
        }
        EnvironmentKind::Permanent
    };
    let config = match config(inputs, checked, found) {
        Ok(config) => config,
        Err(why) => {
            outline.doubtful.push((namespace(checked).to_owned(), why));
            None
        }
    };
    Some(Environment {
        name: checked.name.clone(),
        namespace: namespace(checked).to_owned(),
        kind,
        after: checked.text("after").map(str::to_owned),
        stage: None,
        config,
        include: texts(checked.get("include")),
        state: texts(checked.get("state"))
            .iter()
            .map(|text| StateRule::parse(text))
            .collect(),
        team: checked.text("team").map(str::to_owned),
        substitute: checked.get("substitute").map(|all| scalars(Some(all))),
        cluster_scoped: checked.text("clusterScoped") == Some("allow"),
        labels: scalars(checked.get("labels")),
        pod_security: checked.text("podSecurity").map(str::to_owned),
        deployer_role: checked
            .get("deployer")
            .and_then(|deployer| deployer.get("clusterRole"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        quota: scalars(checked.get("quota")),
        source: checked.at.clone(),
    })
}

fn config(
    inputs: &Inputs,
    checked: &Checked,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<ConfigSource>, String> {
    let Some(value) = checked.get("config") else {
        return Ok(None);
    };
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let repository = value.as_str().unwrap_or_else(|| text("repository"));
    let path = normalise(text("path")).map_err(|error| {
        found.push(
            Diagnostic::error("path", format!("{error}"))
                .at(checked.place("/config/path"))
                .hint("name a directory of the config repository"),
        );
        format!("the path of its config: {error}")
    })?;
    Ok(Some(ConfigSource {
        repository: if repository.is_empty() {
            inputs.fleet_url.clone()
        } else {
            inputs.fleet_url.resolve(repository)
        },
        branch: text("branch").to_owned(),
        path,
    }))
}

/// Puts the permanent environments in the order that `after` says, the developer ones behind them.
fn stages(environments: &mut Vec<Environment>, found: &mut Vec<Diagnostic>) {
    environments.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = environments
        .iter()
        .map(|environment| environment.name.clone())
        .collect();
    for environment in environments.iter_mut() {
        if let Some(after) = environment.after.clone()
            && !names.contains(&after)
        {
            let mut diagnostic =
                Diagnostic::error("missing-reference", format!("there is no environment `{after}`"))
                    .at(environment.source.clone());
            diagnostic.hint = Some(match suggest(&after, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add environments/{after}.yaml, or remove `after`"),
            });
            found.push(diagnostic);
            environment.after = None;
        }
    }
    let (mut waiting, mut developer): (Vec<_>, Vec<_>) = std::mem::take(environments)
        .into_iter()
        .partition(|environment| environment.kind == EnvironmentKind::Permanent);
    let followed =
        |waiting: &[Environment], name: &str| waiting.iter().any(|e| e.after.as_deref() == Some(name));
    let mut ordered: Vec<Environment> = Vec::new();
    while !waiting.is_empty() {
        let done = |after: &Option<String>| {
            after
                .as_ref()
                .is_none_or(|after| !waiting.iter().any(|environment| environment.name == *after))
        };
        // Chains first, what stands alone last.
        let next = waiting
            .iter()
            .position(|e| e.after.is_some() && done(&e.after))
            .or_else(|| {
                waiting
                    .iter()
                    .position(|e| e.after.is_none() && followed(&waiting, &e.name))
            })
            .or_else(|| waiting.iter().position(|e| done(&e.after)));
        let index = next.unwrap_or_else(|| {
            if let Some(first) = waiting.first() {
                let circle: Vec<&str> = waiting.iter().map(|e| e.name.as_str()).collect();
                found.push(
                    Diagnostic::error(
                        "cycle",
                        format!("the stages {} wait for each other", circle.join(", ")),
                    )
                    .at(first.source.clone())
                    .hint("remove one `after`"),
                );
            }
            0
        });
        let mut environment = waiting.remove(index);
        if next.is_none() {
            environment.after = None;
        }
        environment.stage = Some(ordered.len());
        ordered.push(environment);
    }
    ordered.append(&mut developer);
    *environments = ordered;
}
