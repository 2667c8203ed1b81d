//! Classes of the platform that scripts use: collections, texts, JSON, YAML, XML. What reaches out of the script
//! (processes, network, the machine, Jenkins itself) is refused, saying so.

use super::interp::Interp;
use super::throw::Throw;
use super::value::{Key, Value};
use crate::xml::{Element, read};
use std::cell::RefCell;
use std::rc::Rc;

impl Interp {
    /// A constructor (`<init>`), static method or static property (`<get>name`) of a platform class.
    #[expect(clippy::too_many_lines, reason = "a table of classes")]
    pub(super) fn native(&self, class: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        if let Some(value) = self.host.native(self, class, name, args)? {
            return Ok(Some(value));
        }
        let first = || args.first().cloned().unwrap_or(Value::Null);
        let text = |index: usize| -> Result<String, Throw> {
            args.get(index)
                .map_or_else(|| Ok(String::new()), |value| self.show(value))
        };
        self.spend(32)?;
        Ok(Some(match (class, name) {
            ("ArrayList" | "LinkedList" | "Vector" | "CopyOnWriteArrayList" | "Stack", "<init>") => {
                match first() {
                    Value::Int(_) => Value::list(Vec::new()),
                    other => Value::list(self.items(&other)?),
                }
            }
            ("BufferedReader" | "StringReader" | "InputStreamReader", "<init>") => first(),
            ("HashSet" | "LinkedHashSet" | "TreeSet", "<init>") => {
                Value::list(self.distinct(self.items(&first())?)?)
            }
            ("HashMap" | "LinkedHashMap" | "TreeMap" | "ConcurrentHashMap", "<init>") => match first() {
                Value::Map(map) => Value::map(map.pairs()),
                _ => Value::map([]),
            },
            ("StringBuilder" | "StringBuffer" | "StringWriter", "<init>") => {
                let start = if matches!(first(), Value::Int(_)) {
                    String::new()
                } else {
                    text(0)?
                };
                Value::Buffer(Rc::new(RefCell::new(start)))
            }
            ("String" | "GString", "<init>" | "valueOf") => Value::text(text(0)?),
            ("String", "format") => Value::text(self.format(&text(0)?, args.get(1..).unwrap_or_default())?),
            ("String", "join") => {
                let list = if args.len() == 2 {
                    self.items(args.get(1).unwrap_or(&Value::Null))?
                } else {
                    args.iter().skip(1).cloned().collect()
                };
                let parts: Vec<String> = list
                    .iter()
                    .map(|item| self.show(item))
                    .collect::<Result<_, _>>()?;
                Value::text(parts.join(&text(0)?))
            }
            ("Integer" | "Long", "parseInt" | "parseLong" | "valueOf" | "<init>") => {
                match text(0)?.trim().parse() {
                    Ok(value) => Value::Int(value),
                    Err(_) => {
                        return Err(Throw::exception(
                            "NumberFormatException",
                            format!("`{}` is no number", text(0)?),
                        ));
                    }
                }
            }
            ("Integer", "<get>MAX_VALUE") => Value::Int(i64::from(i32::MAX)),
            ("Integer", "<get>MIN_VALUE") => Value::Int(i64::from(i32::MIN)),
            ("Long", "<get>MAX_VALUE") => Value::Int(i64::MAX),
            ("Double" | "BigDecimal" | "Float", "parseDouble" | "valueOf" | "<init>") => {
                match text(0)?.trim().parse() {
                    Ok(value) => Value::Decimal(value),
                    Err(_) => {
                        return Err(Throw::exception(
                            "NumberFormatException",
                            format!("`{}` is no number", text(0)?),
                        ));
                    }
                }
            }
            ("Boolean", "parseBoolean" | "valueOf" | "<init>") => {
                Value::Bool(text(0)?.eq_ignore_ascii_case("true"))
            }
            ("Boolean", "<get>TRUE") => Value::Bool(true),
            ("Boolean", "<get>FALSE") => Value::Bool(false),
            ("Closure", "<get>OWNER_FIRST") => Value::Int(0),
            ("Closure", "<get>DELEGATE_FIRST") => Value::Int(1),
            ("Closure", "<get>OWNER_ONLY") => Value::Int(2),
            ("Closure", "<get>DELEGATE_ONLY") => Value::Int(3),
            ("Math", "max") => {
                let second = args.get(1).cloned().unwrap_or(Value::Null);
                if self.compare(&first(), &second)?.is_lt() {
                    second
                } else {
                    first()
                }
            }
            ("Math", "min") => {
                let second = args.get(1).cloned().unwrap_or(Value::Null);
                if self.compare(&first(), &second)?.is_gt() {
                    second
                } else {
                    first()
                }
            }
            ("Math", "abs" | "round") => return self.number_method(&first(), name, &[]),
            ("Math", "floorMod" | "floorDiv") => match (first(), args.get(1)) {
                (Value::Int(a), Some(Value::Int(b))) if *b != 0 => Value::Int(if name == "floorMod" {
                    a.rem_euclid(*b)
                } else {
                    a.div_euclid(*b)
                }),
                _ => return Ok(None),
            },
            ("Objects", "equals") => Value::Bool(self.equal(&first(), args.get(1).unwrap_or(&Value::Null))?),
            ("Objects", "hash") => Value::Int(0),
            ("Arrays", "asList") | ("List" | "Set", "of") => Value::list(if args.len() == 1 {
                self.items(&first())?
            } else {
                args.to_vec()
            }),
            ("Map", "of") => Value::map(args.chunks(2).filter_map(|pair| match pair {
                [key, value] => Some((key.key(), value.clone())),
                _ => None,
            })),
            ("Collections", "emptyList" | "emptySet" | "<get>EMPTY_LIST") => Value::list(Vec::new()),
            ("Collections", "emptyMap") => Value::map([]),
            (
                "Collections",
                "unmodifiableList" | "unmodifiableMap" | "unmodifiableSet" | "synchronizedList",
            ) => first(),
            ("Collections", "singletonList" | "singleton") => Value::list(vec![first()]),
            ("Collections", "sort") => {
                return self.try_method(&first(), "sort", args.get(1..).unwrap_or_default());
            }
            ("Pattern", "compile") => self.pattern(&first())?,
            ("Pattern", "quote") => Value::text(regex::escape(&text(0)?)),
            ("Pattern", "matches") => match self.pattern(&first())? {
                Value::Pattern(pattern) => Value::Bool(super::texts::matches_whole(&pattern, &text(1)?)),
                _ => Value::Bool(false),
            },
            (
                "JsonSlurper" | "JsonSlurperClassic" | "JsonOutput" | "Yaml" | "XmlParser" | "XmlSlurper"
                | "NodeBuilder" | "JsonBuilder" | "Constructor" | "SafeConstructor" | "DumperOptions"
                | "LoaderOptions",
                "<init>",
            ) => {
                if class == "JsonBuilder" {
                    return Ok(Some(first()));
                }
                Value::Native(class.into())
            }
            ("JsonSlurper" | "JsonSlurperClassic", "parseText" | "parse") => {
                let text = text(0)?;
                match serde_json::from_str(&text) {
                    Ok(json) => self.of_json(&json)?,
                    Err(error) => return Err(Throw::exception("JsonException", error.to_string())),
                }
            }
            ("JsonSlurper" | "JsonSlurperClassic", "setType") => Value::Null,
            ("JsonOutput", "toJson") => Value::text(self.to_json(&first(), 0)?.to_string()),
            ("JsonOutput", "prettyPrint") => {
                let text = text(0)?;
                match serde_json::from_str::<serde_json::Value>(&text) {
                    Ok(json) => {
                        // Four spaces, as Groovy does.
                        let pretty = serde_json::to_string_pretty(&json).unwrap_or_default();
                        let lines: Vec<String> = pretty
                            .lines()
                            .map(|line| {
                                let body = line.trim_start();
                                format!("{}{body}", " ".repeat((line.len() - body.len()) * 2))
                            })
                            .collect();
                        Value::text(lines.join("\n"))
                    }
                    Err(error) => return Err(Throw::exception("JsonException", error.to_string())),
                }
            }
            ("Yaml", "load") => crate::run::yaml::load(self, &text(0)?)?,
            ("Yaml", "loadAll") => Value::list(vec![crate::run::yaml::load(self, &text(0)?)?]),
            ("XmlParser" | "XmlSlurper", "parseText" | "parse") => match read(&text(0)?) {
                Ok(node) => Value::Node(node),
                Err(error) => return Err(Throw::exception("SAXParseException", error.to_string())),
            },
            ("NodeBuilder", _) if !name.starts_with('<') => Value::Node(self.build_node(name, args)?),
            ("Node", "<init>") => {
                let node = self.build_node(&text(1)?, args.get(2..).unwrap_or_default())?;
                if let Value::Node(parent) = first() {
                    parent.append(Rc::clone(&node));
                }
                Value::Node(node)
            }
            ("XmlUtil" | "XmlNodePrinter", "serialize") => match first() {
                Value::Node(node) => match node.too_much() {
                    Some(why) => return Err(Throw::limit(why)),
                    None => Value::text(crate::xml::print(&node)),
                },
                other => other,
            },
            ("CharMatcher", "<get>WHITESPACE") => Value::Native("CharMatcher.WHITESPACE".into()),
            ("CharMatcher", "whitespace") => Value::Native("CharMatcher.WHITESPACE".into()),
            ("CharMatcher.WHITESPACE", "removeFrom") => {
                Value::text(text(0)?.split_whitespace().collect::<String>())
            }
            ("CharMatcher.WHITESPACE", "trimFrom") => Value::text(text(0)?.trim()),
            ("Object", "<init>") => Value::map([]),
            ("Date" | "LocalDate" | "Instant" | "Calendar" | "Random" | "SecureRandom" | "UUID", _)
                if !name.starts_with("<get>") =>
            {
                return Err(Throw::exception(
                    "SecurityException",
                    format!("jobs must not depend on the moment they are read: `{class}` is refused"),
                ));
            }
            ("System", "getenv" | "getProperty") => match args {
                [] => Value::map([]),
                [name] => self.host.variable(&self.show(name)?).unwrap_or(Value::Null),
                [_, default, ..] => default.clone(),
            },
            ("System", "lineSeparator") => Value::text("\n"),
            ("System", "<get>out" | "<get>err") => Value::Native("PrintStream".into()),
            ("System", "currentTimeMillis" | "nanoTime") => Value::Int(0),
            ("PrintStream", "println" | "print" | "printf") => {
                self.host.print(&text(0)?);
                Value::Null
            }
            ("PrintStream", "flush") => Value::Null,
            ("Thread", "sleep") => Value::Null,
            ("StringUtils", "isBlank" | "isEmpty") => {
                Value::Bool(text(0)?.trim().is_empty() || first().is_null())
            }
            ("StringUtils", "isNotBlank" | "isNotEmpty") => {
                Value::Bool(!text(0)?.trim().is_empty() && !first().is_null())
            }
            ("StringUtils", "join") => {
                return self.try_method(&first(), "join", args.get(1..).unwrap_or_default());
            }
            ("StringUtils", "capitalize" | "trim" | "reverse") => {
                return self.try_method(&first(), name, &[]);
            }
            ("Logger" | "LoggerFactory" | "Log", _) => Value::Native("Logger".into()),
            ("URL" | "URI" | "HttpURLConnection" | "InetAddress" | "Socket", "<init>" | "create") => {
                return Err(Throw::exception(
                    "SecurityException",
                    format!(
                        "scripts reach no network: `new {class}` is refused; keep what it would fetch in the repository"
                    ),
                ));
            }
            (
                "ProcessBuilder" | "Runtime" | "GroovyShell" | "GroovyClassLoader" | "FileWriter"
                | "FileInputStream" | "FileOutputStream",
                _,
            ) => {
                return Err(Throw::exception(
                    "SecurityException",
                    format!("scripts reach neither programs nor the machine's files: `{class}` is refused"),
                ));
            }
            ("Jenkins" | "Hudson" | "JenkinsLocationConfiguration" | "CredentialsProvider", _) => {
                return Err(Throw::exception(
                    "SecurityException",
                    format!("there is no Jenkins behind this script: `{class}` is refused"),
                ));
            }
            (exception, "<init>") if exception.ends_with("Exception") || exception.ends_with("Error") => {
                Value::Exception(Rc::new(super::value::Exception {
                    class: exception.into(),
                    message: first(),
                }))
            }
            _ => return Ok(None),
        }))
    }

    pub(crate) fn of_json(&self, json: &serde_json::Value) -> Result<Value, Throw> {
        self.spend(32)?;
        Ok(match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Decimal(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Value::text(text.as_str()),
            serde_json::Value::Array(items) => Value::list(
                items
                    .iter()
                    .map(|item| self.of_json(item))
                    .collect::<Result<_, _>>()?,
            ),
            serde_json::Value::Object(entries) => {
                let map = Value::map([]);
                if let Value::Map(inner) = &map {
                    for (key, value) in entries {
                        inner.put(Key::from(key.as_str()), self.of_json(value)?);
                    }
                }
                map
            }
        })
    }

    fn to_json(&self, value: &Value, depth: usize) -> Result<serde_json::Value, Throw> {
        if depth > 100 {
            return Err(Throw::exception("StackOverflowError", "the value holds itself"));
        }
        self.step()?;
        self.spend(64)?;
        Ok(match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Decimal(value) => {
                serde_json::Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into)
            }
            Value::List(items) => {
                let items = items.borrow().clone();
                serde_json::Value::Array(
                    items
                        .iter()
                        .map(|item| self.to_json(item, depth + 1))
                        .collect::<Result<_, _>>()?,
                )
            }
            Value::Map(map) => {
                let mut out = serde_json::Map::new();
                for (key, value) in map.pairs() {
                    out.insert(key.value().show(), self.to_json(&value, depth + 1)?);
                }
                serde_json::Value::Object(out)
            }
            other => self.show(other)?.into(),
        })
    }

    /// An element made of nothing but a name, for hosts.
    pub(crate) fn element(&self, name: &str) -> Result<crate::xml::Node, Throw> {
        self.spend(32)?;
        Ok(Element::new(name))
    }
}
