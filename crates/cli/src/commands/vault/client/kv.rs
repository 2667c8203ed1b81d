//! `vault kv`: the same words for both versions of the engine, after asking which one is there.

use super::args::{Args, fields};
use super::{data, show, wrap};
use anyhow::{Result, bail};
use herder_vault::{Client, Method};
use serde_json::{Value, json};

/// Where a secret is: its mount with a final slash, the rest, and whether there are versions.
struct Place {
    mount: String,
    name: String,
    versions: bool,
}

impl Place {
    async fn find(client: &Client, args: &Args, path: &str) -> Result<Self> {
        let whole = match args.flag("mount") {
            Some(mount) => format!("{}/{path}", mount.trim_end_matches('/')),
            None => path.to_owned(),
        };
        let answer = client
            .call(Method::Get, &format!("sys/internal/ui/mounts/{whole}"), None)
            .await?;
        let mount = data(&answer)
            .get("path")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let versions = data(&answer).pointer("/options/version").and_then(Value::as_str) == Some("2");
        let name = whole.strip_prefix(mount.as_str()).unwrap_or_default().to_owned();
        Ok(Self {
            mount,
            name,
            versions,
        })
    }

    fn at(&self, kind: &str) -> String {
        if self.versions {
            format!("{}{kind}/{}", self.mount, self.name)
        } else {
            format!("{}{}", self.mount, self.name)
        }
    }
}

pub(super) async fn run(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    let (words, metadata) = match words {
        ["metadata", rest @ ..] => (rest, true),
        other => (other, false),
    };
    let [verb, path, rest @ ..] = words else {
        bail!("vault kv get|put|patch|delete|undelete|destroy|list|metadata needs a path");
    };
    // An empty version would hide the one before it.
    if !metadata && matches!(*verb, "put" | "patch") && rest.is_empty() {
        bail!("Must supply data");
    }
    let place = Place::find(client, args, path).await?;
    if metadata {
        return about(client, args, verb, &place).await;
    }
    match *verb {
        "get" => get(client, args, &place).await,
        "list" => show::names(
            args,
            &wrap::call(client, args, Method::List, &place.at("metadata"), None).await?,
        ),
        "put" | "patch" => put(client, args, &place, *verb == "patch", rest).await,
        "delete" => {
            let versions = args.all("versions").join(",");
            if place.versions && !versions.is_empty() {
                return mark(client, args, &place, "delete", &versions).await;
            }
            let answer = wrap::call(client, args, Method::Delete, &place.at("data"), None).await?;
            show::done(
                args,
                &answer,
                &format!("Success! Data deleted (if it existed) at: {}", place.at("data")),
            )
        }
        "undelete" | "destroy" if place.versions => {
            mark(client, args, &place, verb, &args.all("versions").join(",")).await
        }
        other => bail!("`vault kv {other}` is not here"),
    }
}

async fn get(client: &Client, args: &Args, place: &Place) -> Result<()> {
    let mut path = place.at("data");
    if let Some(version) = args.flag("version") {
        path.push_str(&format!("?version={version}"));
    }
    let answer = wrap::call(client, args, Method::Get, &path, None).await?;
    if wrap::info(&answer).is_some() || !place.versions {
        return show::answer(args, &answer);
    }
    let inner = data(&answer);
    if args.flag("field").is_some() {
        return show::answer(args, inner);
    }
    if show::is_structured(args) {
        return show::answer(args, &answer);
    }
    println!("===== Secret Path =====\n{path}\n\n======= Metadata =======");
    if let Some(Value::Object(metadata)) = inner.get("metadata") {
        show::table(metadata);
    }
    println!("\n====== Data ======");
    if let Some(Value::Object(fields)) = inner.get("data") {
        show::table(fields);
    }
    Ok(())
}

async fn put(client: &Client, args: &Args, place: &Place, patch: bool, words: &[&str]) -> Result<()> {
    let given = fields(words)?;
    let body = if place.versions {
        let options = match args.flag("cas") {
            Some(cas) => json!({ "cas": cas.parse::<u64>()? }),
            None => json!({}),
        };
        json!({ "data": given, "options": options })
    } else {
        given
    };
    let method = if patch { Method::Patch } else { Method::Put };
    let answer = wrap::call(client, args, method, &place.at("data"), Some(&body)).await?;
    show::done(
        args,
        &answer,
        &format!("Success! Data written to: {}", place.at("data")),
    )
}

async fn mark(client: &Client, args: &Args, place: &Place, kind: &str, versions: &str) -> Result<()> {
    if versions.is_empty() {
        bail!("-versions=N[,N…] is missing");
    }
    let versions: Vec<&str> = versions.split(',').collect();
    let answer = wrap::call(
        client,
        args,
        Method::Put,
        &place.at(kind),
        Some(&json!({ "versions": versions })),
    )
    .await?;
    show::done(
        args,
        &answer,
        &format!("Success! Data written to: {}", place.at(kind)),
    )
}

async fn about(client: &Client, args: &Args, verb: &str, place: &Place) -> Result<()> {
    if !place.versions {
        bail!("version 1 of the engine has no metadata");
    }
    let path = place.at("metadata");
    match verb {
        "get" => show::answer(args, &wrap::call(client, args, Method::Get, &path, None).await?),
        "put" => {
            let mut body = args.object(&[
                ("max-versions", "max_versions"),
                ("cas-required", "cas_required"),
                ("delete-version-after", "delete_version_after"),
            ]);
            let custom = args.all("custom-metadata");
            if !custom.is_empty() {
                body.insert("custom_metadata".to_owned(), fields(&custom)?);
            }
            let answer = wrap::call(client, args, Method::Put, &path, Some(&Value::Object(body))).await?;
            show::done(args, &answer, &format!("Success! Data written to: {path}"))
        }
        "delete" => {
            let answer = wrap::call(client, args, Method::Delete, &path, None).await?;
            show::done(
                args,
                &answer,
                &format!("Success! Data deleted (if it existed) at: {path}"),
            )
        }
        other => bail!("`vault kv metadata {other}` is not here"),
    }
}
