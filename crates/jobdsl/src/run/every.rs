//! Methods that every value has.

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Key, List, Strategy, Value};
use std::cell::RefCell;
use std::rc::Rc;

impl Interp {
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
                return self.list_method(&Rc::new(List(RefCell::new(items))), name, args);
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
