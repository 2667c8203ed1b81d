//! The flags of `vault server`, in Go's manner. Owns no behaviour.

use super::Failure;
use std::path::PathBuf;

#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) configs: Vec<PathBuf>,
    pub(super) dev: bool,
    pub(super) dev_token: Option<String>,
    pub(super) dev_address: Option<String>,
    pub(super) dev_no_store: bool,
    pub(super) dev_tls: bool,
    pub(super) dev_tls_dir: Option<PathBuf>,
}

impl Flags {
    /// Go's flags: one dash or two, `-name=value` or `-name value`; truth values only with `=`.
    pub(super) fn parse(args: &[String]) -> Result<Self, Failure> {
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
                "dev-tls" => {
                    flags.dev_tls = truth()?;
                    flags.dev |= flags.dev_tls;
                }
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
