//! The scripts in `tests/cases`, which cover the language and every area of the DSL: what they print, make and say.
//! `INSTA_UPDATE=always cargo test -p herder-jobdsl --test cases` writes it anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use herder_base::{Commit, Tree, TreeBuilder};
use herder_jobdsl::{Compiled, Options, compile};
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn add(builder: &mut TreeBuilder, dir: &Path, below: &str) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            add(builder, &entry.path(), &format!("{path}/"));
        } else {
            builder.insert(&path, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn tree() -> Tree {
    let mut builder = TreeBuilder::default();
    add(
        &mut builder,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"),
        "",
    );
    builder.build(Commit::default())
}

fn made(name: &str) -> Compiled {
    let options = Options {
        bindings: [("STAGE".to_owned(), "test".to_owned())].into(),
        ..Options::default()
    };
    compile(&tree(), &format!("{name}.groovy"), &options)
}

fn show(made: &Compiled) -> String {
    let mut out = String::new();
    for line in &made.output {
        writeln!(out, "{line}").unwrap();
    }
    for found in &made.diagnostics {
        writeln!(out, "{found}").unwrap();
    }
    for name in &made.queued {
        writeln!(out, "queued: {name}").unwrap();
    }
    for item in &made.items {
        writeln!(out, "\n## {} ({})", item.file_name(), item.made_by).unwrap();
        for warning in &item.warnings {
            writeln!(out, "{warning}").unwrap();
        }
        if let Some(job) = &item.job {
            writeln!(out, "steps: {:?}\ntriggers: {:?}", job.steps, job.triggers).unwrap();
        }
        writeln!(out, "{}", item.xml).unwrap();
    }
    out
}

#[test]
fn language() {
    insta::assert_snapshot!(show(&made("language")));
}

#[test]
fn freestyle() {
    insta::assert_snapshot!(show(&made("freestyle")));
}

#[test]
fn other_items() {
    insta::assert_snapshot!(show(&made("other_items")));
}

#[test]
fn classes_and_data() {
    insta::assert_snapshot!(show(&made("classes_and_data")));
}

#[test]
fn unknown() {
    insta::assert_snapshot!(show(&made("unknown")));
}
