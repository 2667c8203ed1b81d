//! Calls: who answers a name, which of several methods fits, how arguments meet parameters.

use super::class::Class;
use super::interp::Interp;
use super::scope::{Env, Scope};
use super::throw::Throw;
use super::value::{Call, Closure, Strategy, Value};
use crate::syntax::{Arg, Args, Key as SyntaxKey, MethodDef, Name, Param, TypeName};
use std::rc::Rc;

/// A method and the class it is from.
type Candidate = (Rc<Class>, Rc<MethodDef>);

impl Interp {
    /// The values of arguments; named ones become a map in front.
    pub(super) fn arguments(&self, args: &Args, env: &Env) -> Result<Vec<Value>, Throw> {
        let mut out = Vec::with_capacity(args.plain.len() + 1);
        if !args.named.is_empty() {
            out.push(self.map_of(&args.named, env)?);
        }
        for arg in &args.plain {
            match arg {
                Arg::Plain(value) => out.push(self.eval(value, env)?),
                Arg::Spread(list) => {
                    let list = self.eval(list, env)?;
                    out.extend(self.items(&list)?);
                }
            }
        }
        Ok(out)
    }

    pub(super) fn map_of(
        &self,
        entries: &[(SyntaxKey, crate::syntax::Expr)],
        env: &Env,
    ) -> Result<Value, Throw> {
        self.spend(super::limits::EACH)?;
        let map = Value::map([]);
        if let Value::Map(inner) = &map {
            for (key, value) in entries {
                let value = self.eval(value, env)?;
                match key {
                    SyntaxKey::Name(name) => {
                        inner.put(super::value::Key::Text(name.clone()), value);
                    }
                    SyntaxKey::Value(key) => {
                        let key = self.eval(key, env)?.key();
                        if let super::value::Key::Other(text, _) = &key {
                            self.spend(text.len().saturating_mul(64))?;
                        }
                        inner.put(key, value);
                    }
                    SyntaxKey::Spread => {
                        if let Value::Map(other) = &value {
                            for (key, value) in other.pairs() {
                                inner.put(key, value);
                            }
                        }
                    }
                }
                self.spend(32)?;
            }
        }
        Ok(map)
    }

    /// `name(args)` without a receiver.
    pub(super) fn call_name(&self, env: &Env, name: &str, args: Vec<Value>, at: u32) -> Result<Value, Throw> {
        if let Some(Value::Closure(closure)) = env.scope.get(name) {
            return self.call_closure(&closure, args);
        }
        self.calls_at(&env.source.path, at);
        let found = match &env.closure {
            Some(closure) => self.closure_method(closure, name, &args)?,
            None => self.own_method(&env.this, env, name, &args)?,
        };
        if let Some(value) = found {
            return Ok(value);
        }
        // A property that holds a closure can be called.
        if let Some(Value::Closure(closure)) = self.variable(env, name)? {
            return self.call_closure(&closure, args);
        }
        if let Some(value) = self.static_import(env, name, &args)? {
            return Ok(value);
        }
        if let Some(value) = self.host.call(self, env, name, &args)? {
            return Ok(value);
        }
        // Methods of the script, called from its classes.
        if let Some(value) = self.host.unknown(self, env, name, &args, at)? {
            return Ok(value);
        }
        Err(Throw::no_method(name, self.whom(env), &args))
    }

    fn whom(&self, env: &Env) -> String {
        match &env.this {
            Value::Script(source) => format!("the script {}", source.path),
            other => other.class_name(),
        }
    }

    /// Asks those behind a closure, in its order.
    pub(super) fn closure_method(
        &self,
        closure: &Rc<Closure>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        self.behind(closure, name, args, false)
    }

    /// The same; `real` leaves out those that answer everything.
    fn behind(
        &self,
        closure: &Rc<Closure>,
        name: &str,
        args: &[Value],
        real: bool,
    ) -> Result<Option<Value>, Throw> {
        match name {
            "call" | "doCall" => return self.call_closure(closure, args.to_vec()).map(Some),
            "getDelegate" => return Ok(Some(delegate(closure))),
            "getOwner" => return Ok(Some(owner(closure))),
            _ => {}
        }
        let delegate = closure.delegate.borrow().clone();
        let all = matches!(&delegate, Some(Value::Foreign(foreign)) if foreign.answers_all());
        let to_delegate = || -> Result<Option<Value>, Throw> {
            match &delegate {
                // A closure that delegates to itself asks nobody.
                Some(Value::Closure(other)) if Rc::ptr_eq(other, closure) => Ok(None),
                Some(_) if all && real => Ok(None),
                Some(delegate) => self.deeper(|| self.try_method(delegate, name, args)),
                None => Ok(None),
            }
        };
        let to_owner = |real: bool| -> Result<Option<Value>, Throw> {
            self.deeper(|| match &closure.owner {
                Some(owner) => self.behind(owner, name, args, real),
                None => {
                    let env = Env {
                        scope: Rc::clone(&closure.scope),
                        this: closure.this.clone(),
                        closure: None,
                        source: Rc::clone(&closure.source),
                    };
                    self.own_method(&closure.this, &env, name, args)
                }
            })
        };
        Ok(match closure.strategy.get() {
            Strategy::OwnerFirst => match to_owner(real || all)? {
                Some(value) => Some(value),
                None => to_delegate()?,
            },
            Strategy::DelegateFirst => match to_delegate()? {
                Some(value) => Some(value),
                None => to_owner(real)?,
            },
            Strategy::OwnerOnly => to_owner(real)?,
            Strategy::DelegateOnly => to_delegate()?,
        })
    }

    /// A method of `this`, that of its class and of the classes around it.
    pub(super) fn own_method(
        &self,
        this: &Value,
        env: &Env,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        if let Some(value) = self.try_method(this, name, args)? {
            return Ok(Some(value));
        }
        if let Value::Object(object) = this
            && let Some(around) = &object.around
        {
            let found = match &around.closure {
                Some(closure) => self.closure_method(closure, name, args)?,
                None => self.own_method(&around.this, around, name, args)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        let mut class = match this {
            Value::Object(object) => Some(Rc::clone(&object.class)),
            Value::Class(class) => Some(Rc::clone(class)),
            _ => match env.scope.get("<class>") {
                Some(Value::Class(class)) => Some(class),
                _ => None,
            },
        };
        while let Some(here) = class {
            if let Some(value) = self.static_method(&here, name, args)? {
                return Ok(Some(value));
            }
            class = here.outer.clone();
        }
        Ok(None)
    }

    fn static_import(&self, env: &Env, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
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
            if let Some(class) = self.load_class(class)
                && let Some(value) = self.static_method(&class, member, args)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// A static method of a class or those above it.
    pub(super) fn static_method(
        &self,
        class: &Rc<Class>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let mut methods = Vec::new();
        class.methods(self, name, &mut methods);
        methods.retain(|(_, method)| method.is_static);
        match self.choose(&methods, args) {
            Some((class, method)) => {
                self.prepare(&class)?;
                let env = self.class_env(&class, Value::Class(Rc::clone(&class)));
                self.invoke(&method, args.to_vec(), env).map(Some)
            }
            None => Ok(None),
        }
    }

    /// `super.name(args)`, from a method of `below`.
    pub(super) fn super_method(
        &self,
        below: &Rc<Class>,
        this: &Value,
        name: &str,
        args: Vec<Value>,
    ) -> Result<Value, Throw> {
        let mut methods = Vec::new();
        for parent in below.parents(self) {
            parent.methods(self, name, &mut methods);
        }
        match self.choose(&methods, &args) {
            Some((class, method)) => {
                let env = self.class_env(&class, this.clone());
                self.invoke(&method, args, env)
            }
            None => match self.common_method(this, name, &args)? {
                Some(value) => Ok(value),
                None => Err(Throw::no_method(
                    name,
                    format!("the parent of {}", below.name),
                    &args,
                )),
            },
        }
    }

    /// Runs a method of a script or class.
    pub(super) fn invoke(&self, method: &Rc<MethodDef>, args: Vec<Value>, env: Env) -> Result<Value, Throw> {
        self.step()?;
        self.deeper(|| {
            self.bind(&method.params, args, &env)?;
            self.body(&method.body, &env)
        })
    }

    /// Calls a closure.
    pub(crate) fn call_closure(&self, closure: &Rc<Closure>, args: Vec<Value>) -> Result<Value, Throw> {
        self.step()?;
        let args = if closure.curried.is_empty() && closure.curried_last.is_empty() {
            args
        } else {
            let mut all = closure.curried.clone();
            all.extend(args);
            all.extend(closure.curried_last.iter().cloned());
            all
        };
        let def = match &closure.call {
            Call::Block(def) => def,
            Call::Method(of, name) => return self.call_method(of, name, args),
            Call::Chain(first, then) => {
                // Whom the chain delegates to, its parts do.
                let part = |part: &Rc<Closure>| match &*closure.delegate.borrow() {
                    Some(delegate @ Value::Foreign(_)) => {
                        let copy = part.copy();
                        *copy.delegate.borrow_mut() = Some(delegate.clone());
                        copy.strategy.set(closure.strategy.get());
                        Rc::new(copy)
                    }
                    _ => Rc::clone(part),
                };
                let (first, then) = (part(first), part(then));
                return self.deeper(|| {
                    let value = self.call_closure(&first, args)?;
                    self.call_closure(&then, vec![value])
                });
            }
        };
        self.deeper(|| {
            let env = Env {
                scope: Scope::below(&closure.scope),
                this: closure.this.clone(),
                closure: Some(Rc::clone(closure)),
                source: Rc::clone(&closure.source),
            };
            match &def.params {
                None => {
                    let it = args.into_iter().next().unwrap_or(Value::Null);
                    env.scope.declare(&"it".into(), it);
                }
                Some(params) => {
                    let args = match args.as_slice() {
                        [Value::List(items)] if params.len() > 1 => items.borrow().clone(),
                        _ => args,
                    };
                    self.bind(params, args, &env)?;
                }
            }
            self.body(&def.body, &env)
        })
    }

    /// Gives parameters their values: arguments, defaults, the rest.
    fn bind(&self, params: &[Param], args: Vec<Value>, env: &Env) -> Result<(), Throw> {
        let required = params
            .iter()
            .filter(|param| param.default.is_none() && !param.rest)
            .count();
        // Arguments beyond the required ones fill those with defaults, from the left.
        let mut optional = args.len().saturating_sub(required);
        let mut args = args.into_iter();
        for param in params {
            let value = if param.rest {
                Value::list(args.by_ref().collect())
            } else {
                match &param.default {
                    Some(default) if optional == 0 => self.eval(default, env)?,
                    default => {
                        if default.is_some() {
                            optional -= 1;
                        }
                        args.next().unwrap_or(Value::Null)
                    }
                }
            };
            let value = match &param.kind {
                Some(kind) if !param.rest => self.coerce(value, kind, env)?,
                _ => value,
            };
            env.scope.declare(&param.name, value);
        }
        Ok(())
    }

    /// The method that fits the arguments best; of equals the first.
    pub(super) fn choose(
        &self,
        methods: &[(Rc<Class>, Rc<MethodDef>)],
        args: &[Value],
    ) -> Option<(Rc<Class>, Rc<MethodDef>)> {
        let mut best: Option<(u32, &Candidate)> = None;
        for entry in methods {
            if let Some(score) = self.fits(&entry.1.params, args)
                && best.as_ref().is_none_or(|(found, _)| score > *found)
            {
                best = Some((score, entry));
            }
        }
        best.map(|(_, (class, method))| (Rc::clone(class), Rc::clone(method)))
    }

    /// How well parameters fit arguments, if they do.
    pub(super) fn fits(&self, params: &[Param], args: &[Value]) -> Option<u32> {
        let required = params
            .iter()
            .filter(|param| param.default.is_none() && !param.rest)
            .count();
        let rest = params.iter().any(|param| param.rest);
        if args.len() < required || (args.len() > params.len() && !rest) {
            // A lone parameter may be left out: it is null then.
            return (args.is_empty() && params.len() == 1).then_some(0);
        }
        let mut score = if rest { 1 } else { 2 };
        let mut optional = args.len().saturating_sub(required);
        let mut args = args.iter();
        for param in params {
            if param.rest {
                break;
            }
            if param.default.is_some() {
                if optional == 0 {
                    continue;
                }
                optional -= 1;
            }
            let Some(value) = args.next() else { break };
            match &param.kind {
                None => score += 1,
                Some(kind) => score += self.accepts(kind, value)?,
            }
        }
        Some(score)
    }

    /// How well a value fits a type, if it does.
    pub(crate) fn accepts(&self, kind: &TypeName, value: &Value) -> Option<u32> {
        let name = kind.name.rsplit('.').next().unwrap_or_default();
        if kind.array {
            return matches!(value, Value::List(_) | Value::Null).then_some(3);
        }
        let exact = |fits: bool| fits.then_some(4);
        match name {
            "Object" | "def" | "T" | "Serializable" => return Some(1),
            _ if value.is_null() => {
                return (!matches!(name, "int" | "boolean" | "long" | "double")).then_some(1);
            }
            "String" | "CharSequence" | "GString" => {
                return exact(matches!(value, Value::Text(_) | Value::Buffer(_)));
            }
            "int" | "Integer" | "long" | "Long" | "short" | "byte" | "BigInteger" | "Number" => {
                return exact(
                    matches!(value, Value::Int(_))
                        || (name == "Number" && matches!(value, Value::Decimal(_))),
                );
            }
            "double" | "Double" | "float" | "Float" | "BigDecimal" => {
                return match value {
                    Value::Decimal(_) => Some(4),
                    Value::Int(_) => Some(2),
                    _ => None,
                };
            }
            "boolean" | "Boolean" => return exact(matches!(value, Value::Bool(_))),
            "List" | "ArrayList" | "LinkedList" | "Collection" | "Iterable" | "Set" | "LinkedHashSet"
            | "HashSet" | "Range" => {
                return exact(matches!(value, Value::List(_)));
            }
            "Map" | "HashMap" | "LinkedHashMap" | "TreeMap" => return exact(matches!(value, Value::Map(_))),
            "Closure" => return exact(matches!(value, Value::Closure(_))),
            "Node" => return exact(matches!(value, Value::Node(_))),
            "Class" => return exact(matches!(value, Value::Class(_) | Value::Native(_))),
            _ => {}
        }
        match value {
            Value::Object(object) => {
                if object.class.is_a(self, name) {
                    Some(if *object.class.name == *name { 4 } else { 3 })
                } else {
                    None
                }
            }
            Value::Closure(_) => Some(1),
            // Types of the platform that are not known here fit what is not of a script's own.
            Value::Text(_) | Value::Int(_) | Value::Bool(_) | Value::Map(_) | Value::List(_) => None,
            _ => Some(1),
        }
    }

    /// Calls a method, or says that there is none.
    pub(crate) fn call_method(&self, of: &Value, name: &Name, args: Vec<Value>) -> Result<Value, Throw> {
        match self.try_method(of, name, &args)? {
            Some(value) => Ok(value),
            None => {
                // A property that holds a closure can be called.
                if let Ok(Some(Value::Closure(closure))) = self.try_property(of, name) {
                    return self.call_closure(&closure, args);
                }
                Err(Throw::no_method(name, of.class_name(), &args))
            }
        }
    }
}

/// Whom a closure delegates to.
pub(super) fn delegate(closure: &Rc<Closure>) -> Value {
    closure
        .delegate
        .borrow()
        .clone()
        .unwrap_or_else(|| owner(closure))
}

/// What a closure was made in.
pub(super) fn owner(closure: &Rc<Closure>) -> Value {
    match &closure.owner {
        Some(owner) => Value::Closure(Rc::clone(owner)),
        None => closure.this.clone(),
    }
}
