//! The options of a closure, as the tables write them.

use super::catalogue::{OptionKind, OptionSpec};
use super::outline::Outline;
use crate::syntax::{ClosureDef, Expr, ExprKind, Param, parse_expression};
use std::rc::Rc;

/// `.a .b=1 .c? .d?=true .e[] .f{} .p% .g:CTX .h->f .i?->f .j->f=1 .k(x) => code .configure!`.
pub(super) fn options(out: &mut Vec<OptionSpec>, line: &Outline) -> Result<(), (usize, String)> {
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
        } else if let Some(name) = head.strip_suffix('%') {
            (name, OptionKind::Pairs, Some(list()))
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

pub(super) fn parse_closure(text: &str) -> Result<Rc<ClosureDef>, String> {
    match parse_expression(text) {
        Ok(Expr {
            kind: ExprKind::Closure(def),
            ..
        }) => Ok(def),
        Ok(_) => Err("this is no code".to_owned()),
        Err(error) => Err(error.message),
    }
}

pub(super) fn parse_code(text: &str) -> Result<Rc<ClosureDef>, String> {
    parse_closure(&format!("{{ -> {text} }}"))
}

pub(super) fn parse_params(text: &str) -> Result<Vec<Param>, String> {
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
