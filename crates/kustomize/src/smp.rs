//! Strategic merge as kyaml does it: prepending, by the keys the schema names, with `$patch` directives.
//!
//! What looks odd here is upstream's behaviour, which the output depends on; the API server's own strategic merge is
//! something else and not here.

use crate::error::{Error, Result};
use crate::node::{Content, Key, Node, Tag};
use crate::schema::{Field, Schema, TypeId};

/// What is known of the node being merged.
#[derive(Debug, Clone, Copy, Default)]
struct Place<'s> {
    below: Option<TypeId>,
    keys: Option<&'s [String]>,
}

/// What became of the destination.
enum Outcome {
    /// It goes.
    Cleared,
    /// It was changed where it stands.
    InPlace,
    /// This takes its place.
    New(Node),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges a patch into a node. `false` if nothing is left. The paths of lists of unknown kinds that were replaced as
/// a whole are added to `replaced`.
pub(crate) fn merge(
    dest: &mut Node,
    patch: Node,
    schema: &Schema,
    replaced: &mut Vec<String>,
) -> Result<bool> {
    let mut walker = Walker {
        schema,
        path: Vec::new(),
        replaced,
        custom: false,
        shared: Vec::new(),
    };
    walker.custom = walker
        .enter(Place::default(), Some(dest), Some(&patch))
        .below
        .is_none();
    match walker.walk(Place::default(), Some(dest), Some(patch))? {
        Outcome::Cleared => return Ok(false),
        // Upstream only ever looks at what was changed in place: `$patch: replace` for a whole resource does nothing.
        Outcome::InPlace | Outcome::New(_) => {}
    }
    for (shared, node) in walker.shared {
        dest.spread(shared, &node);
    }
    Ok(true)
}

struct Walker<'s, 'r> {
    schema: &'s Schema,
    path: Vec<String>,
    replaced: &'r mut Vec<String>,
    custom: bool,
    /// What was written over nodes that stand in several places.
    shared: Vec<(u32, Node)>,
}

fn is_missing(node: Option<&Node>) -> bool {
    node.is_none_or(|node| node.tag == Tag::Null)
}

fn kind_of(node: &Node) -> u8 {
    match node.content {
        Content::Nothing => 0,
        Content::Scalar(_) => 1,
        Content::Map(_) => 2,
        Content::Seq(_) => 3,
    }
}

impl<'s> Walker<'s, '_> {
    /// The schema of a node: the given one, or that of the object the node itself says it is.
    fn enter(&self, place: Place<'s>, dest: Option<&Node>, origin: Option<&Node>) -> Place<'s> {
        if place.below.is_some() || place.keys.is_some() {
            return place;
        }
        for node in [dest, origin].into_iter().flatten().filter(|node| node.is_map()) {
            let text = |field: &str| {
                node.get(field)
                    .filter(|value| !value.is_nil_or_empty())
                    .map_or("", Node::text)
            };
            let (kind, api_version) = (text("kind"), text("apiVersion"));
            if !kind.is_empty()
                && !api_version.is_empty()
                && let Some(below) = self.schema.kind(api_version, kind)
            {
                return Place {
                    below: Some(below),
                    keys: None,
                };
            }
        }
        place
    }

    fn field(&self, place: Place<'s>, name: &str) -> Place<'s> {
        let field: Option<&'s Field> = place.below.and_then(|below| self.schema.field(below, name));
        field.map_or(Place::default(), |field| Place {
            below: field.below,
            keys: field.keys.as_deref(),
        })
    }

    fn walk(&mut self, place: Place<'s>, dest: Option<&mut Node>, origin: Option<Node>) -> Result<Outcome> {
        let place = self.enter(place, dest.as_deref(), origin.as_ref());
        let first = match (dest.as_deref(), origin.as_ref()) {
            (Some(node), _) if !is_missing(Some(node)) => kind_of(node),
            (_, Some(node)) if !is_missing(Some(node)) => kind_of(node),
            _ => 0,
        };
        if let (Some(to), Some(from)) = (dest.as_deref(), origin.as_ref())
            && !is_missing(Some(to))
            && !is_missing(Some(from))
            && kind_of(to) != kind_of(from)
            && first != 0
        {
            return Err(Error::new(format!(
                "the patch has {} where the resource has {}, at `{}`",
                from.kind_name(),
                to.kind_name(),
                self.path.join(".")
            )));
        }
        match first {
            1 => Ok(match origin {
                Some(origin) => Outcome::New(origin),
                None => Outcome::InPlace,
            }),
            3 if place.keys.is_some() => self.walk_associative(place, dest, origin),
            3 => Ok(match origin {
                Some(origin) => {
                    self.note_replaced(dest.as_deref(), &origin);
                    Outcome::New(origin)
                }
                None => Outcome::InPlace,
            }),
            _ => self.walk_map(place, dest, origin),
        }
    }

    fn note_replaced(&mut self, dest: Option<&Node>, origin: &Node) {
        let has_maps = |node: &Node| node.items().iter().any(Node::is_map);
        if self.custom && dest.is_some_and(has_maps) && has_maps(origin) {
            self.replaced.push(self.path.join("."));
        }
    }

    fn walk_map(
        &mut self,
        place: Place<'s>,
        dest: Option<&mut Node>,
        origin: Option<Node>,
    ) -> Result<Outcome> {
        let dest = match dest {
            Some(dest) if !is_missing(Some(dest)) => dest,
            null => {
                let Some(mut origin) = origin else {
                    // A null that was written out stays; one that was only left empty goes.
                    return Ok(match null {
                        Some(null) if !null.text().is_empty() => Outcome::New(Node {
                            keep_null: true,
                            ..Node::tagged_scalar(null.text(), Tag::Null)
                        }),
                        _ => Outcome::Cleared,
                    });
                };
                if matches!(map_directive(&mut origin), Ok(Directive::Delete)) {
                    return Ok(Outcome::Cleared);
                }
                self.settle_fields(place, &mut origin)?;
                return Ok(Outcome::New(origin));
            }
        };
        let Some(mut origin) = origin else {
            return self.walk_fields(place, dest, None).map(|()| Outcome::InPlace);
        };
        if origin.tag == Tag::Null {
            return Ok(Outcome::Cleared);
        }
        match map_directive(&mut origin)? {
            Directive::Delete => Ok(Outcome::Cleared),
            Directive::Replace => {
                self.settle_fields(place, &mut origin)?;
                Ok(Outcome::New(origin))
            }
            Directive::Merge => self
                .walk_fields(place, dest, Some(origin))
                .map(|()| Outcome::InPlace),
        }
    }

    fn walk_fields(&mut self, place: Place<'s>, dest: &mut Node, origin: Option<Node>) -> Result<()> {
        let mut theirs = match origin.map(|origin| origin.content) {
            Some(Content::Map(pairs)) => pairs,
            _ => Vec::new(),
        };
        let names: Vec<Box<str>> = dest.pairs().iter().map(|(key, _)| key.text.clone()).collect();
        for (at, name) in names.iter().enumerate() {
            // Only the first of several equal keys is seen, and every name once.
            if names.iter().take(at).any(|earlier| earlier == name) {
                continue;
            }
            let found = theirs.iter().position(|(key, _)| key.text == *name);
            let value = found.map(|at| theirs.remove(at).1);
            theirs.retain(|(key, _)| key.text != *name);
            self.path.push(name.to_string());
            let field = self.field(place, name);
            let outcome = self.walk(field, dest.get_mut(name), value)?;
            self.set_field(dest, name, outcome, None);
            self.path.pop();
        }
        while !theirs.is_empty() {
            let (key, value) = theirs.remove(0);
            theirs.retain(|(other, _)| other.text != key.text);
            self.path.push(key.text.to_string());
            let field = self.field(place, &key.text);
            let outcome = self.walk(field, None, Some(value))?;
            self.set_field(dest, &key.text.clone(), outcome, Some(key));
            self.path.pop();
        }
        Ok(())
    }

    fn set_field(&mut self, dest: &mut Node, name: &str, outcome: Outcome, key: Option<Key>) {
        match outcome {
            Outcome::InPlace => {
                // Upstream writes the value over itself, and quotes what would otherwise not look like a string.
                if let Some(value) = dest.get_mut(name) {
                    value.quote_if_ambiguous();
                }
            }
            Outcome::New(node) if node.tag != Tag::Null || node.keep_null => {
                let shared = dest.set_with(name, node, || key.unwrap_or_else(|| Key::new(name)));
                if shared != 0
                    && let Some(node) = dest.get(name)
                {
                    self.shared.push((shared, node.clone()));
                }
            }
            Outcome::Cleared | Outcome::New(_) => {
                dest.remove(name);
            }
        }
    }

    /// Merges a node with itself, which is what happens to what a patch adds: nulls and directives go.
    fn settle(&mut self, place: Place<'s>, node: &mut Node) -> Result<bool> {
        let place = self.enter(place, Some(node), None);
        match &node.content {
            _ if node.is_null() => Ok(false),
            Content::Map(_) => {
                if map_directive(node)? == Directive::Delete {
                    return Ok(false);
                }
                self.settle_fields(place, node)?;
                Ok(true)
            }
            Content::Seq(_) if place.keys.is_some() => self.settle_list(place, node),
            _ => Ok(true),
        }
    }

    fn settle_fields(&mut self, place: Place<'s>, node: &mut Node) -> Result<()> {
        let names: Vec<Box<str>> = node.pairs().iter().map(|(key, _)| key.text.clone()).collect();
        for name in names {
            let field = self.field(place, &name);
            if let Some(value) = node.get_mut(&name)
                && !self.settle(field, value)?
            {
                node.remove(&name);
            }
        }
        Ok(())
    }

    fn settle_list(&mut self, place: Place<'s>, node: &mut Node) -> Result<bool> {
        if list_directive(node)? == Directive::Delete {
            return Ok(false);
        }
        let items = match &mut node.content {
            Content::Seq(items) => std::mem::take(items),
            _ => Vec::new(),
        };
        *node = Node {
            content: Content::Seq(self.merge_lists(place, items, None, true)?),
            ..Node::default()
        };
        Ok(true)
    }

    fn walk_associative(
        &mut self,
        place: Place<'s>,
        dest: Option<&mut Node>,
        origin: Option<Node>,
    ) -> Result<Outcome> {
        let dest = match dest {
            Some(dest) if !is_missing(Some(dest)) => dest,
            _ => {
                let Some(mut origin) = origin else {
                    return Ok(Outcome::Cleared);
                };
                // The directive is not looked at when there is nothing to merge with.
                let items = take_items(&mut origin);
                let merged = self.merge_lists(place, items, None, true)?;
                return Ok(Outcome::New(list_node(merged)));
            }
        };
        let mut theirs = None;
        if let Some(mut origin) = origin {
            if origin.tag == Tag::Null {
                return Ok(Outcome::Cleared);
            }
            match list_directive(&mut origin)? {
                Directive::Delete => return Ok(Outcome::Cleared),
                Directive::Replace => {
                    let items = take_items(&mut origin);
                    return Ok(Outcome::New(list_node(
                        self.merge_lists(place, items, None, true)?,
                    )));
                }
                Directive::Merge => theirs = Some(take_items(&mut origin)),
            }
        }
        let merged = self.merge_lists(place, take_items(dest), theirs, false)?;
        Ok(Outcome::New(list_node(merged)))
    }

    /// Merges lists by their keys. With `same`, the destination is merged with itself.
    fn merge_lists(
        &mut self,
        place: Place<'s>,
        mut dest: Vec<Node>,
        mut origin: Option<Vec<Node>>,
        same: bool,
    ) -> Result<Vec<Node>> {
        let keys: Vec<String> = match place.keys {
            Some(keys) if !keys.is_empty() => keys.to_vec(),
            _ => vec![String::new()],
        };
        let mut values: Vec<Vec<String>> = Vec::new();
        for item in origin.iter().flatten().chain(&dest) {
            let value = key_values(item, &keys);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if keys.len() > 1 {
            merge_values(&mut values);
        }
        let element = Place {
            below: place.below,
            keys: None,
        };
        let mut result: Vec<Node> = Vec::new();
        let mut valid = keys.clone();
        for value in values.clone() {
            let (valid_keys, valid_values) = validate_keys(&values, &value, &keys);
            let (look_keys, look_values) =
                validate_keys(std::slice::from_ref(&valid_values), &valid_values, &valid_keys);
            valid.clone_from(&valid_keys);
            let at = find(&dest, &look_keys, &look_values);
            let theirs = origin.as_mut().and_then(|items| {
                let at = find(items, &look_keys, &look_values)?;
                items.get(at).cloned()
            });
            let outcome = match at.and_then(|at| dest.get_mut(at)) {
                Some(item) if same => match self.settle(element, item)? {
                    true => Outcome::InPlace,
                    false => Outcome::Cleared,
                },
                item => self.walk(element, item, theirs)?,
            };
            let merged = match outcome {
                Outcome::Cleared => None,
                Outcome::New(node) => Some(node),
                Outcome::InPlace => at.and_then(|at| dest.get(at)).cloned(),
            };
            let Some(mut merged) =
                merged.filter(|node| !(node.is_null() || (node.is_map() && node.pairs().is_empty())))
            else {
                set_element(&mut dest, None, &valid_keys, &valid_values)?;
                continue;
            };
            for (key, value) in valid_keys.iter().zip(&valid_values) {
                if value.is_empty() {
                    continue;
                }
                if key.is_empty() {
                    merged.set_scalar(Node::scalar(value.as_str()));
                } else if merged.get(key).is_none() {
                    merged.set(key, Node::scalar(value.as_str()));
                }
            }
            set_element(&mut result, Some(merged), &valid_keys, &valid_values)?;
        }
        if values.is_empty() {
            return Ok(dest);
        }
        append_list(&mut result, dest, &valid)?;
        Ok(result)
    }
}

fn take_items(node: &mut Node) -> Vec<Node> {
    match &mut node.content {
        Content::Seq(items) => std::mem::take(items),
        _ => Vec::new(),
    }
}

fn list_node(items: Vec<Node>) -> Node {
    Node {
        content: Content::Seq(items),
        ..Node::default()
    }
}

fn directive(text: &str) -> Result<Directive> {
    match text {
        "merge" => Ok(Directive::Merge),
        "replace" => Ok(Directive::Replace),
        "delete" => Ok(Directive::Delete),
        _ => Err(Error::new(format!("unknown `$patch: {text}`")).hint("it can be merge, replace or delete")),
    }
}

/// Takes the directive out of a mapping.
fn map_directive(patch: &mut Node) -> Result<Directive> {
    let Some(value) = patch.get("$patch") else {
        return Ok(Directive::Merge);
    };
    let found = directive(value.text())?;
    patch.remove("$patch");
    Ok(found)
}

/// Takes the directive out of a list: an element `$patch: …` with nothing else in it.
fn list_directive(patch: &mut Node) -> Result<Directive> {
    let value = match patch.items().iter().find(|item| item.get("$patch").is_some()) {
        Some(item) if item.pairs().len() == 1 => item.get("$patch").map_or("", Node::text).to_owned(),
        _ => return Ok(Directive::Merge),
    };
    let found = directive(&value)?;
    if let Content::Seq(items) = &mut patch.content {
        set_element(items, None, &["$patch".to_owned()], &[value])?;
    }
    Ok(found)
}

fn key_values(item: &Node, keys: &[String]) -> Vec<String> {
    keys.iter()
        .map(|key| match key.as_str() {
            "" => item.text().to_owned(),
            key => item
                .get(key)
                .filter(|value| !value.is_nil_or_empty())
                .map_or(String::new(), |value| value.text().to_owned()),
        })
        .collect()
}

/// Takes two keys for the same if they agree where both say something (`8080` and `8080/TCP`).
fn merge_values(values: &mut [Vec<String>]) {
    for i in 0..values.len() {
        // As it was when its turn came, whatever happens to it meanwhile.
        let Some(one) = values.get(i).cloned() else {
            continue;
        };
        for j in 0..values.len() {
            let Some(both) = values.get(j).and_then(|other| match_values(&one, other)) else {
                continue;
            };
            for at in [i, j] {
                if let Some(place) = values.get_mut(at) {
                    place.clone_from(&both);
                }
            }
        }
    }
}

fn match_values(one: &[String], other: &[String]) -> Option<Vec<String>> {
    let mut common = false;
    let mut both = Vec::with_capacity(one.len());
    for (a, b) in one.iter().zip(other) {
        if a == b {
            common = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        both.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    common.then_some(both)
}

/// The keys that any element has; all of them if none has any.
fn validate_keys(all: &[Vec<String>], values: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let used: Vec<bool> = (0..keys.len())
        .map(|at| {
            all.iter()
                .any(|values| values.get(at).is_some_and(|value| !value.is_empty()))
        })
        .collect();
    if !used.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let pick = |texts: &[String]| {
        texts
            .iter()
            .zip(&used)
            .filter(|(_, used)| **used)
            .map(|(text, _)| text.clone())
            .collect()
    };
    (pick(keys), pick(values))
}

/// The first element whose fields have these values.
fn find(items: &[Node], keys: &[String], values: &[String]) -> Option<usize> {
    items.iter().position(|item| {
        keys.iter().zip(values).all(|(key, value)| match key.as_str() {
            "" => item.text() == value,
            key => item.get(key).is_some_and(|field| field.text() == value),
        })
    })
}

/// kyaml's ElementSetter: replaces or removes the elements that match, and appends what matched none.
fn set_element(
    items: &mut Vec<Node>,
    element: Option<Node>,
    keys: &[String],
    values: &[String],
) -> Result<()> {
    let for_maps = keys.first().is_some_and(|key| !key.is_empty())
        && values.first().is_some_and(|value| !value.is_empty());
    let mut kept = Vec::with_capacity(items.len() + 1);
    let mut matched = false;
    for item in std::mem::take(items) {
        if item.is_null() || (item.is_map() && item.pairs().is_empty()) {
            continue;
        }
        if for_maps && !item.is_map() {
            kept.push(item);
            continue;
        }
        if !element_matches(&item, keys, values)? {
            if !values.is_empty() {
                kept.push(item);
            }
            continue;
        }
        matched = true;
        kept.extend(element.clone());
    }
    *items = kept;
    if !matched {
        items.extend(element.filter(|element| !element.is_null()));
    }
    Ok(())
}

fn element_matches(item: &Node, keys: &[String], values: &[String]) -> Result<bool> {
    let mut found = false;
    for (at, key) in keys.iter().enumerate() {
        // Keys without a value say what the one before them said.
        if let Some(value) = values.get(at) {
            found = if key.is_empty() {
                if !item.is_scalar() {
                    return Err(
                        Error::new(format!("expected a scalar but found {}", item.kind_name()))
                            .on_line(item.line),
                    );
                }
                item.text() == value
            } else {
                if !item.is_map() {
                    return Err(
                        Error::new(format!("expected a mapping but found {}", item.kind_name()))
                            .on_line(item.line),
                    );
                }
                item.get(key)
                    .is_some_and(|field| value.is_empty() || field.text() == value)
            };
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn append_list(dest: &mut Vec<Node>, source: Vec<Node>, keys: &[String]) -> Result<()> {
    for item in source {
        if keys.first().is_none_or(String::is_empty) {
            let value = item.text().to_owned();
            set_element(dest, Some(item), &[String::new()], &[value])?;
            continue;
        }
        let mut values = Vec::new();
        for key in keys {
            if !item.is_map() && !item.is_null() {
                return Err(
                    Error::new(format!("expected a mapping but found {}", item.kind_name()))
                        .on_line(item.line),
                );
            }
            match item.get(key) {
                Some(value) => values.push(value.text().to_owned()),
                None => dest.push(item.clone()),
            }
        }
        if keys.len() > 1 {
            set_element(dest, None, keys, &values)?;
        }
        set_element(dest, Some(item), keys, &values)?;
    }
    Ok(())
}

/// Whether a patch wipes out the annotations, where upstream keeps a resource's history.
pub(crate) fn wipes_history(patch: &Node) -> bool {
    let replaces = |node: &Node| matches!(node.get("$patch").map_or("", Node::text), "replace" | "delete");
    let wipes = |node: &Node| node.tag == Tag::Null || replaces(node);
    let metadata = patch.get("metadata");
    let annotations = metadata.and_then(|node| node.get("annotations"));
    // A directive for the whole resource either removes it or does nothing.
    !replaces(patch) && (metadata.is_some_and(wipes) || annotations.is_some_and(wipes))
}

#[cfg(test)]
mod tests;
