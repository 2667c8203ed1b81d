//! Field specifications: which fields of which kinds a transformer changes, and changing them.

use crate::budget;
use crate::error::{Error, Result};
use crate::id::{self, Gvk};
use crate::node::{Content, Node, Tag};
use crate::path;

/// One field of some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: String,
    pub(crate) create: bool,
    /// The path, split.
    pub(crate) parts: Vec<String>,
}

impl FieldSpec {
    pub(crate) fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        Self {
            gvk,
            path: path.to_owned(),
            create,
            parts: path::split(path, '/'),
        }
    }
}

/// Adds a specification unless it is there.
pub(crate) fn merge_one(specs: &mut Vec<FieldSpec>, spec: &FieldSpec) -> Result<()> {
    let same = |other: &&FieldSpec| other.path == spec.path && other.gvk.is_selected(&spec.gvk);
    match specs.iter().find(same) {
        None => specs.push(spec.clone()),
        Some(other) if other.create == spec.create => {}
        Some(_) => {
            return Err(Error::new(format!(
                "two field specifications for `{}` disagree whether to create it",
                spec.path
            )));
        }
    }
    Ok(())
}

pub(crate) fn merge_all(specs: &mut Vec<FieldSpec>, more: &[FieldSpec]) -> Result<()> {
    more.iter().try_for_each(|spec| merge_one(specs, spec))
}

pub(crate) fn sort(specs: &mut [FieldSpec]) {
    specs.sort_by_cached_key(|spec| id::order_key(&spec.gvk));
}

/// What a missing or null field is made as: the node, and the tag that a null gets.
pub(crate) struct Create {
    pub(crate) node: Node,
    pub(crate) tag: Tag,
}

impl Create {
    pub(crate) fn scalar(tag: Tag) -> Self {
        Self {
            node: Node::scalar(""),
            tag,
        }
    }

    pub(crate) fn map() -> Self {
        Self {
            node: Node::map(),
            tag: Tag::Map,
        }
    }
}

/// Whether a specification is for a resource.
pub(crate) fn is_for(spec: &FieldSpec, root: &Node) -> bool {
    let wanted = &spec.gvk;
    if !wanted.kind.is_empty() && root.get("kind").map_or("", Node::text) != wanted.kind {
        return false;
    }
    if wanted.group.is_empty() && wanted.version.is_empty() {
        return true;
    }
    let (group, version) = id::group_version(root.get("apiVersion").map_or("", Node::text));
    (wanted.group.is_empty() || wanted.group == group)
        && (wanted.version.is_empty() || wanted.version == version)
}

/// Calls `set` on every field that the specification leads to, if it is for this kind.
pub(crate) fn apply(
    spec: &FieldSpec,
    root: &mut Node,
    create: Option<&Create>,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    budget::work(1)?;
    if !is_for(spec, root) {
        return Ok(());
    }
    walk(&spec.parts, root, create.filter(|_| spec.create), set)
        .map_err(|error| error.hint(format!("this is the field `{}`", spec.path)))
}

fn walk(
    parts: &[String],
    node: &mut Node,
    create: Option<&Create>,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        return set(node);
    };
    if node.is_null() {
        return Ok(());
    }
    match &mut node.content {
        Content::Seq(items) => items
            .iter_mut()
            .try_for_each(|item| walk(parts, item, create, set)),
        Content::Map(_) => {
            let name = part.strip_suffix("[]").unwrap_or(part);
            let is_list = name.len() != part.len();
            if name.is_empty() {
                return Err(Error::new("cannot set or create a field without a name"));
            }
            let make = create.filter(|_| !is_list);
            let field = match make {
                Some(create) => {
                    let last = [name];
                    let empty = if rest.is_empty() {
                        create.node.clone()
                    } else {
                        Node::map()
                    };
                    path::lookup_create(node, &last, &empty)?
                }
                None => field_mut(node, name)?,
            };
            let Some(field) = field else { return Ok(()) };
            if field.tag == Tag::Null {
                if is_list {
                    field.content = Content::Seq(Vec::new());
                    field.tag = Tag::None;
                } else if let Some(create) = make {
                    revive(field, rest.is_empty(), create);
                }
            }
            walk(rest, field, create, set)
        }
        _ => Err(Error::new(format!(
            "expected a mapping or a list above `{part}` but found {}",
            node.kind_name()
        ))
        .on_line(node.line)),
    }
}

/// Makes something of a null that is about to be written to. Its text stays, as upstream.
fn revive(field: &mut Node, is_last: bool, create: &Create) {
    if !is_last {
        field.content = Content::Map(Vec::new());
        field.tag = Tag::Map;
        return;
    }
    if !create.node.is_scalar() {
        field.content = create.node.content.clone();
    }
    field.tag = create.tag.clone();
}

fn field_mut<'a>(node: &'a mut Node, name: &str) -> Result<Option<&'a mut Node>> {
    match path::part(name.trim())? {
        path::Part::Field(name) => Ok(node.get_mut(name)),
        _ => Err(Error::new(format!("expected a list for `{name}` but found a mapping")).on_line(node.line)),
    }
}
