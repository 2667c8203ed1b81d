//! The fleet repository's own files, before anything is rendered: enough to know which repositories are needed.

use super::{applications, discover, environments, settings, teams};
use crate::{Application, Environment, Held, Inputs, Settings, Team};
use herder_base::Diagnostic;

/// What the fleet repository's own files say.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) environments: Vec<Environment>,
    /// Names of environments or namespaces of which a definition could not be used.
    pub(crate) doubtful: Vec<(String, String)>,
    pub(crate) applications: Vec<Application>,
    pub(crate) teams: Vec<Team>,
    /// Folders that discovery matched.
    pub(crate) folders: Vec<String>,
    pub(crate) held: Held,
    /// Why fleet.yaml is of no use: nothing at all may be changed then.
    pub(crate) broken: Option<String>,
}

/// Reads it.
pub(crate) fn read(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Outline {
    let mut outline = Outline::default();
    let globs = settings::read(inputs, &mut outline, found);
    discover::folders(&inputs.root, &globs, &mut outline, found);
    environments::read(inputs, &mut outline, found);
    outline.applications = applications::read(inputs, found);
    outline.teams = teams::read(inputs, found);
    references(&outline, found);
    outline
}

/// Says which names lead nowhere.
fn references(outline: &Outline, found: &mut Vec<Diagnostic>) {
    let teams: Vec<&str> = outline.teams.iter().map(|team| team.name.as_str()).collect();
    let users = outline
        .environments
        .iter()
        .map(|environment| (&environment.team, &environment.source))
        .chain(
            outline
                .applications
                .iter()
                .map(|application| (&application.team, &application.source)),
        );
    for (team, at) in users {
        if let Some(team) = team
            && !teams.contains(&team.as_str())
        {
            let mut diagnostic =
                Diagnostic::warning("missing-reference", format!("there is no team `{team}`")).at(at.clone());
            diagnostic.hint = Some(match herder_base::suggest(team, teams.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add teams/{team}.yaml"),
            });
            found.push(diagnostic);
        }
    }
}
