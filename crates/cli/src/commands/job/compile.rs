//! `herder job compile`: what Job DSL scripts make, as Jenkins would store it.

use super::scripts::{self, Scripts};
use crate::args::Global;
use crate::output::Exit;
use anyhow::Result;
use herder_jobdsl::{Seed, SeedPlan};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `herder job compile`.
///
/// A script that cannot be read is reported with file, line and column; the jobs of the others are made all the same,
/// and the exit code is 1. Nothing is started, fetched or asked: scripts read files of the workspace and nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    scripts: Scripts,
    /// Write one file per item to this directory: `/` in names becomes `__`, views begin with `VIEW__`
    #[arg(long, value_name = "OUT")]
    xml: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<()> {
    let seed = args.scripts.workspace()?.seed();
    if let Some(out) = &args.xml {
        write(out, &seed)?;
    }
    if global.json {
        let document = json!({
            "items": seed.items.values().map(scripts::item_json).collect::<Vec<_>>(),
            "diagnostics": seed.diagnostics.iter().map(scripts::diagnostic_json).collect::<Vec<_>>(),
            "queued": seed.queued,
            "broken": seed.broken,
        });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        scripts::print_diagnostics(&seed.diagnostics);
        for made in seed.items.values() {
            for warning in &made.item.warnings {
                eprintln!("{}: {warning}", made.item.name);
            }
        }
        if args.xml.is_none() {
            let mut table = vec![["ITEM", "KIND", "WARNINGS", "SCRIPT"].map(str::to_owned)];
            for made in seed.items.values() {
                let item = &made.item;
                table.push([
                    item.name.clone(),
                    item.made_by.clone(),
                    item.warnings.len().to_string(),
                    made.script.clone(),
                ]);
            }
            crate::output::table(&table);
        }
    }
    if seed.has_errors() {
        return Err(Exit(1).into());
    }
    Ok(())
}

/// Adds the items to what the directory holds.
fn write(out: &std::path::Path, seed: &Seed) -> Result<()> {
    let before: BTreeMap<String, String> = scripts::read_xml(out)?;
    let plan = SeedPlan::new(&before, seed, herder_jobdsl::Removed::Ignore);
    scripts::write_xml(out, &plan.apply(&before, seed))
}
