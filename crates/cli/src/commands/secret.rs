//! `herder secret`: read and write Vault paths by hand, and look at policies.

use anyhow::{Context, Result, bail};
use herder_base::Secret;
use herder_vault::{Client, Config, Method};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Arguments of `herder secret`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: Vault,
    #[command(subcommand)]
    command: Command,
}

/// How to reach Vault; by default the one of the running herder.
#[derive(Debug, clap::Args)]
struct Vault {
    /// Vault's address
    #[arg(long, global = true, env = "VAULT_ADDR", value_name = "URL")]
    vault_addr: Option<String>,
    /// File that holds a token (the variable VAULT_TOKEN counts as well)
    #[arg(long, global = true, value_name = "FILE")]
    vault_token_file: Option<PathBuf>,
    /// File of the CA that signed Vault's certificate
    #[arg(long, global = true, env = "VAULT_CACERT", value_name = "FILE")]
    vault_ca: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a secret's fields, or one value
    Get {
        /// Such as `secret/shop/db`, or `secret/shop/db#password` for one value
        path: String,
    },
    /// Write fields; those not named stay unless --replace
    Put {
        /// Such as `secret/shop/db`
        path: String,
        /// `key=value`; `key=@file` and `key=-` (standard input) keep values off the command line
        #[arg(required = true, value_name = "KEY=VALUE")]
        fields: Vec<String>,
        /// Drop the fields that are not named
        #[arg(long)]
        replace: bool,
    },
    /// Print the names below a path
    List {
        /// Such as `secret/` or `secret/shop`
        path: String,
    },
    /// Print the policies, or one policy's text
    Policies {
        /// A policy's name
        name: Option<String>,
    },
}

/// Does what was asked for. `dir` is the data directory of the running herder, if there is one.
pub(crate) async fn run(args: Args, dir: Option<&Path>, as_json: bool) -> Result<()> {
    let client = args.vault.client(dir)?;
    match args.command {
        Command::Get { path } => {
            let value = if path.contains('#') {
                client.value(&path).await?
            } else {
                Value::Object(client.fields(&path).await?)
            };
            show(&value, as_json)
        }
        Command::Put {
            path,
            fields,
            replace,
        } => {
            let (mut all, version) = match client.read(&path).await {
                Ok(answer) if !replace => (
                    fields_of(&answer),
                    answer.pointer("/data/metadata/version").cloned(),
                ),
                Ok(_) | Err(herder_vault::Error::NotFound { .. }) => (Map::new(), None),
                // Whoever may write but not read can replace, which then has to be said.
                Err(_) if replace => (Map::new(), None),
                Err(error) => {
                    return Err(error)
                        .context("the present fields cannot be read to keep them; --replace drops them");
                }
            };
            for field in &fields {
                let (key, value) = parse_field(field)?;
                all.insert(key, Value::String(value));
            }
            // Only on top of what was read: somebody else's change in between is not lost.
            let body = match version {
                Some(version) => json!({"data": all, "options": {"cas": version}}),
                None => Value::Object(all),
            };
            let answer = client.write(&path, &body).await?;
            let version = answer.pointer("/data/version").cloned().unwrap_or(Value::Null);
            if as_json {
                show(&json!({"path": path, "version": version}), true)
            } else {
                match version.as_u64() {
                    Some(version) => println!("{path} is now at version {version}"),
                    None => println!("{path} written"),
                }
                Ok(())
            }
        }
        Command::List { path } => {
            let names = client.list(&path).await?;
            if as_json {
                show(&json!(names), true)
            } else {
                lines(names)
            }
        }
        Command::Policies { name: None } => {
            let answer = client.call(Method::List, "sys/policies/acl", None).await?;
            let names = answer.pointer("/data/keys").cloned().unwrap_or_else(|| json!([]));
            if as_json {
                return show(&names, true);
            }
            lines(
                names
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        }
        Command::Policies { name: Some(name) } => {
            let answer = client
                .call(Method::Get, &format!("sys/policies/acl/{name}"), None)
                .await?;
            let text = answer
                .pointer("/data/policy")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if as_json {
                show(&json!({"name": name, "policy": text}), true)
            } else {
                lines(vec![text.to_owned()])
            }
        }
    }
}

impl Vault {
    /// The address given, else the running herder's.
    fn client(&self, dir: Option<&Path>) -> Result<Client> {
        let endpoints = match (&self.vault_addr, dir) {
            (None, Some(dir)) => {
                let path = dir.join("endpoints.json");
                let text = std::fs::read_to_string(&path).with_context(|| {
                    format!(
                        "no herder runs in {}: {} cannot be read",
                        dir.display(),
                        path.display()
                    )
                })?;
                serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?
            }
            _ => Value::Null,
        };
        let found = |pointer: &str| {
            endpoints
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let Some(address) = self.vault_addr.clone().or_else(|| found("/vault/addr")) else {
            bail!("no Vault to talk to: give --dir of a running herder, or --vault-addr or VAULT_ADDR");
        };
        let mut config = Config::new(address);
        config.namespace = found("/vault/namespace");
        if let Some(ca) = self
            .vault_ca
            .clone()
            .or_else(|| found("/vault/ca_file").map(PathBuf::from))
        {
            config.ca = Some(std::fs::read(&ca).with_context(|| format!("cannot read {}", ca.display()))?);
        }
        let client = Client::new(&config)?;
        let file = self
            .vault_token_file
            .clone()
            .or_else(|| found("/vault/token_file").map(PathBuf::from));
        let token = match file {
            Some(file) => std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the token in {}", file.display()))?,
            None => std::env::var("VAULT_TOKEN").unwrap_or_default(),
        };
        if !token.trim().is_empty() {
            client.set_token(Secret::new(token.trim().to_owned()));
        }
        Ok(client)
    }
}

/// A secret's fields in either version's answer.
fn fields_of(answer: &Value) -> Map<String, Value> {
    let two = answer.pointer("/data/metadata").is_some();
    let fields = answer.pointer(if two { "/data/data" } else { "/data" });
    fields.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn parse_field(field: &str) -> Result<(String, String)> {
    let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        bail!("a field is not of the form key=value");
    };
    let value = if value == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        text.trim_end_matches('\n').to_owned()
    } else if let Some(file) = value.strip_prefix('@') {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
    } else {
        value.to_owned()
    };
    Ok((key.to_owned(), value))
}

fn show(value: &Value, as_json: bool) -> Result<()> {
    match value {
        _ if as_json => println!("{}", serde_json::to_string_pretty(value)?),
        Value::Object(fields) => {
            let width = fields.keys().map(String::len).max().unwrap_or(0);
            for (key, value) in fields {
                println!("{key:width$}  {}", plain(value));
            }
        }
        other => println!("{}", plain(other)),
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lines(lines: Vec<String>) -> Result<()> {
    for line in lines {
        println!("{line}");
    }
    Ok(())
}
