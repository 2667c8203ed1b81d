//! applications/*.yaml, completed by what config repositories hold.

use super::documents;
use super::settings::texts;
use crate::format::APPLICATION;
use crate::{Application, Environment, EnvironmentKind, Inputs, Unit};
use herder_base::{Diagnostic, suggest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the files.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Application> {
    let (all, _) = documents::folder(&inputs.root, "applications", &APPLICATION, found);
    let (all, _) = documents::unique("application", all, found);
    let mut applications: Vec<Application> = all
        .iter()
        .map(|checked| {
            let source = checked.get("source");
            let text = |name: &str| {
                source
                    .and_then(|source| source.get(name))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let repository = source
                .and_then(Value::as_str)
                .unwrap_or_else(|| text("repository"));
            Application {
                name: checked.name.clone(),
                team: checked.text("team").map(str::to_owned),
                repository: inputs.fleet_url.resolve(repository),
                images: texts(checked.get("images")),
                stages: texts(checked.get("stages")),
                source: checked.at.clone(),
            }
        })
        .collect();
    applications.sort_by(|a, b| a.name.cmp(&b.name));
    applications
}

/// Adds the applications that only config repositories name, checks the stages, and fills them in where none are said.
pub(crate) fn complete(
    mut applications: Vec<Application>,
    environments: &[Environment],
    units: &[Unit],
    found: &mut Vec<Diagnostic>,
) -> Vec<Application> {
    let mut present: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for unit in units {
        let Some(environment) = unit.environment.as_deref() else {
            continue;
        };
        let names = unit
            .objects
            .iter()
            .filter_map(|object| object.application.as_deref())
            .chain(unit.held_applications.keys().map(String::as_str));
        for name in names {
            present.entry(name).or_default().insert(environment);
            if !applications.iter().any(|application| application.name == name) {
                let source = unit
                    .objects
                    .iter()
                    .find(|object| object.application.as_deref() == Some(name))
                    .map(|object| object.source.clone())
                    .unwrap_or_default();
                applications.push(Application {
                    name: name.to_owned(),
                    source,
                    ..Application::default()
                });
            }
        }
    }
    let names: Vec<&str> = environments
        .iter()
        .map(|environment| environment.name.as_str())
        .collect();
    for application in &mut applications {
        let at = application.source.clone();
        application.stages.retain(|stage| {
            let known = names.contains(&stage.as_str());
            if !known {
                let mut diagnostic =
                    Diagnostic::error("missing-reference", format!("there is no environment `{stage}`"))
                        .at(at.clone());
                diagnostic.hint =
                    suggest(stage, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                found.push(diagnostic);
            }
            known
        });
        if application.stages.is_empty() {
            let here = present.get(application.name.as_str());
            application.stages = environments
                .iter()
                .filter(|environment| environment.kind == EnvironmentKind::Permanent)
                .filter(|environment| here.is_some_and(|here| here.contains(environment.name.as_str())))
                .map(|environment| environment.name.clone())
                .collect();
        } else {
            application
                .stages
                .sort_by_key(|stage| names.iter().position(|name| name == stage));
        }
    }
    applications.sort_by(|a, b| a.name.cmp(&b.name));
    applications
}
