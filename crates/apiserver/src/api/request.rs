//! What a request is about: its path, query and headers, taken apart once.

use crate::auth::{Attributes, User};
use crate::registry::{Resource, Status};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The query's parameters; the last of a name wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key), unescape(value))
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|value| matches!(value.as_str(), "" | "1" | "t" | "T" | "true" | "True" | "TRUE"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Status::bad_request(format!("the query parameter {name}={text:?} is not a number"))
                })
            })
            .transpose()
    }
}

/// All values of a parameter that may come more than once, in order.
pub(crate) fn values(raw: &str, name: &str) -> Vec<String> {
    let pairs = raw.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key) == name).then(|| unescape(value))
    });
    pairs.collect()
}

/// Percent-decoding; `+` is a space. What is not valid stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Option<[u8; 2]> = rest.clone().take(2).collect::<Vec<_>>().try_into().ok();
                let decoded = digits.and_then(|digits| {
                    let text = std::str::from_utf8(&digits).ok()?.to_owned();
                    u8::from_str_radix(&text, 16).ok()
                });
                if let Some(decoded) = decoded {
                    bytes.push(decoded);
                    rest.nth(1);
                } else {
                    bytes.push(byte);
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parts of a resource path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// The old `/watch/` prefix.
    pub(crate) watch: bool,
}

impl Path {
    /// `None` if it is not the path of a resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).map(unescape);
        let (group, version) = match parts.next()?.as_str() {
            "api" => (String::new(), parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut rest: Vec<String> = parts.collect();
        let mut found = Self {
            group,
            version,
            ..Self::default()
        };
        if rest.first().is_some_and(|part| part == "watch") {
            found.watch = true;
            rest.remove(0);
        }
        let mut rest = rest.into_iter();
        let first = rest.next()?;
        if first != "namespaces" {
            found.resource = first;
            found.name = rest.next().unwrap_or_default();
            found.subresource = rest.next().unwrap_or_default();
        } else {
            let namespace = rest.next().unwrap_or_default();
            match rest.next() {
                // `namespaces/x/pods` is in a namespace; `namespaces/x` and `namespaces/x/status` are the namespace.
                Some(resource)
                    if !(found.group.is_empty() && matches!(resource.as_str(), "status" | "finalize")) =>
                {
                    found.namespace = namespace;
                    found.resource = resource;
                    found.name = rest.next().unwrap_or_default();
                    found.subresource = rest.next().unwrap_or_default();
                }
                subresource => {
                    found.resource = first;
                    found.name = namespace;
                    found.subresource = subresource.unwrap_or_default();
                }
            }
        }
        if rest.next().is_some() && found.subresource != "proxy" {
            return None;
        }
        Some(found)
    }
}

/// A request about a resource.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: Path,
    pub(crate) resource: Arc<Resource>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) user: User,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn is_watch(&self) -> bool {
        self.method == Method::GET && (self.path.watch || self.query.is_true("watch"))
    }

    /// The verb, as RBAC names it.
    pub(crate) fn verb(&self) -> &'static str {
        let named = !self.path.name.is_empty();
        match (self.method.as_str(), named) {
            _ if self.is_watch() => "watch",
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "unknown",
        }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        let namespace = if self.resource.storage_name == "namespaces" {
            self.path.name.clone()
        } else {
            self.path.namespace.clone()
        };
        Attributes {
            verb: self.verb().to_owned(),
            group: self.path.group.clone(),
            resource: self.path.resource.clone(),
            subresource: self.path.subresource.clone(),
            namespace,
            name: self.path.name.clone(),
            path: String::new(),
        }
    }

    fn header(&self, name: http::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn accept(&self) -> &str {
        self.header(http::header::ACCEPT)
    }

    pub(crate) fn content_type(&self) -> &str {
        self.header(http::header::CONTENT_TYPE)
    }

    /// The field manager: as asked, else the first word of the user agent, as Kubernetes does.
    pub(crate) fn manager(&self) -> String {
        let asked = self.query.get("fieldManager").map(str::to_owned);
        let agent = self.header(http::header::USER_AGENT);
        let prefix = agent.split('/').next().unwrap_or_default();
        asked.unwrap_or_else(|| {
            if prefix.is_empty() {
                "unknown".to_owned()
            } else {
                prefix.chars().take(128).collect()
            }
        })
    }

    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        match self.query.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!(
                "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        let cases = [
            ("/api/v1/namespaces", Some(("", "namespaces", "", "", ""))),
            ("/api/v1/namespaces/a", Some(("", "namespaces", "", "a", ""))),
            (
                "/api/v1/namespaces/a/finalize",
                Some(("", "namespaces", "", "a", "finalize")),
            ),
            ("/api/v1/namespaces/a/pods", Some(("", "pods", "a", "", ""))),
            (
                "/api/v1/namespaces/a/pods/p/log",
                Some(("", "pods", "a", "p", "log")),
            ),
            (
                "/apis/apps/v1/deployments",
                Some(("apps", "deployments", "", "", "")),
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments/d%2D1/scale",
                Some(("apps", "deployments", "a", "d-1", "scale")),
            ),
            ("/api/v1", None),
            ("/version", None),
            ("/api/v1/namespaces/a/pods/p/log/more", None),
        ];
        for (text, expected) in cases {
            let found = Path::parse(text);
            let found = found.as_ref().map(|p| {
                (
                    p.group.as_str(),
                    p.resource.as_str(),
                    p.namespace.as_str(),
                    p.name.as_str(),
                    p.subresource.as_str(),
                )
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+%28d%29&watch=true&limit=x&bad=%zz");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.is_true("watch") && !query.is_true("follow"));
        assert!(query.number("limit").is_err());
        assert_eq!(query.get("bad"), Some("%zz"));
        assert_eq!(
            values("command=sh&x=1&command=-c&command=a%26b", "command"),
            ["sh", "-c", "a&b"]
        );
    }
}
