//! Names of remotes and references: which URL is the same remote, which reference a job's branch means.

use std::collections::BTreeMap;

/// A URL in a form in which two spellings of one remote are equal: scheme, user, port of ssh, trailing `.git` and `/`
/// do not matter, the host's case neither.
#[must_use]
pub fn canonical(url: &str) -> String {
    let url = url.trim();
    let (host, path) = match url.split_once("://") {
        Some(("file", path)) => ("", path),
        Some((_, rest)) => {
            let rest = rest
                .split_once('@')
                .filter(|(user, _)| !user.contains('/'))
                .map_or(rest, |(_, r)| r);
            rest.split_once('/').unwrap_or((rest, ""))
        }
        None => match url.split_once(':') {
            // host:path, as scp writes it; a slash before the colon makes it a local path.
            Some((host, path)) if !host.contains('/') => {
                (host.split_once('@').map_or(host, |(_, host)| host), path)
            }
            _ => ("", url),
        },
    };
    let host = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    format!("{host}/{}", path.trim_start_matches('/'))
}

/// A branch without Jenkins' decoration: `*/main`, `origin/main`, `refs/heads/main` are `main`; `**`, `*` and the empty
/// text mean the remote's head and become empty.
#[must_use]
pub fn plain_branch(branch: &str) -> &str {
    let branch = branch.trim();
    let branch = branch.strip_prefix("*/").unwrap_or(branch);
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let branch = branch
        .strip_prefix("refs/remotes/origin/")
        .or_else(|| branch.strip_prefix("remotes/origin/"))
        .or_else(|| branch.strip_prefix("origin/"))
        .unwrap_or(branch);
    match branch {
        "**" | "*" | "HEAD" => "",
        other => other,
    }
}

/// The commit a branch, tag or commit means among a remote's references.
#[must_use]
pub fn resolve(references: &BTreeMap<String, String>, branch: &str) -> Option<String> {
    let branch = plain_branch(branch);
    if branch.is_empty() {
        return references
            .get("HEAD")
            .or_else(|| references.get("refs/heads/main"))
            .or_else(|| references.get("refs/heads/master"))
            .cloned();
    }
    // An annotated tag's commit is listed as `TAG^{}`.
    [
        format!("refs/heads/{branch}"),
        format!("refs/tags/{branch}^{{}}"),
        format!("refs/tags/{branch}"),
        branch.to_owned(),
    ]
    .iter()
    .find_map(|name| references.get(name).cloned())
    .or_else(|| is_commit(branch).then(|| branch.to_owned()))
}

/// Whether a text is a whole commit id.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_remote() {
        for url in [
            "https://Git.example.org/team/app.git",
            "https://user:pw@git.example.org/team/app",
            "ssh://git@git.example.org:2222/team/app.git/",
            "git@git.example.org:team/app.git",
        ] {
            assert_eq!(canonical(url), "git.example.org/team/app", "{url}");
        }
        assert_eq!(canonical("file:///srv/git/app.git"), canonical("/srv/git/app"));
        assert_ne!(canonical("https://a/x"), canonical("https://b/x"));
    }

    #[test]
    fn references() {
        let references: BTreeMap<String, String> = [
            ("HEAD", "h"),
            ("refs/heads/main", "m"),
            ("refs/heads/feature/x", "f"),
            ("refs/tags/v1", "t"),
            ("refs/tags/v1^{}", "tc"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        for (branch, expected) in [
            ("", Some("h")),
            ("**", Some("h")),
            ("*/main", Some("m")),
            ("origin/main", Some("m")),
            ("refs/heads/main", Some("m")),
            ("feature/x", Some("f")),
            ("v1", Some("tc")),
            ("refs/tags/v1", Some("t")),
            ("gone", None),
        ] {
            assert_eq!(resolve(&references, branch).as_deref(), expected, "{branch}");
        }
        let commit = "0123456789012345678901234567890123456789";
        assert_eq!(resolve(&references, commit).as_deref(), Some(commit));
    }
}
