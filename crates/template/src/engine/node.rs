//! The tree that parsing makes, and its text again, for messages that say where in a template something failed.

use super::number::Number;
use super::value::Value;
use std::fmt;

/// A body.
#[derive(Clone, Default)]
pub(super) struct Body(pub(super) Vec<Node>);

/// A piece of a body. Positions are byte offsets.
#[derive(Clone)]
pub(super) enum Node {
    Text(String),
    Action(usize, Pipe),
    If(Branch),
    Range(Branch),
    With(Branch),
    Template(usize, String, Option<Pipe>),
    Break,
    Continue,
}

/// `if`, `range` and `with`.
#[derive(Clone)]
pub(super) struct Branch {
    pub(super) pos: usize,
    pub(super) pipe: Pipe,
    pub(super) body: Body,
    pub(super) otherwise: Option<Body>,
}

/// Commands joined by `|`, perhaps assigned to variables.
#[derive(Clone, Default)]
pub(super) struct Pipe {
    pub(super) pos: usize,
    pub(super) assign: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// A function, method, field or value with arguments.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) first: Expr,
    pub(super) arguments: Vec<Expr>,
}

/// An operand.
#[derive(Clone)]
pub(super) struct Expr {
    pub(super) pos: usize,
    pub(super) kind: Kind,
}

/// The kinds of operands.
#[derive(Clone)]
pub(super) enum Kind {
    Identifier(String),
    Dot,
    Nil,
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Chain(Box<Expr>, Vec<String>),
    Bool(bool),
    Number(Number),
    String(String, Value),
    Pipe(Box<Pipe>),
}

impl Body {
    /// Nothing but white space.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|node| match node {
            Node::Text(text) => text.trim().is_empty(),
            _ => false,
        })
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| node.fmt(f))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&super::printf::quote(text.as_bytes(), false)),
            Self::Action(_, pipe) => write!(f, "{{{{{pipe}}}}}"),
            Self::If(branch) => branch.write("if", f),
            Self::Range(branch) => branch.write("range", f),
            Self::With(branch) => branch.write("with", f),
            Self::Template(_, name, pipe) => {
                write!(f, "{{{{template {}", super::printf::quote(name.as_bytes(), false))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl Branch {
    fn write(&self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{word} {}}}}}{}", self.pipe, self.body)?;
        if let Some(otherwise) = &self.otherwise {
            write!(f, "{{{{else}}}}{otherwise}")?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, variable) in self.variables.iter().enumerate() {
            write!(f, "{}{variable}", if i > 0 { ", " } else { "" })?;
        }
        if !self.variables.is_empty() {
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.arguments
            .iter()
            .try_for_each(|argument| write!(f, " {argument}"))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.kind {
            Kind::Identifier(name) => f.write_str(name),
            Kind::Dot => f.write_str("."),
            Kind::Nil => f.write_str("nil"),
            Kind::Field(names) => chain(f, names),
            Kind::Variable(name, names) => {
                f.write_str(name)?;
                chain(f, names)
            }
            Kind::Chain(inner, names) => {
                inner.fmt(f)?;
                chain(f, names)
            }
            Kind::Bool(b) => write!(f, "{b}"),
            Kind::Number(number) => f.write_str(&number.text),
            Kind::String(quoted, _) => f.write_str(quoted),
            Kind::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}
