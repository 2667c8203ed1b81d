//! [`Url`]: an address of a remote that cannot be shown with what opens it. Owns what counts as a credential in an
//! address, and how addresses within other programs' words are cleaned. Resolves and compares by `remote`.

use crate::{Secret, remote_identity, resolve_remote};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What stands where a credential was.
const HIDDEN: &str = "***";
/// Parameters of an address that say which commit and how; the values of all others are taken for credentials.
const HARMLESS: [&str; 8] = [
    "ref",
    "version",
    "timeout",
    "submodules",
    "depth",
    "path",
    "branch",
    "service",
];

/// The address of a remote. `Display`, `Debug` and JSON leave out what opens it: the user and password of an http
/// address, passwords of all, and the values of parameters that are not known to be harmless.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Url(String);

impl Url {
    /// An address as it was written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address with its credentials. For the program that connects, never for people, logs or files.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A remote as written in a repository that itself came from here; see [`resolve_remote`].
    #[must_use]
    pub fn resolve(&self, remote: &str) -> Self {
        Self(resolve_remote(&self.0, remote))
    }

    /// One form for the addresses that mean the same remote; see [`remote_identity`].
    #[must_use]
    pub fn identity(&self) -> String {
        remote_identity(&self.0)
    }

    /// The user and the password within an http address, decoded, and the address without them.
    #[must_use]
    pub fn split_credentials(&self) -> (String, Option<(String, Secret<String>)>) {
        let Some(place) = Place::of(&self.0).filter(|place| place.http()) else {
            return (self.0.clone(), None);
        };
        let Some(user) = place.user else {
            return (self.0.clone(), None);
        };
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let bare = format!("{}://{}{}", place.scheme, place.host, place.rest);
        (bare, Some((decode(name), Secret::new(decode(password)))))
    }

    /// The texts within this address that must not be seen, as they are written and decoded.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret<String>> {
        let mut found = Vec::new();
        let Some(place) = Place::of(&self.0) else {
            return found;
        };
        let mut add = |text: &str| {
            if text.len() >= 4 {
                found.push(Secret::from(text));
                let plain = decode(text);
                if plain != text {
                    found.push(Secret::new(plain));
                }
            }
        };
        if let Some(user) = place.user {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            add(password);
            // `https://TOKEN@host` has its credential where the name is, `https://name:TOKEN@host` has not.
            if password.is_empty() && place.http() {
                add(name);
            }
        }
        for (_, value) in parameters(place.rest).filter(|(name, _)| !harmless(name)) {
            add(value);
        }
        found
    }
}

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Url {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({})", shown(&self.0))
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A text of somebody else, such as what git says, with every address in it cleaned.
#[must_use]
pub fn scrub_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest.get(..at).unwrap_or_default();
        let start = scheme
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .map_or(0, |before| {
                before
                    + scheme
                        .get(before..)
                        .and_then(|s| s.chars().next())
                        .map_or(1, char::len_utf8)
            });
        out.push_str(rest.get(..start).unwrap_or_default());
        let from = rest.get(start..).unwrap_or_default();
        let end = from
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '<' | '>' | '`'))
            .unwrap_or(from.len());
        let (url, after) = from.split_at(end);
        out.push_str(&shown(url));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// An address in its parts.
struct Place<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if let Some((user, host)) = authority.rsplit_once('@') {
            return Some(Self {
                scheme,
                user: Some(user),
                host,
                rest: path,
            });
        }
        // A password with a `/` in it: what looks like a port is none.
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        let torn = port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()))
            && !authority.starts_with('[')
            && path.contains('@');
        if torn && let Some(at) = rest.rfind('@') {
            let (user, host) = rest.split_at(at);
            let host = host.get(1..).unwrap_or_default();
            let end = host.find('/').unwrap_or(host.len());
            let (host, rest) = host.split_at(end);
            return Some(Self {
                scheme,
                user: Some(user),
                host,
                rest,
            });
        }
        Some(Self {
            scheme,
            user: None,
            host: authority,
            rest: path,
        })
    }

    fn http(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("http") || self.scheme.eq_ignore_ascii_case("https")
    }
}

/// An address as it may be seen.
pub(crate) fn shown(url: &str) -> String {
    let Some(place) = Place::of(url) else {
        // `user:password@host:path` is no address that works, but people write it.
        return match url.split_once('@') {
            Some((user, rest)) if user.contains(':') && !user.contains('/') => {
                let name = user.split(':').next().unwrap_or_default();
                format!("{name}@{rest}")
            }
            _ => url.to_owned(),
        };
    };
    let user = match place.user {
        // The name of an ssh user opens nothing and is needed to reach it.
        Some(user) if !place.http() => format!("{}@", user.split(':').next().unwrap_or_default()),
        _ => String::new(),
    };
    format!(
        "{}://{user}{}{}",
        place.scheme,
        place.host,
        shown_parameters(place.rest)
    )
}

fn harmless(name: &str) -> bool {
    HARMLESS.contains(&name)
}

/// `name=value` of a query and of a fragment.
fn parameters(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.find(['?', '#'])
        .and_then(|at| rest.get(at..))
        .unwrap_or_default()
        .split(['?', '#', '&', ';'])
        .filter_map(|part| part.split_once('='))
}

fn shown_parameters(rest: &str) -> String {
    let at = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, query) = rest.split_at(at);
    let mut out = path.to_owned();
    for part in query.split_inclusive(['?', '#', '&', ';']) {
        let (part, end) = match part.char_indices().last() {
            Some((at, '?' | '#' | '&' | ';')) => part.split_at(at),
            _ => (part, ""),
        };
        match part.split_once('=') {
            Some((name, value)) if !harmless(name) && !value.is_empty() => {
                out.push_str(name);
                out.push('=');
                out.push_str(HIDDEN);
            }
            _ => out.push_str(part),
        }
        out.push_str(end);
    }
    out
}

/// `%41` → `A`; what is no escape stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.split_at_checked(2))
            .flatten()
            .and_then(|(hex, after)| {
                let hex = std::str::from_utf8(hex)
                    .ok()
                    .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
                Some((u8::from_str_radix(hex, 16).ok()?, after))
            });
        match escaped {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_what_opens_it() {
        for (url, expected) in [
            ("https://me:secret@h/x", "https://h/x"),
            ("https://ghp_secret@h/x.git", "https://h/x.git"),
            ("https://me:se@cret@h:8443/x", "https://h:8443/x"),
            ("https://me:se/cret@h/x", "https://h/x"),
            (
                "HTTPS://me:secret@h/x?ref=v1&token=secret#a=secret",
                "HTTPS://h/x?ref=v1&token=***#a=***",
            ),
            ("ssh://git:secret@h:22/x", "ssh://git@h:22/x"),
            ("git@h:x.git", "git@h:x.git"),
            ("me:secret@h:x", "me@h:x"),
            ("/srv/git/x.git", "/srv/git/x.git"),
            ("https://h/x@v2", "https://h/x@v2"),
            ("https://[::1]:80/x", "https://[::1]:80/x"),
            ("file:///srv/x?ref=main", "file:///srv/x?ref=main"),
            ("", ""),
        ] {
            let url = Url::from(url);
            assert_eq!(url.to_string(), expected);
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
        }
    }

    #[test]
    fn credentials_apart() {
        let (bare, credentials) = Url::from("https://me:s%40cret@h/x").split_credentials();
        let (user, password) = credentials.unwrap();
        assert_eq!(
            (bare.as_str(), user.as_str(), password.expose().as_str()),
            ("https://h/x", "me", "s@cret")
        );
        assert!(Url::from("ssh://git@h/x").split_credentials().1.is_none());
        let secrets = Url::from("https://me:s%40cret@h/x?token=abcd&ref=main").secrets();
        let secrets: Vec<&str> = secrets.iter().map(|s| s.expose().as_str()).collect();
        assert_eq!(secrets, ["s%40cret", "s@cret", "abcd"]);
    }

    #[test]
    fn other_words_are_cleaned() {
        assert_eq!(
            scrub_urls("fatal: unable to access 'https://me:pw@h/x/': é https://t@h no ://"),
            "fatal: unable to access 'https://h/x/': é https://h no ://"
        );
    }
}
