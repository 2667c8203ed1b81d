//! `herder audit`: whether the record of who did what is whole, and the record itself.

use crate::args::Global;
use crate::platform::Platform;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use futures::StreamExt;
use herder_ledger::{AuditRecord, SealedHead};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Arguments of `herder audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List who did what, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only this action, such as config.commit, or all that begin so, such as run
        #[arg(long)]
        action: Option<String>,
    },
    /// Check every entry, the chain they form and its seal
    Verify {
        /// An export to check instead of what runs; nothing else is needed for it
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The public key that must have sealed it, as an earlier export or the entry `audit.sealed` says
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
    /// Print every entry as a line of JSON, oldest first, and at last the sealed head
    Export,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::List { limit, action } => list(global, limit, action.as_deref()).await,
        Command::Verify {
            file: Some(file),
            key,
        } => verify_file(global, &file, key.as_deref()),
        Command::Verify { file: None, key } => verify(global, key.as_deref()).await,
        Command::Export => export(global).await,
    }
}

async fn list(global: &Global, limit: u32, action: Option<&str>) -> Result<()> {
    let platform = Platform::find(global)?;
    let (mut shown, mut before): (Vec<Value>, Option<u64>) = (Vec::new(), None);
    // A filter looks further back until there is enough of it.
    while shown.len() < limit as usize {
        let more = before.map(|seq| format!("&before={seq}")).unwrap_or_default();
        let page = platform
            .get(&format!(
                "/api/v1/audit?limit={}{more}",
                if action.is_some() { 1000 } else { limit }
            ))
            .await?;
        let entries = page
            .get("entries")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        before = entries.last().and_then(|entry| entry.get("seq")?.as_u64());
        let wanted = |entry: &Value| {
            let is = entry.get("action").and_then(Value::as_str).unwrap_or_default();
            action.is_none_or(|wanted| {
                is.strip_prefix(wanted)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
            })
        };
        let end = entries.is_empty();
        shown.extend(entries.into_iter().filter(wanted));
        if end || action.is_none() {
            break;
        }
    }
    shown.truncate(limit as usize);
    if global.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    let mut table = vec![["AT (UTC)", "WHO", "ACTION", "ON", "DETAIL"].map(str::to_owned)];
    for entry in &shown {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let at = text("at")
            .split('.')
            .next()
            .unwrap_or_default()
            .trim_end_matches('Z');
        table.push([at, text("actor"), text("action"), text("subject"), text("detail")].map(str::to_owned));
    }
    crate::output::table(&table);
    Ok(())
}

async fn verify(global: &Global, key: Option<&str>) -> Result<()> {
    let platform = Platform::find(global)?;
    let report = platform.get("/api/v1/audit?limit=1").await?;
    let head = report.get("head").cloned().unwrap_or_default();
    let head: Option<SealedHead> = serde_json::from_value(head).ok();
    let fault = report.get("fault").and_then(Value::as_str).map(str::to_owned);
    let checked = report.get("checked").and_then(Value::as_u64).unwrap_or_default();
    say(global, checked, fault, head.as_ref(), key)
}

fn verify_file(global: &Global, file: &Path, key: Option<&str>) -> Result<()> {
    let open = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut records: Vec<AuditRecord> = Vec::new();
    let mut head = None;
    for (number, line) in BufReader::new(open).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", file.display()))?;
        let value: Value = serde_json::from_str(&line)
            .with_context(|| format!("{}:{} is no JSON", file.display(), number + 1))?;
        if let Some(found) = value.get("head") {
            head = serde_json::from_value(found.clone()).ok();
        } else {
            let record = serde_json::from_value(value)
                .with_context(|| format!("{}:{} is no entry", file.display(), number + 1))?;
            records.push(record);
        }
    }
    let Some(head) = head else {
        bail!(
            "{} does not end with a sealed head: it was cut off, or exported from a chain with a fault",
            file.display()
        );
    };
    let report = herder_ledger::check(&records, &head);
    let fault = report.fault.map(|fault| fault.to_string());
    say(global, report.checked, fault, report.head.as_ref(), key)
}

fn say(
    global: &Global,
    checked: u64,
    fault: Option<String>,
    head: Option<&SealedHead>,
    key: Option<&str>,
) -> Result<()> {
    let other = key.zip(head).filter(|(key, head)| *key != head.key);
    let fault = fault.or_else(|| other.map(|(_, head)| format!("it is sealed by another key, {}", head.key)));
    if global.json {
        println!(
            "{}",
            json!({"checked": checked, "whole": fault.is_none(), "fault": fault, "head": head})
        );
    }
    if let Some(fault) = fault {
        bail!("the audit chain cannot be believed: {fault}");
    }
    if !global.json {
        println!("{checked} entries, whole and in order");
        if let Some(head) = head {
            println!("sealed at entry {} by {}", head.seq, head.key);
        }
    }
    Ok(())
}

async fn export(global: &Global) -> Result<()> {
    let platform = Platform::find(global)?;
    let mut body = platform.stream("/api/v1/audit/export").await?.into_data_stream();
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = body.next().await {
        out.write_all(&bytes.context("the export broke off")?)?;
    }
    Ok(())
}
