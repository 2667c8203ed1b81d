//! Methods of lists and maps, and those that everything has.

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Closure, Key, Map, Strategy, Value};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

type Items = Rc<RefCell<Vec<Value>>>;

impl Interp {
    /// What a loop over a value goes through.
    pub(crate) fn items(&self, value: &Value) -> Result<Vec<Value>, Throw> {
        Ok(match value {
            Value::Null => Vec::new(),
            Value::List(items) => items.borrow().clone(),
            Value::Map(map) => map
                .pairs()
                .into_iter()
                .map(|(key, value)| entry(&key, value))
                .collect(),
            Value::Text(text) => text.chars().map(|c| Value::text(c.to_string())).collect(),
            Value::Class(class) if super::class::is_enum(class) => {
                self.prepare(class)?;
                class.constants.borrow().clone()
            }
            Value::Node(node) => self.node_children(node),
            Value::Matcher(matcher) => {
                let count = matcher.pattern.find_iter(&matcher.text).count();
                let mut out = Vec::new();
                for index in 0..i64::try_from(count).unwrap_or(0) {
                    out.push(self.matcher_group(matcher, index)?);
                }
                out
            }
            Value::Object(_) => match self.try_method(value, "iterator", &[])? {
                Some(other) if !matches!(other, Value::Object(_)) => self.items(&other)?,
                _ => vec![value.clone()],
            },
            other => vec![other.clone()],
        })
    }

    pub(super) fn distinct(&self, items: Vec<Value>) -> Result<Vec<Value>, Throw> {
        let mut seen: std::collections::HashSet<String> = std::collections::HashSet::new();
        let mut out: Vec<Value> = Vec::new();
        for item in items {
            let simple = matches!(
                item,
                Value::Text(_) | Value::Int(_) | Value::Bool(_) | Value::Null
            );
            let fresh = if simple {
                seen.insert(format!("{} {}", item.class_name(), item.show()))
            } else {
                !self.contains(&out, &item)?
            };
            if fresh {
                out.push(item);
            }
        }
        Ok(out)
    }

    pub(super) fn sorted(&self, items: Vec<Value>, by: Option<&Rc<Closure>>) -> Result<Vec<Value>, Throw> {
        // A merge sort of our own: comparing may fail, and a script's order may be none.
        if items.len() < 2 {
            return Ok(items);
        }
        self.step()?;
        let mut left = items;
        let right = left.split_off(left.len() / 2);
        let mut left = self.sorted(left, by)?.into_iter().peekable();
        let mut right = self.sorted(right, by)?.into_iter().peekable();
        let mut out = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let order = match by {
                None => self.compare(a, b)?,
                Some(by) if by.arity() > 1 => {
                    let value = self.call_closure(by, vec![a.clone(), b.clone()])?;
                    self.compare(&value, &Value::Int(0))?
                }
                Some(by) => {
                    let a = self.call_closure(by, vec![a.clone()])?;
                    let b = self.call_closure(by, vec![b.clone()])?;
                    self.compare(&a, &b)?
                }
            };
            out.extend(if order == Ordering::Greater {
                right.next()
            } else {
                left.next()
            });
        }
        out.extend(left);
        out.extend(right);
        Ok(out)
    }

    fn flatten(&self, items: &[Value], depth: usize, out: &mut Vec<Value>) {
        for item in items {
            match item {
                Value::List(inner) if depth < 50 => self.flatten(&inner.borrow().clone(), depth + 1, out),
                other => out.push(other.clone()),
            }
        }
    }

    fn test(&self, closure: Option<&Value>, item: Value) -> Result<bool, Throw> {
        match closure {
            None => self.is_true(&item),
            Some(Value::Closure(closure)) => {
                let value = self.call_closure(closure, vec![item])?;
                self.is_true(&value)
            }
            Some(other) => self.is_case(other, &item),
        }
    }

    fn apply(&self, closure: Option<&Value>, item: Value) -> Result<Value, Throw> {
        match closure {
            Some(Value::Closure(closure)) => self.call_closure(closure, vec![item]),
            _ => Ok(item),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of methods")]
    fn list_method(&self, list: &Items, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        let items = || list.borrow().clone();
        let this = || Value::List(Rc::clone(list));
        let first = args.first();
        let int = |value: Option<&Value>| value.and_then(|value| self.integer(value));
        let count = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let limit = |value: Option<&Value>| usize::try_from(int(value).unwrap_or(0)).unwrap_or(0);
        self.spend(16)?;
        Ok(Some(match (name, args.len()) {
            ("size" | "length" | "getLength", 0) => count(list.borrow().len()),
            ("isEmpty", 0) => Value::Bool(list.borrow().is_empty()),
            ("add" | "leftShift" | "push" | "addLast" | "offer", 1) => {
                list.borrow_mut().push(first.cloned().unwrap_or(Value::Null));
                if name == "leftShift" {
                    this()
                } else {
                    Value::Bool(true)
                }
            }
            ("add", 2) => {
                let len = list.borrow().len();
                let at = limit(first).min(len);
                list.borrow_mut()
                    .insert(at, args.get(1).cloned().unwrap_or(Value::Null));
                Value::Null
            }
            ("addAll" | "plus", 1) if name == "addAll" => {
                let more = self.items(first.unwrap_or(&Value::Null))?;
                self.spend(more.len() * 16)?;
                list.borrow_mut().extend(more);
                Value::Bool(true)
            }
            ("plus", 1) => {
                return self
                    .binary(
                        crate::syntax::BinaryOp::Add,
                        this(),
                        first.cloned().unwrap_or(Value::Null),
                    )
                    .map(Some);
            }
            ("minus", 1) => {
                return self
                    .binary(
                        crate::syntax::BinaryOp::Subtract,
                        this(),
                        first.cloned().unwrap_or(Value::Null),
                    )
                    .map(Some);
            }
            ("remove" | "removeAt", 1) => {
                let at = match first {
                    Some(Value::Int(index)) => super::operators::place(*index, list.borrow().len()),
                    Some(other) => {
                        let mut found = None;
                        for (index, item) in items().iter().enumerate() {
                            if self.equal(item, other)? {
                                found = Some(index);
                                break;
                            }
                        }
                        found
                    }
                    None => None,
                };
                match at {
                    Some(at) => list.borrow_mut().remove(at),
                    None => Value::Bool(false),
                }
            }
            ("removeAll" | "retainAll", 1) => {
                let keep = name == "retainAll";
                let mut out = Vec::new();
                for item in items() {
                    let listed = match first {
                        Some(Value::Closure(_)) => self.test(first, item.clone())?,
                        Some(other) => self.contains(&self.items(other)?, &item)?,
                        None => false,
                    };
                    if listed == keep {
                        out.push(item);
                    }
                }
                *list.borrow_mut() = out;
                Value::Bool(true)
            }
            ("clear", 0) => {
                list.borrow_mut().clear();
                Value::Null
            }
            ("pop" | "removeLast", 0) => list.borrow_mut().pop().unwrap_or(Value::Null),
            ("get" | "getAt", 1) => self.index(&this(), first.unwrap_or(&Value::Null))?,
            ("set" | "putAt", 2) => {
                self.set_index(
                    &this(),
                    first.unwrap_or(&Value::Null),
                    args.get(1).cloned().unwrap_or(Value::Null),
                )?;
                Value::Null
            }
            ("first" | "head" | "getFirst" | "last" | "getLast", 0) => {
                let found = if name.ends_with("ast") {
                    list.borrow().last().cloned()
                } else {
                    list.borrow().first().cloned()
                };
                match found {
                    Some(value) => value,
                    None => return Err(Throw::exception("NoSuchElementException", "the list is empty")),
                }
            }
            ("tail", 0) => Value::list(items().into_iter().skip(1).collect()),
            ("init", 0) => {
                let mut all = items();
                all.pop();
                Value::list(all)
            }
            ("take", 1) => Value::list(items().into_iter().take(limit(first)).collect()),
            ("drop", 1) => Value::list(items().into_iter().skip(limit(first)).collect()),
            ("takeRight", 1) => {
                let all = items();
                let skip = all.len().saturating_sub(limit(first));
                Value::list(all.into_iter().skip(skip).collect())
            }
            ("subList", 2) => {
                let (from, to) = (limit(first), limit(args.get(1)));
                Value::list(
                    items()
                        .into_iter()
                        .skip(from)
                        .take(to.saturating_sub(from))
                        .collect(),
                )
            }
            ("contains", 1) => Value::Bool(self.contains(&items(), first.unwrap_or(&Value::Null))?),
            ("containsAll", 1) => {
                let all = items();
                for wanted in self.items(first.unwrap_or(&Value::Null))? {
                    if !self.contains(&all, &wanted)? {
                        return Ok(Some(Value::Bool(false)));
                    }
                }
                Value::Bool(true)
            }
            ("disjoint", 1) => {
                let all = items();
                for other in self.items(first.unwrap_or(&Value::Null))? {
                    if self.contains(&all, &other)? {
                        return Ok(Some(Value::Bool(false)));
                    }
                }
                Value::Bool(true)
            }
            ("indexOf" | "findIndexOf", 1) => {
                for (index, item) in items().into_iter().enumerate() {
                    let hit = match first {
                        Some(Value::Closure(_)) => self.test(first, item)?,
                        Some(other) => self.equal(&item, other)?,
                        None => false,
                    };
                    if hit {
                        return Ok(Some(count(index)));
                    }
                }
                Value::Int(-1)
            }
            ("join", 0 | 1) => {
                let separator = match first {
                    Some(value) => self.show(value)?,
                    None => String::new(),
                };
                let mut out = String::new();
                for (index, item) in items().iter().enumerate() {
                    if index > 0 {
                        out.push_str(&separator);
                    }
                    out.push_str(&self.show(item)?);
                    self.spend(out.len() / 64 + 1)?;
                }
                Value::text(out)
            }
            ("each" | "forEach", 1) => {
                for item in items() {
                    self.apply(first, item)?;
                }
                this()
            }
            ("eachWithIndex", 1) => {
                for (index, item) in items().into_iter().enumerate() {
                    if let Some(Value::Closure(closure)) = first {
                        self.call_closure(closure, vec![item, count(index)])?;
                    }
                }
                this()
            }
            ("reverseEach", 1) => {
                for item in items().into_iter().rev() {
                    self.apply(first, item)?;
                }
                this()
            }
            ("collect" | "map", 0 | 1) => {
                let mut out = Vec::new();
                for item in items() {
                    out.push(self.apply(first, item)?);
                }
                Value::list(out)
            }
            ("collect", 2) => {
                let mut out = self.items(first.unwrap_or(&Value::Null))?;
                for item in items() {
                    out.push(self.apply(args.get(1), item)?);
                }
                Value::list(out)
            }
            ("collectMany" | "flatMap", 1) => {
                let mut out = Vec::new();
                for item in items() {
                    let more = self.apply(first, item)?;
                    out.extend(self.items(&more)?);
                }
                Value::list(out)
            }
            ("collectNested", 1) => {
                let mut out = Vec::new();
                for item in items() {
                    out.push(match &item {
                        Value::List(inner) => self.list_method(inner, name, args)?.unwrap_or(Value::Null),
                        _ => self.apply(first, item)?,
                    });
                }
                Value::list(out)
            }
            ("collectEntries", 0 | 1) => {
                let out = Value::map([]);
                if let Value::Map(map) = &out {
                    for item in items() {
                        let made = self.apply(first, item)?;
                        self.put_entry(map, &made)?;
                    }
                }
                out
            }
            ("findAll" | "filter" | "grep", 0 | 1) => {
                let mut out = Vec::new();
                for item in items() {
                    if self.test(first, item.clone())? {
                        out.push(item);
                    }
                }
                Value::list(out)
            }
            ("find", 0 | 1) => {
                for item in items() {
                    if self.test(first, item.clone())? {
                        return Ok(Some(item));
                    }
                }
                Value::Null
            }
            ("findResult", 1) => {
                for item in items() {
                    let value = self.apply(first, item)?;
                    if !value.is_null() {
                        return Ok(Some(value));
                    }
                }
                Value::Null
            }
            ("findResults", 1) => {
                let mut out = Vec::new();
                for item in items() {
                    let value = self.apply(first, item)?;
                    if !value.is_null() {
                        out.push(value);
                    }
                }
                Value::list(out)
            }
            ("any" | "anyMatch", 0 | 1) => {
                for item in items() {
                    if self.test(first, item)? {
                        return Ok(Some(Value::Bool(true)));
                    }
                }
                Value::Bool(false)
            }
            ("every" | "allMatch", 0 | 1) => {
                for item in items() {
                    if !self.test(first, item)? {
                        return Ok(Some(Value::Bool(false)));
                    }
                }
                Value::Bool(true)
            }
            ("count", 1) => {
                let mut found = 0;
                for item in items() {
                    let hit = match first {
                        Some(Value::Closure(_)) => self.test(first, item)?,
                        Some(other) => self.equal(&item, other)?,
                        None => false,
                    };
                    found += usize::from(hit);
                }
                count(found)
            }
            ("split", 1) => {
                let (mut yes, mut no) = (Vec::new(), Vec::new());
                for item in items() {
                    if self.test(first, item.clone())? {
                        yes.push(item);
                    } else {
                        no.push(item);
                    }
                }
                Value::list(vec![Value::list(yes), Value::list(no)])
            }
            ("groupBy", 1) => {
                let out = Value::map([]);
                if let Value::Map(map) = &out {
                    for item in items() {
                        let key = self.apply(first, item.clone())?.key();
                        match map.get(&key) {
                            Some(Value::List(group)) => group.borrow_mut().push(item),
                            _ => {
                                map.put(key, Value::list(vec![item]));
                            }
                        }
                    }
                }
                out
            }
            ("countBy", 1) => {
                let out = Value::map([]);
                if let Value::Map(map) = &out {
                    for item in items() {
                        let key = self.apply(first, item)?.key();
                        let before = map.get(&key).and_then(|value| self.integer(&value)).unwrap_or(0);
                        map.put(key, Value::Int(before + 1));
                    }
                }
                out
            }
            ("inject" | "fold", 1 | 2) => {
                let mut rest = items().into_iter();
                let (mut value, closure) = if args.len() == 2 {
                    (first.cloned().unwrap_or(Value::Null), args.get(1))
                } else {
                    (rest.next().unwrap_or(Value::Null), first)
                };
                if let Some(Value::Closure(closure)) = closure {
                    for item in rest {
                        value = self.call_closure(closure, vec![value, item])?;
                    }
                }
                value
            }
            ("sum", 0 | 1) => {
                let mut total: Option<Value> = None;
                for item in items() {
                    let item = self.apply(first.filter(|v| matches!(v, Value::Closure(_))), item)?;
                    total = Some(match total {
                        None => item,
                        Some(total) => self.binary(crate::syntax::BinaryOp::Add, total, item)?,
                    });
                }
                total.unwrap_or(Value::Null)
            }
            ("max" | "min", 0 | 1) => {
                let by = match first {
                    Some(Value::Closure(closure)) => Some(closure),
                    _ => None,
                };
                let sorted = self.sorted(items(), by)?;
                let found = if name == "max" {
                    sorted.last()
                } else {
                    sorted.first()
                };
                found.cloned().unwrap_or(Value::Null)
            }
            ("sort" | "toSorted" | "sorted", 0..=2) => {
                let by = args.iter().find_map(|arg| match arg {
                    Value::Closure(closure) => Some(closure),
                    _ => None,
                });
                let sorted = self.sorted(items(), by)?;
                let in_place = name == "sort" && !matches!(first, Some(Value::Bool(false)));
                if in_place {
                    list.borrow_mut().clone_from(&sorted);
                    this()
                } else {
                    Value::list(sorted)
                }
            }
            ("unique" | "toUnique" | "distinct", 0..=2) => {
                let by = args.iter().find(|arg| matches!(arg, Value::Closure(_)));
                let out = match by {
                    None => self.distinct(items())?,
                    Some(_) => {
                        let (mut keys, mut out) = (Vec::new(), Vec::new());
                        for item in items() {
                            let key = self.apply(by, item.clone())?;
                            if !self.contains(&keys, &key)? {
                                keys.push(key);
                                out.push(item);
                            }
                        }
                        out
                    }
                };
                if name == "unique" && !matches!(first, Some(Value::Bool(false))) {
                    list.borrow_mut().clone_from(&out);
                }
                Value::list(out)
            }
            ("reverse", 0 | 1) => Value::list(items().into_iter().rev().collect()),
            ("flatten", 0) => {
                let mut out = Vec::new();
                self.flatten(&items(), 0, &mut out);
                Value::list(out)
            }
            ("intersect", 1) => {
                let other = self.items(first.unwrap_or(&Value::Null))?;
                let mut out = Vec::new();
                for item in items() {
                    if self.contains(&other, &item)? {
                        out.push(item);
                    }
                }
                Value::list(out)
            }
            ("collate", 1 | 2) => {
                let size = limit(first).max(1);
                Value::list(
                    items()
                        .chunks(size)
                        .map(|chunk| Value::list(chunk.to_vec()))
                        .collect(),
                )
            }
            ("transpose", 0) => {
                let rows: Vec<Vec<Value>> = items()
                    .iter()
                    .map(|row| self.items(row))
                    .collect::<Result<_, _>>()?;
                let width = rows.iter().map(Vec::len).min().unwrap_or(0);
                Value::list(
                    (0..width)
                        .map(|i| Value::list(rows.iter().filter_map(|row| row.get(i).cloned()).collect()))
                        .collect(),
                )
            }
            ("combinations", 0) => {
                let mut out = vec![Vec::new()];
                for choice in items() {
                    let choices = self.items(&choice)?;
                    let mut next = Vec::new();
                    for before in &out {
                        for one in &choices {
                            let mut combination: Vec<Value> = before.clone();
                            combination.push(one.clone());
                            self.spend(combination.len() * 16)?;
                            next.push(combination);
                        }
                    }
                    out = next;
                }
                Value::list(out.into_iter().map(Value::list).collect())
            }
            ("withIndex" | "indexed", 0 | 1) => Value::list(
                items()
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| Value::list(vec![item, count(index)]))
                    .collect(),
            ),
            (
                "toList" | "toSet" | "clone" | "asImmutable" | "asList" | "stream" | "iterator" | "toArray"
                | "asUnmodifiable",
                _,
            ) => {
                let mut out = items();
                if name == "toSet" {
                    out = self.distinct(out)?;
                }
                Value::list(out)
            }
            ("asBoolean", 0) => Value::Bool(!list.borrow().is_empty()),
            ("indices" | "getIndices", 0) => Value::list((0..list.borrow().len()).map(count).collect()),
            ("step", 2) => {
                let every = limit(first).max(1);
                for item in items().into_iter().step_by(every) {
                    self.apply(args.get(1), item)?;
                }
                Value::Null
            }
            _ => return Ok(None),
        }))
    }

    /// Adds what `collectEntries` got: a pair, an entry or a map.
    fn put_entry(&self, map: &Rc<Map>, made: &Value) -> Result<(), Throw> {
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

    /// Methods of all kinds of values but those with methods of their own.
    pub(super) fn common_method(
        &self,
        of: &Value,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let own = match of {
            Value::Text(text) => self.text_method(text, name, args)?,
            Value::List(items) => self.list_method(items, name, args)?,
            Value::Int(_) | Value::Decimal(_) | Value::Bool(_) => self.number_method(of, name, args)?,
            Value::Node(node) => self.node_method(node, name, args)?,
            Value::Buffer(buffer) => self.buffer_method(buffer, name, args)?,
            Value::Pattern(pattern) => self.pattern_method(pattern, name, args)?,
            Value::Matcher(matcher) => self.matcher_method(matcher, name, args)?,
            Value::Exception(exception) => match name {
                "getMessage" | "getLocalizedMessage" => Some(exception.message.clone()),
                "printStackTrace" | "getStackTrace" | "getCause" => Some(Value::Null),
                _ => None,
            },
            Value::Object(object) => match (name, args) {
                ("name" | "getName", []) if super::class::is_enum(&object.class) => {
                    object.fields.borrow().get("<name>").cloned()
                }
                ("ordinal", []) => object.fields.borrow().get("<ordinal>").cloned(),
                ("getMessage", []) => object.fields.borrow().get("message").cloned(),
                ("getProperties" | "properties", []) => {
                    let fields = object.fields.borrow().clone();
                    Some(Value::map(
                        fields.into_iter().map(|(name, value)| (Key::Text(name), value)),
                    ))
                }
                _ => None,
            },
            _ => None,
        };
        if own.is_some() {
            return Ok(own);
        }
        Ok(Some(match (name, args) {
            ("with" | "tap", [Value::Closure(closure)]) => {
                let copy = Rc::new(closure.copy());
                *copy.delegate.borrow_mut() = Some(of.clone());
                copy.strategy.set(Strategy::DelegateFirst);
                let value = self.call_closure(&copy, vec![of.clone()])?;
                if name == "tap" { of.clone() } else { value }
            }
            ("toString", []) => Value::text(self.show(of)?),
            ("equals", [other]) => Value::Bool(self.equal(of, other)?),
            ("is", [other]) => Value::Bool(self.equal(of, other)?),
            ("hashCode", []) => Value::Int(0),
            ("compareTo", [other]) if !matches!(of, Value::Object(_)) => {
                Value::Int(self.compare(of, other)? as i64)
            }
            ("getClass", []) => self.property(of, "class")?,
            ("asType", [Value::Native(kind)]) => {
                let kind = crate::syntax::TypeName {
                    name: kind.clone(),
                    array: false,
                };
                return match of {
                    Value::Closure(_) => Ok(Some(of.clone())),
                    _ => self.cast_plain(of.clone(), &kind).map(Some),
                };
            }
            ("asBoolean", []) => Value::Bool(self.is_true(of)?),
            ("respondsTo" | "hasProperty", [name, ..]) => {
                let name = name.show();
                let found = match of {
                    Value::Object(object) => {
                        let mut methods = Vec::new();
                        object.class.methods(self, &name, &mut methods);
                        !methods.is_empty() || object.fields.borrow().contains_key(name.as_str())
                    }
                    Value::Map(map) => map.get(&Key::from(name.as_str())).is_some(),
                    _ => false,
                };
                Value::Bool(found)
            }
            ("invokeMethod", [method, arguments]) => {
                let arguments = match arguments {
                    Value::List(items) => items.borrow().clone(),
                    other => vec![other.clone()],
                };
                let method: crate::syntax::Name = self.show(method)?.into();
                return self.call_method(of, &method, arguments).map(Some);
            }
            ("getProperty", [property]) => {
                let property = self.show(property)?;
                return self.property(of, &property).map(Some);
            }
            ("setProperty", [property, value]) => {
                let property = self.show(property)?;
                self.set_property(of, &property, value.clone())?;
                Value::Null
            }
            ("getMetaClass" | "metaClass", []) => Value::map([]),
            ("each", [Value::Closure(closure)]) => {
                for item in self.items(of)? {
                    self.call_closure(closure, vec![item])?;
                }
                of.clone()
            }
            ("collect" | "findAll" | "find" | "any" | "every" | "eachWithIndex" | "toList", _)
                if !of.is_null() =>
            {
                let items = self.items(of)?;
                return self.list_method(&Rc::new(RefCell::new(items)), name, args);
            }
            _ => return Ok(None),
        }))
    }

    fn cast_plain(&self, value: Value, kind: &crate::syntax::TypeName) -> Result<Value, Throw> {
        Ok(match (&*kind.name, &value) {
            ("String", _) => Value::text(self.show(&value)?),
            ("Integer" | "Long", Value::Text(text)) => match text.trim().parse() {
                Ok(number) => Value::Int(number),
                Err(_) => {
                    return Err(Throw::exception(
                        "NumberFormatException",
                        format!("`{text}` is no number"),
                    ));
                }
            },
            ("Boolean", _) => Value::Bool(self.is_true(&value)?),
            ("List" | "ArrayList", _) => Value::list(self.items(&value)?),
            ("Set" | "HashSet" | "LinkedHashSet", _) => Value::list(self.distinct(self.items(&value)?)?),
            _ => value,
        })
    }
}

/// An entry of a map, as a map of `key` and `value`.
pub(super) fn entry(key: &Key, value: Value) -> Value {
    Value::map([(Key::from("key"), key.value()), (Key::from("value"), value)])
}
