//! docs/template.md says what there is: its tables come from the code and from the judges' table, and this test keeps
//! them so. `HERDER_UPDATE=1` writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use herder_vault::consul_template::{FLAGS, setting_names};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

const MARK: &str = "<!-- tables -->\n";

/// What is said of settings that do nothing, or are refused.
const EFFECTS: &[(&str, &str)] = &[
    ("consul", "refused: no part of this"),
    ("nomad", "refused: no part of this"),
    ("deduplicate", "only switched off"),
    ("max_stale", "accepted, no effect"),
    ("block_query_wait", "accepted, no effect"),
    ("err_on_failed_lookup", "accepted, no effect"),
    ("syslog", "accepted with a warning"),
    ("syslog.enabled", "accepted with a warning"),
    ("syslog.facility", "accepted, no effect"),
    ("syslog.name", "accepted, no effect"),
    ("log_file.log_rotate_bytes", "accepted with a warning"),
    ("log_file.log_rotate_duration", "accepted with a warning"),
    ("log_file.log_rotate_max_files", "accepted with a warning"),
    ("template.function_blacklist", "the same as `function_denylist`"),
    ("exec.env.whitelist", "the same as `allowlist`"),
    ("exec.env.blacklist", "the same as `denylist`"),
    ("wait.bool", "the same as `enabled`"),
    ("vault.client_user_agent", "accepted, no effect"),
    ("vault.ssl.verify", "only true"),
    ("vault.transport.dial_keep_alive", "accepted, no effect"),
    ("vault.transport.disable_keep_alives", "accepted, no effect"),
    ("vault.transport.idle_conn_timeout", "accepted, no effect"),
    ("vault.transport.max_idle_conns", "accepted, no effect"),
    ("vault.transport.max_idle_conns_per_host", "accepted, no effect"),
    ("vault.transport.max_conns_per_host", "accepted, no effect"),
    ("vault.transport.tls_handshake_timeout", "accepted, no effect"),
];

fn tables() -> String {
    let facts: Vec<(String, Value)> =
        serde_json::from_str(include_str!("../../template/tests/facts/functions.json")).unwrap();
    let mut cases: BTreeMap<&str, usize> = BTreeMap::new();
    for (template, _) in &facts {
        let mut words: Vec<&str> = template
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            *cases.entry(word).or_default() += 1;
        }
    }
    let mut out = String::from(
        "\n## Functions\n\nThe number is how many cases of the table above have the function in them.\n\n| function | state | cases |\n|---|---|---|\n",
    );
    for (name, refused) in herder_template::functions() {
        let count = cases.get(name).copied().unwrap_or(0);
        let state = match refused {
            Some(about) => format!("refused, as it needs {about}"),
            None if count > 0 => "the same".to_owned(),
            None if matches!(name, "secret" | "secrets" | "pkiCert" | "file" | "writeToFile") => {
                "the same, against the embedded server".to_owned()
            }
            None if name.starts_with("sprig_") => "another name of one that is the same".to_owned(),
            None => "the same, by Go's own tests".to_owned(),
        };
        let count = if count > 0 && refused.is_none() {
            count.to_string()
        } else {
            String::new()
        };
        writeln!(out, "| `{name}` | {state} | {count} |").unwrap();
    }
    out.push_str("\n## Settings\n\n| setting | effect |\n|---|---|\n");
    for name in setting_names() {
        let effect = EFFECTS
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("as consul-template's", |(_, effect)| effect);
        writeln!(out, "| `{name}` | {effect} |").unwrap();
    }
    out.push_str("\n## Flags\n\n| flag | meaning |\n|---|---|\n");
    for flag in FLAGS {
        let takes = if flag.takes.is_empty() {
            String::new()
        } else {
            format!(" {}", flag.takes)
        };
        writeln!(out, "| `-{}{takes}` | {} |", flag.name, flag.help).unwrap();
    }
    out
}

#[test]
fn the_tables_are_what_the_code_has() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/template.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, present) = text.split_once(MARK).unwrap();
    let wanted = tables();
    if std::env::var_os("HERDER_UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{wanted}")).unwrap();
        return;
    }
    assert!(
        present == wanted,
        "docs/template.md is old: run this test with HERDER_UPDATE=1"
    );
    for (name, _) in EFFECTS {
        assert!(setting_names().iter().any(|known| known == name), "{name}");
    }
}
