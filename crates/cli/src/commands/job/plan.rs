//! `herder job plan`: what applying Job DSL scripts would change, and which of it would not run, before anything changes.

use super::scripts::{self, Scripts};
use crate::args::Global;
use crate::output::Exit;
use anyhow::Result;
use clap::ValueEnum;
use herder_base::{Diagnostic, Severity};
use herder_jobdsl::{Difference, Seed, SeedPlan, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `herder job plan`.
///
/// Compares with the XML files that `herder job compile --xml` or a former `--apply` left in a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scripts: Scripts,
    /// The directory with the configurations there are now; without it there are none, and everything is new
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// What to do with items that no script makes any more
    #[arg(long, value_enum, default_value = "ignore")]
    removed: Removed,
    /// Write the result to the directory: nothing is changed if a file cannot be written
    #[arg(long, requires = "against")]
    apply: bool,
}

/// As Job DSL's removedJobAction names it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Removed {
    /// They stay as they are
    Ignore,
    /// Jobs stay, but nothing starts them
    Disable,
    /// They go
    Delete,
}

/// Longer texts are cut in the list; `--json` has them whole.
const SHOWN: usize = 60;

pub(super) fn run(global: &Global, args: &Args) -> Result<()> {
    let seed = args.scripts.workspace()?.seed();
    let before = match &args.against {
        Some(dir) => scripts::read_xml(dir)?,
        None => BTreeMap::default(),
    };
    let removed = match args.removed {
        Removed::Ignore => herder_jobdsl::Removed::Ignore,
        Removed::Disable => herder_jobdsl::Removed::Disable,
        Removed::Delete => herder_jobdsl::Removed::Delete,
    };
    let plan = SeedPlan::new(&before, &seed, removed);
    if global.json {
        println!("{}", serde_json::to_string_pretty(&document(&plan, &seed))?);
    } else {
        scripts::print_diagnostics(&seed.diagnostics);
        scripts::print_diagnostics(refused(&plan, &seed));
        print(&plan, &seed);
    }
    if let Some(dir) = args.against.as_ref().filter(|_| args.apply) {
        scripts::write_xml(dir, &plan.apply(&before, &seed))?;
    }
    // What is merged and then does not run is better known before.
    let refuses = !args.apply && refused(&plan, &seed).next().is_some();
    if seed.has_errors() || refuses {
        return Err(Exit(1).into());
    }
    Ok(())
}

/// Why jobs that are new or changed would not run.
fn refused<'a>(plan: &'a SeedPlan, seed: &'a Seed) -> impl Iterator<Item = &'a Diagnostic> {
    let changed = plan
        .steps
        .iter()
        .filter(|(_, step)| matches!(step, Step::Create | Step::Update(_)));
    changed
        .filter_map(|(key, _)| seed.items.get(key))
        .flat_map(|made| &made.item.warnings)
        .filter(|found| found.severity == Severity::Error)
}

fn print(plan: &SeedPlan, seed: &Seed) {
    let mut counts = [0usize; 4];
    for (key, step) in &plan.steps {
        let name = seed
            .items
            .get(key)
            .map_or(key.as_str(), |made| made.item.name.as_str());
        let (sign, count, why) = match step {
            Step::Create => ("+", 0, ""),
            Step::Update(_) => ("~", 1, ""),
            Step::Disable => ("-", 2, " (disabled: no script makes it any more)"),
            Step::Delete => ("-", 2, " (no script makes it any more)"),
            Step::Hold => ("=", 3, " (kept: a script could not be read)"),
        };
        if let Some(count) = counts.get_mut(count) {
            *count += 1;
        }
        println!("{sign} {name}{why}");
        if let Step::Update(differences) = step {
            for difference in differences {
                println!("    {}", line(difference));
            }
        }
    }
    let [created, updated, removed, held] = counts;
    println!(
        "{created} to create, {updated} to change, {removed} to remove, {held} held, {} unchanged",
        plan.unchanged
    );
}

fn line(difference: &Difference) -> String {
    let show = |text: &str| {
        let mut lines = text.trim().lines();
        let first = lines.next().unwrap_or_default();
        let mut out: String = first.chars().take(SHOWN).collect();
        if first.chars().count() > SHOWN || lines.next().is_some() {
            out.push('…');
        }
        format!("`{out}`")
    };
    let path = &difference.path;
    match (&difference.before, &difference.after) {
        (Some(before), Some(after)) => format!("{path}: {} → {}", show(before), show(after)),
        (None, Some(after)) if after.is_empty() => format!("{path}: new"),
        (None, Some(after)) => format!("{path}: new, {}", show(after)),
        (_, None) => format!("{path}: gone"),
    }
}

fn document(plan: &SeedPlan, seed: &Seed) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|(key, step)| {
            let made = seed.items.get(key);
            let changes = match step {
                Step::Update(differences) => differences
                    .iter()
                    .map(|d| json!({"path": d.path, "before": d.before, "after": d.after}))
                    .collect(),
                _ => Vec::new(),
            };
            json!({
                "file": key,
                "name": made.map(|made| made.item.name.as_str()),
                "script": made.map(|made| made.script.as_str()),
                "step": match step {
                    Step::Create => "create",
                    Step::Update(_) => "update",
                    Step::Disable => "disable",
                    Step::Delete => "delete",
                    Step::Hold => "hold",
                },
                "changes": changes,
            })
        })
        .collect();
    json!({
        "steps": steps,
        "unchanged": plan.unchanged,
        "diagnostics": seed.diagnostics.iter().chain(refused(plan, seed)).map(scripts::diagnostic_json).collect::<Vec<_>>(),
    })
}
