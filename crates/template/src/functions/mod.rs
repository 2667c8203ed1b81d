//! The functions a template can call: names, and the table the engine gets for one round.

mod args;
mod data;
mod encode;
mod hash;
mod math;
mod sources;
mod sprig;
mod text;
mod text_time;
mod yaml;

pub(crate) use sources::Round;

use gotmpl::{FuncMap, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// A function that depends on nothing but its arguments.
pub(crate) type Pure = fn(&[Value]) -> gotmpl::Result<Value>;

/// The engine's own functions.
const BUILTIN: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// Functions that are part of consul-template and read from elsewhere.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "Consul",
        &[
            "datacenters",
            "exportedServices",
            "importedServices",
            "key",
            "keyExists",
            "keyOrDefault",
            "ls",
            "safeLs",
            "node",
            "nodes",
            "partitions",
            "peerings",
            "service",
            "connect",
            "services",
            "tree",
            "safeTree",
            "caRoots",
            "caLeaf",
            "byKey",
            "byPort",
            "byTag",
            "byMeta",
            "explode",
        ],
    ),
    (
        "Nomad",
        &[
            "nomadServices",
            "nomadService",
            "nomadVarList",
            "nomadVarListSafe",
            "nomadVar",
            "nomadVarExists",
        ],
    ),
    ("programs of the machine", &["plugin"]),
    ("the machine's network", &["sockaddr"]),
];

static PURE: LazyLock<BTreeMap<&'static str, Pure>> = LazyLock::new(|| {
    [
        text::FUNCTIONS,
        data::FUNCTIONS,
        encode::FUNCTIONS,
        hash::FUNCTIONS,
        math::FUNCTIONS,
    ]
    .iter()
    .chain(sprig::TABLES)
    .flat_map(|table| table.iter().copied())
    .collect()
});

static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    BUILTIN
        .iter()
        .copied()
        .chain(sources::NAMES.iter().copied())
        .chain(PURE.keys().copied())
        .collect()
});

/// Whether a template may call `name`.
pub(crate) fn exists(name: &str) -> bool {
    NAMES.contains(name)
}

/// All names, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

/// The product a function reads from, if it is one that this engine refuses.
pub(crate) fn unsupported(name: &str) -> Option<&'static str> {
    ELSEWHERE
        .iter()
        .chain(sprig::ELSEWHERE)
        .find(|(_, names)| names.contains(&name))
        .map(|(product, _)| *product)
}

/// The engine's table for one round.
pub(crate) fn table(round: &Arc<Round>) -> FuncMap {
    let mut map = FuncMap::new();
    for (name, function) in PURE.iter() {
        let function = *function;
        map.insert((*name).to_owned(), Arc::new(move |args: &[Value]| function(args)));
    }
    sources::register(&mut map, round);
    map
}
