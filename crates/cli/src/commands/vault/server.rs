//! `vault server`: storage, listeners, and the loop until it is told to end. The server itself is in `herder_secrets`.

use super::flags::Flags;
use super::settings::{Listener, Settings};
use super::{Failure, say};
use herder_base::{SystemClock, chain};
use herder_secrets::{ClientCertificates, Config, Op, Request, Server, Storage, dev_certificate, server_tls};
use serde_json::json;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Serves until told to end.
pub(super) fn run(flags: Flags) -> Result<(), Failure> {
    crate::print::outlive_reader();
    let mut settings = Settings::load(&flags.configs)?;
    if flags.dev {
        settings.listeners.insert(0, dev_listener(&flags)?);
    }
    if settings.listeners.is_empty() {
        return Err(Failure::Config(
            "the configuration has no listener \"tcp\"".to_owned(),
        ));
    }
    if !flags.dev && !settings.has_storage {
        return Err(Failure::Config(
            "the configuration has no storage \"file\" or \"inmem\"".to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(serve(flags, settings));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

fn dev_listener(flags: &Flags) -> Result<Listener, Failure> {
    let address = flags
        .dev_address
        .clone()
        .unwrap_or_else(|| "127.0.0.1:8200".to_owned());
    if !flags.dev_tls {
        return Ok(Listener { address, tls: None });
    }
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if let Some(host) = address
        .rsplit_once(':')
        .map(|(host, _)| host.trim_matches(['[', ']']))
        && !names.iter().any(|name| name == host)
        && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
        && !host.is_empty()
    {
        names.push(host.to_owned());
    }
    let made = dev_certificate(&names).map_err(|source| Failure::Tls(address.clone(), source))?;
    let dir = flags
        .dev_tls_dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("vault-tls-{}", std::process::id())));
    std::fs::create_dir_all(&dir).map_err(|source| Failure::Write(dir.clone(), source))?;
    for (name, text) in [
        ("vault-ca.pem", &made.ca),
        ("vault-cert.pem", &made.certificate),
        ("vault-key.pem", &*made.key),
    ] {
        write_private(&dir.join(name), text)?;
    }
    say(&format!(
        "The development CA is in {}",
        dir.join("vault-ca.pem").display()
    ));
    Ok(Listener {
        address,
        tls: Some((
            made.certificate,
            made.key.to_string(),
            ClientCertificates::Request,
        )),
    })
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    // Replaced rather than rewritten, so that an existing file's laxer mode does not stay.
    let _ = std::fs::remove_file(path);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| Failure::Write(path.to_owned(), source))
}

async fn serve(flags: Flags, settings: Settings) -> Result<(), Failure> {
    let storage = match settings.storage {
        Some(dir) => {
            std::fs::create_dir_all(&dir).map_err(|source| Failure::Write(dir.clone(), source))?;
            Storage::File(dir.join("vault.redb"))
        }
        None => Storage::InMemory,
    };
    let server = Server::open(Config {
        storage,
        clock: Arc::new(SystemClock),
        api_addr: settings.api_addr,
    })
    .map_err(Failure::Storage)?;
    let mut bound = Vec::new();
    for listener in settings.listeners {
        let tls = match &listener.tls {
            Some((certificate, key, clients)) => Some(
                server_tls(certificate, key, clients)
                    .map_err(|source| Failure::Tls(listener.address.clone(), source))?,
            ),
            None => None,
        };
        let socket = TcpListener::bind(&listener.address)
            .await
            .map_err(|source| Failure::Listen(listener.address.clone(), source))?;
        let address = socket
            .local_addr()
            .map_or_else(|_| listener.address.clone(), |address| address.to_string());
        bound.push((socket, tls, address));
    }
    if flags.dev {
        dev(&server, &flags).await?;
    }
    for note in settings.notes {
        say(&format!("note: {note}"));
    }
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.clone().run(cancel.clone()));
    for (socket, tls, address) in bound {
        say(&format!(
            "listening on {}://{address}",
            if tls.is_some() { "https" } else { "http" }
        ));
        let (server, cancel) = (server.clone(), cancel.clone());
        tasks.spawn(async move { server.serve(socket, tls, cancel).await });
    }
    say("==> Vault server started!");
    wait_for_end(&server).await?;
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Returns when the process is asked to end; a hang-up reopens the audit files.
async fn wait_for_end(server: &Server) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Failure::Runtime)?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => {
                if let Err(error) = server.reopen_audit_files() {
                    let _ = writeln!(std::io::stderr(), "error: {}", chain(&error));
                }
            }
        }
    }
}

/// Initialises, unseals and mounts `secret/`.
async fn dev(server: &Server, flags: &Flags) -> Result<(), Failure> {
    let setup = |step| move |source| Failure::Setup(step, source);
    let init = server
        .init(1, 1, flags.dev_token.clone())
        .await
        .map_err(setup("initialising"))?;
    let key = init.keys.first().map(|key| hex(key)).unwrap_or_default();
    server
        .handle(Request::new(Op::Write, "sys/unseal").with(json!({ "key": key })))
        .await
        .map_err(setup("unsealing"))?;
    server
        .handle(
            Request::new(Op::Write, "sys/mounts/secret")
                .with(json!({ "type": "kv", "options": { "version": "2" }, "description": "key/value secret storage" }))
                .token(&init.root_token),
        )
        .await
        .map_err(setup("mounting secret/"))?;
    if !flags.dev_no_store
        && let Some(home) = std::env::home_dir()
    {
        write_private(&home.join(".vault-token"), &init.root_token)?;
    }
    say("WARNING! dev mode is enabled: everything is in memory, and the server starts unsealed.\n");
    say(&format!("Unseal Key: {key}\nRoot Token: {}\n", *init.root_token));
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
