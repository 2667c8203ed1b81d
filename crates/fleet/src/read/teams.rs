//! teams/*.yaml.

use super::documents;
use super::settings::texts;
use crate::format::TEAM;
use crate::{Channel, Inputs, Member, Team};
use herder_base::Diagnostic;
use serde_json::Value;

/// Reads the files.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Team> {
    let (all, _) = documents::folder(&inputs.root, "teams", &TEAM, found);
    let (all, _) = documents::unique("team", all, found);
    let mut teams: Vec<Team> = all
        .iter()
        .map(|checked| {
            let members = checked.get("members").and_then(Value::as_array);
            Team {
                name: checked.name.clone(),
                members: members.into_iter().flatten().map(member).collect(),
                channel: checked
                    .get("channel")
                    .and_then(Value::as_object)
                    .and_then(|channel| channel.iter().next())
                    .map(|(kind, address)| Channel {
                        kind: kind.clone(),
                        address: address.as_str().unwrap_or_default().to_owned(),
                    }),
                source: checked.at.clone(),
            }
        })
        .collect();
    teams.sort_by(|a, b| a.name.cmp(&b.name));
    teams
}

fn member(value: &Value) -> Member {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let mut may = texts(value.get("may"));
    if may.is_empty() {
        may.push("view".to_owned());
    }
    Member {
        subject: match (text("group"), text("user")) {
            (Some(group), _) => format!("group:{group}"),
            (None, user) => format!("user:{}", user.unwrap_or_default()),
        },
        may,
        environments: texts(value.get("environments")),
    }
}
