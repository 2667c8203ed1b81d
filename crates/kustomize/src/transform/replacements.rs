//! Replacements: a value from one field of one resource into fields of others.

use crate::budget;
use crate::error::{Error, Result};
use crate::id::{Gvk, ResId};
use crate::kustomization::{FieldOptions, Replacement, Source, Target};
use crate::node::{Content, Node, Style, Tag};
use crate::path;
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::select;

/// Steps that looking at one resource takes.
const LOOK: usize = 4;

/// Applies all replacements in order.
pub(crate) fn apply(map: &mut ResMap, replacements: &[Replacement]) -> Result<()> {
    for replacement in replacements {
        one(map, replacement).map_err(|error| error.on_line(replacement.line))?;
        map.list_mut().retain(|resource| !resource.node.is_nil_or_empty());
    }
    Ok(())
}

fn one(map: &mut ResMap, replacement: &Replacement) -> Result<()> {
    let (Some(source), Some(targets)) = (&replacement.source, &replacement.targets) else {
        return Err(Error::new("a replacement needs a `source` and `targets`"));
    };
    let value = value(map, source)?;
    for target in targets {
        let Some(select) = &target.select else {
            return Err(Error::new("a replacement's target needs a `select`"));
        };
        for resource in map.list_mut() {
            budget::work(LOOK.saturating_mul(1 + target.reject.len()))?;
            let ids = ids(resource);
            if !select::fits_labels(resource, select)? {
                continue;
            }
            let mut rejected = false;
            for reject in &target.reject {
                if (!reject.labels.is_empty() || !reject.annotations.is_empty())
                    && select::fits_labels(resource, reject)?
                {
                    rejected = true;
                }
                rejected |= !reject.id.is_empty() && ids.iter().any(|id| id.is_selected_by(&reject.id));
            }
            if !rejected && ids.iter().any(|id| id.is_selected_by(&select.id)) {
                write(resource, &value, target).map_err(|error| resource.error(error))?;
            }
        }
    }
    Ok(())
}

/// What a resource is and was called. Upstream does not ask here whether its kind lives in a namespace.
fn ids(resource: &Resource) -> Vec<ResId> {
    let current = ResId {
        gvk: Gvk::new(resource.api_version(), resource.kind()),
        name: resource.name().to_owned(),
        namespace: resource.namespace().to_owned(),
        cluster: false,
    };
    std::iter::once(current).chain(resource.former_ids()).collect()
}

fn value(map: &ResMap, source: &Source) -> Result<Node> {
    let mut found = map
        .list()
        .iter()
        .filter(|resource| ids(resource).iter().any(|id| id.is_selected_by(&source.id)));
    let described = || format!("`{}` of {}", default_path(&source.field_path), source.id);
    let Some(resource) = found.next() else {
        return Err(Error::new(format!("no resource is the source {}", source.id)));
    };
    if let Some(other) = found.next() {
        return Err(Error::new(format!(
            "several resources are the source {}: {} and {}",
            source.id,
            resource.describe(),
            other.describe()
        )));
    }
    let path = path::split_smart(default_path(&source.field_path), '.');
    let value = path::lookup(&resource.node, &path)?
        .filter(|value| !value.is_nil_or_empty())
        .ok_or_else(|| Error::new(format!("the source has no {}", described())))?;
    let mut value = value.clone();
    value.unshare();
    let Some(options) = source
        .options
        .as_ref()
        .filter(|options| !options.delimiter.is_empty())
    else {
        return Ok(value);
    };
    if !value.is_scalar() {
        return Err(Error::new(format!(
            "{} is {}, which has no delimiter",
            described(),
            value.kind_name()
        )));
    }
    let part = usize::try_from(options.index)
        .ok()
        .and_then(|at| value.text().split(options.delimiter.as_str()).nth(at))
        .ok_or_else(|| Error::new(format!("`{}` has no part {}", value.text(), options.index)))?
        .to_owned();
    value.content = Content::Scalar(part);
    Ok(value)
}

fn default_path(path: &str) -> &str {
    if path.is_empty() { "metadata.name" } else { path }
}

fn write(resource: &mut Resource, value: &Node, target: &Target) -> Result<()> {
    let default = ["metadata.name".to_owned()];
    let paths = if target.field_paths.is_empty() {
        &default[..]
    } else {
        &target.field_paths
    };
    let create = target.options.as_ref().is_some_and(|options| options.create);
    let empty = match value.content {
        Content::Map(_) => Node::map(),
        Content::Seq(_) => Node::seq(),
        _ => Node::scalar(""),
    };
    for text in paths {
        let parts = path::split_smart(text, '.');
        let mut shared = Vec::new();
        let mut set = |node: &mut Node| {
            budget::spend_node(value)?;
            // A part of a longer text is written with the rest of it.
            budget::spend_node(node)?;
            set_value(node, value, target.options.as_ref())?;
            if node.shared != 0 {
                shared.push(node.clone());
            }
            Ok(())
        };
        let count = visit(&mut resource.node, &parts, create.then_some(&empty), &mut set)?;
        if count == 0 {
            let error = Error::new(format!("there is no field `{text}` to replace"));
            return Err(if create {
                error
            } else {
                error.hint("`options: {create: true}` makes it")
            });
        }
        for node in shared {
            resource.node.spread(node.shared, &node);
        }
    }
    Ok(())
}

fn set_value(node: &mut Node, value: &Node, options: Option<&FieldOptions>) -> Result<()> {
    let mut value = value.clone();
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        if !node.is_scalar() {
            return Err(Error::new(format!("{} has no delimiter", node.kind_name())).on_line(node.line));
        }
        let text = if value.is_null() { "" } else { value.text() };
        let mut parts: Vec<&str> = node.text().split(options.delimiter.as_str()).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, text),
            Ok(at) => match parts.get_mut(at) {
                Some(part) => *part = text,
                None => parts.push(text),
            },
        }
        value.content = Content::Scalar(parts.join(&options.delimiter));
    }
    if node.is_scalar() {
        // Only the text: a string stays one, a number must be one.
        node.content = Content::Scalar(value.text().to_owned());
    } else {
        let shared = node.shared;
        *node = value;
        node.shared = shared;
    }
    Ok(())
}

type Visit<'v> = dyn FnMut(&mut Node) -> Result<()> + 'v;

/// Visits what a path leads to (kyaml's PathMatcher), making what is missing if `create` says as what.
fn visit(node: &mut Node, path: &[String], create: Option<&Node>, set: &mut Visit<'_>) -> Result<usize> {
    let Some((part, rest)) = path.split_first() else {
        set(node)?;
        return Ok(1);
    };
    if !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()) {
        return visit_index(node, part, rest, create, set);
    }
    if path::is_list_index(part) {
        return visit_matching(node, part, rest, create, set);
    }
    if part == "*" {
        let mut count = 0;
        for item in items(node)? {
            count += visit(item, rest, create, set)?;
        }
        return Ok(count);
    }
    if node.is_null() {
        return Ok(0);
    }
    if !node.is_map() {
        return Err(Error::new(format!(
            "expected a mapping with `{part}` but found {}",
            node.kind_name()
        ))
        .on_line(node.line));
    }
    let field = match create {
        None => node.get_mut(part),
        Some(last) => node.get_or_insert(part, || path::empty_for(rest.first().map(String::as_str), last)),
    };
    field.map_or(Ok(0), |field| visit(field, rest, create, set))
}

fn items(node: &mut Node) -> Result<&mut [Node]> {
    if node.is_null() {
        return Ok(&mut []);
    }
    let (line, kind) = (node.line, node.kind_name());
    match &mut node.content {
        Content::Seq(items) => Ok(items),
        _ => Err(Error::new(format!("expected a list but found {kind}")).on_line(line)),
    }
}

fn visit_index(
    node: &mut Node,
    part: &str,
    rest: &[String],
    create: Option<&Node>,
    set: &mut Visit<'_>,
) -> Result<usize> {
    let count = items(node)?.len();
    let at: usize = part
        .parse()
        .map_err(|_| Error::new(format!("the index {part} is too large")))?;
    if let Some(last) = create
        && at == count
        && let Content::Seq(list) = &mut node.content
    {
        list.push(path::empty_for(rest.first().map(String::as_str), last));
    }
    match items(node)?.get_mut(at) {
        Some(item) => visit(item, rest, create, set),
        None => Err(
            Error::new(format!("the index {part} is beyond the end of a list of {count}")).on_line(node.line),
        ),
    }
}

fn visit_matching(
    node: &mut Node,
    part: &str,
    rest: &[String],
    create: Option<&Node>,
    set: &mut Visit<'_>,
) -> Result<usize> {
    let (name, value) = path::list_index(part)?;
    let pattern = budget::expression(value)?
        .ok_or_else(|| Error::new(format!("`{value}` is not a regular expression")))?;
    let mut count = 0;
    for item in items(node)? {
        if name.is_empty() {
            // Upstream does not follow the path below elements that are plain values.
            if pattern.is_match(printed(item).trim()) {
                set(item)?;
                count += 1;
            }
        } else if item
            .get(name)
            .is_some_and(|field| pattern.is_match(printed(field).trim()))
        {
            count += visit(item, rest, create, set)?;
        }
    }
    if count > 0 || create.is_none() {
        return Ok(count);
    }
    let made = path::make_element(name, value);
    let matches = pattern.is_match(value);
    match &mut node.content {
        Content::Seq(list) if matches => list.push(made),
        _ => return Err(Error::new(format!("cannot make an element for `{part}`"))),
    }
    match items(node)?.last_mut() {
        Some(item) if name.is_empty() => set(item).map(|()| 1),
        Some(item) => visit(item, rest, create, set),
        None => Ok(0),
    }
}

/// A scalar as YAML text, quotes included, which is what upstream matches.
fn printed(node: &Node) -> String {
    let text = node.text();
    match node.style {
        Style::Single => format!("'{}'", text.replace('\'', "''")),
        Style::Double => format!("\"{text}\""),
        _ if node.tag == Tag::Str && !crate::node::is_string(text) => format!("\"{text}\""),
        _ => text.to_owned(),
    }
}
