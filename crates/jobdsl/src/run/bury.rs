//! How values go. Values hold values, as deep as a script likes; were each dropped within the one that holds it, a deep
//! nest would overflow the stack, which nothing can catch. So what holds values gives them to a queue when it goes, and
//! the first that does so empties the queue, one after another.

use super::scope::{Env, Scope};
use super::value::{Call, Closure, Exception, Key, List, Map, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What goes.
enum Dead {
    Value(Value),
    Scope(Rc<Scope>),
}

thread_local! {
    static QUEUE: RefCell<Vec<Dead>> = const { RefCell::new(Vec::new()) };
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Takes what a value held.
#[derive(Default)]
struct Grave(Vec<Dead>);

impl Grave {
    /// Only what ends here and holds more is worth the way through the queue.
    fn value(&mut self, value: Value) {
        if ends(&value) {
            self.0.push(Dead::Value(value));
        }
    }

    fn share(&mut self, value: &Value) {
        if ends(value) {
            self.0.push(Dead::Value(value.clone()));
        }
    }

    fn scope(&mut self, scope: &Rc<Scope>) {
        if Rc::strong_count(scope) == 1 {
            self.0.push(Dead::Scope(Rc::clone(scope)));
        }
    }

    fn closure(&mut self, closure: &Rc<Closure>) {
        if Rc::strong_count(closure) == 1 {
            self.0.push(Dead::Value(Value::Closure(Rc::clone(closure))));
        }
    }

    fn env(&mut self, env: &Env) {
        self.scope(&env.scope);
        self.share(&env.this);
        if let Some(closure) = &env.closure {
            self.closure(closure);
        }
        if Rc::strong_count(&env.source) == 1 {
            self.0.push(Dead::Value(Value::Script(Rc::clone(&env.source))));
        }
    }
}

/// Whether this is the last of a value that may hold others.
fn ends(value: &Value) -> bool {
    match value {
        Value::List(value) => Rc::strong_count(value) == 1,
        Value::Map(value) => Rc::strong_count(value) == 1,
        Value::Closure(value) => Rc::strong_count(value) == 1,
        Value::Object(value) => Rc::strong_count(value) == 1,
        Value::Class(value) => Rc::strong_count(value) == 1,
        Value::Exception(value) => Rc::strong_count(value) == 1,
        Value::Script(value) => Rc::strong_count(value) == 1,
        Value::Foreign(value) => Rc::strong_count(value) == 1,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Native(_)
        | Value::Node(_)
        | Value::Pattern(_)
        | Value::Matcher(_)
        | Value::Buffer(_) => false,
    }
}

impl Drop for Grave {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let queued = QUEUE.try_with(|queue| queue.borrow_mut().append(&mut self.0));
        // While a thread ends it has no queue any more; its values have gone long before.
        if queued.is_err() || BUSY.replace(true) {
            return;
        }
        while let Some(dead) = QUEUE.with(|queue| queue.borrow_mut().pop()) {
            match dead {
                Dead::Value(value) => drop(value),
                Dead::Scope(scope) => drop(scope),
            }
        }
        BUSY.set(false);
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let mut grave = Grave::default();
        for value in self.0.get_mut().drain(..) {
            grave.value(value);
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let mut grave = Grave::default();
        for (key, value) in self.entries.get_mut().drain(..) {
            if let Key::Other(_, identity) = key {
                grave.value(identity.0);
            }
            grave.value(value);
        }
        if let Some(closure) = self.default.get_mut() {
            grave.closure(closure);
        }
    }
}

impl Drop for Exception {
    fn drop(&mut self) {
        Grave::default().share(&self.message);
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        let mut grave = Grave::default();
        match &self.call {
            Call::Block(_) => {}
            Call::Method(of, _) => grave.share(of),
            Call::Chain(first, then) => {
                grave.closure(first);
                grave.closure(then);
            }
        }
        grave.scope(&self.scope);
        grave.share(&self.this);
        if let Some(owner) = &self.owner {
            grave.closure(owner);
        }
        if Rc::strong_count(&self.source) == 1 {
            grave.0.push(Dead::Value(Value::Script(Rc::clone(&self.source))));
        }
        if let Some(delegate) = self.delegate.get_mut().take() {
            grave.value(delegate);
        }
        for value in self.curried.drain(..).chain(self.curried_last.drain(..)) {
            grave.value(value);
        }
    }
}

impl Drop for super::class::Object {
    fn drop(&mut self) {
        let mut grave = Grave::default();
        for (_, value) in self.fields.get_mut().drain(..) {
            grave.value(value);
        }
        if let Some(around) = &self.around {
            grave.env(around);
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let mut grave = Grave::default();
        for (_, value) in self.variables.get_mut().drain(..) {
            grave.value(value);
        }
        if let Some(parent) = &self.parent {
            grave.scope(parent);
        }
    }
}
