//! Classes of scripts, their objects, and how names of classes are found.

use super::interp::{Interp, Source};
use super::limits::EACH;
use super::scope::{Env, Scope};
use super::throw::Throw;
use super::value::Value;
use crate::syntax::{Args, ClassDef, ClassKind, MethodDef, Name, TypeName};
use indexmap::IndexMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A class of a script.
pub(crate) struct Class {
    pub(crate) name: Name,
    pub(crate) def: Rc<ClassDef>,
    pub(crate) source: Rc<Source>,
    pub(crate) outer: Option<Rc<Class>>,
    pub(crate) statics: RefCell<IndexMap<Name, Value>>,
    pub(crate) constants: RefCell<Vec<Value>>,
    parents: RefCell<Option<Vec<Rc<Class>>>>,
    ready: Cell<bool>,
}

/// An object of a class of a script.
pub(crate) struct Object {
    pub(crate) class: Rc<Class>,
    pub(crate) fields: RefCell<IndexMap<Name, Value>>,
    /// The object around it, for inner and anonymous classes.
    pub(crate) around: Option<Env>,
}

impl Class {
    /// Whether it is, or is below, a class of this name.
    pub(crate) fn is_a(&self, interp: &Interp, name: &str) -> bool {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        *self.name == *name
            || last(&self.name) == last(name)
            || self
                .def
                .parent
                .iter()
                .chain(&self.def.interfaces)
                .any(|t| last(&t.name) == last(name))
            || self
                .parents(interp)
                .iter()
                .any(|parent| parent.is_a(interp, name))
    }

    /// Traits (the last named first), interfaces, then the class it extends.
    pub(crate) fn parents(&self, interp: &Interp) -> Vec<Rc<Class>> {
        if let Some(parents) = &*self.parents.borrow() {
            return parents.clone();
        }
        // Set before looking: a class that extends itself finds nobody.
        *self.parents.borrow_mut() = Some(Vec::new());
        let mut parents = Vec::new();
        for other in self.def.interfaces.iter().rev().chain(&self.def.parent) {
            if let Some(class) = interp.find_class(&other.name, &self.source)
                && !std::ptr::eq(&*class, self)
            {
                parents.push(class);
            }
        }
        *self.parents.borrow_mut() = Some(parents.clone());
        parents
    }

    /// Its methods of a name, its own first.
    pub(crate) fn methods(
        self: &Rc<Self>,
        interp: &Interp,
        name: &str,
        out: &mut Vec<(Rc<Class>, Rc<MethodDef>)>,
    ) {
        for method in &self.def.methods {
            if *method.name == *name && !method.is_abstract {
                out.push((Rc::clone(self), Rc::clone(method)));
            }
        }
        if out.len() < 200 {
            for parent in self.parents(interp) {
                parent.methods(interp, name, out);
            }
        }
    }

    /// A static value, its own or inherited.
    pub(crate) fn static_value(self: &Rc<Self>, interp: &Interp, name: &str) -> Result<Option<Value>, Throw> {
        interp.prepare(self)?;
        if let Some(value) = self.statics.borrow().get(name) {
            return Ok(Some(value.clone()));
        }
        for parent in self.parents(interp) {
            if let Some(value) = parent.static_value(interp, name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Whether it has a field of that name for each object.
    pub(crate) fn has_field(&self, interp: &Interp, name: &str) -> bool {
        self.def
            .fields
            .iter()
            .any(|field| *field.name == *name && !field.is_static)
            || self
                .parents(interp)
                .iter()
                .any(|parent| parent.has_field(interp, name))
    }
}

impl Interp {
    /// Makes a class known.
    pub(super) fn declare_class(
        &self,
        def: &Rc<ClassDef>,
        source: &Rc<Source>,
        outer: Option<&Rc<Class>>,
    ) -> Rc<Class> {
        let class = Rc::new(Class {
            name: def.name.clone(),
            def: Rc::clone(def),
            source: Rc::clone(source),
            outer: outer.cloned(),
            statics: RefCell::default(),
            constants: RefCell::default(),
            parents: RefCell::new(None),
            ready: Cell::new(false),
        });
        let package = &source.module.package;
        let full = if package.is_empty() {
            def.name.to_string()
        } else {
            format!("{package}.{}", def.name)
        };
        let mut classes = self.classes.borrow_mut();
        classes.insert(format!("{}#{}", source.path, def.name), Some(Rc::clone(&class)));
        classes.insert(full, Some(Rc::clone(&class)));
        if let Some(outer) = outer {
            classes.insert(format!("{}.{}", outer.name, def.name), Some(Rc::clone(&class)));
            classes.insert(
                format!("{package}.{}.{}", outer.name, def.name),
                Some(Rc::clone(&class)),
            );
        }
        drop(classes);
        for inner in &def.inner {
            self.declare_class(inner, source, Some(&class));
        }
        class
    }

    /// The class that a name means in a file.
    pub(crate) fn find_class(&self, name: &str, source: &Rc<Source>) -> Option<Rc<Class>> {
        let here = format!("{}#{name}", source.path);
        if let Some(found) = self.classes.borrow().get(&here) {
            return found.clone();
        }
        let found = self.search_class(name, source);
        self.classes.borrow_mut().insert(here, found.clone());
        found
    }

    fn search_class(&self, name: &str, source: &Rc<Source>) -> Option<Rc<Class>> {
        let (first, rest) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
        for import in source.module.imports.iter().filter(|import| !import.star) {
            let last = import.path.rsplit('.').next().unwrap_or_default();
            if import.alias.as_deref().unwrap_or(last) == first {
                let path = match rest {
                    Some(rest) => format!("{}.{rest}", import.path),
                    None => import.path.clone(),
                };
                if let Some(class) = self.load_class(&path) {
                    return Some(class);
                }
            }
        }
        let package = &source.module.package;
        if !package.is_empty()
            && let Some(class) = self.load_class(&format!("{package}.{name}"))
        {
            return Some(class);
        }
        for import in source.module.imports.iter().filter(|import| import.star) {
            if let Some(class) = self.load_class(&format!("{}.{name}", import.path)) {
                return Some(class);
            }
        }
        if name.contains('.') || package.is_empty() {
            self.load_class(name)
        } else {
            None
        }
    }

    /// A class by its full name, read from its file if that is not done yet.
    pub(super) fn load_class(&self, full: &str) -> Option<Rc<Class>> {
        if let Some(known) = self.classes.borrow().get(full) {
            return known.clone();
        }
        // Set before reading: files that import each other end here.
        self.classes.borrow_mut().insert(full.to_owned(), None);
        let mut found = None;
        if let Some((text, path)) = self.host.class_file(&full.replace('.', "/")) {
            match Self::load(&path, &text) {
                Ok(source) => {
                    for def in &source.module.classes {
                        self.declare_class(def, &source, None);
                    }
                    found = self.classes.borrow().get(full).cloned().flatten();
                    if found.is_none() {
                        // The file's package is not what its place says.
                        let last = full.rsplit('.').next().unwrap_or(full);
                        let key = format!("{path}#{last}");
                        found = self.classes.borrow().get(&key).cloned().flatten();
                    }
                }
                Err(error) => {
                    let line = text
                        .get(..usize::try_from(error.at).unwrap_or_default())
                        .unwrap_or_default();
                    let line = line.matches('\n').count() + 1;
                    self.host.print(&format!("{path}:{line}: {}", error.message));
                }
            }
        } else if let Some((outer, inner)) = full.rsplit_once('.')
            && outer
                .rsplit('.')
                .next()
                .is_some_and(|last| last.starts_with(char::is_uppercase))
            && self.load_class(outer).is_some()
        {
            let outer = outer.rsplit('.').next().unwrap_or(outer);
            found = self
                .classes
                .borrow()
                .get(&format!("{outer}.{inner}"))
                .cloned()
                .flatten();
        }
        self.classes.borrow_mut().insert(full.to_owned(), found.clone());
        found
    }

    /// Sets a class's static values, once.
    pub(super) fn prepare(&self, class: &Rc<Class>) -> Result<(), Throw> {
        if class.ready.replace(true) {
            return Ok(());
        }
        let env = self.class_env(class, Value::Class(Rc::clone(class)));
        for (index, (name, args)) in (0i64..).zip(&class.def.constants) {
            let object = self.construct_with(class, args, &env)?;
            if let Value::Object(object) = &object {
                let mut fields = object.fields.borrow_mut();
                fields.insert("<name>".into(), Value::Text(name.clone()));
                fields.insert("<ordinal>".into(), Value::Int(index));
            }
            class.constants.borrow_mut().push(object.clone());
            class.statics.borrow_mut().insert(name.clone(), object);
        }
        for field in class.def.fields.iter().filter(|field| field.is_static) {
            let value = match &field.value {
                Some(value) => self
                    .eval(value, &env)
                    .map_err(|e| e.or_at(&class.source.path, field.at))?,
                None => zero(field.kind.as_ref()),
            };
            class.statics.borrow_mut().insert(field.name.clone(), value);
        }
        for (_, block) in class.def.initialisers.iter().filter(|(is_static, _)| *is_static) {
            self.body(block, &env)?;
        }
        Ok(())
    }

    pub(super) fn class_env(&self, class: &Rc<Class>, this: Value) -> Env {
        let scope = Scope::root();
        scope.declare(&"<class>".into(), Value::Class(Rc::clone(class)));
        Env {
            scope,
            this,
            closure: None,
            source: Rc::clone(&class.source),
        }
    }

    fn construct_with(&self, class: &Rc<Class>, args: &Args, env: &Env) -> Result<Value, Throw> {
        let args = self.arguments(args, env)?;
        self.construct(class, args, None)
    }

    /// `new Class(args)`.
    pub(super) fn construct(
        &self,
        class: &Rc<Class>,
        args: Vec<Value>,
        around: Option<Env>,
    ) -> Result<Value, Throw> {
        self.prepare(class)?;
        self.spend(EACH)?;
        let object = Rc::new(Object {
            class: Rc::clone(class),
            fields: RefCell::default(),
            around,
        });
        let this = Value::Object(Rc::clone(&object));
        self.deeper(|| self.initialise(class, &this, &object))?;
        self.deeper(|| self.constructor(class, &this, &object, args))?;
        Ok(this)
    }

    /// Sets the fields to their first values, those of parents before.
    fn initialise(&self, class: &Rc<Class>, this: &Value, object: &Rc<Object>) -> Result<(), Throw> {
        for parent in class.parents(self).into_iter().rev() {
            self.prepare(&parent)?;
            self.initialise(&parent, this, object)?;
        }
        let env = match &object.around {
            Some(around) => {
                let env = around.inner();
                env.scope
                    .declare(&"<class>".into(), Value::Class(Rc::clone(class)));
                Env {
                    this: this.clone(),
                    ..env
                }
            }
            None => self.class_env(class, this.clone()),
        };
        for field in class.def.fields.iter().filter(|field| !field.is_static) {
            let value = match &field.value {
                Some(value) => {
                    let value = self
                        .eval(value, &env)
                        .map_err(|e| e.or_at(&class.source.path, field.at))?;
                    match &field.kind {
                        Some(kind) => self.coerce(value, kind, &env)?,
                        None => value,
                    }
                }
                None => zero(field.kind.as_ref()),
            };
            object.fields.borrow_mut().insert(field.name.clone(), value);
        }
        for (_, block) in class.def.initialisers.iter().filter(|(is_static, _)| !*is_static) {
            self.body(block, &env)?;
        }
        Ok(())
    }

    /// Runs the constructor that fits; without one, named arguments set properties.
    pub(super) fn constructor(
        &self,
        class: &Rc<Class>,
        this: &Value,
        object: &Rc<Object>,
        args: Vec<Value>,
    ) -> Result<(), Throw> {
        let all: Vec<(Rc<Class>, Rc<MethodDef>)> = class
            .def
            .constructors
            .iter()
            .map(|constructor| (Rc::clone(class), Rc::clone(constructor)))
            .collect();
        if let Some((class, constructor)) = self.choose(&all, &args) {
            let mut env = self.class_env(&class, this.clone());
            if let Some(around) = &object.around {
                env.closure.clone_from(&around.closure);
            }
            env.scope.declare(&"<constructing>".into(), Value::Bool(true));
            // A parent's constructor without arguments runs unless the body names another.
            let explicit = constructor.body.first().is_some_and(|first| {
                matches!(&first.kind, crate::syntax::StmtKind::Expr(crate::syntax::Expr {
                    kind: crate::syntax::ExprKind::Call { of: Some(of), name, .. }, ..
                }) if matches!(of.kind, crate::syntax::ExprKind::Super | crate::syntax::ExprKind::This)
                    && matches!(&name.kind, crate::syntax::ExprKind::Text(name) if &**name == "<init>"))
            });
            if !explicit {
                self.parent_constructor(&class, this, object, Vec::new())?;
            }
            self.invoke(&constructor, args, env)?;
            return Ok(());
        }
        // Names and values go to an object that is made without arguments.
        let bare = class.def.constructors.is_empty() || self.choose(&all, &[]).is_some();
        if let [Value::Map(map)] = args.as_slice()
            && bare
        {
            if class.def.constructors.is_empty() {
                self.parent_constructor(class, this, object, Vec::new())?;
            } else {
                self.constructor(class, this, object, Vec::new())?;
            }
            for (key, value) in map.pairs() {
                self.set_property(this, &key.value().show(), value)?;
            }
            return Ok(());
        }
        let positional = class
            .def
            .annotations
            .iter()
            .any(|name| matches!(&**name, "TupleConstructor" | "Canonical" | "Immutable"));
        if positional && args.len() <= class.def.fields.len() {
            for (field, value) in class.def.fields.iter().filter(|field| !field.is_static).zip(args) {
                object.fields.borrow_mut().insert(field.name.clone(), value);
            }
            return Ok(());
        }
        if class.def.constructors.is_empty() {
            return self.parent_constructor(class, this, object, args);
        }
        Err(Throw::no_method("<init>", class.name.to_string(), &args))
    }

    pub(super) fn parent_constructor(
        &self,
        class: &Rc<Class>,
        this: &Value,
        object: &Rc<Object>,
        args: Vec<Value>,
    ) -> Result<(), Throw> {
        let parent = class
            .def
            .parent
            .as_ref()
            .and_then(|parent| self.find_class(&parent.name, &class.source));
        match parent {
            Some(parent) => self.deeper(|| self.constructor(&parent, this, object, args)),
            None if self.misses_parent(class) => {
                let parent = class.def.parent.as_ref().map_or("", |parent| &*parent.name);
                Err(Throw::exception(
                    "ClassNotFound",
                    format!(
                        "the class `{parent}`, which `{}` extends, is neither in the repository nor known here",
                        class.name
                    ),
                ))
            }
            None if args.is_empty() => Ok(()),
            None => {
                // A parent of the platform: exceptions keep their message, others what they are given.
                if let Some(message) = args.first() {
                    object
                        .fields
                        .borrow_mut()
                        .insert("message".into(), message.clone());
                }
                Ok(())
            }
        }
    }
}

/// Packages of the platform: what classes of theirs do is not known here, but they are not missing.
const PLATFORM: &[&str] = &[
    "java.",
    "javax.",
    "groovy.",
    "javaposse.",
    "hudson.",
    "jenkins.",
    "org.jenkinsci.",
    "com.cloudbees.",
    "org.codehaus.",
    "org.apache.",
    "spock.",
];

impl Interp {
    /// Whether a class extends one that is nowhere.
    fn misses_parent(&self, class: &Class) -> bool {
        let Some(parent) = &class.def.parent else {
            return false;
        };
        let name = parent.name.rsplit('.').next().unwrap_or_default();
        let known = super::variables::is_known_class(name)
            || ["Exception", "Error", "Script", "Object", "Closure", "Base"]
                .iter()
                .any(|end| name.ends_with(end))
            || PLATFORM.iter().any(|package| parent.name.starts_with(package));
        let imports = &class.source.module.imports;
        !known
            && !imports.iter().any(|import| {
                let platform = PLATFORM.iter().any(|package| import.path.starts_with(package));
                platform && (import.star || import.path.rsplit('.').next() == Some(name))
            })
    }
}

/// What a field of a type is before it is set.
pub(super) fn zero(kind: Option<&TypeName>) -> Value {
    match kind.filter(|kind| !kind.array).map(|kind| &*kind.name) {
        Some("int" | "long" | "short" | "byte") => Value::Int(0),
        Some("boolean") => Value::Bool(false),
        Some("double" | "float") => Value::Decimal(0.0),
        _ => Value::Null,
    }
}

/// Whether it is an enumeration.
pub(super) fn is_enum(class: &Class) -> bool {
    class.def.kind == ClassKind::Enum
}
