//! Which settings there are, block by block: each table is the one place that names them.

use super::hcl::{Item, Value, parse};
use super::settings::{ConfigError, Exec, Settings, TemplateSettings, Vault, Wait};
use super::values::{self, Read};
use herder_base::Secret;
use std::path::Path;

type Set<T> = fn(&mut T, &Value) -> Read<()>;
type Table<T> = &'static [(&'static str, Set<T>)];

/// Reads a configuration file, or all files of a directory in the order of their names, whatever they are called.
///
/// # Errors
/// With file, line, and for a name that does not exist the nearest one that does.
pub fn read_file(settings: &mut Settings, path: &Path) -> Result<(), ConfigError> {
    let name = path.display().to_string();
    let fail = |error: std::io::Error| ConfigError {
        place: name.clone(),
        message: format!("cannot be read: {error}"),
    };
    if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)
            .map_err(fail)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        return files.iter().try_for_each(|file| read_file(settings, file));
    }
    let text = std::fs::read_to_string(path).map_err(fail)?;
    read_text(settings, &name, &text)
}

/// Reads a configuration's text.
///
/// # Errors
/// As [`read_file`].
pub fn read_text(settings: &mut Settings, name: &str, text: &str) -> Result<(), ConfigError> {
    let items = parse(name, text)?;
    apply(name, "", ROOT, settings, &items)
}

/// All settings, as `block.name`.
#[must_use]
pub fn setting_names() -> Vec<String> {
    let below = |block: &str, names: Vec<&str>| -> Vec<String> {
        names.into_iter().map(|name| format!("{block}.{name}")).collect()
    };
    fn names<T>(table: Table<T>) -> Vec<&'static str> {
        table.iter().map(|(name, _)| *name).collect()
    }
    let mut all: Vec<String> = names(ROOT).into_iter().map(str::to_owned).collect();
    all.extend(below("template", names(TEMPLATE)));
    all.extend(below("exec", names(EXEC)));
    all.extend(below("exec.env", names(ENV)));
    all.extend(below("wait", names(WAIT)));
    all.extend(below("vault", names(VAULT)));
    all.extend(below("vault.retry", names(RETRY)));
    all.extend(below("vault.ssl", names(SSL)));
    all.extend(below("vault.transport", names(TRANSPORT)));
    all.extend(below("log_file", names(LOG_FILE)));
    all.extend(below("syslog", names(SYSLOG)));
    all.extend(below("default_delimiters", names(DELIMITERS)));
    all
}

/// Settings of a block into what they set.
fn apply<T>(
    file: &str,
    block: &str,
    table: Table<T>,
    into: &mut T,
    items: &[Item],
) -> Result<(), ConfigError> {
    for item in items {
        let fail = |message: String| ConfigError {
            place: format!("{file}:{}", item.line),
            message,
        };
        let path = if block.is_empty() {
            item.key.clone()
        } else {
            format!("{block}.{}", item.key)
        };
        let Some((_, set)) = table.iter().find(|(name, _)| *name == item.key) else {
            let near = herder_base::suggest(&item.key, table.iter().map(|(name, _)| *name));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(fail(format!("there is no setting `{path}`{near}")));
        };
        set(into, &item.value).map_err(|message| {
            // A block inside says where itself.
            match message.split_once('\u{1}') {
                Some((line, message)) => ConfigError {
                    place: format!("{file}:{line}"),
                    message: message.replace("\u{2}", &format!("{path}.")),
                },
                None => fail(format!("`{path}` {message}")),
            }
        })?;
    }
    Ok(())
}

/// A block inside a block; its errors carry their own line.
fn inner<T>(table: Table<T>, into: &mut T, value: &Value) -> Read<()> {
    let blocks: Vec<&Vec<Item>> = match value {
        Value::Block(items) => vec![items],
        Value::List(blocks) => blocks
            .iter()
            .map(|block| match block {
                Value::Block(items) => Ok(items),
                _ => Err("takes a block".to_owned()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err("takes a block".to_owned()),
    };
    for items in blocks {
        apply("", "\u{2}", table, into, items).map_err(|error| {
            let line = error.place.trim_start_matches(':').to_owned();
            format!("{line}\u{1}{}", error.message.replace("\u{2}.", "\u{2}"))
        })?;
    }
    Ok(())
}

fn refuse(what: &str) -> Read<()> {
    Err(format!(
        "belongs to {what}, which is not part of this: keep the value in Vault or in git and take the block out"
    ))
}

const ROOT: Table<Settings> = &[
    ("template", |s, v| {
        let blocks: Vec<&Value> = match v {
            Value::List(blocks) => blocks.iter().collect(),
            block => vec![block],
        };
        for block in blocks {
            let mut template = TemplateSettings::default();
            inner(TEMPLATE, &mut template, block)?;
            s.templates.push(template);
        }
        Ok(())
    }),
    ("vault", |s, v| inner(VAULT, &mut s.vault, v)),
    ("exec", |s, v| match v {
        Value::Block(_) | Value::List(_) => inner(EXEC, &mut s.exec, v),
        other => values::words(other).map(|words| s.exec.command = words),
    }),
    ("wait", |s, v| wait(&mut s.wait, v)),
    ("kill_signal", |s, v| {
        values::signal(&values::text(v)?).map(|signal| s.kill_signal = signal)
    }),
    ("reload_signal", |s, v| {
        values::signal(&values::text(v)?).map(|signal| s.reload_signal = signal)
    }),
    ("log_level", |s, v| {
        values::text(v).map(|level| s.log_level = Some(level))
    }),
    ("log_file", |s, v| match v {
        Value::Text(path) => {
            s.log_file = Some(path.into());
            Ok(())
        }
        block => inner(LOG_FILE, s, block),
    }),
    ("pid_file", |s, v| {
        values::text(v).map(|path| s.pid_file = Some(path.into()))
    }),
    ("default_delimiters", |s, v| inner(DELIMITERS, s, v)),
    ("template_error_fatal", |s, v| {
        values::boolean(v).map(|b| s.template_error_fatal = Some(b))
    }),
    ("syslog", |s, v| inner(SYSLOG, s, v)),
    ("max_stale", |s, v| {
        values::duration(v)?;
        s.warnings
            .push("`max_stale` is about Consul and has no effect".to_owned());
        Ok(())
    }),
    ("block_query_wait", |s, v| {
        values::duration(v)?;
        s.warnings
            .push("`block_query_wait` is about Consul and has no effect".to_owned());
        Ok(())
    }),
    ("err_on_failed_lookup", |_, v| values::boolean(v).map(drop)),
    ("consul", |_, _| refuse("Consul")),
    ("nomad", |_, _| refuse("Nomad")),
    ("deduplicate", |s, v| match v {
        // Switched off is how it works here.
        Value::Block(items)
            if items
                .iter()
                .all(|item| item.key != "enabled" || item.value == Value::Bool(false)) =>
        {
            s.warnings
                .push("`deduplicate` is about Consul and has no effect".to_owned());
            Ok(())
        }
        _ => refuse("Consul"),
    }),
];

const TEMPLATE: Table<TemplateSettings> = &[
    ("source", |t, v| {
        values::text(v).map(|path| t.source = Some(path.into()))
    }),
    ("contents", |t, v| {
        values::text(v).map(|text| t.contents = Some(text))
    }),
    ("destination", |t, v| {
        values::text(v).map(|path| t.destination = Some(path.into()))
    }),
    ("backup", |t, v| values::boolean(v).map(|b| t.backup = Some(b))),
    ("command", |t, v| values::words(v).map(|words| t.command = words)),
    ("command_timeout", |t, v| {
        values::duration(v).map(|d| t.command_timeout = Some(d))
    }),
    ("create_dest_dirs", |t, v| {
        values::boolean(v).map(|b| t.create_dest_dirs = Some(b))
    }),
    ("error_on_missing_key", |t, v| {
        values::boolean(v).map(|b| t.error_on_missing_key = Some(b))
    }),
    ("error_fatal", |t, v| {
        values::boolean(v).map(|b| t.error_fatal = Some(b))
    }),
    ("exec", |t, v| inner(EXEC, &mut t.exec, v)),
    ("perms", |t, v| values::mode(v).map(|mode| t.perms = Some(mode))),
    ("user", |t, v| values::text(v).map(|name| t.user = Some(name))),
    ("uid", |t, v| values::number(v).map(|n| t.uid = Some(n))),
    ("group", |t, v| values::text(v).map(|name| t.group = Some(name))),
    ("gid", |t, v| values::number(v).map(|n| t.gid = Some(n))),
    ("wait", |t, v| wait(&mut t.wait, v)),
    ("left_delimiter", |t, v| {
        values::text(v).map(|text| t.left_delimiter = Some(text))
    }),
    ("right_delimiter", |t, v| {
        values::text(v).map(|text| t.right_delimiter = Some(text))
    }),
    ("function_denylist", |t, v| {
        values::names(v).map(|names| t.function_denylist.extend(names))
    }),
    ("function_blacklist", |t, v| {
        values::names(v).map(|names| t.function_denylist.extend(names))
    }),
    ("sandbox_path", |t, v| {
        values::text(v).map(|path| t.sandbox_path = Some(path.into()))
    }),
];

const EXEC: Table<Exec> = &[
    ("command", |e, v| values::words(v).map(|words| e.command = words)),
    ("enabled", |e, v| values::boolean(v).map(|b| e.enabled = Some(b))),
    ("env", |e, v| inner(ENV, e, v)),
    ("kill_signal", |e, v| {
        values::signal(&values::text(v)?).map(|signal| e.kill_signal = signal)
    }),
    ("kill_timeout", |e, v| {
        values::duration(v).map(|d| e.kill_timeout = Some(d))
    }),
    ("reload_signal", |e, v| {
        values::signal(&values::text(v)?).map(|signal| e.reload_signal = signal)
    }),
    ("splay", |e, v| values::duration(v).map(|d| e.splay = Some(d))),
    ("timeout", |e, v| values::duration(v).map(|d| e.timeout = Some(d))),
];

const ENV: Table<Exec> = &[
    ("pristine", |e, v| {
        values::boolean(v).map(|b| e.pristine = Some(b))
    }),
    ("custom", |e, v| {
        values::words(v).map(|words| e.custom.extend(words))
    }),
    ("allowlist", |e, v| {
        values::names(v).map(|names| e.allowlist.extend(names))
    }),
    ("whitelist", |e, v| {
        values::names(v).map(|names| e.allowlist.extend(names))
    }),
    ("denylist", |e, v| {
        values::names(v).map(|names| e.denylist.extend(names))
    }),
    ("blacklist", |e, v| {
        values::names(v).map(|names| e.denylist.extend(names))
    }),
];

/// `wait { min max }`, and `wait = "min:max"`.
fn wait(into: &mut Option<Wait>, value: &Value) -> Read<()> {
    match value {
        Value::Block(items) => {
            let mut wait = Wait::default();
            inner(WAIT, &mut wait, value)?;
            if !items.iter().any(|item| item.key == "max") {
                wait.max = values::four_times(wait.min);
            }
            if wait.max < wait.min {
                return Err("has a maximum that is less than the minimum".to_owned());
            }
            *into = Some(wait);
        }
        other => *into = Some(values::wait(&values::text(other)?)?),
    }
    Ok(())
}

const WAIT: Table<Wait> = &[
    ("min", |w, v| values::duration(v).map(|d| w.min = d)),
    ("max", |w, v| values::duration(v).map(|d| w.max = d)),
    ("enabled", |w, v| values::boolean(v).map(|b| w.disabled = !b)),
    ("bool", |w, v| values::boolean(v).map(|b| w.disabled = !b)),
];

const VAULT: Table<Vault> = &[
    ("address", |x, v| {
        values::text(v).map(|text| x.address = Some(text))
    }),
    ("enabled", |x, v| values::boolean(v).map(|b| x.enabled = Some(b))),
    ("namespace", |x, v| {
        values::text(v).map(|text| x.namespace = Some(text))
    }),
    ("token", |x, v| {
        values::text(v).map(|text| x.token = Some(Secret::new(text)))
    }),
    ("vault_agent_token_file", |x, v| {
        values::text(v).map(|path| x.token_file = Some(path.into()))
    }),
    ("renew_token", |x, v| {
        values::boolean(v).map(|b| x.renew_token = Some(b))
    }),
    ("unwrap_token", |x, v| {
        values::boolean(v).map(|b| x.unwrap_token = Some(b))
    }),
    ("retry", |x, v| inner(RETRY, x, v)),
    ("ssl", |x, v| inner(SSL, x, v)),
    ("transport", |x, v| inner(TRANSPORT, x, v)),
    ("client_user_agent", |_, v| values::text(v).map(drop)),
    ("default_lease_duration", |x, v| {
        values::duration(v).map(|d| x.default_lease_duration = Some(d))
    }),
    ("lease_renewal_threshold", |x, v| match values::float(v)? {
        part if part > 0.0 && part < 1.0 => {
            x.lease_renewal_threshold = Some(part);
            Ok(())
        }
        _ => Err("takes a part between 0 and 1".to_owned()),
    }),
    ("k8s_auth_role_name", |x, v| {
        values::text(v).map(|text| x.k8s_role = Some(text))
    }),
    ("k8s_service_account_token_path", |x, v| {
        values::text(v).map(|path| x.k8s_token_path = Some(path.into()))
    }),
    ("k8s_service_account_token", |x, v| {
        values::text(v).map(|text| x.k8s_token = Some(Secret::new(text)))
    }),
    ("k8s_service_mount_path", |x, v| {
        values::text(v).map(|text| x.k8s_mount = Some(text))
    }),
];

pub(super) const RETRY: Table<Vault> = &[
    ("enabled", |x, v| {
        values::boolean(v).map(|b| x.retry_enabled = Some(b))
    }),
    ("attempts", |x, v| {
        values::number(v).map(|n| x.retry_attempts = Some(n))
    }),
    ("backoff", |x, v| {
        values::duration(v).map(|d| x.retry_backoff = Some(d))
    }),
    ("max_backoff", |x, v| {
        values::duration(v).map(|d| x.retry_max_backoff = Some(d))
    }),
];

const SSL: Table<Vault> = &[
    ("enabled", |x, v| {
        values::boolean(v).map(|b| x.ssl_enabled = Some(b))
    }),
    ("verify", |x, v| {
        values::boolean(v).map(|b| x.ssl_verify = Some(b))
    }),
    ("ca_cert", |x, v| {
        values::text(v).map(|path| x.ca_cert = Some(path.into()))
    }),
    ("ca_cert_bytes", |x, v| {
        values::text(v).map(|text| x.ca_cert_bytes = Some(text))
    }),
    ("ca_path", |x, v| {
        values::text(v).map(|path| x.ca_path = Some(path.into()))
    }),
    ("cert", |x, v| {
        values::text(v).map(|path| x.cert = Some(path.into()))
    }),
    ("key", |x, v| {
        values::text(v).map(|path| x.key = Some(path.into()))
    }),
    ("server_name", |x, v| {
        values::text(v).map(|text| x.server_name = Some(text))
    }),
];

const TRANSPORT: Table<Vault> = &[
    ("dial_keep_alive", |_, v| values::duration(v).map(drop)),
    ("dial_timeout", |x, v| {
        values::duration(v).map(|d| x.dial_timeout = Some(d))
    }),
    ("disable_keep_alives", |_, v| values::boolean(v).map(drop)),
    ("idle_conn_timeout", |_, v| values::duration(v).map(drop)),
    ("max_idle_conns", |_, v| values::number(v).map(drop)),
    ("max_idle_conns_per_host", |_, v| values::number(v).map(drop)),
    ("max_conns_per_host", |_, v| values::number(v).map(drop)),
    ("tls_handshake_timeout", |_, v| values::duration(v).map(drop)),
];

const LOG_FILE: Table<Settings> = &[
    ("path", |s, v| {
        values::text(v).map(|path| s.log_file = Some(path.into()))
    }),
    ("log_rotate_bytes", |s, v| rotation(s, values::text(v).map(drop))),
    ("log_rotate_duration", |s, v| {
        rotation(s, values::duration(v).map(drop))
    }),
    ("log_rotate_max_files", |s, v| {
        rotation(s, values::text(v).map(drop))
    }),
];

fn rotation(settings: &mut Settings, read: Read<()>) -> Read<()> {
    settings
        .warnings
        .push("log files are not rotated here: leave that to logrotate".to_owned());
    read
}

const SYSLOG: Table<Settings> = &[
    ("enabled", |s, v| {
        if values::boolean(v)? {
            s.warnings
                .push("there is no syslog here: logs go to standard error or to `log_file`".to_owned());
        }
        Ok(())
    }),
    ("facility", |_, v| values::text(v).map(drop)),
    ("name", |_, v| values::text(v).map(drop)),
];

const DELIMITERS: Table<Settings> = &[
    ("left", |s, v| {
        values::text(v).map(|text| s.left_delimiter = Some(text))
    }),
    ("right", |s, v| {
        values::text(v).map(|text| s.right_delimiter = Some(text))
    }),
];
