//! teams/*.yaml.

use super::documents;
use crate::format::TEAM;
use crate::{Inputs, Team};
use herder_base::Diagnostic;

/// Reads the files.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Team> {
    let (all, _) = documents::folder(&inputs.root, "teams", &TEAM, found);
    let (all, _) = documents::unique("team", all, found);
    let mut teams: Vec<Team> = all
        .iter()
        .map(|checked| Team {
            name: checked.name.clone(),
            source: checked.at.clone(),
        })
        .collect();
    teams.sort_by(|a, b| a.name.cmp(&b.name));
    teams
}
