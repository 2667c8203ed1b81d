//! Secrets by path: which mount a path belongs to, and the `/data/` and `/metadata/` of version 2.

use crate::client::{Client, Method};
use crate::error::Error;
use serde_json::{Value as Json, json};

/// A secrets engine's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// With a final slash.
    pub path: String,
    /// Such as `kv` or `pki`.
    pub kind: String,
    /// 1 or 2 for `kv`.
    pub version: u8,
}

impl Mount {
    /// The API path for `path` in this mount; `part` is `data` or `metadata`.
    fn place(&self, path: &str, part: &str) -> String {
        if self.kind != "kv" || self.version != 2 {
            return path.to_owned();
        }
        let Some(rest) = path.strip_prefix(&self.path) else {
            return if path == self.path.trim_end_matches('/') {
                format!("{}{part}", self.path)
            } else {
                path.to_owned()
            };
        };
        let first = rest.split('/').next().unwrap_or("");
        match (first, part) {
            // Written with the API's own prefix already; a list of `data/` means `metadata/`.
            ("data", "metadata") => {
                format!("{}metadata{}", self.path, rest.strip_prefix("data").unwrap_or(""))
            }
            ("data" | "metadata" | "delete" | "undelete" | "destroy" | "subkeys" | "config", _) => {
                path.to_owned()
            }
            _ => format!("{}{part}/{rest}", self.path),
        }
    }
}

impl Client {
    /// The mount that a path belongs to, remembered; version 1 is assumed where Vault will not say, as its own tools do.
    ///
    /// # Errors
    /// If Vault cannot be reached.
    pub async fn mount(&self, path: &str) -> Result<Mount, Error> {
        let path = path.split('?').next().unwrap_or(path).trim_matches('/');
        let below = format!("{path}/");
        let remembered = self
            .mounts()
            .values()
            .filter(|mount| below.starts_with(&mount.path))
            .max_by_key(|m| m.path.len())
            .cloned();
        if let Some(mount) = remembered {
            return Ok(mount);
        }
        let answer = match self
            .call(Method::Get, &format!("sys/internal/ui/mounts/{path}"), None)
            .await
        {
            Ok(answer) => answer,
            Err(
                Error::NotFound { .. }
                | Error::Denied(_)
                | Error::Refused {
                    status: 400..=499, ..
                },
            ) => Json::Null,
            Err(error) => return Err(error),
        };
        let text = |pointer: &str| answer.pointer(pointer).and_then(Json::as_str);
        let Some(place) = text("/data/path") else {
            return Ok(Mount {
                path: String::new(),
                kind: "kv".to_owned(),
                version: 1,
            });
        };
        let mount = Mount {
            path: format!("{}/", place.trim_end_matches('/')),
            kind: text("/data/type").unwrap_or_default().to_owned(),
            version: text("/data/options/version")
                .and_then(|version| version.parse().ok())
                .unwrap_or(1),
        };
        self.mounts().insert(mount.path.clone(), mount.clone());
        Ok(mount)
    }

    /// The whole response for a path, with or without `/data/`, perhaps with `?version=N`.
    ///
    /// # Errors
    /// If it is denied, not there, or Vault cannot be reached.
    pub async fn read(&self, path: &str) -> Result<Json, Error> {
        let place = self.mount(path).await?.place(path, "data");
        let answer = self.call(Method::Get, &place, None).await?;
        // A deleted version answers with metadata and no data.
        if answer.pointer("/data/metadata").is_some()
            && answer.pointer("/data/data").is_some_and(Json::is_null)
        {
            return Err(Error::NotFound { path: place });
        }
        Ok(answer)
    }

    /// The fields of a secret, whichever version its mount has.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub async fn fields(&self, path: &str) -> Result<serde_json::Map<String, Json>, Error> {
        let answer = self.read(path).await?;
        fields_of(&answer).cloned().ok_or(Error::Malformed {
            path: path.to_owned(),
            what: "it has no data",
        })
    }

    /// One value, by `path#key`.
    ///
    /// # Errors
    /// As [`Client::read`], or if the secret lacks the key.
    pub async fn value(&self, reference: &str) -> Result<Json, Error> {
        let (path, key) = reference.split_once('#').ok_or_else(|| Error::Path {
            path: reference.to_owned(),
        })?;
        let mut fields = self.fields(path).await?;
        fields.remove(key).ok_or_else(|| Error::NoKey {
            path: path.to_owned(),
            key: key.to_owned(),
            keys: fields.keys().cloned().collect(),
        })
    }

    /// The names below a path; none if nothing is there.
    ///
    /// # Errors
    /// If it is denied or Vault cannot be reached.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = path.trim_matches('/');
        let place = self.mount(path).await?.place(path, "metadata");
        match self.call(Method::List, &place, None).await {
            Ok(answer) => Ok(answer
                .pointer("/data/keys")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect()),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes fields and gives the response.
    ///
    /// # Errors
    /// If it is denied, refused, or Vault cannot be reached.
    pub async fn write(&self, path: &str, fields: &Json) -> Result<Json, Error> {
        let mount = self.mount(path).await?;
        let place = mount.place(path, "data");
        let to_data =
            mount.kind == "kv" && mount.version == 2 && place.starts_with(&format!("{}data/", mount.path));
        let wrapped = to_data && fields.get("data").is_none_or(|data| !data.is_object());
        let body = if wrapped {
            json!({"data": fields})
        } else {
            fields.clone()
        };
        self.call(Method::Post, &place, Some(&body)).await
    }
}

/// The fields in a response, below `data.data` for version 2.
pub(crate) fn fields_of(answer: &Json) -> Option<&serde_json::Map<String, Json>> {
    let two = answer.pointer("/data/metadata").is_some() && answer.pointer("/data/data").is_some();
    answer
        .pointer(if two { "/data/data" } else { "/data" })
        .and_then(Json::as_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let two = Mount {
            path: "secret/".into(),
            kind: "kv".into(),
            version: 2,
        };
        let one = Mount {
            path: "secret/".into(),
            kind: "kv".into(),
            version: 1,
        };
        for (mount, path, part, expected) in [
            (&two, "secret/shop/db", "data", "secret/data/shop/db"),
            (&two, "secret/data/shop/db", "data", "secret/data/shop/db"),
            (&two, "secret/data/shop", "metadata", "secret/metadata/shop"),
            (&two, "secret", "metadata", "secret/metadata"),
            (&two, "secret/shop", "metadata", "secret/metadata/shop"),
            (&one, "secret/shop", "data", "secret/shop"),
        ] {
            assert_eq!(mount.place(path, part), expected);
        }
    }
}
