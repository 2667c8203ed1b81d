//! The ordered XML tree that jobs are made of. Job DSL, `configure` blocks and config.xml all work on it.

mod print;
mod read;

pub(crate) use print::print;
pub(crate) use read::read;

use std::cell::RefCell;
use std::rc::Rc;

/// Whether XML can hold a character.
fn is_held(c: char) -> bool {
    (c >= ' ' || matches!(c, '\n' | '\r' | '\t')) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Whether an element or attribute can have this name.
fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_alphabetic() || matches!(c, '_' | ':');
    name.starts_with(first)
        && name
            .chars()
            .all(|c| first(c) || c.is_alphanumeric() || matches!(c, '-' | '.' | '\u{b7}'))
}

/// How many elements one may hold.
pub(crate) const MOST: usize = 1_000_000;

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

/// A deep tree must not be dropped recursively: the stack would overflow.
impl Drop for Element {
    fn drop(&mut self) {
        let mut open = std::mem::take(self.children.get_mut());
        while let Some(child) = open.pop() {
            if let Child::Node(node) = child
                && let Some(mut element) = Rc::into_inner(node)
            {
                open.append(element.children.get_mut());
            }
        }
    }
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
        let mut open = self.children();
        open.reverse();
        while let Some(child) = open.pop() {
            match child {
                Child::Text(text) => out.push_str(&text),
                Child::Node(node) => open.extend(node.children().into_iter().rev()),
            }
        }
        out
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

    /// Why it is not printed: one nested deeper than it can be read back would only be found out later, and its
    /// indentation alone grows with the square of its depth.
    pub(crate) fn too_much(&self) -> Option<String> {
        match self.size() {
            (count, _) if count > MOST => Some(format!("it has more than {MOST} elements")),
            (_, depth) if depth > read::DEEPEST => {
                Some(format!("its elements nest deeper than {} levels", read::DEEPEST))
            }
            _ => None,
        }
    }

    /// The first name here or below that no element or attribute can have: printed, it would be something else.
    pub(crate) fn wrong_name(&self) -> Option<String> {
        let wrong = |element: &Self| {
            let mut names: Vec<String> = element.attributes().into_iter().map(|(key, _)| key).collect();
            names.push(element.name());
            names.into_iter().find(|name| !is_name(name))
        };
        let mut found = wrong(self);
        let mut open = self.elements();
        while found.is_none()
            && let Some(node) = open.pop()
        {
            found = wrong(&node);
            open.extend(node.elements());
        }
        found
    }

    pub(crate) fn deep_clone(&self) -> Node {
        let bare = |element: &Self| {
            Rc::new(Self {
                name: element.name.clone(),
                attributes: element.attributes.clone(),
                children: RefCell::default(),
            })
        };
        let root = bare(self);
        let mut open = vec![(self.children(), Rc::clone(&root))];
        while let Some((mut children, copy)) = open.pop() {
            for child in &mut children {
                if let Child::Node(node) = child {
                    let new = bare(node);
                    open.push((node.children(), Rc::clone(&new)));
                    *node = new;
                }
            }
            copy.set_children(children);
        }
        root
    }

    /// Whether `other` is this element or lies below it.
    pub(crate) fn holds(&self, other: &Node) -> bool {
        if std::ptr::eq(self, Rc::as_ptr(other)) {
            return true;
        }
        let mut open = self.elements();
        while let Some(node) = open.pop() {
            if Rc::ptr_eq(&node, other) {
                return true;
            }
            open.extend(node.elements());
        }
        false
    }

    /// How many elements it is, and how deep they nest. One that is in several places counts as often; there may be
    /// more than anyone can count, so that nobody counts on above [`MOST`].
    pub(crate) fn size(&self) -> (usize, usize) {
        let (mut count, mut deepest) = (1, 1);
        let mut open: Vec<(Node, usize)> = self.elements().into_iter().map(|node| (node, 2)).collect();
        while let Some((node, depth)) = open.pop() {
            count += 1;
            deepest = deepest.max(depth);
            if count > MOST {
                break;
            }
            open.extend(node.elements().into_iter().map(|node| (node, depth + 1)));
        }
        (count, deepest)
    }
}
