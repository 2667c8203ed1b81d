//! Functions that ask for something, keep something during a round, or write files beside the output.

use super::args::{any, bytes, count, fail, text};
use super::response::Response;
use super::scratch::{Notes, Scratch};
use super::stream::Stream;
use crate::engine::{Budget, FuncMap, Result, Value};
use crate::known::Known;
use crate::request::{FileWrite, Request};
use crate::template::Engine;
use crate::time::{Time, Zone};
use crate::value::{from_json, map, string};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The functions registered here.
pub(super) const NAMES: &[&str] = &[
    "secret",
    "secrets",
    "pkiCert",
    "file",
    "env",
    "mustEnv",
    "envOrDefault",
    "timestamp",
    "executeTemplate",
    "scratch",
    "writeToFile",
];

/// `executeTemplate` inside `executeTemplate`: each level is a new engine on the same stack.
const DEPTH: usize = 4;

/// The state of one round.
pub(crate) struct Round {
    known: Arc<Known>,
    engine: Arc<Engine>,
    seen: Mutex<Seen>,
    scratch: Arc<Notes>,
    stream: Mutex<Option<Stream>>,
    /// One for all that is executed, however often `executeTemplate` begins anew.
    pub(crate) budget: Arc<Budget>,
}

/// What a round has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) missing: BTreeSet<Request>,
    pub(crate) used: BTreeSet<Request>,
    pub(crate) files: Vec<FileWrite>,
    depth: usize,
}

impl Round {
    /// A round that knows these answers.
    pub(crate) fn new(known: Arc<Known>, engine: Arc<Engine>) -> Self {
        Self {
            known,
            engine,
            seen: Mutex::default(),
            scratch: Arc::default(),
            stream: Mutex::default(),
            budget: Arc::default(),
        }
    }

    /// What it has seen.
    pub(crate) fn finish(&self) -> Seen {
        std::mem::take(&mut *self.seen())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present time, which it asks for.
    pub(super) fn now(&self, zone: Zone) -> Time {
        let seconds = self.ask(Request::Now).and_then(Json::as_i64);
        Time::unix(seconds.unwrap_or_default(), zone)
    }

    /// Draws from what the seed gives this template; what is drawn is hidden in messages.
    pub(super) fn draw(&self, draw: impl FnOnce(&mut Stream) -> Result<String>) -> Result<String> {
        let Some(seed) = self.ask(Request::Seed) else {
            // No text of this round may be used, not even to ask for something else.
            return fail("the seed is not known yet");
        };
        let Some(seed) = seed.as_str().filter(|seed| seed.len() >= 32) else {
            return fail("there is no randomness");
        };
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = stream.get_or_insert_with(|| Stream::new(seed, self.engine.digest()));
        let value = draw(stream)?;
        self.known.note_drawn(&value);
        Ok(value)
    }

    /// The answer to a request, noting that it is used, and that it is missing if it is.
    fn ask(&self, request: Request) -> Option<&Json> {
        let answer = self.known.get(&request);
        let mut seen = self.seen();
        if answer.is_none() {
            seen.missing.insert(request.clone());
        }
        seen.used.insert(request);
        drop(seen);
        answer
    }
}

/// Adds the functions to the engine's table.
pub(super) fn register(map: &mut FuncMap, round: &Arc<Round>) {
    let mut add = |name: &str, function: fn(&Arc<Round>, &[Value]) -> Result<Value>| {
        let round = Arc::clone(round);
        map.insert(
            name.to_owned(),
            Arc::new(move |args: &[Value]| {
                let plain: Vec<Value> = args.iter().map(|arg| arg.base().clone()).collect();
                function(&round, &plain)
            }),
        );
    };
    add("secret", secret);
    add("secrets", |round, args| {
        count("secrets", args, 1..=1)?;
        let path = vault_path("secrets", args)?;
        Ok(round
            .ask(Request::List { path })
            .map_or_else(|| Value::List(Vec::new().into()), from_json))
    });
    add("pkiCert", |round, args| {
        let path = vault_path("pkiCert", args)?;
        let request = Request::PkiCert {
            path,
            data: pairs("pkiCert", args)?,
        };
        Ok(round.ask(request).map_or(Value::Nil, |answer| {
            let certificate = from_json(answer);
            match &certificate {
                // `.Data.Cert` works as well as `.Cert`.
                Value::Map(entries) => {
                    let mut entries = (**entries).clone();
                    for hidden in ["Expiration", "ReplaceAt"] {
                        entries.remove(hidden);
                    }
                    entries.insert(Arc::from("Data"), certificate.clone());
                    object("dependency.PemEncoded", Value::Map(entries.into()))
                }
                _ => certificate,
            }
        }))
    });
    add("file", |round, args| {
        count("file", args, 1..=1)?;
        let path = text("file", args, 0)?.trim().to_owned();
        if path.is_empty() {
            return Ok(string(""));
        }
        Ok(match round.ask(Request::File { path }) {
            None => string(""),
            // A file that is no text: its bytes.
            Some(Json::Array(bytes)) => {
                let bytes = bytes.iter().filter_map(Json::as_u64);
                let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte).ok()).collect();
                Value::from_bytes(&bytes)
            }
            Some(answer) => from_json(answer),
        })
    });
    add("env", |round, args| {
        count("env", args, 1..=1)?;
        Ok(variable(round, "env", args)?.unwrap_or_else(|| string("")))
    });
    add("mustEnv", |round, args| {
        count("mustEnv", args, 1..=1)?;
        let name = text("mustEnv", args, 0)?.to_string();
        match variable(round, "mustEnv", args)? {
            Some(value) => Ok(value),
            None => fail(format!("mustEnv: environment variable `{name}` is not set")),
        }
    });
    add("envOrDefault", |round, args| {
        count("envOrDefault", args, 2..=2)?;
        match variable(round, "envOrDefault", args)? {
            Some(value) => Ok(value),
            None => any("envOrDefault", args, 1).cloned(),
        }
    });
    add("timestamp", |round, args| {
        count("timestamp", args, 0..=1)?;
        let now = round.now(Zone::Utc);
        match args.first() {
            None => Ok(string(now.rfc3339())),
            Some(_) => match &*bytes("timestamp", args, 0)? {
                b"unix" => Ok(string(now.seconds().to_string())),
                layout => Ok(Value::from_bytes(&now.format(layout))),
            },
        }
    });
    add("executeTemplate", |round, args| {
        count("executeTemplate", args, 1..=2)?;
        let name = text("executeTemplate", args, 0)?;
        let data = args.get(1).cloned().unwrap_or(Value::Nil);
        if round.seen().depth >= DEPTH {
            return fail(format!("executeTemplate: nested more than {DEPTH} times"));
        }
        round.seen().depth += 1;
        let result = round.engine.execute(round, &name, &data);
        round.seen().depth -= 1;
        result.map(|bytes| Value::from_bytes(&bytes))
    });
    add("scratch", |round, args| {
        count("scratch", args, 0..=0)?;
        Ok(Value::Object(Arc::new(Scratch {
            notes: Arc::downgrade(&round.scratch),
            budget: Arc::clone(&round.budget),
        })))
    });
    add("writeToFile", write_to_file);
}

fn vault_path(name: &str, args: &[Value]) -> Result<String> {
    let path = text(name, args, 0)?;
    let path = path.trim().trim_matches('/');
    if path.is_empty() {
        return fail(format!("{name}: the path is empty"));
    }
    Ok(path.to_owned())
}

fn pairs(name: &str, args: &[Value]) -> Result<BTreeMap<String, String>> {
    let mut data = BTreeMap::new();
    for i in 1..args.len() {
        let pair = text(name, args, i)?;
        if pair.is_empty() {
            continue;
        }
        let Some((key, value)) = pair.split_once('=') else {
            return fail(format!("{name}: argument {} is not of the form key=value", i + 1));
        };
        data.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(data)
}

fn secret(round: &Arc<Round>, args: &[Value]) -> Result<Value> {
    let path = vault_path("secret", args)?;
    let request = if args.len() > 1 {
        Request::Write {
            path,
            data: pairs("secret", args)?,
        }
    } else {
        Request::Secret { path }
    };
    Ok(round.ask(request).map_or(Value::Nil, |response| {
        if response.is_null() {
            return Value::Nil;
        }
        let field = |name: &str| response.get(name).map_or(Value::Nil, from_json);
        object(
            "*dependency.Secret",
            map([
                ("RequestID", field("request_id")),
                ("LeaseID", field("lease_id")),
                ("LeaseDuration", field("lease_duration")),
                ("Renewable", field("renewable")),
                ("Data", field("data")),
                ("Auth", field("auth")),
                ("WrapInfo", field("wrap_info")),
                ("Warnings", field("warnings")),
            ]),
        )
    }))
}

/// A map as a value that has these fields and no other.
fn object(name: &'static str, fields: Value) -> Value {
    match fields {
        Value::Map(fields) => Value::Object(Arc::new(Response(name, fields))),
        other => other,
    }
}

fn variable(round: &Arc<Round>, name: &str, args: &[Value]) -> Result<Option<Value>> {
    let name = text(name, args, 0)?.to_string();
    Ok(match round.ask(Request::Env { name }) {
        // Unknown yet: the round's text is thrown away, so that any text does.
        None => Some(string("")),
        Some(Json::Null) => None,
        Some(answer) => Some(from_json(answer)),
    })
}

/// `writeToFile PATH USER GROUP PERMISSIONS [FLAGS] CONTENT`.
fn write_to_file(round: &Arc<Round>, args: &[Value]) -> Result<Value> {
    const NAME: &str = "writeToFile";
    count(NAME, args, 5..=6)?;
    let flags = if args.len() == 6 {
        text(NAME, args, 4)?
    } else {
        Arc::from("")
    };
    let mut append = false;
    let mut newline = false;
    for flag in flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
        match flag {
            "append" => append = true,
            "newline" => newline = true,
            _ => return fail("writeToFile: a flag is neither `append` nor `newline`"),
        }
    }
    let Ok(mode) = u32::from_str_radix(&text(NAME, args, 3)?, 8) else {
        return fail("writeToFile: the permissions are not octal, such as 0640");
    };
    let mut content = bytes(NAME, args, args.len() - 1)?;
    if newline {
        content.push(b'\n');
    }
    if !round.budget.make(content.len()) {
        return fail("writeToFile: the files grow too large");
    }
    round.seen().files.push(FileWrite {
        path: text(NAME, args, 0)?.to_string(),
        user: text(NAME, args, 1)?.to_string(),
        group: text(NAME, args, 2)?.to_string(),
        mode: mode & 0o7777,
        append,
        content,
    });
    Ok(string(""))
}
