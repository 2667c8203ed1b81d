//! What Kubernetes' own types look like: fields, shapes, and how lists and maps merge. Facts only, no rules.
//!
//! `table.txt` has one line per served kind (`kind apps/v1 Deployment TYPE`) and one per type: its name and fields as
//! `name[!][/N]:SHAPE[MERGE]`. `!` means required, `N` is the field's number in protobuf (`N.M` below an embedded
//! message that JSON flattens). Shapes: `s` text, `i` `l` integers of 32 and 64 bits, `f` float, `b`
//! bool, `q` quantity, `t` `m` times, `o` int or string, `y` base64, `x` anything, `@T` type, `[S` list, `{S` map.
//! Merge: `*KEY` strategic merge by that key (without a key: of scalars), `+K1,K2` server-side apply's list keys, `=` a
//! set, `~` retain keys, `#` an atomic map. Made from the Kubernetes 1.33 definitions.

mod parse;

use std::collections::HashMap;
use std::sync::OnceLock;

/// The shape of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A number.
    Float,
    /// A boolean.
    Bool,
    /// A quantity: string or number.
    Quantity,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    /// An integer or a string.
    IntOrString,
    /// Base64 text.
    Bytes,
    /// Anything.
    Any,
    /// A named type; see [`named`].
    Type(&'static str),
    /// A list.
    List(Box<Shape>),
    /// A map from text.
    Map(Box<Shape>),
}

/// How server-side apply treats a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// As one value.
    Atomic,
    /// As a set of scalars.
    Set,
    /// As a map by these fields of its items.
    Map(Vec<&'static str>),
}

/// A field of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its JSON name.
    pub name: &'static str,
    /// Whether it is required.
    pub required: bool,
    /// Its number in protobuf; `2.6` is field 6 of the embedded message 2.
    pub number: Option<&'static str>,
    /// Its shape.
    pub shape: Shape,
    /// Strategic merge patch merges this list instead of replacing it: by this key, or as scalars if empty.
    pub patch_key: Option<&'static str>,
    /// Strategic merge patch drops keys that the patch does not name in `$retainKeys`.
    pub retain_keys: bool,
    /// How server-side apply treats it, if it is a list.
    pub list: ListType,
    /// Server-side apply treats it, if it is a map, as one value.
    pub atomic: bool,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Such as `api.core.v1.Container`.
    pub name: &'static str,
    /// Its fields, by name.
    pub fields: Vec<Field>,
    /// Server-side apply treats it as one value.
    pub atomic: bool,
}

impl Type {
    /// A field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[derive(Default)]
struct Table {
    types: HashMap<&'static str, Type>,
    kinds: HashMap<&'static str, HashMap<&'static str, &'static str>>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse::table(include_str!("table.txt")))
}

/// The type of a built-in kind.
#[must_use]
pub fn of(api_version: &str, kind: &str) -> Option<&'static Type> {
    let table = table();
    let name = table.kinds.get(api_version)?.get(kind)?;
    table.types.get(name)
}

/// A type by its name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Type> {
    table().types.get(name)
}

/// All built-in kinds: apiVersion, kind, type.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static Type)> {
    let table = table();
    table.kinds.iter().flat_map(move |(version, kinds)| {
        let typed = kinds
            .iter()
            .filter_map(|(kind, name)| Some((*kind, table.types.get(name)?)));
        typed.map(|(kind, of)| (*version, kind, of))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let lines = include_str!("table.txt")
            .lines()
            .filter(|line| !line.is_empty())
            .count();
        assert_eq!(table().types.len() + kinds().count(), lines);
        for kind in table().types.values() {
            for field in &kind.fields {
                let mut shape = &field.shape;
                while let Shape::List(inner) | Shape::Map(inner) = shape {
                    shape = inner;
                }
                if let Shape::Type(name) = shape {
                    assert!(named(name).is_some(), "{name} in {}", kind.name);
                }
            }
        }
    }

    #[test]
    fn ports_merge_by_one_key_and_apply_by_two() {
        let ports = named("api.core.v1.Container").unwrap().field("ports").unwrap();
        assert_eq!(ports.patch_key, Some("containerPort"));
        assert_eq!(ports.list, ListType::Map(vec!["containerPort", "protocol"]));
        assert!(of("apps/v1", "Deployment").is_some());
    }
}
