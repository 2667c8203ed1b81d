//! The variables a script was given, as a value: `binding.hasVariable('X')`, `binding.variables`, `binding.X`.

use crate::run::{Foreign, Interp, Key, Map, Throw, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

struct Binding(Rc<Map>);

impl Foreign for Binding {
    fn describe(&self) -> String {
        "the binding".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The binding of a script: what was given to it, and what it has set since.
pub(super) fn value(given: &BTreeMap<String, String>, own: &Rc<Map>) -> Value {
    for (name, value) in given {
        let key = Key::from(name.as_str());
        if !own.entries.borrow().contains_key(&key) {
            own.put(key, Value::text(value.as_str()));
        }
    }
    Value::Foreign(Rc::new(Binding(Rc::clone(own))))
}

/// A method of a binding; none if it is something else.
pub(super) fn method(
    interp: &Interp,
    of: &Rc<dyn Foreign>,
    name: &str,
    args: &[Value],
) -> Result<Option<Value>, Throw> {
    let Some(Binding(map)) = of.as_any().downcast_ref::<Binding>() else {
        return Ok(None);
    };
    Ok(match (name, args) {
        ("hasVariable", [wanted]) => {
            let key = Key::from(interp.show(wanted)?.as_str());
            Some(Value::Bool(map.entries.borrow().contains_key(&key)))
        }
        ("getVariable" | "getProperty" | "getAt", [wanted]) => {
            let wanted = interp.show(wanted)?;
            match property(of, &wanted) {
                Some(value) => Some(value),
                None => {
                    return Err(Throw::exception(
                        "MissingPropertyException",
                        format!("the binding has no variable `{wanted}`"),
                    ));
                }
            }
        }
        ("setVariable" | "setProperty" | "putAt", [wanted, value]) => {
            map.put(Key::from(interp.show(wanted)?.as_str()), value.clone());
            Some(Value::Null)
        }
        ("getVariables", []) => Some(Value::Map(Rc::clone(map))),
        _ => None,
    })
}

/// A property of a binding; none if it is something else, or has no such variable.
pub(super) fn property(of: &Rc<dyn Foreign>, name: &str) -> Option<Value> {
    let Binding(map) = of.as_any().downcast_ref::<Binding>()?;
    if name == "variables" {
        return Some(Value::Map(Rc::clone(map)));
    }
    map.entries.borrow().get(&Key::from(name)).cloned()
}
