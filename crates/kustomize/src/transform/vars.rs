//! Vars: `$(NAME)` in the fields where it is looked for.

use crate::budget;
use crate::error::{Error, Result};
use crate::fieldspec::{self, FieldSpec};
use crate::id::ResId;
use crate::kustomization::Var;
use crate::node::{Content, Node, Style, Tag};
use crate::path;
use crate::resmap::ResMap;
use crate::schema::Schema;
use std::collections::BTreeMap;

/// Remembers on each var's resource that it is meant, while names are still the ones the vars use.
pub(crate) fn attach(map: &mut ResMap, vars: &[Var], schema: &Schema) -> Result<()> {
    for var in vars {
        let id = ResId {
            gvk: var.gvk.clone(),
            name: var.object.clone(),
            namespace: var.namespace.clone(),
            cluster: false,
        };
        let exact = !var.namespace.is_empty();
        budget::work(map.list().len())?;
        let found = map.find(schema, |other| {
            if exact {
                id.same(other)
            } else {
                id.same_gvkn(other)
            }
        });
        match found.as_slice() {
            [] => {}
            [at] => {
                if let Some(resource) = map.list_mut().get_mut(*at) {
                    resource.vars.push(var.name.clone());
                }
            }
            _ => {
                return Err(
                    Error::new(format!("several resources could be meant by var `{}`", var.name))
                        .on_line(var.line),
                );
            }
        }
    }
    Ok(())
}

/// Adds vars; a name can be used once.
pub(crate) fn add(all: &mut BTreeMap<String, Var>, more: impl IntoIterator<Item = Var>) -> Result<()> {
    for var in more {
        let line = var.line;
        if let Some(other) = all.insert(var.name.clone(), var) {
            return Err(Error::new(format!("the var `{}` is defined twice", other.name)).on_line(line));
        }
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A mapping or list, which cannot be put into a text.
    Other,
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => herder_object::yaml::float_text(*value),
            Self::Bool(value) => value.to_string(),
            Self::Other => String::new(),
        }
    }
}

/// Replaces all vars.
pub(crate) fn resolve(map: &mut ResMap, vars: &BTreeMap<String, Var>, specs: &[FieldSpec]) -> Result<()> {
    let mut values = BTreeMap::new();
    for var in vars.values() {
        values.insert(
            var.name.clone(),
            find(map, var).map_err(|error| error.on_line(var.line))?,
        );
    }
    if values.is_empty() {
        return Ok(());
    }
    for resource in map.list_mut() {
        for spec in specs {
            let result = fieldspec::apply(spec, &mut resource.node, None, &mut |node| {
                replace_in(node, &values)
            });
            result.map_err(|error| resource.error(error))?;
        }
    }
    Ok(())
}

fn find(map: &ResMap, var: &Var) -> Result<Value> {
    let resource = map
        .list()
        .iter()
        .find(|resource| resource.vars.contains(&var.name));
    let Some(resource) = resource else {
        return Err(Error::new(format!("no resource is meant by var `{}`", var.name)));
    };
    let path: Vec<String> = path::split_smart(&var.field_path, '.')
        .into_iter()
        .flat_map(split_index)
        .collect();
    let field = path::lookup(&resource.node, &path)?.ok_or_else(|| {
        Error::new(format!(
            "{} has no field `{}` for var `{}`",
            resource.describe(),
            var.field_path,
            var.name
        ))
    })?;
    let text = field.text();
    let wrong =
        || Error::new(format!("`{text}` cannot be the value of var `{}`", var.name)).on_line(field.line);
    Ok(match (&field.content, &field.tag) {
        (Content::Map(_) | Content::Seq(_), _) => Value::Other,
        (_, Tag::Int) => Value::Int(text.parse().map_err(|_| wrong())?),
        (_, Tag::Float) => Value::Float(text.parse().map_err(|_| wrong())?),
        (_, Tag::Bool) => Value::Bool(matches!(text, "true" | "True" | "TRUE")),
        _ => Value::Text(text.to_owned()),
    })
}

/// `containers[0]` as two parts.
fn split_index(part: String) -> Vec<String> {
    let digits = part.strip_suffix(']').and_then(|head| head.rsplit_once('['));
    match digits {
        Some((name, index)) if !index.is_empty() && index.bytes().all(|c| c.is_ascii_digit()) => {
            let parts = [name, index].into_iter().filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        }
        _ => vec![part],
    }
}

fn replace_in(node: &mut Node, values: &BTreeMap<String, Value>) -> Result<()> {
    if node.is_null() {
        return Ok(());
    }
    let line = node.line;
    if node.is_string() {
        return update(node, values);
    }
    match &mut node.content {
        Content::Map(pairs) => {
            for (key, value) in pairs {
                if !key.is_string {
                    return Err(
                        Error::new(format!("the key `{}` is not a string", key.text)).on_line(value.line)
                    );
                }
                if value.is_string() {
                    update(value, values)?;
                }
            }
        }
        Content::Seq(items) => {
            for item in items {
                if !item.is_string() {
                    return Err(
                        Error::new(format!("expected only strings but found {}", item.kind_name()))
                            .on_line(line),
                    );
                }
                update(item, values)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn update(node: &mut Node, values: &BTreeMap<String, Value>) -> Result<()> {
    let (text, tag) = match expand(node.text(), values)? {
        Value::Int(value) => (value.to_string(), Tag::Int),
        Value::Bool(value) => (value.to_string(), Tag::Bool),
        Value::Float(value) => (format!("{value}"), Tag::Float),
        Value::Text(text) => (text, Tag::Str),
        Value::Other => return Ok(()),
    };
    node.content = Content::Scalar(text);
    node.tag = tag;
    node.tagged = false;
    node.style = Style::Plain;
    Ok(())
}

/// Expands `$(NAME)`; `$$` is a dollar sign. A text that is nothing but a reference takes the value's type.
fn expand(input: &str, values: &BTreeMap<String, Value>) -> Result<Value> {
    let mut out = String::new();
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let after = tail.get(1..).unwrap_or_default();
        if after.is_empty() {
            break;
        }
        out.push_str(head);
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
        } else if let Some(inner) = after.strip_prefix('(') {
            match inner.split_once(')') {
                None => {
                    out.push_str("$(");
                    rest = inner;
                }
                Some((name, more)) => {
                    let value = values.get(name).filter(|value| **value != Value::Other);
                    match value {
                        Some(value) if input.len() == name.len() + 3 => return Ok(value.clone()),
                        Some(value) => {
                            let text = value.text();
                            budget::spend(text.len())?;
                            out.push_str(&text);
                        }
                        None => {
                            out.push_str("$(");
                            out.push_str(name);
                            out.push(')');
                        }
                    }
                    rest = more;
                }
            }
        } else {
            let mut chars = after.chars();
            out.push('$');
            out.extend(chars.next());
            rest = chars.as_str();
        }
    }
    out.push_str(rest);
    Ok(Value::Text(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_upstream() {
        let values = BTreeMap::from([
            ("A".to_owned(), Value::Text("a".to_owned())),
            ("N".to_owned(), Value::Int(5)),
            ("R".to_owned(), Value::Text("$(A)".to_owned())),
        ]);
        for (input, output) in [
            ("$(A)-$(A)", "a-a"),
            ("x$(N)y", "x5y"),
            ("$$(A)_$(A)", "$(A)_a"),
            ("$(R)x", "$(A)x"),
            ("$(DNE)", "$(DNE)"),
            ("$$$$$$$(A)", "$$$a"),
            ("$A)$?", "$A)$?"),
            ("foo$(A", "foo$(A"),
            ("--$($($(--", "--$($($(--"),
            ("$(A)x$", "ax$"),
            ("$(foo$$var)", "$(foo$$var)"),
        ] {
            assert_eq!(
                expand(input, &values),
                Ok(Value::Text(output.to_owned())),
                "{input}"
            );
        }
        assert_eq!(expand("$(N)", &values), Ok(Value::Int(5)));
    }
}
