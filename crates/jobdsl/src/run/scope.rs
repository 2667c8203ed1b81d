//! Variables and where the interpreter stands.

use super::interp::Source;
use super::value::{Closure, Value};
use crate::syntax::Name;
use std::cell::RefCell;
use std::rc::Rc;

/// The variables of one block.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) variables: RefCell<Vec<(Name, Value)>>,
    pub(super) parent: Option<Rc<Scope>>,
}

impl Scope {
    pub(crate) fn root() -> Rc<Self> {
        Rc::default()
    }

    pub(crate) fn below(parent: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self {
            variables: RefCell::default(),
            parent: Some(Rc::clone(parent)),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some((_, value)) = here
                .variables
                .borrow()
                .iter()
                .rev()
                .find(|(key, _)| **key == *name)
            {
                return Some(value.clone());
            }
            scope = here.parent.as_deref();
        }
        None
    }

    /// Changes a variable; says whether there is one.
    pub(crate) fn set(&self, name: &str, value: &Value) -> bool {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some((_, old)) = here
                .variables
                .borrow_mut()
                .iter_mut()
                .rev()
                .find(|(key, _)| **key == *name)
            {
                *old = value.clone();
                return true;
            }
            scope = here.parent.as_deref();
        }
        false
    }

    pub(crate) fn declare(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => variables.push((name.clone(), value)),
        }
    }
}

/// Where the interpreter stands: variables, `this`, the closure it is in, the file.
#[derive(Clone)]
pub(crate) struct Env {
    pub(crate) scope: Rc<Scope>,
    pub(crate) this: Value,
    pub(crate) closure: Option<Rc<Closure>>,
    pub(crate) source: Rc<Source>,
}

impl Env {
    /// The same place with variables of its own.
    pub(crate) fn inner(&self) -> Self {
        Self {
            scope: Scope::below(&self.scope),
            ..self.clone()
        }
    }
}
