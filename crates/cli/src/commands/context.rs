//! `herder context`: the Herders that this user knows, as `kubectl config` has clusters.

use crate::args::Global;
use crate::contexts::{self, Contexts, Known, Place};
use crate::failing::{Failing, Kind};
use crate::locate;
use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `herder context`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them; `*` is the current one
    #[command(alias = "ls")]
    List,
    /// Print the current one's name
    Current,
    /// Make one the current one
    Use {
        /// Its name
        name: String,
    },
    /// Add one on another machine; those that start here add themselves
    Add {
        /// What to call it
        name: String,
        /// The address of its dashboard, such as https://herder.example.org
        #[arg(long, value_name = "URL")]
        url: String,
        /// The file with its token: state/dashboard.token of its data directory
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// The authority of its certificate, PEM [default: the machine's]
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Forget one; nothing is stopped or deleted
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) fn run(global: &Global, args: Args) -> Result<()> {
    match args.verb {
        Verb::List => list(global),
        Verb::Current => {
            let contexts = Contexts::read()?;
            let current = contexts.current().ok_or_else(|| {
                Failing::new(Kind::Refused, "not-found", "no context is current")
                    .hint("`herder context use NAME` makes one current")
            })?;
            if global.json {
                println!("{}", json!({"name": current.name, "place": current.place}));
            } else {
                println!("{}", current.name);
            }
            Ok(())
        }
        Verb::Use { name } => {
            contexts::change(|contexts| {
                contexts.find(&name)?;
                contexts.current = Some(name.clone());
                Ok(())
            })?;
            done(global, &name, "is current")
        }
        Verb::Add {
            name,
            url,
            token_file,
            ca_file,
        } => {
            let absolute = |path: &PathBuf| {
                path.canonicalize()
                    .with_context(|| format!("cannot find {}", path.display()))
            };
            let place = Place::Remote {
                url: url.trim_end_matches('/').to_owned(),
                token_file: absolute(&token_file)?,
                ca_file: ca_file.as_ref().map(absolute).transpose()?,
            };
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(Failing::usage(format!("`{url}` is no address: it begins with https://")).into());
            }
            contexts::change(|contexts| {
                if contexts.contexts.iter().any(|known| known.name == name) {
                    let failing = Failing::new(
                        Kind::Refused,
                        "conflict",
                        format!("there is a context `{name}` already"),
                    );
                    return Err(failing.hint("`herder context remove NAME` forgets it").into());
                }
                contexts.contexts.push(Known {
                    name: name.clone(),
                    place,
                });
                contexts.current = Some(name.clone());
                Ok(())
            })?;
            done(global, &name, "is known and current")
        }
        Verb::Remove { name } => {
            contexts::change(|contexts| {
                contexts.find(&name)?;
                contexts.contexts.retain(|known| known.name != name);
                contexts.current = contexts.current.take().filter(|current| *current != name);
                Ok(())
            })?;
            done(global, &name, "is forgotten")
        }
    }
}

fn done(global: &Global, name: &str, what: &str) -> Result<()> {
    if global.json {
        println!("{}", json!({ "name": name }));
    } else {
        println!("{name} {what}");
    }
    Ok(())
}

fn list(global: &Global) -> Result<()> {
    let contexts = Contexts::read()?;
    let current = contexts.current.as_deref();
    if global.json {
        let all = contexts.contexts.iter().map(|known| {
            json!({
                "name": known.name, "current": current == Some(&known.name), "running": locate::runs(&known.place),
                "place": known.place,
            })
        });
        let all: Vec<_> = all.collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let mut table = vec![["", "NAME", "STATE", "PLACE"].map(str::to_owned)];
    for known in &contexts.contexts {
        let mark = if current == Some(&known.name) { "*" } else { "" };
        let state = if locate::runs(&known.place) { "up" } else { "down" };
        table.push([
            mark.to_owned(),
            known.name.clone(),
            state.to_owned(),
            known.place.to_string(),
        ]);
    }
    crate::output::table(&table);
    Ok(())
}
