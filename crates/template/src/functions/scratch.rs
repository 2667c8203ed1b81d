//! `scratch`: notes that a template keeps while it is evaluated, with methods as consul-template has them.

use super::args::{any, count, fail, text};
use crate::engine::{Budget, Function, Member, Object, Result, Value};
use crate::value::string;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The notes by name.
pub(super) type Notes = Mutex<BTreeMap<String, Value>>;

/// The value that templates see. It holds the notes weakly, as a note may hold it.
pub(super) struct Scratch {
    pub(super) notes: Weak<Notes>,
    pub(super) budget: Arc<Budget>,
}

impl Object for Scratch {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed("*template.Scratch")
    }

    fn member(&self, name: &str) -> Member {
        match name {
            "Key" => self.method(|notes, a| {
                count("scratch.Key", a, 1..=1)?;
                Ok(Value::Bool(notes.contains_key(&*text("scratch.Key", a, 0)?)))
            }),
            "Get" => self.method(|notes, a| {
                count("scratch.Get", a, 1..=1)?;
                Ok(notes
                    .get(&*text("scratch.Get", a, 0)?)
                    .cloned()
                    .unwrap_or(Value::Nil))
            }),
            "Set" => self.method(|notes, a| {
                count("scratch.Set", a, 2..=2)?;
                notes.insert(
                    text("scratch.Set", a, 0)?.to_string(),
                    any("scratch.Set", a, 1)?.clone(),
                );
                Ok(string(""))
            }),
            "SetX" => self.method(|notes, a| {
                count("scratch.SetX", a, 2..=2)?;
                let value = any("scratch.SetX", a, 1)?.clone();
                notes
                    .entry(text("scratch.SetX", a, 0)?.to_string())
                    .or_insert(value);
                Ok(string(""))
            }),
            "MapSet" => self.map_set("scratch.MapSet", true),
            "MapSetX" => self.map_set("scratch.MapSetX", false),
            "MapValues" => self.method(|notes, a| {
                count("scratch.MapValues", a, 1..=1)?;
                Ok(match notes.get(&*text("scratch.MapValues", a, 0)?) {
                    Some(Value::Map(entries)) => Value::List(entries.values().cloned().collect()),
                    _ => Value::List(Vec::new().into()),
                })
            }),
            _ => Member::None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"scratch");
    }
}

impl Scratch {
    fn map_set(&self, name: &'static str, replace: bool) -> Member {
        let budget = Arc::clone(&self.budget);
        self.method(move |notes, a| map_set(name, notes, a, replace, &budget))
    }

    fn method(
        &self,
        with: impl Fn(&mut BTreeMap<String, Value>, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Member {
        let notes = self.notes.clone();
        let function: Function = Arc::new(move |args: &[Value]| match notes.upgrade() {
            Some(notes) => with(&mut notes.lock().unwrap_or_else(PoisonError::into_inner), args),
            None => fail("scratch: used after its template"),
        });
        Member::Method(function)
    }
}

fn map_set(
    name: &str,
    notes: &mut BTreeMap<String, Value>,
    a: &[Value],
    replace: bool,
    budget: &Budget,
) -> Result<Value> {
    count(name, a, 3..=3)?;
    let (note, key) = (text(name, a, 0)?, text(name, a, 1)?);
    let mut entries = match notes.get(&*note) {
        None => BTreeMap::new(),
        // The map is copied each time.
        Some(Value::Map(entries)) if !budget.make(entries.len().saturating_mul(size_of::<Value>())) => {
            return fail(format!("{name}: the note grows too large"));
        }
        Some(Value::Map(entries)) => (**entries).clone(),
        Some(_) => return fail(format!("{name}: the note is no map")),
    };
    if replace || !entries.contains_key(&key) {
        entries.insert(key, any(name, a, 2)?.clone());
    }
    notes.insert(note.to_string(), Value::Map(entries.into()));
    Ok(string(""))
}
