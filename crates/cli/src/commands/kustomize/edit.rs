//! `herder kustomize edit set …`.

use anyhow::{Context, Result, bail};
use herder_kustomize::edit::{
    Field, List, Version, add_path, remove_path, set_field, set_image, set_ref, set_replicas,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `herder kustomize edit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory with the kustomization
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set a value
    #[command(subcommand)]
    Set(Set),
    /// Add an entry, unless it is there
    #[command(subcommand)]
    Add(Entries),
    /// Remove an entry
    #[command(subcommand)]
    Remove(Entries),
}

#[derive(Debug, clap::Subcommand)]
enum Entries {
    /// Files, directories or URLs of `resources`
    #[command(visible_alias = "base")]
    Resource {
        /// Relative to the kustomization
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Directories or URLs of `components`
    Component {
        /// Relative to the kustomization
        #[arg(required = true)]
        paths: Vec<String>,
    },
}

impl Entries {
    fn each(
        &self,
        text: String,
        edit: fn(&str, List, &str) -> Result<String, herder_kustomize::Error>,
    ) -> Result<String> {
        let (list, paths) = match self {
            Self::Resource { paths } => (List::Resources, paths),
            Self::Component { paths } => (List::Components, paths),
        };
        Ok(paths
            .iter()
            .try_fold(text, |text, path| edit(&text, list, path))?)
    }
}

#[derive(Debug, clap::Subcommand)]
enum Set {
    /// Set images: NAME=NEW-NAME:TAG, NAME=NEW-NAME@DIGEST, NAME=NEW-NAME, NAME:TAG or NAME@DIGEST
    Image {
        /// Such as `shop=registry.example/shop:v2`; `*` as the new name keeps the old one
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Set the namespace
    Namespace {
        /// The namespace of everything
        namespace: String,
    },
    /// Set what all names begin with
    Nameprefix {
        /// Such as `staging-`
        #[arg(allow_hyphen_values = true)]
        prefix: String,
    },
    /// Set what all names end with
    Namesuffix {
        /// Such as `-v2`
        #[arg(allow_hyphen_values = true)]
        suffix: String,
    },
    /// Set how many replicas workloads have: NAME=COUNT
    Replicas {
        /// Such as `shop=3`
        #[arg(required = true)]
        counts: Vec<String>,
    },
    /// Point a remote resource at another branch, tag or commit
    Ref {
        /// The URL, without `?ref=…`
        url: String,
        /// The branch, tag or commit
        reference: String,
    },
}

/// An image argument: the image, its new name and version.
fn parse_image(text: &str) -> Result<(&str, Option<&str>, Version<'_>)> {
    let (old, new) = match text.split_once('=') {
        Some((old, new)) => (old, new),
        None => ("", text),
    };
    let (name, version) = if let Some((name, digest)) = new.split_once('@') {
        (name, Version::Digest(digest))
    } else {
        // A colon before the last slash belongs to the registry's port.
        match new.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((name, tag)) => (name, Version::Tag(tag)),
            None => (new, Version::Keep),
        }
    };
    let (image, new_name) = match (old, name) {
        ("", name) => (name, None),
        (old, "" | "*") => (old, None),
        (old, name) => (old, Some(name)),
    };
    if image.is_empty() || matches!(version, Version::Tag("") | Version::Digest("")) {
        bail!("`{text}` does not name an image and a version, as in shop=registry.example/shop:v2");
    }
    if new_name.is_none() && version == Version::Keep {
        bail!("`{text}` changes nothing: name a tag, a digest or another image");
    }
    Ok((image, new_name, version))
}

/// Does what was asked for. The file is written only if all edits are possible.
pub(super) fn run(args: &Args) -> Result<()> {
    let path = find(&args.dir)?;
    let mut text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let before = text.clone();
    match &args.command {
        Command::Set(set) => text = run_set(set, text)?,
        Command::Add(entries) => text = entries.each(text, add_path)?,
        Command::Remove(entries) => text = entries.each(text, remove_path)?,
    }
    if text == before {
        return Ok(());
    }
    // Whole or not at all: the file beside it takes its place.
    let beside = path.with_extension("herder-edit");
    fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(&path)?.permissions()))
        .and_then(|()| fs::rename(&beside, &path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn run_set(set: &Set, mut text: String) -> Result<String> {
    match set {
        Set::Image { images } => {
            for image in images {
                let (name, new_name, version) = parse_image(image)?;
                text = set_image(&text, name, new_name, version)?;
            }
        }
        Set::Replicas { counts } => {
            for count in counts {
                let parsed = count.split_once('=').map(|(name, count)| (name, count.parse()));
                let Some((name, Ok(number))) = parsed.filter(|(name, _)| !name.is_empty()) else {
                    bail!("`{count}` does not name a workload and a number, as in shop=3");
                };
                text = set_replicas(&text, name, number)?;
            }
        }
        Set::Namespace { namespace } => text = set_field(&text, Field::Namespace, namespace)?,
        Set::Nameprefix { prefix } => text = set_field(&text, Field::NamePrefix, prefix)?,
        Set::Namesuffix { suffix } => text = set_field(&text, Field::NameSuffix, suffix)?,
        Set::Ref { url, reference } => text = set_ref(&text, url, reference)?,
    }
    Ok(text)
}

fn find(dir: &Path) -> Result<PathBuf> {
    let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    let found: Vec<PathBuf> = names
        .iter()
        .map(|name| dir.join(name))
        .filter(|path| path.is_file())
        .collect();
    match found.as_slice() {
        [path] => Ok(path.clone()),
        [] => bail!("there is no kustomization file in {}", dir.display()),
        _ => bail!("there are several kustomization files in {}", dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_images() {
        for (text, parsed) in [
            ("a=r:5000/a:v2", ("a", Some("r:5000/a"), Version::Tag("v2"))),
            ("a=b@sha256:x", ("a", Some("b"), Version::Digest("sha256:x"))),
            ("a=r:5000/b", ("a", Some("r:5000/b"), Version::Keep)),
            ("r:5000/a:v2", ("r:5000/a", None, Version::Tag("v2"))),
            ("a=*:v2", ("a", None, Version::Tag("v2"))),
        ] {
            assert_eq!(parse_image(text).unwrap(), parsed, "{text}");
        }
        for text in ["", "a", "a=", "a:", "=:v1", "a@"] {
            assert!(parse_image(text).is_err(), "{text}");
        }
    }
}
