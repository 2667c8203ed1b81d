//! URLs of remote bases, in all the forms that kustomize takes them. Parsing only; fetching is the caller's.

use crate::kustomization;
use crate::{Functions, Helm, Tree};

/// Answers what remote bases hold. Rendering stays pure: the caller fetches, then builds again.
pub trait Remotes {
    /// The tree that `url` leads to and the directory (or the single file) in it; `None` if it was not fetched.
    fn resolve(&self, url: &str) -> Option<Result<(Tree, String), String>>;

    /// What renders helm charts; without it they are refused.
    fn helm(&self) -> Option<&dyn Helm> {
        None
    }

    /// What runs KRM functions; without it they are refused.
    fn functions(&self) -> Option<&dyn Functions> {
        None
    }
}

/// No remotes at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRemotes;

impl Remotes for NoRemotes {
    fn resolve(&self, _url: &str) -> Option<Result<(Tree, String), String>> {
        None
    }
}

/// A reference to something outside of the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteRef {
    /// The URL as written; the key for [`Remotes::resolve`].
    pub url: String,
    /// What to clone.
    pub repository: String,
    /// The directory in it, relative to its root.
    pub path: String,
    /// The branch, tag or commit; empty for the default branch.
    pub reference: String,
}

/// A parsed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepoSpec {
    pub(crate) repository: String,
    pub(crate) path: String,
    pub(crate) reference: String,
}

const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

/// Removes a prefix whatever its case.
fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| text.get(prefix.len()..))
        .flatten()
}

/// Whether it is fetched by HTTP if it is a file.
pub(crate) fn is_http(path: &str) -> bool {
    strip(path, "http://").is_some() || strip(path, "https://").is_some()
}

impl RepoSpec {
    /// Parses what kustomize takes for the URL of a git repository; `None` for what it takes for a path.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        if url.starts_with('/') {
            return None;
        }
        let (rest, query) = url.split_once('?').unwrap_or((url, ""));
        let reference = reference(query);
        let rest = strip(rest, "git::").unwrap_or(rest);
        let scheme = SCHEMES
            .iter()
            .copied()
            .find(|scheme| strip(rest, scheme).is_some());
        let rest = scheme.and_then(|scheme| strip(rest, scheme)).unwrap_or(rest);
        let scheme = scheme.unwrap_or_default();
        let (user, rest) = username(rest);
        let github = strip(rest, "github.com/").is_some() || strip(rest, "github.com:").is_some();
        let scp = scheme.is_empty() && (!user.is_empty() || github);
        if scheme.is_empty() && !scp {
            return None;
        }
        if scheme == "file://" {
            let (repository, path) = split(&format!("{user}{rest}"), None)?;
            return Self::new(format!("{scheme}{repository}"), path, reference);
        }
        let at = separator(rest, scp)?;
        let (host, rest) = (rest.get(..=at)?, rest.get(at + 1..)?);
        let (repository, path) = split(rest, Some(2))?;
        let prefix = if github && (scheme == "ssh://" || !user.is_empty()) {
            format!("{user}github.com:")
        } else if github {
            "https://github.com/".to_owned()
        } else {
            format!("{scheme}{user}{host}")
        };
        Self::new(format!("{prefix}{repository}"), path, reference)
    }

    fn new(repository: String, path: String, reference: String) -> Option<Self> {
        let clean = herder_base::normalise(path.trim_start_matches('/')).ok()?;
        Some(Self {
            repository,
            path: clean,
            reference,
        })
    }
}

fn username(text: &str) -> (&str, &str) {
    let name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    match text.find('@') {
        Some(at) if text.get(..at).is_some_and(name) => text.split_at_checked(at + 1).unwrap_or(("", text)),
        _ => ("", text),
    }
}

fn separator(text: &str, scp: bool) -> Option<usize> {
    let slash = text.find('/');
    if scp {
        let colon = text.find(':');
        return match (slash, colon) {
            (None, colon) => colon,
            (Some(slash), Some(colon)) if colon > 0 && colon < slash => Some(colon),
            (slash, _) => slash,
        };
    }
    slash
}

/// The repository and the path in it.
fn split(text: &str, segments: Option<usize>) -> Option<(String, String)> {
    let (repository, path) = if let Some(at) = text.find("_git/") {
        let (head, tail) = text.split_at_checked(at + 5)?;
        let (name, path) = tail.split_once('/').unwrap_or((tail, ""));
        (format!("{head}{name}"), path.to_owned())
    } else if let Some((repository, path)) = text.split_once("//") {
        (repository.to_owned(), path.to_owned())
    } else if let Some(at) = text.find(".git") {
        let (head, tail) = text.split_at_checked(at + 4)?;
        (head.to_owned(), tail.to_owned())
    } else {
        let Some(count) = segments else {
            return (!text.is_empty()).then(|| (text.to_owned(), String::new()));
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (head, tail) = parts.split_at_checked(count)?;
        (head.join("/"), tail.join("/"))
    };
    (!repository.is_empty()).then_some((repository, path))
}

fn reference(query: &str) -> String {
    let value = |name: &str| {
        let found = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name);
        found
            .map(|(_, value)| decode(value))
            .filter(|value| !value.is_empty())
    };
    value("ref").or_else(|| value("version")).unwrap_or_default()
}

/// Undoes `%2F` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&pair)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(hex.unwrap_or(b'%'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses one URL; also a path of a local repository with `//path` or `?ref=`, which upstream does not take.
#[must_use]
pub fn parse_url(url: &str) -> Option<RemoteRef> {
    let spec = RepoSpec::parse(url).or_else(|| local(url))?;
    Some(RemoteRef {
        url: url.to_owned(),
        repository: spec.repository,
        path: spec.path,
        reference: spec.reference,
    })
}

fn local(url: &str) -> Option<RepoSpec> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    if !path.starts_with('/') || (query.is_empty() && !path.contains("//") && !path.contains(".git")) {
        return None;
    }
    let (repository, below) = split(path, None)?;
    RepoSpec::new(repository, below, reference(query))
}

/// The remote bases and components that a directory and the directories it builds on name. Fetched trees may name
/// more: ask again with each of them and its directory until nothing new comes.
#[must_use]
pub fn remotes(tree: &Tree, dir: &str) -> Vec<RemoteRef> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let mut pending = vec![herder_base::normalise(dir).unwrap_or_default()];
    while let Some(dir) = pending.pop() {
        if seen.contains(&dir) {
            continue;
        }
        seen.push(dir.clone());
        let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
        let text = names.iter().find_map(|name| {
            let path = if dir.is_empty() {
                (*name).to_owned()
            } else {
                format!("{dir}/{name}")
            };
            tree.text(&path)
        });
        let Some(Ok(kustomization)) = text.map(kustomization::parse) else {
            continue;
        };
        let named = kustomization.resources.iter().chain(&kustomization.components);
        for entry in named
            .chain(&kustomization.generators)
            .chain(&kustomization.transformers)
        {
            if let Some(reference) = parse_url(&entry.text) {
                found.push(reference);
            } else if let Ok(path) =
                herder_base::normalise(format!("{dir}/{}", entry.text).trim_start_matches('/'))
                && tree.is_dir(&path)
            {
                pending.push(path);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_kustomize_parses() {
        for (url, repository, path, reference) in [
            (
                "https://github.com/org/repo//a/b?ref=v1",
                "https://github.com/org/repo",
                "a/b",
                "v1",
            ),
            (
                "github.com/org/repo/a/b?ref=v1",
                "https://github.com/org/repo",
                "a/b",
                "v1",
            ),
            (
                "git@github.com:org/repo.git//a",
                "git@github.com:org/repo.git",
                "a",
                "",
            ),
            (
                "git::https://gitlab.com/o/r.git/x?version=main",
                "https://gitlab.com/o/r.git",
                "x",
                "main",
            ),
            (
                "ssh://git@host:7999/o/r.git//p?ref=feature%2Fx",
                "ssh://git@host:7999/o/r.git",
                "p",
                "feature/x",
            ),
            (
                "https://dev.azure.com/org/p/_git/repo/a?ref=1",
                "https://dev.azure.com/org/p/_git/repo",
                "a",
                "1",
            ),
            (
                "file:///srv/git/base//overlays/x?ref=main",
                "file:///srv/git/base",
                "overlays/x",
                "main",
            ),
            ("file:///srv/git/base", "file:///srv/git/base", "", ""),
            ("/srv/git/base.git//x?ref=main", "/srv/git/base.git", "x", "main"),
        ] {
            let parsed = parse_url(url).unwrap();
            assert_eq!(
                (
                    parsed.repository.as_str(),
                    parsed.path.as_str(),
                    parsed.reference.as_str()
                ),
                (repository, path, reference),
                "{url}"
            );
        }
        for path in [
            "../base",
            "a/b",
            "deployment.yaml",
            "/abs/dir",
            "https://host/only",
            "https://github.com/o/r//../x",
        ] {
            assert_eq!(parse_url(path), None, "{path}");
        }
    }

    #[test]
    fn lists_remotes_of_bases_too() {
        let tree = Tree::from_texts([
            (
                "o/kustomization.yaml",
                "resources: [../b, \"https://h/o/r//x?ref=1\"]\n",
            ),
            ("b/kustomization.yaml", "components: [\"file:///r//c?ref=2\"]\n"),
        ])
        .unwrap();
        let urls: Vec<String> = remotes(&tree, "o").into_iter().map(|remote| remote.url).collect();
        assert_eq!(urls, ["file:///r//c?ref=2", "https://h/o/r//x?ref=1"]);
    }
}
