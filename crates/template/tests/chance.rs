//! Sprig's random functions: what they draw, that it stays, and that it does not show.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use herder_template::{Options, Request, SourceError, Sources, Template};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Answers writes with what was written, and counts them.
struct Seeded {
    seed: Option<&'static str>,
    writes: usize,
}

impl Sources for Seeded {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        match (request, self.seed) {
            (Request::Seed, Some(seed)) => Ok(json!(seed)),
            (Request::Write { data, .. }, _) => {
                self.writes += 1;
                Ok(json!({ "data": data }))
            }
            _ => Err(SourceError("it is not for this test".to_owned())),
        }
    }
}

const SEED: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f";

fn with(name: &str, text: &str, seed: &'static str) -> Result<String, String> {
    let mut sources = Seeded {
        seed: Some(seed),
        writes: 0,
    };
    Template::parse(name, text, &Options::default())
        .and_then(|template| template.render(&mut sources))
        .map(|rendered| String::from_utf8(rendered.text).unwrap())
        .map_err(|error| error.to_string())
}

fn draw(text: &str) -> String {
    with("t", text, SEED).unwrap()
}

#[test]
fn each_character_is_as_likely() {
    for (name, of) in [("Numeric", 10), ("Alpha", 52), ("AlphaNum", 62), ("Ascii", 95)] {
        let text = draw(&format!("{{{{sprig_rand{name} 100000}}}}"));
        assert_eq!(text.len(), 100_000);
        let mut counts = [0u32; 128];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        let expected = 100_000.0 / f64::from(of);
        let seen: Vec<f64> = counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n)).collect();
        assert_eq!(seen.len(), of as usize, "{name}");
        let square: f64 = seen.iter().map(|n| (n - expected).powi(2) / expected).sum();
        // Far out: one in millions.
        assert!(
            square < f64::from(of) + 8.0 * f64::from(2 * of).sqrt(),
            "{name}: {square}"
        );
    }
}

#[test]
fn numbers_and_orders_are_as_likely() {
    let text = draw("{{range 30000}}{{sprig_randInt -1 2}} {{end}}");
    for number in ["-1", "0", "1"] {
        let count = text.split(' ').filter(|n| *n == number).count();
        assert!((9_500..10_500).contains(&count), "{number}: {count}");
    }
    let text = draw(r#"{{range 6000}}{{sprig_shuffle "abc"}} {{end}}"#);
    let orders: BTreeSet<&str> = text.split_whitespace().collect();
    assert_eq!(orders.len(), 6);
    for order in orders {
        let count = text.split(' ').filter(|o| *o == order).count();
        assert!((850..1_150).contains(&count), "{order}: {count}");
    }
}

#[test]
fn is_another_in_each_place_and_stays_there() {
    let text = "{{sprig_randAlphaNum 20}} {{sprig_randAlphaNum 20}} {{sprig_uuidv4}} {{sprig_uuidv4}}";
    let first = draw(text);
    assert_eq!(first.split(' ').collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(first, draw(text));
    let others = [
        with("t", text, OTHER).unwrap(),
        with("u", text, SEED).unwrap(),
        with("t", &format!("{text}\n"), SEED).unwrap(),
    ];
    for other in &others {
        let both = format!("{first} {}", other.trim_end());
        assert_eq!(both.split(' ').collect::<BTreeSet<_>>().len(), 8, "{both}");
    }
}

#[test]
fn what_is_written_with_it_is_written_once() {
    let mut sources = Seeded {
        seed: Some(SEED),
        writes: 0,
    };
    let text =
        r#"{{$p := sprig_randAlphaNum 12}}{{with secret "kv/x" (print "p=" $p)}}{{eq .Data.p $p}}{{end}}"#;
    let template = Template::parse("t", text, &Options::default()).unwrap();
    assert_eq!(template.render(&mut sources).unwrap().text, b"true");
    assert_eq!(sources.writes, 1);
}

#[test]
fn there_is_none_without_a_source() {
    let mut sources = Seeded {
        seed: None,
        writes: 0,
    };
    let text = r#"{{secret "kv/x" (print "p=" (sprig_randAlphaNum 12))}}"#;
    let template = Template::parse("t", text, &Options::default()).unwrap();
    let error = template.render(&mut sources).unwrap_err().to_string();
    assert!(error.contains("randomness could not be read"), "{error}");
    assert_eq!(sources.writes, 0);
    // Nor with one that nobody should trust.
    for text in ["{{sprig_uuidv4}}", "{{sprig_randAlpha 5}}"] {
        let error = with("t", text, "short").unwrap_err();
        assert!(error.contains("there is no randomness"), "{error}");
    }
}

/// Answers whether a template may show what it drew.
struct Showing(bool);

impl Sources for Showing {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        match request {
            Request::Seed => Ok(json!(SEED)),
            Request::Env { name } if name == "SHOW" && self.0 => Ok(json!("yes")),
            Request::Env { .. } => Ok(Value::Null),
            _ => Err(SourceError("it is not there".to_owned())),
        }
    }
}

#[test]
fn messages_hide_it() {
    for draw in [
        "randAlphaNum 12",
        "randBytes 9",
        "uuidv4",
        "shuffle \"abcdefghijklmnop\"",
    ] {
        for fails in [
            "sprig_fail $p",
            "mustEnv $p",
            "secret (print \"kv/\" $p)",
            "sprig_fail (print \"one \" $p \" two\")",
        ] {
            let text = format!(
                "{{{{$show := env \"SHOW\"}}}}{{{{$p := sprig_{draw}}}}}{{{{if $show}}}}{{{{$p}}}}{{{{else}}}}{{{{{fails}}}}}{{{{end}}}}"
            );
            let template = Template::parse("t", &text, &Options::default()).unwrap();
            let drawn = String::from_utf8(template.render(&mut Showing(true)).unwrap().text).unwrap();
            let error = template.render(&mut Showing(false)).unwrap_err().to_string();
            assert!(!error.contains(&drawn) && error.contains("(hidden)"), "{error}");
        }
    }
}

#[test]
fn ends() {
    for text in [
        "{{sprig_randAscii 100000000}}",
        "{{sprig_randBytes 60000000}}",
        "{{range 5000000}}{{$_ := sprig_uuidv4}}{{end}}",
    ] {
        let error = with("t", text, SEED).unwrap_err();
        assert!(
            error.contains("too large") || error.contains("1 MiB of randomness"),
            "{error}"
        );
    }
}
