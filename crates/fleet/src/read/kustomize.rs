//! Kustomizations: where they are, what remote bases they name, and what they build to.

use super::configs;
use super::objects::{Raw, identified};
use super::outline::Outline;
use super::remotes::Admission;
use super::renders;
use crate::{Inputs, Settings, SourceRef};
use herder_base::{Commit, Diagnostic, Location, Namer, Tree, Url};
use herder_kustomize::{LoadRestrictor, Options, Remotes, parse_url};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The names a kustomization may have.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The kustomization file directly in a directory.
pub(crate) fn file(tree: &Tree, dir: &str) -> Option<String> {
    NAMES
        .iter()
        .map(|name| {
            if dir.is_empty() {
                (*name).to_owned()
            } else {
                format!("{dir}/{name}")
            }
        })
        .find(|path| tree.file(path).is_some())
}

/// Whether a directory has a kustomization.
pub(crate) fn is_root(tree: &Tree, dir: &str) -> bool {
    file(tree, dir).is_some()
}

/// The namespace that a directory's kustomization puts everything into, and where it says so.
pub(crate) fn namespace(tree: &Tree, dir: &str) -> Option<(String, Location)> {
    let path = file(tree, dir)?;
    let (documents, _) = herder_object::yaml::parse(tree.text(&path)?);
    let root = &documents.first()?.root;
    let name = root.get("namespace")?.text().filter(|name| !name.is_empty())?;
    let (line, column) = root.at("/namespace");
    Some((name.to_owned(), Location::new(path, line, column)))
}

/// Whether a directory's kustomization is a part for others.
pub(crate) fn is_component(tree: &Tree, dir: &str) -> bool {
    let text = file(tree, dir).and_then(|path| tree.text(&path).map(herder_object::yaml::parse));
    text.is_some_and(|(documents, _)| {
        let kind = documents
            .first()
            .and_then(|document| document.root.get("kind")?.text());
        kind == Some("Component")
    })
}

/// The trees of remote bases, as far as they have been fetched.
struct Fetched<'a>(&'a Inputs);

impl Remotes for Fetched<'_> {
    fn resolve(&self, url: &str) -> Option<Result<(Tree, String), String>> {
        let remote = parse_url(url)?;
        let source = SourceRef::new(remote.repository.clone(), remote.reference.clone());
        Some(match self.0.trees.get(&source) {
            Some(Ok(tree)) => Ok((tree.clone(), remote.path)),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{} has not been fetched yet", source.url)),
        })
    }
}

/// Adds the remote bases of every kustomization of the fleet, and of those that are fetched already. One that may not be
/// reached is there with the reason, unless the fleet names it too.
pub(crate) fn remotes(inputs: &Inputs, outline: &Outline, wanted: &mut BTreeSet<SourceRef>) {
    let admission = Admission::new(inputs, outline);
    let mut pending: Vec<(Tree, String, String)> = Vec::new();
    for environment in &outline.environments {
        let Some(config) = &environment.config else {
            continue;
        };
        let Ok(tree) = configs::tree(inputs, config) else {
            continue;
        };
        let repository = if configs::is_root(inputs, config) {
            String::new()
        } else {
            config.repository.to_string()
        };
        for (_, dir) in configs::applications(tree, config, &environment.include) {
            pending.push((tree.clone(), repository.clone(), dir));
        }
    }
    for dir in outline.folders.iter().map(String::as_str).chain(["manifests"]) {
        let dir = super::glob::real(&inputs.root, dir).unwrap_or_else(|| dir.to_owned());
        pending.push((inputs.root.clone(), String::new(), dir));
    }
    let mut seen = BTreeSet::new();
    while let Some((tree, repository, dir)) = pending.pop() {
        if !seen.insert((repository.clone(), tree.commit().clone(), dir.clone())) {
            continue;
        }
        if !is_root(&tree, &dir) {
            continue;
        }
        let namer = if repository.is_empty() {
            Namer::Fleet
        } else {
            Namer::Other
        };
        for remote in herder_kustomize::remotes(&tree, &dir) {
            let url = Url::from(remote.repository.as_str());
            let source = SourceRef {
                remote: Some(admission.admit(&url, namer)),
                reference: remote.reference,
                why: named_at(&tree, &repository, &dir, &remote.url),
                url,
            };
            if let Some(Ok(base)) = inputs.trees.get(&source) {
                pending.push((base.clone(), source.url.to_string(), remote.path));
            }
            if matches!(source.remote, Some(Ok(_))) {
                wanted.replace(source);
            } else {
                wanted.insert(source);
            }
        }
    }
}

/// Whether a kustomization builds on anything outside of its own repository, however indirectly.
pub(crate) fn has_remote(tree: &Tree, dir: &str) -> bool {
    !herder_kustomize::remotes(tree, dir).is_empty()
}

/// The revision at which the first remote base of a kustomization is pinned, short.
pub(crate) fn pinned(tree: &Tree, dir: &str) -> Option<String> {
    herder_kustomize::remotes(tree, dir)
        .into_iter()
        .map(|remote| remote.reference)
        .find(|reference| !reference.is_empty())
        .map(|reference| short(&reference).to_owned())
}

/// A commit id as people see it; other names stay whole.
pub(crate) fn short(reference: &str) -> &str {
    let id = reference.len() >= 40 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id {
        reference.get(..12).unwrap_or(reference)
    } else {
        reference
    }
}

/// The objects that a kustomization builds to; the error says that it does not, the diagnostics why.
pub(crate) fn build(
    inputs: &Inputs,
    settings: &Settings,
    tree: &Tree,
    repository: &str,
    dir: &str,
    found: &mut Vec<Diagnostic>,
) -> Result<Vec<Raw>, String> {
    let here = |mut diagnostic: Diagnostic| {
        let at = diagnostic
            .at
            .get_or_insert_with(|| Location::new(file(tree, dir).unwrap_or_default(), 0, 0));
        repository.clone_into(&mut at.repository);
        diagnostic
    };
    if let Some((at, why)) = unfetched(inputs, tree, repository, dir) {
        found.push(Diagnostic::error("unreadable", why.clone()).at(at).hint(
            "check the address and the revision; until it can be read, nothing that uses it is changed",
        ));
        return Err(why);
    }
    let built = render(inputs, settings, tree, repository, dir).map_err(|error| {
        let diagnostic = here(error.to_diagnostic("kustomize"));
        let why = diagnostic.message.clone();
        found.push(diagnostic);
        why
    })?;
    found.extend(built.warnings.iter().cloned().map(here));
    let at = Location {
        repository: repository.to_owned(),
        ..Location::new(file(tree, dir).unwrap_or_default(), 0, 0)
    };
    let mut raws = Vec::with_capacity(built.objects.len());
    for value in &built.objects {
        if let Err(why) = identified(value) {
            found.push(Diagnostic::error("object", why.clone()).at(at.clone()));
            return Err(why);
        }
        raws.push(Raw {
            value: value.clone(),
            at: at.clone(),
        });
    }
    Ok(raws)
}

/// What a kustomization builds to, from an earlier reading if nothing it reads has changed.
fn render(inputs: &Inputs, settings: &Settings, tree: &Tree, repository: &str, dir: &str) -> renders::Result {
    let options = Options {
        load_restrictor: if settings.load_anywhere {
            LoadRestrictor::None
        } else {
            LoadRestrictor::RootOnly
        },
        ..Options::default()
    };
    let commit = |url: &str| match Fetched(inputs).resolve(url) {
        Some(Ok((tree, _))) => Some(tree.commit().clone()),
        _ => None,
    };
    if let Some(kept) = inputs.renders.get(repository, dir, tree, &options, &commit) {
        return kept;
    }
    let remotes = Noting {
        fetched: Fetched(inputs),
        asked: RefCell::default(),
    };
    let built = herder_kustomize::build(tree, dir, &options, &remotes).map(Arc::new);
    let asked = remotes.asked.into_inner().into_iter().collect();
    inputs.renders.put(repository, dir, tree, &options, asked, &built);
    built
}

/// Remote bases, with a note of which were asked for and at which commit they were.
struct Noting<'a> {
    fetched: Fetched<'a>,
    asked: RefCell<BTreeMap<String, Option<Commit>>>,
}

impl Remotes for Noting<'_> {
    fn resolve(&self, url: &str) -> Option<Result<(Tree, String), String>> {
        let found = self.fetched.resolve(url);
        if let Some(found) = &found {
            let commit = found.as_ref().ok().map(|(tree, _)| tree.commit().clone());
            self.asked.borrow_mut().insert(url.to_owned(), commit);
        }
        found
    }
}

/// Why a base that a kustomization builds on, however far away, cannot be had, and where it is named.
fn unfetched(inputs: &Inputs, tree: &Tree, repository: &str, dir: &str) -> Option<(Location, String)> {
    let mut pending = vec![(tree.clone(), repository.to_owned(), dir.to_owned())];
    let mut seen = BTreeSet::new();
    while let Some((tree, repository, dir)) = pending.pop() {
        for remote in herder_kustomize::remotes(&tree, &dir) {
            if !seen.insert(remote.url.clone()) {
                continue;
            }
            match Fetched(inputs).resolve(&remote.url) {
                Some(Ok((base, path))) => {
                    pending.push((base, herder_base::show_remote(&remote.repository), path));
                }
                Some(Err(why)) => {
                    let base = herder_base::show_remote(&remote.url);
                    let at = named_at(&tree, &repository, &dir, &remote.url);
                    return Some((at, format!("the base {base} cannot be read: {why}")));
                }
                None => {}
            }
        }
    }
    None
}

/// Where a kustomization, or one that it builds on in the same tree, names a remote.
fn named_at(tree: &Tree, repository: &str, dir: &str, url: &str) -> Location {
    let own = file(tree, dir);
    let is_kustomization = |path: &str| NAMES.contains(&path.rsplit('/').next().unwrap_or(path));
    let line = |path: &str| {
        let at = tree.text(path)?.lines().position(|line| line.contains(url))?;
        u32::try_from(at + 1).ok()
    };
    let found = own
        .as_deref()
        .and_then(|path| Some((path, line(path)?)))
        .or_else(|| {
            tree.files()
                .map(|(path, _)| path)
                .filter(|path| is_kustomization(path))
                .find_map(|path| Some((path, line(path)?)))
        });
    let (path, line) = found.unwrap_or((own.as_deref().unwrap_or_default(), 0));
    Location {
        repository: repository.to_owned(),
        ..Location::new(path, line, 0)
    }
}
