//! `herder vault`, also when called as `vault`: the secrets server alone, with the flags and configuration files of
//! Vault's own, and the commands people type at any Vault. Owns the command line; the server is in `herder_secrets`, the
//! client in `herder_vault`.

mod client;
mod flags;
mod server;
mod settings;

use flags::Flags;
use herder_base::chain;
use herder_secrets::{TlsSetupError, VERSION};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Usage: herder vault server -dev [flags]
       herder vault server -config=FILE [-config=FILE …]
       herder vault COMMAND [flags] [arguments]

The secrets server alone, as Vault's clients know it.

  -config=FILE                  HCL or JSON: listener \"tcp\", storage \"file\"|\"inmem\", api_addr
  -dev                          in memory, initialised and unsealed, with secret/ (KV version 2)
  -dev-root-token-id=TOKEN      the root token of -dev (also VAULT_DEV_ROOT_TOKEN_ID)
  -dev-listen-address=ADDRESS   default 127.0.0.1:8200 (also VAULT_DEV_LISTEN_ADDRESS)
  -dev-no-store-token           do not write ~/.vault-token
  -dev-tls                      -dev, and TLS with a certificate made for the occasion
  -dev-tls-cert-dir=DIR         where its CA and key are written; default a new directory in the system's temporary one
  -log-level=LEVEL              accepted for compatibility

Commands for any Vault (VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT, VAULT_NAMESPACE, VAULT_WRAP_TTL; -format=json|yaml,
-field=NAME, -wrap-ttl=5m where there is an answer to wrap):

  status    login    read    write    list    delete    unwrap
  kv get|put|patch|delete|undelete|destroy|list|metadata    token create|lookup|renew|revoke|capabilities
  secrets list|enable|disable|tune    auth list|enable|disable    policy read|write|list|delete
  audit list|enable|disable    lease renew|revoke    operator init|unseal|seal|rotate|key-status|generate-root
";

/// What clap knows of it: flags as Go's are read by the command itself.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Vault's command, flags and arguments; `herder vault -help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) words: Vec<OsString>,
}

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
            report(Flags::parse(rest).and_then(server::run))
        }
        Some("operator")
            if args.get(1).is_some_and(|word| word == "generate-root")
                && args
                    .iter()
                    .any(|arg| arg.trim_start_matches('-').starts_with("decode")) =>
        {
            report(decode_root(args.get(2..).unwrap_or_default()))
        }
        Some("-h" | "-help" | "--help" | "help") => {
            say(HELP);
            ExitCode::SUCCESS
        }
        None => report(Err(Failure::Usage("a command is missing".to_owned()))),
        Some(_) => client::main(&args),
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
