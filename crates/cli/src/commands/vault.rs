//! `herder vault server`, also when called as `vault`: the secrets server alone, with the flags and configuration files
//! of Vault's own. Owns the command line, the files and the listeners; the server is in `herder_secrets`.

use herder_base::{SystemClock, chain};
use herder_secrets::{
    Body, ClientCertificates, Config, Item, Op, Request, Server, Storage, TlsSetupError, VERSION,
    dev_certificate, parse_hcl, server_tls,
};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const HELP: &str = "\
Usage: herder vault server -dev [flags]
       herder vault server -config=FILE [-config=FILE …]

The secrets server alone, as Vault's clients know it.

  -config=FILE                  HCL or JSON: listener \"tcp\", storage \"file\"|\"inmem\", api_addr
  -dev                          in memory, initialised and unsealed, with secret/ (KV version 2)
  -dev-root-token-id=TOKEN      the root token of -dev (also VAULT_DEV_ROOT_TOKEN_ID)
  -dev-listen-address=ADDRESS   default 127.0.0.1:8200 (also VAULT_DEV_LISTEN_ADDRESS)
  -dev-no-store-token           do not write ~/.vault-token
  -dev-tls                      serve TLS with a certificate made for the occasion
  -dev-tls-cert-dir=DIR         where its CA and key are written; default a new directory in the system's temporary one
  -log-level=LEVEL              accepted for compatibility
";

/// Why the server did not start or run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}\n\n{HELP}")]
    Usage(String),
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
    #[error("{}", .0.display())]
    Parse(PathBuf, #[source] herder_secrets::ParseError),
    #[error("{0}")]
    Config(String),
    #[error("cannot listen on {0}: is another server there?")]
    Listen(String, #[source] std::io::Error),
    #[error("the TLS settings of the listener {0} cannot be used")]
    Tls(String, #[source] TlsSetupError),
    #[error("the storage cannot be opened")]
    Storage(#[source] herder_secrets::OpenError),
    #[error("the server cannot be set up: {0}")]
    Setup(&'static str, #[source] herder_secrets::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
}

/// Runs the command; the arguments come after `vault`.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> = args
        .into_iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    match args.first().map(String::as_str) {
        Some("-version" | "--version" | "version" | "-v") => {
            say(&format!("Vault v{VERSION} (herder)"));
            ExitCode::SUCCESS
        }
        Some("server") => {
            let rest = args.get(1..).unwrap_or_default();
            if rest
                .iter()
                .any(|arg| matches!(arg.trim_start_matches('-'), "h" | "help"))
            {
                say(HELP);
                return ExitCode::SUCCESS;
            }
            report(Flags::parse(rest).and_then(run))
        }
        Some("operator") if args.get(1).is_some_and(|word| word == "generate-root") => {
            report(decode_root(args.get(2..).unwrap_or_default()))
        }
        Some("-h" | "-help" | "--help" | "help") => {
            say(HELP);
            ExitCode::SUCCESS
        }
        other => report(Err(Failure::Usage(match other {
            Some(word) => format!(
                "`vault {word}` is not here: this command has `server`; for the rest use `herder secret`"
            ),
            None => "a command is missing".to_owned(),
        }))),
    }
}

/// `vault operator generate-root -decode TEXT -otp OTP`: takes a new root token out of its wrapping.
fn decode_root(args: &[String]) -> Result<(), Failure> {
    let (mut encoded, mut otp) = (None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, value) = match arg.trim_start_matches('-').split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if arg.trim_start_matches('-') == "tls-skip-verify" => continue,
            None => (arg.trim_start_matches('-'), args.next().cloned()),
        };
        match name {
            "tls-skip-verify" => {}
            "decode" => encoded = value,
            "otp" => otp = value,
            // Needed by Vault to ask the server; decoding asks nobody.
            "address" | "ca-cert" | "ca-path" | "client-cert" | "client-key" | "tls-server-name"
            | "format" => {}
            _ => {
                return Err(Failure::Usage(format!(
                    "-{name} is not known here: only -decode and -otp are"
                )));
            }
        }
    }
    let (Some(encoded), Some(otp)) = (encoded, otp) else {
        return Err(Failure::Usage(
            "operator generate-root needs -decode and -otp here".to_owned(),
        ));
    };
    let token = herder_secrets::decode_root_token(&encoded, &otp)
        .ok_or_else(|| Failure::Usage("-decode and -otp do not fit together".to_owned()))?;
    say(&token);
    Ok(())
}

fn report(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell if standard output is closed.
    let _ = writeln!(out, "{}", text.trim_end());
    let _ = out.flush();
}

#[derive(Debug, Default)]
struct Flags {
    configs: Vec<PathBuf>,
    dev: bool,
    dev_token: Option<String>,
    dev_address: Option<String>,
    dev_no_store: bool,
    dev_tls: bool,
    dev_tls_dir: Option<PathBuf>,
}

impl Flags {
    /// Go's flags: one dash or two, `-name=value` or `-name value`; truth values only with `=`.
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut flags = Self {
            dev_token: std::env::var("VAULT_DEV_ROOT_TOKEN_ID").ok(),
            dev_address: std::env::var("VAULT_DEV_LISTEN_ADDRESS").ok(),
            ..Self::default()
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(flag) = arg
                .strip_prefix('-')
                .map(|flag| flag.strip_prefix('-').unwrap_or(flag))
            else {
                return Err(Failure::Usage(format!("`{arg}` is too much")));
            };
            let (name, given) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let mut value = || {
                given
                    .clone()
                    .or_else(|| args.next().cloned())
                    .ok_or_else(|| Failure::Usage(format!("-{name} needs a value")))
            };
            let truth = || match given.as_deref() {
                None | Some("true" | "1" | "t") => Ok(true),
                Some("false" | "0" | "f") => Ok(false),
                Some(_) => Err(Failure::Usage(format!("-{name} is true or false"))),
            };
            match name {
                "config" => flags.configs.push(value()?.into()),
                "dev" => flags.dev = truth()?,
                "dev-root-token-id" => flags.dev_token = Some(value()?),
                "dev-listen-address" => flags.dev_address = Some(value()?),
                "dev-no-store-token" => flags.dev_no_store = truth()?,
                "dev-tls" => flags.dev_tls = truth()?,
                "dev-tls-cert-dir" => flags.dev_tls_dir = Some(value()?.into()),
                "log-level" | "log-format" | "log-file" | "dev-plugin-dir" => drop(value()?),
                "dev-ha" | "dev-no-kv" | "exit-on-core-shutdown" => drop(truth()?),
                _ => return Err(Failure::Usage(format!("-{name} is not known"))),
            }
        }
        if !flags.dev && flags.configs.is_empty() {
            return Err(Failure::Usage("either -dev or -config=FILE is needed".to_owned()));
        }
        Ok(flags)
    }
}

/// One `listener "tcp"`.
#[derive(Debug)]
struct Listener {
    address: String,
    tls: Option<(String, String, ClientCertificates)>,
}

/// What the configuration files say together.
#[derive(Debug, Default)]
struct Settings {
    listeners: Vec<Listener>,
    storage: Option<PathBuf>,
    has_storage: bool,
    api_addr: String,
    notes: Vec<String>,
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read(path.to_owned(), source))
}

impl Settings {
    fn load(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut settings = Self::default();
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                let entries =
                    std::fs::read_dir(path).map_err(|source| Failure::Read(path.clone(), source))?;
                files.extend(
                    entries
                        .filter_map(|entry| Some(entry.ok()?.path()))
                        .filter(|file| file.extension().is_some_and(|end| end == "hcl" || end == "json")),
                );
            } else {
                files.push(path.clone());
            }
        }
        files.sort();
        for file in files {
            let items = parse_hcl(&read(&file)?).map_err(|source| Failure::Parse(file.clone(), source))?;
            for item in &items {
                settings.take(&file, item)?;
            }
        }
        Ok(settings)
    }

    fn take(&mut self, file: &Path, item: &Item) -> Result<(), Failure> {
        let wrong = |text: String| Failure::Config(format!("{}: {text}", file.display()));
        let body = || match &item.body {
            Body::Items(items) => herder_secrets::hcl_object(items),
            Body::Value(Value::Object(map)) => map.clone(),
            Body::Value(_) => Map::new(),
        };
        let label = item.labels.first().map(String::as_str).unwrap_or_default();
        match item.key.as_str() {
            "listener" if label == "tcp" => self.listeners.push(listener(&body())?),
            "listener" => {
                return Err(wrong(format!(
                    "listener {label:?} is not supported: write listener \"tcp\""
                )));
            }
            "storage" | "backend" => {
                self.has_storage = true;
                match label {
                    "inmem" => {}
                    "file" | "raft" => {
                        let path = body().get("path").and_then(Value::as_str).map(PathBuf::from);
                        self.storage =
                            Some(path.ok_or_else(|| wrong(format!("storage {label:?} needs a path")))?);
                    }
                    other => {
                        return Err(wrong(format!(
                            "storage {other:?} is not supported: write storage \"file\" or \"inmem\""
                        )));
                    }
                }
            }
            "api_addr" => self.api_addr = item.json().as_str().unwrap_or_default().to_owned(),
            "default_lease_ttl" | "max_lease_ttl" if item.json() != "768h" => {
                self.notes.push(format!(
                    "{} is fixed at 768h here; tune the mounts instead",
                    item.key
                ));
            }
            "seal" => {
                return Err(wrong(
                    "seal is not supported: this server is unsealed with key shares".to_owned(),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn listener(body: &Map<String, Value>) -> Result<Listener, Failure> {
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let truth = |key: &str| match body.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    };
    let address = text("address").unwrap_or("127.0.0.1:8200").to_owned();
    if truth("tls_disable") {
        return Ok(Listener { address, tls: None });
    }
    let (Some(certificate), Some(key)) = (text("tls_cert_file"), text("tls_key_file")) else {
        return Err(Failure::Config(format!(
            "the listener {address} needs tls_cert_file and tls_key_file, or tls_disable = true"
        )));
    };
    let clients = if truth("tls_require_and_verify_client_cert") {
        let authorities = text("tls_client_ca_file").ok_or_else(|| {
            Failure::Config(format!(
                "the listener {address} requires client certificates but has no tls_client_ca_file"
            ))
        })?;
        ClientCertificates::Require(read(Path::new(authorities))?)
    } else if truth("tls_disable_client_certs") {
        ClientCertificates::Ignore
    } else {
        ClientCertificates::Request
    };
    Ok(Listener {
        address,
        tls: Some((read(Path::new(certificate))?, read(Path::new(key))?, clients)),
    })
}

fn run(flags: Flags) -> Result<(), Failure> {
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
