//! teams/*.yaml.

use super::documents;
use super::settings::texts;
use crate::format::{Checked, TEAM};
use crate::{Channel, Inputs, Member, Team};
use herder_base::Diagnostic;
use serde_json::Value;

/// Reads the files.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Team> {
    let (all, _) = documents::folder(&inputs.root, "teams", &TEAM, found);
    let (all, _) = documents::unique("team", all, found);
    for checked in &all {
        without_effect(checked, found);
    }
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

/// Says what a team's file asks for and nobody does.
fn without_effect(checked: &Checked, found: &mut Vec<Diagnostic>) {
    for way in ["slack", "email"] {
        let asked = checked
            .get("channel")
            .is_some_and(|channel| channel.get(way).is_some());
        if asked {
            let message = format!("nothing is sent to a team by {way}");
            found.push(
                Diagnostic::error("unsupported", message)
                    .at(checked.place(&format!("/channel/{way}")))
                    .hint(
                        "write `channel: {url: …}`, the page where the team is reached: the board shows it",
                    ),
            );
        }
    }
    let members = checked.get("members").and_then(Value::as_array);
    for (index, member) in members.into_iter().flatten().enumerate() {
        if member.get("may").is_some() || member.get("environments").is_some() {
            let field = if member.get("may").is_some() {
                "may"
            } else {
                "environments"
            };
            let message =
                "who may do what is not enforced: whoever has the platform's token may do everything";
            found.push(
                Diagnostic::warning("not-enforced", message)
                    .at(checked.place(&format!("/members/{index}/{field}")))
                    .hint("leave it out, or acknowledge this finding in acknowledged.yaml"),
            );
        }
    }
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
