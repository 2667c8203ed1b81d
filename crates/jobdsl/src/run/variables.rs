//! Names without an owner: variables, read and set.

use super::call::{delegate, owner};
use super::class::{Class, Object};
use super::interp::Interp;
use super::members::{accessor, strategy, strategy_number};
use super::scope::Env;
use super::throw::Throw;
use super::value::{Closure, Key, Strategy, Value};
use crate::syntax::Name;
use std::rc::Rc;

impl Interp {
    /// A variable: of a block, of what is behind the closure, of `this`, or a class.
    pub(crate) fn variable(&self, env: &Env, name: &str) -> Result<Option<Value>, Throw> {
        if let Some(value) = env.scope.get(name) {
            return Ok(Some(value));
        }
        if name.starts_with(char::is_uppercase)
            && let Some(class) = self.find_class(name, &env.source)
        {
            return Ok(Some(Value::Class(class)));
        }
        if let Some(closure) = &env.closure {
            match name {
                "delegate" => return Ok(Some(delegate(closure))),
                "owner" => return Ok(Some(owner(closure))),
                "thisObject" => return Ok(Some(closure.this.clone())),
                "resolveStrategy" => return Ok(Some(Value::Int(strategy_number(closure.strategy.get())))),
                _ => {}
            }
        }
        let found = match &env.closure {
            Some(closure) => self.closure_property(closure, name)?,
            None => self.own_property(&env.this, env, name)?,
        };
        if found.is_some() {
            return Ok(found);
        }
        if let Some(value) = self.global(env, name)? {
            return Ok(Some(value));
        }
        if name == "binding" {
            return self.host.call(self, env, "getBinding", &[]);
        }
        Ok(None)
    }

    /// What is known everywhere in a file: bindings, classes, static imports.
    fn global(&self, env: &Env, name: &str) -> Result<Option<Value>, Throw> {
        if let Some(value) = self.host.variable(name) {
            return Ok(Some(value));
        }
        for import in env.source.module.imports.iter().filter(|import| import.is_static) {
            let (class, member) = if import.star {
                (import.path.as_str(), name)
            } else {
                let Some((class, member)) = import.path.rsplit_once('.') else {
                    continue;
                };
                if import.alias.as_deref().unwrap_or(member) != name {
                    continue;
                }
                (class, member)
            };
            if let Some(found) = self.load_class(class) {
                if let Some(value) = found.static_value(self, member)? {
                    return Ok(Some(value));
                }
            } else if name.starts_with(char::is_uppercase) {
                // A constant of a class that the platform knows.
                let class = class.rsplit('.').next().unwrap_or_default();
                if let Some(value) = self.native(class, &format!("<get>{member}"), &[])? {
                    return Ok(Some(value));
                }
            }
        }
        if name.starts_with(char::is_uppercase) {
            if let Some(class) = self.find_class(name, &env.source) {
                return Ok(Some(Value::Class(class)));
            }
            let imported = env.source.module.imports.iter().any(|import| {
                !import.is_static && !import.star && import.path.rsplit('.').next() == Some(name)
            });
            if imported || is_known_class(name) {
                return Ok(Some(Value::Native(name.into())));
            }
        }
        Ok(None)
    }

    /// Asks those behind a closure for a property, in its order.
    pub(super) fn closure_property(&self, closure: &Rc<Closure>, name: &str) -> Result<Option<Value>, Throw> {
        let of_delegate = |interp: &Self| -> Result<Option<Value>, Throw> {
            let delegate = closure.delegate.borrow().clone();
            match delegate {
                Some(Value::Closure(other)) if Rc::ptr_eq(&other, closure) => Ok(None),
                Some(delegate) => interp.deeper(|| interp.try_property(&delegate, name)),
                None => Ok(None),
            }
        };
        let of_owner = |interp: &Self| -> Result<Option<Value>, Throw> {
            interp.deeper(|| match &closure.owner {
                Some(owner) => interp.closure_property(owner, name),
                None => {
                    let env = Env {
                        scope: Rc::clone(&closure.scope),
                        this: closure.this.clone(),
                        closure: None,
                        source: Rc::clone(&closure.source),
                    };
                    interp.own_property(&closure.this, &env, name)
                }
            })
        };
        Ok(match closure.strategy.get() {
            Strategy::OwnerFirst => match of_owner(self)? {
                Some(value) => Some(value),
                None => of_delegate(self)?,
            },
            Strategy::DelegateFirst => match of_delegate(self)? {
                Some(value) => Some(value),
                None => of_owner(self)?,
            },
            Strategy::OwnerOnly => of_owner(self)?,
            Strategy::DelegateOnly => of_delegate(self)?,
        })
    }

    /// A property of `this`, or of the classes and objects around it.
    fn own_property(&self, this: &Value, env: &Env, name: &str) -> Result<Option<Value>, Throw> {
        match this {
            Value::Script(source) => {
                if let Some(value) = source.binding.get(&Key::from(name)) {
                    return Ok(Some(value));
                }
                // More than Groovy gives: methods see the script's variables.
                if let Some(value) = source.scope.get(name) {
                    return Ok(Some(value));
                }
            }
            Value::Object(object) => {
                // Within the class a field is itself, whatever its getter does.
                if let Some(value) = object.fields.borrow().get(name) {
                    return Ok(Some(value.clone()));
                }
                if let Some(value) = self.try_property(this, name)? {
                    return Ok(Some(value));
                }
                if let Some(around) = &object.around
                    && let Some(value) = self.variable(around, name)?
                {
                    return Ok(Some(value));
                }
            }
            Value::Class(_) => {
                if let Some(value) = self.try_property(this, name)? {
                    return Ok(Some(value));
                }
            }
            other => {
                if let Some(value) = self.try_property(other, name)? {
                    return Ok(Some(value));
                }
            }
        }
        let mut class = match env.scope.get("<class>") {
            Some(Value::Class(class)) => Some(class),
            _ => None,
        };
        while let Some(here) = class {
            if let Some(value) = here.static_value(self, name)? {
                return Ok(Some(value));
            }
            class = here.outer.clone();
        }
        Ok(None)
    }

    /// Sets a variable; a new name becomes one of the script's.
    pub(super) fn set_variable(&self, env: &Env, name: &Name, value: Value) -> Result<(), Throw> {
        if env.scope.set(name, &value) {
            return Ok(());
        }
        if let Some(closure) = &env.closure {
            match &**name {
                "delegate" => {
                    *closure.delegate.borrow_mut() = Some(value);
                    return Ok(());
                }
                "resolveStrategy" => {
                    closure.strategy.set(strategy(&value));
                    return Ok(());
                }
                _ => {}
            }
            if self.set_behind(closure, name, &value)? {
                return Ok(());
            }
        }
        match &env.this {
            Value::Object(object) => {
                let known = object.fields.borrow().contains_key(name);
                if known {
                    object.fields.borrow_mut().insert(name.clone(), value);
                    return Ok(());
                }
                if self.set_static(&object.class, name, &value)? {
                    return Ok(());
                }
                if let Some(around) = &object.around {
                    return self.set_variable(around, name, value);
                }
                self.set_property(&env.this, name, value)
            }
            Value::Class(class) => {
                if self.set_static(class, name, &value)? {
                    return Ok(());
                }
                Err(Throw::no_property(name, class.name.to_string()))
            }
            Value::Script(source) => {
                source.binding.put(Key::Text(name.clone()), value);
                Ok(())
            }
            other => self.set_property(other, name, value),
        }
    }

    /// Sets a property of what is behind a closure, if it has one of that name.
    fn set_behind(&self, closure: &Rc<Closure>, name: &Name, value: &Value) -> Result<bool, Throw> {
        if let Some(delegate) = closure.delegate.borrow().clone() {
            let has = match &delegate {
                Value::Map(_) => true,
                Value::Object(object) => {
                    object.fields.borrow().contains_key(name) || self.has_setter(object, name)
                }
                _ => false,
            };
            if has {
                self.set_property(&delegate, name, value.clone())?;
                return Ok(true);
            }
        }
        match &closure.owner {
            Some(owner) => self.set_behind(owner, name, value),
            None => Ok(false),
        }
    }

    fn has_setter(&self, object: &Rc<Object>, name: &str) -> bool {
        let mut methods = Vec::new();
        object.class.methods(self, &accessor("set", name), &mut methods);
        !methods.is_empty()
    }

    pub(super) fn set_static(&self, class: &Rc<Class>, name: &Name, value: &Value) -> Result<bool, Throw> {
        self.prepare(class)?;
        if let Some(old) = class.statics.borrow_mut().get_mut(name) {
            *old = value.clone();
            return Ok(true);
        }
        for parent in class.parents(self) {
            if self.set_static(&parent, name, value)? {
                return Ok(true);
            }
        }
        match &class.outer {
            Some(outer) => self.set_static(outer, name, value),
            None => Ok(false),
        }
    }
}

pub(super) fn is_known_class(name: &str) -> bool {
    matches!(
        name,
        "String"
            | "Integer"
            | "Long"
            | "Boolean"
            | "Double"
            | "BigDecimal"
            | "Math"
            | "System"
            | "Closure"
            | "List"
            | "ArrayList"
            | "Map"
            | "HashMap"
            | "LinkedHashMap"
            | "TreeMap"
            | "Set"
            | "HashSet"
            | "Collections"
            | "Arrays"
            | "Object"
            | "JsonSlurper"
            | "JsonOutput"
            | "Yaml"
            | "NodeBuilder"
            | "ConfigSlurper"
            | "LinkedList"
            | "TreeSet"
            | "LinkedHashSet"
            | "StringBuffer"
            | "StringWriter"
            | "InputStreamReader"
            | "StringReader"
            | "BufferedReader"
            | "Node"
            | "XmlParser"
            | "XmlSlurper"
            | "Pattern"
            | "Date"
            | "UUID"
            | "Jenkins"
            | "Hudson"
            | "File"
            | "URL"
            | "Paths"
            | "Exception"
            | "RuntimeException"
            | "IllegalArgumentException"
            | "IllegalStateException"
            | "StringBuilder"
            | "Objects"
            | "Number"
            | "Character"
            | "Thread"
            | "Class"
            | "GString"
            | "Iterable"
            | "Collection"
            | "Optional"
            | "TimeUnit"
            | "Locale"
            | "Calendar"
            | "Random"
            | "StringUtils"
            | "Runtime"
            | "ProcessBuilder"
            | "InetAddress"
    )
}
