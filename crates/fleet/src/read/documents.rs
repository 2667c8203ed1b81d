//! Files of the fleet repository to checked documents.

use crate::format::{Checked, Kind, check};
use herder_base::{Diagnostic, Location, Tree};
use herder_object::yaml;

/// Whether a path is a YAML file.
pub(crate) fn is_yaml(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// The name of a file without directories and ending.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The documents of the files directly or deeper in a folder that fit `kind`, and whether some did not.
pub(crate) fn folder(
    tree: &Tree,
    dir: &str,
    kind: &Kind,
    found: &mut Vec<Diagnostic>,
) -> (Vec<Checked>, bool) {
    let mut all = Vec::new();
    let mut bad = false;
    for (path, _) in tree.below(dir).filter(|(path, _)| is_yaml(path)) {
        let (documents, failed) = file(tree, path, kind, found);
        all.extend(documents);
        bad |= failed;
    }
    (all, bad)
}

/// The documents of one file that fit `kind`, and whether some did not. A nameless only document gets the file's name.
pub(crate) fn file(
    tree: &Tree,
    path: &str,
    kind: &Kind,
    found: &mut Vec<Diagnostic>,
) -> (Vec<Checked>, bool) {
    let Some(text) = tree.text(path) else {
        found.push(Diagnostic::error("encoding", "the file is not UTF-8 text").at(Location::new(path, 0, 0)));
        return (Vec::new(), true);
    };
    let (documents, errors) = yaml::parse(text);
    let mut bad = !errors.is_empty();
    for error in errors {
        found.push(Diagnostic::error("yaml", error.message).at(Location::new(
            path,
            error.line,
            error.column,
        )));
    }
    let mut all = Vec::new();
    for document in documents.into_iter().filter(|document| !document.root.is_null()) {
        match check(kind, path, document, found) {
            Some(checked) => all.push(checked),
            None => bad = true,
        }
    }
    if let [only] = all.as_mut_slice()
        && only.name.is_empty()
    {
        stem(path).clone_into(&mut only.name);
    }
    (all, bad)
}

/// Says which name is given twice; the first one stays.
pub(crate) fn unique(what: &str, mut all: Vec<Checked>, found: &mut Vec<Diagnostic>) -> (Vec<Checked>, bool) {
    let mut bad = false;
    let mut kept: Vec<Checked> = Vec::with_capacity(all.len());
    for checked in all.drain(..) {
        if checked.name.is_empty() {
            bad = true;
            found.push(
                Diagnostic::error("missing-field", format!("this {what} has no name"))
                    .at(checked.at)
                    .hint("a file with several documents needs a `name` in each"),
            );
        } else if let Some(first) = kept.iter().find(|other| other.name == checked.name) {
            bad = true;
            found.push(
                Diagnostic::error(
                    "duplicate",
                    format!("the {what} `{}` is defined twice", checked.name),
                )
                .at(checked.place("/name"))
                .hint(format!("the first one is at {}", first.at)),
            );
        } else {
            kept.push(checked);
        }
    }
    (kept, bad)
}
