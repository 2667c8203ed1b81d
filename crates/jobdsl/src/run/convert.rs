//! Between values: text, truth, equality, order, casts.

use super::interp::Interp;
use super::scope::Env;
use super::throw::Throw;
use super::value::{Call, Closure, Key, Value};
use crate::syntax::TypeName;
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::rc::Rc;

/// How deep collections are shown and compared: one may hold itself.
const DEEPEST: usize = 60;

/// How many values are shown at the most: one that stands in many places is walked in each of them.
const MOST_SHOWN: usize = 1_000_000;

pub(super) fn show(value: &Value) -> String {
    show_in(value, 0, &mut MOST_SHOWN.clone())
}

fn show_in(value: &Value, depth: usize, left: &mut usize) -> String {
    if depth > DEEPEST {
        return "(this)".to_owned();
    }
    let Some(rest) = left.checked_sub(1) else {
        return "…".to_owned();
    };
    *left = rest;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Decimal(value) => {
            if value.fract() == 0.0 && value.abs() < 1e15 {
                format!("{value:.1}")
            } else {
                value.to_string()
            }
        }
        Value::Text(text) => text.to_string(),
        Value::List(items) => {
            let mut texts = Vec::new();
            for item in items.borrow().iter() {
                texts.push(show_in(item, depth + 1, left));
                if *left == 0 {
                    break;
                }
            }
            format!("[{}]", texts.join(", "))
        }
        Value::Map(map) => {
            let mut out = String::from("[");
            for (index, (key, value)) in map.pairs().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                let _ = write!(
                    out,
                    "{}:{}",
                    show_in(&key.value(), depth + 1, left),
                    show_in(value, depth + 1, left)
                );
            }
            if out.len() == 1 {
                out.push(':');
            }
            out.push(']');
            out
        }
        Value::Class(class) => {
            let package = &class.source.module.package;
            let dot = if package.is_empty() { "" } else { "." };
            format!("class {package}{dot}{}", class.name)
        }
        Value::Native(name) => format!("class {name}"),
        Value::Object(object) => match object.fields.borrow().get("<name>") {
            Some(name) => show_in(name, depth + 1, left),
            None => format!("{}@1", object.class.name),
        },
        Value::Node(node) => format!("{}[{}]", node.name(), node.text()),
        Value::Pattern(pattern) => pattern.as_str().to_owned(),
        Value::Matcher(_) => "Matcher".to_owned(),
        Value::Buffer(text) => text.borrow().clone(),
        Value::Exception(exception) => {
            format!(
                "{}: {}",
                exception.class,
                show_in(&exception.message, depth + 1, left)
            )
        }
        Value::Closure(_) => "Closure".to_owned(),
        Value::Script(source) => source.path.to_string(),
        Value::Foreign(foreign) => foreign.describe(),
    }
}

impl Interp {
    /// As text, with the script's own `toString`.
    pub(crate) fn show(&self, value: &Value) -> Result<String, Throw> {
        self.step()?;
        match value {
            Value::Object(object) => {
                let mut methods = Vec::new();
                object.class.methods(self, "toString", &mut methods);
                if !methods.is_empty()
                    && let Some(text) = self.try_method(value, "toString", &[])?
                {
                    return Ok(text.show());
                }
                Ok(value.show())
            }
            Value::List(items) => {
                let holds_objects = items.borrow().iter().any(|item| matches!(item, Value::Object(_)));
                if !holds_objects {
                    return Ok(value.show());
                }
                let items = items.borrow().clone();
                let texts: Vec<String> = items
                    .iter()
                    .map(|item| self.show(item))
                    .collect::<Result<_, _>>()?;
                Ok(format!("[{}]", texts.join(", ")))
            }
            Value::Foreign(foreign) => match self.host.method(self, foreign, "toString", &[])? {
                Some(text) => Ok(text.show()),
                None => Ok(value.show()),
            },
            other => Ok(other.show()),
        }
    }

    /// Groovy's truth, with the script's own `asBoolean`.
    pub(crate) fn is_true(&self, value: &Value) -> Result<bool, Throw> {
        if let Value::Object(object) = value {
            let mut methods = Vec::new();
            object.class.methods(self, "asBoolean", &mut methods);
            if !methods.is_empty()
                && let Some(truth) = self.try_method(value, "asBoolean", &[])?
            {
                return Ok(truth.truthy());
            }
        }
        Ok(value.truthy())
    }

    pub(crate) fn equal(&self, left: &Value, right: &Value) -> Result<bool, Throw> {
        self.equal_at(left, right, 0)
    }

    fn equal_at(&self, left: &Value, right: &Value, depth: usize) -> Result<bool, Throw> {
        // A value that stands in many places is compared in each of them.
        self.step()?;
        if depth > DEEPEST {
            return Err(Throw::limit(format!(
                "what is compared nests deeper than {DEEPEST} levels"
            )));
        }
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => {
                number(left) == number(right)
            }
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Buffer(a), Value::Buffer(b)) => Rc::ptr_eq(a, b),
            (Value::List(a), Value::List(b)) => {
                let (a, b) = (a.borrow().clone(), b.borrow().clone());
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&b) {
                    if !self.equal_at(a, b, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(a), Value::Map(b)) => {
                let (a, b) = (a.pairs(), b);
                if a.len() != b.entries.borrow().len() {
                    return Ok(false);
                }
                for (key, value) in &a {
                    match b.get(key) {
                        Some(other) if self.equal_at(value, &other, depth + 1)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Object(a), Value::Object(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ok(true);
                }
                let mut methods = Vec::new();
                a.class.methods(self, "equals", &mut methods);
                if !methods.is_empty() {
                    let answer = self.try_method(left, "equals", std::slice::from_ref(right))?;
                    return Ok(answer.is_some_and(|value| value.truthy()));
                }
                if a.class
                    .def
                    .annotations
                    .iter()
                    .any(|n| matches!(&**n, "EqualsAndHashCode" | "Canonical" | "Immutable"))
                {
                    let (x, y) = (a.fields.borrow().clone(), b.fields.borrow().clone());
                    for (key, value) in &x {
                        match y.get(key) {
                            Some(other) if self.equal_at(value, other, depth + 1)? => {}
                            _ => return Ok(false),
                        }
                    }
                    return Ok(Rc::ptr_eq(&a.class, &b.class));
                }
                false
            }
            (Value::Class(a), Value::Class(b)) => Rc::ptr_eq(a, b),
            (Value::Native(a), Value::Native(b)) => a == b,
            (Value::Node(a), Value::Node(b)) => Rc::ptr_eq(a, b),
            (Value::Closure(a), Value::Closure(b)) => Rc::ptr_eq(a, b),
            (Value::Foreign(a), Value::Foreign(b)) => Rc::ptr_eq(a, b),
            _ => false,
        })
    }

    pub(crate) fn compare(&self, left: &Value, right: &Value) -> Result<Ordering, Throw> {
        Ok(match (left, right) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Int(_) | Value::Decimal(_), Value::Int(_) | Value::Decimal(_)) => number(left)
                .partial_cmp(&number(right))
                .unwrap_or(Ordering::Equal),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.encode_utf16().cmp(b.encode_utf16()),
            (Value::Object(a), _) => {
                if let Some(value) = self.try_method(left, "compareTo", std::slice::from_ref(right))? {
                    return Ok(number(&value).partial_cmp(&0.0).unwrap_or(Ordering::Equal));
                }
                let ordinal = |value: &Value| match value {
                    Value::Object(object) => object.fields.borrow().get("<ordinal>").cloned(),
                    _ => None,
                };
                match (ordinal(left), ordinal(right)) {
                    (Some(a), Some(b)) => return self.compare(&a, &b),
                    _ => {
                        return Err(Throw::exception(
                            "ClassCastException",
                            format!("{} has no order", a.class.name),
                        ));
                    }
                }
            }
            _ => {
                return Err(Throw::exception(
                    "IllegalArgumentException",
                    format!("{} and {} have no order", left.class_name(), right.class_name()),
                ));
            }
        })
    }

    /// Whether a value is one of what a `case` or `in` names.
    pub(super) fn is_case(&self, test: &Value, value: &Value) -> Result<bool, Throw> {
        match test {
            Value::List(items) => {
                let items = items.borrow().clone();
                for item in &items {
                    if self.equal(item, value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Map(map) => Ok(map.get(&value.key()).is_some_and(|value| value.truthy())),
            Value::Closure(closure) => {
                let answer = self.call_closure(closure, vec![value.clone()])?;
                self.is_true(&answer)
            }
            Value::Pattern(pattern) => Ok(super::texts::matches_whole(pattern, &value.show())),
            Value::Class(class) => {
                Ok(matches!(value, Value::Object(object) if object.class.is_a(self, &class.name)))
            }
            Value::Native(name) => Ok(self.instance_of(
                value,
                &TypeName {
                    name: name.clone(),
                    array: false,
                },
            )),
            other => self.equal(other, value),
        }
    }

    pub(super) fn instance_of(&self, value: &Value, kind: &TypeName) -> bool {
        !value.is_null()
            && self
                .accepts(kind, value)
                .is_some_and(|score| score > 2 || &*kind.name == "Object")
    }

    /// What a declared type makes of a value: little, since Groovy checks little.
    pub(super) fn coerce(&self, value: Value, kind: &TypeName, env: &Env) -> Result<Value, Throw> {
        let name = kind.name.rsplit('.').next().unwrap_or_default();
        match (name, &value) {
            ("String", Value::Int(_) | Value::Decimal(_) | Value::Bool(_) | Value::Object(_))
                if !kind.array =>
            {
                Ok(Value::text(self.show(&value)?))
            }
            ("String", Value::Buffer(_)) if !kind.array => Ok(Value::text(value.show())),
            ("boolean" | "Boolean", other) if !other.is_null() && !kind.array => {
                Ok(Value::Bool(self.is_true(other)?))
            }
            (_, Value::Text(_)) => self.enum_constant(value, kind, env),
            (_, Value::Map(map)) if !kind.array => {
                // `Type x = [a: 1]` makes an object of a script's class.
                match self.find_class(&kind.name, &env.source) {
                    Some(class) if !map.entries.borrow().is_empty() => {
                        self.construct(&class, vec![value], None)
                    }
                    _ => Ok(value),
                }
            }
            _ => Ok(value),
        }
    }

    /// A text where an enumeration is wanted.
    fn enum_constant(&self, value: Value, kind: &TypeName, env: &Env) -> Result<Value, Throw> {
        if !kind.name.starts_with(char::is_uppercase)
            || matches!(&*kind.name, "String" | "Object" | "CharSequence" | "GString")
        {
            return Ok(value);
        }
        if let Some(class) = self.find_class(&kind.name, &env.source)
            && super::class::is_enum(&class)
            && let Some(constant) = class.static_value(self, &value.show())?
        {
            return Ok(constant);
        }
        Ok(value)
    }

    /// `(Type) value`, `value as Type`.
    pub(super) fn cast(&self, value: Value, kind: &TypeName, env: &Env) -> Result<Value, Throw> {
        let name = kind.name.rsplit('.').next().unwrap_or_default();
        if kind.array {
            return Ok(Value::list(self.items(&value)?));
        }
        if value.is_null() {
            return Ok(if matches!(name, "boolean" | "Boolean") {
                Value::Bool(false)
            } else {
                Value::Null
            });
        }
        match name {
            "String" | "CharSequence" => Ok(Value::text(self.show(&value)?)),
            "int" | "Integer" | "long" | "Long" | "BigInteger" | "short" | "byte" => match &value {
                Value::Int(_) => Ok(value),
                Value::Decimal(number) => Ok(Value::Int(truncate(*number))),
                Value::Text(text) => match text.trim().parse() {
                    Ok(number) => Ok(Value::Int(number)),
                    Err(_) => Err(Throw::exception(
                        "NumberFormatException",
                        format!("`{text}` is no number"),
                    )),
                },
                other => Err(self.no_cast(other, name)),
            },
            "double" | "Double" | "float" | "Float" | "BigDecimal" | "Number" => match &value {
                Value::Int(_) if name == "Number" => Ok(value),
                Value::Int(_) | Value::Decimal(_) => Ok(Value::Decimal(number(&value))),
                Value::Text(text) => match text.trim().parse() {
                    Ok(number) => Ok(Value::Decimal(number)),
                    Err(_) => Err(Throw::exception(
                        "NumberFormatException",
                        format!("`{text}` is no number"),
                    )),
                },
                other => Err(self.no_cast(other, name)),
            },
            "boolean" | "Boolean" => Ok(Value::Bool(self.is_true(&value)?)),
            "List" | "ArrayList" | "LinkedList" | "Collection" | "Iterable" => {
                Ok(Value::list(self.items(&value)?))
            }
            "Set" | "LinkedHashSet" | "HashSet" | "TreeSet" | "SortedSet" => {
                let mut items = self.distinct(self.items(&value)?)?;
                if matches!(name, "TreeSet" | "SortedSet") {
                    items = self.sorted(items, None)?;
                }
                Ok(Value::list(items))
            }
            "Map" | "HashMap" | "LinkedHashMap" | "TreeMap" => match &value {
                Value::Map(_) => Ok(value),
                Value::Object(object) => {
                    let fields = object.fields.borrow().clone();
                    Ok(Value::map(
                        fields.into_iter().map(|(name, value)| (Key::Text(name), value)),
                    ))
                }
                other => Err(self.no_cast(other, name)),
            },
            _ => {
                if let (Value::Map(_), Some(class)) = (&value, self.find_class(&kind.name, &env.source)) {
                    return self.construct(&class, vec![value], None);
                }
                self.enum_constant(value, kind, env)
            }
        }
    }

    fn no_cast(&self, value: &Value, to: &str) -> Throw {
        Throw::exception(
            "ClassCastException",
            format!("{} cannot become {to}", value.class_name()),
        )
    }

    /// A copy of a closure whose calls go to a method of the copy's own.
    pub(super) fn chained(&self, first: &Rc<Closure>, then: &Rc<Closure>) -> Value {
        let mut copy = first.copy();
        copy.call = Call::Chain(Rc::clone(first), Rc::clone(then));
        Value::Closure(Rc::new(copy))
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Java's conversion does")]
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Decimal(value) => *value,
        _ => 0.0,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "as Java's conversion does; Rust's saturates"
)]
pub(super) fn truncate(value: f64) -> i64 {
    value as i64
}
