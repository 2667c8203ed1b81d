//! What upstream's strategic merge knows of Kubernetes' own kinds: which lists merge by which keys, and which kinds live
//! in a namespace. Facts of OpenAPI 1.21.2, which kustomize v5.5 embeds; newer facts would print something else, so the
//! API server's schema is not used here. Merging itself is elsewhere.

mod scopes;

use std::collections::HashMap;
use std::sync::OnceLock;

/// A type of a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TypeId(usize);

/// A field that is merged itself or leads to one that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// For a list that merges: the names of the fields that tell its elements apart; empty if the elements are
    /// plain values. `None` for everything else.
    pub(crate) keys: Option<Vec<String>>,
    /// The type of the value, or of the list's elements, if anything below is merged.
    pub(crate) below: Option<TypeId>,
}

/// The fields of one type that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Type {
    /// By name.
    pub(crate) fields: HashMap<String, Field>,
    /// What every other field is, for types that are maps.
    pub(crate) others: Option<Box<Field>>,
}

/// The types of a set of kinds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    types: Vec<Type>,
    kinds: HashMap<String, HashMap<String, TypeId>>,
    scopes: HashMap<(String, String), bool>,
    names: HashMap<String, TypeId>,
}

impl Schema {
    /// That of Kubernetes' own kinds.
    pub(crate) fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Schema> = OnceLock::new();
        BUILTIN.get_or_init(|| read(include_str!("lists.txt")))
    }

    /// Adds an empty type, to be filled in later: types may refer to each other.
    pub(crate) fn add(&mut self) -> TypeId {
        self.types.push(Type::default());
        TypeId(self.types.len() - 1)
    }

    /// The content of a type.
    pub(crate) fn get_mut(&mut self, id: TypeId) -> Option<&mut Type> {
        self.types.get_mut(id.0)
    }

    /// Says which type a kind has.
    pub(crate) fn set_kind(&mut self, api_version: &str, kind: &str, id: TypeId) {
        let versions = self.kinds.entry(kind.to_owned()).or_default();
        versions.insert(api_version.to_owned(), id);
    }

    /// Says whether a kind lives in a namespace.
    pub(crate) fn set_namespaced(&mut self, api_version: &str, kind: &str, namespaced: bool) {
        let key = (api_version.to_owned(), kind.to_owned());
        self.scopes.insert(key, namespaced);
    }

    /// A type by the name of its definition, as in `io.k8s.api.core.v1.PodSpec`.
    pub(crate) fn named(&self, name: &str) -> Option<TypeId> {
        let short = [
            "api.",
            "apimachinery.pkg.apis.",
            "kube-aggregator.pkg.apis.",
            "apiextensions-apiserver.pkg.apis.",
        ]
        .iter()
        .find_map(|prefix| name.strip_prefix("io.k8s.")?.strip_prefix(prefix));
        self.names.get(short.unwrap_or(name)).copied()
    }

    /// The type of a kind, if it is known and anything in it is merged.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<TypeId> {
        self.kinds.get(kind)?.get(api_version).copied()
    }

    /// A field of a type.
    pub(crate) fn field(&self, id: TypeId, name: &str) -> Option<&Field> {
        let found = self.types.get(id.0)?;
        found.fields.get(name).or(found.others.as_deref())
    }

    /// Whether a kind lives in a namespace; `None` if nobody said.
    pub(crate) fn namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        namespaced(api_version, kind).or_else(|| {
            if self.scopes.is_empty() {
                return None;
            }
            let key = (api_version.to_owned(), kind.to_owned());
            self.scopes.get(&key).copied()
        })
    }
}

/// Whether a built-in kind lives in a namespace; `None` for kinds that are not in the table.
fn namespaced(api_version: &str, kind: &str) -> Option<bool> {
    let at = scopes::SCOPES
        .binary_search_by(|(version, name, _)| (*version, *name).cmp(&(api_version, kind)))
        .ok()?;
    scopes::SCOPES.get(at).map(|(_, _, namespaced)| *namespaced)
}

fn read(text: &str) -> Schema {
    let mut schema = Schema::default();
    let mut names: HashMap<String, TypeId> = HashMap::new();
    let mut named = |schema: &mut Schema, name: &str| match name {
        "-" => None,
        name => Some(*names.entry(name.to_owned()).or_insert_with(|| schema.add())),
    };
    let mut current = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let field = match words.as_slice() {
            ["type", name] => {
                current = named(&mut schema, name);
                continue;
            }
            ["is", api_version, kind] => {
                if let Some(id) = current {
                    schema.set_kind(api_version, kind, id);
                }
                continue;
            }
            ["map", field, below] => (field, None, named(&mut schema, below)),
            ["list", field, "-", below] => (field, Some(Vec::new()), named(&mut schema, below)),
            ["list", field, keys, below] => {
                let keys = keys.split(',').map(str::to_owned).collect();
                (field, Some(keys), named(&mut schema, below))
            }
            _ => continue,
        };
        let (name, keys, below) = field;
        if let Some(found) = current.and_then(|id| schema.get_mut(id)) {
            found.fields.insert((*name).to_owned(), Field { keys, below });
        }
    }
    schema.names = names;
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_lists_and_scopes() {
        assert!(
            scopes::SCOPES
                .windows(2)
                .all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1))
        );
        assert_eq!(namespaced("apps/v1", "Deployment"), Some(true));
        assert_eq!(namespaced("v1", "Node"), Some(false));
        assert_eq!(namespaced("example.com/v1", "Thing"), None);
        let schema = Schema::builtin();
        let template = ["spec", "template", "spec"]
            .iter()
            .try_fold(schema.kind("apps/v1", "Deployment").unwrap(), |id, name| {
                schema.field(id, name)?.below
            });
        let volumes = schema.field(template.unwrap(), "volumes").unwrap();
        assert_eq!(volumes.keys.as_deref(), Some(&["name".to_owned()][..]));
        assert_eq!(schema.kind("apps/v1beta1", "Deployment"), None);
    }
}
