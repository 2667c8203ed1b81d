//! Every method of the DSL, one call each, and what it makes: `tests/surface.tsv` has a line per method and overload
//! (context, method, hash of the XML, script). The XML behind each hash was the same, element by element, as that of
//! upstream's own engine when the line was written. The table in `docs/jobdsl.md` is measured here too;
//! `UPDATE=1 cargo test -p herder-jobdsl --test surface` writes it anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

use herder_base::Tree;
use herder_jobdsl::{Compiled, Options, compile_all};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

struct Line {
    context: String,
    method: String,
    hash: String,
    script: String,
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string(file("tests/surface.tsv")).unwrap();
    text.lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            Line {
                context: parts[0].to_owned(),
                method: parts[1].to_owned(),
                hash: parts[2].to_owned(),
                script: parts[3].to_owned(),
            }
        })
        .collect()
}

fn compiled(lines: &[Line]) -> Vec<Compiled> {
    let names: Vec<String> = (0..lines.len()).map(|index| format!("{index}.groovy")).collect();
    let files = names
        .iter()
        .zip(lines)
        .map(|(name, line)| (name.as_str(), line.script.as_str()));
    let tree = Tree::from_texts(files).unwrap();
    compile_all(&tree, &names, &Options::default())
}

/// FNV-1a: only has to notice changes.
fn hash(made: &Compiled) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for item in &made.items {
        for byte in item.file_name().bytes().chain(item.xml.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[test]
fn every_method_makes_what_upstream_makes() {
    let lines = lines();
    let mut wrong = Vec::new();
    let mut anew = String::new();
    for (line, made) in lines.iter().zip(compiled(&lines)) {
        let found = hash(&made);
        if found != line.hash || !made.diagnostics.is_empty() {
            wrong.push(format!(
                "{}.{}: {} {:?}",
                line.context, line.method, line.script, made.diagnostics
            ));
        }
        writeln!(
            anew,
            "{}\t{}\t{found}\t{}",
            line.context, line.method, line.script
        )
        .unwrap();
    }
    if std::env::var("UPDATE").as_deref() == Ok("1") {
        std::fs::write(file("tests/surface.tsv"), anew).unwrap();
        return;
    }
    println!("{} methods and overloads", lines.len());
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}

/// How many methods of a context there are, run, are kept, and are not known.
#[derive(Default)]
struct Row {
    methods: usize,
    carried: usize,
    kept: usize,
    unknown: Vec<String>,
}

#[test]
fn the_table_in_the_manual_is_measured() {
    let lines = lines();
    let mut methods: BTreeMap<(String, String), [bool; 2]> = BTreeMap::new();
    for (line, made) in lines.iter().zip(compiled(&lines)) {
        let has = |code: &str| {
            made.items
                .iter()
                .flat_map(|item| &item.warnings)
                .any(|warning| warning.code == code)
        };
        let entry = methods
            .entry((line.context.clone(), line.method.clone()))
            .or_default();
        entry[0] |=
            has("no-equivalent") || has("refused") || made.items.iter().any(|item| item.job.is_none());
        entry[1] |= has("unknown-method");
    }
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for ((context, method), [kept, unknown]) in &methods {
        let row = rows.entry(context.as_str()).or_default();
        row.methods += 1;
        if *unknown {
            row.unknown.push(method.clone());
        } else if *kept {
            row.kept += 1;
        } else {
            row.carried += 1;
        }
    }
    let mut table = String::from(
        "| context | methods | carried over | kept as XML only | unknown |\n|---|--:|--:|--:|---|\n",
    );
    let mut total = Row::default();
    for (context, row) in &rows {
        writeln!(
            table,
            "| {context} | {} | {} | {} | {} |",
            row.methods,
            row.carried,
            row.kept,
            row.unknown.join(", ")
        )
        .unwrap();
        total.methods += row.methods;
        total.carried += row.carried;
        total.kept += row.kept;
        total.unknown.extend(row.unknown.clone());
    }
    writeln!(
        table,
        "| **all {} contexts** | {} | {} | {} | {} |",
        rows.len(),
        total.methods,
        total.carried,
        total.kept,
        total.unknown.len()
    )
    .unwrap();
    let path = file("../../docs/jobdsl.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- methods -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end of methods -->\n").unwrap();
    let wanted = format!("{head}<!-- methods -->\n{table}<!-- end of methods -->\n{tail}");
    if std::env::var("UPDATE").as_deref() == Ok("1") {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        text == wanted,
        "docs/jobdsl.md is out of date: UPDATE=1 cargo test -p herder-jobdsl --test surface"
    );
}
