//! Go's built-in functions.

use super::value::{Fault, Result, Value};
use super::{escape, print, printf};

/// Their names.
pub(crate) const NAMES: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

type Builtin = fn(&[Value]) -> Result<Value>;

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Fault(message.into()))
}

/// The function, except for `and`, `or` and `call`, which evaluation itself does.
pub(super) fn get(name: &str) -> Option<Builtin> {
    Some(match name {
        "call" => |_| Ok(Value::Nil),
        "eq" => |a| match a {
            [] | [_] => fail("missing argument for comparison"),
            [first, rest @ ..] => equals_any(first, rest).map(Value::Bool),
        },
        "ne" => |a| pair(a, |x, y| Ok(!equals_any(x, std::slice::from_ref(y))?)),
        "lt" => |a| pair(a, less),
        "le" => |a| pair(a, less_or_equal),
        "gt" => |a| pair(a, |x, y| Ok(!less_or_equal(x, y)?)),
        "ge" => |a| pair(a, |x, y| Ok(!less(x, y)?)),
        "not" => |a| one(a, |x| Ok(Value::Bool(!x.is_truthy()))),
        "len" => |a| one(a, length),
        "index" => |a| match a {
            [] | [Value::Nil | Value::Missing, ..] => fail("index of untyped nil"),
            [first, rest @ ..] => rest.iter().try_fold(first.clone(), |item, key| index(&item, key)),
        },
        "slice" => |a| match a {
            [] => fail("slice of untyped nil"),
            [first, rest @ ..] => slice(first, rest),
        },
        "print" => |a| Ok(Value::from_bytes(&print::sprint(a))),
        "println" => |a| Ok(Value::from_bytes(&print::sprintln(a))),
        "printf" => |a| match a {
            [first, rest @ ..] => match first.bytes() {
                Some(format) => Ok(Value::from_bytes(&printf::sprintf(format, rest))),
                None => fail(format!(
                    "wrong type for value; expected string; got {}",
                    first.type_name()
                )),
            },
            [] => fail("no format"),
        },
        "html" => |a| Ok(Value::from_bytes(&escape::html(&print::eval_args(a)))),
        "js" => |a| Ok(Value::from_bytes(&escape::js(&print::eval_args(a)))),
        "urlquery" => |a| Ok(Value::from_bytes(&escape::url(&print::eval_args(a)))),
        _ => return None,
    })
}

/// Go's message for a number of arguments that a function does not take.
pub(super) fn wrong_count(name: &str, given: usize) -> Option<String> {
    let (fixed, variadic) = match name {
        "eq" | "call" | "index" | "slice" | "printf" => (1, true),
        "ne" | "lt" | "le" | "gt" | "ge" => (2, false),
        "not" | "len" => (1, false),
        _ => (0, true),
    };
    match variadic {
        true if given < fixed => Some(format!(
            "wrong number of args for {name}: want at least {fixed} got {given}"
        )),
        false if given != fixed => Some(format!(
            "wrong number of args for {name}: want {fixed} got {given}"
        )),
        _ => None,
    }
}

/// Whether the first argument is of a type that has no nil.
pub(super) fn refuses_nil(name: &str) -> bool {
    name == "printf"
}

fn one(a: &[Value], with: fn(&Value) -> Result<Value>) -> Result<Value> {
    match a {
        [x] => with(x),
        _ => fail("takes one argument"),
    }
}

fn pair(a: &[Value], with: fn(&Value, &Value) -> Result<bool>) -> Result<Value> {
    match a {
        [x, y] => with(x, y).map(Value::Bool),
        _ => fail("takes two arguments"),
    }
}

fn int(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn length(value: &Value) -> Result<Value> {
    match value.base() {
        Value::List(items) => Ok(int(items.len())),
        Value::Map(entries) => Ok(int(entries.len())),
        Value::Object(object) => match object.entries() {
            Some(entries) => Ok(int(entries.len())),
            None => fail(format!("len of type {}", value.type_name())),
        },
        Value::Nil | Value::Missing => fail("len of nil pointer"),
        other => match other.bytes() {
            Some(bytes) => Ok(int(bytes.len())),
            None => fail(format!("len of type {}", value.type_name())),
        },
    }
}

/// What a map has for a key that is not there.
pub(super) fn zero(map: &Value) -> Value {
    match map {
        Value::Typed(typed) => typed.zero.clone().unwrap_or(Value::Nil),
        _ => Value::Nil,
    }
}

fn position(key: &Value, limit: usize) -> Result<usize> {
    let (found, shown) = match key.base() {
        Value::Int(n) => (usize::try_from(*n).ok(), n.to_string()),
        #[expect(clippy::cast_possible_wrap, reason = "Go's conversion wraps as well")]
        Value::Uint(n) => (usize::try_from(*n).ok(), (*n as i64).to_string()),
        Value::Nil | Value::Missing => return fail("cannot index slice/array with nil"),
        _ => return fail(format!("cannot index slice/array with type {}", key.type_name())),
    };
    match found.filter(|n| *n <= limit) {
        Some(n) => Ok(n),
        None => fail(format!("index out of range: {shown}")),
    }
}

fn index(item: &Value, key: &Value) -> Result<Value> {
    let beyond = |at: usize| {
        let message = format!("reflect: slice index out of range: {at}");
        move || Fault(message)
    };
    match item.base() {
        Value::List(items) => {
            let at = position(key, items.len())?;
            items.get(at).cloned().ok_or_else(beyond(at))
        }
        Value::Map(entries) => match key.base() {
            Value::String(name) => Ok(entries.get(name).cloned().unwrap_or_else(|| zero(item))),
            Value::Bytes(_) => Ok(zero(item)),
            Value::Nil | Value::Missing => fail("value is nil; should be of type string"),
            _ => fail(format!("value has type {}; should be string", key.type_name())),
        },
        Value::Object(object) => match object.entries() {
            Some(entries) => match entries.iter().find(|(name, _)| equal(name, key) == Ok(true)) {
                Some((_, value)) => Ok(value.clone()),
                None => fail(format!("{} has no such entry", item.type_name())),
            },
            None => fail(format!("can't index item of type {}", item.type_name())),
        },
        Value::Nil | Value::Missing => fail("index of nil pointer"),
        other => match other.bytes() {
            Some(bytes) => {
                let at = position(key, bytes.len())?;
                let byte = bytes.get(at).copied().ok_or_else(beyond(at))?;
                Ok(Value::Uint(u64::from(byte)).typed("uint8"))
            }
            None => fail(format!("can't index item of type {}", item.type_name())),
        },
    }
}

fn slice(item: &Value, bounds: &[Value]) -> Result<Value> {
    let base = item.base();
    let length = match base {
        Value::Nil | Value::Missing => return fail("slice of untyped nil"),
        _ if bounds.len() > 3 => return fail(format!("too many slice indexes: {}", bounds.len())),
        Value::List(items) => items.len(),
        other => match other.bytes() {
            Some(_) if bounds.len() == 3 => return fail("cannot 3-index slice a string"),
            Some(bytes) => bytes.len(),
            None => return fail(format!("can't slice item of type {}", item.type_name())),
        },
    };
    let mut at = [0, length, length];
    for (slot, bound) in at.iter_mut().zip(bounds) {
        *slot = position(bound, length)?;
    }
    let [from, to, limit] = at;
    if from > to {
        return fail(format!("invalid slice index: {from} > {to}"));
    }
    if to > limit {
        return fail(format!("invalid slice index: {to} > {limit}"));
    }
    let part = match base {
        Value::List(items) => Value::List(items.get(from..to).unwrap_or_default().into()),
        other => Value::from_bytes(other.bytes().and_then(|b| b.get(from..to)).unwrap_or_default()),
    };
    Ok(match item {
        Value::Typed(typed) if typed.name.starts_with("[]") => {
            Value::Typed(std::sync::Arc::new(super::value::Typed {
                name: typed.name.clone(),
                value: part,
                zero: None,
                methods: typed.methods,
            }))
        }
        _ => part,
    })
}

/// What comparisons tell apart.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Basic {
    Bool,
    Complex,
    Int,
    Float,
    String,
    Uint,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value.base() {
        Value::Bool(_) => Basic::Bool,
        Value::Complex(..) => Basic::Complex,
        Value::Int(_) => Basic::Int,
        Value::Uint(_) => Basic::Uint,
        Value::Float(_) => Basic::Float,
        Value::String(_) | Value::Bytes(_) => Basic::String,
        _ => Basic::Other,
    }
}

fn is_nil(value: &Value) -> bool {
    matches!(value.base(), Value::Nil | Value::Missing)
}

fn incompatible<T>(a: &Value, b: &Value) -> Result<T> {
    fail(format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    ))
}

fn equals_any(first: &Value, rest: &[Value]) -> Result<bool> {
    for other in rest {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[expect(clippy::float_cmp, reason = "as Go compares")]
fn equal(a: &Value, b: &Value) -> Result<bool> {
    Ok(match (a.base(), b.base()) {
        (Value::Bool(x), Value::Bool(y)) => x == y,
        (Value::Complex(x, y), Value::Complex(z, w)) => x == z && y == w,
        (Value::Int(x), Value::Int(y)) => x == y,
        (Value::Uint(x), Value::Uint(y)) => x == y,
        (Value::Int(x), Value::Uint(y)) | (Value::Uint(y), Value::Int(x)) => {
            u64::try_from(*x).is_ok_and(|x| x == *y)
        }
        (Value::Float(x), Value::Float(y)) => x == y,
        (x, y) if basic(x) == Basic::String && basic(y) == Basic::String => x.bytes() == y.bytes(),
        (x, y) if basic(x) != basic(y) => {
            // Nothing at all equals nothing else, and is no error.
            let untyped = |v: &Value| matches!(v, Value::Nil | Value::Missing);
            if untyped(a) || untyped(b) {
                return Ok(false);
            }
            return incompatible(a, b);
        }
        (x, y) => {
            let kind = std::mem::discriminant::<Value>;
            if is_nil(x) || is_nil(y) {
                return Ok(is_nil(x) == is_nil(y));
            }
            if kind(x) != kind(y) {
                return fail(format!(
                    "non-comparable types {} and {}",
                    a.type_name(),
                    b.type_name()
                ));
            }
            match (x, y) {
                (Value::Object(x), Value::Object(y)) if y.entries().is_none() => {
                    std::sync::Arc::ptr_eq(x, y) || x.equals(&**y, false)
                }
                _ => return fail(format!("non-comparable type {}", b.type_name())),
            }
        }
    })
}

fn less(a: &Value, b: &Value) -> Result<bool> {
    let bad = || fail("invalid type for comparison");
    if basic(a) == Basic::Other || basic(b) == Basic::Other {
        return bad();
    }
    Ok(match (a.base(), b.base()) {
        (Value::Int(x), Value::Int(y)) => x < y,
        (Value::Uint(x), Value::Uint(y)) => x < y,
        (Value::Int(x), Value::Uint(y)) => u64::try_from(*x).map_or(true, |x| x < *y),
        (Value::Uint(x), Value::Int(y)) => u64::try_from(*y).is_ok_and(|y| *x < y),
        (Value::Float(x), Value::Float(y)) => x < y,
        (x, y) if basic(x) != basic(y) => return incompatible(a, b),
        (x, y) => match (x.bytes(), y.bytes()) {
            (Some(x), Some(y)) => x < y,
            _ => return bad(),
        },
    })
}

fn less_or_equal(a: &Value, b: &Value) -> Result<bool> {
    Ok(less(a, b)? || equal(a, b)?)
}
