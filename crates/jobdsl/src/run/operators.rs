//! Operators and elements.

use super::convert::{number, truncate};
use super::interp::Interp;
use super::throw::Throw;
use super::value::{Key, Matcher, Value};
use crate::syntax::BinaryOp;
use crate::xml::Node;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;

impl Interp {
    pub(super) fn binary(&self, op: BinaryOp, left: Value, right: Value) -> Result<Value, Throw> {
        use BinaryOp as B;
        match op {
            B::Equal => self.equal(&left, &right).map(Value::Bool),
            B::NotEqual => self.equal(&left, &right).map(|same| Value::Bool(!same)),
            B::Same => Ok(Value::Bool(same(&left, &right))),
            B::NotSame => Ok(Value::Bool(!same(&left, &right))),
            B::Less => self.ordered(&left, &right, Ordering::is_lt),
            B::LessEqual => self.ordered(&left, &right, Ordering::is_le),
            B::Greater => self.ordered(&left, &right, Ordering::is_gt),
            B::GreaterEqual => self.ordered(&left, &right, Ordering::is_ge),
            B::Compare => self.compare(&left, &right).map(|order| Value::Int(order as i64)),
            B::Find => {
                let Value::Pattern(pattern) = self.pattern(&right)? else {
                    return Ok(Value::Null);
                };
                Ok(Value::Matcher(Rc::new(Matcher {
                    pattern,
                    text: self.show(&left)?.into(),
                    place: Cell::new(0),
                    groups: RefCell::new(None),
                })))
            }
            B::Match => {
                let Value::Pattern(pattern) = self.pattern(&right)? else {
                    return Ok(Value::Null);
                };
                Ok(Value::Bool(super::texts::matches_whole(
                    &pattern,
                    &self.show(&left)?,
                )))
            }
            B::Add => self.add(left, right),
            B::ShiftLeft => self.shift_left(left, right),
            B::Subtract => match (&left, &right) {
                (Value::List(items), _) => {
                    let gone = match &right {
                        Value::List(other) => other.borrow().clone(),
                        other => vec![other.clone()],
                    };
                    let mut out = Vec::new();
                    for item in items.borrow().clone() {
                        if !self.contains(&gone, &item)? {
                            out.push(item);
                        }
                    }
                    Ok(Value::list(out))
                }
                (Value::Map(map), Value::Map(other)) => {
                    let out = Value::map([]);
                    if let Value::Map(inner) = &out {
                        for (key, value) in map.pairs() {
                            if other.get(&key).is_none() {
                                inner.put(key, value);
                            }
                        }
                    }
                    Ok(out)
                }
                (Value::Text(text), _) => {
                    let gone = self.show(&right)?;
                    Ok(Value::text(text.replacen(&gone, "", 1)))
                }
                _ => self.arithmetic(op, &left, &right),
            },
            B::Multiply => match (&left, &right) {
                (Value::Text(text), Value::Int(count)) => {
                    let count = usize::try_from(*count).unwrap_or_default();
                    self.spend(text.len().saturating_mul(count))?;
                    Ok(Value::text(text.repeat(count)))
                }
                (Value::List(items), Value::Int(count)) => {
                    let count = usize::try_from(*count).unwrap_or_default();
                    let items = items.borrow().clone();
                    self.spend(items.len().saturating_mul(count).saturating_mul(16))?;
                    Ok(Value::list(
                        items.iter().cycle().take(items.len() * count).cloned().collect(),
                    ))
                }
                _ => self.arithmetic(op, &left, &right),
            },
            B::Divide => match &left {
                Value::Node(node) => self.node_division(node, &right),
                Value::Foreign(_) => self.call_method(&left, &"div".into(), vec![right]),
                _ => self.arithmetic(op, &left, &right),
            },
            B::ShiftRight => match (&left, &right) {
                (Value::Closure(a), Value::Closure(b)) => Ok(self.chained(a, b)),
                _ => self.arithmetic(op, &left, &right),
            },
            B::BitAnd => match (&left, &right) {
                (Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(a & b)),
                _ => self.arithmetic(op, &left, &right),
            },
            B::BitOr => match (&left, &right) {
                (Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(a | b)),
                _ => self.arithmetic(op, &left, &right),
            },
            B::BitXor => match (&left, &right) {
                (Value::Bool(a), Value::Bool(b)) => Ok(Value::Bool(a ^ b)),
                _ => self.arithmetic(op, &left, &right),
            },
            B::Remainder | B::Power => self.arithmetic(op, &left, &right),
        }
    }

    fn ordered(&self, left: &Value, right: &Value, fits: impl Fn(Ordering) -> bool) -> Result<Value, Throw> {
        self.compare(left, right).map(|order| Value::Bool(fits(order)))
    }

    fn add(&self, left: Value, right: Value) -> Result<Value, Throw> {
        match (&left, &right) {
            (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => {
                self.arithmetic(BinaryOp::Add, &left, &right)
            }
            (Value::List(items), other) => {
                let mut out = items.borrow().clone();
                match other {
                    Value::List(more) => out.extend(more.borrow().iter().cloned()),
                    other => out.push(other.clone()),
                }
                self.spend(out.len() * 16)?;
                Ok(Value::list(out))
            }
            (Value::Map(a), Value::Map(b)) => {
                let mut entries = a.entries.borrow().clone();
                entries.extend(b.pairs());
                self.spend(entries.len() * 32)?;
                Ok(Value::map(entries))
            }
            (Value::Object(_), _) => match self.try_method(&left, "plus", std::slice::from_ref(&right))? {
                Some(value) => Ok(value),
                None => Ok(Value::text(self.show(&left)? + &self.show(&right)?)),
            },
            (Value::Text(_), _) | (_, Value::Text(_)) | (Value::Buffer(_), _) => {
                let text = self.show(&left)? + &self.show(&right)?;
                self.spend(text.len())?;
                Ok(Value::text(text))
            }
            _ => Err(Throw::no_method("plus", left.class_name(), &[right])),
        }
    }

    fn shift_left(&self, left: Value, right: Value) -> Result<Value, Throw> {
        match &left {
            Value::List(items) => {
                self.spend(16)?;
                items.borrow_mut().push(right);
                Ok(left)
            }
            Value::Map(map) => {
                if let Value::Map(other) = &right {
                    for (key, value) in other.pairs() {
                        map.put(key, value);
                    }
                }
                Ok(left)
            }
            Value::Buffer(text) => {
                let more = self.show(&right)?;
                self.spend(more.len())?;
                text.borrow_mut().push_str(&more);
                Ok(left)
            }
            Value::Text(text) => {
                // In Groovy this makes a buffer.
                let more = self.show(&right)?;
                self.spend(more.len())?;
                Ok(Value::Buffer(Rc::new(RefCell::new(format!("{text}{more}")))))
            }
            Value::Node(node) => {
                let node: &Node = node;
                self.node_append(node, right)?;
                Ok(left)
            }
            Value::Closure(a) => match &right {
                Value::Closure(b) => Ok(self.chained(b, a)),
                _ => self.call_method(&left, &"leftShift".into(), vec![right]),
            },
            Value::Int(_) => self.arithmetic(BinaryOp::ShiftLeft, &left, &right),
            _ => self.call_method(&left, &"leftShift".into(), vec![right]),
        }
    }

    fn arithmetic(&self, op: BinaryOp, left: &Value, right: &Value) -> Result<Value, Throw> {
        use BinaryOp as B;
        let name = match op {
            B::Add => "plus",
            B::Subtract => "minus",
            B::Multiply => "multiply",
            B::Divide => "div",
            B::Remainder => "mod",
            B::Power => "power",
            B::ShiftLeft => "leftShift",
            B::ShiftRight => "rightShift",
            B::BitAnd => "and",
            B::BitOr => "or",
            _ => "xor",
        };
        let zero = || Throw::exception("ArithmeticException", "division by zero");
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => {
                let (a, b) = (*a, *b);
                Ok(Value::Int(match op {
                    B::Add => a.wrapping_add(b),
                    B::Subtract => a.wrapping_sub(b),
                    B::Multiply => a.wrapping_mul(b),
                    B::Divide => {
                        if b == 0 {
                            return Err(zero());
                        }
                        if a.checked_rem(b) == Some(0) {
                            a.wrapping_div(b)
                        } else {
                            return Ok(Value::Decimal(number(left) / number(right)));
                        }
                    }
                    B::Remainder => a.checked_rem(b).ok_or_else(zero)?,
                    B::Power => match u32::try_from(b).ok().and_then(|b| a.checked_pow(b)) {
                        Some(value) => value,
                        None => return Ok(Value::Decimal(number(left).powf(number(right)))),
                    },
                    B::ShiftLeft => a.wrapping_shl(u32::try_from(b).unwrap_or_default()),
                    B::ShiftRight => a.wrapping_shr(u32::try_from(b).unwrap_or_default()),
                    B::BitAnd => a & b,
                    B::BitOr => a | b,
                    _ => a ^ b,
                }))
            }
            (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => {
                let (a, b) = (number(left), number(right));
                Ok(Value::Decimal(match op {
                    B::Add => a + b,
                    B::Subtract => a - b,
                    B::Multiply => a * b,
                    B::Divide if b == 0.0 => return Err(zero()),
                    B::Divide => a / b,
                    B::Remainder => a % b,
                    B::Power => a.powf(b),
                    _ => {
                        return Err(Throw::no_method(
                            name,
                            left.class_name(),
                            std::slice::from_ref(right),
                        ));
                    }
                }))
            }
            (Value::Object(_), _) => self.call_method(left, &name.into(), vec![right.clone()]),
            _ => Err(Throw::no_method(
                name,
                left.class_name(),
                std::slice::from_ref(right),
            )),
        }
    }

    /// `of[index]`.
    pub(super) fn index(&self, of: &Value, index: &Value) -> Result<Value, Throw> {
        match (of, index) {
            (Value::List(items), Value::Int(index)) => {
                let items = items.borrow();
                Ok(place(*index, items.len())
                    .and_then(|i| items.get(i).cloned())
                    .unwrap_or(Value::Null))
            }
            (Value::List(items), Value::List(several)) => {
                let items = items.borrow();
                let wanted = several.borrow();
                Ok(Value::list(
                    positions(&wanted, items.len())
                        .into_iter()
                        .map(|i| i.and_then(|i| items.get(i).cloned()).unwrap_or(Value::Null))
                        .collect(),
                ))
            }
            (Value::Map(map), key) => self.map_get(map, &key.key()),
            (Value::Text(text), Value::Int(index)) => {
                let chars: Vec<char> = text.chars().collect();
                match place(*index, chars.len()).and_then(|i| chars.get(i)) {
                    Some(c) => Ok(Value::text(c.to_string())),
                    None => Err(Throw::exception(
                        "StringIndexOutOfBoundsException",
                        format!("`{text}` has no character {index}"),
                    )),
                }
            }
            (Value::Text(text), Value::List(several)) => {
                let chars: Vec<char> = text.chars().collect();
                let wanted = several.borrow();
                let out: String = positions(&wanted, chars.len())
                    .into_iter()
                    .filter_map(|i| i.and_then(|i| chars.get(i)))
                    .collect();
                Ok(Value::text(out))
            }
            (Value::Matcher(matcher), Value::Int(index)) => self.matcher_group(matcher, *index),
            (Value::Node(node), Value::Int(index)) => {
                let children = self.node_children(node);
                Ok(place(*index, children.len())
                    .and_then(|i| children.get(i).cloned())
                    .unwrap_or(Value::Null))
            }
            (Value::Null, _) => Err(Throw::exception(
                "NullPointerException",
                "an element is read from nothing (null)",
            )),
            (other, Value::Text(name)) => self.property(other, name),
            (other, index) => self.call_method(other, &"getAt".into(), vec![index.clone()]),
        }
    }

    pub(super) fn map_get(&self, map: &Rc<super::value::Map>, key: &Key) -> Result<Value, Throw> {
        if let Some(value) = map.get(key) {
            return Ok(value);
        }
        let default = map.default.borrow().clone();
        match default {
            Some(default) => {
                let value = self.call_closure(&default, vec![key.value()])?;
                map.put(key.clone(), value.clone());
                Ok(value)
            }
            None => Ok(Value::Null),
        }
    }

    /// `of[index] = value`.
    pub(super) fn set_index(&self, of: &Value, index: &Value, value: Value) -> Result<(), Throw> {
        match (of, index) {
            (Value::List(items), Value::Int(index)) => {
                let mut items = items.borrow_mut();
                let len = items.len();
                let at = if *index < 0 {
                    place(*index, len)
                } else {
                    usize::try_from(*index).ok()
                };
                let Some(at) = at else {
                    return Err(Throw::exception(
                        "ArrayIndexOutOfBoundsException",
                        format!("there is no place {index}"),
                    ));
                };
                if at >= len {
                    self.spend((at - len + 1).saturating_mul(16))?;
                    items.resize(at + 1, Value::Null);
                }
                if let Some(slot) = items.get_mut(at) {
                    *slot = value;
                }
                Ok(())
            }
            (Value::Map(map), key) => {
                self.spend(32)?;
                map.put(key.key(), value);
                Ok(())
            }
            (other, Value::Text(name)) => self.set_property(other, name, value),
            (other, index) => self
                .call_method(other, &"putAt".into(), vec![index.clone(), value])
                .map(|_| ()),
        }
    }

    pub(super) fn contains(&self, items: &[Value], wanted: &Value) -> Result<bool, Throw> {
        for item in items {
            if self.equal(item, wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn integer(&self, value: &Value) -> Option<i64> {
        match value {
            Value::Int(value) => Some(*value),
            Value::Decimal(value) => Some(truncate(*value)),
            _ => None,
        }
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Map(a), Value::Map(b)) => Rc::ptr_eq(a, b),
        (Value::Closure(a), Value::Closure(b)) => Rc::ptr_eq(a, b),
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Null, Value::Null) => true,
        _ => false,
    }
}

/// A place in a list of `len`, from the end if negative.
pub(super) fn place(index: i64, len: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok().filter(|index| *index < len)
    } else {
        len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

/// The places that a range such as `1..-2` or a list of numbers means.
fn positions(wanted: &[Value], len: usize) -> Vec<Option<usize>> {
    let numbers: Vec<i64> = wanted
        .iter()
        .filter_map(|value| match value {
            Value::Int(value) => Some(*value),
            _ => None,
        })
        .collect();
    // A range that goes from a start to an end counted from behind was made downwards: turn it round.
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last())
        && *first >= 0
        && *last < 0
        && numbers.len() > 1
    {
        let start = place(*first, len).unwrap_or(len);
        let end = place(*last, len).map_or(0, |end| end + 1);
        return (start..end.max(start)).map(Some).collect();
    }
    numbers.into_iter().map(|index| place(index, len)).collect()
}
