//! The secrets server against its goals, next to a bare hyper server under the same load in the same run: on a shared
//! machine only the ratio of the two says something.

use super::{Dir, Running, resident, show};
use crate::run::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECRETS: usize = 10_000;
const CLIENTS: &str = "32";
const SECONDS: &str = "4";
const ROUNDS: usize = 3;
/// Requests a second, all clients together, where latency is measured: a queue that is always full has the latency of its
/// length, whatever serves it.
const READS: f64 = 20_000.0;
const WRITES: f64 = 200.0;

/// Measures; prints figures.
pub fn run(binary: &Path) -> Result<()> {
    // Together with the binary, so that its dependencies are built once.
    let both = ["--package", "herder", "--package", "herder-secrets"];
    cargo(&[&["build", "--release"], &both[..], &["--bins", "--examples"]].concat())?;
    let examples = binary.parent().context("no directory")?.join("examples");
    let dir = Dir::new("secrets")?;
    let mut server = Server::start(binary, &dir.0)?;
    let init = server.ask(
        "",
        "PUT",
        "sys/init",
        &json!({ "secret_shares": 1, "secret_threshold": 1 }),
    )?;
    let text = |at: &str| {
        init.pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (key, token) = (text("/keys/0"), text("/root_token"));
    server.ask("", "PUT", "sys/unseal", &json!({ "key": key }))?;
    server.ask(
        &token,
        "PUT",
        "sys/mounts/secret",
        &json!({ "type": "kv", "options": { "version": "2" } }),
    )?;
    let audit = json!({ "type": "file", "options": { "file_path": dir.0.join("audit.log") } });
    server.ask(&token, "PUT", "sys/audit/file", &audit)?;
    let rules = r#"path "secret/data/app/*" { capabilities = ["create", "read", "update"] }"#;
    server.ask(&token, "PUT", "sys/policies/acl/app", &json!({ "policy": rules }))?;
    let made = server.ask(
        &token,
        "PUT",
        "auth/token/create",
        &json!({ "policies": ["app"], "ttl": "1h" }),
    )?;
    let app = made
        .pointer("/auth/client_token")
        .and_then(Value::as_str)
        .context("no token")?
        .to_owned();
    server.fill(&app)?;
    let mut memory = Vec::new();
    let mut ready = Vec::new();
    for _ in 0..ROUNDS {
        drop(server);
        let started = Instant::now();
        server = Server::start(binary, &dir.0)?;
        server.ask("", "PUT", "sys/unseal", &json!({ "key": key }))?;
        server.ask(&app, "GET", "secret/data/app/1", &Value::Null)?;
        ready.push(started.elapsed().as_secs_f64() * 1000.0);
        memory.push(resident(server.running.0.id())?);
    }
    show(
        "start to the first secret, 10,000 stored",
        ready,
        "ms",
        "under 200 ms",
    );
    show("memory with 10,000 secrets", memory, "MB", "under 50 MB");
    let body = secret(0).to_string();
    let load = |address: &str, method: &str, body: &str, rate: Option<f64>| -> Result<Value> {
        let mut command = Command::new(examples.join("load"));
        command.args([address, CLIENTS, SECONDS, method, "/v1/secret/data/app/{}"]);
        command.args([&SECRETS.to_string(), app.as_str(), body]);
        command.args(rate.map(|rate| format!("{rate:.0}")));
        let output = command.stderr(Stdio::inherit()).output()?;
        let figures: Value =
            serde_json::from_slice(&output.stdout).context("the load generator gave no figures")?;
        if figures["failures"] != 0 {
            bail!("requests failed: {figures}");
        }
        Ok(figures)
    };
    let number = |figures: &Value, key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
    let mut figures: [Vec<f64>; 9] = Default::default();
    for _ in 0..ROUNDS {
        let echo = Echo::start(&examples)?;
        let bare = load(&echo.address, "GET", "", None)?;
        let bare_paced = load(&echo.address, "GET", "", Some(READS))?;
        drop(echo);
        let read = load(&server.address, "GET", "", None)?;
        let paced = load(&server.address, "GET", "", Some(READS))?;
        let write = load(&server.address, "POST", &body, None)?;
        let write_paced = load(&server.address, "POST", &body, Some(WRITES))?;
        let rate = |figures: &Value| number(figures, "rate") / 1000.0;
        let p99 = |figures: &Value| number(figures, "p99_us") / 1000.0;
        let round = [
            rate(&bare),
            rate(&read),
            rate(&read) / rate(&bare),
            p99(&bare),
            p99(&read),
            p99(&bare_paced),
            p99(&paced),
            rate(&write),
            p99(&write_paced),
        ];
        for (all, figure) in figures.iter_mut().zip(round) {
            all.push(figure);
        }
    }
    let rows = [
        ("bare hyper, 32 clients", "k/s", "(yardstick)"),
        ("KV v2 read with audit, 32 clients", "k/s", "20 k/s"),
        ("the same as part of bare hyper", "", "0.5"),
        ("bare hyper, p99 at its full rate", "ms", "(yardstick)"),
        ("KV v2 read, p99 at its full rate", "ms", "twice the yardstick"),
        ("bare hyper, p99 at 20,000/s", "ms", "(yardstick)"),
        ("KV v2 read, p99 at 20,000/s", "ms", "under 1 ms"),
        ("durable write, 32 clients", "k/s", ""),
        ("durable write, p99 at 200/s", "ms", "under 10 ms"),
    ];
    for ((name, unit, goal), values) in rows.into_iter().zip(figures) {
        show(name, values, unit, goal);
    }
    Ok(())
}

fn secret(number: usize) -> Value {
    json!({ "data": {
        "username": format!("service-{number}"),
        "password": "correct-horse-battery-staple-0123456789",
        "url": "postgresql://db.example.org:5432/app",
    } })
}

/// The first line a program prints.
fn first_line(child: &mut Child, prefix: &str) -> Result<String> {
    let out = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(out).lines();
    let found = loop {
        let line = lines.next().context("it ended")??;
        if let Some(rest) = line.strip_prefix(prefix) {
            break rest.to_owned();
        }
    };
    // Whatever it says later must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(found)
}

struct Echo {
    _running: Running,
    address: String,
}

impl Echo {
    fn start(examples: &Path) -> Result<Self> {
        let child = Command::new(examples.join("echo"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut running = Running(child);
        let address = first_line(&mut running.0, "")?;
        Ok(Self {
            _running: running,
            address,
        })
    }
}

struct Server {
    running: Running,
    address: String,
}

impl Server {
    fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let config: PathBuf = dir.join("server.json");
        let text = json!({
            "listener": { "tcp": { "address": "127.0.0.1:0", "tls_disable": true } },
            "storage": { "file": { "path": dir.join("data") } },
        });
        std::fs::write(&config, text.to_string())?;
        let child = Command::new(binary)
            .args(["vault", "server"])
            .arg(format!("-config={}", config.display()))
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Running(child);
        let address = first_line(&mut running.0, "listening on http://")?;
        Ok(Self { running, address })
    }

    /// Stores the secrets, several at a time.
    fn fill(&self, token: &str) -> Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|part| {
                    scope.spawn(move || -> Result<()> {
                        let mut stream = TcpStream::connect(&self.address)?;
                        for number in (part..SECRETS).step_by(16) {
                            let path = format!("secret/data/app/{number}");
                            exchange(&mut stream, token, "POST", &path, &secret(number))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| bail!("a thread ended abnormally"))
            })
        })
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
        exchange(&mut TcpStream::connect(&self.address)?, token, method, path, body)
    }
}

/// One request and its answer; anything but a success is an error.
fn exchange(stream: &mut TcpStream, token: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} /v1/{path} HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16384]);
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            bail!("{path}: the server hung up");
        }
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let (head, rest) = bytes.split_at(head + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(Ok(0), str::parse)?;
        if rest.len() < length {
            continue;
        }
        if !head.starts_with("http/1.1 2") {
            bail!("{path}: {}", String::from_utf8_lossy(rest));
        }
        return Ok(serde_json::from_slice(rest).unwrap_or(Value::Null));
    }
}
