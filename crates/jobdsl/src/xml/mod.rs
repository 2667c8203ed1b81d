//! The ordered XML tree that jobs are made of. Job DSL, `configure` blocks and config.xml all work on it.

mod print;
mod read;

pub(crate) use print::print;
pub(crate) use read::read;

use std::cell::RefCell;
use std::rc::Rc;

/// An element. Clones share it.
pub(crate) type Node = Rc<Element>;

/// An element's content and attributes, in order.
#[derive(Debug)]
pub(crate) struct Element {
    name: RefCell<String>,
    attributes: RefCell<Vec<(String, String)>>,
    children: RefCell<Vec<Child>>,
}

/// What an element holds.
#[derive(Debug, Clone)]
pub(crate) enum Child {
    Text(String),
    Node(Node),
}

impl Element {
    pub(crate) fn new(name: impl Into<String>) -> Node {
        Rc::new(Self {
            name: RefCell::new(name.into()),
            attributes: RefCell::default(),
            children: RefCell::default(),
        })
    }

    pub(crate) fn with_text(name: impl Into<String>, text: impl Into<String>) -> Node {
        let node = Self::new(name);
        node.set_text(text);
        node
    }

    pub(crate) fn name(&self) -> String {
        self.name.borrow().clone()
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        *self.name.borrow() == name
    }

    pub(crate) fn rename(&self, name: impl Into<String>) {
        *self.name.borrow_mut() = name.into();
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let attributes = self.attributes.borrow();
        attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn attributes(&self) -> Vec<(String, String)> {
        self.attributes.borrow().clone()
    }

    pub(crate) fn set_attribute(&self, name: &str, value: impl Into<String>) {
        let mut attributes = self.attributes.borrow_mut();
        match attributes.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value.into(),
            None => attributes.push((name.to_owned(), value.into())),
        }
    }

    pub(crate) fn children(&self) -> Vec<Child> {
        self.children.borrow().clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.borrow().is_empty()
    }

    /// The child elements.
    pub(crate) fn elements(&self) -> Vec<Node> {
        let children = self.children.borrow();
        children
            .iter()
            .filter_map(|child| match child {
                Child::Node(node) => Some(node.clone()),
                Child::Text(_) => None,
            })
            .collect()
    }

    /// The first child element of a name.
    pub(crate) fn first(&self, name: &str) -> Option<Node> {
        let children = self.children.borrow();
        children.iter().find_map(|child| match child {
            Child::Node(node) if node.is_named(name) => Some(node.clone()),
            _ => None,
        })
    }

    /// All text below, in order.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.collect_text(&mut out);
        out
    }

    fn collect_text(&self, out: &mut String) {
        for child in self.children.borrow().iter() {
            match child {
                Child::Text(text) => out.push_str(text),
                Child::Node(node) => node.collect_text(out),
            }
        }
    }

    /// The text of the child of a name, empty if there is none.
    pub(crate) fn text_of(&self, name: &str) -> String {
        self.first(name).map(|node| node.text()).unwrap_or_default()
    }

    pub(crate) fn set_text(&self, text: impl Into<String>) {
        *self.children.borrow_mut() = vec![Child::Text(text.into())];
    }

    pub(crate) fn set_children(&self, children: Vec<Child>) {
        *self.children.borrow_mut() = children;
    }

    pub(crate) fn append(&self, child: Node) {
        self.children.borrow_mut().push(Child::Node(child));
    }

    pub(crate) fn append_text(&self, text: impl Into<String>) {
        self.children.borrow_mut().push(Child::Text(text.into()));
    }

    /// Removes a child; says whether it was there.
    pub(crate) fn remove(&self, child: &Node) -> bool {
        let mut children = self.children.borrow_mut();
        let before = children.len();
        children.retain(|found| !matches!(found, Child::Node(node) if Rc::ptr_eq(node, child)));
        children.len() < before
    }

    /// `parent / 'name'`: the first child of the name, made if missing.
    pub(crate) fn child(&self, name: &str) -> Node {
        self.first(name).unwrap_or_else(|| {
            let node = Self::new(name);
            self.append(node.clone());
            node
        })
    }

    /// `parent / node`: the first child of that name whose attributes include the node's, with the node's content, or
    /// else the node.
    pub(crate) fn merge(&self, orphan: &Node) -> Node {
        let orphan = orphan.deep_clone();
        let wanted = orphan.attributes();
        let found = self.elements().into_iter().find(|child| {
            child.is_named(&orphan.name())
                && wanted
                    .iter()
                    .all(|(key, value)| child.attribute(key).is_some_and(|found| found == *value))
        });
        match found {
            Some(found) => {
                found.set_children(orphan.children());
                found
            }
            None => {
                self.append(orphan.clone());
                orphan
            }
        }
    }

    pub(crate) fn deep_clone(&self) -> Node {
        let children = self
            .children
            .borrow()
            .iter()
            .map(|child| match child {
                Child::Text(text) => Child::Text(text.clone()),
                Child::Node(node) => Child::Node(node.deep_clone()),
            })
            .collect();
        Rc::new(Self {
            name: self.name.clone(),
            attributes: self.attributes.clone(),
            children: RefCell::new(children),
        })
    }

    /// Whether `other` is this element or lies below it.
    pub(crate) fn holds(&self, other: &Node) -> bool {
        std::ptr::eq(self, Rc::as_ptr(other)) || self.elements().iter().any(|child| child.holds(other))
    }
}
