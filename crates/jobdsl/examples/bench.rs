//! `bench INPUTS EXPECTED`: reads the scripts of the corpora that have expectations, as many times as it takes to have
//! 577 of them, evaluates them and compares what they make with a former run. Prints one JSON line: seconds, counts.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a development tool"
)]
use herder_base::{Commit, Tree, TreeBuilder};
use herder_jobdsl::{Options, Removed, Seed, SeedPlan, compile_all};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// As many scripts as one real repository has.
const SCRIPTS: usize = 577;

fn files(dir: &Path, prefix: &str, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{path}/"), out);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            out.push((path, bytes));
        }
    }
}

fn tree(dir: &Path) -> Tree {
    let mut all = Vec::new();
    files(dir, "", &mut all);
    let mut builder = TreeBuilder::default();
    for (path, bytes) in all {
        builder.insert(&path, bytes).unwrap();
    }
    builder.build(Commit::default())
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (inputs, expected) = (Path::new(&args[0]), Path::new(&args[1]));
    let mut repositories: Vec<(Tree, Vec<String>)> = Vec::new();
    let mut left = SCRIPTS;
    while left > 0 {
        for entry in std::fs::read_dir(expected).unwrap().map(Result::unwrap) {
            // Documentation examples are no repository: they all make the same job.
            if entry.file_name() == "jenkinsci+job-dsl-plugin" {
                continue;
            }
            let mut items = Vec::new();
            files(&entry.path(), "", &mut items);
            let mut scripts: Vec<String> = items
                .iter()
                .filter_map(|(path, _)| path.rsplit_once('/').map(|(script, _)| script.to_owned()))
                .collect();
            scripts.sort();
            scripts.dedup();
            scripts.truncate(left);
            left -= scripts.len();
            repositories.push((tree(&inputs.join(entry.file_name())), scripts));
        }
    }
    let run = || -> Vec<Seed> {
        repositories
            .iter()
            .map(|(tree, scripts)| {
                let made = compile_all(tree, scripts, &Options::default());
                Seed::new(scripts.iter().cloned().zip(made))
            })
            .collect()
    };
    let former: Vec<BTreeMap<String, String>> = run()
        .iter()
        .map(|seed| {
            let xml = |(key, made): (&String, &herder_jobdsl::Made)| (key.clone(), made.item.xml.clone());
            seed.items.iter().map(xml).collect()
        })
        .collect();
    let started = Instant::now();
    let seeds = run();
    let compiled = started.elapsed().as_secs_f64();
    let mut changed = 0;
    for (seed, before) in seeds.iter().zip(&former) {
        changed += SeedPlan::new(before, seed, Removed::Delete).steps.len();
    }
    println!(
        "{{\"scripts\": {}, \"items\": {}, \"changed\": {changed}, \"compile\": {compiled}, \"all\": {}}}",
        repositories
            .iter()
            .map(|(_, scripts)| scripts.len())
            .sum::<usize>(),
        seeds.iter().map(|seed| seed.items.len()).sum::<usize>(),
        started.elapsed().as_secs_f64()
    );
}
