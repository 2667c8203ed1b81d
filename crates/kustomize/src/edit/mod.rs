//! Edits of kustomization files that keep comments, order and layout: promotion is a commit people read.
//!
//! Every edit is checked by reading its result; a layout that cannot be edited safely is refused, never guessed at.
//!
//! ```
//! use herder_kustomize::edit::{Version, set_image};
//! let text = "# what runs here\nimages:\n- name: shop # ours\n  newTag: \"1.0\"\n";
//! let edited = set_image(text, "shop", None, Version::Tag("1.1"))?;
//! assert_eq!(edited, "# what runs here\nimages:\n- name: shop # ours\n  newTag: \"1.1\"\n");
//! # Ok::<(), herder_kustomize::Error>(())
//! ```

mod lines;

use crate::error::{Error, Result};
use crate::kustomization;
use herder_object::yaml::{Node, Style};
use lines::{Lines, Scalar};

/// Which version of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'a> {
    /// The one that is there.
    Keep,
    /// A tag; a digest that is there goes.
    Tag(&'a str),
    /// A digest; a tag that is there goes.
    Digest(&'a str),
}

/// Sets the new name and version of an image, adding an entry of `images` if there is none.
///
/// # Errors
/// If the text is no kustomization, or its layout cannot be edited.
pub fn set_image(text: &str, name: &str, new_name: Option<&str>, version: Version<'_>) -> Result<String> {
    let wanted = |key: &str| match (key, version) {
        ("newName", _) => new_name.map(Some),
        ("newTag", Version::Tag(tag)) => Some(Some(tag)),
        ("newTag", Version::Digest(_)) | ("digest", Version::Tag(_)) => Some(None),
        ("digest", Version::Digest(digest)) => Some(Some(digest)),
        _ => None,
    };
    let mut lines = Lines::read(text)?;
    let index = lines.root().get("images").and_then(|images| {
        let mut entries = images.elements()?.iter();
        entries.position(|entry| entry.get("name").and_then(Node::text) == Some(name))
    });
    match index {
        None => {
            let mut fields = vec![("name", Scalar::Text(name))];
            fields.extend(
                ["newName", "newTag", "digest"]
                    .iter()
                    .filter_map(|key| Some((*key, Scalar::Text(wanted(key)??)))),
            );
            lines.add_entry("images", &fields)?;
        }
        Some(index) => {
            for key in ["newName", "newTag", "digest"] {
                if let Some(value) = wanted(key) {
                    lines.set_entry_field("images", index, key, value.map(Scalar::Text))?;
                }
            }
        }
    }
    let edited = lines.finish();
    let images = kustomization::parse(&edited)?.images;
    let image = images.iter().find(|image| image.name == name);
    let done = image.is_some_and(|image| {
        let fits =
            |found: &str, key: &str| wanted(key).is_none_or(|value| value.unwrap_or_default() == found);
        fits(&image.new_name, "newName") && fits(&image.new_tag, "newTag") && fits(&image.digest, "digest")
    });
    confirm(done, "images").map(|()| edited)
}

/// A field of a kustomization that is one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `namespace`
    Namespace,
    /// `namePrefix`
    NamePrefix,
    /// `nameSuffix`
    NameSuffix,
}

/// Sets a field that is one text.
///
/// # Errors
/// If the text is no kustomization, or its layout cannot be edited.
pub fn set_field(text: &str, field: Field, value: &str) -> Result<String> {
    let name = match field {
        Field::Namespace => "namespace",
        Field::NamePrefix => "namePrefix",
        Field::NameSuffix => "nameSuffix",
    };
    let mut lines = Lines::read(text)?;
    lines.set_field(name, value)?;
    let edited = lines.finish();
    let after = kustomization::parse(&edited)?;
    let now = match field {
        Field::Namespace => after.namespace,
        Field::NamePrefix => after.name_prefix,
        Field::NameSuffix => after.name_suffix,
    };
    confirm(now == value, name).map(|()| edited)
}

/// Sets how many replicas a workload has, adding an entry of `replicas` if there is none.
///
/// # Errors
/// If the text is no kustomization, or its layout cannot be edited.
pub fn set_replicas(text: &str, name: &str, count: u32) -> Result<String> {
    let count = u64::from(count);
    let mut lines = Lines::read(text)?;
    let index = lines.root().get("replicas").and_then(|replicas| {
        let mut entries = replicas.elements()?.iter();
        entries.position(|entry| entry.get("name").and_then(Node::text) == Some(name))
    });
    match index {
        Some(index) => lines.set_entry_field("replicas", index, "count", Some(Scalar::Whole(count)))?,
        None => lines.add_entry(
            "replicas",
            &[("name", Scalar::Text(name)), ("count", Scalar::Whole(count))],
        )?,
    }
    let edited = lines.finish();
    let replicas = kustomization::parse(&edited)?.replicas;
    let done = replicas
        .iter()
        .any(|replica| replica.name == name && u64::try_from(replica.count) == Ok(count));
    confirm(done, "replicas").map(|()| edited)
}

/// A list of paths and URLs in a kustomization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `resources`
    Resources,
    /// `components`
    Components,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Components => "components",
        }
    }

    fn holds(self, text: &str, path: &str) -> Result<bool> {
        let after = kustomization::parse(text)?;
        let entries = match self {
            Self::Resources => after.resources,
            Self::Components => after.components,
        };
        Ok(entries.iter().any(|entry| entry.text == path))
    }
}

/// Adds a path or URL to a list, unless it is there.
///
/// # Errors
/// If the text is no kustomization, or its layout cannot be edited.
pub fn add_path(text: &str, list: List, path: &str) -> Result<String> {
    let mut lines = Lines::read(text)?;
    let entries = lines.root().get(list.name()).and_then(Node::elements);
    if entries.is_some_and(|entries| entries.iter().any(|entry| entry.text() == Some(path))) {
        return Ok(text.to_owned());
    }
    lines.add_text(list.name(), path)?;
    let edited = lines.finish();
    confirm(list.holds(&edited, path)?, list.name()).map(|()| edited)
}

/// Removes a path or URL from a list.
///
/// # Errors
/// If it is not in the list, the text is no kustomization, or its layout cannot be edited.
pub fn remove_path(text: &str, list: List, path: &str) -> Result<String> {
    let mut lines = Lines::read(text)?;
    let node = lines.root().get(list.name()).cloned();
    let entries = node.as_ref().and_then(Node::elements).unwrap_or_default();
    let Some(entry) = entries.iter().find(|entry| entry.text() == Some(path)) else {
        let error = Error::new(format!("`{}` does not hold `{path}`", list.name()));
        return Err(
            match herder_base::suggest(path, entries.iter().filter_map(Node::text)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            },
        );
    };
    if let Some(node) = &node {
        lines.remove_line(node, entry)?;
    }
    let edited = lines.finish();
    confirm(!list.holds(&edited, path)?, list.name()).map(|()| edited)
}

/// Points a remote resource or component at another branch, tag or commit. `url` is the URL without `?ref=…`.
///
/// # Errors
/// If nothing refers to the URL, the text is no kustomization, or its layout cannot be edited.
pub fn set_ref(text: &str, url: &str, new_ref: &str) -> Result<String> {
    let mut lines = Lines::read(text)?;
    let mut found: Vec<(Node, String, bool)> = Vec::new();
    let mut known = Vec::new();
    for field in ["resources", "components", "bases", "generators", "transformers"] {
        let list = lines.root().get(field);
        // A `?` has to be in quotes between brackets.
        let quote = list.is_some_and(|list| list.style == Style::Flow);
        for entry in list.and_then(Node::elements).unwrap_or_default() {
            let Some(text) = entry.text() else { continue };
            if base(text) == base(url) {
                found.push((entry.clone(), with_ref(text, new_ref), quote));
            } else if crate::parse_url(text).is_some() {
                known.push(base(text).to_owned());
            }
        }
    }
    if found.is_empty() {
        let error = Error::new(format!("nothing refers to `{url}`"));
        return Err(
            match herder_base::suggest(base(url), known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            },
        );
    }
    // From the end, so that what is before stays where it is.
    for (node, value, quote) in found.iter().rev() {
        lines.replace_scalar(node, Scalar::Text(value), *quote)?;
    }
    let edited = lines.finish();
    let after = kustomization::parse(&edited)?;
    let mut all = after
        .resources
        .iter()
        .chain(&after.components)
        .chain(&after.generators)
        .chain(&after.transformers);
    let done = found
        .iter()
        .all(|(_, value, _)| all.clone().any(|entry| entry.text == *value));
    let done = done
        && all.all(|entry| base(&entry.text) != base(url) || with_ref(&entry.text, new_ref) == entry.text);
    confirm(done, "resources").map(|()| edited)
}

fn confirm(done: bool, field: &str) -> Result<()> {
    if done {
        return Ok(());
    }
    Err(
        Error::new(format!("`{field}` is written in a way that cannot be edited"))
            .hint("write it in block style, a field a line"),
    )
}

/// A URL without its query.
fn base(url: &str) -> &str {
    url.split_once('?').map_or(url, |(base, _)| base)
}

fn with_ref(url: &str, new_ref: &str) -> String {
    let Some((base, query)) = url.split_once('?') else {
        return format!("{url}?ref={new_ref}");
    };
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("version="))
        .map(str::to_owned)
        .collect();
    let wanted = format!("ref={new_ref}");
    match pairs.iter_mut().find(|pair| pair.starts_with("ref=")) {
        Some(pair) => *pair = wanted,
        None => pairs.insert(0, wanted),
    }
    format!("{base}?{}", pairs.join("&"))
}

/// A value as it is written; in the quotes that were there.
fn written(value: &str, style: Style) -> String {
    let printed = herder_object::yaml::print(&serde_json::Value::String(value.to_owned()));
    let printed = printed.trim_end();
    let quoted = printed.starts_with(['"', '\'']);
    match style {
        Style::SingleQuoted => format!("'{}'", value.replace('\'', "''")),
        Style::DoubleQuoted if !quoted => format!("\"{printed}\""),
        _ => printed.to_owned(),
    }
}

#[cfg(test)]
mod tests;
