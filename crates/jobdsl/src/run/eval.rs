//! Expressions.

use super::interp::Interp;
use super::limits::EACH;
use super::scope::Env;
use super::throw::Throw;
use super::value::{Call, Closure, Strategy, Value};
use crate::syntax::{Arg, Args, BinaryOp, ClosureDef, Expr, ExprKind, Part, UnaryOp};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

impl Interp {
    /// The value of an expression.
    pub(crate) fn eval(&self, expr: &Expr, env: &Env) -> Result<Value, Throw> {
        self.step()
            .and_then(|()| self.within(|| self.eval_inner(expr, env)))
            .map_err(|error| error.or_at(&env.source.path, expr.at))
    }

    fn eval_inner(&self, expr: &Expr, env: &Env) -> Result<Value, Throw> {
        match &expr.kind {
            ExprKind::Null => Ok(Value::Null),
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Int(value) => Ok(Value::Int(*value)),
            ExprKind::Decimal(value) => Ok(Value::Decimal(*value)),
            ExprKind::Text(text) => Ok(Value::Text(text.clone())),
            ExprKind::GText(parts) => self.interpolate(parts, env),
            ExprKind::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Arg::Plain(item) => out.push(self.eval(item, env)?),
                        Arg::Spread(list) => {
                            let list = self.eval(list, env)?;
                            out.extend(self.items(&list)?);
                        }
                    }
                }
                self.spend(16 * out.len() + EACH)?;
                Ok(Value::list(out))
            }
            ExprKind::Map(entries) => self.map_of(entries, env),
            ExprKind::Variable(name) => match self.variable(env, name)? {
                Some(value) => Ok(value),
                None => Err(Throw::no_property(name, self.place(env))),
            },
            ExprKind::This => Ok(env.this.clone()),
            ExprKind::Super => Ok(env.this.clone()),
            ExprKind::Closure(def) => {
                self.spend(EACH)?;
                Ok(self.closure(def, env))
            }
            ExprKind::Unary(op, value) => {
                let value = self.eval(value, env)?;
                match op {
                    UnaryOp::Not => Ok(Value::Bool(!self.is_true(&value)?)),
                    UnaryOp::Minus => match value {
                        Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
                        Value::Decimal(value) => Ok(Value::Decimal(-value)),
                        other => self.call_method(&other, &"negative".into(), Vec::new()),
                    },
                    UnaryOp::Plus => Ok(value),
                    UnaryOp::Tilde => self.pattern(&value),
                }
            }
            ExprKind::Binary(op, left, right) => {
                let left = self.eval(left, env)?;
                let right = self.eval(right, env)?;
                self.binary(*op, left, right)
            }
            ExprKind::And(left, right) => {
                let left = self.eval(left, env)?;
                let result = self.is_true(&left)? && {
                    let right = self.eval(right, env)?;
                    self.is_true(&right)?
                };
                Ok(Value::Bool(result))
            }
            ExprKind::Or(left, right) => {
                let left = self.eval(left, env)?;
                let result = self.is_true(&left)? || {
                    let right = self.eval(right, env)?;
                    self.is_true(&right)?
                };
                Ok(Value::Bool(result))
            }
            ExprKind::Ternary(test, then, or) => {
                let test = self.eval(test, env)?;
                let branch = if self.is_true(&test)? { then } else { or };
                self.eval(branch, env)
            }
            ExprKind::Elvis(value, or) => {
                let value = self.eval(value, env)?;
                if self.is_true(&value)? {
                    Ok(value)
                } else {
                    self.eval(or, env)
                }
            }
            ExprKind::Range { from, to, inclusive } => {
                let from = self.eval(from, env)?;
                let to = self.eval(to, env)?;
                self.range(&from, &to, *inclusive)
            }
            ExprKind::Assign { target, op, value } => {
                let value = match op {
                    None => self.eval(value, env)?,
                    Some(op) => {
                        let before = self.eval(target, env)?;
                        let value = self.eval(value, env)?;
                        self.binary(*op, before, value)?
                    }
                };
                self.assign(target, value.clone(), env)?;
                Ok(value)
            }
            ExprKind::AssignIfNull { target, value } => {
                let before = self.eval(target, env)?;
                if self.is_true(&before)? {
                    return Ok(before);
                }
                let value = self.eval(value, env)?;
                self.assign(target, value.clone(), env)?;
                Ok(value)
            }
            ExprKind::Index { of, index, safe } => {
                let of = self.eval(of, env)?;
                if *safe && of.is_null() {
                    return Ok(Value::Null);
                }
                let index = self.eval(index, env)?;
                self.index(&of, &index)
            }
            ExprKind::Property { .. } => self.property_of(expr, env),
            ExprKind::Call { .. } => self.call_of(expr, env),
            ExprKind::CallValue { of, args } => {
                let of = self.eval(of, env)?;
                let args = self.arguments(args, env)?;
                match &of {
                    Value::Closure(closure) => self.call_closure(closure, args),
                    other => self.call_method(other, &"call".into(), args),
                }
            }
            ExprKind::New { class, args, body } => {
                let args = self.arguments(args, env)?;
                if let Some(body) = body {
                    let class = self.declare_class(body, &env.source, None);
                    return self.construct(&class, args, Some(env.clone()));
                }
                if class.array {
                    return match args.first() {
                        Some(Value::Int(size)) if (0..100_000).contains(size) => {
                            let size = usize::try_from(*size).unwrap_or_default();
                            Ok(Value::list(vec![Value::Null; size]))
                        }
                        _ => Err(Throw::exception(
                            "IllegalArgumentException",
                            "an array needs a size up to 100000",
                        )),
                    };
                }
                if let Some(found) = self.find_class(&class.name, &env.source) {
                    let around = matches!(&env.this, Value::Object(_)) && found.outer.is_some();
                    return self.construct(&found, args, around.then(|| env.clone()));
                }
                let name = class.name.rsplit('.').next().unwrap_or_default();
                match self.native(name, "<init>", &args)? {
                    Some(value) => Ok(value),
                    None => Err(Throw::exception(
                        "ClassNotFound",
                        format!(
                            "the class `{}` is neither in the repository nor known here",
                            class.name
                        ),
                    )),
                }
            }
            ExprKind::Cast(kind, value) => {
                let value = self.eval(value, env)?;
                self.cast(value, kind, env)
            }
            ExprKind::InstanceOf(value, kind) => {
                let value = self.eval(value, env)?;
                Ok(Value::Bool(self.instance_of(&value, kind)))
            }
            ExprKind::In(value, of) => {
                let value = self.eval(value, env)?;
                let of = self.eval(of, env)?;
                self.is_case(&of, &value).map(Value::Bool)
            }
            ExprKind::MethodRef { of, name } => {
                let of = self.eval(of, env)?;
                let name = self.eval(name, env)?;
                self.spend(EACH)?;
                Ok(self.closure_of(Call::Method(of, name.show().into()), env))
            }
            ExprKind::Step { target, by, before } => {
                let old = self.eval(target, env)?;
                let new = self.binary(BinaryOp::Add, old.clone(), Value::Int(*by))?;
                self.assign(target, new.clone(), env)?;
                Ok(if *before { new } else { old })
            }
        }
    }

    fn closure_of(&self, call: Call, env: &Env) -> Value {
        self.remember(&env.scope);
        Value::Closure(Rc::new(Closure {
            call,
            scope: Rc::clone(&env.scope),
            this: env.this.clone(),
            owner: env.closure.clone(),
            source: Rc::clone(&env.source),
            delegate: RefCell::new(None),
            strategy: Cell::new(Strategy::OwnerFirst),
            curried: Vec::new(),
            curried_last: Vec::new(),
        }))
    }

    pub(crate) fn closure(&self, def: &Rc<ClosureDef>, env: &Env) -> Value {
        self.closure_of(Call::Block(Rc::clone(def)), env)
    }

    fn interpolate(&self, parts: &[Part], env: &Env) -> Result<Value, Throw> {
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(value) => {
                    let value = self.eval(value, env)?;
                    out.push_str(&self.show(&value)?);
                }
            }
        }
        self.spend(out.len())?;
        Ok(Value::text(out))
    }

    fn call_of(&self, expr: &Expr, env: &Env) -> Result<Value, Throw> {
        let ExprKind::Call {
            of,
            name,
            args,
            safe,
            spread,
            ..
        } = &expr.kind
        else {
            return Ok(Value::Null);
        };
        let name_value = match &name.kind {
            ExprKind::Text(name) => name.clone(),
            _ => {
                let name = self.eval(name, env)?;
                if let Value::Closure(closure) = &name {
                    let args = self.arguments(args, env)?;
                    return self.call_closure(closure, args);
                }
                self.show(&name)?.into()
            }
        };
        let Some(of) = of else {
            let args = self.arguments(args, env)?;
            return self.call_name(env, &name_value, args, expr.at);
        };
        match &of.kind {
            ExprKind::Super => return self.call_super(&name_value, args, env),
            ExprKind::This if &*name_value == "<init>" => {
                let args = self.arguments(args, env)?;
                if let (Value::Object(object), Some(Value::Class(class))) =
                    (&env.this, env.scope.get("<class>"))
                {
                    self.deeper(|| self.constructor(&class, &env.this, object, args))?;
                }
                return Ok(Value::Null);
            }
            ExprKind::This => {
                let args = self.arguments(args, env)?;
                let plain = Env {
                    closure: None,
                    ..env.clone()
                };
                return self.call_name(&plain, &name_value, args, expr.at);
            }
            _ => {}
        }
        // A text with values in it is no `String` yet, and has a `stripIndent` of its own.
        let name_value = if matches!(of.kind, ExprKind::GText(_)) && &*name_value == "stripIndent" {
            "<stripIndent>".into()
        } else {
            name_value
        };
        let target = match self.eval_class_path(of, env)? {
            Some(class) => class,
            None => self.eval(of, env)?,
        };
        if *spread {
            let mut out = Vec::new();
            for item in self.items(&target)? {
                let args = self.arguments(args, env)?;
                out.push(if item.is_null() {
                    Value::Null
                } else {
                    self.call_method(&item, &name_value, args)?
                });
            }
            return Ok(Value::list(out));
        }
        if target.is_null() {
            if *safe {
                return Ok(Value::Null);
            }
            let args = self.arguments(args, env)?;
            return match self.null_method(&name_value, &args)? {
                Some(value) => Ok(value),
                None => Err(Throw::exception(
                    "NullPointerException",
                    format!("`{name_value}` is called on nothing (null)"),
                )),
            };
        }
        let args = self.arguments(args, env)?;
        self.calls_at(&env.source.path, expr.at);
        if let Value::Foreign(_) = &target {
            // The host may want to know where from.
            if let Some(value) = self.try_method(&target, &name_value, &args)? {
                return Ok(value);
            }
            if let Some(value) = self.foreign_unknown(&target, env, &name_value, &args, expr.at)? {
                return Ok(value);
            }
        }
        self.call_method(&target, &name_value, args)
    }

    /// A call on something of the host that it does not answer goes to its last word.
    fn foreign_unknown(
        &self,
        target: &Value,
        env: &Env,
        name: &str,
        args: &[Value],
        at: u32,
    ) -> Result<Option<Value>, Throw> {
        let scope = super::scope::Scope::below(&env.scope);
        scope.declare(&"<target>".into(), target.clone());
        let env = Env { scope, ..env.clone() };
        self.host.unknown(self, &env, name, args, at)
    }

    fn call_super(&self, name: &str, args: &Args, env: &Env) -> Result<Value, Throw> {
        let args = self.arguments(args, env)?;
        let Some(Value::Class(class)) = env.scope.get("<class>") else {
            return Err(Throw::no_method(name, "super", &args));
        };
        if name == "<init>" {
            if let Value::Object(object) = &env.this {
                self.parent_constructor(&class, &env.this, object, args)?;
            }
            return Ok(Value::Null);
        }
        self.super_method(&class, &env.this, name, args)
    }

    /// Dotted names may be classes: `a.b.C`, `Outer.Inner`.
    fn eval_class_path(&self, expr: &Expr, env: &Env) -> Result<Option<Value>, Throw> {
        let Some(path) = dotted(expr) else { return Ok(None) };
        if !path.contains('.') {
            return Ok(None);
        }
        let first = path.split('.').next().unwrap_or_default();
        if first.starts_with(char::is_uppercase) || self.variable(env, first)?.is_some() {
            return Ok(None);
        }
        if let Some(class) = self.find_class(&path, &env.source) {
            return Ok(Some(Value::Class(class)));
        }
        // What follows the class is something of it: a constant of an enumeration, an inner class.
        let mut rest = path
            .split('.')
            .skip_while(|part| !part.starts_with(char::is_uppercase));
        Ok(match (rest.next(), rest.next()) {
            (Some(class), None) => Some(Value::Native(class.into())),
            _ => None,
        })
    }

    fn property_of(&self, expr: &Expr, env: &Env) -> Result<Value, Throw> {
        let ExprKind::Property {
            of,
            name,
            safe,
            spread,
        } = &expr.kind
        else {
            return Ok(Value::Null);
        };
        if let Some(class) = self.eval_class_path(expr, env)? {
            return Ok(class);
        }
        let target = match self.eval_class_path(of, env)? {
            Some(class) => class,
            None => self.eval(of, env)?,
        };
        let name = self.eval(name, env)?;
        let name = self.show(&name)?;
        if *spread {
            let mut out = Vec::new();
            for item in self.items(&target)? {
                out.push(if item.is_null() {
                    Value::Null
                } else {
                    self.property(&item, &name)?
                });
            }
            return Ok(Value::list(out));
        }
        if target.is_null() {
            if *safe {
                return Ok(Value::Null);
            }
            if name == "class" {
                return Ok(Value::Native("NullObject".into()));
            }
            return Err(Throw::exception(
                "NullPointerException",
                format!("`{name}` is read from nothing (null)"),
            ));
        }
        self.property(&target, &name)
    }

    /// Sets a variable, property or element.
    pub(super) fn assign(&self, target: &Expr, value: Value, env: &Env) -> Result<(), Throw> {
        match &target.kind {
            ExprKind::Variable(name) => self.set_variable(env, name, value),
            ExprKind::Property { of, name, safe, .. } => {
                let of = self.eval(of, env)?;
                if *safe && of.is_null() {
                    return Ok(());
                }
                let name = self.eval(name, env)?;
                let name = self.show(&name)?;
                self.set_property(&of, &name, value)
            }
            ExprKind::Index { of, index, .. } => {
                let of = self.eval(of, env)?;
                let index = self.eval(index, env)?;
                self.set_index(&of, &index, value)
            }
            ExprKind::List(targets) => {
                let mut values = self.items(&value)?.into_iter();
                for target in targets {
                    if let Arg::Plain(target) = target {
                        self.assign(target, values.next().unwrap_or(Value::Null), env)?;
                    }
                }
                Ok(())
            }
            _ => Err(Throw::exception(
                "GroovyRuntimeException",
                "nothing can be assigned to this",
            )),
        }
    }

    fn range(&self, from: &Value, to: &Value, inclusive: bool) -> Result<Value, Throw> {
        let limit = |count: i64| -> Result<usize, Throw> {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            self.spend(count.saturating_mul(16))?;
            Ok(count)
        };
        match (from, to) {
            (Value::Int(from), Value::Int(to)) => {
                let (from, to) = (*from, *to);
                let mut items = Vec::new();
                if from <= to {
                    let end = if inclusive { to } else { to - 1 };
                    limit(end.saturating_sub(from).saturating_add(1))?;
                    items.extend((from..=end).map(Value::Int));
                } else {
                    let end = if inclusive { to } else { to + 1 };
                    limit(from.saturating_sub(end).saturating_add(1))?;
                    items.extend((end..=from).rev().map(Value::Int));
                }
                Ok(Value::list(items))
            }
            (Value::Text(from), Value::Text(to)) => {
                let (Some(a), Some(b)) = (from.chars().next(), to.chars().next()) else {
                    return Ok(Value::list(Vec::new()));
                };
                let items: Vec<Value> = if a <= b {
                    (a..=b).map(|c| Value::text(c.to_string())).collect()
                } else {
                    (b..=a).rev().map(|c| Value::text(c.to_string())).collect()
                };
                self.spend(items.len() * 24)?;
                Ok(Value::list(items))
            }
            _ => Err(Throw::exception(
                "IllegalArgumentException",
                format!(
                    "there is no range from {} to {}",
                    from.class_name(),
                    to.class_name()
                ),
            )),
        }
    }

    fn place(&self, env: &Env) -> String {
        match &env.this {
            Value::Script(source) => format!("the script {}", source.path),
            other => other.class_name(),
        }
    }
}

/// `a.b.C` as text.
fn dotted(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Variable(name) => Some(name.to_string()),
        ExprKind::Property {
            of,
            name,
            safe: false,
            spread: false,
        } => {
            let ExprKind::Text(name) = &name.kind else {
                return None;
            };
            let mut path = dotted(of)?;
            path.push('.');
            path.push_str(name);
            Some(path)
        }
        _ => None,
    }
}
