//! Templates of XML: read from tables, filled in from values.

use super::outline::{Outline, matching};
use crate::run::{Env, Interp, Scope, Throw, Value};
use crate::syntax::{Expr, ExprKind, Name, parse_expression};
use crate::xml::{Element, Node};
use std::rc::Rc;

/// A line of a template, with those below it.
pub(crate) struct Line {
    pub(crate) kind: LineKind,
    pub(crate) below: Vec<Line>,
}

pub(crate) enum LineKind {
    /// An element: name, attributes, text.
    Element {
        name: ElementName,
        attributes: Option<Expr>,
        value: Option<Expr>,
        /// Whether null is no text, rather than the word.
        quiet: bool,
    },
    /// An element merged into the item below a path.
    Merge {
        path: Vec<String>,
    },
    /// Elements appended to the item at a path.
    Append {
        path: Vec<String>,
        always: bool,
    },
    /// An element that replaces the item's child of its name.
    Replace,
    If(Expr),
    Else,
    For(Name, Expr),
    /// Nodes made elsewhere.
    Nodes(Expr),
    /// Nodes under another name, their own as their class.
    As(String, Expr),
    /// An expression evaluated for what it does.
    Do(Expr),
    /// The same, after the item's changes have been noted.
    Later(Expr),
}

pub(crate) enum ElementName {
    Fixed(String),
    Computed(Expr),
}

pub(crate) fn parse_lines(lines: &[Outline]) -> Result<Vec<Line>, (usize, String)> {
    lines.iter().map(parse_line).collect()
}

pub(crate) fn parse_refs(lines: &[&Outline]) -> Result<Vec<Line>, (usize, String)> {
    lines.iter().map(|line| parse_line(line)).collect()
}

fn parse_line(outline: &Outline) -> Result<Line, (usize, String)> {
    let at = |why: String| (outline.number, format!("`{}`: {why}", outline.text));
    let expression = |text: &str| parse_expression(text.trim()).map_err(|error| at(error.message));
    let text = outline.text;
    let below = parse_lines(&outline.below)?;
    let path = |text: &str| -> Vec<String> {
        text.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    if let Some(test) = text.strip_prefix("if ") {
        return Ok(Line {
            kind: LineKind::If(expression(test)?),
            below,
        });
    }
    if text == "else" {
        return Ok(Line {
            kind: LineKind::Else,
            below,
        });
    }
    if let Some(rest) = text.strip_prefix("for ") {
        let (name, values) = rest
            .split_once(" in ")
            .ok_or_else(|| at("`in` is missing".to_owned()))?;
        return Ok(Line {
            kind: LineKind::For(name.trim().into(), expression(values)?),
            below,
        });
    }
    if let Some(value) = text.strip_prefix("nodes ") {
        return Ok(Line {
            kind: LineKind::Nodes(expression(value)?),
            below,
        });
    }
    if let Some(rest) = text.strip_prefix("as ") {
        let (name, value) = rest
            .split_once(' ')
            .ok_or_else(|| at("nodes are missing".to_owned()))?;
        return Ok(Line {
            kind: LineKind::As(name.to_owned(), expression(value)?),
            below,
        });
    }
    if let Some(value) = text.strip_prefix("later ") {
        return Ok(Line {
            kind: LineKind::Later(expression(value)?),
            below,
        });
    }
    if let Some(value) = text.strip_prefix("do ") {
        return Ok(Line {
            kind: LineKind::Do(expression(value)?),
            below,
        });
    }
    if let Some(rest) = text.strip_prefix("+ /").or_else(|| text.strip_prefix("++ /")) {
        return Ok(Line {
            kind: LineKind::Append {
                path: path(rest),
                always: text.starts_with("++"),
            },
            below,
        });
    }
    if let Some(rest) = text.strip_prefix("= ") {
        let inner = if let Some(value) = rest.strip_prefix("nodes ") {
            Line {
                kind: LineKind::Nodes(expression(value)?),
                below,
            }
        } else if let Some(renamed) = rest.strip_prefix("as ") {
            let (name, value) = renamed
                .split_once(' ')
                .ok_or_else(|| at("nodes are missing".to_owned()))?;
            Line {
                kind: LineKind::As(name.to_owned(), expression(value)?),
                below,
            }
        } else {
            element(rest, below, &at)?
        };
        return Ok(Line {
            kind: LineKind::Replace,
            below: vec![inner],
        });
    }
    if let Some(rest) = text.strip_prefix('/') {
        // The last part is an element with attributes and text, the others are a path.
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        let (parents, last) = head.rsplit_once('/').unwrap_or(("", head));
        let mut element = element(&format!("{last}{tail}"), below, &at)?;
        if let LineKind::Element { quiet, .. } = &mut element.kind {
            *quiet = true;
        }
        return Ok(Line {
            kind: LineKind::Merge { path: path(parents) },
            below: vec![element],
        });
    }
    element(text, below, &at)
}

fn element(
    text: &str,
    below: Vec<Line>,
    at: &impl Fn(String) -> (usize, String),
) -> Result<Line, (usize, String)> {
    let expression = |text: &str| parse_expression(text.trim()).map_err(|error| at(error.message));
    let (name, rest) = if let Some(rest) = text.strip_prefix('{') {
        let mut depth = 1usize;
        let end = rest
            .char_indices()
            .find_map(|(index, c)| {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth - 1,
                    _ => depth,
                };
                (depth == 0).then_some(index)
            })
            .ok_or_else(|| at("`}` is missing".to_owned()))?;
        let (inner, rest) = rest.split_at(end);
        (
            ElementName::Computed(expression(inner)?),
            rest.get(1..).unwrap_or_default(),
        )
    } else {
        let end = text.find([' ', '(']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        (ElementName::Fixed(name.to_owned()), rest)
    };
    let mut attributes = None;
    let mut rest = rest;
    if let Some(inner) = rest.strip_prefix('(') {
        let close = matching(inner).ok_or_else(|| at("`)` is missing".to_owned()))?;
        attributes = Some(expression(&format!(
            "[{}]",
            inner.get(..close).unwrap_or_default()
        ))?);
        rest = inner.get(close + 1..).unwrap_or_default();
    }
    let value = if rest.trim().is_empty() {
        None
    } else {
        Some(expression(rest)?)
    };
    Ok(Line {
        kind: LineKind::Element {
            name,
            attributes,
            value,
            quiet: false,
        },
        below,
    })
}

/// What filling in a template makes: elements, and changes of the item.
#[derive(Default)]
pub(crate) struct Filled<'a> {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) later: Vec<(&'a Expr, Env)>,
}

/// A change of an item.
#[derive(Clone)]
pub(crate) enum Edit {
    Merge(Vec<String>, Node),
    Append(Vec<String>, Vec<Node>),
    Replace(Node),
}

/// Fills in a template.
pub(crate) fn fill<'a>(interp: &Interp, lines: &'a [Line], env: &Env) -> Result<Filled<'a>, Throw> {
    let mut filled = Filled::default();
    fill_into(interp, lines, env, &mut filled)?;
    Ok(filled)
}

fn fill_into<'a>(interp: &Interp, lines: &'a [Line], env: &Env, out: &mut Filled<'a>) -> Result<(), Throw> {
    let mut decided = true;
    for line in lines {
        match &line.kind {
            LineKind::If(test) => {
                let value = interp.eval(test, env)?;
                decided = interp.is_true(&value)?;
                if decided {
                    fill_into(interp, &line.below, env, out)?;
                }
            }
            LineKind::Else => {
                if !decided {
                    fill_into(interp, &line.below, env, out)?;
                }
            }
            LineKind::For(name, values) => {
                let values = interp.eval(values, env)?;
                for value in interp.items(&values)? {
                    let inner = Env {
                        scope: Scope::below(&env.scope),
                        ..env.clone()
                    };
                    inner.scope.declare(name, value);
                    fill_into(interp, &line.below, &inner, out)?;
                }
            }
            LineKind::Nodes(value) => {
                let value = interp.eval(value, env)?;
                for value in interp.items(&wrap(value))? {
                    if let Value::Node(node) = value {
                        out.nodes.push(node);
                    }
                }
            }
            LineKind::As(name, value) => {
                let value = interp.eval(value, env)?;
                for value in interp.items(&wrap(value))? {
                    if let Value::Node(node) = value {
                        let named = node.deep_clone();
                        let class = node.name().replace("_-", "$").replace("__", "_");
                        named.rename(name.as_str());
                        named.set_attribute("class", class);
                        out.nodes.push(named);
                    }
                }
            }
            LineKind::Later(value) => out.later.push((value, env.clone())),
            LineKind::Do(value) => {
                interp.eval(value, env)?;
            }
            LineKind::Merge { path } => {
                let inner = fill(interp, &line.below, env)?;
                for node in inner.nodes {
                    out.edits.push(Edit::Merge(path.clone(), node));
                }
            }
            LineKind::Append { path, always } => {
                let inner = fill(interp, &line.below, env)?;
                // What adds nothing leaves no empty parents either.
                if *always || !inner.nodes.is_empty() {
                    out.edits.push(Edit::Append(path.clone(), inner.nodes));
                }
            }
            LineKind::Replace => {
                let inner = fill(interp, &line.below, env)?;
                out.edits.extend(inner.nodes.into_iter().map(Edit::Replace));
            }
            LineKind::Element {
                name,
                attributes,
                value,
                quiet,
            } => {
                let name = match name {
                    ElementName::Fixed(name) => name.clone(),
                    ElementName::Computed(value) => {
                        let value = interp.eval(value, env)?;
                        interp.show(&value)?
                    }
                };
                let node = Element::new(name);
                if let Some(attributes) = attributes
                    && let Value::Map(map) = interp.eval(attributes, env)?
                {
                    for (key, value) in map.pairs() {
                        if !value.is_null() {
                            node.set_attribute(&key.value().show(), interp.show(&value)?);
                        }
                    }
                }
                if let Some(value) = value {
                    let value = interp.eval(value, env)?;
                    if !(*quiet && value.is_null()) {
                        set(interp, &node, value)?;
                    }
                }
                for child in fill(interp, &line.below, env)?.nodes {
                    node.append(child);
                }
                out.nodes.push(node);
            }
        }
    }
    Ok(())
}

fn wrap(value: Value) -> Value {
    match value {
        Value::Node(_) => Value::list(vec![value]),
        other => other,
    }
}

fn set(interp: &Interp, node: &Node, value: Value) -> Result<(), Throw> {
    match value {
        // As Jenkins' builder writes it; what may be left out says so in its table.
        Value::Null => node.set_text("null"),
        Value::Node(child) => node.append(child),
        Value::List(items) => {
            for item in items.borrow().clone() {
                match item {
                    Value::Node(child) => node.append(child),
                    other => node.append_text(interp.show(&other)?),
                }
            }
        }
        other => node.set_text(interp.show(&other)?),
    }
    Ok(())
}

/// First content of an item: a template without values.
pub(crate) fn skeleton(line: &Line) -> Option<Node> {
    let LineKind::Element {
        name: ElementName::Fixed(name),
        attributes,
        value,
        ..
    } = &line.kind
    else {
        return None;
    };
    let node = Element::new(name.as_str());
    if let Some(Expr {
        kind: ExprKind::Map(entries),
        ..
    }) = attributes
    {
        for (key, value) in entries {
            if let (crate::syntax::Key::Name(key), ExprKind::Text(value)) = (key, &value.kind) {
                node.set_attribute(key, value.to_string());
            }
        }
    }
    if let Some(value) = value {
        match &value.kind {
            ExprKind::Text(text) => node.set_text(text.to_string()),
            ExprKind::Bool(value) => node.set_text(value.to_string()),
            ExprKind::Int(value) => node.set_text(value.to_string()),
            _ => {}
        }
    }
    for below in &line.below {
        if let Some(child) = skeleton(below) {
            node.append(child);
        }
    }
    Some(Rc::clone(&node))
}
