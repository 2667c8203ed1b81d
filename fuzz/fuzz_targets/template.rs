//! Any text as a template: it parses or not, renders or not, but ends, and does not panic.
#![no_main]

use herder_template::{Options, Request, SourceError, Sources, Template};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

struct Fixed;

impl Sources for Fixed {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        Ok(match request {
            Request::Now => json!(1_700_000_000),
            Request::Seed => json!("0123456789abcdef0123456789abcdef"),
            Request::Env { .. } | Request::File { .. } => json!("value"),
            Request::List { .. } => json!(["a", "b"]),
            _ => json!({"data": {"data": {"k": "v", "n": 1, "l": [1, "x", null]}}}),
        })
    }
}

fuzz_target!(|text: &str| {
    if let Ok(template) = Template::parse("fuzz", text, &Options::default()) {
        let _ = template.render(&mut Fixed);
    }
});
