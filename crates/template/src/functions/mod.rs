//! The functions a template can call: names, and the table the engine gets for one round.

mod args;
mod data;
mod encode;
mod hash;
mod math;
mod regex;
mod response;
mod scratch;
mod sources;
mod spew;
mod sprig;
mod stream;
mod text;
mod times;
mod toml;
mod yaml_read;
mod yaml_write;

pub(crate) use sources::Round;
pub(crate) use sprig::in_place;

use crate::engine::{FuncMap, Value};
use crate::error::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// A function that depends on nothing but its arguments.
pub(crate) type Pure = fn(&[Value]) -> crate::engine::Result<Value>;

/// Functions that are part of consul-template and read from elsewhere.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "Consul: keep the value in Vault or in git",
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
        "Nomad: keep the value in Vault or in git",
        &[
            "nomadServices",
            "nomadService",
            "nomadVarList",
            "nomadVarListSafe",
            "nomadVar",
            "nomadVarExists",
        ],
    ),
    (
        "programs of the machine, which would see values as arguments",
        &["plugin"],
    ),
    (
        "nowhere and prints values to the log",
        &["spew_dump", "spew_printf"],
    ),
    (
        "the machine's network: give the address in a variable and read it with `env`",
        &["sockaddr"],
    ),
];

static PURE: LazyLock<BTreeMap<&'static str, Pure>> = LazyLock::new(|| {
    [
        text::FUNCTIONS,
        data::FUNCTIONS,
        encode::FUNCTIONS,
        hash::FUNCTIONS,
        math::FUNCTIONS,
        spew::FUNCTIONS,
        toml::FUNCTIONS,
    ]
    .iter()
    .chain(sprig::TABLES)
    .flat_map(|table| table.iter().copied())
    .collect()
});

static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    crate::engine::BUILTIN
        .iter()
        .copied()
        .chain(sources::NAMES.iter().copied())
        .chain(
            sprig::OF_ROUND
                .iter()
                .flat_map(|table| table.iter().map(|(name, _)| *name)),
        )
        .chain(PURE.keys().copied())
        .collect()
});

/// Why a template may not call `name`, if it may not.
pub(crate) fn check(name: &str, denied: &[String]) -> Option<ErrorKind> {
    if denied.iter().any(|pattern| glob(pattern, name)) {
        return Some(ErrorKind::DeniedFunction(name.to_owned()));
    }
    if let Some(product) = unsupported(name) {
        return Some(ErrorKind::Unsupported(name.to_owned(), product));
    }
    if NAMES.contains(name) {
        return None;
    }
    Some(ErrorKind::UnknownFunction {
        name: name.to_owned(),
        suggestion: herder_base::suggest(name, NAMES.iter().copied()).map(str::to_owned),
    })
}

/// `*` matches any run of characters.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(i, _)| i)
                .chain([rest.len()])
                .any(|i| rest.get(i..).is_some_and(|tail| glob(after, tail)))
        }),
    }
}

/// The product a function reads from, if it is one that this engine refuses.
fn unsupported(name: &str) -> Option<&'static str> {
    ELSEWHERE
        .iter()
        .chain(sprig::ELSEWHERE)
        .find(|(_, names)| names.contains(&name))
        .map(|(product, _)| *product)
}

/// All functions, and for those that are refused what they are about.
#[must_use]
pub fn functions() -> Vec<(&'static str, Option<&'static str>)> {
    let refused = ELSEWHERE.iter().chain(sprig::ELSEWHERE);
    let mut all: Vec<_> = NAMES
        .iter()
        .map(|name| (*name, None))
        .chain(refused.flat_map(|(product, names)| names.iter().map(|name| (*name, Some(*product)))))
        .collect();
    all.sort_unstable();
    all
}

/// The engine's table for one round.
pub(crate) fn table(round: &Arc<Round>) -> FuncMap {
    let mut map = FuncMap::new();
    for (name, function) in PURE.iter() {
        let function = *function;
        let typed = sprig::BY_TYPE.contains(name) || name.starts_with("spew_");
        map.insert(
            (*name).to_owned(),
            Arc::new(move |args: &[Value]| {
                if typed || !args.iter().any(|arg| matches!(arg, Value::Typed(_))) {
                    return function(args);
                }
                // A type with a text of its own shows in what is printed.
                let plain = |arg: &Value| match arg.methods() {
                    None => arg.base().clone(),
                    Some(_) => arg.clone(),
                };
                function(&args.iter().map(plain).collect::<Vec<_>>())
            }),
        );
    }
    sources::register(&mut map, round);
    sprig::register(&mut map, round);
    map
}
