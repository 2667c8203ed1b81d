//! Methods of numbers and truth values.

use super::convert::{number, truncate};
use super::interp::Interp;
use super::throw::Throw;
use super::value::Value;

impl Interp {
    pub(super) fn number_method(
        &self,
        of: &Value,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        Ok(Some(match (of, name, args) {
            (Value::Int(count), "times", [Value::Closure(closure)]) => {
                for index in 0..*count {
                    self.call_closure(closure, vec![Value::Int(index)])?;
                }
                Value::Null
            }
            (Value::Int(from), "upto", [Value::Int(to), Value::Closure(closure)]) => {
                for index in *from..=*to {
                    self.call_closure(closure, vec![Value::Int(index)])?;
                }
                Value::Null
            }
            (Value::Int(from), "downto", [Value::Int(to), Value::Closure(closure)]) => {
                for index in (*to..=*from).rev() {
                    self.call_closure(closure, vec![Value::Int(index)])?;
                }
                Value::Null
            }
            (Value::Int(from), "step", [Value::Int(to), Value::Int(by), Value::Closure(closure)])
                if *by != 0 =>
            {
                let mut index = *from;
                while (*by > 0 && index < *to) || (*by < 0 && index > *to) {
                    self.call_closure(closure, vec![Value::Int(index)])?;
                    index = index.saturating_add(*by);
                }
                Value::Null
            }
            (Value::Int(value), "abs", []) => Value::Int(value.wrapping_abs()),
            (Value::Decimal(value), "abs", []) => Value::Decimal(value.abs()),
            (Value::Int(a), "intdiv", [Value::Int(b)]) => match a.checked_div(*b) {
                Some(value) => Value::Int(value),
                None => return Err(Throw::exception("ArithmeticException", "division by zero")),
            },
            (
                Value::Int(_) | Value::Decimal(_),
                "toInteger" | "intValue" | "longValue" | "toLong" | "intValueExact",
                [],
            ) => Value::Int(truncate(number(of))),
            (
                Value::Int(_) | Value::Decimal(_),
                "toDouble" | "doubleValue" | "toBigDecimal" | "floatValue",
                [],
            ) => Value::Decimal(number(of)),
            (Value::Decimal(value), "round", []) => Value::Int(truncate(value.round())),
            (Value::Decimal(value), "round", [Value::Int(places)]) => {
                let scale = 10f64.powi(i32::try_from(*places).unwrap_or(0));
                Value::Decimal((value * scale).round() / scale)
            }
            (Value::Int(_), "plus" | "minus" | "multiply" | "div" | "mod" | "power", [other]) => {
                use crate::syntax::BinaryOp as B;
                let op = match name {
                    "plus" => B::Add,
                    "minus" => B::Subtract,
                    "multiply" => B::Multiply,
                    "div" => B::Divide,
                    "mod" => B::Remainder,
                    _ => B::Power,
                };
                self.binary(op, of.clone(), other.clone())?
            }
            (Value::Bool(a), "and", [other]) => Value::Bool(*a && other.truthy()),
            (Value::Bool(a), "or", [other]) => Value::Bool(*a || other.truthy()),
            (Value::Bool(a), "booleanValue", []) => Value::Bool(*a),
            (_, "max", [other]) => {
                if self.compare(of, other)?.is_lt() {
                    other.clone()
                } else {
                    of.clone()
                }
            }
            _ => return Ok(None),
        }))
    }
}
