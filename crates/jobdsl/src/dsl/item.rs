//! Jobs, folders and views that scripts make: what they are, and what is to be done to their XML, in order. The XML is
//! made at the end, because a script may go on with an item after its block.

use super::template::Edit;
use crate::run::{Closure, Foreign, Interp, Strategy, Throw, Value};
use crate::xml::{Element, Node};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Folder,
    View,
}

/// An item of a script.
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Its kind in the tables: `freeStyleJob`, `listView`, …
    pub(crate) spec: String,
    pub(crate) at: (String, u32),
    pub(crate) changes: RefCell<Vec<Change>>,
    pub(crate) first: Node,
    pub(crate) previous_names: RefCell<Option<String>>,
}

/// Something to be done to an item's XML.
#[derive(Clone)]
pub(crate) enum Change {
    Edit(Edit),
    Configure(Rc<Closure>),
}

impl Item {
    /// The XML.
    pub(crate) fn build(&self, interp: &Interp) -> Result<Node, Throw> {
        let root = self.first.deep_clone();
        // The blocks run here may call the item's methods, which adds changes.
        let mut done = 0;
        loop {
            let next = self.changes.borrow().get(done).cloned();
            let Some(change) = next else {
                let wrong = root.too_much().map(Throw::limit).or_else(|| {
                    let name = root.wrong_name()?;
                    let message = format!("`{name}` is no name of an XML element or attribute");
                    Some(Throw::exception("SAXParseException", message))
                });
                return match wrong {
                    Some(wrong) => Err(wrong.or_at(&self.at.0.as_str().into(), self.at.1)),
                    None => Ok(root),
                };
            };
            match change {
                Change::Edit(edit) => apply(&root, &edit),
                Change::Configure(closure) => configure(interp, &root, &closure)?,
            }
            done += 1;
        }
    }
}

fn apply(root: &Node, edit: &Edit) {
    let descend = |path: &[String]| {
        let mut node = Rc::clone(root);
        for part in path {
            node = node.child(part);
        }
        node
    };
    match edit {
        Edit::Merge(path, node) => {
            descend(path).merge(node);
        }
        Edit::Append(path, nodes) => {
            let place = descend(path);
            for node in nodes {
                place.append(node.deep_clone());
            }
        }
        Edit::Replace(node) => {
            if let Some(old) = root.first(&node.name()) {
                root.remove(&old);
            }
            root.append(node.deep_clone());
        }
    }
}

/// Runs a `configure` block on a node: unknown names are texts, unknown calls make nodes.
pub(crate) fn configure(interp: &Interp, node: &Node, closure: &Rc<Closure>) -> Result<(), Throw> {
    let copy = Rc::new(closure.copy());
    *copy.delegate.borrow_mut() = Some(Value::Foreign(Rc::new(ConfigureDelegate)));
    if copy.strategy.get() == Strategy::DelegateFirst {
        copy.strategy.set(Strategy::OwnerFirst);
    }
    interp.call(&copy, vec![Value::Node(Rc::clone(node))]).map(|_| ())
}

/// Whom `configure` blocks delegate to.
pub(crate) struct ConfigureDelegate;

impl Foreign for ConfigureDelegate {
    fn describe(&self) -> String {
        "the configure block".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn answers_all(&self) -> bool {
        true
    }
}

/// An item as a value.
pub(crate) struct ItemRef(pub(crate) Rc<Item>);

impl Foreign for ItemRef {
    fn describe(&self) -> String {
        format!("{} `{}`", self.0.spec, self.0.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An element kept because nothing is known about the call that made it.
pub(crate) fn kept(interp: &Interp, name: &str, args: &[Value], depth: usize) -> Result<Node, Throw> {
    let node = interp.element(&element_name(name))?;
    for arg in args {
        match arg {
            Value::Map(map) => {
                for (key, value) in map.pairs() {
                    node.append(kept(interp, &key.value().show(), &[value], depth + 1)?);
                }
            }
            Value::Closure(closure) if depth < 50 => {
                for child in interp.build_children(closure)? {
                    match child {
                        crate::xml::Child::Node(child) => node.append(child),
                        crate::xml::Child::Text(text) => node.append_text(text),
                    }
                }
            }
            Value::List(items) => {
                for item in items.borrow().clone() {
                    match item {
                        Value::Node(child) => node.append(child),
                        other => node.append(Element::with_text("string", interp.show(&other)?)),
                    }
                }
            }
            Value::Node(child) => node.append(Rc::clone(child)),
            Value::Null => {}
            other => node.append_text(interp.show(other)?),
        }
    }
    Ok(node)
}

/// A name that XML takes.
fn element_name(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
        out.insert(0, '_');
    }
    out
}
