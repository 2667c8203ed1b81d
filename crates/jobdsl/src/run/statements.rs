//! Statements.

use super::class::zero;
use super::interp::Interp;
use super::scope::{Env, Scope};
use super::throw::{Throw, ThrowKind};
use super::value::Value;
use crate::syntax::{Block, Case, Catch, ExprKind, ForHead, Stmt, StmtKind};
use std::rc::Rc;

/// How a statement ended.
pub(super) enum Flow {
    Value(Value),
    Return(Value),
    Break,
    Continue,
}

impl Interp {
    /// The body of a script, method or closure: its value is what it returns, or its last statement's.
    pub(crate) fn body(&self, block: &Block, env: &Env) -> Result<Value, Throw> {
        match self.block(block, env)? {
            Flow::Value(value) | Flow::Return(value) => Ok(value),
            Flow::Break | Flow::Continue => Ok(Value::Null),
        }
    }

    fn block(&self, block: &Block, env: &Env) -> Result<Flow, Throw> {
        let mut last = Value::Null;
        for statement in block {
            match self.statement(statement, env)? {
                Flow::Value(value) => last = value,
                other => return Ok(other),
            }
        }
        Ok(Flow::Value(last))
    }

    fn scoped(&self, block: &Block, env: &Env) -> Result<Flow, Throw> {
        if block.is_empty() {
            return Ok(Flow::Value(Value::Null));
        }
        self.block(block, &env.inner())
    }

    fn statement(&self, statement: &Stmt, env: &Env) -> Result<Flow, Throw> {
        self.step()
            .and_then(|()| self.perform(&statement.kind, statement.at, env))
            .map_err(|error| error.or_at(&env.source.path, statement.at))
    }

    fn perform(&self, kind: &StmtKind, at: u32, env: &Env) -> Result<Flow, Throw> {
        match kind {
            StmtKind::Expr(value) => self.eval(value, env).map(Flow::Value),
            StmtKind::Declare {
                names,
                several,
                value,
            } => {
                let value = match value {
                    Some(value) => Some(self.eval(value, env)?),
                    None => None,
                };
                if *several {
                    let items = match &value {
                        Some(value) => self.items(value)?,
                        None => Vec::new(),
                    };
                    let mut items = items.into_iter();
                    for (name, _) in names {
                        env.scope.declare(name, items.next().unwrap_or(Value::Null));
                    }
                } else {
                    for (name, kind) in names {
                        let value = match (&value, kind) {
                            (Some(value), Some(kind)) => self.coerce(value.clone(), kind, env)?,
                            (Some(value), None) => value.clone(),
                            (None, kind) => zero(kind.as_ref()),
                        };
                        env.scope.declare(name, value);
                    }
                }
                Ok(Flow::Value(Value::Null))
            }
            StmtKind::Group(statements) => {
                for kind in statements {
                    self.perform(kind, at, env)?;
                }
                Ok(Flow::Value(Value::Null))
            }
            StmtKind::AssignAll { names, value } => {
                let value = self.eval(value, env)?;
                let mut items = self.items(&value)?.into_iter();
                for name in names {
                    self.assign(name, items.next().unwrap_or(Value::Null), env)?;
                }
                Ok(Flow::Value(value))
            }
            StmtKind::If { test, then, or } => {
                let branch = if self.truth(test, env)? { then } else { or };
                self.scoped(branch, env)
            }
            StmtKind::While { test, body, first } => {
                let mut go = *first || self.truth(test, env)?;
                while go {
                    self.step()?;
                    match self.scoped(body, env)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Value(_) | Flow::Continue => {}
                    }
                    go = self.truth(test, env)?;
                }
                Ok(Flow::Value(Value::Null))
            }
            StmtKind::For { head, body } => self.for_loop(head, body, env),
            StmtKind::Return(value) => {
                let value = match value {
                    Some(value) => self.eval(value, env)?,
                    None => Value::Null,
                };
                Ok(Flow::Return(value))
            }
            StmtKind::Break => Ok(Flow::Break),
            StmtKind::Continue => Ok(Flow::Continue),
            StmtKind::Throw(value) => Err(Throw {
                kind: ThrowKind::Exception(self.eval(value, env)?),
                at: None,
            }),
            StmtKind::Assert { test, message, text } => {
                if self.truth(test, env)? {
                    return Ok(Flow::Value(Value::Null));
                }
                let message = match message {
                    Some(message) => self.show(&self.eval(message, env)?)?,
                    None => format!("assert {text}"),
                };
                Err(Throw::exception("AssertionError", message))
            }
            StmtKind::Try {
                body,
                catches,
                finally,
            } => self.try_block(body, catches, finally, env),
            StmtKind::Switch { value, cases } => {
                let value = self.eval(value, env)?;
                self.switch(&value, cases, env)
            }
            StmtKind::Block(block) => self.scoped(block, env),
            StmtKind::Shell(line) => {
                self.host.shell(self, env, line, at)?;
                Ok(Flow::Value(Value::Null))
            }
            StmtKind::MaybeShell(value, line) => self.maybe_shell(value, line, at, env),
            StmtKind::Class(class) => {
                self.declare_class(class, &env.source, None);
                Ok(Flow::Value(Value::Null))
            }
            StmtKind::Method(_) => Ok(Flow::Value(Value::Null)),
        }
    }

    /// A line of steps that may be a call or a command: a command if what it names is not there.
    fn maybe_shell(
        &self,
        value: &crate::syntax::Expr,
        line: &str,
        at: u32,
        env: &Env,
    ) -> Result<Flow, Throw> {
        let known = match self.head(value) {
            Some(name) => self.answers(env, name)?,
            None => true,
        };
        if known {
            match self.eval(value, env) {
                // A missing name among the arguments tells too.
                Err(error) if matches!(error.kind, ThrowKind::NoProperty { .. }) => {}
                other => return other.map(Flow::Value),
            }
        }
        self.host.shell(self, env, line, at)?;
        Ok(Flow::Value(Value::Null))
    }

    /// The name a line begins with.
    fn head<'a>(&self, value: &'a crate::syntax::Expr) -> Option<&'a str> {
        match &value.kind {
            ExprKind::Variable(name) => Some(name),
            ExprKind::Call { of: None, name, .. } => match &name.kind {
                ExprKind::Text(name) => Some(name),
                _ => None,
            },
            ExprKind::Call { of: Some(of), .. } | ExprKind::Property { of, .. } => self.head(of),
            ExprKind::Binary(_, left, _) | ExprKind::And(left, _) | ExprKind::Or(left, _) => self.head(left),
            _ => None,
        }
    }

    fn truth(&self, test: &crate::syntax::Expr, env: &Env) -> Result<bool, Throw> {
        let value = self.eval(test, env)?;
        self.is_true(&value)
    }

    fn for_loop(&self, head: &ForHead, body: &Block, env: &Env) -> Result<Flow, Throw> {
        match head {
            ForHead::In { name, values } => {
                let values = self.eval(values, env)?;
                for item in self.items(&values)? {
                    self.step()?;
                    let inner = env.inner();
                    inner.scope.declare(name, item);
                    match self.block(body, &inner)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Value(_) | Flow::Continue => {}
                    }
                }
            }
            ForHead::Classic { init, test, step } => {
                let env = env.inner();
                self.block(init, &env)?;
                loop {
                    self.step()?;
                    if let Some(test) = test
                        && !self.truth(test, &env)?
                    {
                        break;
                    }
                    match self.scoped(body, &env)? {
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Value(_) | Flow::Continue => {}
                    }
                    for step in step {
                        self.eval(step, &env)?;
                    }
                }
            }
        }
        Ok(Flow::Value(Value::Null))
    }

    fn try_block(&self, body: &Block, catches: &[Catch], finally: &Block, env: &Env) -> Result<Flow, Throw> {
        let mut result = self.scoped(body, env);
        if let Err(error) = &result
            && let Some(thrown) = caught(error)
            && let Some(catch) = catches.iter().find(|catch| self.catches(catch, &thrown))
        {
            let inner = env.inner();
            inner.scope.declare(&catch.name, thrown);
            result = self.block(&catch.body, &inner);
        }
        if !finally.is_empty() {
            match self.scoped(finally, env)? {
                Flow::Value(_) => {}
                other => return Ok(other),
            }
        }
        result
    }

    fn catches(&self, catch: &Catch, thrown: &Value) -> bool {
        catch.types.is_empty()
            || catch.types.iter().any(|kind| {
                let wanted = kind.name.rsplit('.').next().unwrap_or_default();
                let general = matches!(
                    wanted,
                    "Exception" | "Throwable" | "RuntimeException" | "def" | "GroovyRuntimeException"
                );
                match thrown {
                    Value::Exception(exception) => {
                        let found = &*exception.class;
                        found == wanted
                            || (general && !(wanted != "Throwable" && found.ends_with("Error")))
                            || (wanted == "Error" && found.ends_with("Error"))
                            || (wanted == "IOException" && found == "FileNotFoundException")
                    }
                    Value::Object(object) => general || object.class.is_a(self, wanted),
                    _ => true,
                }
            })
    }

    fn switch(&self, value: &Value, cases: &[Case], env: &Env) -> Result<Flow, Throw> {
        let mut start = None;
        for (index, case) in cases.iter().enumerate() {
            let Some(test) = &case.value else { continue };
            let test = self.eval(test, env)?;
            if self.is_case(&test, value)? {
                start = Some(index);
                break;
            }
        }
        let start = start.or_else(|| cases.iter().position(|case| case.value.is_none()));
        let Some(start) = start else {
            return Ok(Flow::Value(Value::Null));
        };
        let inner = Env {
            scope: Scope::below(&env.scope),
            ..env.clone()
        };
        let mut last = Value::Null;
        for case in cases.iter().skip(start) {
            match self.block(&case.body, &inner)? {
                Flow::Break => return Ok(Flow::Value(last)),
                Flow::Value(value) => last = value,
                other => return Ok(other),
            }
        }
        Ok(Flow::Value(last))
    }
}

/// What a `catch` gets; none for what cannot be caught.
fn caught(error: &Throw) -> Option<Value> {
    let missing = |class: &str| {
        Value::Exception(Rc::new(super::value::Exception {
            class: class.into(),
            message: Value::text(error.message()),
        }))
    };
    match &error.kind {
        ThrowKind::Exception(value) => Some(value.clone()),
        ThrowKind::NoMethod { .. } => Some(missing("MissingMethodException")),
        ThrowKind::NoProperty { .. } => Some(missing("MissingPropertyException")),
        ThrowKind::Limit(_) => None,
    }
}
