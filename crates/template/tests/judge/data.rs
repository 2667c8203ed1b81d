//! Data of Go's tests as values of the engine: structs become objects, types keep their names, and the functions and
//! methods of the tests that matter are there again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_template::engine::{Fault, Function, Member, Object, Result, Typed, Value};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something of Go's that has no like here; its class is the reason for leaving a case out.
pub(crate) type Foreign = &'static str;

/// A struct.
struct Struct {
    name: String,
    fields: BTreeMap<String, Value>,
    hidden: Vec<String>,
    print: String,
    nil: bool,
}

/// A map whose keys are no strings.
struct Keyed(String, Vec<(Value, Value)>);

fn text(json: &Json, key: &str) -> String {
    json[key].as_str().unwrap_or_default().to_owned()
}

/// The value that a dump describes.
pub(crate) fn value(json: &Json, found: &mut Vec<Foreign>) -> Value {
    let name = text(json, "n");
    let named = |value: Value, usual: &str| {
        if name.is_empty() || name == usual {
            return value;
        }
        Value::Typed(Arc::new(Typed {
            name: Cow::Owned(name.clone()),
            value,
            zero: None,
            methods: None,
        }))
    };
    if let Some(print) = json["print"].as_str()
        && json["t"] != "struct"
        && json["t"] != "pointer"
    {
        return object(&name, BTreeMap::new(), Vec::new(), print.to_owned(), false);
    }
    match json["t"].as_str().unwrap_or_default() {
        "missing" => Value::Missing,
        "nil" => Value::Nil,
        "bool" => Value::Bool(json["v"] == true),
        "int" => named(Value::Int(text(json, "v").parse().unwrap()), "int"),
        "uint" => named(Value::Uint(text(json, "v").parse().unwrap()), "uint"),
        "float" => Value::Float(json["v"].as_f64().unwrap()),
        "complex" => Value::Complex(json["v"][0].as_f64().unwrap(), json["v"][1].as_f64().unwrap()),
        "string" => Value::from_bytes(&STANDARD.decode(text(json, "v")).unwrap()),
        "list" => {
            let items = json["v"].as_array().unwrap();
            let items: Vec<Value> = items.iter().map(|item| value(item, found)).collect();
            named(Value::List(items.into()), "[]interface {}")
        }
        "map" => {
            let keys = json["k"].as_array().unwrap().iter();
            let pairs: Vec<(Value, Value)> = keys
                .zip(json["v"].as_array().unwrap())
                .map(|(k, v)| {
                    let key = value(k, found);
                    let name = String::from_utf8_lossy(key.bytes().unwrap_or_default()).into_owned();
                    let item = member(&name, v, found);
                    (key, item)
                })
                .collect();
            if json["nil"] == true && pairs.is_empty() {
                return Value::Typed(Arc::new(Typed {
                    name: Cow::Owned(name),
                    value: Value::Nil,
                    zero: None,
                    methods: None,
                }));
            }
            if !matches!(json["key"].as_str(), Some("string" | "interface {}")) {
                return Value::Object(Arc::new(Keyed(name, pairs)));
            }
            let map = pairs.into_iter().filter_map(|(k, v)| match k {
                Value::String(k) => Some((k, v)),
                _ => None,
            });
            Value::Typed(Arc::new(Typed {
                name: Cow::Owned(name),
                value: Value::Map(map.collect()),
                zero: Some(value(&json["zero"], found)),
                methods: None,
            }))
        }
        "struct" => {
            let fields = json["f"].as_object().unwrap();
            let fields = fields
                .iter()
                .map(|(field, inner)| (field.clone(), member(field, inner, found)))
                .collect();
            let hidden = json["hidden"].as_array().into_iter().flatten();
            let hidden = hidden.filter_map(Json::as_str).map(str::to_owned).collect();
            object(&name, fields, hidden, text(json, "print"), false)
        }
        "pointer" => match json["fields"].as_array() {
            // A nil pointer to a struct: its fields are known, its methods can be called.
            Some(fields) => {
                let fields = fields.iter().filter_map(Json::as_str);
                let fields = fields.map(|f| (f.to_owned(), Value::Nil)).collect();
                let print = json["print"].as_str().unwrap_or("<nil>").to_owned();
                object(&name, fields, Vec::new(), print, true)
            }
            None => named(Value::Nil, ""),
        },
        "func" => {
            found.push("functions as data");
            Value::Nil
        }
        "chan" => {
            found.push("channels");
            Value::Nil
        }
        "unsafe.Pointer" => Value::Bool(json["nil"] != true),
        _ => Value::Nil,
    }
}

fn object(
    name: &str,
    fields: BTreeMap<String, Value>,
    hidden: Vec<String>,
    print: String,
    nil: bool,
) -> Value {
    Value::Object(Arc::new(Struct {
        name: name.to_owned(),
        fields,
        hidden,
        print,
        nil,
    }))
}

/// A field; those that are functions in Go's tests are written again.
fn member(field: &str, json: &Json, found: &mut Vec<Foreign>) -> Value {
    if json["t"] != "func" {
        return value(json, found);
    }
    match function(field) {
        Some(function) => Value::Function(function),
        None => Value::Nil,
    }
}

fn fail<T>(message: &str) -> Result<T> {
    Err(Fault(message.to_owned()))
}

fn strings(args: &[Value]) -> Result<Vec<String>> {
    args.iter()
        .map(|arg| match arg.bytes() {
            Some(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            None => fail("wrong type for value; expected string"),
        })
        .collect()
}

fn string(text: impl AsRef<str>) -> Value {
    Value::String(text.as_ref().into())
}

fn ints(args: &[Value]) -> Result<Vec<i64>> {
    args.iter()
        .map(|arg| match arg.base() {
            Value::Int(n) => Ok(*n),
            Value::Uint(n) => Ok(i64::try_from(*n).unwrap_or_default()),
            _ => fail("wrong type for value; expected int"),
        })
        .collect()
}

/// A function of the tests' own.
pub(crate) fn function(name: &str) -> Option<Function> {
    let function: fn(&[Value]) -> Result<Value> = match name {
        "BinaryFunc" => |a| match strings(a)?.as_slice() {
            [x, y] => Ok(string(format!("[{x}={y}]"))),
            other => fail(&format!(
                "wrong number of args for .BinaryFunc: got {} want 2",
                other.len()
            )),
        },
        "VariadicFunc" => |a| Ok(string(format!("<{}>", strings(a)?.join("+")))),
        "VariadicFuncInt" => |a| match a.split_first() {
            Some((first, rest)) => {
                let first = ints(std::slice::from_ref(first))?;
                Ok(string(format!("{}=<{}>", first[0], strings(rest)?.join("+"))))
            }
            None => fail("wrong number of args for .VariadicFuncInt: got 0 want at least 1"),
        },
        "NilOKFunc" => |a| Ok(Value::Bool(matches!(a, [Value::Nil]))),
        "ErrFunc" => |a| {
            if a.is_empty() {
                Ok(string("bla"))
            } else {
                fail("wrong number of args")
            }
        },
        "PanicFunc" => |_| fail("test panic"),
        "PlusOne" => |a| Ok(Value::Int(ints(a)?[0] + 1)),
        "add" => |a| Ok(Value::Int(ints(a)?.iter().sum())),
        "count" => |a| {
            let letters = "abcdefghijklmnop".chars();
            let n = usize::try_from(ints(a)?[0]).unwrap();
            Ok(Value::List(
                letters.take(n).map(|c| string(c.to_string())).collect(),
            ))
        },
        "dddArg" => |a| {
            ints(a.get(..1).unwrap_or_default())?;
            strings(a.get(1..).unwrap_or_default())?;
            Ok(string(""))
        },
        "die" | "doPanic" => |_| fail("custom panic string"),
        "echo" => |a| Ok(a.first().cloned().unwrap_or(Value::Nil)),
        "makemap" => |a| {
            let words = strings(a)?;
            let pairs = words
                .chunks(2)
                .map(|pair| (pair[0].as_str().into(), string(&pair[1])));
            Ok(Value::Map(pairs.collect()))
        },
        "mapOfThree" => |_| {
            Ok(Value::Map(
                [("three".into(), Value::Int(3))].into_iter().collect(),
            ))
        },
        "oneArg" => |a| match strings(a)?.as_slice() {
            [x] => Ok(string(format!("oneArg={x}"))),
            _ => fail("wrong number of args"),
        },
        "twoArgs" => |a| match strings(a)?.as_slice() {
            [x, y] => Ok(string(format!("twoArgs={x}{y}"))),
            _ => fail("wrong number of args"),
        },
        "returnInt" => |_| Ok(Value::Int(7)),
        "stringer" => |a| match a {
            [Value::Object(object)] => {
                let mut out = Vec::new();
                object.print(&mut out);
                Ok(Value::from_bytes(&out))
            }
            _ => fail("wrong type for value; expected fmt.Stringer"),
        },
        "typeOf" => |a| Ok(string(a[0].type_name())),
        "valueString" => |a| strings(a).map(|_| string("value is ignored")),
        "vfunc" => |_| Ok(string("vfunc")),
        "zeroArgs" => |_| Ok(string("zeroArgs")),
        _ => return None,
    };
    Some(Arc::new(function))
}

impl Struct {
    /// The methods that Go's tests give their types.
    fn method(&self, name: &str) -> Option<Function> {
        let fields = self.fields.clone();
        let field = move |name: &str| fields.get(name).cloned().unwrap_or(Value::Nil);
        let base = self.name.trim_start_matches('*').to_owned();
        Some(match (base.as_str(), name) {
            ("template.T" | "template.S", "Method0") => Arc::new(|_| Ok(string("M0"))),
            ("template.T", "Method1") => Arc::new(|a| Ok(Value::Int(ints(a)?[0]))),
            ("template.T", "Method2") => Arc::new(|a| {
                let (n, s) = (ints(&a[..1])?[0], strings(&a[1..])?);
                Ok(string(format!("Method2: {n} {}", s[0])))
            }),
            ("template.T", "Method3") => Arc::new(|a| {
                let nil = matches!(a, [Value::Nil]);
                Ok(string(if nil { "Method3: <nil>" } else { "Method3: ?" }))
            }),
            ("template.T", "GetU") if self.nil => {
                Arc::new(|_| fail("runtime error: invalid memory address or nil pointer dereference"))
            }
            ("template.T", "GetU") => Arc::new(move |_| Ok(field("U"))),
            ("template.T", "Copy") => {
                let copy = object(
                    &self.name,
                    self.fields.clone(),
                    self.hidden.clone(),
                    self.print.clone(),
                    self.nil,
                );
                Arc::new(move |_| Ok(copy.clone()))
            }
            ("template.T", "MAdd") => Arc::new(|a| {
                let n = ints(&a[..1])?[0];
                match a[1].base() {
                    Value::List(items) => {
                        let sums = ints(items)?.into_iter().map(|item| Value::Int(item + n));
                        Ok(Value::List(sums.collect()))
                    }
                    _ => fail("wrong type"),
                }
            }),
            ("template.T", "MyError") => Arc::new(|a| match a {
                [Value::Bool(false)] => Ok(Value::Bool(false)),
                _ => fail("my error"),
            }),
            ("template.U", "TrueFalse") => Arc::new(|a| {
                Ok(string(if matches!(a, [Value::Bool(true)]) {
                    "true"
                } else {
                    ""
                }))
            }),
            ("template.V", "String") | ("template.W", "Error") => {
                let print = self.print.clone();
                Arc::new(move |_| Ok(string(&print)))
            }
            ("template.CustomError", "Error") => Arc::new(|_| fail("custom error")),
            _ => return None,
        })
    }
}

impl Object for Struct {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn member(&self, name: &str) -> Member {
        if let Some(method) = self.method(name) {
            return Member::Method(method);
        }
        if self.hidden.iter().any(|hidden| hidden == name) {
            return Member::Hidden;
        }
        match self.fields.get(name) {
            Some(_) if self.nil => Member::Nil,
            Some(value) => Member::Field(value.clone()),
            None => Member::None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.print.as_bytes());
    }

    fn is_true(&self) -> bool {
        !self.nil
    }
}

impl Object for Keyed {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn member(&self, _: &str) -> Member {
        Member::None
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"map[]");
    }

    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        Some(self.1.clone())
    }

    fn is_true(&self) -> bool {
        !self.1.is_empty()
    }
}
