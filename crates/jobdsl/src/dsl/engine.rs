//! Groovy's template engines: text with `${…}`, `<%= … %>` and `<% … %>`, filled in from a map.

use super::files::{self, FileRef};
use crate::run::{Foreign, Interp, Throw, Value};
use herder_base::Tree;
use std::any::Any;
use std::rc::Rc;

/// Names of the engines; they differ in what they may be given, not in what they make.
const ENGINES: &[&str] = &[
    "SimpleTemplateEngine",
    "GStringTemplateEngine",
    "StreamingTemplateEngine",
];

/// An engine, or a template that one has read.
enum Engine {
    New,
    Template(String),
}

impl Foreign for Engine {
    fn describe(&self) -> String {
        "the template engine".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `new SimpleTemplateEngine()`.
pub(super) fn native(class: &str, name: &str) -> Option<Value> {
    (ENGINES.contains(&class) && name == "<init>").then(|| Value::Foreign(Rc::new(Engine::New)))
}

/// A method of an engine or a template; none if it is neither.
pub(super) fn method(
    interp: &Interp,
    tree: &Tree,
    roots: &files::Roots,
    of: &Rc<dyn Foreign>,
    name: &str,
    args: &[Value],
) -> Result<Option<Value>, Throw> {
    let Some(engine) = of.as_any().downcast_ref::<Engine>() else {
        return Ok(None);
    };
    Ok(match (engine, name, args) {
        (Engine::New, "createTemplate", [source]) => {
            let file = match source {
                Value::Foreign(foreign) => foreign.as_any().downcast_ref::<FileRef>(),
                _ => None,
            };
            let text = match file {
                Some(file) => files::text(tree, roots, &file.0)?,
                None => interp.show(source)?,
            };
            interp.spend(text.len())?;
            Some(Value::Foreign(Rc::new(Engine::Template(text))))
        }
        (Engine::Template(text), "make", [] | [Value::Map(_)]) => {
            Some(Value::text(make(interp, text, args.first())?))
        }
        _ => None,
    })
}

fn make(interp: &Interp, text: &str, values: Option<&Value>) -> Result<String, Throw> {
    let source = interp.read("(template)", &script(text))?.map_err(|error| {
        let message = format!("the template cannot be read: {}", error.message);
        Throw::exception("TemplateParseException", message)
    })?;
    if let Some(Value::Map(map)) = values {
        for (key, value) in map.pairs() {
            source.binding.put(key, value);
        }
    }
    let made = interp.nested(|| interp.run(&source))?;
    interp.show(&made)
}

/// The template as a script that returns its text.
fn script(text: &str) -> String {
    let mut out = String::from("def out = new StringBuilder()\ndef print = { out.append(it) }\n");
    let mut rest = text;
    while let Some((before, code)) = rest.split_once("<%") {
        piece(&mut out, before);
        let (code, after) = code.split_once("%>").unwrap_or((code, ""));
        match code.strip_prefix('=') {
            Some(value) => out.push_str(&format!("out.append({value})\n")),
            None => out.push_str(&format!("{code}\n")),
        }
        rest = after;
    }
    piece(&mut out, rest);
    out.push_str("out.toString()\n");
    out
}

fn piece(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str("out.append(\"\"\"");
        out.push_str(&text.replace('"', "\\\""));
        out.push_str("\"\"\")\n");
    }
}
