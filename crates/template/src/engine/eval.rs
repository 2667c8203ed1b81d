//! Evaluates pipelines: commands, fields, methods, calls.

use super::builtins;
use super::exec::{At, MissingKey, State, Walked};
use super::node::{Command, Expr, Kind, Pipe};
use super::value::{Function, Member, Value};
use std::sync::Arc;

/// How deep values may nest.
const NESTING: u32 = 200;

impl<'a> State<'a> {
    /// A pipeline's value; its variables are set.
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'a Pipe) -> Walked<Value> {
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            let result = self.command(dot, command, value.take())?;
            // What an interface holds, or nothing.
            value = Some(match result {
                Value::Nil => Value::Missing,
                other => other,
            });
        }
        let value = value.unwrap_or(Value::Missing);
        for variable in &pipe.variables {
            if pipe.assign {
                self.assign(&At(pipe.pos, pipe), variable, value.clone())?;
            } else {
                self.variables.push((variable.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Walked<Value> {
        let first = &command.first;
        let has_arguments = !command.arguments.is_empty() || last.is_some();
        match &first.kind {
            Kind::Field(names) => {
                return self.chain(dot, dot.clone(), first, names, &command.arguments, last);
            }
            Kind::Chain(inner, names) => {
                let receiver = self.chain_head(dot, first, inner)?;
                return self.chain(dot, receiver, first, names, &command.arguments, last);
            }
            Kind::Variable(name, names) if !names.is_empty() => {
                let receiver = self.variable(first, name)?;
                return self.chain(dot, receiver, first, names, &command.arguments, last);
            }
            Kind::Identifier(name) => {
                let at = At(first.pos, command);
                return self.call_named(dot, &at, name, &command.arguments, last);
            }
            _ if has_arguments => {
                let shown = match &first.kind {
                    Kind::Pipe(pipe) => pipe.to_string(),
                    _ => first.to_string(),
                };
                return self.fail(
                    &At(first.pos, first),
                    format!("can't give argument to non-function {shown}"),
                );
            }
            _ => {}
        }
        match &first.kind {
            Kind::Nil => self.fail(&At(first.pos, first), "nil is not a command"),
            _ => self.operand(dot, first),
        }
    }

    fn variable(&self, at: &Expr, name: &str) -> Walked<Value> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(&At(at.pos, at), format!("undefined variable: {name}")),
        }
    }

    fn chain_head(&mut self, dot: &Value, chain: &'a Expr, inner: &'a Expr) -> Walked<Value> {
        match &inner.kind {
            Kind::Nil => self.fail(
                &At(chain.pos, chain),
                format!("indirection through explicit nil in {chain}"),
            ),
            Kind::Pipe(pipe) => self.pipeline(dot, pipe),
            _ => self.operand(dot, inner),
        }
    }

    /// An operand's value, without arguments.
    fn operand(&mut self, dot: &Value, expr: &'a Expr) -> Walked<Value> {
        let at = At(expr.pos, expr);
        match &expr.kind {
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => Ok(Value::Nil),
            Kind::Bool(b) => Ok(Value::Bool(*b)),
            Kind::String(_, value) => Ok(value.clone()),
            Kind::Number(number) => match number.ideal() {
                Ok(value) => Ok(value),
                Err(message) => self.fail(&at, message),
            },
            Kind::Field(names) => self.chain(dot, dot.clone(), expr, names, &[], None),
            Kind::Variable(name, names) => {
                let value = self.variable(expr, name)?;
                if names.is_empty() {
                    return Ok(value);
                }
                self.chain(dot, value, expr, names, &[], None)
            }
            Kind::Chain(inner, names) => {
                let receiver = self.chain_head(dot, expr, inner)?;
                self.chain(dot, receiver, expr, names, &[], None)
            }
            Kind::Identifier(name) => self.call_named(dot, &at, name, &[], None),
            Kind::Pipe(pipe) => self.pipeline(dot, pipe),
        }
    }

    /// Fields of fields; the last one may be a method that takes the arguments.
    fn chain(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        expr: &'a Expr,
        names: &[String],
        arguments: &'a [Expr],
        last: Option<Value>,
    ) -> Walked<Value> {
        let Some((method, fields)) = names.split_last() else {
            return Ok(receiver);
        };
        for name in fields {
            receiver = self.field(dot, &receiver, expr, name, &[], None)?;
        }
        self.field(dot, &receiver, expr, method, arguments, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        expr: &'a Expr,
        name: &str,
        arguments: &'a [Expr],
        last: Option<Value>,
    ) -> Walked<Value> {
        let at = At(expr.pos, expr);
        let has_arguments = !arguments.is_empty() || last.is_some();
        let type_name = receiver.type_name();
        if let Some(member) = receiver.member(name) {
            return match member {
                Member::Method(method) => self.call(dot, &at, name, &method, arguments, last),
                Member::Field(_) if has_arguments => self.fail(
                    &at,
                    format!("{name} has arguments but cannot be invoked as function"),
                ),
                Member::Field(value) => Ok(value),
                Member::Hidden => self.fail(
                    &at,
                    format!("{name} is an unexported field of struct type {type_name}"),
                ),
                Member::Nil => self.fail(&at, format!("nil pointer evaluating {type_name}.{name}")),
                Member::None => self.fail(&at, format!("can't evaluate field {name} in type {type_name}")),
            };
        }
        match receiver.base() {
            Value::Missing if self.run.missing_key == MissingKey::Error => self.fail(
                &at,
                format!(
                    "nil data; no entry for key {}",
                    super::printf::quote(name.as_bytes(), false)
                ),
            ),
            Value::Missing => Ok(Value::Missing),
            Value::Nil => {
                let type_name = match receiver {
                    Value::Typed(_) => &type_name,
                    _ => "interface {}",
                };
                self.fail(&at, format!("nil pointer evaluating {type_name}.{name}"))
            }
            Value::Map(_) if has_arguments => {
                self.fail(&at, format!("{name} is not a method but has arguments"))
            }
            Value::Map(entries) => match (entries.get(name), self.run.missing_key) {
                (Some(value), _) => Ok(value.clone()),
                (None, MissingKey::Invalid) => Ok(Value::Missing),
                (None, MissingKey::Zero) => Ok(builtins::zero(receiver)),
                (None, MissingKey::Error) => self.fail(
                    &at,
                    format!(
                        "map has no entry for key {}",
                        super::printf::quote(name.as_bytes(), false)
                    ),
                ),
            },
            _ => self.fail(&at, format!("can't evaluate field {name} in type {type_name}")),
        }
    }

    fn call_named(
        &mut self,
        dot: &Value,
        at: &At<'_>,
        name: &str,
        arguments: &'a [Expr],
        last: Option<Value>,
    ) -> Walked<Value> {
        let run = self.run;
        if let Some(function) = run.functions.get(name) {
            let result = self.call(dot, at, name, function, arguments, last)?;
            if (run.in_place)(name)
                && let Some(Kind::Variable(variable, fields)) = arguments.first().map(|a| &a.kind)
                && fields.is_empty()
            {
                self.assign(at, variable, result.clone())?;
            }
            return Ok(result);
        }
        if matches!(name, "and" | "or") {
            return self.short_circuit(dot, at, name, arguments, last);
        }
        let Some(function) = builtins::get(name) else {
            return self.fail(
                at,
                format!(
                    "{} is not a defined function",
                    super::printf::quote(name.as_bytes(), false)
                ),
            );
        };
        let given = arguments.len() + usize::from(last.is_some());
        if let Some(message) = builtins::wrong_count(name, given) {
            return self.fail(at, message);
        }
        if builtins::refuses_nil(name)
            && let Some(Expr { kind: Kind::Nil, .. }) = arguments.first()
        {
            return self.fail(at, "cannot assign nil to string");
        }
        let values = self.arguments(dot, arguments, last)?;
        if name == "call" {
            let called = arguments.first().map_or_else(String::new, ToString::to_string);
            return match values.split_first() {
                Some((Value::Function(function), rest)) => {
                    let result = function(rest);
                    self.checked(at, "call", result)
                }
                Some((Value::Nil, _)) => self.fail(at, "error calling call: call of nil"),
                Some((other, _)) => {
                    let message = format!(
                        "error calling call: non-function {called} of type {}",
                        other.type_name()
                    );
                    self.fail(at, message)
                }
                None => self.fail(at, "wrong number of args for call: want at least 1 got 0"),
            };
        }
        let result = function(&values);
        self.checked(at, name, result)
    }

    fn call(
        &mut self,
        dot: &Value,
        at: &At<'_>,
        name: &str,
        function: &Function,
        arguments: &'a [Expr],
        last: Option<Value>,
    ) -> Walked<Value> {
        let function = Arc::clone(function);
        let values = self.arguments(dot, arguments, last)?;
        let result = function(&values);
        self.checked(at, name, result)
    }

    /// A function's result, if it is not too large to go on with.
    fn checked(&mut self, at: &At<'_>, name: &str, result: super::value::Result<Value>) -> Walked<Value> {
        let value = match result {
            Ok(value) => value,
            Err(fault) => return self.fail(at, format!("error calling {name}: {fault}")),
        };
        if value.depth() > NESTING {
            return self.fail(
                at,
                format!("error calling {name}: the result nests more than {NESTING} deep"),
            );
        }
        let size = match value.base() {
            Value::List(items) => items.len().saturating_mul(size_of::<Value>()),
            Value::Map(entries) => entries.len().saturating_mul(size_of::<Value>()),
            other => other.bytes().map_or(0, <[u8]>::len),
        };
        if !self.run.budget.make(size) {
            return self.fail(at, format!("error calling {name}: the results grow too large"));
        }
        Ok(value)
    }

    fn arguments(&mut self, dot: &Value, arguments: &'a [Expr], last: Option<Value>) -> Walked<Vec<Value>> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(present(self.operand(dot, argument)?));
        }
        values.extend(last.map(present));
        Ok(values)
    }

    fn short_circuit(
        &mut self,
        dot: &Value,
        at: &At<'_>,
        name: &str,
        arguments: &'a [Expr],
        last: Option<Value>,
    ) -> Walked<Value> {
        let mut value = None;
        for argument in arguments {
            let next = self.operand(dot, argument)?;
            if next.is_truthy() == (name == "or") {
                return Ok(next);
            }
            value = Some(next);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => self.fail(
                at,
                format!("wrong number of args for {name}: want at least 1 got 0"),
            ),
        }
    }
}

/// Functions see nil where there is nothing.
fn present(value: Value) -> Value {
    match value {
        Value::Missing => Value::Nil,
        other => other,
    }
}
