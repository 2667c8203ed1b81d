//! `buildMetadata`: where resources come from and what transformed them, as annotations.

use crate::remote::RepoSpec;
use crate::resource::Resource;
use serde_json::{Map, Value, json};

/// The annotation that says where a resource comes from.
pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";
/// The annotation that says what transformed it.
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    pub(crate) path: String,
    pub(crate) repository: String,
    pub(crate) reference: String,
    pub(crate) configured_in: String,
    pub(crate) configured_by: Option<Identifier>,
}

/// What configured it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identifier {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// Joins paths as Go's `filepath.Join`: `..` at the beginning stays.
pub(crate) fn join(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in dir.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Origin {
    /// With a path, or a URL, appended.
    pub(crate) fn append(&self, path: &str) -> Self {
        let mut origin = self.clone();
        match RepoSpec::parse(path) {
            Some(spec) => {
                origin.repository = spec.repository;
                origin.reference = spec.reference;
                origin.path = spec.path;
            }
            None => origin.path = join(&origin.path, path),
        }
        origin
    }

    /// The origin of what the kustomization file makes by itself.
    pub(crate) fn builtin(&self, file: &str, kind: &str) -> Self {
        Self {
            repository: self.repository.clone(),
            reference: self.reference.clone(),
            configured_in: join(&self.path, file),
            configured_by: Some(Identifier {
                api_version: "builtin".to_owned(),
                kind: kind.to_owned(),
                ..Identifier::default()
            }),
            ..Self::default()
        }
    }

    /// The origin of what a configured plugin makes.
    pub(crate) fn of_plugin(resource: &Resource) -> Option<Self> {
        let origin = Self::of(resource)?;
        Some(Self {
            path: String::new(),
            configured_in: origin.path,
            repository: origin.repository,
            reference: origin.reference,
            configured_by: Some(Identifier {
                api_version: resource.api_version().to_owned(),
                kind: resource.kind().to_owned(),
                name: resource.name().to_owned(),
                namespace: resource.namespace().to_owned(),
            }),
        })
    }

    fn json(&self) -> Value {
        let mut map = Map::new();
        for (key, value) in [
            ("path", &self.path),
            ("repo", &self.repository),
            ("ref", &self.reference),
            ("configuredIn", &self.configured_in),
        ] {
            if !value.is_empty() {
                map.insert(key.to_owned(), json!(value));
            }
        }
        if let Some(by) = &self.configured_by {
            let mut inner = Map::new();
            for (key, value) in [
                ("apiVersion", &by.api_version),
                ("kind", &by.kind),
                ("name", &by.name),
                ("namespace", &by.namespace),
            ] {
                if !value.is_empty() {
                    inner.insert(key.to_owned(), json!(value));
                }
            }
            if !inner.is_empty() {
                map.insert("configuredBy".to_owned(), Value::Object(inner));
            }
        }
        Value::Object(map)
    }

    /// In the order of upstream's fields.
    fn yaml(&self) -> String {
        let value = self.json();
        let mut out = String::new();
        for key in ["path", "repo", "ref", "configuredIn", "configuredBy"] {
            if let Some(found) = value.get(key) {
                let mut one = Map::new();
                match found {
                    Value::Object(by) => {
                        out.push_str("configuredBy:\n");
                        for field in ["apiVersion", "kind", "name", "namespace"] {
                            if let Some(text) = by.get(field) {
                                let mut line = Map::new();
                                line.insert(field.to_owned(), text.clone());
                                out.push_str("  ");
                                out.push_str(&herder_object::yaml::print(&Value::Object(line)));
                            }
                        }
                        continue;
                    }
                    other => one.insert(key.to_owned(), other.clone()),
                };
                out.push_str(&herder_object::yaml::print(&Value::Object(one)));
            }
        }
        if out.is_empty() { "{}\n".to_owned() } else { out }
    }

    fn of(resource: &Resource) -> Option<Self> {
        let annotations = resource.annotations();
        let text = annotations.get(ORIGIN)?;
        let (documents, _) = herder_object::yaml::parse(text);
        let root = documents.into_iter().next()?.root;
        let get = |key: &str| {
            root.get(key)
                .and_then(|node| node.text())
                .unwrap_or_default()
                .to_owned()
        };
        let by = root.get("configuredBy").map(|node| {
            let get = |key: &str| {
                node.get(key)
                    .and_then(|node| node.text())
                    .unwrap_or_default()
                    .to_owned()
            };
            Identifier {
                api_version: get("apiVersion"),
                kind: get("kind"),
                name: get("name"),
                namespace: get("namespace"),
            }
        });
        Some(Self {
            path: get("path"),
            repository: get("repo"),
            reference: get("ref"),
            configured_in: get("configuredIn"),
            configured_by: by,
        })
    }

    /// Writes it on a resource.
    pub(crate) fn set(&self, resource: &mut Resource) {
        set(resource, ORIGIN, self.yaml());
    }
}

fn set(resource: &mut Resource, key: &str, value: String) {
    let mut annotations = resource.annotations();
    annotations.insert(key.to_owned(), value);
    resource.set_annotations(annotations);
}

/// Writes the origin of generated resources that have none yet.
pub(crate) fn add_origins(resources: &mut [Resource], origin: Option<&Origin>) {
    let Some(origin) = origin else { return };
    for resource in resources {
        if Origin::of(resource).is_none() {
            origin.set(resource);
        }
    }
}

/// Writes that a transformer was at work.
pub(crate) fn add_transformation(resources: &mut [Resource], origin: &Origin) {
    for resource in resources {
        if Origin::of(resource).is_none() {
            origin.set(resource);
            continue;
        }
        let mut text = resource.annotations().remove(TRANSFORMATIONS).unwrap_or_default();
        for (at, line) in origin.yaml().lines().enumerate() {
            text.push_str(if at == 0 { "- " } else { "  " });
            text.push_str(line);
            text.push('\n');
        }
        set(resource, TRANSFORMATIONS, text);
    }
}

/// Removes an annotation from all resources.
pub(crate) fn remove(resources: &mut [Resource], key: &str) {
    for resource in resources {
        let mut annotations = resource.annotations();
        annotations.remove(key);
        resource.set_annotations(annotations);
    }
}
