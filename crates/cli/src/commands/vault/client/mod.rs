//! The commands people type at a Vault: words to one or two calls, answers to text. Owns no call that the API does not
//! have; works with any Vault.

mod args;
mod kv;
mod operator;
mod show;
mod system;
mod token;
mod wrap;

use anyhow::{Context, Result, bail};
use args::Args;
use herder_base::Secret;
use herder_vault::{Client, Config, Method};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Runs one command; the words come after `vault`.
pub(super) fn main(words: &[String]) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
        .and_then(|runtime| {
            let mut args = Args::parse(words)?;
            args.variables(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))?;
            let client = connect(&args)?;
            runtime.block_on(run(&client, &args))
        });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn connect(args: &Args) -> Result<Client> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let address = args
        .flag("address")
        .map(str::to_owned)
        .or_else(|| variable("VAULT_ADDR"))
        .unwrap_or_else(|| "https://127.0.0.1:8200".to_owned());
    let mut config = Config::new(address);
    config.retries = 2;
    config.namespace = args
        .flag("namespace")
        .map(str::to_owned)
        .or_else(|| variable("VAULT_NAMESPACE"));
    if let Some(file) = args
        .flag("ca-cert")
        .map(str::to_owned)
        .or_else(|| variable("VAULT_CACERT"))
    {
        config.ca = Some(std::fs::read(&file).with_context(|| format!("cannot read {file}"))?);
    }
    let client = Client::new(&config)?;
    let stored = || std::fs::read_to_string(std::env::home_dir()?.join(".vault-token")).ok();
    if let Some(token) = variable("VAULT_TOKEN").or_else(stored) {
        client.set_token(Secret::new(token.trim().to_owned()));
    }
    Ok(client)
}

async fn run(client: &Client, args: &Args) -> Result<ExitCode> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status"] => return operator::status(client, args).await,
        ["login", rest @ ..] => token::login(client, args, rest).await?,
        ["read", path, rest @ ..] => {
            let query: Vec<&str> = rest.to_vec();
            let path = if query.is_empty() {
                (*path).to_owned()
            } else {
                format!("{path}?{}", query.join("&"))
            };
            show::answer(args, &wrap::call(client, args, Method::Get, &path, None).await?)?;
        }
        ["write", path, fields @ ..] => {
            let body = args::fields(fields)?;
            let answer = wrap::call(client, args, Method::Put, path, Some(&body)).await?;
            show::done(args, &answer, &format!("Success! Data written to: {path}"))?;
        }
        ["list", path] => show::names(args, &wrap::call(client, args, Method::List, path, None).await?)?,
        ["delete", path] => {
            let answer = wrap::call(client, args, Method::Delete, path, None).await?;
            show::done(
                args,
                &answer,
                &format!("Success! Data deleted (if it existed) at: {path}"),
            )?;
        }
        ["unwrap", rest @ ..] => {
            let token = rest.first().map(|token| token.trim());
            if let Some(token) = token
                && !client.has_token()
            {
                // Whoever has no token of their own may open it by itself.
                client.set_token(Secret::new(token.to_owned()));
            }
            let body = token.map_or(json!({}), |token| json!({ "token": token }));
            let answer = client
                .call(Method::Put, "sys/wrapping/unwrap", Some(&body))
                .await?;
            show::answer(args, &answer)?;
        }
        ["kv", rest @ ..] => kv::run(client, args, rest).await?,
        ["token", rest @ ..] => token::run(client, args, rest).await?,
        ["operator", rest @ ..] => operator::run(client, args, rest).await?,
        ["secrets" | "auth" | "policy" | "audit" | "lease", ..] => system::run(client, args, &words).await?,
        _ => bail!(
            "`vault {}` is not here: `vault help` lists what is",
            words.join(" ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// `data` of an answer, or the answer itself.
fn data(answer: &Value) -> &Value {
    answer
        .get("data")
        .filter(|data| !data.is_null())
        .unwrap_or(answer)
}
