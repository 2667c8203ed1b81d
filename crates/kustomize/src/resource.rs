//! One resource on its way through a build: its tree, and what it was called before.

use crate::error::{Error, Result};
use crate::id::{Gvk, ResId};
use crate::node::{Content, Key, Node, Style};
use crate::schema::Schema;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a generated resource meets one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "replace" => Self::Replace,
            "merge" => Self::Merge,
            _ => Self::Create,
        }
    }
}

/// What a resource was called at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Former {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) kind: String,
}

/// What upstream keeps in annotations while it builds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct History {
    pub(crate) former: Vec<Former>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) needs_hash: bool,
    pub(crate) behavior: Behavior,
    /// A generator made it.
    pub(crate) generated: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Resource {
    pub(crate) node: Node,
    pub(crate) history: History,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    pub(crate) vars: Vec<String>,
    /// The file it comes from, if it comes from one.
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
}

const INTERNAL: &str = "internal.config.kubernetes.io/";

/// Annotations that never leave a build.
const BUILD_ANNOTATIONS: [&str; 18] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
];

fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

impl Resource {
    pub(crate) fn new(node: Node, file: &Arc<str>) -> Self {
        let mut resource = Self {
            line: node.line,
            node,
            file: Arc::clone(file),
            ..Self::default()
        };
        resource.import_history();
        resource
    }

    /// Takes over what an input says about its past, as the output of other tools may.
    fn import_history(&mut self) {
        let Some(annotations) = self.node.at(&["metadata", "annotations"]) else {
            return;
        };
        if !annotations
            .pairs()
            .iter()
            .any(|(key, _)| key.text.starts_with(INTERNAL))
        {
            return;
        }
        let get = |name: &str| {
            annotations
                .get(&format!("{INTERNAL}{name}"))
                .map(|node| node.text().to_owned())
        };
        let mut history = History {
            needs_hash: get("needsHashSuffix").as_deref() == Some("enabled"),
            behavior: Behavior::parse(&get("generatorBehavior").unwrap_or_default()),
            prefixes: get("prefixes").map(|text| comma_list(&text)).unwrap_or_default(),
            suffixes: get("suffixes").map(|text| comma_list(&text)).unwrap_or_default(),
            former: Vec::new(),
            generated: get("generatorBehavior").is_some(),
        };
        if let Some(names) = get("previousNames") {
            let namespaces = comma_list(&get("previousNamespaces").unwrap_or_default());
            let kinds = comma_list(&get("previousKinds").unwrap_or_default());
            for ((name, namespace), kind) in comma_list(&names).into_iter().zip(namespaces).zip(kinds) {
                history.former.push(Former {
                    name,
                    namespace,
                    kind,
                });
            }
        }
        self.history = history;
    }

    fn meta_text(&self, field: &str) -> &str {
        self.node
            .get("metadata")
            .filter(|metadata| !metadata.is_nil_or_empty())
            .and_then(|metadata| metadata.get(field))
            .filter(|value| !value.is_nil_or_empty())
            .map_or("", Node::text)
    }

    pub(crate) fn name(&self) -> &str {
        self.meta_text("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.meta_text("namespace")
    }

    pub(crate) fn kind(&self) -> &str {
        self.node.get("kind").map_or("", Node::text)
    }

    pub(crate) fn api_version(&self) -> &str {
        self.node.get("apiVersion").map_or("", Node::text)
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::new(self.api_version(), self.kind())
    }

    pub(crate) fn is_cluster_scoped(&self, schema: &Schema) -> bool {
        schema.namespaced(self.api_version(), self.kind()) == Some(false)
    }

    /// What it is called now.
    pub(crate) fn id(&self, schema: &Schema) -> ResId {
        ResId {
            gvk: self.gvk(),
            name: self.name().to_owned(),
            namespace: self.namespace().to_owned(),
            cluster: self.is_cluster_scoped(schema),
        }
    }

    /// What it was called, oldest first. Upstream does not ask for these whether the kind is in a namespace.
    pub(crate) fn former_ids(&self) -> impl Iterator<Item = ResId> + '_ {
        self.history.former.iter().map(|former| ResId {
            gvk: Gvk::new(self.api_version(), &former.kind),
            name: former.name.clone(),
            namespace: former.namespace.clone(),
            cluster: false,
        })
    }

    /// What it was called in the beginning.
    pub(crate) fn original_id(&self, schema: &Schema) -> ResId {
        self.former_ids().next().unwrap_or_else(|| self.id(schema))
    }

    /// Remembers what it is called before that changes.
    pub(crate) fn store_id(&mut self, schema: &Schema) {
        let id = self.id(schema);
        self.history.former.push(Former {
            namespace: id.effective_namespace().to_owned(),
            name: id.name,
            kind: id.gvk.kind,
        });
    }

    fn metadata(&mut self) -> Option<&mut Node> {
        self.node.get_or_insert("metadata", Node::map)
    }

    /// Sets a field of the metadata; what shares its place follows.
    fn set_meta(&mut self, field: &str, value: Node) {
        let shared = self.metadata().map_or(0, |metadata| metadata.set(field, value));
        if shared != 0
            && let Some(value) = self.node.at(&["metadata", field]).cloned()
        {
            self.node.spread(shared, &value);
        }
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        self.set_meta("name", Node::scalar(name));
    }

    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            if let Some(metadata) = self.node.get_mut("metadata") {
                metadata.remove("namespace");
            }
            return;
        }
        self.set_meta("namespace", Node::scalar(namespace));
    }

    pub(crate) fn set_kind(&mut self, kind: &str) {
        self.node.set("kind", Node::scalar(kind));
    }

    pub(crate) fn set_api_version(&mut self, api_version: &str) {
        self.node.set("apiVersion", Node::scalar(api_version));
    }

    fn meta_map(&self, field: &str) -> BTreeMap<String, String> {
        let Some(metadata) = self.node.get("metadata").filter(|node| !node.is_nil_or_empty()) else {
            return BTreeMap::new();
        };
        let pairs = metadata.get(field).map_or(&[][..], Node::pairs);
        pairs
            .iter()
            .map(|(key, value)| (key.text.to_string(), value.text().to_owned()))
            .collect()
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.meta_map("labels")
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.meta_map("annotations")
    }

    fn set_meta_map(&mut self, field: &str, map: BTreeMap<String, String>) {
        let Some(metadata) = self.metadata() else { return };
        metadata.remove(field);
        if map.is_empty() {
            return;
        }
        let pairs = map
            .into_iter()
            .map(|(key, value)| (Key::new(&key), string_node(value)))
            .collect();
        if let Content::Map(fields) = &mut metadata.content {
            let node = Node {
                content: Content::Map(pairs),
                ..Node::default()
            };
            fields.push((Key::new(field), node));
        }
    }

    pub(crate) fn set_labels(&mut self, labels: BTreeMap<String, String>) {
        self.set_meta_map("labels", labels);
    }

    pub(crate) fn set_annotations(&mut self, annotations: BTreeMap<String, String>) {
        self.set_meta_map("annotations", annotations);
    }

    /// Makes labels and annotations strings and drops what only the build needs.
    pub(crate) fn finish(&mut self, rewrite: bool) {
        let had_history = self.history != History::default();
        let mut annotations = self.annotations();
        let before = annotations.len();
        annotations.retain(|key, _| !BUILD_ANNOTATIONS.contains(&key.as_str()));
        if rewrite || had_history || before > 0 {
            self.set_annotations(annotations);
        }
    }

    /// Takes labels, annotations, name and history of the resource it replaces or is merged into.
    pub(crate) fn adopt_metadata(&mut self, other: &Self) {
        let mut labels = other.labels();
        labels.extend(self.labels());
        self.set_labels(labels);
        let mut annotations = other.annotations();
        annotations.extend(self.annotations());
        self.set_annotations(annotations);
        self.history = History {
            needs_hash: self.history.needs_hash && other.history.needs_hash,
            ..other.history.clone()
        };
        self.set_name(other.name());
        self.set_namespace(other.namespace());
        self.vars.clone_from(&other.vars);
    }

    /// The entries of `data` or `binaryData`.
    pub(crate) fn data(&self, field: &str) -> BTreeMap<String, String> {
        let pairs = self.node.get(field).map_or(&[][..], Node::pairs);
        pairs
            .iter()
            .map(|(key, value)| {
                let text = if value.is_null() { "" } else { value.text() };
                (key.text.to_string(), text.to_owned())
            })
            .collect()
    }

    /// An error about this resource.
    pub(crate) fn error(&self, error: Error) -> Error {
        self.place(error).about(self.describe())
    }

    /// An error that happened where this resource is written.
    pub(crate) fn place(&self, error: Error) -> Error {
        error.on_line(self.line).in_file(&self.file)
    }

    /// `Deployment staging/shop`.
    pub(crate) fn describe(&self) -> String {
        let (kind, name, namespace) = (self.kind(), self.name(), self.namespace());
        if namespace.is_empty() {
            format!("{kind} {name}")
        } else {
            format!("{kind} {namespace}/{name}")
        }
    }

    /// Checks what every resource must have.
    pub(crate) fn validate(&self) -> Result<()> {
        let kind = self
            .node
            .get("kind")
            .filter(|node| !node.is_nil_or_empty())
            .map_or("", Node::text);
        if kind.is_empty() {
            return Err(Error::new("a resource without `kind`")
                .on_line(self.line)
                .in_file(&self.file));
        }
        if !kind.ends_with("List") && self.name().is_empty() {
            return Err(Error::new(format!("a {kind} without `metadata.name`"))
                .on_line(self.line)
                .in_file(&self.file));
        }
        // Upstream breaks off over such a history, whatever the name is by then.
        if self.history.former.iter().any(|former| former.name.is_empty()) {
            return Err(
                Error::new(format!("a {kind} had no name when it was renamed or moved"))
                    .on_line(self.line)
                    .in_file(&self.file)
                    .hint("a patch that empties `metadata.name` leaves nothing to refer to"),
            );
        }
        Ok(())
    }
}

/// A string; texts of several lines in the literal style.
pub(crate) fn string_node(text: String) -> Node {
    let style = if text.contains('\n') {
        Style::Literal
    } else {
        Style::Plain
    };
    Node {
        style,
        ..Node::string(text)
    }
}
