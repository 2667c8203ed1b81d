//! Who one is to a registry: docker's `config.json` in files, imagePullSecrets and what people type. Never printed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_base::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A name and a password, or an identity token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret<String>,
}

/// Credentials by registry, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials(Vec<(String, Credential)>);

/// Not docker's configuration. What it says is not repeated: it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no docker configuration: {0}")]
pub struct NoCredentials(&'static str);

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl Credentials {
    /// Reads docker's `config.json`, or an old `.dockercfg`.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_docker(text: &[u8]) -> Result<Self, NoCredentials> {
        let wrong = || NoCredentials("JSON with `auths` is wanted");
        let document: serde_json::Value = serde_json::from_slice(text).map_err(|_| wrong())?;
        let auths = document.get("auths");
        if !document.is_object() || auths.is_some_and(|auths| !auths.is_object()) {
            return Err(wrong());
        }
        // The old form is what the new one has below `auths`; a configuration may also have no credentials at all.
        let auths: BTreeMap<String, DockerAuth> = match auths {
            Some(auths) => serde_json::from_value(auths.clone()).map_err(|_| wrong())?,
            None => serde_json::from_value(document).unwrap_or_default(),
        };
        let mut all = Self::default();
        for (host, auth) in auths {
            let pair = match (auth.username, auth.password, auth.auth) {
                (Some(name), Some(password), _) if !name.is_empty() => (name, password),
                (_, _, Some(encoded)) if !encoded.is_empty() => {
                    let wrong = || NoCredentials("an `auth` is not base64 of NAME:PASSWORD");
                    let plain = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
                    let plain = String::from_utf8(plain).map_err(|_| wrong())?;
                    let (name, password) = plain.split_once(':').ok_or_else(wrong)?;
                    (name.to_owned(), password.trim_end_matches('\0').to_owned())
                }
                // Kept by a helper program, say: nothing is here.
                _ => continue,
            };
            all.add(&host, &pair.0, &pair.1);
        }
        Ok(all)
    }

    /// Adds one.
    pub fn add(&mut self, host: &str, username: &str, password: &str) {
        self.0.push((
            normal(host),
            Credential {
                username: username.to_owned(),
                password: Secret::new(password.to_owned()),
            },
        ));
    }

    /// These, then others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those for a repository of a registry; the longest path first, as kubelet matches them.
    #[must_use]
    pub fn of(&self, registry: &str, repository: &str) -> Vec<&Credential> {
        let name = format!("{}/{repository}", normal(registry));
        let mut found: Vec<(usize, &Credential)> = self
            .0
            .iter()
            .filter(|(prefix, _)| {
                let rest = name.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(|(prefix, credential)| (prefix.len(), credential))
            .collect();
        found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        found.into_iter().map(|(_, credential)| credential).collect()
    }

    /// As docker's configuration, to be handed to another process.
    #[must_use]
    pub fn to_docker(&self) -> String {
        let auths: serde_json::Map<String, serde_json::Value> = self
            .0
            .iter()
            .rev()
            .map(|(host, credential)| {
                let (name, password) = (&credential.username, credential.password.expose());
                (
                    host.clone(),
                    serde_json::json!({"username": name, "password": password}),
                )
            })
            .collect();
        serde_json::json!({"auths": auths}).to_string()
    }
}

/// A key of `auths`: `https://index.docker.io/v1/` is Docker's own way to say `docker.io`.
fn normal(host: &str) -> String {
    let host = host.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.trim_end_matches('/');
    let host = host
        .strip_suffix("/v1")
        .or_else(|| host.strip_suffix("/v2"))
        .unwrap_or(host);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_writes_them_in_many_ways() {
        let encoded = STANDARD.encode("me:pass:word");
        let text = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{encoded}"}},
                "reg.example:5000": {{"username": "a", "password": "b"}}, "reg.example:5000/team": {{"username": "t", "password": "x"}},
                "kept.example": {{}}}}, "credsStore": "desktop"}}"#
        );
        let all = Credentials::from_docker(text.as_bytes()).unwrap();
        let names = |registry: &str, repository: &str| -> Vec<String> {
            let found = all.of(registry, repository);
            found
                .iter()
                .map(|c| format!("{}:{}", c.username, c.password.expose()))
                .collect()
        };
        assert_eq!(names("docker.io", "library/nginx"), ["me:pass:word"]);
        assert_eq!(names("reg.example:5000", "team/shop"), ["t:x", "a:b"]);
        assert_eq!(names("reg.example:5000", "teams/shop"), ["a:b"]);
        assert!(names("reg.example", "x").is_empty() && names("kept.example", "x").is_empty());
        assert_eq!(
            Credentials::from_docker(all.to_docker().as_bytes())
                .unwrap()
                .of("docker.io", "x")
                .len(),
            1
        );
        let old = r#"{"reg.example": {"auth": "YTpi"}}"#;
        assert_eq!(
            Credentials::from_docker(old.as_bytes())
                .unwrap()
                .of("reg.example", "x")
                .len(),
            1
        );
        for bad in ["", "[]", r#"{"auths": {"x": {"auth": "%"}}}"#, r#"{"auths": 1}"#] {
            let error = Credentials::from_docker(bad.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains('%'), "{error}");
        }
        assert!(Credentials::from_docker(b"{}").unwrap().is_empty());
        assert!(!format!("{all:?}").contains("pass:word"));
    }
}
