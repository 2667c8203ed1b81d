//! `herder sync`: git is read and made true now, not at the next look.

use crate::args::Global;
use crate::output::Exit;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

pub(crate) async fn run(global: &Global) -> Result<()> {
    let platform = Platform::find(global)?;
    let answer = platform.post("/api/v1/sync", &json!({})).await?;
    let failures = answer.pointer("/pass/failures").and_then(Value::as_array);
    let failures: Vec<&str> = failures.into_iter().flatten().filter_map(Value::as_str).collect();
    if global.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        let text = |pointer: &str| {
            answer
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let number = |pointer: &str| {
            answer
                .pointer(pointer)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        println!(
            "{} at {}: wrote {}, removed {}",
            text("/fleet/name"),
            text("/fleet/commit").get(..12).unwrap_or_default(),
            number("/pass/written"),
            number("/pass/deleted")
        );
        for failure in &failures {
            eprintln!("refused by the cluster: {failure}");
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Exit(crate::failing::Kind::Unhealthy as u8).into())
    }
}
