//! What a script reaches: the DSL's functions, the repository's files, its bindings.

use super::catalogue::Catalogue;
use super::context::{Context, ContextRef, Tables};
use super::files::{self, FileRef};
use super::item::{Change, ConfigureDelegate, Item, ItemRef, Kind, kept};
use super::template::skeleton;
use crate::run::nodes::Builder;
use crate::run::{Closure, Env, Foreign, Host, Interp, Strategy, Throw, ThrowKind, Value};
use crate::xml::Element;
use herder_base::Tree;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A remark about a place in a script.
pub(crate) struct Remark {
    pub(crate) code: &'static str,
    pub(crate) at: Option<(String, u32)>,
    pub(crate) message: String,
    /// The item it is about.
    pub(crate) item: Option<String>,
}

/// The DSL's host.
pub(crate) struct DslHost {
    pub(crate) tree: Tree,
    pub(crate) roots: files::Roots,
    pub(crate) classpath: Vec<String>,
    pub(crate) bindings: BTreeMap<String, String>,
    pub(crate) items: RefCell<Vec<Rc<Item>>>,
    pub(crate) remarks: RefCell<Vec<Remark>>,
    pub(crate) printed: RefCell<Vec<String>>,
    pub(crate) queued: RefCell<Vec<String>>,
    tables: Tables,
    contexts: RefCell<Vec<(Rc<Item>, Rc<Context>)>>,
}

/// Functions that make items: name, what it is.
const ITEMS: &[(&str, Kind)] = &[
    ("freeStyleJob", Kind::Job),
    ("mavenJob", Kind::Job),
    ("matrixJob", Kind::Job),
    ("multiJob", Kind::Job),
    ("ivyJob", Kind::Job),
    ("buildFlowJob", Kind::Job),
    ("pipelineJob", Kind::Job),
    ("multibranchPipelineJob", Kind::Job),
    ("organizationFolder", Kind::Folder),
    ("folder", Kind::Folder),
    ("listView", Kind::View),
    ("nestedView", Kind::View),
    ("sectionedView", Kind::View),
    ("dashboardView", Kind::View),
    ("buildPipelineView", Kind::View),
    ("buildMonitorView", Kind::View),
    ("categorizedJobsView", Kind::View),
    ("deliveryPipelineView", Kind::View),
    ("pipelineAggregatorView", Kind::View),
];

/// Enumerations of the DSL: their constants are their names.
const ENUMS: &[&str] = &[
    "AmountType",
    "Behavior",
    "BuildCountType",
    "BuildResult",
    "BuildStatusType",
    "DisplayStatus",
    "FastForwardMergeMode",
    "LocalRepositoryLocation",
    "MatchType",
    "OutputStyle",
    "RegexMatchValue",
    "Sorting",
    "Status",
    "StatusFilter",
    "SvnCheckoutStrategy",
    "SvnDepth",
    "ThresholdMode",
    "WeblogicDeploymentStageModes",
    "BaseDir",
    "PublisherContext",
];

/// Constants that scripts name without their enumeration.
const CONSTANTS: &[&str] = &[
    "LOCAL_TO_WORKSPACE",
    "LOCAL_TO_EXECUTOR",
    "LocalToWorkspace",
    "LocalToExecutor",
];

/// How many lines of a script's own output are kept.
const PRINTED: usize = 500;

impl DslHost {
    pub(crate) fn new(
        tree: Tree,
        roots: files::Roots,
        classpath: Vec<String>,
        bindings: BTreeMap<String, String>,
    ) -> Option<Self> {
        let source = Interp::load("(tables)", "").ok()?;
        Some(Self {
            tree,
            roots,
            classpath,
            bindings,
            items: RefCell::default(),
            remarks: RefCell::default(),
            printed: RefCell::default(),
            queued: RefCell::default(),
            tables: Tables {
                catalogue: Catalogue::get(),
                source,
            },
            contexts: RefCell::default(),
        })
    }

    pub(crate) fn remark(
        &self,
        code: &'static str,
        at: Option<(String, u32)>,
        message: String,
        item: Option<String>,
    ) {
        let mut remarks = self.remarks.borrow_mut();
        if remarks.len() < 2000 {
            remarks.push(Remark {
                code,
                at,
                message,
                item,
            });
        }
    }

    fn make(
        &self,
        interp: &Interp,
        env: &Env,
        kind: Kind,
        spec: &str,
        args: &[Value],
    ) -> Result<Value, Throw> {
        let at = match interp.called_at() {
            (path, _) if path.is_empty() => (env.source.path.to_string(), 0),
            (path, at) => (path.to_string(), at),
        };
        let Some(name) = args
            .first()
            .filter(|name| !name.is_null() && !matches!(name, Value::Closure(_)))
        else {
            return Err(Throw::exception(
                "IllegalArgumentException",
                format!("`{spec}` needs a name"),
            ));
        };
        let name = interp.show(name)?;
        if name.trim().is_empty() {
            return Err(Throw::exception(
                "IllegalArgumentException",
                format!("`{spec}` needs a name"),
            ));
        }
        interp.spend(4096)?;
        let item_spec =
            self.tables.catalogue.item(spec).ok_or_else(|| {
                Throw::exception("InternalError", format!("the tables have no item {spec}"))
            })?;
        let first = skeleton(&item_spec.root).unwrap_or_else(|| Element::new("project"));
        let item = Rc::new(Item {
            name,
            kind,
            spec: spec.to_owned(),
            at,
            changes: RefCell::default(),
            first,
            previous_names: RefCell::default(),
        });
        let context_spec = self.tables.catalogue.context(item_spec.context).ok_or_else(|| {
            Throw::exception(
                "InternalError",
                format!("the tables have no context {}", item_spec.context),
            )
        })?;
        let context = self
            .tables
            .open(interp, context_spec, Some(Rc::clone(&item)), None)?;
        self.contexts.borrow_mut().push((Rc::clone(&item), context));
        let value = Value::Foreign(Rc::new(ItemRef(Rc::clone(&item))));
        // Old scripts give attributes before the block: `job(type: Maven) { name 'x' }` is not read.
        if let Some(Value::Closure(closure)) = args.get(1) {
            self.run_item(interp, &value, closure)?;
        }
        self.items.borrow_mut().push(item);
        Ok(value)
    }

    fn run_item(&self, interp: &Interp, item: &Value, closure: &Rc<Closure>) -> Result<Value, Throw> {
        let copy = Rc::new(closure.copy());
        *copy.delegate.borrow_mut() = Some(item.clone());
        copy.strategy.set(Strategy::DelegateFirst);
        interp.call(&copy, vec![item.clone()])
    }

    fn context_of(&self, item: &Rc<Item>) -> Option<Rc<Context>> {
        let contexts = self.contexts.borrow();
        contexts
            .iter()
            .rev()
            .find(|(known, _)| Rc::ptr_eq(known, item))
            .map(|(_, context)| Rc::clone(context))
    }

    /// A nested view, made by its parent.
    pub(crate) fn view(
        &self,
        interp: &Interp,
        spec: &str,
        name: &str,
        closure: Option<&Rc<Closure>>,
    ) -> Result<crate::xml::Node, Throw> {
        let env = Env {
            scope: crate::run::Scope::root(),
            this: Value::Null,
            closure: None,
            source: Rc::clone(&self.tables.source),
        };
        let mut args = vec![Value::text(name)];
        if let Some(closure) = closure {
            args.push(Value::Closure(Rc::clone(closure)));
        }
        let before = self.items.borrow().len();
        self.make(interp, &env, Kind::View, spec, &args)?;
        let made: Vec<Rc<Item>> = self.items.borrow_mut().drain(before..).collect();
        match made.last() {
            Some(item) => item.build(interp),
            None => interp.element("view"),
        }
    }

    /// The context and item around a place.
    fn around(&self, env: &Env) -> (Option<Rc<Context>>, Option<Rc<Item>>, bool) {
        if let Some(Value::Foreign(foreign)) = env.scope.get("<target>") {
            if let Some(context) = foreign.as_any().downcast_ref::<ContextRef>() {
                return (Some(Rc::clone(&context.0)), context.0.item.clone(), false);
            }
            if let Some(item) = foreign.as_any().downcast_ref::<ItemRef>() {
                return (None, Some(Rc::clone(&item.0)), false);
            }
        }
        let mut closure = env.closure.clone();
        let mut building = false;
        while let Some(here) = closure {
            if let Some(Value::Foreign(foreign)) = &*here.delegate.borrow() {
                let any = foreign.as_any();
                if let Some(context) = any.downcast_ref::<ContextRef>() {
                    return (Some(Rc::clone(&context.0)), context.0.item.clone(), building);
                }
                if let Some(item) = any.downcast_ref::<ItemRef>() {
                    return (None, Some(Rc::clone(&item.0)), building);
                }
                building |= any.is::<Builder>();
            }
            closure = here.owner.clone();
        }
        (None, None, building)
    }
}

impl Host for DslHost {
    fn call(&self, interp: &Interp, env: &Env, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
        let spec = match name {
            "job" => "freeStyleJob",
            "workflowJob" => "pipelineJob",
            "multibranchWorkflowJob" => "multibranchPipelineJob",
            "freestyleJob" => "freeStyleJob",
            other => other,
        };
        if let Some((_, kind)) = ITEMS.iter().find(|(item, _)| *item == spec)
            && !args.is_empty()
        {
            return self.make(interp, env, *kind, spec, args).map(Some);
        }
        let text = |index: usize| -> Result<String, Throw> {
            args.get(index)
                .map_or_else(|| Ok(String::new()), |value| interp.show(value))
        };
        Ok(Some(match name {
            "println" | "print" | "printf" if !matches!(args.last(), Some(Value::Closure(_))) => {
                self.print(&text(0)?);
                Value::Null
            }
            "readFileFromWorkspace" => {
                let path = text(args.len().saturating_sub(1))?;
                let found = files::text(&self.tree, &self.roots, &path)?;
                interp.spend(found.len())?;
                Value::text(found)
            }
            "streamFileFromWorkspace" => {
                let found = files::text(&self.tree, &self.roots, &text(0)?)?;
                interp.spend(found.len())?;
                Value::text(found)
            }
            "userContent" | "configFiles" => {
                self.remark(
                    "no-equivalent",
                    None,
                    format!("`{name}` has no equivalent and is left out"),
                    None,
                );
                Value::Null
            }
            "queue" => {
                let job = match args.first() {
                    Some(Value::Foreign(foreign)) => foreign
                        .as_any()
                        .downcast_ref::<ItemRef>()
                        .map(|item| item.0.name.clone())
                        .unwrap_or_default(),
                    _ => text(0)?,
                };
                self.queued.borrow_mut().push(job);
                Value::Null
            }
            "evaluate" | "load" => {
                let (path, code) = match args.first() {
                    Some(Value::Foreign(foreign)) if foreign.as_any().is::<FileRef>() => {
                        let path = foreign.describe().trim_start_matches("the file ").to_owned();
                        (path.clone(), files::text(&self.tree, &self.roots, &path)?)
                    }
                    _ if name == "load" => (text(0)?, files::text(&self.tree, &self.roots, &text(0)?)?),
                    _ => ("(evaluated)".to_owned(), text(0)?),
                };
                let source = interp.read(&path, &code)?.map_err(|error| {
                    Throw::exception("CompilationFailedException", format!("{path}: {}", error.message))
                })?;
                for (key, value) in env.source.binding.pairs() {
                    source.binding.put(key, value);
                }
                interp.nested(|| interp.run(&source))?
            }
            "getBinding" => super::binding::value(&self.bindings, &env.source.binding),
            _ => return Ok(None),
        }))
    }

    fn variable(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.bindings.get(name) {
            return Some(Value::text(value.as_str()));
        }
        // Classes of the DSL need no import; what scripts want of them is the enumerations inside.
        let is_outer = name.starts_with(|c: char| c.is_ascii_uppercase())
            && (name.ends_with("Context") || name.ends_with("View"));
        if is_outer || ENUMS.contains(&name) {
            return Some(Value::Native(name.into()));
        }
        if CONSTANTS.contains(&name) {
            return Some(Value::text(name));
        }
        match name {
            "WORKSPACE" | "__FILE__" => Some(Value::text("")),
            "out" => Some(Value::Native("PrintStream".into())),
            "jobFactory" | "dslFactory" => None,
            "SEED_JOB" => Some(super::seed_job::value()),
            _ => None,
        }
    }

    fn method(
        &self,
        interp: &Interp,
        of: &Rc<dyn Foreign>,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        let any = of.as_any();
        if let Some(context) = any.downcast_ref::<ContextRef>() {
            let context = &context.0;
            if name == "<answers>" {
                let wanted = args.first().map(Value::show).unwrap_or_default();
                return Ok(Some(Value::Bool(self.tables.knows(context, &wanted))));
            }
            // Views within views are items of their own kind.
            if matches!(context.spec.name, "nestedViews" | "folderViews")
                && let Some((spec, _)) = ITEMS
                    .iter()
                    .find(|(item, kind)| *item == name && *kind == Kind::View)
            {
                let closure = match args.last() {
                    Some(Value::Closure(closure)) => Some(closure),
                    _ => None,
                };
                let view_name = args
                    .first()
                    .map(|value| interp.show(value))
                    .transpose()?
                    .unwrap_or_default();
                let node = self.view(interp, spec, &view_name, closure)?;
                let named = Element::with_text("name", view_name);
                node.append(named);
                let owner = Element::new("owner");
                let (class, reference) = if context.spec.name == "folderViews" {
                    ("com.cloudbees.hudson.plugins.folder.Folder", "../../../..")
                } else {
                    ("hudson.plugins.nested_view.NestedView", "../../..")
                };
                owner.set_attribute("class", class);
                owner.set_attribute("reference", reference);
                node.append(owner);
                context.nodes.borrow_mut().push(node);
                return Ok(Some(Value::Null));
            }
            return self.tables.call(interp, context, name, args);
        }
        if let Some(item) = any.downcast_ref::<ItemRef>() {
            let item = &item.0;
            match (name, args) {
                ("<answers>", [wanted]) => {
                    let known = self
                        .context_of(item)
                        .is_some_and(|context| self.tables.knows(&context, &wanted.show()));
                    return Ok(Some(Value::Bool(known)));
                }
                ("configure", [Value::Closure(closure)]) => {
                    item.changes
                        .borrow_mut()
                        .push(Change::Configure(Rc::clone(closure)));
                    return Ok(Some(Value::Null));
                }
                ("configure", [Value::Null]) => return Ok(Some(Value::Null)),
                ("getName", []) => return Ok(Some(Value::text(item.name.as_str()))),
                ("getXml", []) => return Ok(Some(Value::text(crate::xml::print(&*item.build(interp)?)))),
                ("getNode", []) => return Ok(Some(Value::Node(item.build(interp)?))),
                ("previousNames", [regex]) => {
                    *item.previous_names.borrow_mut() = Some(interp.show(regex)?);
                    return Ok(Some(Value::Null));
                }
                ("using", [template]) => {
                    return Err(Throw::exception(
                        "JobTemplateMissingException",
                        format!(
                            "`using` needs the job `{}` of a Jenkins; there is none",
                            template.show()
                        ),
                    ));
                }
                ("with", [Value::Closure(closure)]) => {
                    let value = Value::Foreign(Rc::new(ItemRef(Rc::clone(item))));
                    return self.run_item(interp, &value, closure).map(Some);
                }
                ("toString", []) => return Ok(None),
                _ => {}
            }
            return match self.context_of(item) {
                Some(context) => self.tables.call(interp, &context, name, args),
                None => Ok(None),
            };
        }
        if any.is::<Builder>() {
            return match name {
                "<answers>" => Ok(Some(Value::Bool(true))),
                "toString" | "asType" => Ok(None),
                "createNode" | "invokeMethod" if !args.is_empty() => {
                    let inner = interp.show(args.first().unwrap_or(&Value::Null))?;
                    let rest: Vec<Value> = match args.get(1) {
                        Some(Value::List(items)) if name != "createNode" => items.borrow().clone(),
                        _ => args.get(1..).unwrap_or_default().to_vec(),
                    };
                    interp
                        .build_at(of, &inner, &rest)
                        .map(|node| Some(Value::Node(node)))
                }
                _ => interp
                    .build_at(of, name, args)
                    .map(|node| Some(Value::Node(node))),
            };
        }
        if any.is::<ConfigureDelegate>() {
            return match name {
                "<answers>" => Ok(Some(Value::Bool(true))),
                "toString" => Ok(None),
                _ => {
                    // Blocks of what is built look to the builder first.
                    let args: Vec<Value> = args
                        .iter()
                        .map(|arg| match arg {
                            Value::Closure(closure) => {
                                let copy = closure.copy();
                                copy.strategy.set(Strategy::DelegateFirst);
                                Value::Closure(Rc::new(copy))
                            }
                            other => other.clone(),
                        })
                        .collect();
                    interp.build_node(name, &args).map(|node| Some(Value::Node(node)))
                }
            };
        }
        if let Some(value) = super::binding::method(interp, of, name, args)? {
            return Ok(Some(value));
        }
        if let Some(value) = super::seed_job::method(of, name, args)? {
            return Ok(Some(value));
        }
        if let Some(value) = super::engine::method(interp, &self.tree, &self.roots, of, name, args)? {
            return Ok(Some(value));
        }
        if let Some(file) = any.downcast_ref::<FileRef>() {
            return files::method(interp, &self.tree, &self.roots, file, name, args);
        }
        Ok(None)
    }

    fn property(&self, interp: &Interp, of: &Rc<dyn Foreign>, name: &str) -> Result<Option<Value>, Throw> {
        let any = of.as_any();
        if let Some(item) = any.downcast_ref::<ItemRef>() {
            return match name {
                "name" => Ok(Some(Value::text(item.0.name.as_str()))),
                "xml" => Ok(Some(Value::text(crate::xml::print(&*item.0.build(interp)?)))),
                "node" => Ok(Some(Value::Node(item.0.build(interp)?))),
                _ => Ok(None),
            };
        }
        if let Some(context) = any.downcast_ref::<ContextRef>() {
            if name == "item" {
                return Ok(context
                    .0
                    .item
                    .as_ref()
                    .map(|item| Value::Foreign(Rc::new(ItemRef(Rc::clone(item))) as Rc<dyn Foreign>)));
            }
            return Ok(None);
        }
        if any.is::<ConfigureDelegate>() {
            return Ok(Some(Value::text(name)));
        }
        if let Some(value) = super::seed_job::property(of, name)? {
            return Ok(Some(value));
        }
        if let Some(value) = super::binding::property(of, name) {
            return Ok(Some(value));
        }
        if any.is::<FileRef>() {
            let getter = format!(
                "get{}{}",
                name.get(..1).unwrap_or_default().to_uppercase(),
                name.get(1..).unwrap_or_default()
            );
            return self.method(interp, of, &getter, &[]);
        }
        Ok(None)
    }

    fn unknown(
        &self,
        interp: &Interp,
        env: &Env,
        name: &str,
        args: &[Value],
        at: u32,
    ) -> Result<Option<Value>, Throw> {
        let (context, item, building) = self.around(env);
        let place = Some((env.source.path.to_string(), at));
        let (Some(item), false) = (&item, building) else {
            return Ok(None);
        };
        // Methods of the script's own objects are not the DSL's.
        match &context {
            Some(context) if !context.spec.keeps() => {
                let message = format!("`{name}` is not known in `{}`; it is left out", context.spec.name);
                self.remark("unknown-method", place, message, Some(item.name.clone()));
                Ok(Some(Value::Null))
            }
            Some(context) => {
                let message = format!(
                    "`{name}` is not known in `{}`; it is kept as an element and does nothing",
                    context.spec.name
                );
                self.remark("unknown-method", place, message, Some(item.name.clone()));
                let node = kept(interp, name, args, 0)?;
                context.nodes.borrow_mut().push(node);
                Ok(Some(Value::Null))
            }
            None => {
                let message = format!(
                    "`{name}` is not known in {}; it is kept as an element and does nothing",
                    item.spec
                );
                self.remark("unknown-method", place, message, Some(item.name.clone()));
                let node = kept(interp, name, args, 0)?;
                item.changes
                    .borrow_mut()
                    .push(Change::Edit(super::template::Edit::Merge(Vec::new(), node)));
                Ok(Some(Value::Null))
            }
        }
    }

    fn shell(&self, interp: &Interp, env: &Env, line: &str, at: u32) -> Result<(), Throw> {
        let (context, item, _) = self.around(env);
        let Some(context) = context else {
            return Err(Throw {
                kind: ThrowKind::NoMethod {
                    name: line.split_whitespace().next().unwrap_or_default().into(),
                    of: "the script".to_owned(),
                    args: "…".to_owned(),
                },
                at: None,
            });
        };
        let node = interp.element("hudson.tasks.Shell")?;
        // A command line after another belongs to the same script.
        node.append(Element::with_text("command", line));
        self.remark(
            "shell-line",
            Some((env.source.path.to_string(), at)),
            format!("`{line}` is no call: it runs as a shell command"),
            item.map(|item| item.name.clone()),
        );
        context.nodes.borrow_mut().push(node);
        Ok(())
    }

    fn class_file(&self, path: &str) -> Option<(String, String)> {
        for root in &self.classpath {
            let base = if root.is_empty() {
                path.to_owned()
            } else {
                format!("{root}/{path}")
            };
            for ending in ["groovy", "java"] {
                let Ok(full) = herder_base::normalise(&format!("{base}.{ending}")) else {
                    continue;
                };
                if let Some(text) = self.tree.text(&full) {
                    return Some((text.to_owned(), full));
                }
            }
        }
        None
    }

    fn native(
        &self,
        interp: &Interp,
        class: &str,
        name: &str,
        args: &[Value],
    ) -> Result<Option<Value>, Throw> {
        if let Some(constant) = name.strip_prefix("<get>")
            && (ENUMS.contains(&class)
                || class.ends_with("Context")
                || class.ends_with("View")
                || class.ends_with("Job"))
        {
            return Ok(Some(if ENUMS.contains(&constant) {
                Value::Native(constant.into())
            } else {
                Value::text(constant)
            }));
        }
        if let Some(value) = super::engine::native(class, name) {
            return Ok(Some(value));
        }
        if class != "File" && class != "FilePath" && class != "Paths" {
            return Ok(None);
        }
        match name {
            "<init>" | "get" => {
                let mut path = String::new();
                for arg in args {
                    let part = match arg {
                        Value::Foreign(foreign) => match foreign.as_any().downcast_ref::<FileRef>() {
                            Some(file) => file.0.clone(),
                            None => interp.show(arg)?,
                        },
                        other => interp.show(other)?,
                    };
                    if !path.is_empty() && !path.ends_with('/') {
                        path.push('/');
                    }
                    path.push_str(&part);
                }
                Ok(Some(Value::Foreign(Rc::new(FileRef(
                    path.trim_start_matches('/').to_owned(),
                )))))
            }
            "<get>separator" => Ok(Some(Value::text("/"))),
            _ => Ok(None),
        }
    }

    fn print(&self, text: &str) {
        let mut printed = self.printed.borrow_mut();
        if printed.len() < PRINTED {
            printed.push(text.chars().take(2000).collect());
        }
    }
}
