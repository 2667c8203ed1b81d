//! A closure of the DSL while it runs: its options, the elements it has made, and calls into the tables.

use super::catalogue::{Body, Catalogue, ClosureSpec, ContextSpec, MethodSpec, OptionKind};
use super::item::{Change, Item, configure};
use super::template::fill;
use crate::run::{Closure, Env, Foreign, Interp, Scope, Source, Strategy, Throw, Value};
use crate::syntax::{Name, Param};
use crate::xml::Node;
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// A closure's state.
pub(crate) struct Context {
    pub(crate) spec: Rc<ContextSpec>,
    /// Its options, as variables.
    pub(crate) scope: Rc<Scope>,
    pub(crate) nodes: RefCell<Vec<Node>>,
    pub(crate) item: Option<Rc<Item>>,
    /// Whether its elements go to the item at once.
    pub(crate) is_item: bool,
    /// The context it is in; asked about calls that it does not know.
    pub(crate) outer: Option<Rc<Context>>,
}

impl Context {
    /// The steps within the steps of a special kind of job are of that kind too.
    fn derived(&self, name: &str) -> Option<Rc<ContextSpec>> {
        if name != "steps" {
            return None;
        }
        if self.spec.bases.iter().any(|base| base.name == name) {
            return Some(Rc::clone(&self.spec));
        }
        self.outer.as_ref().and_then(|outer| outer.derived(name))
    }
}

/// A context as a value.
pub(crate) struct ContextRef(pub(crate) Rc<Context>);

impl Foreign for ContextRef {
    fn describe(&self) -> String {
        format!("`{}`", self.0.spec.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What calls into the tables need.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) catalogue: Rc<Catalogue>,
    /// Stands for the file in expressions of the tables.
    pub(crate) source: Rc<Source>,
}

impl Tables {
    fn env(&self, scope: Rc<Scope>, context: &Rc<Context>) -> Env {
        Env {
            scope,
            this: Value::Foreign(Rc::new(ContextRef(Rc::clone(context)))),
            closure: None,
            source: Rc::clone(&self.source),
        }
    }

    /// A context in which nothing has been said yet.
    pub(crate) fn open(
        &self,
        interp: &Interp,
        spec: Rc<ContextSpec>,
        item: Option<Rc<Item>>,
        outer: Option<&Rc<Context>>,
    ) -> Result<Rc<Context>, Throw> {
        // Options of contexts around it are seen within.
        let scope = outer.map_or_else(Scope::root, |outer| Scope::below(&outer.scope));
        let is_item = outer.is_none();
        let context = Rc::new(Context {
            spec: Rc::clone(&spec),
            scope: Rc::clone(&scope),
            nodes: RefCell::default(),
            item,
            is_item,
            outer: outer.cloned(),
        });
        let mut options = Vec::new();
        spec.options(&mut options);
        let env = self.env(Rc::clone(&scope), &context);
        // A context's own first values count, not its bases'.
        for option in options.into_iter().rev() {
            if let Some(first) = &option.first {
                let value = interp.eval(first, &env)?;
                scope.declare(&option.field, value);
            }
        }
        Ok(context)
    }

    /// Runs a closure of the script in a context.
    pub(crate) fn run(
        &self,
        interp: &Interp,
        context: &Rc<Context>,
        closure: &Rc<Closure>,
        args: Vec<Value>,
    ) -> Result<Value, Throw> {
        let copy = Rc::new(closure.copy());
        *copy.delegate.borrow_mut() = Some(Value::Foreign(Rc::new(ContextRef(Rc::clone(context)))));
        copy.strategy.set(Strategy::DelegateFirst);
        interp.call(&copy, args)
    }

    /// The elements that a closure makes in a context of the tables.
    pub(crate) fn nodes_of(
        &self,
        interp: &Interp,
        outer: &Rc<Context>,
        args: &[Value],
    ) -> Result<Value, Throw> {
        let name = args.first().map(Value::show).unwrap_or_default();
        let spec = self
            .catalogue
            .context(&name)
            .ok_or_else(|| Throw::exception("InternalError", format!("the tables have no context {name}")))?;
        let inner = self.open(interp, spec, outer.item.clone(), Some(outer))?;
        if let Some(Value::Closure(closure)) = args.get(1) {
            self.run(interp, &inner, closure, Vec::new())?;
        }
        let nodes = inner.nodes.borrow().iter().cloned().map(Value::Node).collect();
        Ok(Value::list(nodes))
    }

    /// A call on a context, or on one around it; none if the tables do not know it.
    pub(crate) fn call(
        &self,
        interp: &Interp,
        context: &Rc<Context>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        if let ("configureNode", [Value::Node(node), Value::Closure(closure)]) = (name, args) {
            configure(interp, node, closure)?;
            return Ok(Some(Value::Null));
        }
        if name == "nodesOf" {
            return self.nodes_of(interp, context, args).map(Some);
        }
        let mut here = Some(Rc::clone(context));
        while let Some(context) = here {
            if let Some(value) = self.call_own(interp, &context, name, args)? {
                return Ok(Some(value));
            }
            here = context.outer.clone();
        }
        Ok(None)
    }

    fn call_own(
        &self,
        interp: &Interp,
        context: &Rc<Context>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        if self.option(interp, context, name, args)? {
            return Ok(Some(Value::Null));
        }
        let mut methods = Vec::new();
        context.spec.methods(name, &mut methods);
        if methods.is_empty() {
            return Ok(None);
        }
        let mut best: Option<(u32, Rc<MethodSpec>, usize)> = None;
        for method in methods {
            let closures = match &method.closure {
                ClosureSpec::None => 0,
                _ => usize::from(match args.last() {
                    Some(Value::Closure(_)) => true,
                    // No closure is an empty one, where null is not meant for a parameter.
                    Some(Value::Null) => fits(interp, &method.params, args).is_none(),
                    _ => false,
                }),
            };
            let plain = args.get(..args.len() - closures).unwrap_or_default();
            // What runs the closure is meant rather than what takes it as one more argument.
            let bonus = match args.last() {
                Some(Value::Closure(_)) if closures == 1 => 6,
                _ => 0,
            };
            if let Some(score) = fits(interp, &method.params, plain).map(|score| score + bonus)
                && best.as_ref().is_none_or(|(found, ..)| score > *found)
            {
                best = Some((score, method, closures));
            }
        }
        let Some((_, method, closures)) = best else {
            return Ok(None);
        };
        let closure = match args.last() {
            Some(Value::Closure(closure)) if closures == 1 => Some(closure),
            _ => None,
        };
        let plain = args.get(..args.len() - closures).unwrap_or_default();
        self.perform(interp, context, &method, plain, closure).map(Some)
    }

    fn perform(
        &self,
        interp: &Interp,
        context: &Rc<Context>,
        method: &MethodSpec,
        args: &[Value],
        closure: Option<&Rc<Closure>>,
    ) -> Result<Value, Throw> {
        // What an item is told is kept until it is made.
        interp.spend(160)?;
        // Options of the closure are variables beside the parameters.
        let inner = match &method.closure {
            ClosureSpec::None => None,
            ClosureSpec::Options(spec) => {
                Some(self.open(interp, Rc::clone(spec), context.item.clone(), Some(context))?)
            }
            ClosureSpec::Context(name) => {
                let spec = self.catalogue.context(name).ok_or_else(|| {
                    Throw::exception("InternalError", format!("the tables have no context {name}"))
                })?;
                Some(self.open(interp, spec, context.item.clone(), Some(context))?)
            }
        };
        let scope = match &inner {
            Some(inner) => Scope::below(&inner.scope),
            None => Scope::below(&context.scope),
        };
        let env = self.env(Rc::clone(&scope), inner.as_ref().unwrap_or(context));
        bind(interp, &method.params, args, &env)?;
        if let Some(item) = &context.item {
            let value = Value::Foreign(Rc::new(super::item::ItemRef(Rc::clone(item))));
            scope.declare(&"item".into(), value);
            scope.declare(&"itemKind".into(), Value::text(item.spec.as_str()));
            scope.declare(&"itemName".into(), Value::text(item.name.as_str()));
        }
        if let (Some(inner), Some(closure)) = (&inner, closure) {
            self.run(interp, inner, closure, Vec::new())?;
        }
        if let Some(inner) = &inner {
            let nodes = inner.nodes.borrow().iter().cloned().map(Value::Node).collect();
            scope.declare(&"nodes".into(), Value::list(nodes));
            scope.declare(&"given".into(), Value::Bool(closure.is_some()));
        }
        match &method.body {
            Body::Call(def) => {
                let outer = Value::Foreign(Rc::new(ContextRef(Rc::clone(context))));
                if let Value::Closure(code) = interp.closure(def, &env) {
                    *code.delegate.borrow_mut() = Some(outer);
                    code.strategy.set(Strategy::DelegateFirst);
                    return interp.call(&code, Vec::new());
                }
                Ok(Value::Null)
            }
            Body::Template(lines) => {
                let mut filled = fill(interp, lines, &env)?;
                // `configure` within the closure works on the element made.
                let own = inner.as_ref().and_then(|inner| {
                    let variables = inner.scope.variables.borrow();
                    let found = variables.iter().find(|(name, _)| &**name == "configure");
                    found.map(|(_, value)| value.clone())
                });
                if let Some(Value::List(blocks)) = own {
                    for block in blocks.borrow().clone() {
                        if let Value::Closure(block) = block {
                            for node in &filled.nodes {
                                configure(interp, node, &block)?;
                            }
                        }
                    }
                }
                if let Some(item) = &context.item {
                    let mut changes = item.changes.borrow_mut();
                    changes.extend(filled.edits.into_iter().map(Change::Edit));
                    if context.is_item {
                        for node in filled.nodes.drain(..) {
                            changes.push(Change::Edit(super::template::Edit::Merge(Vec::new(), node)));
                        }
                    }
                }
                for (value, env) in filled.later {
                    interp.eval(value, &env)?;
                }
                context.nodes.borrow_mut().extend(filled.nodes);
                Ok(Value::Null)
            }
        }
    }

    /// A call that sets an option; says whether it was one.
    fn option(
        &self,
        interp: &Interp,
        context: &Rc<Context>,
        name: &str,
        args: &[Value],
    ) -> Result<bool, Throw> {
        let mut options = Vec::new();
        context.spec.options(&mut options);
        options.retain(|option| option.method == name);
        // Code knows more than a plain value of the same name.
        options.sort_by_key(|option| !matches!(option.kind, OptionKind::Code(_)));
        for option in options {
            let field = &option.field;
            let set = |value: Value| context.scope.declare(field, value);
            let first = || args.first().cloned().unwrap_or(Value::Null);
            match &option.kind {
                OptionKind::Value => {
                    if args.len() > 1 {
                        continue;
                    }
                    set(first());
                }
                OptionKind::Flag => {
                    if args.len() > 1 {
                        continue;
                    }
                    set(args.first().cloned().unwrap_or(Value::Bool(true)));
                }
                OptionKind::Constant(value) => {
                    if !args.is_empty() {
                        continue;
                    }
                    let env = self.env(Rc::clone(&context.scope), context);
                    set(interp.eval(value, &env)?);
                }
                OptionKind::List => {
                    let list = context.scope.get(field).unwrap_or(Value::Null);
                    let mut items = interp.items(&list)?;
                    for arg in args {
                        match arg {
                            Value::List(more) => items.extend(more.borrow().iter().cloned()),
                            other => items.push(other.clone()),
                        }
                    }
                    set(Value::list(items));
                }
                OptionKind::Map => {
                    if let Some(Value::Map(map)) = context.scope.get(field) {
                        match args {
                            [Value::Map(more)] => {
                                for (key, value) in more.pairs() {
                                    map.put(key, value);
                                }
                            }
                            [key, value] => {
                                map.put(key.key(), value.clone());
                            }
                            _ => continue,
                        }
                    }
                }
                OptionKind::Pairs => {
                    let list = context.scope.get(field).unwrap_or(Value::Null);
                    let mut items = interp.items(&list)?;
                    let mut add = |key: String, value: &Value| -> Result<(), Throw> {
                        items.push(Value::text(format!("{key}={}", interp.show(value)?)));
                        Ok(())
                    };
                    match args {
                        [Value::Map(more)] => {
                            for (key, value) in more.pairs() {
                                add(key.value().show(), &value)?;
                            }
                        }
                        [key, value] => add(interp.show(key)?, value)?,
                        _ => continue,
                    }
                    set(Value::list(items));
                }
                OptionKind::Nodes(inner) => {
                    let Some(spec) = context.derived(inner).or_else(|| self.catalogue.context(inner)) else {
                        continue;
                    };
                    let list = context.scope.get(field).unwrap_or(Value::Null);
                    let mut items = interp.items(&list)?;
                    let inner = self.open(interp, spec, context.item.clone(), Some(context))?;
                    if let Some(Value::Closure(closure)) = args.last() {
                        self.run(interp, &inner, closure, Vec::new())?;
                    }
                    items.extend(inner.nodes.borrow().iter().cloned().map(Value::Node));
                    // Options of the nested context are seen under its field's name.
                    let fields: Vec<(Name, Value)> = inner.scope.variables.borrow().clone();
                    for (key, value) in fields {
                        context.scope.declare(&format!("{field}_{key}").into(), value);
                    }
                    set(Value::list(items));
                }
                OptionKind::Code(code) => {
                    let params = code.params.as_deref().unwrap_or_default();
                    if fits(interp, params, args).is_none() {
                        continue;
                    }
                    let env = self.env(Scope::below(&context.scope), context);
                    if let Value::Closure(code) = interp.closure(code, &env) {
                        interp.call(&code, pad(params, args))?;
                    }
                }
                OptionKind::Configure => {
                    // The last one counts.
                    set(Value::list(
                        args.iter()
                            .filter(|arg| matches!(arg, Value::Closure(_)))
                            .cloned()
                            .collect(),
                    ));
                }
            }
            return Ok(true);
        }
        // `x = value` sets the option `x` too.
        if let (Some(rest), [value]) = (name.strip_prefix("set"), args) {
            let field = format!(
                "{}{}",
                rest.get(..1).unwrap_or_default().to_lowercase(),
                rest.get(1..).unwrap_or_default()
            );
            let mut options = Vec::new();
            context.spec.options(&mut options);
            let known = options
                .iter()
                .find(|option| {
                    option.method == field
                        && matches!(
                            option.kind,
                            OptionKind::Value | OptionKind::Flag | OptionKind::List
                        )
                })
                .map(|option| option.field.clone());
            if let Some(known) = known {
                context.scope.declare(&known, value.clone());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a context knows a name.
    pub(crate) fn knows(&self, context: &Rc<Context>, name: &str) -> bool {
        let mut options = Vec::new();
        context.spec.options(&mut options);
        context.spec.has_method(name) || options.iter().any(|option| option.method == name)
    }
}

/// How many arguments must be given.
fn required(params: &[Param]) -> usize {
    params
        .iter()
        .filter(|param| param.default.is_none() && !param.rest)
        .count()
}

/// A list as one argument would be spread over several parameters: wrap it.
fn pad(params: &[Param], args: &[Value]) -> Vec<Value> {
    if params.len() > 1 && matches!(args, [Value::List(_)]) {
        let mut args = args.to_vec();
        args.resize(
            params.iter().filter(|p| p.default.is_none()).count().max(1),
            Value::Null,
        );
        return args;
    }
    args.to_vec()
}

/// Which argument each parameter gets, if they fit in number: missing ones are those with defaults, from the right,
/// but a closure at the end goes to a last parameter that takes one.
fn align<'a>(params: &[Param], args: &'a [Value]) -> Option<Vec<Option<&'a Value>>> {
    let required = required(params);
    let rest = params.iter().any(|param| param.rest);
    if args.len() < required || (args.len() > params.len() && !rest) {
        return None;
    }
    let takes_closure = params
        .last()
        .and_then(|param| param.kind.as_ref())
        .is_some_and(|kind| &*kind.name == "Closure");
    let (front, last) = match args.split_last() {
        Some((last @ Value::Closure(_), front)) if takes_closure && args.len() < params.len() => {
            (front, Some(last))
        }
        _ => (args, None),
    };
    let mut optional = args.len() - required;
    if last.is_some() {
        optional = optional.saturating_sub(1);
    }
    let mut front = front.iter();
    let mut out = Vec::new();
    for (index, param) in params.iter().enumerate() {
        if param.rest {
            break;
        }
        if last.is_some() && index + 1 == params.len() {
            out.push(last);
        } else if param.default.is_some() {
            if optional == 0 {
                out.push(None);
            } else {
                optional -= 1;
                out.push(front.next());
            }
        } else {
            out.push(Some(front.next()?));
        }
    }
    Some(out)
}

fn fits(interp: &Interp, params: &[Param], args: &[Value]) -> Option<u32> {
    let aligned = align(params, args)?;
    let mut score = if params.iter().any(|param| param.rest) {
        1
    } else {
        2
    };
    for (param, value) in params.iter().zip(&aligned) {
        let Some(value) = value else { continue };
        score += match &param.kind {
            // Closures are taken only by what asks for them.
            None => u32::from(!matches!(value, Value::Closure(_))),
            Some(kind) => interp.accepts(kind, value)?,
        };
    }
    Some(score)
}

fn bind(interp: &Interp, params: &[Param], args: &[Value], env: &Env) -> Result<(), Throw> {
    let aligned = align(params, args).unwrap_or_default();
    for (index, param) in params.iter().enumerate() {
        let value = if param.rest {
            let mut items = Vec::new();
            for value in args.iter().skip(index) {
                match value {
                    Value::List(more) => items.extend(more.borrow().iter().cloned()),
                    other => items.push(other.clone()),
                }
            }
            Value::list(items)
        } else {
            match (aligned.get(index).copied().flatten(), &param.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => interp.eval(default, env)?,
                (None, None) => Value::Null,
            }
        };
        env.scope.declare(&param.name, value);
    }
    Ok(())
}
