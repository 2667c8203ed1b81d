//! Numbers. Sums wrap as Go's do.

use super::super::Pure;
use super::super::args::{any, count, fail};
use super::{float_of, int_at, int_of, strval};
use crate::engine::{Result, Value};
use crate::value::{int64, string};

/// No list of numbers is longer than this.
const LIMIT: usize = 1_000_000;

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_atoi", |a| {
        Ok(Value::Int(strval(any("atoi", a, 0)?).parse().unwrap_or(0)))
    }),
    ("sprig_int", |a| Ok(Value::Int(int_of(any("int", a, 0)?)))),
    ("sprig_int64", |a| Ok(int64(int_of(any("int64", a, 0)?)))),
    ("sprig_float64", |a| {
        Ok(Value::Float(float_of(any("float64", a, 0)?)))
    }),
    ("sprig_toDecimal", |a| {
        Ok(int64(
            i64::from_str_radix(&strval(any("toDecimal", a, 0)?), 8).unwrap_or(0),
        ))
    }),
    ("sprig_add1", |a| {
        Ok(int64(int_of(any("add1", a, 0)?).wrapping_add(1)))
    }),
    ("sprig_add", |a| {
        Ok(int64(a.iter().map(int_of).fold(0, i64::wrapping_add)))
    }),
    ("sprig_sub", |a| {
        Ok(int64(
            int_of(any("sub", a, 0)?).wrapping_sub(int_of(any("sub", a, 1)?)),
        ))
    }),
    ("sprig_mul", |a| {
        Ok(int64(a.iter().map(int_of).fold(1, i64::wrapping_mul)))
    }),
    ("sprig_div", |a| divide("div", a, i64::checked_div)),
    ("sprig_mod", |a| divide("mod", a, i64::checked_rem)),
    ("sprig_add1f", |a| {
        Ok(Value::Float(decimal(float_of(any("add1f", a, 0)?) + 1.0)))
    }),
    ("sprig_addf", |a| {
        Ok(Value::Float(decimal(a.iter().map(float_of).sum())))
    }),
    ("sprig_subf", |a| fold("subf", a, |x, y| x - y)),
    ("sprig_mulf", |a| fold("mulf", a, |x, y| x * y)),
    ("sprig_divf", |a| {
        if a.iter().skip(1).any(|value| float_of(value) == 0.0) {
            return fail("divf: division by zero");
        }
        // Quotients have sixteen decimals.
        any("divf", a, 0)?;
        let quotient = a.iter().map(float_of).reduce(quotient);
        Ok(Value::Float(quotient.unwrap_or(0.0) + 0.0))
    }),
    ("sprig_max", |a| {
        Ok(int64(a.iter().map(int_of).max().unwrap_or(0)))
    }),
    ("sprig_biggest", |a| {
        Ok(int64(a.iter().map(int_of).max().unwrap_or(0)))
    }),
    ("sprig_min", |a| {
        Ok(int64(a.iter().map(int_of).min().unwrap_or(0)))
    }),
    ("sprig_maxf", |a| fold("maxf", a, f64::max)),
    ("sprig_minf", |a| fold("minf", a, f64::min)),
    ("sprig_ceil", |a| {
        Ok(Value::Float(float_of(any("ceil", a, 0)?).ceil()))
    }),
    ("sprig_floor", |a| {
        Ok(Value::Float(float_of(any("floor", a, 0)?).floor()))
    }),
    ("sprig_round", |a| {
        count("round", a, 2..=3)?;
        let places = i32::try_from(int_at("round", a, 1)?).unwrap_or(0);
        let limit = a.get(2).map_or(0.5, float_of);
        let power = 10f64.powi(places);
        let digits = power * float_of(any("round", a, 0)?);
        let rounded = if digits.fract() >= limit {
            digits.ceil()
        } else {
            digits.floor()
        };
        Ok(Value::Float(rounded / power))
    }),
    ("sprig_until", |a| {
        let stop = int_at("until", a, 0)?;
        steps(0, stop, if stop < 0 { -1 } else { 1 })
            .map(|all| Value::List(all.into_iter().map(Value::Int).collect()))
    }),
    ("sprig_untilStep", |a| {
        count("untilStep", a, 3..=3)?;
        let all = steps(
            int_at("untilStep", a, 0)?,
            int_at("untilStep", a, 1)?,
            int_at("untilStep", a, 2)?,
        )?;
        Ok(Value::List(all.into_iter().map(Value::Int).collect()))
    }),
    ("sprig_seq", seq),
];

fn divide(name: &str, a: &[Value], with: fn(i64, i64) -> Option<i64>) -> Result<Value> {
    match with(int_of(any(name, a, 0)?), int_of(any(name, a, 1)?)) {
        Some(n) => Ok(int64(n)),
        None => fail(format!("{name}: division by zero")),
    }
}

fn fold(name: &str, a: &[Value], with: fn(f64, f64) -> f64) -> Result<Value> {
    any(name, a, 0)?;
    let folded = a.iter().map(float_of).reduce(with).unwrap_or(0.0);
    Ok(Value::Float(decimal(folded)))
}

/// A quotient of decimals with sixteen places.
fn quotient(x: f64, y: f64) -> f64 {
    // Mantissa and how many of its digits are behind the point.
    let parts = |f: f64| {
        let text = f.abs().to_string();
        let places = text.split_once('.').map_or(0, |(_, places)| places.len());
        Some((
            text.replace('.', "").parse::<i128>().ok()?,
            u32::try_from(places).ok()?,
        ))
    };
    let exact = || {
        let ((n, n_places), (d, d_places)) = (parts(x)?, parts(y)?);
        let n = n.checked_mul(10i128.checked_pow(16 + d_places)?)?;
        let d = d.checked_mul(10i128.checked_pow(n_places)?)?;
        let q = n.checked_add(d / 2)?.checked_div(d)?;
        format!("{q}e-16").parse::<f64>().ok()
    };
    let magnitude = exact().unwrap_or((x / y).abs());
    if (x < 0.0) == (y < 0.0) {
        magnitude
    } else {
        -magnitude
    }
}

/// Sprig computes in decimals; rounding to fifteen digits gives the same for what templates compute.
fn decimal(value: f64) -> f64 {
    format!("{value:.14e}").parse().unwrap_or(value) + 0.0
}

fn steps(start: i64, stop: i64, step: i64) -> Result<Vec<i64>> {
    let mut out = Vec::new();
    let mut at = start;
    let down = stop < start;
    if step == 0 || down == (step > 0) {
        return Ok(out);
    }
    while if down { at > stop } else { at < stop } {
        if out.len() >= LIMIT {
            return fail("until: more than a million steps");
        }
        out.push(at);
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    Ok(out)
}

fn seq(a: &[Value]) -> Result<Value> {
    let numbers: Vec<i64> = a.iter().map(int_of).collect();
    let all = match *numbers.as_slice() {
        [end] => {
            let step = if end < 1 { -1 } else { 1 };
            steps(1, end.saturating_add(step), step)?
        }
        [start, end] => {
            let step = if end < start { -1 } else { 1 };
            steps(start, end.saturating_add(step), step)?
        }
        [start, step, end] if end < start && step > 0 => {
            let _ = (start, step, end);
            Vec::new()
        }
        [start, step, end] => steps(start, end.saturating_add(if end < start { -1 } else { 1 }), step)?,
        _ => Vec::new(),
    };
    Ok(string(
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    ))
}
