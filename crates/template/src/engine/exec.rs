//! Walks a tree: text, conditions, loops, templates, and the variables that they see.

use super::node::{Body, Branch, Node, Pipe};
use super::parse::{Tree, Trees};
use super::print;
use super::value::{FuncMap, Value};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How deep templates may call templates: each is a few frames of the stack.
const DEPTH: usize = 100;
/// How many nodes one execution may walk.
const STEPS: u64 = 5_000_000;
/// How much one execution may print.
pub(crate) const OUTPUT: usize = 64 << 20;

/// What is left of a rendering: shared by the executions that functions start inside of it.
#[derive(Debug)]
pub struct Budget {
    steps: AtomicU64,
    made: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: AtomicU64::new(STEPS),
            made: AtomicUsize::new(0),
        }
    }
}

impl Budget {
    /// Takes a step, if there is one left. Renderings are of one thread: only the sharing needs atomics.
    fn step(&self) -> bool {
        match self.steps.load(Relaxed).checked_sub(1) {
            Some(left) => {
                self.steps.store(left, Relaxed);
                true
            }
            None => false,
        }
    }

    /// Counts what a function has made, and says whether it is still bearable.
    pub(crate) fn make(&self, size: usize) -> bool {
        let made = self.made.load(Relaxed).saturating_add(size);
        self.made.store(made, Relaxed);
        size <= OUTPUT && made <= OUTPUT.saturating_mul(8)
    }
}

/// What a map gives for a key that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Nothing, printed as `<no value>`.
    #[default]
    Invalid,
    /// The zero of the map's type.
    Zero,
    /// An error.
    Error,
}

/// An execution that failed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecError {
    /// The template that was executed.
    pub template: String,
    /// The name of the text that it came from.
    pub parse_name: String,
    /// One-based line; zero if the fault is nowhere in a text.
    pub line: usize,
    /// Zero-based byte in the line, as Go counts it.
    pub column: usize,
    /// The action's text.
    pub context: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "template: {}: {}", self.template, self.message);
        }
        write!(
            f,
            "template: {}:{}:{}: executing {} at <{}>: {}",
            self.parse_name,
            self.line,
            self.column,
            super::printf::quote(self.template.as_bytes(), false),
            self.context,
            self.message
        )
    }
}

/// What an execution uses.
pub struct Execution<'a> {
    /// The templates.
    pub trees: &'a Trees,
    /// The functions besides the built-in ones.
    pub functions: &'a FuncMap,
    /// Functions that change the map in the variable that is their first argument.
    pub in_place: fn(&str) -> bool,
    /// Missing keys.
    pub missing_key: MissingKey,
    /// What is left to spend.
    pub budget: &'a Budget,
}

/// Where walking goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The state of an execution.
pub(super) struct State<'a> {
    pub(super) run: &'a Execution<'a>,
    pub(super) tree: &'a Tree,
    pub(super) name: String,
    pub(super) variables: Vec<(String, Value)>,
    out: Vec<u8>,
    depth: usize,
}

pub(super) type Walked<T> = Result<T, ExecError>;

/// What messages show as the place.
pub(super) struct At<'a>(pub(super) usize, pub(super) &'a dyn fmt::Display);

impl Execution<'_> {
    /// Executes a template by name.
    ///
    /// # Errors
    /// With the action that failed.
    pub fn execute(&self, name: &str, data: &Value) -> Result<Vec<u8>, ExecError> {
        let nowhere = |message: String| ExecError {
            template: name.to_owned(),
            parse_name: name.to_owned(),
            line: 0,
            column: 0,
            context: String::new(),
            message,
        };
        let Some(tree) = self.trees.0.get(name) else {
            return Err(nowhere(format!(
                "{} is an incomplete or empty template",
                super::printf::quote(name.as_bytes(), false)
            )));
        };
        let mut state = State {
            run: self,
            tree,
            name: name.to_owned(),
            variables: vec![("$".to_owned(), data.clone())],
            out: Vec::new(),
            depth: 0,
        };
        state.body(data, &tree.root)?;
        Ok(state.out)
    }
}

impl<'a> State<'a> {
    pub(super) fn fail<T>(&self, at: &At<'_>, message: impl Into<String>) -> Walked<T> {
        let before = self.tree.text.get(..at.0).unwrap_or(&self.tree.text);
        let context = at.1.to_string();
        Err(ExecError {
            template: self.name.clone(),
            parse_name: self.tree.parse_name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().len(),
            // A whole loop may stand there.
            context: if context.chars().count() > 200 {
                context.chars().take(200).collect::<String>() + "..."
            } else {
                context
            },
            message: message.into(),
        })
    }

    fn step(&mut self, at: &At<'_>) -> Walked<()> {
        if !self.run.budget.step() {
            return self.fail(at, format!("stopped after {STEPS} steps"));
        }
        if self.out.len() > OUTPUT {
            return self.fail(at, format!("it prints more than {OUTPUT} bytes"));
        }
        Ok(())
    }

    fn body(&mut self, dot: &Value, body: &'a Body) -> Walked<Flow> {
        for node in &body.0 {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Walked<Flow> {
        match node {
            Node::Text(text) => self.out.extend_from_slice(text.as_bytes()),
            Node::Action(pos, pipe) => {
                let at = At(*pos, node);
                self.step(&at)?;
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() && !print::action(&mut self.out, &value) {
                    return self.fail(&at, format!("can't print {pipe} of type {}", value.type_name()));
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::If(branch) => return self.branch(dot, branch, false),
            Node::With(branch) => return self.branch(dot, branch, true),
            Node::Range(branch) => return self.range(dot, node, branch),
            Node::Template(pos, name, pipe) => self.template(dot, &At(*pos, node), name, pipe.as_ref())?,
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, dot: &Value, branch: &'a Branch, with: bool) -> Walked<Flow> {
        self.step(&At(branch.pos, &branch.pipe))?;
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.is_truthy() {
            self.body(if with { &value } else { dot }, &branch.body)?
        } else if let Some(otherwise) = &branch.otherwise {
            self.body(dot, otherwise)?
        } else {
            Flow::Next
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, node: &'a Node, branch: &'a Branch) -> Walked<Flow> {
        let at = At(branch.pos, node);
        self.step(&at)?;
        let before = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let name = value.type_name().into_owned();
        let typed = |item: Value| match &value {
            Value::Typed(typed) => Value::Typed(std::sync::Arc::new(super::value::Typed {
                name: typed.name.clone(),
                value: item,
                zero: None,
                methods: typed.methods,
            })),
            _ => item,
        };
        let mut each = Each {
            mark: self.variables.len(),
            ran: false,
            flow: Flow::Next,
        };
        let several = branch.pipe.variables.len() > 1;
        match value.base() {
            Value::Int(_) | Value::Uint(_) if several => {
                return self.fail(
                    &at,
                    format!("can't use {name} to iterate over more than one variable"),
                );
            }
            Value::Int(n) => {
                for i in 0..*n {
                    if !self.iteration(branch, &at, &mut each, None, typed(Value::Int(i)))? {
                        break;
                    }
                }
            }
            Value::Uint(n) => {
                for i in 0..*n {
                    if !self.iteration(branch, &at, &mut each, None, typed(Value::Uint(i)))? {
                        break;
                    }
                }
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    let i = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    if !self.iteration(branch, &at, &mut each, Some(i), item.clone())? {
                        break;
                    }
                }
            }
            Value::Map(entries) => {
                for (key, item) in entries.iter() {
                    let key = Value::String(std::sync::Arc::clone(key));
                    if !self.iteration(branch, &at, &mut each, Some(key), item.clone())? {
                        break;
                    }
                }
            }
            Value::Object(object) => match object.entries() {
                Some(entries) => {
                    for (key, item) in entries {
                        if !self.iteration(branch, &at, &mut each, Some(key), item)? {
                            break;
                        }
                    }
                }
                None => return self.fail(&at, format!("range can't iterate over {name}")),
            },
            Value::Missing | Value::Nil => {}
            _ => return self.fail(&at, format!("range can't iterate over {name}")),
        }
        if !each.ran
            && let Some(otherwise) = &branch.otherwise
        {
            // In Go a break there ends this loop, not the one around it.
            each.flow = match self.body(dot, otherwise)? {
                Flow::Break => Flow::Next,
                flow => flow,
            };
        }
        self.variables.truncate(before);
        Ok(each.flow)
    }

    /// One pass; whether there is another.
    fn iteration(
        &mut self,
        branch: &'a Branch,
        at: &At<'_>,
        each: &mut Each,
        key: Option<Value>,
        item: Value,
    ) -> Walked<bool> {
        self.step(at)?;
        each.ran = true;
        let key = key.unwrap_or(Value::Missing);
        let top = self.variables.len();
        match (branch.pipe.variables.as_slice(), branch.pipe.assign) {
            ([], _) => {}
            ([one], true) => self.assign(at, one, item.clone())?,
            ([first, second, ..], true) => {
                self.assign(at, first, key)?;
                self.assign(at, second, item.clone())?;
            }
            ([_], false) => self.set_top(top.saturating_sub(1), item.clone()),
            ([_, _, ..], false) => {
                self.set_top(top.saturating_sub(1), item.clone());
                self.set_top(top.saturating_sub(2), key);
            }
        }
        let flow = self.body(&item, &branch.body)?;
        self.variables.truncate(each.mark);
        Ok(flow != Flow::Break)
    }

    fn template(&mut self, dot: &Value, at: &At<'_>, name: &str, pipe: Option<&'a Pipe>) -> Walked<()> {
        self.step(at)?;
        let run = self.run;
        let Some(tree) = run.trees.0.get(name) else {
            return self.fail(
                at,
                format!(
                    "template {} not defined",
                    super::printf::quote(name.as_bytes(), false)
                ),
            );
        };
        if self.depth >= DEPTH {
            return self.fail(at, format!("exceeded maximum template depth ({DEPTH})"));
        }
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Missing,
        };
        let outer = (
            std::mem::replace(&mut self.tree, tree),
            std::mem::replace(&mut self.name, name.to_owned()),
            std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]),
        );
        self.depth += 1;
        let result = self.body(&data, &tree.root);
        self.depth -= 1;
        (self.tree, self.name, self.variables) = outer;
        result.map(drop)
    }

    fn set_top(&mut self, at: usize, value: Value) {
        if let Some(slot) = self.variables.get_mut(at) {
            slot.1 = value;
        }
    }

    /// Sets the nearest variable of this name.
    pub(super) fn assign(&mut self, at: &At<'_>, name: &str, value: Value) -> Walked<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some(slot) => {
                slot.1 = value;
                Ok(())
            }
            None => self.fail(at, format!("undefined variable: {name}")),
        }
    }
}

/// A loop's state.
struct Each {
    mark: usize,
    ran: bool,
    flow: Flow,
}
