//! Random texts through the printer and the reader.

use super::{Numbers, kubectl, ours, rounds, theirs};
use std::collections::BTreeMap;

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

fn build(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "kustomization.yaml".to_owned(),
            "resources: [r.yaml]\n".to_owned(),
        ),
        ("r.yaml".to_owned(), text.to_owned()),
    ])
}

#[test]
fn scalars_print_the_same() {
    if !kubectl() {
        return;
    }
    let mut looked_at = 0;
    for round in 0..rounds() {
        let mut rng = Numbers::seeded(round);
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for _ in 0..600 {
            let value = scalar(&random_text(&mut rng), rng.next(6));
            match ours(&build(&config_map(std::slice::from_ref(&value))), "") {
                Some(_) => accepted.push(value),
                None => refused.push(value),
            }
        }
        looked_at += accepted.len() + refused.len();
        let whole = build(&config_map(&accepted));
        if ours(&whole, "") != theirs(&whole, "") {
            for value in &accepted {
                let one = build(&config_map(std::slice::from_ref(value)));
                assert_eq!(ours(&one, ""), theirs(&one, ""), "{value:?}");
            }
        }
        for value in refused.iter().step_by(50) {
            assert_eq!(
                theirs(&build(&config_map(std::slice::from_ref(value))), ""),
                None,
                "{value:?}"
            );
        }
    }
    println!("{looked_at} scalars: no difference");
}
