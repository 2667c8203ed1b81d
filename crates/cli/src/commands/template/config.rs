//! consul-template's configuration files, as far as files, environment and Vault are concerned, in HCL or JSON.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything the files said.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) templates: Vec<Block>,
    pub(super) vault: VaultBlock,
    pub(super) exec: Option<ExecBlock>,
}

/// A `template` block.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    pub(super) source: Option<PathBuf>,
    pub(super) contents: Option<String>,
    pub(super) destination: PathBuf,
    pub(super) command: Option<String>,
    pub(super) perms: Option<Value>,
    #[serde(default)]
    pub(super) error_on_missing_key: bool,
    pub(super) left_delimiter: Option<String>,
    pub(super) right_delimiter: Option<String>,
    #[serde(default)]
    pub(super) function_denylist: Vec<String>,
}

/// The `vault` block.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultBlock {
    pub(super) address: Option<String>,
    pub(super) token: Option<String>,
    pub(super) vault_agent_token_file: Option<PathBuf>,
    pub(super) namespace: Option<String>,
    pub(super) renew_token: Option<bool>,
    pub(super) default_lease_duration: Option<String>,
    pub(super) ssl: Option<SslBlock>,
}

/// The `ssl` block in `vault`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct SslBlock {
    pub(super) ca_cert: Option<PathBuf>,
}

/// The `exec` block.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecBlock {
    pub(super) command: Option<CommandLine>,
    pub(super) splay: Option<String>,
    pub(super) reload_signal: Option<String>,
    pub(super) kill_signal: Option<String>,
    pub(super) kill_timeout: Option<String>,
    pub(super) env: Option<EnvBlock>,
}

/// A command for a shell, or a program with its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum CommandLine {
    Shell(String),
    Words(Vec<String>),
}

/// Which variables the program gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvBlock {
    #[serde(default)]
    pub(super) pristine: bool,
    #[serde(default)]
    pub(super) custom: Vec<String>,
    #[serde(default)]
    pub(super) allowlist: Vec<String>,
    #[serde(default)]
    pub(super) denylist: Vec<String>,
}

/// Reads configuration files in order; later ones win where only one value is possible.
pub(super) fn read(paths: &[PathBuf]) -> Result<Settings> {
    let mut settings = Settings::default();
    for path in paths {
        let here = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {here}"))?;
        let items = herder_secrets::parse_hcl(&text).with_context(|| format!("{here} is not understood"))?;
        for item in items {
            let at = || format!("{here}:{}: `{}` is not understood", item.line, item.key);
            match item.key.as_str() {
                "template" => match item.json() {
                    Value::Array(many) => {
                        for one in many {
                            settings
                                .templates
                                .push(serde_json::from_value(one).with_context(at)?);
                        }
                    }
                    one => settings
                        .templates
                        .push(serde_json::from_value(one).with_context(at)?),
                },
                "vault" => settings.vault = serde_json::from_value(item.json()).with_context(at)?,
                "exec" => settings.exec = Some(serde_json::from_value(item.json()).with_context(at)?),
                "consul" | "nomad" | "deduplicate" => {
                    bail!(
                        "{here}:{}: `{}` is not supported: keep values in Vault or in git",
                        item.line,
                        item.key
                    )
                }
                // Settings without a meaning here.
                "log_level" | "pid_file" | "syslog" | "log_file" | "wait" | "max_stale"
                | "block_query_wait" | "kill_signal" | "reload_signal" => {}
                other => bail!("{here}:{}: there is no setting `{other}`", item.line),
            }
        }
    }
    Ok(settings)
}

/// Variables for the program: all, or those allowed and not denied (`*` at the end matches any rest), and its own.
pub(super) fn environment(block: &EnvBlock) -> BTreeMap<String, String> {
    let fits = |patterns: &[String], name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        })
    };
    let mut variables: BTreeMap<String, String> = std::env::vars()
        .filter(|_| !block.pristine)
        .filter(|(name, _)| block.allowlist.is_empty() || fits(&block.allowlist, name))
        .filter(|(name, _)| !fits(&block.denylist, name))
        .collect();
    for pair in &block.custom {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}
