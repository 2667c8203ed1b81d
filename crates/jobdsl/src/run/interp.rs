//! The interpreter's state: limits, classes, the host.

use super::class::Class;
use super::limits::Limits;
use super::scope::{Env, Scope};
use super::throw::Throw;
use super::value::{Closure, Foreign, Map, Value};
use crate::syntax::{Module, Name, SyntaxError, parse};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// A file that was read.
pub(crate) struct Source {
    /// Its path, for messages.
    pub(crate) path: Name,
    pub(crate) module: Module,
    /// Variables of the script that its methods see.
    pub(crate) binding: Rc<Map>,
    pub(crate) scope: Rc<Scope>,
}

/// What scripts may reach beyond themselves.
pub(crate) trait Host {
    /// A function without receiver: `job`, `println`, …
    fn call(&self, interp: &Interp, env: &Env, name: &str, args: &[Value]) -> Result<Option<Value>, Throw>;
    /// A variable that is not the script's own.
    fn variable(&self, name: &str) -> Option<Value>;
    /// A method of something of the host.
    fn method(
        &self,
        interp: &Interp,
        of: &Rc<dyn Foreign>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw>;
    /// A property of something of the host.
    fn property(&self, interp: &Interp, of: &Rc<dyn Foreign>, name: &str) -> Result<Option<Value>, Throw>;
    /// The last word about a call that nothing answers.
    fn unknown(
        &self,
        interp: &Interp,
        env: &Env,
        name: &str,
        args: &[Value],
        at: u32,
    ) -> Result<Option<Value>, Throw>;
    /// A line that is a command.
    fn shell(&self, interp: &Interp, env: &Env, line: &str, at: u32) -> Result<(), Throw>;
    /// The text of the file of a class, by path without ending (`a/b/C`), and its path.
    fn class_file(&self, path: &str) -> Option<(String, String)>;
    /// A method or constructor of a platform class.
    fn native(
        &self,
        interp: &Interp,
        class: &str,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw>;
    /// Text a script prints.
    fn print(&self, text: &str);
}

/// The interpreter.
pub(crate) struct Interp {
    pub(crate) host: Rc<dyn Host>,
    limits: Limits,
    steps: Cell<u64>,
    depth: Cell<usize>,
    nesting: Cell<usize>,
    memory: Cell<u64>,
    pub(super) classes: RefCell<HashMap<String, Option<Rc<Class>>>>,
    /// Scopes that closures hold: they are emptied at the end, since a closure in its own scope is a cycle.
    scopes: RefCell<Vec<Weak<Scope>>>,
    /// Where the script called something last: its file, and the byte offset in it.
    place: RefCell<(Rc<str>, u32)>,
}

impl Interp {
    pub(crate) fn new(host: Rc<dyn Host>, limits: Limits) -> Self {
        Self {
            host,
            limits,
            steps: Cell::new(0),
            depth: Cell::new(0),
            nesting: Cell::new(0),
            memory: Cell::new(0),
            classes: RefCell::default(),
            scopes: RefCell::default(),
            place: RefCell::new(("".into(), 0)),
        }
    }

    /// Remembers where the script calls something, for hosts that want to say where from.
    pub(super) fn calls_at(&self, path: &Rc<str>, at: u32) {
        self.place.replace((Rc::clone(path), at));
    }

    /// Where the script called something last.
    pub(crate) fn called_at(&self) -> (Rc<str>, u32) {
        self.place.borrow().clone()
    }

    /// Reads a file.
    pub(crate) fn load(path: &str, text: &str) -> Result<Rc<Source>, SyntaxError> {
        let module = parse(text)?;
        Ok(Rc::new(Source {
            path: path.into(),
            module,
            binding: Rc::default(),
            scope: Scope::root(),
        }))
    }

    /// Reads a text that a script hands over: reading is work, and what is read is kept, so that both are counted.
    pub(crate) fn read(&self, path: &str, text: &str) -> Result<Result<Rc<Source>, SyntaxError>, Throw> {
        self.spend(text.len().saturating_mul(8))?;
        let work = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.steps.set(self.steps.get().saturating_add(work));
        self.step()?;
        Ok(Self::load(path, text))
    }

    /// Runs a script to its end.
    pub(crate) fn run(&self, source: &Rc<Source>) -> Result<Value, Throw> {
        for class in &source.module.classes {
            self.declare_class(class, source, None);
        }
        let env = Env {
            scope: Rc::clone(&source.scope),
            this: Value::Script(Rc::clone(source)),
            closure: None,
            source: Rc::clone(source),
        };
        self.remember(&source.scope);
        self.body(&source.module.body, &env)
    }

    /// Counts a step.
    pub(super) fn step(&self) -> Result<(), Throw> {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        if steps > self.limits.steps {
            return Err(Throw::limit(format!(
                "the script does not come to an end: it was stopped after {} steps",
                self.limits.steps
            )));
        }
        Ok(())
    }

    /// Counts memory.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), Throw> {
        let memory = self
            .memory
            .get()
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.memory.set(memory);
        if memory > self.limits.memory {
            return Err(Throw::limit(format!(
                "the script makes too much: it was stopped at {} MiB of texts and collections",
                self.limits.memory / 1024 / 1024
            )));
        }
        Ok(())
    }

    /// Goes one expression deeper: a long chain of operators nests as deep as it is long.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> Result<T, Throw>) -> Result<T, Throw> {
        let nesting = self.nesting.get() + 1;
        if nesting > self.limits.nesting {
            return Err(Throw::limit(format!(
                "expressions nest deeper than {} levels",
                self.limits.nesting
            )));
        }
        self.nesting.set(nesting);
        let result = work();
        self.nesting.set(nesting - 1);
        result
    }

    /// Goes one call deeper.
    pub(super) fn deeper<T>(&self, work: impl FnOnce() -> Result<T, Throw>) -> Result<T, Throw> {
        let depth = self.depth.get() + 1;
        if depth > self.limits.depth {
            return Err(Throw::limit(format!(
                "calls nest deeper than {} levels",
                self.limits.depth
            )));
        }
        self.depth.set(depth);
        let result = work();
        self.depth.set(depth - 1);
        result
    }

    pub(super) fn remember(&self, scope: &Rc<Scope>) {
        let mut scopes = self.scopes.borrow_mut();
        let known = scopes
            .last()
            .is_some_and(|last| last.ptr_eq(&Rc::downgrade(scope)));
        if !known {
            scopes.push(Rc::downgrade(scope));
        }
    }

    /// Runs something one call deeper: a script that evaluates itself ends here.
    pub(crate) fn nested<T>(&self, work: impl FnOnce() -> Result<T, Throw>) -> Result<T, Throw> {
        self.deeper(|| self.deeper(|| self.deeper(|| self.deeper(work))))
    }

    /// A closure call with arguments.
    pub(crate) fn call(&self, closure: &Rc<Closure>, args: Vec<Value>) -> Result<Value, Throw> {
        self.call_closure(closure, args)
    }
}

impl Drop for Interp {
    fn drop(&mut self) {
        for scope in self.scopes.borrow_mut().drain(..) {
            if let Some(scope) = scope.upgrade() {
                let variables = std::mem::take(&mut *scope.variables.borrow_mut());
                drop(variables);
            }
        }
        self.classes.borrow_mut().clear();
    }
}
