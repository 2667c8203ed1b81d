//! Go's own tests of text/template, replayed: the package's tests run with hooks that write down every parse and every
//! execution with data and outcome, and each must come out the same here. Nothing of Go's is kept in this repository.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "judge/data.rs"]
mod data;
#[path = "judge/mod.rs"]
mod judge;

use base64::Engine as _;
use herder_template::engine::{Budget, Execution, FuncMap, FunctionCheck, MissingKey, Trees};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Cases that are left out by what they do, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("{{slice .SICap 6 10}}", "capacity of slices beyond their length"),
    (
        "{{slice .SICap 6 10 10}}",
        "capacity of slices beyond their length",
    ),
    (
        "{{if eq .Ptr 1}}true{{else}}false{{end}}",
        "pointers to plain values, which are what they point to here",
    ),
    (
        "{{if eq .Ptr .NegOne}}true{{else}}false{{end}}",
        "pointers to plain values, which are what they point to here",
    ),
    (
        "{{if eq .Ptr .NilPtr}}true{{else}}false{{end}}",
        "pointers to plain values, which are what they point to here",
    ),
    (
        "{{if eq .Map .V1}}true{{else}}false{{end}}",
        "comparing Go structs",
    ),
    (
        "{{if eq .V1 .V2}}true{{else}}false{{end}}",
        "comparing Go structs",
    ),
];

/// Replaces once, and only if it is there: the hooks must not get lost in a new version of Go.
fn replaced(source: &str, from: &str, to: &str) -> String {
    assert_eq!(source.matches(from).count(), 1, "Go has no `{from}` any more");
    source.replace(from, to)
}

/// Runs the package's tests and gives what they did.
fn recorded(go: &judge::Go) -> Vec<Json> {
    const PARSE: &str = "func (t *Template) Parse(text string) (*Template, error) {";
    const ADD: &str = "func (t *Template) AddParseTree(name string, tree *parse.Tree) (*Template, error) {";
    const CLONE: &str = "func (t *Template) Clone() (*Template, error) {";
    const EXECUTE: &str = "func (t *Template) execute(wr io.Writer, data any) (err error) {";
    const TREE: &str = "func (t *Tree) Parse(text, leftDelim, rightDelim string, treeSet map[string]*Tree, funcs ...map[string]any) (tree *Tree, err error) {";
    let dir = tempfile::tempdir().unwrap();
    let package = go.root.join("src/text/template");
    let read = |name: &str| std::fs::read_to_string(package.join(name)).unwrap();
    let hooked = |head: &str, body: &str, name: &str, inner: &str| {
        format!("{head}\n{body}\n}}\n\n{}", head.replace(name, inner))
    };
    let template = read("template.go");
    let template = replaced(
        &template,
        "if _, err := t.AddParseTree(name, tree)",
        "if _, err := t.addHooked(name, tree)",
    );
    let template = replaced(
        &template,
        PARSE,
        &hooked(
            PARSE,
            "r, err := t.parseHooked(text); herderParse(t, text, err); return r, err",
            ") Parse(",
            ") parseHooked(",
        ),
    );
    let template = replaced(
        &template,
        ADD,
        &hooked(
            ADD,
            "r, err := t.addHooked(name, tree); herderTree(t, name, tree); return r, err",
            "AddParseTree",
            "addHooked",
        ),
    );
    let template = replaced(
        &template,
        CLONE,
        &hooked(
            CLONE,
            "r, err := t.cloneHooked(); herderClone(t, r); return r, err",
            ") Clone(",
            ") cloneHooked(",
        ),
    );
    let exec = replaced(
        &read("exec.go"),
        EXECUTE,
        &hooked(
            EXECUTE,
            "return herderExecute(t, wr, data)",
            ") execute(",
            ") executeHooked(",
        ),
    );
    let parse = replaced(
        &read("parse/parse.go"),
        TREE,
        &hooked(
            TREE,
            "return herderParse(t, text, leftDelim, rightDelim, treeSet, funcs)",
            ") Parse(",
            ") parseHooked(",
        ),
    );
    let mut overlay = serde_json::Map::new();
    for (place, text) in [
        ("template.go", template.as_str()),
        ("exec.go", &exec),
        ("parse/parse.go", &parse),
        ("herder_hook.go", include_str!("judge/template_hook.go.txt")),
        ("parse/herder_hook.go", include_str!("judge/parse_hook.go.txt")),
    ] {
        let file = dir.path().join(place.replace('/', "-"));
        std::fs::write(&file, text).unwrap();
        overlay.insert(package.join(place).display().to_string(), json!(file));
    }
    std::fs::write(
        dir.path().join("overlay.json"),
        json!({"Replace": overlay}).to_string(),
    )
    .unwrap();
    let log = dir.path().join("log");
    let output = go
        .run(dir.path())
        .args([
            "test",
            "-count=1",
            "-p=1",
            "-overlay",
            "overlay.json",
            "text/template",
            "text/template/parse",
        ])
        .env("HERDER_LOG", &log)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let log = std::fs::read_to_string(log).unwrap();
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

#[derive(Default)]
struct Tally {
    same: usize,
    messages: usize,
    messages_same: usize,
    left_out: BTreeMap<String, BTreeSet<String>>,
    different: Vec<String>,
}

impl Tally {
    fn leave(&mut self, class: &str, case: &str) {
        self.left_out
            .entry(class.to_owned())
            .or_default()
            .insert(case.to_owned());
    }

    fn message(&mut self, ours: &str, theirs: &str) {
        self.messages += 1;
        self.messages_same += usize::from(ours == theirs);
        if ours != theirs && std::env::var_os("HERDER_SHOW").is_some() {
            eprintln!("  Go {theirs}\n  us {ours}");
        }
    }

    fn finish(self, what: &str) {
        let out: usize = self.left_out.values().map(BTreeSet::len).sum();
        eprintln!(
            "{what}: {} the same, {} different, {out} left out; of {} error messages {} are the same to the letter",
            self.same,
            self.different.len(),
            self.messages,
            self.messages_same,
        );
        for (class, cases) in &self.left_out {
            eprintln!("  left out, {class}: {}", cases.len());
        }
        assert!(self.different.is_empty(), "{}", self.different.join("\n"));
        assert!(self.same > 100, "the tests recorded next to nothing");
    }
}

#[test]
fn go_tests_come_out_the_same() {
    let Some(go) = judge::go() else { return };
    let entries = recorded(&go);
    // Deep recursion is refused in time, which needs some stack in a build without optimisation.
    let run = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        let mut parses = Tally::default();
        let mut executions = Tally::default();
        let mut seen = BTreeSet::new();
        for entry in entries {
            if !seen.insert(entry.to_string()) {
                continue;
            }
            match text(&entry, "kind") {
                "parse" => parse(&entry, &mut parses),
                _ => execute(&entry, &mut executions),
            }
        }
        parses.finish("parses of Go's own tests");
        executions.finish("executions of Go's own tests");
    });
    run.unwrap().join().unwrap();
}

fn known(entry: &Json) -> impl Fn(&str) -> FunctionCheck {
    let names: BTreeSet<String> = entry["functions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect();
    move |name| {
        if names.contains(name) {
            FunctionCheck::Known
        } else {
            FunctionCheck::Unknown
        }
    }
}

fn parse(entry: &Json, tally: &mut Tally) {
    let source = text(entry, "text");
    if entry["mode"] != 0 {
        return tally.leave("modes for tools that parse only", source);
    }
    if text(entry, "error").contains("max expression depth") {
        return tally.leave("a limit of nesting that the test itself lowers to three", source);
    }
    let functions = known(entry);
    if functions("break") == FunctionCheck::Known || functions("continue") == FunctionCheck::Known {
        return tally.leave("functions named break and continue", source);
    }
    let mut trees = Trees::default();
    let result = trees.parse(
        text(entry, "name"),
        source,
        (text(entry, "left"), text(entry, "right")),
        &functions,
    );
    let (left, right) = (text(entry, "left"), text(entry, "right"));
    let same = match (&result, entry["error"].as_str()) {
        (Err(error), Some(theirs)) => {
            tally.message(&error.to_string(), theirs);
            true
        }
        // Trees are printed with the usual delimiters, and only for messages.
        (Ok(()), None) if !matches!((left, right), ("", "") | ("{{", "}}")) => true,
        (Ok(()), None) => entry["trees"].as_object().unwrap().iter().all(|(name, tree)| {
            // A set that had trees already may keep one of the same name.
            entry["set"] != 0 || trees.source(name).as_deref() == tree.as_str()
        }),
        _ => false,
    };
    if same {
        tally.same += 1;
    } else {
        let ours = result.map(|()| trees.names().map(|n| trees.source(n)).collect::<Vec<_>>());
        tally.different.push(format!(
            "{source:?}\n  Go {} {}\n  us {ours:?}",
            entry["error"], entry["trees"]
        ));
    }
}

fn execute(entry: &Json, tally: &mut Tally) {
    let sources = entry["sources"].as_array().cloned().unwrap_or_default();
    let case = sources
        .last()
        .map_or("", |source| text(source, "Text"))
        .to_owned();
    if let Some((_, class)) = LEFT_OUT.iter().find(|(source, _)| *source == case) {
        return tally.leave(class, &case);
    }
    let twice = |source: &&Json| text(source, "Name") == text(entry, "name");
    if case.is_empty() && sources.iter().filter(twice).count() > 1 {
        return tally.leave("two template objects of one name in a set", &case);
    }
    if sources.iter().any(|source| source["Tree"] == true) {
        return tally.leave("trees that a program puts together", &case);
    }
    if entry["error"].is_string() && entry["executing"] == false {
        return tally.leave("errors of a program's own writer", &case);
    }
    let mut foreign = Vec::new();
    let data = data::value(&entry["data"], &mut foreign);
    if let Some(class) = foreign.first() {
        return tally.leave(class, &case);
    }
    let mut functions = FuncMap::new();
    for name in entry["functions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
    {
        match data::function(name) {
            Some(function) => {
                functions.insert(name.to_owned(), function);
            }
            None if case.contains(name) => {
                return tally.leave("functions of one test's own", &case);
            }
            None => {}
        }
    }
    let mut trees = Trees::default();
    let check = |name: &str| {
        let builtin =
            "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery";
        if functions.contains_key(name) || builtin.split(' ').any(|known| known == name) {
            FunctionCheck::Known
        } else {
            FunctionCheck::Unknown
        }
    };
    for source in sources.iter().filter(|source| source["Failed"] == false) {
        let delimiters = (text(source, "Left"), text(source, "Right"));
        if let Err(error) = trees.parse(text(source, "Name"), text(source, "Text"), delimiters, &check) {
            tally.different.push(format!("{case}\n  does not parse: {error}"));
            return;
        }
    }
    let run = Execution {
        trees: &trees,
        functions: &functions,
        budget: &Budget::default(),
        in_place: |_| false,
        missing_key: match entry["missing"].as_u64() {
            Some(1) => MissingKey::Zero,
            Some(2) => MissingKey::Error,
            _ => MissingKey::Invalid,
        },
    };
    let theirs = base64::engine::general_purpose::STANDARD
        .decode(text(entry, "output"))
        .unwrap();
    let result = run.execute(text(entry, "name"), &data);
    let same = match (&result, entry["error"].as_str()) {
        (Err(error), Some(message)) => {
            tally.message(&error.to_string(), message);
            true
        }
        (Ok(ours), None) => *ours == theirs,
        _ => false,
    };
    if same {
        tally.same += 1;
    } else {
        let ours = result
            .map(|out| String::from_utf8_lossy(&out).into_owned())
            .map_err(|e| e.to_string());
        tally.different.push(format!(
            "{case}\n  Go {:?} {}\n  us {ours:?}",
            String::from_utf8_lossy(&theirs),
            entry["error"]
        ));
    }
}
