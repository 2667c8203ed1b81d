//! Reads the tables that say which methods Job DSL has and what XML each makes.
//!
//! A table is lines, indented by twos:
//!
//! ```text
//! context NAME [: BASE …]                methods may be looked up in bases too
//!   keep                                  unknown calls are kept as elements
//!   METHOD(params) [{} | {CONTEXT}]       with a closure: of options below, or of a context
//!     .option .flag? .list[] .map{} …     options of the closure, see `options`
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

use super::template::{Line, parse_lines};
use crate::syntax::{ClosureDef, Expr, ExprKind, Name, Param, parse_expression};
use std::collections::HashMap;
use std::rc::Rc;

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

/// All tables.
#[derive(Default)]
pub(crate) struct Catalogue {
    contexts: HashMap<String, Rc<ContextSpec>>,
    items: HashMap<String, Rc<ItemSpec>>,
}

/// The methods of a kind of closure.
#[derive(Default)]
pub(crate) struct ContextSpec {
    pub(crate) name: String,
    pub(crate) bases: Vec<String>,
    /// Whether unknown calls are kept as elements.
    pub(crate) keep: bool,
    pub(crate) options: Vec<OptionSpec>,
    pub(crate) methods: HashMap<String, Vec<Rc<MethodSpec>>>,
}

/// What an item is before its script says anything.
pub(crate) struct ItemSpec {
    pub(crate) context: String,
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
    /// `x { … }`: the nodes of a context are added.
    Nodes(String),
    /// `x()` sets this.
    Constant(Expr),
    /// `x(params)`: statements that may set fields.
    Code(Rc<ClosureDef>),
    /// `configure { node -> … }`, kept to be applied to the finished element.
    Configure,
}

impl Catalogue {
    /// The tables, read once per thread.
    pub(crate) fn get() -> Rc<Self> {
        thread_local! {
            static TABLES_READ: Rc<Catalogue> = Rc::new(Catalogue::read());
        }
        TABLES_READ.with(Rc::clone)
    }

    fn read() -> Self {
        let mut catalogue = Self::default();
        for (name, text) in TABLES {
            if let Err((line, why)) = catalogue.table(text) {
                // A wrong table is a fault of this program; the test below names it.
                tracing_free_report(name, line, &why);
            }
        }
        catalogue
    }

    pub(crate) fn context(&self, name: &str) -> Option<Rc<ContextSpec>> {
        self.contexts.get(name).cloned()
    }

    pub(crate) fn item(&self, name: &str) -> Option<Rc<ItemSpec>> {
        self.items.get(name).cloned()
    }

    /// The methods of a name, a context's own first.
    pub(crate) fn methods(&self, spec: &ContextSpec, name: &str, out: &mut Vec<Rc<MethodSpec>>) {
        if let Some(own) = spec.methods.get(name) {
            out.extend(own.iter().cloned());
        }
        for base in &spec.bases {
            if let Some(base) = self.contexts.get(base) {
                self.methods(base, name, out);
            }
        }
    }

    /// An option of a name, and the fields of all options.
    pub(crate) fn options<'a>(&'a self, spec: &'a ContextSpec, out: &mut Vec<&'a OptionSpec>) {
        out.extend(&spec.options);
        for base in &spec.bases {
            if let Some(base) = self.contexts.get(base) {
                self.options(base, out);
            }
        }
    }

    pub(crate) fn keeps(&self, spec: &ContextSpec) -> bool {
        spec.keep
            || spec
                .bases
                .iter()
                .any(|base| self.contexts.get(base).is_some_and(|base| self.keeps(base)))
    }

    fn table(&mut self, text: &str) -> Result<(), (usize, String)> {
        let lines = outline(text);
        for top in &lines {
            let at = |why: String| (top.number, why);
            if let Some(head) = top.text.strip_prefix("context ") {
                let mut spec = ContextSpec::default();
                let (name, bases) = head.split_once(':').unwrap_or((head, ""));
                spec.name = name.trim().to_owned();
                spec.bases = bases.split_whitespace().map(str::to_owned).collect();
                for line in &top.below {
                    member(&mut spec, line)?;
                }
                self.contexts.insert(spec.name.clone(), Rc::new(spec));
            } else if let Some(head) = top.text.strip_prefix("item ") {
                let (name, context) = head
                    .split_once(':')
                    .ok_or_else(|| at("`:` is missing".to_owned()))?;
                let mut roots = parse_lines(&top.below)?;
                let root = roots
                    .pop()
                    .ok_or_else(|| at("an element is missing".to_owned()))?;
                let item = ItemSpec {
                    context: context.trim().to_owned(),
                    root,
                };
                self.items.insert(name.trim().to_owned(), Rc::new(item));
            } else {
                return Err(at(format!("`{}` begins nothing", top.text)));
            }
        }
        Ok(())
    }
}

fn tracing_free_report(table: &str, line: usize, why: &str) {
    // Pure crates have no log; the unit test reads all tables strictly.
    debug_assert!(false, "{table}.table:{line}: {why}");
}

/// A line with those indented below it.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) below: Vec<Outline>,
}

fn outline(text: &str) -> Vec<Outline> {
    let mut stack: Vec<(usize, Vec<Outline>)> = vec![(0, Vec::new())];
    let close = |stack: &mut Vec<(usize, Vec<Outline>)>| {
        if let Some((_, below)) = stack.pop()
            && let Some((_, above)) = stack.last_mut()
            && let Some(parent) = above.last_mut()
        {
            parent.below = below;
        }
    };
    for (index, line) in text.lines().enumerate() {
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let depth = (line.len() - body.len()) / 2;
        while stack.len() > depth + 1 {
            close(&mut stack);
        }
        while stack.len() < depth + 1 {
            stack.push((depth, Vec::new()));
        }
        if let Some((_, lines)) = stack.last_mut() {
            lines.push(Outline {
                number: index + 1,
                text: body.trim_end().to_owned(),
                below: Vec::new(),
            });
        }
    }
    while stack.len() > 1 {
        close(&mut stack);
    }
    stack.pop().map(|(_, lines)| lines).unwrap_or_default()
}

/// A line of a context: `keep`, options, or a method.
fn member(spec: &mut ContextSpec, line: &Outline) -> Result<(), (usize, String)> {
    let at = |why: String| (line.number, why);
    if line.text == "keep" {
        spec.keep = true;
        return Ok(());
    }
    if line.text.starts_with('.') {
        return options(&mut spec.options, line);
    }
    let (names, rest) = line
        .text
        .split_once('(')
        .ok_or_else(|| at("`(` is missing".to_owned()))?;
    let close = matching(rest).ok_or_else(|| at("`)` is missing".to_owned()))?;
    let (params, rest) = (
        rest.get(..close).unwrap_or_default(),
        rest.get(close + 1..).unwrap_or_default(),
    );
    let params = parse_params(params).map_err(at)?;
    let rest = rest.trim();
    let method = if let Some(code) = rest.strip_prefix('=') {
        MethodSpec {
            params,
            closure: ClosureSpec::None,
            body: Body::Call(parse_code(code).map_err(at)?),
        }
    } else {
        let mut inner = ContextSpec {
            name: names.trim().to_owned(),
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
    };
    let method = Rc::new(method);
    for name in names.split('|') {
        spec.methods
            .entry(name.trim().to_owned())
            .or_default()
            .push(Rc::clone(&method));
    }
    Ok(())
}

/// `.a .b=1 .c? .d?=true .e[] .f{} .g:CTX .h->f .i?->f .j->f=1 .k(x) => code .configure!`.
fn options(out: &mut Vec<OptionSpec>, line: &Outline) -> Result<(), (usize, String)> {
    let at = |why: String| (line.number, why);
    if let Some((head, code)) = line.text.split_once(" => ") {
        let (names, params) = head
            .trim_start_matches('.')
            .split_once('(')
            .ok_or_else(|| at("`(` is missing".to_owned()))?;
        let params = parse_params(params.trim_end().trim_end_matches(')')).map_err(at)?;
        let mut code = parse_closure(&format!("{{ -> {code} }}")).map_err(at)?;
        if let Some(def) = Rc::get_mut(&mut code) {
            def.params = Some(params);
        }
        for name in names.split('|') {
            out.push(OptionSpec {
                method: name.to_owned(),
                field: "".into(),
                kind: OptionKind::Code(Rc::clone(&code)),
                first: None,
            });
        }
        return Ok(());
    }
    for word in format!(" {}", line.text)
        .split(" .")
        .filter(|word| !word.trim().is_empty())
    {
        let word = word.trim();
        let (head, value) = match word.split_once('=') {
            Some((head, value)) => (
                head,
                Some(parse_expression(value).map_err(|e| at(format!("{word}: {}", e.message)))?),
            ),
            None => (word, None),
        };
        // The mark of what an option takes stands at the end, also after another name.
        let (head, target) = match head.split_once("->") {
            Some((head, target)) => {
                let end = target
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(target.len());
                let (target, mark) = target.split_at(end);
                (format!("{head}{mark}"), Some(target))
            }
            None => (head.to_owned(), None),
        };
        let head = head.as_str();
        let boolean = |value: bool| Expr {
            at: 0,
            kind: ExprKind::Bool(value),
        };
        let list = || Expr {
            at: 0,
            kind: ExprKind::List(Vec::new()),
        };
        let (name, kind, default) = if let Some(name) = head.strip_suffix('?') {
            (name, OptionKind::Flag, Some(boolean(false)))
        } else if let Some(name) = head.strip_suffix("[]") {
            (name, OptionKind::List, Some(list()))
        } else if let Some(name) = head.strip_suffix("{}") {
            (
                name,
                OptionKind::Map,
                Some(Expr {
                    at: 0,
                    kind: ExprKind::Map(Vec::new()),
                }),
            )
        } else if let Some(name) = head.strip_suffix('!') {
            (name, OptionKind::Configure, Some(list()))
        } else if let Some((name, context)) = head.split_once(':') {
            (name, OptionKind::Nodes(context.to_owned()), Some(list()))
        } else {
            (head, OptionKind::Value, None)
        };
        let spec = match (target, value, kind) {
            // `.x->field=constant`.
            (Some(target), Some(value), OptionKind::Value) => OptionSpec {
                method: name.to_owned(),
                field: target.into(),
                kind: OptionKind::Constant(value),
                first: None,
            },
            // Another name for a field: it has no first value of its own.
            (Some(target), _, kind) => OptionSpec {
                method: name.to_owned(),
                field: target.into(),
                kind,
                first: None,
            },
            (None, value, kind) => OptionSpec {
                method: name.to_owned(),
                field: name.into(),
                kind,
                first: Some(value.or(default).unwrap_or(Expr {
                    at: 0,
                    kind: ExprKind::Null,
                })),
            },
        };
        out.push(spec);
    }
    Ok(())
}

/// Where the parenthesis that is open at the beginning closes.
pub(crate) fn matching(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    let mut quote = None;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn parse_closure(text: &str) -> Result<Rc<ClosureDef>, String> {
    match parse_expression(text) {
        Ok(Expr {
            kind: ExprKind::Closure(def),
            ..
        }) => Ok(def),
        Ok(_) => Err("this is no code".to_owned()),
        Err(error) => Err(error.message),
    }
}

fn parse_code(text: &str) -> Result<Rc<ClosureDef>, String> {
    parse_closure(&format!("{{ -> {text} }}"))
}

fn parse_params(text: &str) -> Result<Vec<Param>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let def = parse_closure(&format!("{{ {text} -> null }}"))?;
    match Rc::try_unwrap(def) {
        Ok(ClosureDef {
            params: Some(params), ..
        }) => Ok(params),
        _ => Err(format!("`{text}` are no parameters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_can_be_read() {
        let mut catalogue = Catalogue::default();
        for (name, text) in TABLES {
            if let Err((line, why)) = catalogue.table(text) {
                panic!("{name}.table:{line}: {why}");
            }
        }
        // Contexts that are named exist.
        let missing: Vec<String> = catalogue
            .contexts
            .values()
            .flat_map(|spec| {
                let closures = spec
                    .methods
                    .values()
                    .flatten()
                    .filter_map(|method| match &method.closure {
                        ClosureSpec::Context(name) => Some(name.clone()),
                        _ => None,
                    });
                let inner = spec
                    .methods
                    .values()
                    .flatten()
                    .filter_map(|method| match &method.closure {
                        ClosureSpec::Options(inner) => Some(Rc::clone(inner)),
                        _ => None,
                    });
                let nested: Vec<String> = inner
                    .flat_map(|inner| {
                        inner
                            .options
                            .iter()
                            .filter_map(|option| match &option.kind {
                                OptionKind::Nodes(name) => Some(name.clone()),
                                _ => None,
                            })
                            .collect::<Vec<_>>()
                    })
                    .collect();
                closures
                    .chain(nested)
                    .chain(spec.bases.iter().cloned())
                    .collect::<Vec<_>>()
            })
            .filter(|name| !catalogue.contexts.contains_key(name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
