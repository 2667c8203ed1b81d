//! Any text as a template: it parses or not, renders or not, but ends, does not panic and makes no more than it may.
#![no_main]

use herder_template::{Options, Request, SourceError, Sources, Template};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// What one rendering may make; the engine's own limit is lower.
const MOST: usize = 64 << 20;

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
    if let Ok(template) = Template::parse("fuzz", text, &Options::default())
        && let Ok(rendered) = template.render(&mut Fixed)
    {
        let files: usize = rendered.files.iter().map(|file| file.content.len()).sum();
        assert!(rendered.text.len() + files <= MOST);
    }
});
