//! From a script to items: reads, runs within limits, builds the XML, maps it to native jobs.

use crate::dsl::{DslHost, Item as DslItem, Kind, Roots};
use crate::native;
use crate::run::{Interp, Limits, Throw, ThrowKind};
use crate::xml::print;
use herder_base::{Diagnostic, Location, Tree, normalise};
use herder_job::Job;
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

/// How scripts are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The directory below which `readFileFromWorkspace` and `new File` look; the tree's root if empty.
    pub root: String,
    /// The directory that a seed repository was put into, for files and classes that scripts name as if it were the root;
    /// none if empty.
    pub seed: String,
    /// Directories in which classes are looked for; if empty those that seed repositories use.
    pub classpath: Vec<String>,
    /// Variables the script finds: a seed job's parameters and environment.
    pub bindings: BTreeMap<String, String>,
    /// How many expressions and statements a script may evaluate; a generous number if none is given.
    pub steps: Option<u64>,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// A job of any kind.
    Job,
    /// A folder.
    Folder,
    /// A view.
    View,
}

/// A job, folder or view that a script makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its full name.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// The function that made it: `freeStyleJob`, `listView`, …
    pub made_by: String,
    /// Its `config.xml`.
    pub xml: String,
    /// What runs; views and folders have none.
    pub job: Option<Job>,
    /// What of it has no equivalent or is not known.
    pub warnings: Vec<Diagnostic>,
}

impl Item {
    /// The name of its file without ending: `/` is written `__`, and a view's begins with `VIEW__`.
    #[must_use]
    pub fn file_name(&self) -> String {
        let view = if self.kind == ItemKind::View { "VIEW__" } else { "" };
        format!("{view}{}", self.name.replace('/', "__"))
    }
}

/// What a script makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compiled {
    /// Jobs, folders and views, in the order in which they are made; of several with one name the last.
    pub items: Vec<Item>,
    /// What is wrong with the script, and what is worth knowing.
    pub diagnostics: Vec<Diagnostic>,
    /// Jobs the script asks to be started.
    pub queued: Vec<String>,
    /// What the script prints.
    pub output: Vec<String>,
}

/// Where classes are looked for, as seed repositories are laid out.
const CLASSPATH: &[&str] = &[
    "",
    "src/main/groovy",
    "src",
    "job-dsls/src/main/groovy",
    "job-dsls",
    "src/groovy",
    "jenkins-scripts/dsl",
    "lib",
];

/// The stack of the thread that a script runs in: its limits on nesting are reached long before.
const STACK: usize = 512 * 1024 * 1024;

/// Runs a script of a tree. Whatever it does, it ends: within limits, with what it has made so far and a diagnostic.
#[must_use]
pub fn compile(tree: &Tree, script: &str, options: &Options) -> Compiled {
    compile_all(tree, &[script], options).pop().unwrap_or_default()
}

/// Runs scripts of a tree, each for itself: what one does wrong leaves the others unharmed. The results are in the
/// order of the scripts.
#[must_use]
pub fn compile_all<S: AsRef<str> + Sync>(tree: &Tree, scripts: &[S], options: &Options) -> Vec<Compiled> {
    let failed = |script: &str, message: &str| Compiled {
        diagnostics: vec![Diagnostic::error("job-dsl", message).at(Location::new(script, 0, 0))],
        ..Compiled::default()
    };
    let work = || -> Vec<Compiled> {
        let one = |script: &S| {
            let script = script.as_ref();
            // The limits are meant to hold always; a fault of this program must still harm one script only.
            std::panic::catch_unwind(AssertUnwindSafe(|| compile_here(tree, script, options)))
                .unwrap_or_else(|_| failed(script, "the script stopped its reader"))
        };
        scripts.iter().map(one).collect()
    };
    match on_large_stack(work) {
        Ok(made) => made,
        Err(why) => scripts
            .iter()
            .map(|script| failed(script.as_ref(), &why))
            .collect(),
    }
}

/// Runs something on a thread with a large stack, since how deep a script may nest must not depend on who asks.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("job-dsl".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("no thread can be started to read it: {error}"))?;
        thread
            .join()
            .map_err(|_| "the script stopped its reader".to_owned())
    })
}

fn compile_here(tree: &Tree, script: &str, options: &Options) -> Compiled {
    let mut out = Compiled::default();
    let Some(text) = normalise(script).ok().and_then(|path| tree.bytes(&path)) else {
        let error = Diagnostic::error("job-dsl", "there is no such script").at(Location::new(script, 0, 0));
        out.diagnostics.push(error);
        return out;
    };
    let text = String::from_utf8_lossy(text).into_owned();
    let mut lines = Lines::default();
    lines.know(script, &text);
    let source = match Interp::load(script, &text) {
        Ok(source) => source,
        Err(error) => {
            let at = lines.locate(tree, script, error.at);
            out.diagnostics
                .push(Diagnostic::error("syntax", error.message).at(at));
            return out;
        }
    };
    let folder = script.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut classpath = options.classpath.clone();
    if classpath.is_empty() {
        let below = |dir: &str| match (options.root.as_str(), dir) {
            ("", dir) => dir.to_owned(),
            (root, "") => root.to_owned(),
            (root, dir) => format!("{root}/{dir}"),
        };
        classpath = CLASSPATH.iter().map(|dir| below(dir)).collect();
        if !options.seed.is_empty() {
            let seed = |dir: &&str| match *dir {
                "" => options.seed.clone(),
                dir => format!("{}/{dir}", options.seed),
            };
            classpath.extend(CLASSPATH.iter().map(seed));
        }
        classpath.push(folder.to_owned());
    }
    let roots = Roots {
        root: options.root.clone(),
        seed: options.seed.clone(),
    };
    let Some(host) = DslHost::new(tree.clone(), roots, classpath, options.bindings.clone()) else {
        out.diagnostics.push(Diagnostic::error(
            "job-dsl",
            "the tables of the DSL cannot be read",
        ));
        return out;
    };
    let host = Rc::new(host);
    let mut limits = Limits::default();
    if let Some(steps) = options.steps {
        limits.steps = steps;
    }
    let interp = Interp::new(Rc::<DslHost>::clone(&host), limits);
    if let Err(error) = interp.run(&source) {
        out.diagnostics.push(report(tree, script, &mut lines, &error));
    }
    let items: Vec<Rc<DslItem>> = host.items.borrow().clone();
    let mut made: Vec<Item> = Vec::new();
    for item in &items {
        match item.build(&interp) {
            Ok(node) => {
                let kind = match item.kind {
                    Kind::Job => ItemKind::Job,
                    Kind::Folder => ItemKind::Folder,
                    Kind::View => ItemKind::View,
                };
                let mut warnings = Vec::new();
                let at = lines.locate(tree, &item.at.0, item.at.1);
                let job = (kind == ItemKind::Job)
                    .then(|| native::map(&item.name, &node, &mut warnings))
                    .map(|job| placed(job, &at));
                for warning in &mut warnings {
                    warning.at.get_or_insert_with(|| at.clone());
                }
                let new = Item {
                    name: item.name.clone(),
                    kind,
                    made_by: item.spec.clone(),
                    xml: print(&node),
                    job,
                    warnings,
                };
                // A later item of the same name replaces the earlier one, as a second run would.
                match made.iter_mut().find(|old| {
                    old.name == new.name && (old.kind == ItemKind::View) == (kind == ItemKind::View)
                }) {
                    Some(old) => *old = new,
                    None => made.push(new),
                }
            }
            Err(error) => {
                let mut found = report(tree, script, &mut lines, &error);
                found.message = format!("{} `{}`: {}", item.spec, item.name, found.message);
                out.diagnostics.push(found);
            }
        }
    }
    for remark in host.remarks.borrow().iter() {
        let at = match &remark.at {
            Some((path, at)) => lines.locate(tree, path, *at),
            None => Location::new(script, 0, 0),
        };
        let found = match remark.code {
            "shell-line" => Diagnostic::note(remark.code, remark.message.clone()),
            _ => Diagnostic::warning(remark.code, remark.message.clone()),
        }
        .at(at);
        let owner = remark
            .item
            .as_ref()
            .and_then(|name| made.iter_mut().find(|item| item.name == *name));
        match owner {
            Some(item) => item.warnings.push(found),
            None => out.diagnostics.push(found),
        }
    }
    out.items = made;
    out.queued.clone_from(&host.queued.borrow());
    out.output.clone_from(&host.printed.borrow());
    drop(interp);
    out
}

/// The job with the place where it was written, also in what refuses it.
pub(crate) fn placed(mut job: Job, at: &Location) -> Job {
    for why in std::mem::take(&mut job.refused) {
        job.refuse(at, &why);
    }
    job.at = at.clone();
    job
}

fn report(tree: &Tree, script: &str, lines: &mut Lines, error: &Throw) -> Diagnostic {
    let at = match &error.at {
        Some((path, at)) => lines.locate(tree, path, *at),
        None => Location::new(script, 0, 0),
    };
    let (code, hint) = match &error.kind {
        ThrowKind::Limit(_) => ("limit", Some("the other scripts' jobs are unharmed")),
        ThrowKind::NoMethod { .. } => ("unknown-method", None),
        ThrowKind::NoProperty { .. } => (
            "unknown-property",
            Some("a seed job's parameters are given as bindings"),
        ),
        ThrowKind::Exception(_) => ("script", None),
    };
    let found = Diagnostic::error(code, error.message()).at(at);
    match hint {
        Some(hint) => found.hint(hint),
        None => found,
    }
}

/// Byte offsets to lines and columns.
#[derive(Default)]
struct Lines(HashMap<String, Vec<usize>>);

impl Lines {
    fn know(&mut self, path: &str, text: &str) {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        self.0.insert(path.to_owned(), starts);
    }

    fn locate(&mut self, tree: &Tree, path: &str, at: u32) -> Location {
        if !self.0.contains_key(path)
            && let Some(text) = tree.text(path)
        {
            self.know(path, text);
        }
        let at = usize::try_from(at).unwrap_or_default();
        let number = |value: usize| u32::try_from(value).unwrap_or_default();
        match self.0.get(path) {
            Some(starts) => {
                let line = starts.partition_point(|start| *start <= at).max(1);
                let start = starts.get(line - 1).copied().unwrap_or_default();
                Location::new(path, number(line), number(at - start + 1))
            }
            None => Location::new(path, 0, 0),
        }
    }
}
