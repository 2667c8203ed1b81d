//! `herder status`: applications by stage, and everything that needs attention.

use crate::args::Global;
use crate::platform::{Platform, find_dir};
use anyhow::Result;
use serde_json::Value;

/// Arguments of `herder status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this application
    application: Option<String>,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::of(&find_dir(global.dir.as_deref()))?;
    let status = platform.get("/api/v1/status").await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    print(&status, args.application.as_deref());
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn print(status: &Value, only: Option<&str>) {
    let fleet = &status["fleet"];
    println!(
        "{} at {} ({} namespaces, {} objects)\n",
        text(fleet, "name"),
        text(fleet, "commit").get(..12).unwrap_or_default(),
        fleet["namespaces"],
        fleet["objects"]
    );
    let mut table = vec![["APPLICATION", "STAGE", "VERSION", "HEALTH", "READY", "REASON"].map(str::to_owned)];
    for row in list(status, "applications").filter(|row| only.is_none_or(|name| text(row, "name") == name)) {
        for cell in list(row, "cells") {
            let ready = format!("{}/{}", cell["ready"], cell["desired"]);
            table.push(
                [
                    text(row, "name"),
                    text(cell, "stage"),
                    text(cell, "version"),
                    text(cell, "health"),
                    &ready,
                    text(cell, "reason"),
                ]
                .map(str::to_owned),
            );
        }
    }
    crate::output::table(&table);
    let findings: Vec<_> = list(status, "diagnostics").collect();
    if !findings.is_empty() {
        println!("\nfindings in git:");
    }
    for finding in findings {
        let hint = text(finding, "hint");
        let hint = if hint.is_empty() {
            String::new()
        } else {
            format!("\n    hint: {hint}")
        };
        println!(
            "  {} {}: {}{hint}",
            text(finding, "severity"),
            text(finding, "at"),
            text(finding, "message")
        );
    }
    for failure in list(&status["pass"], "failures").filter_map(Value::as_str) {
        println!("refused by the cluster: {failure}");
    }
    for note in list(&status["pass"], "notes").filter_map(Value::as_str) {
        println!("left out: {note}");
    }
}
