//! consul-template's flags: one dash or two, `-name value` or `-name=value`, as Go reads them.

use super::hcl::Value;
use super::settings::{ConfigError, Settings};
use super::values::{self, Read};
use super::{read_file, read_text, template_triple};
use std::fmt::Write;
use std::path::PathBuf;

/// A flag.
pub struct Flag {
    /// Without dashes.
    pub name: &'static str,
    /// What it takes; empty for a switch.
    pub takes: &'static str,
    /// What it does.
    pub help: &'static str,
    set: fn(&mut Invocation, &str) -> Read<()>,
}

/// A command line, read.
#[derive(Debug, Default)]
pub struct Invocation {
    /// What files and flags say together.
    pub settings: Settings,
    /// Configuration files and directories in order.
    pub configs: Vec<PathBuf>,
    /// Render everything once and end.
    pub once: bool,
    /// Print instead of writing.
    pub dry: bool,
    /// Read everything and end.
    pub parse_only: bool,
    /// Print the version and end.
    pub version: bool,
    /// Print the flags and end.
    pub help: bool,
}

impl Invocation {
    /// Reads flags, then the files that they name, then lets the flags have the last word.
    ///
    /// # Errors
    /// With the flag, or the file and line.
    pub fn read(arguments: &[String], local: Option<&str>) -> Result<Self, ConfigError> {
        let mut first = Self::default();
        flags(&mut first, arguments)?;
        let mut whole = Self::default();
        for path in &first.configs {
            read_file(&mut whole.settings, path)?;
        }
        if let Some(text) = local.filter(|text| !text.is_empty()) {
            read_text(&mut whole.settings, "CT_LOCAL_CONFIG", text)?;
        }
        flags(&mut whole, arguments)?;
        Ok(whole)
    }
}

fn flags(into: &mut Invocation, arguments: &[String]) -> Result<(), ConfigError> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let fail = |place: &str, message: String| ConfigError {
            place: place.to_owned(),
            message,
        };
        let Some(word) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            return Err(fail(
                "command line",
                "an argument is no flag; flags begin with a dash".to_owned(),
            ));
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let place = format!("-{name}");
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
            if let Some(product) = ["consul", "nomad"]
                .iter()
                .find(|product| name.starts_with(**product))
            {
                let product = if *product == "consul" { "Consul" } else { "Nomad" };
                let message = format!("it belongs to {product}, which is not part of this");
                return Err(fail(&place, message));
            }
            let near = herder_base::suggest(name, FLAGS.iter().map(|flag| flag.name));
            let near = near.map_or_else(String::new, |near| format!("; did you mean -{near}?"));
            return Err(fail(&place, format!("there is no such flag{near}")));
        };
        let value = match value {
            Some(value) => value,
            None if flag.takes.is_empty() || flag.takes == "BOOL" => "true".to_owned(),
            None => match rest.next() {
                Some(value) => value.clone(),
                None => return Err(fail(&place, format!("it takes {}", flag.takes))),
            },
        };
        (flag.set)(into, &value).map_err(|message| fail(&place, format!("it {message}")))?;
    }
    Ok(())
}

/// The flags for people.
#[must_use]
pub fn usage() -> String {
    let mut out = String::from(
        "Renders templates with secrets from Vault, values of files and of the environment, as consul-template does.\n\nUsage: herder template [flags]\n\nFlags (one dash or two, -flag value or -flag=value):\n",
    );
    for flag in FLAGS {
        let head = format!("-{} {}", flag.name, flag.takes);
        let _ = writeln!(out, "  {head:<44} {}", flag.help);
    }
    out
}

fn switch(value: &str) -> Read<bool> {
    values::boolean(&Value::Text(value.to_owned()))
}

fn count(value: &str) -> Read<u32> {
    values::number(&Value::Text(value.to_owned()))
}

macro_rules! flag {
    ($name:literal, $takes:literal, $help:literal, $set:expr) => {
        Flag {
            name: $name,
            takes: $takes,
            help: $help,
            set: $set,
        }
    };
}

/// Accepted, so that scripts go on working, and without effect.
fn ignored(i: &mut Invocation, message: &str) -> Read<()> {
    i.settings.warnings.push(message.to_owned());
    Ok(())
}

/// All flags but those of Consul and Nomad.
pub const FLAGS: &[Flag] = &[
    flag!(
        "config",
        "PATH",
        "a configuration file, or a directory of them; may be repeated",
        |i, v| {
            i.configs.push(v.into());
            Ok(())
        }
    ),
    flag!(
        "template",
        "SRC:DST[:CMD]",
        "a template, where its result goes, and what runs after a change",
        |i, v| {
            let template = template_triple(v).map_err(|error| error.message)?;
            i.settings.templates.push(template);
            Ok(())
        }
    ),
    flag!("once", "", "render everything once and end", |i, v| switch(v)
        .map(|b| i.once = b)),
    flag!("dry", "", "print what would be written", |i, v| switch(v)
        .map(|b| i.dry = b)),
    flag!(
        "parse-only",
        "",
        "read configuration and templates and end",
        |i, v| switch(v).map(|b| i.parse_only = b)
    ),
    flag!(
        "wait",
        "MIN[:MAX]",
        "how long a change must rest before it is written",
        |i, v| { values::wait(v).map(|wait| i.settings.wait = Some(wait)) }
    ),
    flag!(
        "exec",
        "COMMAND",
        "a program to start once all is rendered, and to look after",
        |i, v| {
            i.settings.exec.command = vec![v.to_owned()];
            i.settings.exec.enabled = Some(true);
            Ok(())
        }
    ),
    flag!(
        "exec-kill-signal",
        "SIGNAL",
        "ends the program [SIGINT]",
        |i, v| { values::signal(v).map(|signal| i.settings.exec.kill_signal = signal) }
    ),
    flag!(
        "exec-kill-timeout",
        "TIME",
        "how long it may take to end [30s]",
        |i, v| { values::span(v).map(|d| i.settings.exec.kill_timeout = Some(d)) }
    ),
    flag!(
        "exec-reload-signal",
        "SIGNAL",
        "makes it read its files again; otherwise it is started anew",
        |i, v| { values::signal(v).map(|signal| i.settings.exec.reload_signal = signal) }
    ),
    flag!(
        "exec-splay",
        "TIME",
        "a random part of this passes before it is ended",
        |i, v| { values::span(v).map(|d| i.settings.exec.splay = Some(d)) }
    ),
    flag!(
        "exec-env-pristine",
        "BOOL",
        "the program sees none of our variables",
        |i, v| { switch(v).map(|b| i.settings.exec.pristine = Some(b)) }
    ),
    flag!(
        "exec-env-custom",
        "NAME=VALUE",
        "a variable for the program; may be repeated",
        |i, v| {
            i.settings.exec.custom.push(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "exec-env-allowlist",
        "NAME",
        "a variable the program may see, or a pattern with *, ? and [a-z]; may be repeated",
        |i, v| {
            i.settings.exec.allowlist.push(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "exec-env-denylist",
        "NAME",
        "a variable the program may not see, or such a pattern; may be repeated",
        |i, v| {
            i.settings.exec.denylist.push(v.to_owned());
            Ok(())
        }
    ),
    flag!("kill-signal", "SIGNAL", "ends this [SIGINT]", |i, v| {
        values::signal(v).map(|signal| i.settings.kill_signal = signal)
    }),
    flag!(
        "reload-signal",
        "SIGNAL",
        "makes this read everything again [SIGHUP]",
        |i, v| { values::signal(v).map(|signal| i.settings.reload_signal = signal) }
    ),
    flag!(
        "log-level",
        "LEVEL",
        "trace, debug, info, warn or err [warn]",
        |i, v| {
            i.settings.log_level = Some(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "log-file",
        "PATH",
        "where logs go besides standard error",
        |i, v| {
            i.settings.log_file = Some(v.into());
            Ok(())
        }
    ),
    flag!("log-rotate-bytes", "N", "accepted, no effect", |i, _| ignored(
        i,
        "log files are not rotated here"
    )),
    flag!("log-rotate-duration", "TIME", "accepted, no effect", |i, _| {
        ignored(i, "log files are not rotated here")
    }),
    flag!(
        "log-rotate-max-files",
        "N",
        "accepted, no effect",
        |i, _| ignored(i, "log files are not rotated here")
    ),
    flag!(
        "pid-file",
        "PATH",
        "where the number of this process is written",
        |i, v| {
            i.settings.pid_file = Some(v.into());
            Ok(())
        }
    ),
    flag!(
        "default-left-delimiter",
        "TEXT",
        "what begins an action [{{]",
        |i, v| {
            i.settings.left_delimiter = Some(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "default-right-delimiter",
        "TEXT",
        "what ends an action [}}]",
        |i, v| {
            i.settings.right_delimiter = Some(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "template-error-fatal",
        "BOOL",
        "whether an error in a template ends everything [true]",
        |i, v| { switch(v).map(|b| i.settings.template_error_fatal = Some(b)) }
    ),
    flag!("vault-addr", "URL", "Vault's address [VAULT_ADDR]", |i, v| {
        i.settings.vault.address = Some(v.to_owned());
        Ok(())
    }),
    flag!(
        "vault-token",
        "TOKEN",
        "Vault's token; better in VAULT_TOKEN or a file, as everyone sees arguments",
        |i, v| {
            i.settings.vault.token = Some(herder_base::Secret::new(v.to_owned()));
            Ok(())
        }
    ),
    flag!(
        "vault-agent-token-file",
        "PATH",
        "a file with Vault's token, read again when it changes",
        |i, v| {
            i.settings.vault.token_file = Some(v.into());
            Ok(())
        }
    ),
    flag!(
        "vault-unwrap-token",
        "BOOL",
        "the token wraps the real one",
        |i, v| { switch(v).map(|b| i.settings.vault.unwrap_token = Some(b)) }
    ),
    flag!(
        "vault-renew-token",
        "BOOL",
        "keep the token alive [true]",
        |i, v| { switch(v).map(|b| i.settings.vault.renew_token = Some(b)) }
    ),
    flag!(
        "vault-default-lease-duration",
        "TIME",
        "how often secrets without a lease are read again [5m]",
        |i, v| { values::span(v).map(|d| i.settings.vault.default_lease_duration = Some(d)) }
    ),
    flag!(
        "vault-retry",
        "BOOL",
        "try again when Vault fails [true]",
        |i, v| { switch(v).map(|b| i.settings.vault.retry_enabled = Some(b)) }
    ),
    flag!(
        "vault-retry-attempts",
        "N",
        "how often [12]; 0 is for ever",
        |i, v| { count(v).map(|n| i.settings.vault.retry_attempts = Some(n)) }
    ),
    flag!(
        "vault-retry-backoff",
        "TIME",
        "the first pause, doubled each time [250ms]",
        |i, v| { values::span(v).map(|d| i.settings.vault.retry_backoff = Some(d)) }
    ),
    flag!(
        "vault-retry-max-backoff",
        "TIME",
        "the longest pause [1m]; 0 is without a limit",
        |i, v| { values::span(v).map(|d| i.settings.vault.retry_max_backoff = Some(d)) }
    ),
    flag!(
        "vault-ssl",
        "BOOL",
        "whether TLS is used; the address says it as well",
        |i, v| { switch(v).map(|b| i.settings.vault.ssl_enabled = Some(b)) }
    ),
    flag!(
        "vault-ssl-verify",
        "BOOL",
        "whether Vault's certificate is checked; only true",
        |i, v| { switch(v).map(|b| i.settings.vault.ssl_verify = Some(b)) }
    ),
    flag!(
        "vault-ssl-ca-cert",
        "PATH",
        "the CA of Vault's certificate [VAULT_CACERT]",
        |i, v| {
            i.settings.vault.ca_cert = Some(v.into());
            Ok(())
        }
    ),
    flag!(
        "vault-ssl-ca-path",
        "PATH",
        "a directory of CAs [VAULT_CAPATH]",
        |i, v| {
            i.settings.vault.ca_path = Some(v.into());
            Ok(())
        }
    ),
    flag!(
        "vault-ssl-cert",
        "PATH",
        "our certificate [VAULT_CLIENT_CERT]",
        |i, v| {
            i.settings.vault.cert = Some(v.into());
            Ok(())
        }
    ),
    flag!("vault-ssl-key", "PATH", "its key [VAULT_CLIENT_KEY]", |i, v| {
        i.settings.vault.key = Some(v.into());
        Ok(())
    }),
    flag!(
        "vault-ssl-server-name",
        "NAME",
        "the name Vault's certificate must have",
        |i, v| {
            i.settings.vault.server_name = Some(v.to_owned());
            Ok(())
        }
    ),
    flag!(
        "vault-transport-dial-timeout",
        "TIME",
        "how long connecting may take",
        |i, v| { values::span(v).map(|d| i.settings.vault.dial_timeout = Some(d)) }
    ),
    flag!(
        "vault-transport-dial-keep-alive",
        "TIME",
        "accepted, no effect",
        |_, v| values::span(v).map(drop)
    ),
    flag!(
        "vault-transport-disable-keep-alives",
        "BOOL",
        "accepted, no effect",
        |_, v| switch(v).map(drop)
    ),
    flag!(
        "vault-transport-max-idle-conns-per-host",
        "N",
        "accepted, no effect",
        |_, v| count(v).map(drop)
    ),
    flag!(
        "vault-transport-max-conns-per-host",
        "N",
        "accepted, no effect",
        |_, v| count(v).map(drop)
    ),
    flag!(
        "vault-transport-tls-handshake-timeout",
        "TIME",
        "accepted, no effect",
        |_, v| values::span(v).map(drop)
    ),
    flag!(
        "vault-client-user-agent",
        "TEXT",
        "accepted, no effect",
        |_, _| Ok(())
    ),
    flag!("retry", "TIME", "the same as -vault-retry-backoff", |i, v| {
        values::span(v).map(|d| i.settings.vault.retry_backoff = Some(d))
    }),
    flag!(
        "max-stale",
        "TIME",
        "about Consul; accepted, no effect",
        |i, _| ignored(i, "-max-stale is about Consul and has no effect")
    ),
    flag!(
        "dedup",
        "BOOL",
        "about Consul; only false",
        |_, v| match switch(v)? {
            false => Ok(()),
            true => Err("elects a leader in Consul, which is not part of this".to_owned()),
        }
    ),
    flag!("syslog", "BOOL", "accepted, no effect", |i, _| ignored(
        i,
        "there is no syslog here"
    )),
    flag!("syslog-facility", "NAME", "accepted, no effect", |i, _| ignored(
        i,
        "there is no syslog here"
    )),
    flag!("syslog-name", "NAME", "accepted, no effect", |i, _| ignored(
        i,
        "there is no syslog here"
    )),
    flag!("version", "", "print the version and end", |i, v| switch(v)
        .map(|b| i.version = b)),
    flag!("v", "", "the same as -version", |i, v| switch(v)
        .map(|b| i.version = b)),
    flag!("help", "", "print the flags and end", |i, v| switch(v)
        .map(|b| i.help = b)),
    flag!("h", "", "the same as -help", |i, v| switch(v).map(|b| i.help = b)),
];
