//! Real seed repositories and upstream's documentation examples, against the XML that upstream's own engine makes of
//! them, where the corpora are beside the repository.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

use herder_base::{Commit, Tree, TreeBuilder};
use herder_jobdsl::{Options, check_syntax, compile_all, diff};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DOCS: &str = "jenkinsci+job-dsl-plugin";

fn corpora() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/jobdsl");
    if !root.is_dir() {
        println!("skipped: {} is not there", root.display());
        return None;
    }
    Some(root)
}

/// The files below a directory, by relative path.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((dir, below)) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            if entry.file_type().unwrap().is_dir() {
                open.push((entry.path(), path));
            } else if let Ok(bytes) = fs::read(entry.path()) {
                found.insert(path, bytes);
            }
        }
    }
    found
}

fn tree(files: BTreeMap<String, Vec<u8>>) -> Tree {
    let mut builder = TreeBuilder::default();
    for (path, bytes) in files {
        builder.insert(&path, bytes).unwrap();
    }
    builder.build(Commit::default())
}

/// Upstream draws some ids at random in every run: what stands in their place is not compared.
fn without_random(xml: &str) -> String {
    let mut out = xml.to_owned();
    for (before, after) in [
        ("<id>dashboard_portlet_", "<"),
        ("<randomName>choice-parameter-", "<"),
        ("<uuid>", "<"),
    ] {
        let mut parts = out.split(before);
        let mut masked = parts.next().unwrap().to_owned();
        for part in parts {
            masked.push_str(before);
            masked.push_str(&part[part.find(after).unwrap()..]);
        }
        out = masked;
    }
    // So is the id of this one's tasks.
    let task = "DeploymentTask>";
    if out.contains(task) {
        let lines = out.lines().scan(false, |after, line| {
            let masked = *after && line.trim_start().starts_with("<id>");
            *after = line.trim_end().ends_with(task);
            Some(if masked { "<id>random</id>" } else { line })
        });
        out = lines.collect::<Vec<_>>().join("\n");
    }
    out
}

/// Compares all items of a repository; returns how many are the same and which are not.
fn compare(root: &Path, repo: &str) -> (usize, Vec<String>) {
    let mut wanted: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (path, xml) in files(&root.join("expected").join(repo)) {
        if let Some(path) = path.strip_suffix(".xml") {
            let (script, item) = path.rsplit_once('/').unwrap();
            let xml = String::from_utf8(xml).unwrap();
            wanted
                .entry(script.to_owned())
                .or_default()
                .insert(item.to_owned(), xml);
        }
    }
    let tree = tree(files(&root.join("inputs").join(repo)));
    let scripts: Vec<&String> = wanted.keys().collect();
    let (mut same, mut differ) = (0, Vec::new());
    for (script, made) in scripts
        .iter()
        .zip(compile_all(&tree, &scripts, &Options::default()))
    {
        for (name, xml) in &wanted[*script] {
            let found = made.items.iter().find(|item| item.file_name() == *name);
            let fits =
                found.is_some_and(|item| diff(&without_random(xml), &without_random(&item.xml)).is_empty());
            if fits {
                same += 1;
            } else {
                differ.push(format!("{repo}/{script}#{name}"));
            }
        }
    }
    (same, differ)
}

fn repositories(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.join("expected"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn documentation_examples_make_upstreams_xml() {
    let Some(root) = corpora() else { return };
    let (same, differ) = compare(&root, DOCS);
    println!(
        "documentation: {same} of {} items are identical",
        same + differ.len()
    );
    assert!(differ.is_empty() && same > 0, "{differ:#?}");
}

#[test]
fn real_repositories_make_upstreams_xml() {
    let Some(root) = corpora() else { return };
    let (mut same, mut differ) = (0, Vec::new());
    for repo in repositories(&root).iter().filter(|repo| *repo != DOCS) {
        let (more, others) = compare(&root, repo);
        println!("{repo}: {more} of {} items are identical", more + others.len());
        same += more;
        differ.extend(others);
    }
    println!("all: {same} of {} items are identical", same + differ.len());
    assert!(differ.is_empty() && same > 0, "{differ:#?}");
}

#[test]
fn all_groovy_files_can_be_read() {
    let Some(root) = corpora() else { return };
    let (mut all, mut bad) = (0, Vec::new());
    for (path, text) in files(&root.join("inputs")) {
        if path.ends_with(".groovy") || path.ends_with(".dsl") {
            all += 1;
            if let Err((at, why)) = check_syntax(&String::from_utf8_lossy(&text)) {
                bad.push(format!("{path}, byte {at}: {why}"));
            }
        }
    }
    println!("{} of {all} files can be read", all - bad.len());
    assert!(bad.len() * 100 <= all, "{bad:#?}");
}
