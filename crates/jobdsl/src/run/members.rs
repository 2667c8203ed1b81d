//! Properties and methods, by the kind of value asked.

use super::call::{delegate, owner};
use super::class::{Class, Object, is_enum};
use super::interp::Interp;
use super::scope::Env;
use super::throw::Throw;
use super::value::{Closure, Key, Strategy, Value};
use std::rc::Rc;

impl Interp {
    /// A property that must be there.
    pub(crate) fn property(&self, of: &Value, name: &str) -> Result<Value, Throw> {
        match self.try_property(of, name)? {
            Some(value) => Ok(value),
            None => Err(Throw::no_property(name, of.class_name())),
        }
    }

    /// A property, if there is one.
    pub(crate) fn try_property(&self, of: &Value, name: &str) -> Result<Option<Value>, Throw> {
        if name == "class" && !matches!(of, Value::Map(_)) {
            return Ok(Some(match of {
                Value::Object(object) => Value::Class(Rc::clone(&object.class)),
                other => Value::Native(other.class_name().into()),
            }));
        }
        // `x.@y` is the field itself; of nodes it is an attribute.
        let name = match (of, name.strip_prefix('@')) {
            (Value::Object(_) | Value::Class(_) | Value::Script(_), Some(field)) => field,
            _ => name,
        };
        match of {
            Value::Map(map) => self.map_get(map, &Key::from(name)).map(Some),
            Value::Object(object) => self.object_property(of, object, name),
            Value::Class(class) => self.class_property(of, class, name),
            Value::Native(class) => match name {
                "simpleName" | "name" => Ok(Some(Value::Text(class.clone()))),
                _ => self.native(class, &format!("<get>{name}"), &[]),
            },
            Value::Closure(closure) => Ok(match name {
                "delegate" => Some(delegate(closure)),
                "owner" => Some(owner(closure)),
                "thisObject" => Some(closure.this.clone()),
                "resolveStrategy" => Some(Value::Int(strategy_number(closure.strategy.get()))),
                "maximumNumberOfParameters" => Some(Value::Int(i64::try_from(closure.arity()).unwrap_or(1))),
                _ => self.closure_property(closure, name)?,
            }),
            Value::Script(source) => Ok(match name {
                "binding" => Some(Value::Map(Rc::clone(&source.binding))),
                _ => match source.binding.get(&Key::from(name)) {
                    Some(value) => Some(value),
                    None => match source.scope.get(name) {
                        Some(value) => Some(value),
                        None => self.host.variable(name),
                    },
                },
            }),
            Value::Exception(exception) => Ok(match name {
                "message" | "localizedMessage" => Some(exception.message.clone()),
                "cause" => Some(Value::Null),
                _ => None,
            }),
            Value::Node(node) => self.node_property(node, name).map(Some),
            Value::List(items) => match name {
                "size" | "length" | "empty" | "first" | "last" => self.try_method(of, list_getter(name), &[]),
                _ => {
                    // `list.name` reads the property of every item.
                    let mut out = Vec::new();
                    for item in items.borrow().clone() {
                        out.push(if item.is_null() {
                            Value::Null
                        } else {
                            self.property(&item, name)?
                        });
                    }
                    Ok(Some(Value::list(out)))
                }
            },
            Value::Foreign(foreign) => self.host.property(self, foreign, name),
            Value::Null => Ok(None),
            _ => self.common_method(of, &accessor("get", name), &[]),
        }
    }

    fn object_property(&self, of: &Value, object: &Rc<Object>, name: &str) -> Result<Option<Value>, Throw> {
        for getter in [accessor("get", name), accessor("is", name)] {
            let mut methods = Vec::new();
            object.class.methods(self, &getter, &mut methods);
            if methods.iter().any(|(_, method)| method.params.is_empty()) {
                return self.try_method(of, &getter, &[]);
            }
        }
        if let Some(value) = object.fields.borrow().get(name) {
            return Ok(Some(value.clone()));
        }
        if let Some(value) = object.class.static_value(self, name)? {
            return Ok(Some(value));
        }
        let mut methods = Vec::new();
        object.class.methods(self, "propertyMissing", &mut methods);
        methods.retain(|(_, method)| method.params.len() == 1);
        if let Some((class, method)) = methods.first() {
            let env = self.class_env(class, of.clone());
            return self.invoke(method, vec![Value::text(name)], env).map(Some);
        }
        Ok(None)
    }

    fn class_property(&self, of: &Value, class: &Rc<Class>, name: &str) -> Result<Option<Value>, Throw> {
        if let Some(value) = class.static_value(self, name)? {
            return Ok(Some(value));
        }
        let getter = accessor("get", name);
        if let Some(value) = self.static_method(class, &getter, &[])? {
            return Ok(Some(value));
        }
        let inner = self
            .classes
            .borrow()
            .get(&format!("{}.{name}", class.name))
            .cloned()
            .flatten();
        if let Some(inner) = inner {
            return Ok(Some(Value::Class(inner)));
        }
        Ok(match name {
            "simpleName" => Some(Value::Text(class.name.clone())),
            "name" | "canonicalName" => Some(Value::text(of.show().replacen("class ", "", 1))),
            "this" => Some(of.clone()),
            _ => None,
        })
    }

    /// Sets a property.
    pub(crate) fn set_property(&self, of: &Value, name: &str, value: Value) -> Result<(), Throw> {
        if let (Value::Object(object), Some(field)) = (of, name.strip_prefix('@')) {
            object.fields.borrow_mut().insert(field.into(), value);
            return Ok(());
        }
        match of {
            Value::Map(map) => {
                self.spend(32)?;
                map.put(Key::from(name), value);
                Ok(())
            }
            Value::Object(object) => {
                let setter = accessor("set", name);
                let mut methods = Vec::new();
                object.class.methods(self, &setter, &mut methods);
                if !methods.is_empty() {
                    return self.call_method(of, &setter.into(), vec![value]).map(|_| ());
                }
                if object.fields.borrow().contains_key(name) {
                    let kind = object.class.def.fields.iter().find(|field| *field.name == *name);
                    let value = match kind.and_then(|field| field.kind.as_ref()) {
                        Some(kind) => {
                            let env = self.class_env(&object.class, of.clone());
                            self.coerce(value, kind, &env)?
                        }
                        None => value,
                    };
                    object.fields.borrow_mut().insert(name.into(), value);
                    return Ok(());
                }
                if self.set_static(&object.class, &name.into(), &value)? {
                    return Ok(());
                }
                let mut methods = Vec::new();
                object.class.methods(self, "propertyMissing", &mut methods);
                methods.retain(|(_, method)| method.params.len() == 2);
                if let Some((class, method)) = methods.first() {
                    let env = self.class_env(class, of.clone());
                    return self
                        .invoke(method, vec![Value::text(name), value], env)
                        .map(|_| ());
                }
                if object.class.def.parent.is_some() && !object.class.has_field(self, name) {
                    // A parent of the platform may have it.
                    object.fields.borrow_mut().insert(name.into(), value);
                    return Ok(());
                }
                Err(Throw::no_property(name, object.class.name.to_string()))
            }
            Value::Class(class) => {
                if self.set_static(class, &name.into(), &value)? {
                    return Ok(());
                }
                Err(Throw::no_property(name, class.name.to_string()))
            }
            Value::Closure(closure) => match name {
                "delegate" => {
                    *closure.delegate.borrow_mut() = Some(value);
                    Ok(())
                }
                "resolveStrategy" => {
                    closure.strategy.set(strategy(&value));
                    Ok(())
                }
                _ => Err(Throw::no_property(name, "Closure")),
            },
            Value::Script(source) => {
                if !source.scope.set(name, &value) {
                    source.binding.put(Key::from(name), value);
                }
                Ok(())
            }
            Value::Node(node) => self.set_node_property(node, name, &value),
            Value::Null => Err(Throw::exception(
                "NullPointerException",
                format!("`{name}` is set on nothing (null)"),
            )),
            other => self
                .call_method(other, &accessor("set", name).into(), vec![value])
                .map(|_| ()),
        }
    }

    /// A method, if there is one.
    pub(crate) fn try_method(&self, of: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        self.step()?;
        match of {
            Value::Object(object) => {
                let mut methods = Vec::new();
                object.class.methods(self, name, &mut methods);
                if let Some((class, method)) = self.choose(&methods, args) {
                    self.prepare(&class)?;
                    let env = self.class_env(&class, of.clone());
                    let env = match &object.around {
                        Some(around) => Env {
                            scope: {
                                let scope = super::scope::Scope::below(&around.scope);
                                scope.declare(&"<class>".into(), Value::Class(Rc::clone(&class)));
                                scope
                            },
                            ..env
                        },
                        None => env,
                    };
                    return self.invoke(&method, args.to_vec(), env).map(Some);
                }
                if let Some(field) = self.accessor_of(of, name, args)? {
                    return Ok(Some(field));
                }
                // A builder's setters are named like its fields and return it.
                let built = object
                    .class
                    .def
                    .annotations
                    .iter()
                    .any(|annotation| &**annotation == "Builder");
                if let ([value], true) = (args, built && object.class.has_field(self, name)) {
                    self.set_property(of, name, value.clone())?;
                    return Ok(Some(of.clone()));
                }
                let field = object.fields.borrow().get(name).cloned();
                if let Some(Value::Closure(closure)) = field {
                    return self.call_closure(&closure, args.to_vec()).map(Some);
                }
                let mut missing = Vec::new();
                object.class.methods(self, "methodMissing", &mut missing);
                if let Some((class, method)) = missing.first() {
                    let env = self.class_env(class, of.clone());
                    let args = vec![Value::text(name), Value::list(args.to_vec())];
                    return self.invoke(method, args, env).map(Some);
                }
                self.common_method(of, name, args)
            }
            Value::Class(class) => {
                if let Some(value) = self.static_method(class, name, args)? {
                    return Ok(Some(value));
                }
                match name {
                    "newInstance" => return self.construct(class, args.to_vec(), None).map(Some),
                    "values" if is_enum(class) => {
                        self.prepare(class)?;
                        return Ok(Some(Value::list(class.constants.borrow().clone())));
                    }
                    "valueOf" if is_enum(class) => {
                        let wanted = args.first().map(Value::show).unwrap_or_default();
                        return match class.static_value(self, &wanted)? {
                            Some(value) => Ok(Some(value)),
                            None => Err(Throw::exception(
                                "IllegalArgumentException",
                                format!("{} has no constant {wanted}", class.name),
                            )),
                        };
                    }
                    _ => {}
                }
                if let Some(value) = self.accessor_of(of, name, args)? {
                    return Ok(Some(value));
                }
                self.common_method(of, name, args)
            }
            Value::Script(source) => {
                for method in source
                    .module
                    .methods
                    .iter()
                    .filter(|method| *method.name == *name)
                {
                    if self.fits(&method.params, args).is_some() {
                        let env = Env {
                            scope: super::scope::Scope::root(),
                            this: of.clone(),
                            closure: None,
                            source: Rc::clone(source),
                        };
                        return self.invoke(method, args.to_vec(), env).map(Some);
                    }
                }
                if let Some(Value::Closure(closure)) = source.binding.get(&Key::from(name)) {
                    return self.call_closure(&closure, args.to_vec()).map(Some);
                }
                let env = Env {
                    scope: Rc::clone(&source.scope),
                    this: of.clone(),
                    closure: None,
                    source: Rc::clone(source),
                };
                match self.host.call(self, &env, name, args)? {
                    Some(value) => Ok(Some(value)),
                    None => self.common_method(of, name, args),
                }
            }
            Value::Native(class) => match self.native(class, name, args)? {
                Some(value) => Ok(Some(value)),
                None => self.common_method(of, name, args),
            },
            Value::Closure(closure) => match self.closure_own_method(closure, name, args)? {
                Some(value) => Ok(Some(value)),
                None => match self.common_method(of, name, args)? {
                    Some(value) => Ok(Some(value)),
                    None => self.closure_method(closure, name, args),
                },
            },
            Value::Foreign(foreign) => match self.host.method(self, foreign, name, args)? {
                Some(value) => Ok(Some(value)),
                None => self.common_method(of, name, args),
            },
            Value::Map(map) => {
                let entry = map.get(&Key::from(name));
                match self.map_method(map, name, args)? {
                    Some(value) => Ok(Some(value)),
                    None => match entry {
                        Some(Value::Closure(closure)) => self.call_closure(&closure, args.to_vec()).map(Some),
                        _ => self.common_method(of, name, args),
                    },
                }
            }
            Value::Null => self.null_method(name, args),
            _ => self.common_method(of, name, args),
        }
    }

    /// `getX()` and `setX(v)` of properties that have no such methods written.
    fn accessor_of(&self, of: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        let property = |prefix: &str| {
            name.strip_prefix(prefix)
                .filter(|rest| rest.starts_with(char::is_uppercase))
                .map(decapitalise)
        };
        let has = |property: &str| -> Result<bool, Throw> {
            Ok(match of {
                Value::Object(object) => {
                    object.fields.borrow().contains_key(property)
                        || object.class.static_value(self, property)?.is_some()
                }
                Value::Class(class) => class.static_value(self, property)?.is_some(),
                _ => false,
            })
        };
        match args {
            [] => {
                for prefix in ["get", "is"] {
                    if let Some(property) = property(prefix)
                        && has(&property)?
                    {
                        return self.try_property(of, &property);
                    }
                }
            }
            [value] => {
                if let Some(property) = property("set")
                    && has(&property)?
                {
                    self.set_property(of, &property, value.clone())?;
                    return Ok(Some(Value::Null));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn closure_own_method(
        &self,
        closure: &Rc<Closure>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let first = || args.first().cloned().unwrap_or(Value::Null);
        if matches!(name, "curry" | "rcurry" | "clone" | "rehydrate") {
            let held = closure.curried.len() + closure.curried_last.len() + args.len();
            self.spend(super::limits::EACH + 16 * held)?;
        }
        Ok(Some(match name {
            "call" | "doCall" => self.call_closure(closure, args.to_vec())?,
            "curry" => {
                let mut copy = closure.copy();
                copy.curried.extend(args.iter().cloned());
                Value::Closure(Rc::new(copy))
            }
            "rcurry" => {
                let mut copy = closure.copy();
                copy.curried_last = args.iter().chain(&closure.curried_last).cloned().collect();
                Value::Closure(Rc::new(copy))
            }
            "clone" => Value::Closure(Rc::new(closure.copy())),
            "rehydrate" => {
                let mut copy = closure.copy();
                *copy.delegate.borrow_mut() = Some(first());
                if let Some(this) = args.get(2) {
                    copy.this = this.clone();
                }
                copy.owner = match args.get(1) {
                    Some(Value::Closure(owner)) => Some(Rc::clone(owner)),
                    Some(_) => None,
                    None => copy.owner.clone(),
                };
                Value::Closure(Rc::new(copy))
            }
            "setDelegate" => {
                *closure.delegate.borrow_mut() = Some(first());
                Value::Null
            }
            "setResolveStrategy" => {
                closure.strategy.set(strategy(&first()));
                Value::Null
            }
            "getDelegate" => delegate(closure),
            "getOwner" => owner(closure),
            "getThisObject" => closure.this.clone(),
            "getMaximumNumberOfParameters" => Value::Int(i64::try_from(closure.arity()).unwrap_or(1)),
            "memoize" => Value::Closure(Rc::clone(closure)),
            "andThen" | "rightShift" => match args.first() {
                Some(Value::Closure(next)) => self.chained(closure, next),
                _ => return Ok(None),
            },
            "compose" | "leftShift" => match args.first() {
                Some(Value::Closure(before)) => self.chained(before, closure),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    /// What even nothing answers.
    pub(super) fn null_method(&self, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        Ok(match (name, args) {
            ("toString", []) => Some(Value::text("null")),
            ("equals", [other]) => Some(Value::Bool(other.is_null())),
            ("is", [other]) => Some(Value::Bool(other.is_null())),
            ("iterator" | "toList" | "collect" | "findAll", _) => Some(Value::list(Vec::new())),
            ("each" | "eachWithIndex", _) => Some(Value::Null),
            ("with", [Value::Closure(_)]) => self.common_method(&Value::Null, name, args)?,
            ("asBoolean", []) => Some(Value::Bool(false)),
            ("plus", [Value::Text(text)]) => Some(Value::text(format!("null{text}"))),
            _ => None,
        })
    }

    /// Whether anything answers a name here, as a call or as a variable.
    pub(super) fn answers(&self, env: &Env, name: &str) -> Result<bool, Throw> {
        if self.variable(env, name)?.is_some() {
            return Ok(true);
        }
        if let Value::Script(source) = &env.this
            && source.module.methods.iter().any(|method| *method.name == *name)
        {
            return Ok(true);
        }
        if let Value::Object(object) = &env.this {
            let mut methods = Vec::new();
            object.class.methods(self, name, &mut methods);
            if !methods.is_empty() {
                return Ok(true);
            }
        }
        let mut closure = env.closure.clone();
        while let Some(here) = closure {
            if let Some(Value::Foreign(foreign)) = &*here.delegate.borrow()
                && let Some(answer) = self
                    .host
                    .method(self, foreign, "<answers>", &[Value::text(name)])?
                && answer.truthy()
            {
                return Ok(true);
            }
            closure = here.owner.clone();
        }
        Ok(false)
    }
}

/// `get` + `name` = `getName`.
pub(super) fn accessor(prefix: &str, name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => format!("{prefix}{}{}", first.to_uppercase(), chars.as_str()),
        None => prefix.to_owned(),
    }
}

fn decapitalise(name: &str) -> String {
    let mut chars = name.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    // `URL` stays as it is.
    if chars.clone().next().is_some_and(char::is_uppercase) {
        return name.to_owned();
    }
    format!("{}{}", first.to_lowercase(), chars.as_str())
}

fn list_getter(name: &str) -> &str {
    match name {
        "size" | "length" => "size",
        "empty" => "isEmpty",
        other => other,
    }
}

pub(super) const fn strategy_number(strategy: Strategy) -> i64 {
    match strategy {
        Strategy::OwnerFirst => 0,
        Strategy::DelegateFirst => 1,
        Strategy::OwnerOnly => 2,
        Strategy::DelegateOnly => 3,
    }
}

pub(super) fn strategy(value: &Value) -> Strategy {
    match value {
        Value::Int(1) => Strategy::DelegateFirst,
        Value::Int(2) => Strategy::OwnerOnly,
        Value::Int(3) => Strategy::DelegateOnly,
        _ => Strategy::OwnerFirst,
    }
}
