//! The pins of a kustomization: reading them, and moving one by changing exactly its characters in the text, so that
//! comments and layout stay.

use herder_base::remote_identity;
use herder_object::yaml::{Node, Style, parse};

/// What a kustomization pins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    /// Addresses of bases without their query, and their revisions.
    pub(super) bases: Vec<(String, String)>,
    /// Images with a tag or digest.
    pub(super) images: Vec<Image>,
}

/// An entry of `images`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) tag: String,
    pub(super) digest: String,
}

impl Image {
    /// Tag and digest as people write them.
    pub(super) fn pin(&self) -> String {
        match (self.tag.as_str(), self.digest.as_str()) {
            (tag, "") => tag.to_owned(),
            ("", digest) => digest.to_owned(),
            (tag, digest) => format!("{tag}@{digest}"),
        }
    }
}

/// A kustomization as text and tree.
#[derive(Debug)]
pub(super) struct Kustomization {
    text: String,
    root: Node,
}

impl Kustomization {
    /// Parses it; the error says what is wrong and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (documents, errors) = parse(text);
        if let Some(error) = errors.first() {
            return Err(format!("line {}: {}", error.line, error.message));
        }
        match <[_; 1]>::try_from(documents) {
            Ok([document]) => Ok(Self {
                text: text.to_owned(),
                root: document.root,
            }),
            Err(_) => Err("it is not one document".to_owned()),
        }
    }

    /// The text as it is now.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Everything it pins.
    pub(super) fn pins(&self) -> Pins {
        let bases = self
            .bases()
            .filter_map(|(_, text)| {
                let (base, revision) = split(text);
                (!revision.is_empty()).then(|| (base.to_owned(), revision))
            })
            .collect();
        let images = self
            .images()
            .map(image)
            .filter(|image| !image.pin().is_empty())
            .collect();
        Pins { bases, images }
    }

    /// The revision of a base, empty if it is not pinned; `None` if it is not there.
    pub(super) fn revision(&self, base: &str) -> Option<String> {
        self.base(base).map(|(_, text)| split(text).1)
    }

    /// Pins a base elsewhere.
    pub(super) fn set_revision(&self, base: &str, revision: &str) -> Result<Self, String> {
        let (node, old) = self.base(base).ok_or("the base is not there")?;
        let (address, query) = old.split_once('?').unwrap_or((old, ""));
        let mut done = false;
        let mut parts: Vec<String> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key @ ("ref" | "version"), _)) if !done => {
                    done = true;
                    parts.push(format!("{key}={revision}"));
                }
                Some(("ref" | "version", _)) => {}
                _ => parts.push(part.to_owned()),
            }
        }
        if !done {
            parts.push(format!("ref={revision}"));
        }
        self.replace(node, &format!("{address}?{}", parts.join("&")))
    }

    /// The entry of an image.
    pub(super) fn image(&self, name: &str) -> Option<Image> {
        self.images().map(image).find(|image| image.name == name)
    }

    /// Pins an image elsewhere, whether or not it had an entry.
    pub(super) fn set_image(&self, wanted: &Image) -> Result<Self, String> {
        let Some(entry) = self.images().find(|node| image(node).name == wanted.name) else {
            return self.add_image(wanted);
        };
        let mut next = Self {
            text: self.text.clone(),
            root: self.root.clone(),
        };
        for (key, value) in [("newTag", &wanted.tag), ("digest", &wanted.digest)] {
            let Some(entry) = next.images().find(|node| image(node).name == wanted.name) else {
                break;
            };
            match (entry.get(key), value.is_empty()) {
                (Some(node), false) => next = next.replace(node, value)?,
                (Some(_), true) => next = next.remove_line(entry, key)?,
                (None, true) => {}
                (None, false) => next = next.insert_after(entry, key, value)?,
            }
        }
        let _ = entry;
        Ok(next)
    }

    fn bases(&self) -> impl Iterator<Item = (&Node, &str)> {
        ["resources", "components", "bases"]
            .into_iter()
            .filter_map(|list| self.root.get(list)?.elements())
            .flatten()
            .filter_map(|node| Some((node, node.text()?)))
    }

    fn base(&self, base: &str) -> Option<(&Node, &str)> {
        if let Some(exact) = self.bases().find(|(_, text)| split(text).0 == base) {
            return Some(exact);
        }
        // The same repository by another address: with or without `.git`, by ssh instead of https.
        let wanted = place(base)?;
        self.bases()
            .find(|(_, text)| place(split(text).0).as_ref() == Some(&wanted))
    }

    fn images(&self) -> impl Iterator<Item = &Node> {
        self.root
            .get("images")
            .and_then(Node::elements)
            .into_iter()
            .flatten()
    }

    /// Replaces a scalar that stands on one line.
    fn replace(&self, node: &Node, value: &str) -> Result<Self, String> {
        let start = self
            .offset(node.line, node.column)
            .ok_or("its place is unknown")?;
        let old = node.text().unwrap_or_default();
        let (before, rest) = self.text.split_at_checked(start).ok_or("its place is unknown")?;
        let (written, new) = match node.style {
            Style::Plain if plain(value) => (old.to_owned(), value.to_owned()),
            Style::Plain => (old.to_owned(), format!("\"{value}\"")),
            Style::SingleQuoted => (
                format!("'{}'", old.replace('\'', "''")),
                format!("'{}'", value.replace('\'', "''")),
            ),
            Style::DoubleQuoted => (format!("\"{old}\""), format!("\"{value}\"")),
            _ => return Err(format!("line {}: write `{old}` on one line", node.line)),
        };
        let after = rest.strip_prefix(written.as_str()).ok_or_else(|| {
            format!(
                "line {}: write `{old}` on one line and without escapes",
                node.line
            )
        })?;
        Self::parse(&format!("{before}{new}{after}"))
    }

    /// Adds a line for a key below the last line of a block mapping's first key.
    fn insert_after(&self, entry: &Node, key: &str, value: &str) -> Result<Self, String> {
        let pairs = entry.pairs().unwrap_or_default();
        let Some((first, _)) = pairs.first().filter(|_| entry.style != Style::Flow) else {
            return Err(format!(
                "line {}: write this entry of `images` on several lines",
                entry.line
            ));
        };
        let last = pairs
            .iter()
            .map(|(name, value)| name.line.max(value.line))
            .max()
            .unwrap_or(first.line);
        let indent = " ".repeat(usize::try_from(first.column.saturating_sub(1)).unwrap_or(0));
        let mut lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let line = format!("{indent}{key}: {}\n", scalar(value));
        let at = usize::try_from(last).unwrap_or(usize::MAX).min(lines.len());
        let mut head = lines.drain(..at).collect::<String>();
        if !head.ends_with('\n') {
            head.push('\n');
        }
        Self::parse(&format!("{head}{line}{}", lines.concat()))
    }

    /// Removes the line of a key, which must not be the only one on the entry's first line.
    fn remove_line(&self, entry: &Node, key: &str) -> Result<Self, String> {
        let pairs = entry.pairs().unwrap_or_default();
        let line = pairs
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map_or(0, |(name, _)| name.line);
        let shared = pairs.iter().filter(|(name, _)| name.line == line).count() > 1;
        if shared || line == 0 || line == entry.line {
            return Err(format!(
                "line {line}: write `{key}` on a line of its own, after `name`"
            ));
        }
        let kept: String = self
            .text
            .split_inclusive('\n')
            .enumerate()
            .filter(|(index, _)| u32::try_from(index + 1) != Ok(line))
            .map(|(_, text)| text)
            .collect();
        Self::parse(&kept)
    }

    fn add_image(&self, wanted: &Image) -> Result<Self, String> {
        let mut entry = format!("- name: {}\n", scalar(&wanted.name));
        for (key, value) in [("newTag", &wanted.tag), ("digest", &wanted.digest)] {
            if !value.is_empty() {
                entry.push_str(&format!("  {key}: {}\n", scalar(value)));
            }
        }
        let mut text = self.text.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        match self.root.get("images") {
            None => text.push_str(&format!("images:\n{entry}")),
            Some(list) if list.style != Style::Flow && list.elements().is_some_and(|all| !all.is_empty()) => {
                let indent = " ".repeat(usize::try_from(list.column.saturating_sub(1)).unwrap_or(0));
                let entry: String = entry.lines().map(|line| format!("{indent}{line}\n")).collect();
                let at = self.offset(list.line, 1).ok_or("its place is unknown")?;
                text.insert_str(at, &entry);
            }
            Some(_) => return Err("write `images` as a block list".to_owned()),
        }
        Self::parse(&text)
    }

    /// The byte at which a one-based line and column (in characters) begin.
    fn offset(&self, line: u32, column: u32) -> Option<usize> {
        let before = usize::try_from(line.checked_sub(1)?).ok()?;
        let mut start = 0;
        let mut lines = self.text.split_inclusive('\n');
        for _ in 0..before {
            start += lines.next()?.len();
        }
        let skip = usize::try_from(column.checked_sub(1)?).ok()?;
        let in_line = lines
            .next()
            .unwrap_or_default()
            .char_indices()
            .nth(skip)
            .map_or(0, |(at, _)| at);
        Some(start + in_line)
    }
}

fn image(node: &Node) -> Image {
    let text = |key: &str| {
        node.get(key)
            .filter(|node| !node.is_null())
            .and_then(Node::text)
            .unwrap_or_default()
            .to_owned()
    };
    Image {
        name: text("name"),
        tag: text("newTag"),
        digest: text("digest"),
    }
}

/// A base's address without query, and its revision.
fn split(text: &str) -> (&str, String) {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let find = |name: &str| {
        query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| *key == name)
    };
    let revision = find("ref")
        .or_else(|| find("version"))
        .map(|(_, value)| value.to_owned());
    (base, revision.unwrap_or_default())
}

/// Whether a base lies in a repository.
pub(super) fn is_of(base: &str, repository: &str) -> bool {
    let wanted = remote_identity(repository);
    match place(base) {
        Some((found, _)) => found == wanted,
        None => {
            let found = remote_identity(base);
            found == wanted
                || found.starts_with(&format!("{wanted}/"))
                || found.starts_with(&format!("{wanted}.git/"))
        }
    }
}

/// The repository and the path in it, for addresses that separate them by `//`.
fn place(base: &str) -> Option<(String, &str)> {
    let scheme = base.find("://").map_or(0, |at| at + 3);
    let at = scheme + base.get(scheme..)?.find("//")?;
    let (repository, path) = base.split_at_checked(at)?;
    Some((remote_identity(repository), path))
}

/// Whether text may stand without quotes and stays text: tags such as `1.10` would become numbers.
fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:@?=&%+~".contains(c))
        && !text.ends_with(':')
        && text.parse::<f64>().is_err()
        && !text.starts_with("0x")
        && !text.starts_with("0o")
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str())
}

fn scalar(text: &str) -> String {
    if plain(text) {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# shop in staging
resources:
- https://h/shop.git//deploy?ref=aaa # the base
- 'ssh://git@h/db.git//x?timeout=10&ref=v1'
- local.yaml
images:
  - name: shop   # ours
    newTag: \"1.0\"
  - name: db
    digest: sha256:1
patches: []
";

    fn image(name: &str, tag: &str, digest: &str) -> Image {
        Image {
            name: name.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        }
    }

    #[test]
    fn moves_exactly_one_pin() {
        let start = Kustomization::parse(TEXT).unwrap();
        assert_eq!(
            start.pins(),
            Pins {
                bases: vec![
                    ("https://h/shop.git//deploy".to_owned(), "aaa".to_owned()),
                    ("ssh://git@h/db.git//x".to_owned(), "v1".to_owned()),
                ],
                images: vec![image("shop", "1.0", ""), image("db", "", "sha256:1")],
            }
        );
        let edits: [(&str, Kustomization, &str, &str); 7] = [
            (
                "a ref",
                start.set_revision("https://h/shop.git//deploy", "bbb").unwrap(),
                "?ref=aaa",
                "?ref=bbb",
            ),
            (
                "by another address",
                start.set_revision("https://h/db//x", "v2").unwrap(),
                "ref=v1'",
                "ref=v2'",
            ),
            (
                "unpinned",
                start.set_revision("local.yaml", "c").unwrap(),
                "local.yaml",
                "local.yaml?ref=c",
            ),
            (
                "a tag",
                start.set_image(&image("shop", "2.0", "")).unwrap(),
                "\"1.0\"",
                "\"2.0\"",
            ),
            (
                "a digest",
                start.set_image(&image("db", "", "sha256:2")).unwrap(),
                "sha256:1",
                "sha256:2",
            ),
            (
                "tag to digest",
                start.set_image(&image("shop", "", "sha256:3")).unwrap(),
                "    newTag: \"1.0\"\n",
                "    digest: sha256:3\n",
            ),
            (
                "a new image",
                start.set_image(&image("new", "1.10", "")).unwrap(),
                "images:\n",
                "images:\n  - name: new\n    newTag: \"1.10\"\n",
            ),
        ];
        for (what, edited, from, to) in edits {
            assert_eq!(edited.text(), TEXT.replacen(from, to, 1), "{what}");
        }
        let none = Kustomization::parse("resources: [a]").unwrap();
        let added = none.set_image(&image("x", "v1", "")).unwrap();
        assert_eq!(added.text(), "resources: [a]\nimages:\n- name: x\n  newTag: v1\n");
        assert!(none.set_revision("b", "1").is_err());
        assert!(Kustomization::parse("a: [").is_err());
        assert!(Kustomization::parse("a: 1\n---\nb: 1\n").is_err());
    }
}
