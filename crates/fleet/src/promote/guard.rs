//! Holds that a promotion moves pins and nothing else. What is taken from one team's repository is written into another
//! team's: it must be a tag, a digest or a revision in form, and the file after the edit must say what it said before but
//! for the pins. Each would do; whoever edits the editing should have to get past both.

use super::pins::{Image, Kustomization, Pins};
use herder_object::yaml::{Node, to_json};
use serde_json::Value;

/// What a pin must look like, and does not.
pub(super) fn fault(pins: &Pins) -> Option<String> {
    let bases = pins
        .bases
        .iter()
        .filter_map(|(base, revision)| revision_fault(revision).map(|why| format!("{base}: {why}")));
    let images = pins.images.iter().filter_map(image_fault);
    bases
        .chain(images)
        .next()
        .map(|why| why.escape_debug().to_string())
}

fn image_fault(image: &Image) -> Option<String> {
    let Image { name, tag, digest } = image;
    // https://github.com/distribution/reference: names, tags, digests.
    let named = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 255
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    let tagged = tag.is_empty()
        || (tag.len() <= 128
            && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
    let digested = digest.is_empty()
        || digest.split_once(':').is_some_and(|(how, hex)| {
            let how_fits = how.starts_with(|c: char| c.is_ascii_lowercase())
                && how
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+._-".contains(c));
            how_fits && !hex.is_empty() && hex.len() <= 256 && hex.chars().all(|c| c.is_ascii_hexdigit())
        });
    let what = if !named {
        format!("`{name}` is no image's name")
    } else if !tagged {
        format!("image {name}: `{tag}` is no tag: up to 128 letters, digits, `_`, `.` and `-`")
    } else if !digested {
        format!("image {name}: `{digest}` is no digest such as sha256:0123abcd")
    } else {
        return None;
    };
    Some(what)
}

/// As `git check-ref-format` has it, and nothing that means something in an address.
fn revision_fault(revision: &str) -> Option<String> {
    let fits = revision.len() <= 255
        && revision.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && revision
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./+@".contains(c))
        && !revision.contains("..")
        && !revision.contains("@{")
        && !revision.contains("//")
        && !revision.ends_with(['.', '/'])
        && !revision.ends_with(".lock");
    (!fits).then(|| format!("`{revision}` is no revision of git's"))
}

/// Whether `after` says what `before` said but for these pins.
pub(super) fn moves_only(before: &Kustomization, after: &Kustomization, wanted: &Pins) -> bool {
    let (old, new) = (before.pins(), after.pins());
    let bases = new
        .bases
        .iter()
        .all(|base| old.bases.contains(base) || wanted.bases.iter().any(|(_, revision)| *revision == base.1));
    let images = new
        .images
        .iter()
        .all(|image| old.images.contains(image) || wanted.images.contains(image));
    bases && images && bare(before.root()).is_some_and(|old| bare(after.root()) == Some(old))
}

/// A kustomization without its pins.
fn bare(root: &Node) -> Option<Value> {
    let mut value = to_json(root).ok()?;
    let Some(map) = value.as_object_mut() else {
        return Some(value);
    };
    for list in ["resources", "components", "bases"] {
        for base in map
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(text) = base.as_str() {
                *base = unpinned(text).into();
            }
        }
    }
    let mut images = map
        .remove("images")
        .and_then(|images| match images {
            Value::Array(images) => Some(images),
            _ => None,
        })
        .unwrap_or_default();
    for image in &mut images {
        if let Some(image) = image.as_object_mut() {
            image.remove("newTag");
            image.remove("digest");
        }
    }
    // Of one that pins and does nothing else there is nothing left but its name.
    images.retain(|image| {
        image
            .as_object()
            .is_none_or(|image| image.keys().any(|key| key != "name"))
    });
    map.insert("images".to_owned(), images.into());
    Some(value)
}

fn unpinned(base: &str) -> String {
    let (address, query) = base.split_once('?').unwrap_or((base, ""));
    let rest: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("ref=") && !part.starts_with("version="))
        .collect();
    format!("{address}?{}", rest.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str, digest: &str) -> Pins {
        let image = Image {
            name: "registry.example:5000/shop".to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        };
        Pins {
            bases: vec![],
            images: vec![image],
        }
    }

    fn base(revision: &str) -> Pins {
        Pins {
            bases: vec![("https://h/shop.git".to_owned(), revision.to_owned())],
            images: vec![],
        }
    }

    #[test]
    fn pins_look_like_pins() {
        for good in ["1.0", "v1.2.3-rc.1", "_x", "1.10"] {
            assert_eq!(fault(&image(good, "")), None, "{good}");
        }
        for bad in [
            "1\"\npatches: []\na: \"",
            "a b",
            "a'b",
            "-x",
            ".x",
            "é",
            "$(id)",
            "a\u{1b}[2J",
        ] {
            let why = fault(&image(bad, "")).unwrap();
            assert!(
                why.contains("is no tag") && !why.contains('\n') && !why.contains('\u{1b}'),
                "{why}"
            );
        }
        assert_eq!(fault(&image("", "sha256:00ff")), None);
        assert!(fault(&image("", "sha256:\n")).is_some());
        assert!(fault(&image("", "00ff")).is_some());
        for good in ["main", "v1.2", "feature/a+b", "0123abc", "release-1"] {
            assert_eq!(fault(&base(good)), None, "{good}");
        }
        for bad in [
            "a&ref=b",
            "a\nb",
            "-upload-pack=x",
            "a..b",
            "a b",
            "a#b",
            "x?y",
            "HEAD@{1}",
            "a/",
            "a.lock",
            "",
        ] {
            assert!(fault(&base(bad)).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_edit_that_says_more_is_seen() {
        let text = "resources:\n- https://h/shop.git?ref=a&timeout=9\nimages:\n- name: x\n  newTag: \"1\"\n";
        let before = Kustomization::parse(text).unwrap();
        let after = |text: &str| Kustomization::parse(text).unwrap();
        let wanted = Pins {
            bases: vec![("https://h/shop.git".to_owned(), "b".to_owned())],
            images: vec![Image {
                name: "x".to_owned(),
                tag: "2".to_owned(),
                digest: String::new(),
            }],
        };
        let honest = text.replace("ref=a", "ref=b").replace("\"1\"", "\"2\"");
        assert!(moves_only(&before, &after(&honest), &wanted));
        for more in [
            honest.replace("\"2\"", "\"2\"\npatches:\n- path: evil.yaml"),
            honest.replace("\"2\"", "\"2\"\n- name: y\n  newTag: \"3\""),
            honest.replace("\"2\"", "\"2\"\n  newName: evil"),
            honest.replace("timeout=9", "timeout=8"),
            honest.replace("h/shop.git", "evil/shop.git"),
            honest.replace("resources:\n", "resources:\n- https://evil/x?ref=b\n"),
        ] {
            assert!(!moves_only(&before, &after(&more), &wanted), "{more}");
        }
    }
}
