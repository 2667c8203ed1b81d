//! Reads `table.txt`. Lines it cannot read are skipped; a test counts them.

use super::{Field, ListType, Shape, Table, Type};

/// Types that server-side apply treats as one value.
const ATOMIC: &[&str] = &[
    "apis.meta.v1.LabelSelector",
    "apis.meta.v1.OwnerReference",
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.TypedLocalObjectReference",
    "api.core.v1.ObjectReference",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.SecretReference",
    "api.core.v1.TopologySelectorTerm",
    "api.core.v1.ScopeSelector",
    "api.core.v1.EndpointAddress",
    "api.core.v1.EndpointPort",
    "api.core.v1.FileKeySelector",
    "api.discovery.v1.EndpointPort",
    "api.networking.v1.IngressClassParametersReference",
    "api.rbac.v1.RoleRef",
    "api.rbac.v1.Subject",
];

pub(super) fn table(text: &'static str) -> Table {
    let mut table = Table::default();
    for line in text.lines() {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some("kind") => {
                if let (Some(version), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) {
                    table.kinds.entry(version).or_default().insert(kind, name);
                }
            }
            Some(name) => {
                let fields = words.filter_map(field).collect();
                let atomic = ATOMIC.contains(&name);
                table.types.insert(name, Type { name, fields, atomic });
            }
            None => {}
        }
    }
    table
}

fn field(word: &'static str) -> Option<Field> {
    let (name, rest) = word.split_once(':')?;
    let (name, number) = match name.split_once('/') {
        Some((name, number)) => (name, Some(number)),
        None => (name, None),
    };
    let (name, required) = match name.strip_suffix('!') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let end = rest.find(['*', '+', '=', '~', '#']).unwrap_or(rest.len());
    let (shape, mut marks) = rest.split_at_checked(end)?;
    let mut field = Field {
        name,
        required,
        number,
        shape: self::shape(shape)?,
        patch_key: None,
        retain_keys: false,
        list: ListType::Atomic,
        atomic: false,
    };
    while let Some(mark) = marks.chars().next() {
        let after = marks.get(1..)?;
        let end = after.find(['*', '+', '=', '~', '#']).unwrap_or(after.len());
        let (argument, tail) = after.split_at_checked(end)?;
        match mark {
            '*' => field.patch_key = Some(argument),
            '+' => field.list = ListType::Map(argument.split(',').collect()),
            '=' => field.list = ListType::Set,
            '~' => field.retain_keys = true,
            _ => field.atomic = true,
        }
        marks = tail;
    }
    Some(field)
}

fn shape(text: &'static str) -> Option<Shape> {
    let rest = text.get(1..)?;
    Some(match text.chars().next()? {
        's' => Shape::Text,
        'i' => Shape::Int32,
        'l' => Shape::Int64,
        'f' => Shape::Float,
        'b' => Shape::Bool,
        'q' => Shape::Quantity,
        't' => Shape::Time,
        'm' => Shape::MicroTime,
        'o' => Shape::IntOrString,
        'y' => Shape::Bytes,
        'x' => Shape::Any,
        '@' => Shape::Type(rest),
        '[' => Shape::List(Box::new(shape(rest)?)),
        '{' => Shape::Map(Box::new(shape(rest)?)),
        _ => return None,
    })
}
