//! Rolling back: the commit that gives an application the pins it had at an earlier commit of its config. Which commits
//! there are, is git's to say; this only reads their files.

use super::{Place, PromoteError, Promotion, environment};
use crate::{Fleet, Inputs};
use herder_base::{Commit, Tree, Url};

/// Where an application's pins are in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The config repository.
    pub repository: Url,
    /// The branch, empty for the remote's default.
    pub branch: String,
    /// The commit that was read.
    pub commit: Commit,
    /// The kustomization.
    pub file: String,
}

/// Where an application's pins are in an environment, to look for what they were.
///
/// # Errors
/// If a name leads nowhere or a config cannot be read.
pub fn pinned(fleet: &Fleet, inputs: &Inputs, application: &str, to: &str) -> Result<Pinned, PromoteError> {
    let place = Place::find(inputs, environment(fleet, to)?, application)?;
    Ok(Pinned {
        repository: place.config.repository.clone(),
        branch: place.config.branch.clone(),
        commit: place.tree.commit().clone(),
        file: place.file,
    })
}

/// Decides what to commit so that `to` runs of `application` what its config said at `past`. None if that is what it
/// says now, or if it said nothing then.
///
/// # Errors
/// If a name leads nowhere, a config cannot be read, or what was pinned then has no place now.
pub fn rollback(
    fleet: &Fleet,
    inputs: &Inputs,
    application: &str,
    to: &str,
    past: &Tree,
) -> Result<Option<Promotion>, PromoteError> {
    let place = Place::find(inputs, environment(fleet, to)?, application)?;
    let Some(text) = past.text(&place.file) else {
        return Ok(None);
    };
    let before = Place {
        config: place.config,
        tree: past,
        file: place.file.clone(),
        text,
    };
    let pins = before.pins()?;
    let promotion = place.commit(
        &pins,
        Promotion {
            application: application.to_owned(),
            from: past.commit().short().to_owned(),
            to: to.to_owned(),
            ..Promotion::default()
        },
    )?;
    let version = promotion.moves.last().map(|step| step.to.clone());
    let Some(version) = version else { return Ok(None) };
    Ok(Some(Promotion {
        title: format!(
            "Roll {application} back in {to} to {}",
            super::kustomize::short(&version)
        ),
        ..promotion
    }))
}
