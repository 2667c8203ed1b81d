//! Methods of maps and of their entries.

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Key, Map, Value};
use std::rc::Rc;

impl Interp {
    /// Adds what `collectEntries` got: a pair, an entry or a map.
    pub(super) fn put_entry(&self, map: &Rc<Map>, made: &Value) -> Result<(), Throw> {
        self.spend(32)?;
        match made {
            Value::Map(other) => {
                let is_entry = other.entries.borrow().len() == 2
                    && other.get(&Key::from("<entry>")).is_none()
                    && other.get(&Key::from("key")).is_some()
                    && other.get(&Key::from("value")).is_some();
                if is_entry {
                    let key = other.get(&Key::from("key")).unwrap_or(Value::Null);
                    map.put(key.key(), other.get(&Key::from("value")).unwrap_or(Value::Null));
                } else {
                    for (key, value) in other.pairs() {
                        map.put(key, value);
                    }
                }
            }
            other => {
                let mut pair = self.items(other)?.into_iter();
                let key = pair.next().unwrap_or(Value::Null).key();
                map.put(key, pair.next().unwrap_or(Value::Null));
            }
        }
        Ok(())
    }

    /// Calls a closure with an entry: one argument or key and value.
    fn entry_call(&self, closure: Option<&Value>, key: &Key, value: Value) -> Result<Value, Throw> {
        match closure {
            Some(Value::Closure(closure)) if closure.arity() > 1 => {
                self.call_closure(closure, vec![key.value(), value])
            }
            Some(Value::Closure(closure)) => self.call_closure(closure, vec![entry(key, value)]),
            _ => Ok(entry(key, value)),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of methods")]
    pub(super) fn map_method(
        &self,
        map: &Rc<Map>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let this = || Value::Map(Rc::clone(map));
        let first = args.first();
        let key = || first.unwrap_or(&Value::Null).key();
        self.spend(16)?;
        Ok(Some(match (name, args.len()) {
            ("get" | "getAt", 1) => self.map_get(map, &key())?,
            ("get" | "getOrDefault", 2) => match map.get(&key()) {
                Some(value) => value,
                None => {
                    let value = args.get(1).cloned().unwrap_or(Value::Null);
                    if name == "get" {
                        map.put(key(), value.clone());
                    }
                    value
                }
            },
            ("put" | "putAt", 2) => map
                .put(key(), args.get(1).cloned().unwrap_or(Value::Null))
                .unwrap_or(Value::Null),
            ("putIfAbsent", 2) => match map.get(&key()) {
                Some(value) => value,
                None => {
                    map.put(key(), args.get(1).cloned().unwrap_or(Value::Null));
                    Value::Null
                }
            },
            ("computeIfAbsent", 2) => match map.get(&key()) {
                Some(value) => value,
                None => {
                    let value = self.apply(args.get(1), key().value())?;
                    map.put(key(), value.clone());
                    value
                }
            },
            ("putAll" | "leftShift" | "plus", 1) => {
                let target = if name == "plus" {
                    Value::map(map.pairs())
                } else {
                    this()
                };
                if let (Value::Map(target), Some(Value::Map(other))) = (&target, first) {
                    for (key, value) in other.pairs() {
                        target.put(key, value);
                    }
                }
                target
            }
            ("remove", 1) => map
                .entries
                .borrow_mut()
                .shift_remove(&key())
                .unwrap_or(Value::Null),
            ("clear", 0) => {
                map.entries.borrow_mut().clear();
                Value::Null
            }
            ("size" | "count", 0) => Value::Int(i64::try_from(map.entries.borrow().len()).unwrap_or(0)),
            ("isEmpty", 0) => Value::Bool(map.entries.borrow().is_empty()),
            ("containsKey", 1) => Value::Bool(map.get(&key()).is_some()),
            ("containsValue", 1) => {
                let values: Vec<Value> = map.entries.borrow().values().cloned().collect();
                Value::Bool(self.contains(&values, first.unwrap_or(&Value::Null))?)
            }
            ("keySet" | "keys", 0) => Value::list(map.entries.borrow().keys().map(Key::value).collect()),
            ("values", 0) => Value::list(map.entries.borrow().values().cloned().collect()),
            ("entrySet", 0) => Value::list(
                map.pairs()
                    .into_iter()
                    .map(|(key, value)| entry(&key, value))
                    .collect(),
            ),
            ("each" | "forEach", 1) => {
                for (key, value) in map.pairs() {
                    self.entry_call(first, &key, value)?;
                }
                this()
            }
            ("eachWithIndex", 1) => {
                for (index, (key, value)) in (0i64..).zip(map.pairs()) {
                    if let Some(Value::Closure(closure)) = first {
                        let args = if closure.arity() > 2 {
                            vec![key.value(), value, Value::Int(index)]
                        } else {
                            vec![entry(&key, value), Value::Int(index)]
                        };
                        self.call_closure(closure, args)?;
                    }
                }
                this()
            }
            ("collect", 0 | 1) => {
                let mut out = Vec::new();
                for (key, value) in map.pairs() {
                    out.push(self.entry_call(first, &key, value)?);
                }
                Value::list(out)
            }
            ("collectMany", 1) => {
                let mut out = Vec::new();
                for (key, value) in map.pairs() {
                    let more = self.entry_call(first, &key, value)?;
                    out.extend(self.items(&more)?);
                }
                Value::list(out)
            }
            ("collectEntries", 0 | 1) => {
                let out = Value::map([]);
                if let Value::Map(target) = &out {
                    for (key, value) in map.pairs() {
                        let made = self.entry_call(first, &key, value)?;
                        self.put_entry(target, &made)?;
                    }
                }
                out
            }
            ("findAll" | "filter" | "grep", 1) => {
                let out = Value::map([]);
                if let Value::Map(target) = &out {
                    for (key, value) in map.pairs() {
                        let hit = self.entry_call(first, &key, value.clone())?;
                        if self.is_true(&hit)? {
                            target.put(key, value);
                        }
                    }
                }
                out
            }
            ("find", 1) => {
                for (key, value) in map.pairs() {
                    let hit = self.entry_call(first, &key, value.clone())?;
                    if self.is_true(&hit)? {
                        return Ok(Some(entry(&key, value)));
                    }
                }
                Value::Null
            }
            ("any" | "every", 1) => {
                let wanted = name == "any";
                for (key, value) in map.pairs() {
                    let hit = self.entry_call(first, &key, value)?;
                    if self.is_true(&hit)? == wanted {
                        return Ok(Some(Value::Bool(wanted)));
                    }
                }
                Value::Bool(!wanted)
            }
            ("count", 1) => {
                let mut found = 0;
                for (key, value) in map.pairs() {
                    let hit = self.entry_call(first, &key, value)?;
                    found += i64::from(self.is_true(&hit)?);
                }
                Value::Int(found)
            }
            ("sort" | "toSorted", 0 | 1) => {
                let entries: Vec<Value> = self.items(&this())?;
                let sorted = match first {
                    Some(Value::Closure(closure)) => self.sorted(entries, Some(closure))?,
                    _ => {
                        let mut keys: Vec<Value> = map.entries.borrow().keys().map(Key::value).collect();
                        keys = self.sorted(keys, None)?;
                        keys.into_iter()
                            .map(|key| {
                                let key = key.key();
                                let value = map.get(&key).unwrap_or(Value::Null);
                                entry(&key, value)
                            })
                            .collect()
                    }
                };
                let out = Value::map([]);
                if let Value::Map(target) = &out {
                    for item in &sorted {
                        self.put_entry(target, item)?;
                    }
                }
                out
            }
            ("subMap", 1) => {
                let wanted = self.items(first.unwrap_or(&Value::Null))?;
                Value::map(
                    wanted
                        .iter()
                        .filter_map(|key| map.get(&key.key()).map(|value| (key.key(), value))),
                )
            }
            ("groupBy", 1) => {
                let out = Value::map([]);
                if let Value::Map(groups) = &out {
                    for (key, value) in map.pairs() {
                        let group = self.entry_call(first, &key, value.clone())?.key();
                        match groups.get(&group) {
                            Some(Value::Map(inner)) => {
                                inner.put(key, value);
                            }
                            _ => {
                                groups.put(group, Value::map([(key, value)]));
                            }
                        }
                    }
                }
                out
            }
            ("inject", 2) => {
                let mut value = first.cloned().unwrap_or(Value::Null);
                if let Some(Value::Closure(closure)) = args.get(1) {
                    for (key, item) in map.pairs() {
                        let args = if closure.arity() > 2 {
                            vec![value, key.value(), item]
                        } else {
                            vec![value, entry(&key, item)]
                        };
                        value = self.call_closure(closure, args)?;
                    }
                }
                value
            }
            ("max" | "min", 1) => {
                let by = match first {
                    Some(Value::Closure(closure)) => Some(closure),
                    _ => None,
                };
                let sorted = self.sorted(self.items(&this())?, by)?;
                let found = if name == "max" {
                    sorted.last()
                } else {
                    sorted.first()
                };
                found.cloned().unwrap_or(Value::Null)
            }
            ("sum", 1) => {
                let mut total = Value::Int(0);
                for (key, value) in map.pairs() {
                    let more = self.entry_call(first, &key, value)?;
                    total = self.binary(crate::syntax::BinaryOp::Add, total, more)?;
                }
                total
            }
            ("withDefault", 1) => {
                if let Some(Value::Closure(closure)) = first {
                    *map.default.borrow_mut() = Some(Rc::clone(closure));
                }
                this()
            }
            ("clone" | "asImmutable" | "toMap", 0) => Value::map(map.pairs()),
            ("getKey", 0) => map.get(&Key::from("key")).unwrap_or(Value::Null),
            ("getValue", 0) => map.get(&Key::from("value")).unwrap_or(Value::Null),
            ("asBoolean", 0) => Value::Bool(!map.entries.borrow().is_empty()),
            // A script's binding.
            ("getVariables", 0) => this(),
            ("hasVariable", 1) => Value::Bool(map.get(&key()).is_some()),
            ("getVariable", 1) => self.map_get(map, &key())?,
            ("setVariable", 2) => {
                map.put(key(), args.get(1).cloned().unwrap_or(Value::Null));
                Value::Null
            }
            _ => return Ok(None),
        }))
    }
}

/// An entry of a map, as a map of `key` and `value`.
pub(super) fn entry(key: &Key, value: Value) -> Value {
    Value::map([(Key::from("key"), key.value()), (Key::from("value"), value)])
}
