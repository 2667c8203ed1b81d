//! `herder history APPLICATION`: which version stood how in which namespace since when, by which commit of whom.

use crate::args::Global;
use crate::platform::{Platform, escape};
use anyhow::Result;
use serde_json::Value;

/// Arguments of `herder history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application
    application: String,
    /// Only in this namespace (or environment)
    #[arg(short, long)]
    namespace: Option<String>,
    /// How many lines
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let mut path = format!(
        "/api/v1/history?application={}&limit={}",
        escape(&args.application),
        args.limit
    );
    if let Some(namespace) = &args.namespace {
        path.push_str(&format!("&namespace={}", escape(namespace)));
    }
    let all = Platform::find(global)?.get(&path).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let mut table = vec![
        [
            "AT",
            "NAMESPACE",
            "VERSION",
            "HEALTH",
            "COMMIT",
            "AUTHOR",
            "SUBJECT",
        ]
        .map(str::to_owned),
    ];
    for item in all.as_array().into_iter().flatten() {
        let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
        let commit = text("commit");
        table.push(
            [
                // To the second, in UTC: a history is compared with other machines'.
                text("at")
                    .split('.')
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('Z'),
                text("namespace"),
                text("version"),
                text("health"),
                commit.get(..12).unwrap_or(commit),
                text("author"),
                text("subject"),
            ]
            .map(str::to_owned),
        );
    }
    crate::output::table(&table);
    Ok(())
}
