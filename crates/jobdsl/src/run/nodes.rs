//! What scripts do with the XML tree: Groovy's `Node`, with the operators that `configure` blocks use.

use super::interp::Interp;
use super::limits::EACH;
use super::throw::Throw;
use super::value::{Closure, Foreign, Value};
use crate::xml::{Child, Element, MOST, Node};
use std::cell::RefCell;
use std::rc::Rc;

impl Interp {
    /// The children as values: nodes and texts.
    pub(super) fn node_children(&self, node: &Node) -> Vec<Value> {
        node.children()
            .into_iter()
            .map(|child| match child {
                Child::Node(node) => Value::Node(node),
                Child::Text(text) => Value::text(text),
            })
            .collect()
    }

    /// Counts what is copied or walked through: an element in two places of another doubles it.
    fn weigh(&self, node: &Node, each: usize) -> Result<(), Throw> {
        let (count, _) = node.size();
        if count > MOST {
            return Err(Throw::limit(format!("an element holds more than {MOST} others")));
        }
        self.spend(count.saturating_mul(each))
    }

    /// `node / x`: a child, made if missing.
    pub(super) fn node_division(&self, node: &Node, by: &Value) -> Result<Value, Throw> {
        self.spend(64)?;
        match by {
            Value::Node(orphan) => {
                self.weigh(orphan, EACH)?;
                Ok(Value::Node(node.merge(orphan)))
            }
            Value::Closure(_) => self
                .node_append(node, by.clone())
                .map(|()| Value::Node(Rc::clone(node))),
            Value::List(items) => match items.borrow().first() {
                Some(first) => self.deeper(|| self.node_division(node, first)),
                None => Ok(Value::Null),
            },
            other => Ok(Value::Node(node.child(&self.show(other)?))),
        }
    }

    /// `node << x`: text is its value, nodes and what a closure builds are appended.
    pub(super) fn node_append(&self, node: &Node, what: Value) -> Result<(), Throw> {
        self.spend(64)?;
        match what {
            Value::Node(child) => {
                self.weigh(&child, EACH)?;
                node.append(child.deep_clone());
            }
            Value::Closure(closure) => {
                for child in self.build_children(&closure)? {
                    match child {
                        Child::Node(child) => node.append(child),
                        Child::Text(text) => node.append_text(text),
                    }
                }
            }
            Value::List(items) => {
                for item in items.borrow().clone() {
                    self.deeper(|| self.node_append(node, item))?;
                }
            }
            Value::Null => {}
            other => node.set_text(self.show(&other)?),
        }
        Ok(())
    }

    /// What a closure builds: calls of unknown names are elements.
    pub(crate) fn build_children(&self, closure: &Rc<Closure>) -> Result<Vec<Child>, Throw> {
        let node = Element::new("root");
        self.build_into(&node, closure)?;
        Ok(node.children())
    }

    pub(crate) fn build_into(&self, node: &Node, closure: &Rc<Closure>) -> Result<(), Throw> {
        let builder = Rc::new(Builder(RefCell::new(vec![Rc::clone(node)])));
        self.build_with(&builder, closure)
    }

    fn build_with(&self, builder: &Rc<Builder>, closure: &Rc<Closure>) -> Result<(), Throw> {
        let copy = Rc::new(closure.copy());
        *copy.delegate.borrow_mut() = Some(Value::Foreign(Rc::clone(builder) as Rc<dyn Foreign>));
        self.call_closure(&copy, Vec::new()).map(|_| ())
    }

    /// `name(attributes, value) { children }` within a builder's closure: a child of the node it is at, whichever of
    /// the closures around asks.
    pub(crate) fn build_at(
        &self,
        builder: &Rc<dyn Foreign>,
        name: &str,
        args: &[Value],
    ) -> Result<Node, Throw> {
        let Some(inner) = builder.as_any().downcast_ref::<Builder>() else {
            return self.build_node(name, args);
        };
        let (closures, plain): (Vec<&Value>, Vec<&Value>) =
            args.iter().partition(|arg| matches!(arg, Value::Closure(_)));
        let plain: Vec<Value> = plain.into_iter().cloned().collect();
        let node = self.build_node(name, &plain)?;
        if let Some(parent) = inner.0.borrow().last() {
            parent.append(Rc::clone(&node));
        }
        for closure in closures {
            if let Value::Closure(closure) = closure {
                inner.0.borrow_mut().push(Rc::clone(&node));
                let copy = Rc::new(closure.copy());
                *copy.delegate.borrow_mut() = Some(Value::Foreign(Rc::clone(builder)));
                let result = self.call_closure(&copy, Vec::new());
                inner.0.borrow_mut().pop();
                result?;
            }
        }
        Ok(node)
    }

    /// An element from what a builder is given.
    pub(crate) fn build_node(&self, name: &str, args: &[Value]) -> Result<Node, Throw> {
        self.spend(EACH)?;
        let node = Element::new(name);
        for arg in args {
            match arg {
                Value::Map(map) => {
                    for (key, value) in map.pairs() {
                        node.set_attribute(&key.value().show(), self.show(&value)?);
                    }
                }
                Value::Closure(closure) => self.build_into(&node, closure)?,
                Value::List(items) => {
                    for item in items.borrow().clone() {
                        match item {
                            Value::Node(child) => node.append(child),
                            other => node.append_text(self.show(&other)?),
                        }
                    }
                }
                Value::Node(child) => node.append(Rc::clone(child)),
                other => node.append_text(self.show(other)?),
            }
        }
        Ok(node)
    }

    pub(super) fn node_property(&self, node: &Node, name: &str) -> Result<Value, Throw> {
        if let Some(attribute) = name.strip_prefix('@') {
            return Ok(node.attribute(attribute).map_or(Value::Null, Value::text));
        }
        let found: Vec<Value> = node
            .elements()
            .into_iter()
            .filter(|child| name == "*" || child.is_named(name))
            .map(Value::Node)
            .collect();
        Ok(Value::list(found))
    }

    pub(super) fn set_node_property(&self, node: &Node, name: &str, value: &Value) -> Result<(), Throw> {
        if let Some(attribute) = name.strip_prefix('@') {
            node.set_attribute(attribute, self.show(value)?);
            return Ok(());
        }
        if name == "value" {
            self.set_value(node, value)?;
            return Ok(());
        }
        let child = node.child(name);
        self.set_value(&child, value)
    }

    fn set_value(&self, node: &Node, value: &Value) -> Result<(), Throw> {
        match value {
            Value::List(items) => {
                node.set_children(Vec::new());
                for item in items.borrow().clone() {
                    match item {
                        Value::Node(child) => node.append(child),
                        other => node.append_text(self.show(&other)?),
                    }
                }
            }
            Value::Node(child) => node.set_children(vec![Child::Node(Rc::clone(child))]),
            Value::Null => node.set_children(Vec::new()),
            other => node.set_text(self.show(other)?),
        }
        Ok(())
    }

    pub(super) fn node_method(
        &self,
        node: &Node,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let first = args.first();
        let this = || Value::Node(Rc::clone(node));
        self.spend(16)?;
        Ok(Some(match (name, args) {
            ("div", [by]) => self.node_division(node, by)?,
            ("leftShift", [what]) => {
                self.node_append(node, what.clone())?;
                this()
            }
            ("appendNode", [name, rest @ ..]) => {
                let child = self.build_node(&self.show(name)?, rest)?;
                node.append(Rc::clone(&child));
                Value::Node(child)
            }
            ("append", [Value::Node(child)]) => {
                self.weigh(child, 64)?;
                if child.holds(node) {
                    return Err(Throw::exception(
                        "IllegalArgumentException",
                        "a node cannot hold itself",
                    ));
                }
                node.append(Rc::clone(child));
                Value::Bool(true)
            }
            ("remove", [Value::Node(child)]) => Value::Bool(node.remove(child)),
            ("children", []) => Value::list(self.node_children(node)),
            ("name", []) => Value::text(node.name()),
            ("text", []) => Value::text(node.text()),
            ("value", []) => {
                let children = self.node_children(node);
                match children.as_slice() {
                    [Value::Text(text)] => Value::Text(text.clone()),
                    _ => Value::list(children),
                }
            }
            ("setValue", [value]) => {
                self.set_value(node, value)?;
                Value::Null
            }
            ("attributes", []) => Value::map(
                node.attributes()
                    .into_iter()
                    .map(|(key, value)| (super::value::Key::Text(key.into()), Value::text(value))),
            ),
            ("attribute" | "get", [wanted]) => {
                let wanted = self.show(wanted)?;
                if name == "get" && !wanted.starts_with('@') {
                    return self.node_property(node, &wanted).map(Some);
                }
                node.attribute(wanted.trim_start_matches('@'))
                    .map_or(Value::Null, Value::text)
            }
            ("breadthFirst" | "depthFirst", []) => {
                let mut out = Vec::new();
                all(node, &mut out, 0);
                Value::list(out)
            }
            ("parent", []) => Value::Null,
            ("clone", []) => {
                self.weigh(node, EACH)?;
                Value::Node(node.deep_clone())
            }
            ("replaceNode", [Value::Closure(closure)]) => {
                // The parent is not known here; what is built replaces name, attributes and content.
                let built = self.build_children(closure)?;
                if let Some(Child::Node(new)) = built.first() {
                    node.rename(new.name());
                    for (key, value) in new.attributes() {
                        node.set_attribute(&key, value);
                    }
                    node.set_children(new.children());
                }
                this()
            }
            ("plus", [Value::Closure(closure)]) => {
                for child in self.build_children(closure)? {
                    if let Child::Node(child) = child {
                        node.append(child);
                    }
                }
                this()
            }
            ("find" | "findAll" | "each" | "collect" | "any", [_]) => {
                let children = Value::list(self.node_children(node));
                return self.try_method(&children, name, args);
            }
            ("getAt", [_]) => self.index(&this(), first.unwrap_or(&Value::Null))?,
            ("createNode", [name, ..]) => {
                let child = Element::new(self.show(name)?);
                node.append(Rc::clone(&child));
                Value::Node(child)
            }
            _ => return Ok(None),
        }))
    }
}

fn all(node: &Node, out: &mut Vec<Value>, depth: usize) {
    out.push(Value::Node(Rc::clone(node)));
    if depth < 200 {
        for child in node.elements() {
            all(&child, out, depth + 1);
        }
    }
}

/// Whom a building closure delegates to: unknown calls become elements below the node it is at.
pub(crate) struct Builder(RefCell<Vec<Node>>);

impl Foreign for Builder {
    fn describe(&self) -> String {
        "NodeBuilder".to_owned()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn answers_all(&self) -> bool {
        true
    }
}
