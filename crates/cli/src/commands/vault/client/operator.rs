//! `vault status` and `vault operator`: keys and seals.

use super::args::{Args, text};
use super::show;
use anyhow::{Result, bail};
use herder_vault::{Client, Method};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit status 0 when open, 2 when sealed, as scripts expect.
pub(super) async fn status(client: &Client, args: &Args) -> Result<ExitCode> {
    let answer = client.call(Method::Get, "sys/seal-status", None).await?;
    show::answer(args, &answer)?;
    Ok(if answer.get("sealed") == Some(&Value::Bool(false)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

pub(super) async fn run(client: &Client, args: &Args, words: &[&str]) -> Result<()> {
    match words {
        ["init"] => init(client, args).await,
        ["unseal", rest @ ..] => {
            let body = match rest.first() {
                _ if args.is("reset") => json!({ "reset": true }),
                Some(key) => json!({ "key": text(key)?.trim() }),
                None => json!({ "key": text("-")?.trim() }),
            };
            show::answer(args, &client.call(Method::Put, "sys/unseal", Some(&body)).await?)
        }
        ["seal"] => {
            let answer = client.call(Method::Put, "sys/seal", None).await?;
            show::done(args, &answer, "Success! Vault is sealed.")
        }
        ["rotate"] => {
            let answer = client.call(Method::Put, "sys/rotate", None).await?;
            show::done(args, &answer, "Success! Rotated key")
        }
        ["key-status"] => show::answer(args, &client.call(Method::Get, "sys/key-status", None).await?),
        ["step-down"] => {
            let answer = client.call(Method::Put, "sys/step-down", None).await?;
            show::done(args, &answer, "Success! Stepped down")
        }
        _ => bail!("vault operator init|unseal|seal|rotate|key-status|generate-root -decode"),
    }
}

async fn init(client: &Client, args: &Args) -> Result<()> {
    let number = |names: [&str; 2], default: u64| -> Result<u64> {
        Ok(match names.iter().find_map(|name| args.flag(name)) {
            Some(text) => text.parse()?,
            None => default,
        })
    };
    let shares = number(["key-shares", "n"], 5)?;
    let threshold = number(["key-threshold", "t"], 3)?;
    let body = json!({ "secret_shares": shares, "secret_threshold": threshold });
    let answer = client.call(Method::Put, "sys/init", Some(&body)).await?;
    if show::is_structured(args) {
        let list = |key: &str| answer.get(key).cloned().unwrap_or_default();
        // The names Vault's own command prints differ from the API's.
        let shown = json!({
            "unseal_keys_b64": list("keys_base64"),
            "unseal_keys_hex": list("keys"),
            "unseal_shares": shares,
            "unseal_threshold": threshold,
            "recovery_keys_b64": [], "recovery_keys_hex": [],
            "recovery_keys_shares": 0, "recovery_keys_threshold": 0,
            "root_token": list("root_token"),
        });
        return show::structured(args, &shown);
    }
    for (number, key) in answer
        .get("keys_base64")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        println!("Unseal Key {}: {}", number + 1, show::plain(key));
    }
    println!(
        "\nInitial Root Token: {}",
        answer.get("root_token").map(show::plain).unwrap_or_default()
    );
    println!(
        "\nKeep the keys apart from each other and from the storage: {} of them open it, fewer are worth nothing.",
        threshold
    );
    Ok(())
}
