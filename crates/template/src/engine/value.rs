//! What templates compute with: JSON's values, Go strings that are no text, and values that know their Go type.
//!
//! Values are immutable and shared; lists and maps know how deep they are, so that none grows deeper than a stack.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Why a function has no result; never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a function gives.
pub type Result<T> = std::result::Result<T, Fault>;

/// A function that templates can call.
pub type Function = Arc<dyn Fn(&[Value]) -> Result<Value> + Send + Sync>;

/// Functions by name.
pub type FuncMap = BTreeMap<String, Function>;

/// A value.
#[derive(Clone)]
pub enum Value {
    /// Nothing at all: a key that is not there, no data.
    Missing,
    /// Go's nil.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `float64`
    Float(f64),
    /// `complex128`
    Complex(f64, f64),
    /// `string`
    String(Arc<str>),
    /// A `string` that is not UTF-8.
    Bytes(Arc<[u8]>),
    /// `[]interface {}`
    List(List),
    /// `map[string]interface {}`
    Map(Map),
    /// A function.
    Function(Function),
    /// Another value under the name of a Go type.
    Typed(Arc<Typed>),
    /// Something with fields and methods of its own.
    Object(Arc<dyn Object>),
}

/// A value that shows as another Go type. Nil inside is that type's nil pointer.
pub struct Typed {
    /// As `%T` prints it.
    pub name: Cow<'static, str>,
    /// What it behaves as.
    pub value: Value,
    /// What a map of this type has for keys that are not there.
    pub zero: Option<Value>,
    /// What the type has besides its value.
    pub methods: Option<&'static Methods>,
}

/// Methods of a type whose values are plain ones.
pub struct Methods {
    /// Go's `String`.
    pub text: fn(&Value) -> String,
    /// A method.
    pub member: fn(&Value, &str) -> Member,
}

/// What a name means for an object.
pub enum Member {
    /// A field's value.
    Field(Value),
    /// A method.
    Method(Function),
    /// A field that templates may not read.
    Hidden,
    /// A field of a nil pointer.
    Nil,
    /// Nothing.
    None,
}

/// A value with fields and methods of its own.
pub trait Object: Any + Send + Sync {
    /// As `%T` prints it.
    fn type_name(&self) -> Cow<'_, str>;
    /// A field or method.
    fn member(&self, name: &str) -> Member;
    /// What `%v` prints.
    fn print(&self, out: &mut Vec<u8>);
    /// Whether conditions take it for true.
    fn is_true(&self) -> bool {
        true
    }
    /// Its fields as a map, for functions that write values.
    fn plain(&self) -> Option<Map> {
        None
    }
    /// Go's `String`, if it has one, which formats write as text.
    fn text(&self) -> Option<String> {
        None
    }
    /// Go's `GoString`, if it has one.
    fn source(&self) -> Option<String> {
        None
    }
    /// What functions that write values write for it, if it is one word.
    fn marshal(&self) -> Option<String> {
        None
    }
    /// Why JSON cannot have it.
    fn refuses_json(&self) -> Option<&'static str> {
        None
    }
    /// Whether it is another one by Go's `==`, or, deeply, by `reflect.DeepEqual`.
    fn equals(&self, _other: &dyn Object, _deeply: bool) -> bool {
        false
    }
    /// Its entries, if `range`, `index` and `len` work on it.
    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        None
    }
}

/// An immutable list.
#[derive(Clone)]
pub struct List(Arc<[Value]>, u32);

/// An immutable map, in the order of its keys.
#[derive(Clone)]
pub struct Map(Arc<BTreeMap<Arc<str>, Value>>, u32);

impl Deref for List {
    type Target = [Value];
    fn deref(&self) -> &[Value] {
        &self.0
    }
}

impl Deref for Map {
    type Target = BTreeMap<Arc<str>, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        let depth = items.iter().map(Value::depth).max().unwrap_or(0) + 1;
        Self(items.into(), depth)
    }
}

impl From<&[Value]> for List {
    fn from(items: &[Value]) -> Self {
        items.to_vec().into()
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        items.into_iter().collect::<Vec<_>>().into()
    }
}

impl From<BTreeMap<Arc<str>, Value>> for Map {
    fn from(entries: BTreeMap<Arc<str>, Value>) -> Self {
        let depth = entries.values().map(Value::depth).max().unwrap_or(0) + 1;
        Self(Arc::new(entries), depth)
    }
}

impl FromIterator<(Arc<str>, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(entries: I) -> Self {
        entries.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl Value {
    /// A string, whether it is text or not.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::String(Arc::from(text)),
            Err(_) => Self::Bytes(Arc::from(bytes)),
        }
    }

    /// This value under another type's name.
    #[must_use]
    pub fn typed(self, name: &'static str) -> Self {
        Self::Typed(Arc::new(Typed {
            name: Cow::Borrowed(name),
            value: self,
            zero: None,
            methods: None,
        }))
    }

    /// This value as one of a type with methods.
    #[must_use]
    pub fn with_methods(self, name: &'static str, methods: &'static Methods) -> Self {
        Self::Typed(Arc::new(Typed {
            name: Cow::Borrowed(name),
            value: self,
            zero: None,
            methods: Some(methods),
        }))
    }

    /// The methods of its type, if that is a plain one.
    #[must_use]
    pub fn methods(&self) -> Option<&'static Methods> {
        match self {
            Self::Typed(typed) => typed.methods,
            _ => None,
        }
    }

    /// Go's `String`, if it has one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Typed(typed) => Some((typed.methods?.text)(&typed.value)),
            Self::Object(object) => object.text(),
            _ => None,
        }
    }

    /// What a name means for it, if it is of a type with methods.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Member> {
        match self {
            Self::Typed(typed) => Some((typed.methods?.member)(&typed.value, name)),
            Self::Object(object) => Some(object.member(name)),
            _ => None,
        }
    }

    /// The value without a type's name.
    #[must_use]
    pub fn base(&self) -> &Self {
        match self {
            Self::Typed(typed) => typed.value.base(),
            other => other,
        }
    }

    /// How deep it nests.
    #[must_use]
    pub fn depth(&self) -> u32 {
        match self.base() {
            Self::List(list) => list.1,
            Self::Map(map) => map.1,
            _ => 0,
        }
    }

    /// A string's bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self.base() {
            Self::String(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether a condition takes it for true.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self.base() {
            Self::Missing | Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Uint(n) => *n != 0,
            Self::Float(f) => *f != 0.0,
            Self::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Self::String(s) => !s.is_empty(),
            Self::Bytes(_) | Self::Function(_) => true,
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Object(object) => object.is_true(),
            // `base` leaves none.
            Self::Typed(_) => true,
        }
    }

    /// A number as a float.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "as Go's conversion does")]
    pub fn as_float(&self) -> Option<f64> {
        match self.base() {
            Self::Int(n) => Some(*n as f64),
            Self::Uint(n) => Some(*n as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// Go's name of its type.
    #[must_use]
    pub fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::Missing | Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::String(_) | Self::Bytes(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Function(_) => "func()",
            Self::Typed(typed) => &typed.name,
            Self::Object(object) => return object.type_name(),
        })
    }
}

/// `reflect.DeepEqual`: types count. Functions equal nothing.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Missing | Self::Nil, Self::Missing | Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Complex(a, b), Self::Complex(c, d)) => a == c && b == d,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(&a.0, &b.0) || a.0 == b.0,
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(&a.0, &b.0) || a.0 == b.0,
            (Self::Typed(a), Self::Typed(b)) => a.name == b.name && a.value == b.value,
            (Self::Object(a), Self::Object(b)) => a.equals(&**b, true),
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The type only: values may be secret.
        f.write_str(&self.type_name())
    }
}
