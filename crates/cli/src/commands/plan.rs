//! `herder plan`: what was decided last, from which commit, with the reason of every action and what became of it.

use crate::args::Global;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::Value;

/// Arguments of `herder plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many plans, the newest first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=300))]
    limit: u16,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let plans = platform
        .get(&format!("/api/v1/plans?limit={}", args.limit))
        .await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&plans)?);
        return Ok(());
    }
    let plans = plans.as_array().map(Vec::as_slice).unwrap_or_default();
    if plans.is_empty() {
        println!("nothing has been planned yet");
    }
    for plan in plans {
        show(plan);
    }
    Ok(())
}

fn show(plan: &Value) {
    let text = |field: &str| plan.get(field).and_then(Value::as_str).unwrap_or_default();
    let number = |field: &str| plan.get(field).and_then(Value::as_u64).unwrap_or_default();
    println!(
        "generation {} ({}) of commit {}, {}: {} unchanged, {} refused",
        number("generation"),
        text("id"),
        text("commit").get(..12).unwrap_or(text("commit")),
        match (text("state"), text("ended_at")) {
            ("open", _) => format!("begun {}", text("recorded_at")),
            (state, at) => format!("{state} {at}"),
        },
        number("unchanged"),
        number("refused"),
    );
    if number("repeats") > 0 {
        println!(
            "  planned {} times since {}",
            number("repeats") + 1,
            text("since")
        );
    }
    if !text("why").is_empty() {
        println!("  {}", text("why"));
    }
    let list = |field: &str| plan.get(field).and_then(Value::as_array).into_iter().flatten();
    for note in list("notes").filter_map(Value::as_str) {
        println!("  {note}");
    }
    let rows: Vec<[String; 4]> = list("actions")
        .map(|action| {
            let text = |field: &str| action.get(field).and_then(Value::as_str).unwrap_or_default();
            let place = if text("namespace").is_empty() {
                String::new()
            } else {
                format!("{}/", text("namespace"))
            };
            let became = match (text("outcome"), text("refused")) {
                ("", "") => String::new(),
                ("", why) => format!("refused: {why}"),
                (outcome, _) => outcome.to_owned(),
            };
            [
                text("what").to_owned(),
                format!("{} {place}{}", text("kind"), text("name")),
                text("reason").to_owned(),
                became,
            ]
        })
        .collect();
    if !rows.is_empty() {
        let mut table = vec![["ACTION", "WHAT", "REASON", "OUTCOME"].map(str::to_owned)];
        table.extend(rows);
        crate::output::table(&table);
    }
}
