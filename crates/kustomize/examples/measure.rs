//! `measure CORPUS`: builds every real kustomization of a corpus in this process and prints, as JSON, what that cost.
//! `cargo xtask bench kustomize` runs it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a development tool ends where it fails"
)]

use herder_kustomize::{LoadRestrictor, NoRemotes, Options, Tree, build};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

#[path = "../tests/support/tree.rs"]
mod tree;

struct Case {
    repo: String,
    dir: String,
    options: Options,
}

fn main() {
    let corpus = std::env::args().nth(1).unwrap();
    let corpus = Path::new(&corpus);
    let mut trees = BTreeMap::new();
    let list = fs::read_to_string(corpus.join("real.jsonl")).unwrap();
    let cases: Vec<Case> = list
        .lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| case[name].as_str().unwrap().to_owned();
            let load_restrictor = if text("mode") == "loose" {
                LoadRestrictor::None
            } else {
                LoadRestrictor::RootOnly
            };
            Case {
                repo: text("repo"),
                dir: text("dir"),
                options: Options {
                    load_restrictor,
                    ..Options::default()
                },
            }
        })
        .collect();
    for case in &cases {
        trees
            .entry(case.repo.clone())
            .or_insert_with(|| tree::read(&corpus.join("real/inputs").join(&case.repo)));
    }
    let (before, started) = (cpu_seconds(), Instant::now());
    let bytes = build_all(&cases, &trees);
    let (cpu, wall) = (cpu_seconds() - before, started.elapsed().as_secs_f64());
    let cases = &cases[..cases.len().min(1500)];
    let started = Instant::now();
    std::thread::scope(|scope| {
        let trees = &trees;
        let half = move |part: usize| cases.iter().skip(part).step_by(2);
        let other = scope.spawn(move || build_all(half(1), trees));
        build_all(half(0), trees);
        other.join().unwrap();
    });
    let result = json!({
        "builds": list.lines().count(),
        "bytes": bytes,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "two_threads_seconds_for_1500": started.elapsed().as_secs_f64(),
    });
    println!("{result}");
}

fn build_all<'a>(cases: impl IntoIterator<Item = &'a Case>, trees: &BTreeMap<String, Tree>) -> usize {
    let mut bytes = 0;
    for case in cases {
        let built = build(&trees[&case.repo], &case.dir, &case.options, &NoRemotes).unwrap();
        bytes += built.to_yaml().len();
    }
    bytes
}

/// CPU time of this thread so far, from the scheduler's own books.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
