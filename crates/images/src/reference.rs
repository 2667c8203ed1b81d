//! Names of images as people write them, and what they stand for: registry, repository, tag, digest. Pure.

use crate::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// The registry that names without one mean.
const DEFAULT: &str = "docker.io";

/// A name, completed: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Not a name. The words are those of kubelet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name {0:?}: invalid reference format")]
pub struct NoReference(String);

impl Reference {
    /// Host and port of the registry, as written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within it.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; a name that has a digest may have none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that is wanted and nothing else.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask a registry for: the digest if there is one, else the tag.
    #[must_use]
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository, by digest.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> Self {
        Self {
            digest: Some(digest.clone()),
            tag: None,
            ..self.clone()
        }
    }

    /// Registry and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// As people write it: without what goes without saying.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }
}

fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.chars().any(|c| c.is_ascii_uppercase())
}

fn host_is_valid(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &str| !port.is_empty() && port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit());
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let named = match inside {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(|part| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        }),
    };
    named && text.len() <= 255 && port.is_none_or(digits)
}

/// Lower-case letters and digits, with single `.` or `_`, double `__`, or any number of `-` in between.
fn part_is_valid(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separator = String::new();
    let mut last_plain = false;
    for c in part.chars() {
        if plain(c) {
            let fits =
                matches!(separator.as_str(), "" | "." | "_" | "__") || separator.chars().all(|c| c == '-');
            if !fits {
                return false;
            }
            separator.clear();
            last_plain = true;
        } else if "._-".contains(c) && last_plain {
            separator.push(c);
        } else {
            return false;
        }
    }
    last_plain && separator.is_empty()
}

fn tag_is_valid(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Whether this may be a repository of a registry.
#[must_use]
pub fn repository_is_valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.split('/').all(part_is_valid)
}

/// Whether this may be a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    tag_is_valid(text)
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let wrong = || NoReference(text.chars().take(300).collect());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest.to_owned()),
            Some(_) => (DEFAULT, name.to_owned()),
            None => (DEFAULT, format!("library/{name}")),
        };
        let registry = match registry {
            "index.docker.io" => DEFAULT,
            other => other,
        };
        let repository = if registry == DEFAULT && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if !host_is_valid(registry) || !repository_is_valid(&repository) || !tag.is_none_or(tag_is_valid) {
            return Err(wrong());
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let hash = Digest::of(b"x");
        let pinned = format!("quay.io/a/b:1@{hash}");
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("bitnami/redis", "docker.io/bitnami/redis:latest"),
            ("localhost/shop", "localhost/shop:latest"),
            ("localhost:5000/shop:1.2", "localhost:5000/shop:1.2"),
            ("[::1]:5000/shop", "[::1]:5000/shop:latest"),
            (
                "registry.example/team/shop__x:v1",
                "registry.example/team/shop__x:v1",
            ),
            (&pinned, &pinned),
        ] {
            assert_eq!(
                text.parse::<Reference>().map(|r| r.to_string()),
                Ok(full.to_owned())
            );
        }
        assert_eq!("nginx".parse::<Reference>().unwrap().familiar(), "nginx:latest");
        for bad in [
            "",
            ":",
            "nginx:",
            "Nginx",
            "a//b",
            "../etc",
            "a/../b",
            "/a",
            "a@b",
            "a@sha256:0",
            "no spaces",
            "x:1:2",
            "-a/b",
            "a-/b",
            "host:99999999/x",
            "[zz]/x",
            "a___b",
            "a:\u{0}",
            "a..b",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert_eq!(
            "no spaces".parse::<Reference>().unwrap_err().to_string(),
            "couldn't parse image name \"no spaces\": invalid reference format"
        );
    }
}
