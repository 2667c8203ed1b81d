//! Promotion: the commit that makes a stage run what the stage before it runs. Moves pins and touches nothing else.

mod guard;
mod pins;
mod rollback;

use crate::read::{configs, kustomize};
use crate::{ConfigSource, Environment, Fleet, Inputs};
use herder_base::{Commit, Tree, Url, show_remote, suggest};
use pins::{Kustomization, Pins};
pub use rollback::{Pinned, pinned, rollback};
use std::fmt;
use thiserror::Error;

/// The commit to make in the target's config repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promotion {
    /// What the commit does, in one line.
    pub title: String,
    /// The application.
    pub application: String,
    /// The environment whose pins are taken, or the released version.
    pub from: String,
    /// The environment that gets them.
    pub to: String,
    /// The target's config repository.
    pub repository: Url,
    /// The branch there, empty for the remote's default.
    pub branch: String,
    /// The commit it was decided on; if the branch has moved since, decide again.
    pub parent: Commit,
    /// The files to write, with their whole new text. None if nothing moves.
    pub files: Vec<(String, String)>,
    /// What moves, for people.
    pub moves: Vec<Move>,
}

/// A pin that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The base's address or the image's name.
    pub what: String,
    /// Where it was, empty if it was not pinned.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.from.is_empty() {
            "not pinned"
        } else {
            kustomize::short(&self.from)
        };
        write!(f, "{} {from} → {}", self.what, kustomize::short(&self.to))?;
        if is_older(&self.to, &self.from) {
            f.write_str(" (a downgrade)")?;
        }
        Ok(())
    }
}

/// Whether one version is older than another, as far as their numbers say: `1.9.0` than `1.10`, `2.0.0-rc.1` than
/// `2.0.0`. Names and commits are neither older nor newer.
#[must_use]
pub fn is_older(version: &str, than: &str) -> bool {
    fn parts(version: &str) -> Option<(Vec<u64>, bool)> {
        let version = version.strip_prefix('v').unwrap_or(version);
        let version = version.split_once('+').map_or(version, |(version, _)| version);
        let (numbers, early) = version
            .split_once('-')
            .map_or((version, false), |(numbers, _)| (numbers, true));
        if !numbers.contains('.') {
            return None;
        }
        let mut numbers: Vec<u64> = numbers
            .split('.')
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some((numbers, early))
    }
    match (parts(version), parts(than)) {
        (Some((a, a_early)), Some((b, b_early))) => a < b || a == b && a_early && !b_early,
        _ => false,
    }
}

impl Promotion {
    /// The message of the commit.
    #[must_use]
    pub fn message(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for step in &self.moves {
            text.push_str(&format!("\n{step}"));
        }
        text.push('\n');
        text
    }
}

/// Why there is nothing to promote.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PromoteError {
    /// No such environment.
    #[error("there is no environment `{name}`{}", meant(.near))]
    NoEnvironment {
        /// The name.
        name: String,
        /// One that is similar.
        near: Option<String>,
    },
    /// The target is the first stage, and nothing else was said.
    #[error("environment `{0}` is not after another one: say what to promote from")]
    First(String),
    /// Source and target are the same.
    #[error("`{0}` cannot be promoted to itself")]
    Same(String),
    /// An environment has no config, or it cannot be read.
    #[error("the config of environment `{environment}` cannot be read: {why}")]
    Config {
        /// The environment.
        environment: String,
        /// Why.
        why: String,
    },
    /// The application is not in an environment's config.
    #[error("application `{application}` is not in the config of environment `{environment}`{}", meant(.near))]
    NoApplication {
        /// The application.
        application: String,
        /// The environment.
        environment: String,
        /// One that is similar.
        near: Option<String>,
    },
    /// There is no pin to take.
    #[error(
        "{file} pins no revision and no image, so that there is nothing to promote: add `?ref=` to its base or an entry to `images`"
    )]
    NothingPinned {
        /// The source's kustomization.
        file: String,
    },
    /// The target has no place for a pin.
    #[error("{file} has no base `{base}` to move")]
    NoBase {
        /// The target's kustomization.
        file: String,
        /// The base in the source.
        base: String,
    },
    /// What should be pinned is no pin in form.
    #[error("nothing was promoted: {0}")]
    NoPin(String),
    /// A kustomization cannot be edited.
    #[error("{file} cannot be edited: {why}")]
    Edit {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

fn meant(near: &Option<String>) -> String {
    near.as_ref()
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

/// Decides what to commit so that `to` runs of `application` what `from` runs; without `from` the stage before.
///
/// # Errors
/// If a name leads nowhere, a config cannot be read, or nothing is pinned.
pub fn promote(
    fleet: &Fleet,
    inputs: &Inputs,
    application: &str,
    from: Option<&str>,
    to: &str,
) -> Result<Promotion, PromoteError> {
    let target = environment(fleet, to)?;
    let from = match from {
        Some(from) => from.to_owned(),
        None => target
            .after
            .clone()
            .ok_or_else(|| PromoteError::First(to.to_owned()))?,
    };
    if from == to {
        return Err(PromoteError::Same(to.to_owned()));
    }
    let source = Place::find(inputs, environment(fleet, &from)?, application)?;
    let place = Place::find(inputs, target, application)?;
    let pins = source.pins()?;
    if pins.bases.is_empty() && pins.images.is_empty() {
        return Err(PromoteError::NothingPinned { file: source.file });
    }
    let title = format!("Promote {application} from {from} to {to}");
    place.commit(
        &pins,
        Promotion {
            title,
            application: application.to_owned(),
            from,
            to: to.to_owned(),
            ..Promotion::default()
        },
    )
}

/// Decides what to commit so that `to` runs a version of `application` that has just been built from `reference`: moves
/// the bases from the application's own repository and the tags of its images.
///
/// # Errors
/// If a name leads nowhere, a config cannot be read, or nothing there is pinned.
pub fn release(
    fleet: &Fleet,
    inputs: &Inputs,
    application: &str,
    to: &str,
    version: &str,
    reference: &str,
) -> Result<Promotion, PromoteError> {
    let place = Place::find(inputs, environment(fleet, to)?, application)?;
    let known = fleet.application(application);
    let repository = known
        .map(|known| known.repository.expose())
        .filter(|repository| !repository.is_empty());
    let names = known.map(|known| known.images.as_slice()).unwrap_or_default();
    let mut pins = place.pins()?;
    pins.bases
        .retain(|(base, _)| repository.is_none_or(|repository| pins::is_of(base, repository)));
    pins.images
        .retain(|image| names.is_empty() || names.contains(&image.name));
    if pins.bases.is_empty() && pins.images.is_empty() {
        return Err(PromoteError::NothingPinned { file: place.file });
    }
    for (_, revision) in &mut pins.bases {
        reference.clone_into(revision);
    }
    for image in &mut pins.images {
        version.clone_into(&mut image.tag);
        image.digest.clear();
    }
    let title = format!("Release {application} {version} to {to}");
    let from = version.to_owned();
    place.commit(
        &pins,
        Promotion {
            title,
            application: application.to_owned(),
            from,
            to: to.to_owned(),
            ..Promotion::default()
        },
    )
}

fn environment<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a Environment, PromoteError> {
    fleet
        .environment(name)
        .ok_or_else(|| PromoteError::NoEnvironment {
            name: name.to_owned(),
            near: suggest(name, fleet.environments.iter().map(|e| e.name.as_str())).map(str::to_owned),
        })
}

/// An application's kustomization in an environment's config.
struct Place<'a> {
    config: &'a ConfigSource,
    tree: &'a Tree,
    file: String,
    text: &'a str,
}

impl<'a> Place<'a> {
    fn find(
        inputs: &'a Inputs,
        environment: &'a Environment,
        application: &str,
    ) -> Result<Self, PromoteError> {
        let unreadable = |why: String| PromoteError::Config {
            environment: environment.name.clone(),
            why,
        };
        let config = environment
            .config
            .as_ref()
            .ok_or_else(|| unreadable("it has none".to_owned()))?;
        let tree = configs::tree(inputs, config).map_err(unreadable)?;
        let all = configs::applications(tree, config, &environment.include);
        let found = all
            .iter()
            .find(|(name, _)| name == application || name.is_empty());
        let file = found
            .and_then(|(_, dir)| kustomize::file(tree, dir))
            .ok_or_else(|| {
                let near = suggest(application, all.iter().map(|(name, _)| name.as_str())).map(str::to_owned);
                PromoteError::NoApplication {
                    application: application.to_owned(),
                    environment: environment.name.clone(),
                    near,
                }
            })?;
        let text = tree
            .text(&file)
            .ok_or_else(|| unreadable(format!("{} in {} is not UTF-8 text", file, config.repository)))?;
        Ok(Self {
            config,
            tree,
            file,
            text,
        })
    }

    fn parsed(&self) -> Result<Kustomization, PromoteError> {
        Kustomization::parse(self.text).map_err(|why| PromoteError::Edit {
            file: self.file.clone(),
            why,
        })
    }

    fn pins(&self) -> Result<Pins, PromoteError> {
        Ok(self.parsed()?.pins())
    }

    /// The commit that makes the pins so.
    fn commit(self, pins: &Pins, promotion: Promotion) -> Result<Promotion, PromoteError> {
        let (text, moves) = self.moved(pins)?;
        Ok(Promotion {
            repository: self.config.repository.clone(),
            branch: self.config.branch.clone(),
            parent: self.tree.commit().clone(),
            files: if moves.is_empty() {
                Vec::new()
            } else {
                vec![(self.file, text)]
            },
            moves,
            ..promotion
        })
    }

    /// The text with other pins, and what moved.
    fn moved(&self, wanted: &Pins) -> Result<(String, Vec<Move>), PromoteError> {
        let failed = |why: String| PromoteError::Edit {
            file: self.file.clone(),
            why,
        };
        if let Some(why) = guard::fault(wanted) {
            return Err(PromoteError::NoPin(why));
        }
        let mut here = self.parsed()?;
        let mut moves = Vec::new();
        for (base, revision) in &wanted.bases {
            let before = here.revision(base).ok_or_else(|| PromoteError::NoBase {
                file: self.file.clone(),
                base: show_remote(base),
            })?;
            if before != *revision {
                here = here.set_revision(base, revision).map_err(failed)?;
                moves.push(Move {
                    what: show_remote(base),
                    from: before,
                    to: revision.clone(),
                });
            }
        }
        for image in &wanted.images {
            let before = here
                .image(&image.name)
                .map(|image| image.pin())
                .unwrap_or_default();
            if before != image.pin() {
                here = here.set_image(image).map_err(failed)?;
                moves.push(Move {
                    what: image.name.clone(),
                    from: before,
                    to: image.pin(),
                });
            }
        }
        if !guard::moves_only(&self.parsed()?, &here, wanted) {
            return Err(failed("the edit would change more than its pins".to_owned()));
        }
        Ok((here.text().to_owned(), moves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downgrades_are_said() {
        for (version, than, older) in [
            ("1.1.0", "1.3.0", true),
            ("v1.9", "v1.10.0", true),
            ("2.0.0-rc.1", "2.0.0", true),
            ("1.2.0", "1.2", false),
            ("2.0", "1.9", false),
            ("main", "1.0.0", false),
            ("12345678", "22345678", false),
        ] {
            assert_eq!(is_older(version, than), older, "{version} {than}");
        }
        let step = Move {
            what: "shop".to_owned(),
            from: "1.3.0".to_owned(),
            to: "1.1.0".to_owned(),
        };
        assert_eq!(step.to_string(), "shop 1.3.0 → 1.1.0 (a downgrade)");
    }
}
