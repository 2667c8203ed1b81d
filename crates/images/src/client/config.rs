//! `registries.yaml` as k3s has it: mirrors in order, rewrites, credentials and certificates per host. The registry itself
//! is always the last to be asked, and rewrites do not apply to it.

use super::credentials::Credentials;
use crate::reference::Reference;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Its YAML.
    #[error("{}:{line}: {why}", file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// Where.
        line: u32,
        /// What is wrong.
        why: String,
    },
    /// What it says.
    #[error("{}: {why}", file.display())]
    Meaning {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registries {
    #[serde(default)]
    mirrors: BTreeMap<String, Option<Mirror>>,
    #[serde(default)]
    configs: BTreeMap<String, HostConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    #[serde(default)]
    endpoint: Vec<String>,
    #[serde(default)]
    rewrite: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostConfig {
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    tls: Tls,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Certificates for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) cert_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
}

/// Where to ask for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// With scheme, up to and with `/v2`.
    pub(super) base: String,
    /// Host and port.
    pub(super) host: String,
    /// The repository there.
    pub(super) repository: String,
    /// Whom a mirror stands for.
    pub(super) stands_for: Option<String>,
    /// Whose certificate to believe.
    pub(super) tls: Tls,
}

/// Hosts that may be spoken to without TLS: nobody is in between.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name == "127.0.0.1" || name == "[::1]" || host == "[::1]"
}

impl Registries {
    /// Reads the file; one that is not there says nothing.
    ///
    /// # Errors
    /// It is there and cannot be read or understood.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Read(file.to_owned(), error)),
            Ok(text) => Self::parse(&text, file),
        }
    }

    fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let (found, errors) = herder_object::yaml::parse_objects(text);
        if let Some(error) = errors.first() {
            return Err(ConfigError::Yaml {
                file: file.to_owned(),
                line: error.line,
                why: error.message.clone(),
            });
        }
        let meaning = |why: String| ConfigError::Meaning {
            file: file.to_owned(),
            why,
        };
        let Some((value, _)) = found.into_iter().next() else {
            return Ok(Self::default());
        };
        let read: Self = serde_json::from_value(value).map_err(|error| meaning(error.to_string()))?;
        for mirror in read.mirrors.values().flatten() {
            for endpoint in &mirror.endpoint {
                split(endpoint).ok_or_else(|| meaning(format!("endpoint {endpoint:?} is no address")))?;
            }
            for pattern in mirror.rewrite.keys() {
                regex::Regex::new(pattern)
                    .map_err(|error| meaning(format!("rewrite {pattern:?}: {error}")))?;
            }
        }
        Ok(read)
    }

    /// Credentials that it has.
    ///
    /// # Errors
    /// An `auth` that is no base64.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        let mut all = Credentials::default();
        for (host, config) in &self.configs {
            let Some(auth) = &config.auth else { continue };
            if auth.auth.is_empty() {
                all.add(host, &auth.username, &auth.password);
            } else {
                let document = serde_json::json!({"auths": {host.as_str(): {"auth": auth.auth}}});
                if let Ok(found) = Credentials::from_docker(document.to_string().as_bytes()) {
                    all.extend(found);
                }
            }
        }
        all
    }

    fn tls(&self, host: &str) -> Tls {
        let plain = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let found = [host, plain, "*"].iter().find_map(|name| self.configs.get(*name));
        found.map(|config| config.tls.clone()).unwrap_or_default()
    }

    /// Where to ask for an image, in order.
    pub(super) fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        let registry = reference.registry();
        let mirror = [registry, "*"]
            .iter()
            .find_map(|name| self.mirrors.get(*name))
            .and_then(Option::as_ref);
        let mut all = Vec::new();
        for endpoint in mirror
            .map(|mirror| mirror.endpoint.as_slice())
            .unwrap_or_default()
        {
            let Some((base, host)) = split(endpoint) else {
                continue;
            };
            let mut repository = reference.repository().to_owned();
            for (pattern, replacement) in mirror.iter().flat_map(|mirror| &mirror.rewrite) {
                if let Ok(pattern) = regex::Regex::new(pattern)
                    && pattern.is_match(&repository)
                {
                    repository = pattern.replace(&repository, replacement).into_owned();
                    break;
                }
            }
            all.push(Endpoint {
                tls: self.tls(&host),
                base,
                host,
                repository,
                stands_for: Some(registry.to_owned()),
            });
        }
        let host = match registry {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let repository = reference.repository().to_owned();
        let schemes: &[&str] = if is_local(host) {
            &["https", "http"]
        } else {
            &["https"]
        };
        for scheme in schemes {
            let base = format!("{scheme}://{host}/v2");
            if all
                .iter()
                .any(|known| known.base == base && known.repository == repository)
            {
                continue;
            }
            all.push(Endpoint {
                base,
                host: host.to_owned(),
                repository: repository.clone(),
                stands_for: None,
                tls: self.tls(host),
            });
        }
        all
    }
}

/// An endpoint's base and host; one without a path is completed.
fn split(endpoint: &str) -> Option<(String, String)> {
    let with = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("https://{endpoint}")
    };
    let rest = with
        .strip_prefix("https://")
        .or_else(|| with.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let uri: http::Uri = with.parse().ok()?;
    if uri.host().is_none_or(str::is_empty) || host.contains('@') {
        return None;
    }
    let base = with.trim_end_matches('/').to_owned();
    let base = if path.trim_matches('/').is_empty() {
        format!("{base}/v2")
    } else {
        base
    };
    Some((base, host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_in_order_and_the_registry_last() {
        let text = "mirrors:\n  docker.io:\n    endpoint:\n    - https://mirror.example:5000\n    - http://second.example/v2/proxy\n    \
                    rewrite:\n      \"^library/(.*)\": \"hub/$1\"\n  reg.example:\nconfigs:\n  mirror.example:5000:\n    \
                    auth:\n      username: me\n      password: word\n    tls:\n      ca_file: /ca.pem\n";
        let read = Registries::parse(text, Path::new("registries.yaml")).unwrap();
        let of = |name: &str| -> Vec<String> {
            let endpoints = read.endpoints(&name.parse().unwrap());
            endpoints
                .iter()
                .map(|e| format!("{}/{}", e.base, e.repository))
                .collect()
        };
        assert_eq!(
            of("nginx"),
            [
                "https://mirror.example:5000/v2/hub/nginx",
                "http://second.example/v2/proxy/hub/nginx",
                "https://registry-1.docker.io/v2/library/nginx",
            ]
        );
        assert_eq!(of("reg.example/a"), ["https://reg.example/v2/a"]);
        assert_eq!(
            of("localhost:5000/a"),
            ["https://localhost:5000/v2/a", "http://localhost:5000/v2/a"]
        );
        let first = &read.endpoints(&"nginx".parse().unwrap())[0];
        assert_eq!(first.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(read.credentials().of("mirror.example:5000", "x").len(), 1);
        assert!(!format!("{read:?}").contains("word"));
        for (bad, says) in [
            ("mirrors: [", "registries.yaml:"),
            ("mirror: {}", "unknown field"),
            ("mirrors: {a: {endpoint: ['ftp://x']}}", "is no address"),
            ("mirrors: {a: {endpoint: ['https://me:pw@x']}}", "is no address"),
            ("mirrors: {a: {rewrite: {'(': x}}}", "rewrite"),
        ] {
            let error = Registries::parse(bad, Path::new("registries.yaml"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
