//! Arithmetic, in consul-template's argument order: `subtract 2 5` is 3.

use super::Pure;
use super::args::{any, count, fail};
use crate::engine::{Result, Value};
use crate::value::int64;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("add", |a| binary("add", a, i64::checked_add, |x, y| x + y)),
    ("subtract", |a| {
        binary("subtract", a, i64::checked_sub, |x, y| x - y)
    }),
    ("multiply", |a| {
        binary("multiply", a, i64::checked_mul, |x, y| x * y)
    }),
    ("divide", |a| binary("divide", a, i64::checked_div, |x, y| x / y)),
    ("modulo", |a| binary("modulo", a, i64::checked_rem, |x, y| x % y)),
    ("minimum", |a| {
        binary("minimum", a, |x, y| Some(x.min(y)), f64::min)
    }),
    ("maximum", |a| {
        binary("maximum", a, |x, y| Some(x.max(y)), f64::max)
    }),
];

fn binary(
    name: &str,
    args: &[Value],
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Value> {
    count(name, args, 2..=2)?;
    let (second, first) = (any(name, args, 0)?, any(name, args, 1)?);
    let int = |v: &Value| match v {
        Value::Int(n) => Some(*n),
        Value::Uint(n) => i64::try_from(*n).ok(),
        _ => None,
    };
    if let (Some(x), Some(y)) = (int(first), int(second)) {
        return match whole(x, y) {
            Some(n) => Ok(int64(n)),
            None if y == 0 => fail(format!("{name}: division by zero")),
            None => fail(format!("{name}: the result does not fit 64 bits")),
        };
    }
    match (first, second) {
        (
            Value::Int(_) | Value::Uint(_) | Value::Float(_),
            Value::Int(_) | Value::Uint(_) | Value::Float(_),
        ) => {
            let (x, y) = (
                first.as_float().unwrap_or(f64::NAN),
                second.as_float().unwrap_or(f64::NAN),
            );
            Ok(Value::Float(real(x, y)))
        }
        _ => fail(format!(
            "{name}: takes numbers, got {} and {}",
            first.type_name(),
            second.type_name()
        )),
    }
}
