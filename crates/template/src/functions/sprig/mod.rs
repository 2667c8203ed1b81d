//! Sprig's functions under the prefix `sprig_`: those that give the same result for the same input.
//!
//! Values are immutable here, so that `set` and `unset` return the changed map; for a variable the engine assigns it.

mod cases;
mod codes;
mod dates;
mod dicts;
mod lists;
mod numbers;
mod random;
mod semver;
mod text;

use super::args::{any, fail};
use super::{Pure, Round};
use crate::engine::print::display;
use crate::engine::{FuncMap, Result, Value};
use std::sync::Arc;

pub(super) use cases::{lower, upper, upper_char};
pub(super) use dicts::merge_into;

pub(super) const TABLES: &[&[(&str, Pure)]] = &[
    cases::FUNCTIONS,
    codes::FUNCTIONS,
    semver::FUNCTIONS,
    text::FUNCTIONS,
    lists::FUNCTIONS,
    dicts::FUNCTIONS,
    numbers::FUNCTIONS,
];

/// A function that asks the round for the time or for randomness.
type OfRound = fn(&Round, &[Value]) -> Result<Value>;

pub(super) const OF_ROUND: &[&[(&str, OfRound)]] = &[dates::FUNCTIONS, random::FUNCTIONS];

/// Adds the functions that ask the round to the engine's table. They see the types of their arguments.
pub(super) fn register(map: &mut FuncMap, round: &Arc<Round>) {
    for (name, function) in OF_ROUND.iter().copied().flatten() {
        let round = Arc::clone(round);
        map.insert(
            (*name).to_owned(),
            Arc::new(move |args: &[Value]| function(&round, args)),
        );
    }
}

/// Functions that ask for the types of their arguments.
pub(super) const BY_TYPE: &[&str] = &[
    "sprig_typeOf",
    "sprig_typeIs",
    "sprig_typeIsLike",
    "sprig_kindOf",
    "sprig_kindIs",
    "sprig_deepEqual",
];

/// Functions that change the map in their first argument.
pub(crate) fn in_place(name: &str) -> bool {
    matches!(
        name,
        "sprig_set"
            | "sprig_unset"
            | "sprig_merge"
            | "sprig_mustMerge"
            | "sprig_mergeOverwrite"
            | "sprig_mustMergeOverwrite"
    )
}

/// Sprig's functions that are refused, with what they read from.
pub(super) const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "keys of its own, so that each rendering would differ: use Vault's pki and transit",
        &[
            "sprig_bcrypt",
            "sprig_htpasswd",
            "sprig_genPrivateKey",
            "sprig_derivePassword",
            "sprig_buildCustomCert",
            "sprig_genCA",
            "sprig_genCAWithKey",
            "sprig_genSelfSignedCert",
            "sprig_genSelfSignedCertWithKey",
            "sprig_genSignedCert",
            "sprig_genSignedCertWithKey",
            "sprig_encryptAES",
            "sprig_decryptAES",
        ],
    ),
    ("the environment: use `env`", &["sprig_env", "sprig_expandenv"]),
    (
        "the machine's network: give the address in a variable",
        &["sprig_getHostByName"],
    ),
];

/// Sprig's idea of empty is the engine's idea of false.
fn empty(value: &Value) -> bool {
    !value.is_truthy()
}

/// Sprig's `strval`.
fn strval(value: &Value) -> String {
    display(value)
}

/// A string argument in the loose sense of sprig's helpers, but nil is an error.
fn text_of(name: &str, args: &[Value], i: usize) -> Result<String> {
    match any(name, args, i)? {
        Value::Nil => fail(format!("{name}: argument {} is nil", i + 1)),
        value => Ok(strval(value)),
    }
}

/// `cast.ToInt64`: what is no number is zero.
fn int_of(value: &Value) -> i64 {
    match value.base() {
        Value::Int(n) => *n,
        Value::Uint(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "truncation is what Go's conversion does"
        )]
        Value::Float(f) => *f as i64,
        Value::Bool(b) => i64::from(*b),
        Value::String(s) => crate::engine::parse_int(s).unwrap_or(0),
        _ => 0,
    }
}

/// `cast.ToFloat64`: what is no number is zero.
fn float_of(value: &Value) -> f64 {
    match value {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::String(s) => crate::engine::parse_float(s).unwrap_or(0.0),
        other => other.as_float().unwrap_or(0.0),
    }
}

/// An integer argument.
fn int_at(name: &str, args: &[Value], i: usize) -> Result<i64> {
    super::args::int(name, args, i)
}
