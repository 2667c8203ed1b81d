//! Which kinds are served: the built-in table and what CustomResourceDefinitions add.

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a scale subresource finds its numbers, as JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// Desired replicas.
    pub spec: String,
    /// Observed replicas.
    pub status: String,
    /// A label selector in text form; `None` for built-in kinds, whose selector is structured.
    pub selector: Option<String>,
}

/// What a CustomResourceDefinition says about one of its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomVersion {
    /// `openAPIV3Schema`, or null.
    pub schema: Value,
    /// `additionalPrinterColumns`.
    pub columns: Vec<Value>,
    /// The version objects are stored in.
    pub stored_version: String,
}

/// One served kind in one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Kind of its list.
    pub list_kind: String,
    /// Plural, as in URLs.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether it has a status subresource.
    pub status: bool,
    /// Its scale subresource.
    pub scale: Option<ScalePaths>,
    /// Whether metadata.generation is kept.
    pub generation: bool,
    /// Answers a question and is never stored.
    pub answered: bool,
    /// Served in a version other than the stored one; the API converts.
    pub alias: bool,
    /// `deployments.apps`, `pods`: as in error messages.
    pub name: String,
    /// The name its objects are kept under; differs from `name` only for events.k8s.io.
    pub storage_name: String,
    /// What its CustomResourceDefinition says; `None` for built-in kinds.
    pub custom: Option<Arc<CustomVersion>>,
}

impl Resource {
    /// `apps/v1` or `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// All served kinds.
#[derive(Debug, Clone)]
pub struct Catalog {
    resources: Vec<Arc<Resource>>,
    /// By storage name, the version objects are stored in.
    stored: BTreeMap<String, Arc<Resource>>,
}

impl Catalog {
    /// The built-in kinds and those of the given CustomResourceDefinitions.
    #[must_use]
    pub fn new<'a>(definitions: impl Iterator<Item = &'a Value>) -> Self {
        let mut resources: Vec<Arc<Resource>> = super::kinds::built_in().map(Arc::new).collect();
        for definition in definitions {
            resources.extend(custom(definition).into_iter().map(Arc::new));
        }
        let stored = resources
            .iter()
            .filter(|resource| !resource.alias && !resource.answered)
            .map(|resource| (resource.storage_name.clone(), Arc::clone(resource)))
            .collect();
        Self { resources, stored }
    }

    /// Everything served, built-in kinds first.
    #[must_use]
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// By the name objects are kept under, in the stored version: `pods`, `deployments.apps`.
    #[must_use]
    pub fn stored(&self, name: &str) -> Option<&Arc<Resource>> {
        self.stored.get(name)
    }

    /// As in a URL.
    #[must_use]
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .iter()
            .find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// By apiVersion and kind.
    #[must_use]
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.resources
            .iter()
            .find(|r| r.kind == kind && r.api_version() == api_version)
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// The JSON pointer of a simple dotted path (`.spec.replicas`).
pub(crate) fn pointer_of(dotted: &str) -> String {
    dotted.replace('.', "/")
}

fn custom(definition: &Value) -> Vec<Resource> {
    let (group, plural) = (
        text(definition, "/spec/group"),
        text(definition, "/spec/names/plural"),
    );
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let is = |version: &Value, key: &str| version.get(key).and_then(Value::as_bool) == Some(true);
    let stored_version = versions
        .into_iter()
        .flatten()
        .find(|version| is(version, "storage"))
        .map(|version| text(version, "/name"))
        .unwrap_or_default();
    let kind = text(definition, "/spec/names/kind");
    let or = |found: String, otherwise: String| if found.is_empty() { otherwise } else { found };
    let mut served: Vec<Resource> = versions
        .into_iter()
        .flatten()
        .filter(|version| is(version, "served"))
        .map(|version| {
            let name = text(version, "/name");
            let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
            Resource {
                alias: name != stored_version,
                version: name,
                group: group.clone(),
                list_kind: or(text(definition, "/spec/names/listKind"), format!("{kind}List")),
                singular: or(text(definition, "/spec/names/singular"), kind.to_lowercase()),
                kind: kind.clone(),
                plural: plural.clone(),
                short_names: texts(definition, "/spec/names/shortNames"),
                categories: texts(definition, "/spec/names/categories"),
                namespaced: text(definition, "/spec/scope") == "Namespaced",
                status: version.pointer("/subresources/status").is_some(),
                scale: version.pointer("/subresources/scale").map(|scale| ScalePaths {
                    spec: pointer_of(&text(scale, "/specReplicasPath")),
                    status: pointer_of(&text(scale, "/statusReplicasPath")),
                    selector: scale
                        .get("labelSelectorPath")
                        .and_then(Value::as_str)
                        .map(pointer_of),
                }),
                generation: true,
                answered: false,
                name: format!("{plural}.{group}"),
                storage_name: format!("{plural}.{group}"),
                custom: Some(Arc::new(CustomVersion {
                    schema: version
                        .pointer("/schema/openAPIV3Schema")
                        .cloned()
                        .unwrap_or_default(),
                    columns: columns.cloned().unwrap_or_default(),
                    stored_version: stored_version.clone(),
                })),
            }
        })
        .collect();
    served.sort_by_key(|resource| std::cmp::Reverse(version_rank(&resource.version)));
    served
}

/// Kubernetes' order of version names: stable before beta before alpha, higher numbers first.
fn version_rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let major = digits.parse().unwrap_or(0);
    let tail = rest.get(digits.len()..).unwrap_or_default();
    if tail.is_empty() {
        (3, major, 0)
    } else if let Some(minor) = tail.strip_prefix("beta") {
        (2, major, minor.parse().unwrap_or(0))
    } else if let Some(minor) = tail.strip_prefix("alpha") {
        (1, major, minor.parse().unwrap_or(0))
    } else {
        (0, 0, 0)
    }
}
