//! `herder template`: consul-template's command line for files, environment and Vault.

mod child;
mod config;

use anyhow::{Context, Result, bail};
use child::{Child, Supervise};
use config::{Block, VaultBlock};
use herder_base::{Clock, Secret, SystemClock, chain, parse_duration};
use herder_template::{Options, Template};
use herder_vault::agent::write_atomically;
use herder_vault::{Client, Config, Fetcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `herder template`. Options may be written with one dash, as consul-template's are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A template: SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND; may be repeated
    #[arg(long = "template", value_name = "SRC:DST[:CMD]")]
    templates: Vec<String>,
    /// A configuration file in HCL or JSON with `template`, `vault` and `exec` blocks; may be repeated
    #[arg(long = "config", value_name = "FILE")]
    configs: Vec<PathBuf>,
    /// Render everything once and end
    #[arg(long)]
    once: bool,
    /// Print what would be written instead of writing it
    #[arg(long)]
    dry: bool,
    /// Vault's address
    #[arg(long, env = "VAULT_ADDR", value_name = "URL")]
    vault_addr: Option<String>,
    /// Vault's token; better in VAULT_TOKEN or a file, as arguments are seen by everyone
    #[arg(long, env = "VAULT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    vault_token: Option<String>,
    /// File that holds Vault's token
    #[arg(long = "vault-agent-token-file", value_name = "FILE")]
    vault_token_file: Option<PathBuf>,
    /// File of the CA that signed Vault's certificate
    #[arg(long = "vault-ssl-ca-cert", env = "VAULT_CACERT", value_name = "FILE")]
    vault_ca: Option<PathBuf>,
    /// Program to run once everything is rendered, and to restart or signal on changes
    #[arg(long = "exec", value_name = "COMMAND")]
    exec: Option<String>,
    /// Signal that makes the program read its files again; without it the program is restarted
    #[arg(long, value_name = "SIGNAL")]
    exec_reload_signal: Option<String>,
    /// Signal that ends the program [default: SIGINT]
    #[arg(long, value_name = "SIGNAL")]
    exec_kill_signal: Option<String>,
    /// How long the program may take to end [default: 30s]
    #[arg(long, value_name = "TIME")]
    exec_kill_timeout: Option<String>,
    /// Wait a random part of this before the program is restarted or ended
    #[arg(long, value_name = "TIME")]
    exec_splay: Option<String>,
    /// Keep Vault's token renewed
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    vault_renew_token: Option<bool>,
}

/// A template ready to render.
struct Job {
    template: Template,
    destination: PathBuf,
    command: Option<String>,
    mode: u32,
}

/// Gives consul-template's one-dash options the second dash that clap wants.
pub(crate) fn two_dashes(arguments: Vec<OsString>) -> Vec<OsString> {
    arguments
        .into_iter()
        .map(|argument| match argument.to_str() {
            Some(text) if text.starts_with('-') && !text.starts_with("--") && text.len() > 2 => {
                OsString::from(format!("-{text}"))
            }
            _ => argument,
        })
        .collect()
}

/// Renders, once or until told to stop.
pub(crate) async fn run(args: Args) -> Result<()> {
    let mut settings = config::read(&args.configs)?;
    for text in &args.templates {
        settings.templates.push(parse_triple(text)?);
    }
    let (blocks, vault) = (settings.templates, settings.vault);
    if blocks.is_empty() {
        bail!("nothing to render: give --template SRC:DST or --config FILE");
    }
    let mut exec = settings.exec.unwrap_or_default();
    exec.command = args.exec.clone().map(config::CommandLine::Shell).or(exec.command);
    exec.reload_signal = args.exec_reload_signal.clone().or(exec.reload_signal);
    exec.kill_signal = args.exec_kill_signal.clone().or(exec.kill_signal);
    exec.kill_timeout = args.exec_kill_timeout.clone().or(exec.kill_timeout);
    exec.splay = args.exec_splay.clone().or(exec.splay);
    let supervise = Supervise::new(exec)?;
    let jobs = blocks.into_iter().map(prepare).collect::<Result<Vec<_>>>()?;
    let client = connect(&args, &vault)?;
    let refresh = parse_duration(vault.default_lease_duration.as_deref().unwrap_or("5m"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut fetcher = Fetcher::new(client.clone(), clock);
    if args.once || args.dry {
        return once(&mut fetcher, &jobs, args.dry).await.map(drop);
    }
    let renew = args.vault_renew_token.or(vault.renew_token).unwrap_or(true);
    let mut child = Child::new(supervise);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let result = tokio::select! {
        result = keep(&client, &mut fetcher, &jobs, refresh, renew, &mut child) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    child.end().await;
    result
}

fn connect(args: &Args, block: &VaultBlock) -> Result<Client> {
    let address = args.vault_addr.clone().or_else(|| block.address.clone());
    let mut config = Config::new(address.unwrap_or_else(|| "http://127.0.0.1:8200".to_owned()));
    config.namespace = block.namespace.clone();
    let ca = args
        .vault_ca
        .clone()
        .or_else(|| block.ssl.as_ref()?.ca_cert.clone());
    if let Some(ca) = &ca {
        config.ca = Some(std::fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?);
    }
    let client = Client::new(&config)?;
    let file = args
        .vault_token_file
        .as_ref()
        .or(block.vault_agent_token_file.as_ref());
    let token = match file {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the token in {}", file.display()))?,
        ),
        None => args.vault_token.clone().or_else(|| block.token.clone()),
    };
    if let Some(token) = token {
        client.set_token(Secret::new(token.trim().to_owned()));
    }
    Ok(client)
}

/// `source:destination:command`, where the command may hold colons.
fn parse_triple(text: &str) -> Result<Block> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(destination), command) if !source.is_empty() && !destination.is_empty() => {
            Ok(Block {
                source: Some(source.into()),
                destination: destination.into(),
                command: command.filter(|command| !command.is_empty()).map(str::to_owned),
                ..Block::default()
            })
        }
        _ => bail!("template `{text}` is not of the form SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND"),
    }
}

fn prepare(block: Block) -> Result<Job> {
    let (name, text) = match (&block.source, &block.contents) {
        (Some(source), None) => (
            source.display().to_string(),
            std::fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?,
        ),
        (None, Some(contents)) => (block.destination.display().to_string(), contents.clone()),
        _ => bail!(
            "template for {} needs either a source or contents",
            block.destination.display()
        ),
    };
    let options = Options {
        delimiters: (
            block.left_delimiter.unwrap_or_else(|| "{{".to_owned()),
            block.right_delimiter.unwrap_or_else(|| "}}".to_owned()),
        ),
        error_on_missing_key: block.error_on_missing_key,
        denied_functions: block.function_denylist,
    };
    // consul-template's default is 0644, which is no mode for a secret.
    let mode = match &block.perms {
        None => 0o600,
        Some(perms) => {
            let text = perms.as_str().map_or_else(|| perms.to_string(), str::to_owned);
            u32::from_str_radix(&text, 8).with_context(|| format!("`{text}` is not octal, such as 0640"))?
        }
    };
    Ok(Job {
        template: Template::parse(&name, &text, &options)?,
        destination: block.destination,
        command: block.command,
        mode,
    })
}

/// Renders everything and says whether any file changed.
async fn once(fetcher: &mut Fetcher, jobs: &[Job], dry: bool) -> Result<bool> {
    // All are rendered before any is written: one that fails changes nothing.
    let mut finished = Vec::new();
    for job in jobs {
        finished.push((job, fetcher.render(&job.template).await?));
    }
    let mut commands = BTreeSet::new();
    let mut changed = false;
    for (job, rendered) in finished {
        if dry {
            println!("> {}\n{}", job.destination.display(), rendered.text);
            continue;
        }
        for file in &rendered.files {
            let mut bytes = if file.append {
                std::fs::read(&file.path).unwrap_or_default()
            } else {
                Vec::new()
            };
            bytes.extend_from_slice(file.content.as_bytes());
            write_atomically(file.path.as_ref(), &bytes, file.mode)?;
        }
        if write_atomically(&job.destination, rendered.text.as_bytes(), job.mode)? {
            commands.extend(job.command.clone());
            changed = true;
        }
    }
    // The same command for several templates runs once.
    for command in commands {
        let status = tokio::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(&command)
            .status();
        let status = tokio::time::timeout(Duration::from_secs(30), status)
            .await
            .with_context(|| format!("command `{command}` took longer than 30 s"))?
            .with_context(|| format!("cannot run `{command}`"))?;
        if !status.success() {
            bail!("command `{command}` ended with {status}");
        }
    }
    Ok(changed)
}

async fn keep(
    client: &Client,
    fetcher: &mut Fetcher,
    jobs: &[Job],
    refresh: Duration,
    renew: bool,
    child: &mut Child,
) -> Result<()> {
    let mut failures = 0u32;
    loop {
        match once(fetcher, jobs, false).await {
            Ok(changed) => {
                failures = 0;
                child.rendered(changed).await?;
            }
            Err(error) => {
                failures += 1;
                if failures > 12 {
                    return Err(error.context("gave up after 12 attempts"));
                }
                eprintln!("herder template: {error:#}; trying again");
            }
        }
        let lifetime = client.identity().lifetime;
        if renew
            && failures == 0
            && let Err(error) = client.lookup_self().await
            && !matches!(error, herder_vault::Error::Denied(_))
        {
            eprintln!("herder template: {}", chain(&error));
        }
        let identity = client.identity();
        if renew
            && identity.renewable
            && identity.lifetime < refresh.saturating_mul(3)
            && let Err(error) = client.renew_self(lifetime.max(identity.lifetime)).await
        {
            eprintln!(
                "herder template: the token could not be renewed: {}",
                chain(&error)
            );
        }
        let pause = if failures == 0 {
            refresh
        } else {
            Duration::from_millis(250) * 2u32.pow(failures.min(8))
        };
        let wake = tokio::time::Instant::now() + pause.min(Duration::from_secs(60).max(refresh));
        let wake = fetcher.next_due().map_or(wake, |due| due.min(wake));
        tokio::select! {
            () = tokio::time::sleep_until(wake) => {}
            // The program ended by itself: so does this, with its result.
            ended = child.ended() => return ended,
        }
        if let Err(error) = fetcher.renew_due().await {
            eprintln!("herder template: {}", chain(&error));
        }
        fetcher.forget_unleased();
    }
}
