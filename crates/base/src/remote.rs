//! Addresses of git remotes as text: resolving relative ones and comparing them. Knows no repository.

/// A remote as written in a repository that itself came from `base`: `./x` and `../x.git` are relative to `base`, as
/// for git submodules; everything else stays as it is. Climbing above the top stops there.
#[must_use]
pub fn resolve_remote(base: &str, remote: &str) -> String {
    let remote = remote.trim();
    if remote != "." && !remote.starts_with("./") && remote != ".." && !remote.starts_with("../") {
        return remote.to_owned();
    }
    let (head, path) = split_remote(base.trim_end_matches('/'));
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for part in remote.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let slash = if absolute { "/" } else { "" };
    format!("{head}{slash}{}", parts.join("/"))
}

/// One form for the addresses that mean the same remote, to compare them: without scheme, user, port of the scheme,
/// `.git` and trailing slashes, host in lower case. `git@host:org/x.git` and `https://host/org/x` are equal.
#[must_use]
pub fn remote_identity(remote: &str) -> String {
    let (head, path) = split_remote(remote.trim());
    let host = head
        .split_once("://")
        .map_or(head.trim_end_matches(':'), |(_, rest)| rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":22"))
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(host);
    let path = path.trim_end_matches('/');
    let path = path
        .strip_suffix("/.git")
        .or_else(|| path.strip_suffix(".git"))
        .unwrap_or(path);
    let path = path.trim_matches('/');
    if host.is_empty() {
        format!("/{path}")
    } else {
        format!("{}/{path}", host.to_ascii_lowercase())
    }
}

/// The remote as people may see it: without what opens it, as [`Url`](crate::Url) shows it.
#[must_use]
pub fn show_remote(remote: &str) -> String {
    crate::url::shown(remote)
}

/// The part that names a machine, and the path on it.
fn split_remote(remote: &str) -> (&str, &str) {
    if let Some(at) = remote.find("://") {
        let after = at + 3;
        let path = remote
            .get(after..)
            .and_then(|rest| rest.find('/'))
            .map_or(remote.len(), |slash| after + slash);
        return remote.split_at(path);
    }
    match remote.find(':') {
        Some(colon) if !remote.get(..colon).unwrap_or_default().contains('/') => remote.split_at(colon + 1),
        _ => ("", remote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_like_submodules() {
        for (base, remote, expected) in [
            ("/srv/git/fleet.git", "../shop.git", "/srv/git/shop.git"),
            ("/srv/git/fleet.git/", "./", "/srv/git/fleet.git"),
            ("https://h/org/fleet", "../shop", "https://h/org/shop"),
            ("https://h/org/fleet", "../../../../x", "https://h/x"),
            ("git@h:org/fleet.git", "../shop.git", "git@h:org/shop.git"),
            ("file:///srv/fleet.git", "../shop.git", "file:///srv/shop.git"),
            ("/srv/fleet.git", "https://h/x", "https://h/x"),
            ("/srv/fleet.git", "..hidden", "..hidden"),
        ] {
            assert_eq!(resolve_remote(base, remote), expected, "{base} {remote}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(show_remote("https://me:secret@h/x"), "https://h/x");
        assert_eq!(show_remote("git@h:x"), "git@h:x");
    }

    #[test]
    fn same_remote_same_identity() {
        for remote in [
            "https://host/org/x",
            "https://user:pw@Host:443/org/x.git/",
            "git@host:org/x.git",
            "ssh://git@host:22/org/x",
        ] {
            assert_eq!(remote_identity(remote), "host/org/x", "{remote}");
        }
        assert_eq!(remote_identity("file:///srv/x.git"), remote_identity("/srv/x"));
        assert_ne!(remote_identity("/srv/x"), remote_identity("/srv/y"));
    }
}
