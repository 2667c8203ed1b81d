//! Methods of lists, and what goes through any value like one.

use super::interp::Interp;
use super::maps::entry;
use super::throw::Throw;
use super::value::{Closure, List, Value};
use std::cmp::Ordering;
use std::rc::Rc;

type Items = Rc<List>;

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

    fn flatten(&self, items: &[Value], depth: usize, out: &mut Vec<Value>) -> Result<(), Throw> {
        for item in items {
            // A list that stands in many places is taken apart in each of them.
            self.step()?;
            match item {
                Value::List(inner) if depth < 50 => self.flatten(&inner.borrow().clone(), depth + 1, out)?,
                other => {
                    self.spend(64)?;
                    out.push(other.clone());
                }
            }
        }
        Ok(())
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

    pub(super) fn apply(&self, closure: Option<&Value>, item: Value) -> Result<Value, Throw> {
        match closure {
            Some(Value::Closure(closure)) => self.call_closure(closure, vec![item]),
            _ => Ok(item),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of methods")]
    pub(super) fn list_method(
        &self,
        list: &Items,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
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
            // A list of nodes reads as all their texts.
            ("text", 0) if list.borrow().iter().all(|item| matches!(item, Value::Node(_))) => {
                let items = list.borrow();
                let texts = items.iter().filter_map(|item| match item {
                    Value::Node(node) => Some(node.text()),
                    _ => None,
                });
                Value::text(texts.collect::<String>())
            }
            ("flatten", 0) => {
                let mut out = Vec::new();
                self.flatten(&items(), 0, &mut out)?;
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
}
