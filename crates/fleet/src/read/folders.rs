//! Discovered folders: which namespace each is, and its objects.

use super::objects::{self, Raw};
use super::outline::Outline;
use super::units::{empty, hold, leave_out, mention, put, said};
use super::{glob, kustomize, security};
use crate::render::{self, Dress};
use crate::{Inputs, StateRule, Unit, UnitOrigin};
use herder_base::{Diagnostic, Location};
use serde_json::Value;

/// The unit of a folder; `None` if it holds nothing.
pub(super) fn of_folder(
    inputs: &Inputs,
    outline: &Outline,
    folder: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Unit> {
    let base = folder.rsplit('/').next().unwrap_or(folder);
    let dir = glob::real(&inputs.root, folder).unwrap_or_else(|| folder.to_owned());
    let folder = dir.as_str();
    let built = if kustomize::is_root(&inputs.root, folder) {
        kustomize::build(inputs, &outline.settings, &inputs.root, "", folder, found).map(objects::Read::all)
    } else {
        let read = objects::files(&inputs.root, "", folder, false, found);
        match &read.missing {
            // Which namespace it is may be said by what could not be read.
            Some(why)
                if read.raws.is_empty()
                    || read.doubtful && !read.raws.iter().any(|raw| is_namespace(&raw.value)) =>
            {
                Err(why.clone())
            }
            _ => Ok(read),
        }
    };
    let (raws, missing) = match built {
        Ok(read) => (read.raws, read.missing),
        Err(why) => {
            let mut unit = empty(base, UnitOrigin::Discovered);
            // The name of the namespace stands in a file that may be the broken one; other units stay untouched by it.
            unit.namespace = namespace_of(inputs, folder).unwrap_or_else(|| base.to_owned());
            unit.id.clone_from(&unit.namespace);
            hold(&mut unit, &why);
            return Some(unit);
        }
    };
    if raws.is_empty() {
        found.push(
            Diagnostic::warning(
                "empty",
                format!("`{folder}` holds no objects and is no namespace"),
            )
            .at(Location::new(folder, 0, 0)),
        );
        return None;
    }
    let namespaces: Vec<&Raw> = raws.iter().filter(|raw| is_namespace(&raw.value)).collect();
    let namespace = match namespaces.as_slice() {
        [] => kustomize::namespace(&inputs.root, folder)
            .map(|(name, _)| name)
            .unwrap_or_else(|| base.to_owned()),
        [only] => herder_object::name(&only.value).to_owned(),
        [_, second, ..] => {
            let mut unit = empty(base, UnitOrigin::Discovered);
            mention(&mut unit, &raws);
            let why = "this folder makes two namespaces".to_owned();
            found.push(
                Diagnostic::error("duplicate-namespace", why.clone())
                    .at(second.at.clone())
                    .hint("one folder is one namespace"),
            );
            hold(&mut unit, &why);
            return Some(unit);
        }
    };
    let mut unit = empty(&namespace, UnitOrigin::Discovered);
    unit.incomplete = missing;
    unit.cluster_scoped = outline.settings.cluster_scoped;
    mention(&mut unit, &raws);
    if !crate::format::is_name(&namespace) {
        let why = format!("`{namespace}` is no name for a namespace");
        found.push(
            Diagnostic::error("name", why.clone())
                .at(Location::new(folder, 0, 0))
                .hint("use lower-case letters, digits and `-`, at most 63"),
        );
        hold(&mut unit, &why);
        return Some(unit);
    }
    if let Some(Err(diagnostic)) = namespaces
        .first()
        .map(|raw| security::of_folder(raw, folder, inputs))
    {
        let why = diagnostic.message.clone();
        found.push(*diagnostic);
        hold(&mut unit, &why);
        return Some(unit);
    }
    let rules: [StateRule; 0] = [];
    let dress = Dress::new(inputs, outline, &unit.id, &rules);
    if namespaces.is_empty() {
        let raw = Raw {
            value: render::bare_namespace(&namespace),
            at: Location::new(folder, 0, 0),
        };
        put(&mut unit, &dress, raw, None, None, found);
    }
    for mut raw in raws {
        let application = said(&raw.value);
        if let Err(diagnostic) = objects::settle(&mut raw, &namespace, outline.settings.cluster_scoped) {
            leave_out(&mut unit, &raw, application.as_deref(), &diagnostic.message);
            found.push(*diagnostic);
        } else if let Err(diagnostic) = render::inject(&mut raw.value, dress.settings) {
            let why = diagnostic.message.clone();
            found.push(diagnostic.at(raw.at));
            hold(&mut unit, &why);
            return Some(unit);
        } else {
            put(&mut unit, &dress, raw, application.as_deref(), None, found);
        }
    }
    Some(unit)
}

pub(super) fn is_namespace(value: &Value) -> bool {
    herder_object::kind(value) == "Namespace" && herder_object::api_version(value) == "v1"
}

/// The namespace that a folder with a broken file makes, as far as its whole files say.
fn namespace_of(inputs: &Inputs, folder: &str) -> Option<String> {
    declaration(inputs, folder)
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty())
}

/// Where a folder declares its namespace; the folder itself if it goes by the folder's name.
pub(super) fn declared(inputs: &Inputs, at: Location) -> Location {
    if at.line > 0 {
        return at;
    }
    declaration(inputs, &at.path).map_or(at, |(_, place)| place)
}

fn declaration(inputs: &Inputs, folder: &str) -> Option<(String, Location)> {
    inputs
        .root
        .below(folder)
        .filter_map(|(path, _)| Some((path, inputs.root.text(path)?)))
        .flat_map(|(path, text)| {
            let objects = herder_object::yaml::parse_objects(text).0;
            objects.into_iter().map(move |(value, line)| (path, value, line))
        })
        .find(|(_, value, _)| is_namespace(value))
        .map(|(path, value, line)| {
            (
                herder_object::name(&value).to_owned(),
                Location::new(path, line, 0),
            )
        })
        .or_else(|| kustomize::namespace(&inputs.root, folder))
}
