//! `herder status`: applications by stage, and everything that needs attention.

use crate::args::Global;
use crate::failing::Failing;
use crate::output::Exit;
use crate::paint::by_word;
use crate::platform::Platform;
use crate::watching;
use anyhow::Result;
use serde_json::Value;

/// Arguments of `herder status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this application
    application: Option<String>,
    /// Only in this namespace (or environment)
    #[arg(short, long)]
    namespace: Option<String>,
    /// Show it again whenever something changes
    #[arg(short, long)]
    watch: bool,
    /// End with 4 if something of what is shown needs attention
    #[arg(long, conflicts_with = "watch")]
    exit_code: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let platform = Platform::find(global)?;
    let mut healthy = true;
    watching::show(&platform, args.watch, global.json, async || {
        let mut status = platform.get("/api/v1/status").await?;
        narrow(
            &mut status,
            args.application.as_deref(),
            args.namespace.as_deref(),
        )?;
        healthy = list(&status, "applications")
            .flat_map(|row| list(row, "cells"))
            .all(|cell| {
                !matches!(
                    text(cell, "health"),
                    "degraded" | "missing" | "held" | "incomplete"
                )
            });
        if global.json {
            watching::document(&status, args.watch)?;
        } else {
            print(&status, args.application.is_some() || args.namespace.is_some());
        }
        Ok(())
    })
    .await?;
    if args.exit_code && !healthy {
        return Err(Exit(crate::failing::Kind::Unhealthy as u8).into());
    }
    Ok(())
}

/// Leaves only what was asked for. What nobody has ever heard of is a mistake and not an empty answer.
fn narrow(status: &mut Value, application: Option<&str>, namespace: Option<&str>) -> Result<()> {
    if let Some(name) = application {
        let mut known = list(status, "applications").map(|row| text(row, "name"));
        if !known.any(|known| known == name) {
            let known = list(status, "applications").map(|row| text(row, "name"));
            return Err(Failing::unknown(format!("there is no application `{name}`"), name, known).into());
        }
    }
    if let Some(name) = namespace {
        let names = || {
            let cells = list(status, "applications").flat_map(|row| list(row, "cells"));
            let cells = cells.flat_map(|cell| [text(cell, "stage"), text(cell, "namespace")]);
            let environments = list(status, "environments");
            let environments = environments.flat_map(|item| [text(item, "name"), text(item, "namespace")]);
            cells.chain(environments)
        };
        if !names().any(|known| known == name) {
            let message = format!("there is no namespace or environment `{name}`");
            return Err(Failing::unknown(message, name, names()).into());
        }
    }
    let here = |place: &Value, name: &str| {
        namespace.is_none_or(|wanted| wanted == text(place, "namespace") || wanted == text(place, name))
    };
    if let Some(Value::Array(rows)) = status.get_mut("applications") {
        rows.retain(|row| application.is_none_or(|name| name == text(row, "name")));
        for row in rows.iter_mut() {
            if let Some(Value::Array(cells)) = row.get_mut("cells") {
                cells.retain(|cell| here(cell, "stage"));
            }
        }
        rows.retain(|row| namespace.is_none() || list(row, "cells").next().is_some());
    }
    if let Some(Value::Array(environments)) = status.get_mut("environments") {
        environments.retain(|item| here(item, "name"));
    }
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn print(status: &Value, narrowed: bool) {
    let fleet = status.get("fleet").unwrap_or(&Value::Null);
    println!(
        "{} at {} ({} namespaces, {} objects)\n",
        text(fleet, "name"),
        text(fleet, "commit").get(..12).unwrap_or_default(),
        number(fleet, "/namespaces"),
        number(fleet, "/objects")
    );
    let down = status.get("down").filter(|down| !down.is_null());
    if let Some(down) = down {
        match down.get("left").and_then(Value::as_u64) {
            Some(0) => {
                println!("everything is down; what git has comes back with the next `herder up FLEET`\n")
            }
            Some(left) => println!(
                "everything is down, and {left} objects are still in the cluster: {}\n",
                list(down, "names")
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            None => println!("everything is down; the cluster does not say what is left in it\n"),
        }
    }
    let mut table = vec![["APPLICATION", "STAGE", "VERSION", "HEALTH", "READY", "REASON"].map(str::to_owned)];
    for row in list(status, "applications") {
        for cell in list(row, "cells") {
            let ready = format!("{}/{}", number(cell, "/ready"), number(cell, "/desired"));
            table.push(
                [
                    text(row, "name"),
                    text(cell, "stage"),
                    text(cell, "version"),
                    text(cell, "health"),
                    &ready,
                    text(cell, "reason"),
                ]
                .map(str::to_owned),
            );
        }
    }
    if table.len() > 1 {
        crate::output::table(&table);
    } else if down.is_none() {
        println!("no applications");
    }
    if narrowed {
        return;
    }
    let findings: Vec<_> = list(status, "diagnostics").collect();
    if !findings.is_empty() {
        println!("\nfindings in git:");
    }
    for finding in findings {
        let hint = text(finding, "hint");
        let hint = if hint.is_empty() {
            String::new()
        } else {
            format!("\n    hint: {hint}")
        };
        let severity = text(finding, "severity");
        let more = match number(finding, "/times") {
            0 | 1 => String::new(),
            2 => " (and another place)".to_owned(),
            times => format!(" (and {} more places)", times - 1),
        };
        println!(
            "  {} {}: {}{more}{hint}",
            by_word(severity, severity),
            text(finding, "at"),
            text(finding, "message")
        );
    }
    let known: Vec<_> = list(status, "acknowledged").collect();
    if !known.is_empty() {
        println!(
            "\n{} findings are acknowledged (`--json` shows them)",
            known.len()
        );
    }
    let builds: Vec<_> = list(status, "builds").collect();
    if !builds.is_empty() {
        println!("\nfailed builds:");
    }
    for run in builds {
        let (name, word) = (text(run, "job"), text(run, "status"));
        println!(
            "  {name} #{}: {} {}",
            number(run, "/number"),
            by_word(word, word),
            text(run, "reason")
        );
    }
    let pass = status.get("pass").unwrap_or(&Value::Null);
    for failure in list(pass, "failures").filter_map(Value::as_str) {
        println!("refused by the cluster: {failure}");
    }
    for note in list(pass, "notes").filter_map(Value::as_str) {
        println!("left out: {note}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_narrow_the_document_and_refuse_what_nobody_knows() {
        let cell = |stage: &str, namespace: &str| json!({"stage": stage, "namespace": namespace});
        let status = json!({
            "applications": [
                {"name": "shop", "cells": [cell("staging", "shop-staging"), cell("production", "shop")]},
                {"name": "web", "cells": [cell("production", "shop")]},
            ],
            "environments": [{"name": "staging", "namespace": "shop-staging"}, {"name": "dev", "namespace": "dev"}],
        });
        let only = |application: Option<&str>, namespace: Option<&str>| {
            let mut status = status.clone();
            narrow(&mut status, application, namespace).map(|()| status)
        };
        let shop = only(Some("shop"), Some("staging")).unwrap();
        assert_eq!(
            shop["applications"],
            json!([{"name": "shop", "cells": [cell("staging", "shop-staging")]}])
        );
        assert_eq!(shop["environments"].as_array().unwrap().len(), 1);
        assert_eq!(only(None, Some("dev")).unwrap()["applications"], json!([]));
        for (application, namespace, near) in [
            (Some("shp"), None, "shop"),
            (None, Some("stagin"), "staging"),
            (Some("web"), Some("productoin"), "production"),
        ] {
            let failing = crate::failing::of(&only(application, namespace).unwrap_err());
            assert_eq!(failing.code, "not-found");
            assert!(failing.hint.unwrap().contains(near));
        }
    }
}
