//! Addresses and reference names: what may be handed to git, and where a remote's cache lies.

use crate::Error;
use herder_base::Url;
use sha2::{Digest, Sha256};

/// Refuses addresses that git would take for options, transport helpers or several lines.
pub(crate) fn check_url(url: &Url) -> Result<(), Error> {
    let url = url.expose();
    let refuse = |why| {
        let shown: String = url.chars().filter(|c| !c.is_control()).take(200).collect();
        Err(Error::Address {
            url: shown.into(),
            why,
        })
    };
    if url.is_empty() {
        return refuse("it is empty");
    }
    if url.starts_with('-') {
        return refuse("it begins with `-`");
    }
    if url.chars().any(char::is_control) {
        return refuse("it holds control characters");
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        if !matches!(
            scheme,
            "https" | "http" | "ssh" | "git" | "file" | "git+ssh" | "ssh+git"
        ) {
            return refuse("its scheme is none of https, http, ssh, git and file");
        }
        if rest.starts_with('-')
            || rest
                .split_once('@')
                .is_some_and(|(_, host)| host.starts_with('-'))
        {
            return refuse("its host begins with `-`");
        }
        return Ok(());
    }
    if url.starts_with('/') {
        return Ok(());
    }
    if url.contains("::") {
        return refuse("transport helpers (`name::address`) are switched off");
    }
    match url.split_once(':') {
        Some((host, path)) if !host.contains('/') && !host.is_empty() => {
            let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
            if name.starts_with('-') || path.starts_with('-') {
                return refuse("a part of it begins with `-`");
            }
            Ok(())
        }
        _ => refuse(
            "it is neither a URL nor an absolute path (a relative one must be resolved against its repository)",
        ),
    }
}

/// Refuses what git would not accept as a reference name, and patterns.
pub(crate) fn check_reference(reference: &str) -> Result<(), Error> {
    let bad = reference.starts_with(['-', '/'])
        || reference.ends_with(['/', '.'])
        || reference.ends_with(".lock")
        || reference.contains("..")
        || reference.contains("//")
        || reference.contains("@{")
        || reference.contains("/.")
        || reference
            .chars()
            .any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\'));
    if bad {
        return Err(Error::Name {
            reference: reference.chars().filter(|c| !c.is_control()).take(200).collect(),
        });
    }
    Ok(())
}

/// Whether it is a whole object id.
pub(crate) fn is_full_id(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && is_hex(reference)
}

/// Whether it may be the beginning of an object id.
pub(crate) fn is_short_id(reference: &str) -> bool {
    reference.len() >= 7 && reference.len() < 40 && is_hex(reference)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The name of a remote's cache: readable, and different for different addresses.
pub(crate) fn cache_name(url: &str) -> String {
    let last = url
        .trim_end_matches('/')
        .rsplit(['/', ':'])
        .next()
        .unwrap_or_default();
    let readable: String = last
        .trim_end_matches(".git")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '_'
            }
        })
        .take(40)
        .collect();
    let digest = hex::encode(Sha256::digest(url.as_bytes()));
    format!("{readable}-{}.git", digest.get(..16).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "/srv/x.git",
            "https://h/x",
            "git@h:x.git",
            "ssh://git@h:22/x",
            "file:///x",
            "h:x",
        ] {
            assert!(check_url(&good.into()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-u",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "ssh://-oProxyCommand=x/y",
            "ssh://u@-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "../x.git",
            "x\ny",
            "ftp://h/x",
        ] {
            assert!(check_url(&bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn references() {
        for good in ["main", "release/1.2", "v1.0.0", "0123abc", "refs/heads/x"] {
            assert!(check_reference(good).is_ok(), "{good}");
        }
        for bad in ["-x", "a..b", "a b", "x:y", "HEAD~1", "a*", "x.lock", "@{u}"] {
            assert!(check_reference(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caches_have_names_of_their_own() {
        assert_ne!(cache_name("https://a/x"), cache_name("https://b/x"));
    }
}
