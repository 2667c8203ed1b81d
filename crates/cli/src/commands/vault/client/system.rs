//! `vault secrets`, `auth`, `policy`, `audit` and `lease`.

use super::args::{Args, fields, text};
use super::{data, show};
use anyhow::{Result, bail};
use herder_vault::{Client, Method};
use serde_json::{Map, Value, json};

pub(super) async fn run(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    match words {
        [table @ ("secrets" | "auth" | "audit"), verb, rest @ ..] => {
            mounts(client, args, table, verb, rest).await
        }
        ["policy", rest @ ..] => policy(client, args, rest).await,
        ["lease", "renew", id] => {
            let mut body = args.object(&[("increment", "increment")]);
            body.insert("lease_id".to_owned(), json!(id));
            let answer = client
                .call(Method::Put, "sys/leases/renew", Some(&Value::Object(body)))
                .await?;
            show::answer(args, &answer)
        }
        ["lease", "revoke", id] => {
            let path = match (args.is("prefix"), args.is("force")) {
                (true, true) => format!("sys/leases/revoke-force/{id}"),
                (true, false) => format!("sys/leases/revoke-prefix/{id}"),
                (false, true) => bail!("-force needs -prefix"),
                (false, false) => "sys/leases/revoke".to_owned(),
            };
            let answer = client
                .call(Method::Put, &path, Some(&json!({ "lease_id": id })))
                .await?;
            show::done(args, &answer, "All revocation operations queued successfully!")
        }
        _ => bail!("`vault {}` is not here", words.join(" ")),
    }
}

async fn mounts(client: &Client, args: &Args, table: &str, verb: &str, rest: &[&str]) -> Result<()> {
    let sys = match table {
        "secrets" => "sys/mounts",
        "auth" => "sys/auth",
        _ => "sys/audit",
    };
    match (verb, rest) {
        ("list", []) => show::mounts(args, &client.call(Method::Get, sys, None).await?),
        ("enable", [kind, options @ ..]) => {
            // `kv-v2` is a short word for a kind and an option.
            let (kind, version) = match *kind {
                "kv-v2" => ("kv", Some("2")),
                "kv-v1" => ("kv", Some("1")),
                kind => (kind, args.flag("version")),
            };
            let path = args.flag("path").unwrap_or(kind).trim_matches('/');
            let mut body = args.object(&[("description", "description")]);
            body.insert("type".to_owned(), json!(kind));
            let config: Map<String, Value> = args.object(&[
                ("default-lease-ttl", "default_lease_ttl"),
                ("max-lease-ttl", "max_lease_ttl"),
                ("listing-visibility", "listing_visibility"),
            ]);
            if !config.is_empty() {
                body.insert("config".to_owned(), Value::Object(config));
            }
            let mut given = fields(options)?;
            if let (Some(version), Some(given)) = (version, given.as_object_mut()) {
                given.insert("version".to_owned(), json!(version));
            }
            if given.as_object().is_some_and(|given| !given.is_empty()) {
                body.insert("options".to_owned(), given);
            }
            let answer = client
                .call(Method::Post, &format!("{sys}/{path}"), Some(&Value::Object(body)))
                .await?;
            show::done(args, &answer, &format!("Success! Enabled the {kind} at: {path}/"))
        }
        ("disable", [path]) => {
            let path = path.trim_matches('/');
            let answer = client
                .call(Method::Delete, &format!("{sys}/{path}"), None)
                .await?;
            show::done(
                args,
                &answer,
                &format!("Success! Disabled (if it existed) at: {path}/"),
            )
        }
        ("tune", [path]) if table != "audit" => {
            let body = args.object(&[
                ("default-lease-ttl", "default_lease_ttl"),
                ("max-lease-ttl", "max_lease_ttl"),
                ("description", "description"),
                ("listing-visibility", "listing_visibility"),
            ]);
            let path = path.trim_matches('/');
            let answer = client
                .call(
                    Method::Post,
                    &format!("{sys}/{path}/tune"),
                    Some(&Value::Object(body)),
                )
                .await?;
            show::done(args, &answer, &format!("Success! Tuned: {path}/"))
        }
        ("move", [from, to]) if table == "secrets" => {
            let body = json!({ "from": from, "to": to });
            let answer = client.call(Method::Post, "sys/remount", Some(&body)).await?;
            show::done(args, &answer, &format!("Success! Moved {from} to {to}"))
        }
        _ => bail!("vault {table} list|enable|disable|tune"),
    }
}

async fn policy(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    match words {
        ["list"] => {
            let answer = client.call(Method::List, "sys/policies/acl", None).await?;
            if show::is_structured(args) {
                return show::names(args, &answer);
            }
            for name in data(&answer)
                .get("keys")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                println!("{}", show::plain(name));
            }
            Ok(())
        }
        ["read", name] => {
            let answer = client
                .call(Method::Get, &format!("sys/policies/acl/{name}"), None)
                .await?;
            println!(
                "{}",
                data(&answer).get("policy").map(show::plain).unwrap_or_default()
            );
            Ok(())
        }
        ["write", name, file] => {
            let rules = if *file == "-" {
                text("-")?
            } else {
                text(&format!("@{file}"))?
            };
            let answer = client
                .call(
                    Method::Put,
                    &format!("sys/policies/acl/{name}"),
                    Some(&json!({ "policy": rules })),
                )
                .await?;
            show::done(args, &answer, &format!("Success! Uploaded policy: {name}"))
        }
        ["delete", name] => {
            let answer = client
                .call(Method::Delete, &format!("sys/policies/acl/{name}"), None)
                .await?;
            show::done(args, &answer, &format!("Success! Deleted policy: {name}"))
        }
        _ => bail!("vault policy list|read|write|delete"),
    }
}
