//! Functions against a table of templates and what consul-template's and sprig's own functions make of them. The table
//! is data only: inputs, and outputs as that code gave them (null where it failed).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use base64::Engine as _;
use herder_template::{Options, Request, SourceError, Sources, Template};
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Fixed;

impl Sources for Fixed {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        Ok(match request {
            Request::Env { name } if name == "SET" => json!("value"),
            Request::Env { name } if name == "EMPTY" => json!(""),
            Request::Env { .. } => Value::Null,
            Request::Now => json!(1_700_000_000),
            Request::Seed => json!("0123456789abcdef0123456789abcdef"),
            other => return Err(SourceError(format!("{other} is not for this test"))),
        })
    }
}

/// Where upstream is not followed, and why.
const KNOWN: &[(&str, &str)] = &[
    (
        "{{spew_sdump (parseJSON `[3,1,2]`)}}",
        "a list's capacity is its length here",
    ),
    (
        "{{sprig_nospace \"Äö€ ß\"}}",
        "upstream writes bytes of other letters as letters",
    ),
    (
        "{{sprig_initials \"Äö€ ß\"}}",
        "upstream writes bytes of other letters as letters",
    ),
    (
        "{{parseYAML \"- x\\n- y: z\" | toYAML}}",
        "keys of maps are text here",
    ),
    (
        "{{parseYAML \"1: one\\ntrue: t\" | toYAML}}",
        "keys of maps are text here",
    ),
    (
        "{{spew_sdump (parseJSON `[\"b\",\"a\",\"b\",null,\"\"]`)}}",
        "a list's capacity is its length here",
    ),
    (
        "{{printf \"%T %T\" (parseYAML \"a: {b: 1}\") (index (parseYAML \"a: {b: 1}\") \"a\")}}",
        "keys of maps are text here",
    ),
];

/// The function that a case is about: the first name in it that is one.
fn subject(template: &str) -> String {
    template
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .find(|word| word.len() > 1 && word.chars().next().is_some_and(char::is_alphabetic))
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn functions_give_what_upstream_gives() {
    let facts = match std::env::var("HERDER_FACTS") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("facts/functions.json").to_owned(),
    };
    let facts: Vec<(String, Value)> = serde_json::from_str(&facts).unwrap();
    let (mut same, mut lenient, mut known) = (0, 0, 0);
    let mut different: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (template, expected) in &facts {
        let result =
            Template::parse("t", template, &Options::default()).and_then(|parsed| parsed.render(&mut Fixed));
        let ours = result.as_ref().map(|rendered| rendered.text.clone());
        let theirs = match expected {
            Value::Null => None,
            Value::String(text) => Some(text.clone().into_bytes()),
            other => Some(
                base64::engine::general_purpose::STANDARD
                    .decode(other["base64"].as_str().unwrap())
                    .unwrap(),
            ),
        };
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) if ours == theirs => same += 1,
            (Err(_), None) => same += 1,
            // More is understood here: numbers where text is wanted, and the like.
            (Ok(_), None) => {
                lenient += 1;
                if std::env::var_os("HERDER_SHOW").is_some() {
                    eprintln!("LENIENT {}", json!(template));
                }
            }
            _ if KNOWN.iter().any(|(case, _)| case == template) => known += 1,
            (ours, theirs) => different.entry(subject(template)).or_default().push(format!(
                "{template}\n   upstream {:?}\n   us       {:?}",
                theirs.map(|text| String::from_utf8_lossy(&text).into_owned()),
                ours.map(|text| String::from_utf8_lossy(&text).into_owned())
                    .map_err(ToString::to_string)
            )),
        }
    }
    let count: usize = different.values().map(Vec::len).sum();
    eprintln!(
        "functions: {} cases, {same} the same, {lenient} more lenient, {known} known deviations, {count} different",
        facts.len()
    );
    for (name, cases) in &different {
        eprintln!(
            "{name}: {}\n{}",
            cases.len(),
            cases.iter().take(4).cloned().collect::<Vec<_>>().join("\n")
        );
    }
    assert_eq!(count, 0);
}
