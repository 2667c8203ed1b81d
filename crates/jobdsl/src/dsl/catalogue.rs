//! Reads the tables that say which methods Job DSL has and what XML each makes.
//!
//! A table is lines, indented by twos:
//!
//! ```text
//! context NAME [: BASE …]                methods may be looked up in bases too
//!   keep                                  unknown calls are kept as elements
//!   METHOD(params) [{} | {CONTEXT}]       with a closure: of options below, or of a context
//!     .option .flag? .list[] .map{} .pairs% … options of the closure, see `options`
//!     Element [expression]                what it makes; expressions are Groovy
//!       Child(attribute: expression)
//!     if expression / else / for x in expression / nodes expression
//!     /path/Element …                     merged into the item at the path
//!     + /path                             children, if any, are appended at the path (`++`: the path is made anyway)
//!     do expression / later expression    for what it does, at once or after the changes
//!     as NAME expression                  nodes under that name, their own as class
//!     = Element                           replaces the item's child of that name
//!   METHOD(params) = statements           short for other calls
//! item NAME : CONTEXT                     first content of an item, as elements
//! ```

use super::options::{options, parse_code, parse_params};
use super::outline::{Outline, matching, outline};
use super::template::{Line, parse_lines};
use crate::syntax::{ClosureDef, Expr, Name, Param};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

const TABLES: &[(&str, &str)] = &[
    ("items", include_str!("tables/items.table")),
    ("job", include_str!("tables/job.table")),
    ("scm", include_str!("tables/scm.table")),
    ("parameters", include_str!("tables/parameters.table")),
    ("triggers", include_str!("tables/triggers.table")),
    ("steps", include_str!("tables/steps.table")),
    ("publishers", include_str!("tables/publishers.table")),
    ("wrappers", include_str!("tables/wrappers.table")),
    ("properties", include_str!("tables/properties.table")),
    ("views", include_str!("tables/views.table")),
    ("workflow", include_str!("tables/workflow.table")),
];

/// All tables: their lines, and what of them has been asked for so far, since a script uses few of the methods.
#[derive(Default)]
pub(crate) struct Catalogue {
    contexts: RefCell<HashMap<&'static str, Rc<ContextSpec>>>,
    items: RefCell<HashMap<&'static str, Rc<ItemSpec>>>,
}

/// The methods of a kind of closure.
#[derive(Default)]
pub(crate) struct ContextSpec {
    pub(crate) name: &'static str,
    pub(crate) bases: Vec<Rc<ContextSpec>>,
    /// Whether unknown calls are kept as elements.
    pub(crate) keep: bool,
    pub(crate) options: Vec<OptionSpec>,
    methods: HashMap<&'static str, Vec<Rc<Lazy>>>,
}

/// A method that is understood when it is first called.
struct Lazy {
    line: &'static Outline,
    names: &'static str,
    spec: OnceCell<Rc<MethodSpec>>,
}

/// What an item is before its script says anything.
pub(crate) struct ItemSpec {
    pub(crate) context: &'static str,
    pub(crate) root: Line,
}

/// One method.
pub(crate) struct MethodSpec {
    pub(crate) params: Vec<Param>,
    pub(crate) closure: ClosureSpec,
    pub(crate) body: Body,
}

/// What a method does with a closure.
pub(crate) enum ClosureSpec {
    None,
    /// Runs it with options of its own.
    Options(Rc<ContextSpec>),
    /// Runs it in a context of the tables.
    Context(String),
}

pub(crate) enum Body {
    Template(Vec<Line>),
    Call(Rc<ClosureDef>),
}

/// One option of a closure.
pub(crate) struct OptionSpec {
    pub(crate) method: String,
    pub(crate) field: Name,
    pub(crate) kind: OptionKind,
    /// The value of the field before anything is said.
    pub(crate) first: Option<Expr>,
}

pub(crate) enum OptionKind {
    /// `x(value)`.
    Value,
    /// `x(value = true)`.
    Flag,
    /// `x(values…)` adds.
    List,
    /// `x(key, value)`, `x(map)` puts.
    Map,
    /// `x(key, value)`, `x(map)` adds `key=value`.
    Pairs,
    /// `x { … }`: the nodes of a context are added.
    Nodes(String),
    /// `x()` sets this.
    Constant(Expr),
    /// `x(params)`: statements that may set fields.
    Code(Rc<ClosureDef>),
    /// `configure { node -> … }`, kept to be applied to the finished element.
    Configure,
}

/// Contexts and items by name, as lines.
struct Sheets {
    contexts: HashMap<&'static str, (&'static str, &'static Outline)>,
    items: HashMap<&'static str, (&'static str, &'static Outline)>,
}

/// The lines of all tables, read once.
fn sheets() -> &'static Sheets {
    static OUTLINES: OnceLock<Vec<Outline>> = OnceLock::new();
    static SHEETS: OnceLock<Sheets> = OnceLock::new();
    SHEETS.get_or_init(|| {
        let outlines = OUTLINES.get_or_init(|| TABLES.iter().flat_map(|(_, text)| outline(text)).collect());
        let mut sheets = Sheets {
            contexts: HashMap::new(),
            items: HashMap::new(),
        };
        for top in outlines {
            let (kind, head) = top.text.split_once(' ').unwrap_or((top.text, ""));
            let (name, rest) = head.split_once(':').unwrap_or((head, ""));
            let found = (rest.trim(), top);
            match kind {
                "context" => sheets.contexts.insert(name.trim(), found),
                _ => sheets.items.insert(name.trim(), found),
            };
        }
        sheets
    })
}

impl Catalogue {
    /// The tables, once per thread.
    pub(crate) fn get() -> Rc<Self> {
        thread_local! {
            static CATALOGUE: Rc<Catalogue> = Rc::default();
        }
        CATALOGUE.with(Rc::clone)
    }

    pub(crate) fn context(&self, name: &str) -> Option<Rc<ContextSpec>> {
        if let Some(known) = self.contexts.borrow().get(name) {
            return Some(Rc::clone(known));
        }
        let (name, (bases, top)) = sheets().contexts.get_key_value(name)?;
        let mut spec = ContextSpec {
            name,
            bases: bases
                .split_whitespace()
                .filter_map(|base| self.context(base))
                .collect(),
            ..ContextSpec::default()
        };
        for line in &top.below {
            report(member(&mut spec, line));
        }
        let spec = Rc::new(spec);
        self.contexts.borrow_mut().insert(name, Rc::clone(&spec));
        Some(spec)
    }

    pub(crate) fn item(&self, name: &str) -> Option<Rc<ItemSpec>> {
        if let Some(known) = self.items.borrow().get(name) {
            return Some(Rc::clone(known));
        }
        let (name, (context, top)) = sheets().items.get_key_value(name)?;
        let root = report(parse_lines(&top.below))?.pop()?;
        let item = Rc::new(ItemSpec { context, root });
        self.items.borrow_mut().insert(name, Rc::clone(&item));
        Some(item)
    }
}

impl ContextSpec {
    /// The methods of a name, a context's own first.
    pub(crate) fn methods(&self, name: &str, out: &mut Vec<Rc<MethodSpec>>) {
        for lazy in self.methods.get(name).into_iter().flatten() {
            if let Some(known) = lazy.spec.get() {
                out.push(Rc::clone(known));
            } else if let Some(method) = report(method(lazy.names, lazy.line)) {
                out.push(Rc::clone(lazy.spec.get_or_init(|| Rc::new(method))));
            }
        }
        for base in &self.bases {
            base.methods(name, out);
        }
    }

    /// Whether there is a method of a name.
    pub(crate) fn has_method(&self, name: &str) -> bool {
        self.methods.contains_key(name) || self.bases.iter().any(|base| base.has_method(name))
    }

    /// All options, a context's own first.
    pub(crate) fn options<'a>(&'a self, out: &mut Vec<&'a OptionSpec>) {
        out.extend(&self.options);
        for base in &self.bases {
            base.options(out);
        }
    }

    /// Whether unknown calls are kept as elements.
    pub(crate) fn keeps(&self) -> bool {
        self.keep || self.bases.iter().any(|base| base.keeps())
    }
}

/// A wrong table is a fault of this program: the test below reads them all. Pure crates have no log.
fn report<T>(read: Result<T, (usize, String)>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err((line, why)) => {
            debug_assert!(false, "{line}: {why}");
            None
        }
    }
}

/// A line of a context: `keep`, options, or a method.
fn member(spec: &mut ContextSpec, line: &'static Outline) -> Result<(), (usize, String)> {
    let at = |why: String| (line.number, why);
    if line.text == "keep" {
        spec.keep = true;
        return Ok(());
    }
    if line.text.starts_with('.') {
        return options(&mut spec.options, line);
    }
    let (names, _) = line
        .text
        .split_once('(')
        .ok_or_else(|| at("`(` is missing".to_owned()))?;
    let lazy = Rc::new(Lazy {
        line,
        names: names.trim(),
        spec: OnceCell::new(),
    });
    for name in names.split('|') {
        spec.methods
            .entry(name.trim())
            .or_default()
            .push(Rc::clone(&lazy));
    }
    Ok(())
}

/// A method's line, understood.
fn method(names: &'static str, line: &'static Outline) -> Result<MethodSpec, (usize, String)> {
    let at = |why: String| (line.number, why);
    let (_, rest) = line.text.split_once('(').unwrap_or_default();
    let close = matching(rest).ok_or_else(|| at("`)` is missing".to_owned()))?;
    let (params, rest) = (
        rest.get(..close).unwrap_or_default(),
        rest.get(close + 1..).unwrap_or_default(),
    );
    let params = parse_params(params).map_err(at)?;
    let rest = rest.trim();
    Ok(if let Some(code) = rest.strip_prefix('=') {
        MethodSpec {
            params,
            closure: ClosureSpec::None,
            body: Body::Call(parse_code(code).map_err(at)?),
        }
    } else {
        let mut inner = ContextSpec {
            name: names,
            ..ContextSpec::default()
        };
        let mut template = Vec::new();
        for below in &line.below {
            if below.text.starts_with('.') {
                options(&mut inner.options, below)?;
            } else {
                template.push(below);
            }
        }
        let body = super::template::parse_refs(&template)?;
        let closure = match rest {
            "" => ClosureSpec::None,
            "{}" => ClosureSpec::Options(Rc::new(inner)),
            context => {
                let context = context
                    .strip_prefix('{')
                    .and_then(|c| c.strip_suffix('}'))
                    .ok_or_else(|| at(format!("`{context}` is neither `{{CONTEXT}}` nor `= …`")))?;
                ClosureSpec::Context(context.to_owned())
            }
        };
        MethodSpec {
            params,
            closure,
            body: Body::Template(body),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_can_be_read() {
        for (name, text) in TABLES {
            for top in outline(text) {
                let starts = ["context ", "item "]
                    .iter()
                    .any(|start| top.text.starts_with(start));
                assert!(
                    starts,
                    "{name}.table:{}: `{}` begins nothing",
                    top.number, top.text
                );
            }
        }
        let catalogue = Catalogue::get();
        let mut missing = Vec::new();
        let mut need = |name: &str, by: &str| {
            if !sheets().contexts.contains_key(name) {
                missing.push(format!("{name}, named by {by}"));
            }
        };
        for (name, (bases, _)) in &sheets().contexts {
            for base in bases.split_whitespace() {
                need(base, name);
            }
            let spec = catalogue.context(name).unwrap();
            let mut wanted: Vec<String> = Vec::new();
            let nested = |options: &[OptionSpec], wanted: &mut Vec<String>| {
                for option in options {
                    if let OptionKind::Nodes(name) = &option.kind {
                        wanted.push(name.clone());
                    }
                }
            };
            nested(&spec.options, &mut wanted);
            for lazy in spec.methods.values().flatten() {
                let method = method(lazy.names, lazy.line)
                    .unwrap_or_else(|(line, why)| panic!("{name}, line {line}: {why}"));
                match &method.closure {
                    ClosureSpec::None => {}
                    ClosureSpec::Context(name) => wanted.push(name.clone()),
                    ClosureSpec::Options(inner) => nested(&inner.options, &mut wanted),
                }
            }
            for found in wanted {
                need(&found, name);
            }
        }
        for (name, (context, _)) in &sheets().items {
            need(context, name);
            assert!(catalogue.item(name).is_some(), "{name}");
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
