//! `herder version`: of this program, and of the JSON that `--json` prints.

use crate::args::Global;
use serde_json::json;

/// Counts up when a field of `docs/json.md` goes or changes its meaning; new fields alone do not count.
pub(crate) const JSON: u32 = 1;

pub(crate) fn run(global: &Global) {
    let version = env!("CARGO_PKG_VERSION");
    if global.json {
        println!("{}", json!({"herder": version, "json": JSON}));
    } else {
        println!("herder {version} (JSON {JSON})");
    }
}
