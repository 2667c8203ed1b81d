//! Values.

use super::class::{Class, Object};
use super::interp::Source;
use super::scope::Scope;
use crate::syntax::{ClosureDef, Name};
use crate::xml::Node;
use indexmap::IndexMap;
use regex::Regex;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A value of a script.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(f64),
    Text(Name),
    List(Rc<List>),
    Map(Rc<Map>),
    Closure(Rc<Closure>),
    Class(Rc<Class>),
    /// A class of the platform that scripts name: `java.util.ArrayList`, `JsonSlurper`, …; by its last name.
    Native(Name),
    Object(Rc<Object>),
    Node(Node),
    Pattern(Rc<Regex>),
    Matcher(Rc<Matcher>),
    Buffer(Rc<RefCell<String>>),
    Exception(Rc<Exception>),
    /// The script itself.
    Script(Rc<Source>),
    /// Something of the host.
    Foreign(Rc<dyn Foreign>),
}

/// Something that the host gives to scripts.
pub(crate) trait Foreign: Any {
    /// What it is called in messages.
    fn describe(&self) -> String;
    /// Itself.
    fn as_any(&self) -> &dyn Any;
    /// Whether it answers every call: then what really has a method of the name goes before it.
    fn answers_all(&self) -> bool {
        false
    }
}

/// A list. What is in it goes with care, see [`super::bury`].
pub(crate) struct List(pub(super) RefCell<Vec<Value>>);

impl std::ops::Deref for List {
    type Target = RefCell<Vec<Value>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A map in the order of its entries.
#[derive(Default)]
pub(crate) struct Map {
    pub(crate) entries: RefCell<IndexMap<Key, Value>>,
    /// `withDefault { … }`.
    pub(crate) default: RefCell<Option<Rc<Closure>>>,
}

/// A key of a map.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Text(Name),
    /// Anything else, by its text.
    Other(String, Identity),
}

/// The value behind an unusual key; does not take part in comparisons.
#[derive(Clone)]
pub(crate) struct Identity(pub(crate) Value);

impl PartialEq for Identity {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Identity {}
impl std::hash::Hash for Identity {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}
impl PartialOrd for Identity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Identity {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// A pattern applied to a text.
pub(crate) struct Matcher {
    pub(crate) pattern: Rc<Regex>,
    pub(crate) text: Name,
    /// Where the last `find` ended, and its groups.
    pub(crate) place: Cell<usize>,
    pub(crate) groups: RefCell<Option<Vec<Option<String>>>>,
}

/// Something thrown that no class of the script describes.
pub(crate) struct Exception {
    pub(crate) class: Name,
    pub(crate) message: Value,
}

/// Whom a closure asks first about names it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    OwnerFirst,
    DelegateFirst,
    OwnerOnly,
    DelegateOnly,
}

/// What a closure does when called.
pub(crate) enum Call {
    Block(Rc<ClosureDef>),
    /// `object.&method`.
    Method(Value, Name),
    /// `f >> g`.
    Chain(Rc<Closure>, Rc<Closure>),
}

/// A closure.
pub(crate) struct Closure {
    pub(crate) call: Call,
    pub(crate) scope: Rc<Scope>,
    pub(crate) this: Value,
    pub(crate) owner: Option<Rc<Closure>>,
    pub(crate) source: Rc<Source>,
    pub(crate) delegate: RefCell<Option<Value>>,
    pub(crate) strategy: Cell<Strategy>,
    /// Arguments given by `curry`, before the others.
    pub(crate) curried: Vec<Value>,
    pub(crate) curried_last: Vec<Value>,
}

impl Closure {
    /// The same closure with nothing shared but what it has captured.
    pub(crate) fn copy(&self) -> Self {
        Self {
            call: match &self.call {
                Call::Block(def) => Call::Block(Rc::clone(def)),
                Call::Method(value, name) => Call::Method(value.clone(), name.clone()),
                Call::Chain(a, b) => Call::Chain(Rc::clone(a), Rc::clone(b)),
            },
            scope: Rc::clone(&self.scope),
            this: self.this.clone(),
            owner: self.owner.clone(),
            source: Rc::clone(&self.source),
            delegate: self.delegate.clone(),
            strategy: self.strategy.clone(),
            curried: self.curried.clone(),
            curried_last: self.curried_last.clone(),
        }
    }

    /// How many arguments it names; one for the implicit `it`.
    pub(crate) fn arity(&self) -> usize {
        match &self.call {
            Call::Block(def) => def
                .params
                .as_ref()
                .map_or(1, Vec::len)
                .saturating_sub(self.curried.len()),
            Call::Method(..) | Call::Chain(..) => 1,
        }
    }
}

impl Value {
    pub(crate) fn text(text: impl Into<Name>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(List(RefCell::new(items))))
    }

    pub(crate) fn map(entries: impl IntoIterator<Item = (Key, Value)>) -> Self {
        Self::Map(Rc::new(Map {
            entries: RefCell::new(entries.into_iter().collect()),
            default: RefCell::new(None),
        }))
    }

    pub(crate) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Groovy's truth.
    pub(crate) fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Decimal(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.borrow().is_empty(),
            Self::Map(map) => !map.entries.borrow().is_empty(),
            Self::Buffer(text) => !text.borrow().is_empty(),
            Self::Matcher(matcher) => matcher.pattern.is_match(&matcher.text),
            _ => true,
        }
    }

    /// The name of its class, as messages and `getClass().simpleName` say it.
    pub(crate) fn class_name(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(_) => "Boolean".to_owned(),
            Self::Int(_) => "Integer".to_owned(),
            Self::Decimal(_) => "BigDecimal".to_owned(),
            Self::Text(_) => "String".to_owned(),
            Self::List(_) => "ArrayList".to_owned(),
            Self::Map(_) => "LinkedHashMap".to_owned(),
            Self::Closure(_) => "Closure".to_owned(),
            Self::Class(_) | Self::Native(_) => "Class".to_owned(),
            Self::Object(object) => object.class.name.to_string(),
            Self::Node(_) => "Node".to_owned(),
            Self::Pattern(_) => "Pattern".to_owned(),
            Self::Matcher(_) => "Matcher".to_owned(),
            Self::Buffer(_) => "StringBuilder".to_owned(),
            Self::Exception(exception) => exception.class.to_string(),
            Self::Script(_) => "Script".to_owned(),
            Self::Foreign(foreign) => foreign.describe(),
        }
    }

    /// As a key of a map.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Null => Key::Null,
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Int(*value),
            Self::Text(text) => Key::Text(text.clone()),
            Self::Object(object) => {
                Key::Other(format!("object {:p}", Rc::as_ptr(object)), Identity(self.clone()))
            }
            other => Key::Other(other.show(), Identity(other.clone())),
        }
    }

    /// As text, without calling any method of the script.
    pub(crate) fn show(&self) -> String {
        super::convert::show(self)
    }
}

impl Key {
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Other(_, identity) => identity.0.clone(),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl Map {
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.entries.borrow().get(key).cloned()
    }

    pub(crate) fn put(&self, key: Key, value: Value) -> Option<Value> {
        self.entries.borrow_mut().insert(key, value)
    }

    pub(crate) fn pairs(&self) -> Vec<(Key, Value)> {
        self.entries
            .borrow()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
