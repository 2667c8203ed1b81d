//! Random texts through the printer and the reader, against `kubectl kustomize` where there is one.
//!
//! `HERDER_FUZZ=100` runs a hundred times as many.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

use herder_kustomize::{NoRemotes, Options, Tree, build};
use std::fs;
use std::process::Command;

const PIECES: [&str; 84] = [
    "a",
    "b",
    "Z",
    "y",
    "n",
    "yes",
    "no",
    "on",
    "off",
    "true",
    "null",
    "~",
    "0",
    "1",
    "12",
    "007",
    "0x1f",
    "0o17",
    "0b1",
    "1e3",
    "1.5",
    ".5",
    "-",
    "+",
    "_",
    ":",
    ": ",
    " #",
    "#",
    " ",
    "  ",
    "\n",
    "\n\n",
    " \n",
    "\n ",
    "\t",
    "\"",
    "'",
    "\\",
    "%",
    "@",
    "`",
    "!",
    "&",
    "*",
    "?",
    "|",
    ">",
    "{",
    "}",
    "[",
    "]",
    ",",
    "=",
    "<<",
    ".",
    "...",
    "---",
    "é",
    "\u{2028}",
    "\u{85}",
    "\u{a0}",
    "\u{feff}",
    "\u{1f600}",
    "\u{7}",
    "\u{1b}",
    "\r",
    "2001-01-01",
    "12:30",
    "1_000",
    ".inf",
    "words and more words that go on",
    "longwordwithoutspaceslongwordwithoutspaceslongwordwithoutspaces",
    "{{x}}",
    "$(a)",
    "1e400",
    "18446744073709551616",
    "-9223372036854775809",
    "- ",
    "? ",
    "a: b",
    "1.",
    "0_7",
    "190:20:30",
];

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

fn random_text(rng: &mut Numbers) -> String {
    let count = [1, 1, 2, 2, 3, 4, 6, 12, 30][rng.next(9)];
    (0..count).map(|_| PIECES[rng.next(PIECES.len())]).collect()
}

/// A value as a scalar of some style.
fn scalar(text: &str, style: usize) -> String {
    let block = |indicator: &str| {
        let lines: Vec<String> = text.split('\n').map(|line| format!("    {line}")).collect();
        format!("{indicator}\n{}", lines.join("\n"))
    };
    match style {
        0 | 1 => serde_json::to_string(text).unwrap(),
        2 => text.replace('\n', "\n    "),
        3 => format!("'{}'", text.replace('\'', "''").replace('\n', "\n    ")),
        4 => block("|"),
        _ => block(">"),
    }
}

fn config_map(values: &[String]) -> String {
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n");
    for (at, value) in values.iter().enumerate() {
        text.push_str(&format!("  k{at}: {value}\n"));
    }
    text
}

fn ours(text: &str) -> Option<String> {
    let tree = Tree::from_texts([("kustomization.yaml", "resources: [r.yaml]\n"), ("r.yaml", text)]).unwrap();
    build(&tree, "", &Options::default(), &NoRemotes)
        .ok()
        .map(|build| build.to_yaml())
}

fn theirs(text: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kustomization.yaml"), "resources: [r.yaml]\n").unwrap();
    fs::write(dir.path().join("r.yaml"), text).unwrap();
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(dir.path())
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn scalars_print_the_same() {
    let is_right = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).contains("v5.5");
    if !Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_ok_and(is_right)
    {
        println!("skipped: there is no kubectl with kustomize v5.5");
        return;
    }
    let rounds: u8 = std::env::var("HERDER_FUZZ")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    for round in 0..rounds {
        let mut rng = Numbers(0x9e37_79b9_7f4a_7c15 ^ (u64::from(round) << 20));
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for _ in 0..600 {
            let value = scalar(&random_text(&mut rng), rng.next(6));
            match ours(&config_map(std::slice::from_ref(&value))) {
                Some(_) => accepted.push(value),
                None => refused.push(value),
            }
        }
        let whole = config_map(&accepted);
        if ours(&whole) != theirs(&whole) {
            for value in &accepted {
                let one = config_map(std::slice::from_ref(value));
                assert_eq!(ours(&one), theirs(&one), "{value:?}");
            }
        }
        for value in refused.iter().step_by(50) {
            assert_eq!(
                theirs(&config_map(std::slice::from_ref(value))),
                None,
                "{value:?}"
            );
        }
    }
}
