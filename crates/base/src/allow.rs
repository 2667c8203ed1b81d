//! Which remotes a fleet may reach: [`AllowList`] makes the only value that git takes, an [`AllowedRemote`].
//!
//! Owns the rule and its words. Whoever writes the fleet repository says what is reached with Herder's rights; whoever
//! writes another repository chooses among what the fleet names. Compares addresses, asks no network.

use crate::Url;
use std::collections::BTreeSet;
use std::fmt;

/// Who names a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namer {
    /// The fleet repository's own files.
    Fleet,
    /// A repository that the fleet names, or one that such a one names, or the parameter of a run.
    Other,
}

/// A remote that may be reached. Made by [`AllowList::admit`], or by [`AllowedRemote::own`] for what the person who runs
/// the program has typed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllowedRemote(Url);

impl AllowedRemote {
    /// What the person who runs this program names, for whom it has no more rights than they have. Never for an address
    /// out of a file, a request or a run.
    #[must_use]
    pub fn own(url: Url) -> Self {
        Self(url)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for AllowedRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a remote may not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The remote.
    pub url: Url,
    /// Why.
    pub why: &'static str,
    /// Whether a line in fleet.yaml allows it.
    pub listable: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the remote {} is not asked: {}", self.url, self.why)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.listable {
            format!(
                "if the fleet is to use it, add `- {}` below `remotes.allow` in fleet.yaml",
                self.url
            )
        } else {
            "write its plain address".to_owned()
        }
    }
}

/// The remotes that repositories other than the fleet's may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    exact: BTreeSet<Place>,
    /// Places below which everything is allowed.
    below: BTreeSet<Place>,
    /// Places directly in which everything is allowed.
    beside: BTreeSet<Place>,
}

impl AllowList {
    /// Adds a remote that the fleet names; with its `siblings` everything on the same host in the same folder. A
    /// local remote has no siblings: its folder is the machine's, not the organisation's.
    pub fn name(&mut self, url: &Url, siblings: bool) {
        let Ok(place) = Place::of(url) else { return };
        if siblings && !place.local() && !place.path.is_empty() {
            let mut parent = place.clone();
            parent.path.pop();
            self.beside.insert(parent);
        }
        self.exact.insert(place);
    }

    /// Adds a line of fleet.yaml: an address, or everything below one that ends with `/`.
    ///
    /// # Errors
    /// If it is no plain address.
    pub fn list(&mut self, line: &str) -> Result<(), &'static str> {
        let all = line.strip_suffix('*').unwrap_or(line);
        let place = Place::of(&Url::from(all))?;
        if all.ends_with('/') {
            if place.local() && place.path.is_empty() {
                return Err("it allows the whole machine");
            }
            self.below.insert(place);
        } else {
            self.exact.insert(place);
        }
        Ok(())
    }

    /// The remote, if it may be reached on behalf of who names it.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, url: &Url, namer: Namer) -> Result<AllowedRemote, Refused> {
        let allowed = || AllowedRemote(url.clone());
        if namer == Namer::Fleet {
            return Ok(allowed());
        }
        let place = Place::of(url).map_err(|why| Refused {
            url: url.clone(),
            why,
            listable: false,
        })?;
        let parent = place.path.split_last().map(|(_, parent)| parent);
        let under = |list: &BTreeSet<Place>, direct: bool| {
            list.iter().any(|above| {
                above.same_host(&place)
                    && if direct {
                        parent == Some(above.path.as_slice())
                    } else {
                        place.path.len() > above.path.len() && place.path.starts_with(&above.path)
                    }
            })
        };
        if self.exact.contains(&place) || under(&self.below, false) || under(&self.beside, true) {
            return Ok(allowed());
        }
        Err(Refused {
            url: url.clone(),
            why: if place.local() {
                "only the fleet repository may name a place on this machine"
            } else {
                "it is neither a remote that the fleet names nor beside one"
            },
            listable: true,
        })
    }
}

/// An address in the one form in which two that lead to the same place are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    scheme: &'static str,
    /// The ssh user, whose key is another one's.
    user: String,
    /// With its port; empty for this machine.
    host: String,
    path: Vec<String>,
}

impl Place {
    fn of(url: &Url) -> Result<Self, &'static str> {
        let text = url.expose().trim();
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
        {
            return Err("its address holds blanks, `\\` or control characters");
        }
        if text.contains(['?', '#']) {
            return Err("its address has parameters");
        }
        if text.starts_with('/') {
            return Self::local_at(text);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::scp(text);
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => "https",
            "http" => "http",
            "ssh" | "git+ssh" | "ssh+git" => "ssh",
            "git" => "git",
            "file" if rest.starts_with('/') => return Self::local_at(rest),
            _ => return Err("its scheme is none of https, http, ssh and git"),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains('@') {
            return Err("its address has more than one `@`");
        }
        let standard = match scheme {
            "https" => ":443",
            "http" => ":80",
            "ssh" => ":22",
            _ => ":9418",
        };
        let user = if scheme == "ssh" {
            user.split(':').next().unwrap_or_default()
        } else {
            ""
        };
        Self::remote(scheme, user, host.strip_suffix(standard).unwrap_or(host), path)
    }

    fn scp(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some((host, path)) if !host.contains('/') && !path.starts_with(':') => {
                let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
                // `host:path` begins at the user's home, `ssh://host/path` at the root; forges take them for the same.
                Self::remote("ssh", user, host, path)
            }
            _ => Err("it is no whole address"),
        }
    }

    fn remote(scheme: &'static str, user: &str, host: &str, path: &str) -> Result<Self, &'static str> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
            return Err("its host is no plain name");
        }
        let mut path = segments(path)?;
        if let Some(last) = path.last_mut()
            && let Some(name) = last.strip_suffix(".git").filter(|name| !name.is_empty())
        {
            *last = name.to_owned();
        }
        Ok(Self {
            scheme,
            user: user.to_owned(),
            host,
            path,
        })
    }

    fn local_at(path: &str) -> Result<Self, &'static str> {
        Ok(Self {
            scheme: "file",
            user: String::new(),
            host: String::new(),
            path: segments(path)?,
        })
    }

    fn local(&self) -> bool {
        self.scheme == "file"
    }

    fn same_host(&self, other: &Self) -> bool {
        (self.scheme, &self.user, &self.host) == (other.scheme, &other.user, &other.host)
    }
}

/// The parts of a path; what could mean another path to whoever answers is no plain one.
fn segments(path: &str) -> Result<Vec<String>, &'static str> {
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00", "%25"]
        .iter()
        .any(|escape| lower.contains(escape))
    {
        return Err("its path holds escaped dots, slashes or percent signs");
    }
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if parts.iter().any(|part| part == "." || part == "..") {
        return Err("its path holds `.` or `..`");
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> AllowList {
        let mut list = AllowList::default();
        list.name(&"https://forge.example/org/fleet.git".into(), true);
        list.name(&"git@forge.example:org/fleet.git".into(), true);
        list.name(&"/srv/git/shop.git".into(), true);
        list.list("https://github.com/kubernetes-sigs/").unwrap();
        list.list("https://lone.example/a/b").unwrap();
        list.list("/srv/open/").unwrap();
        list
    }

    #[test]
    fn others_choose_among_what_the_fleet_names() {
        let list = list();
        for url in [
            "https://forge.example/org/shop",
            "https://me:pw@FORGE.example:443/org/shop.git/",
            "ssh://git@forge.example/org/shop",
            "git@forge.example:org/shop.git",
            "file:///srv/git/shop.git",
            "/srv/git//shop.git/",
            "https://github.com/kubernetes-sigs/a/b.git",
            "https://lone.example/a/b.git",
            "/srv/open/x/y",
        ] {
            assert!(list.admit(&url.into(), Namer::Other).is_ok(), "{url}");
        }
        for url in [
            "https://forge.example/other/shop",
            "https://forge.example/org/shop/deeper",
            "https://forge.example/org/../other/shop",
            "https://forge.example/org/%2e%2e/other",
            "https://forge.example/org/..%2fother",
            "https://forge.example/org",
            "http://forge.example/org/shop",
            "https://forge.example:8443/org/shop",
            "https://forge.example.evil.example/org/shop",
            "https://forge.example@evil.example/org/shop",
            "https://evil.example\\@forge.example/org/shop",
            "https://evil.example#@forge.example/org/shop",
            "https://evil.example?@forge.example/org/shop",
            "https://forge.example/org/shop?x=/../y",
            "root@forge.example:org/shop.git",
            "git@forge.example:../org/shop.git",
            "file:///srv/git/secret.git",
            "file://host/srv/git/shop.git",
            "file:///srv/git/shop.git/../secret.git",
            "file:///srv/git/%73hop.git/../secret.git",
            "/srv/git/secret.git",
            "/srv/open/../git/secret.git",
            "/etc",
            "../shop.git",
            "ext::sh -c id",
            "https://github.com/kubernetes-sigs",
            "https://github.com/kubernetes-sigs-evil/x",
            "https://169.254.169.254/latest/meta-data",
            "",
        ] {
            assert!(list.admit(&url.into(), Namer::Other).is_err(), "{url}");
            assert!(list.admit(&url.into(), Namer::Fleet).is_ok(), "{url}");
        }
    }

    #[test]
    fn says_what_to_do() {
        let refused = list()
            .admit(&"https://me:pw@evil.example/x".into(), Namer::Other)
            .unwrap_err();
        assert_eq!(
            format!("{refused}; {}", refused.hint()),
            "the remote https://evil.example/x is not asked: it is neither a remote that the fleet names nor beside one; \
             if the fleet is to use it, add `- https://evil.example/x` below `remotes.allow` in fleet.yaml"
        );
        assert!(AllowList::default().list("/").is_err());
        assert!(AllowList::default().list("anything/").is_err());
    }
}
