//! Strangers' connections against every listener, while the listeners' users do what they always do: 10,000 at once that
//! are idle, half open, slow to write and slow to read, opened again as soon as they are closed. Prints how long users
//! wait, quiet and attacked, and what memory it takes.
//!
//! `HERDER_HOSTILE=SECONDS,CONNECTIONS` makes it shorter. One client is all of this machine, so the attack also takes the
//! room that the machine itself has.

use super::{Dir, Running, curl_config, resident, show};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SECONDS: u64 = 60;
const CONNECTIONS: usize = 10_000;
const THREADS: usize = 8;
/// Between two connections of one thread.
const PACE: Duration = Duration::from_millis(4);
/// How long the quiet figures are taken.
const QUIET: Duration = Duration::from_secs(10);
/// The beginning of a TLS handshake that promises more than it sends.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7, 7];

struct Target {
    name: &'static str,
    address: SocketAddr,
    tls: bool,
}

/// Measures; prints figures.
pub(super) fn run(binary: &Path) -> Result<()> {
    let (seconds, connections) = wanted()?;
    for (name, pointer, tls) in [
        ("Kubernetes", "/kubernetes", true),
        ("Vault", "/vault/addr", false),
        ("dashboard", "/dashboard/url", false),
        ("edge", "/edge/http", false),
        ("edge with TLS", "/edge/https", true),
    ] {
        // A process of its own for each: what one attack left allocated is not the next one's doing.
        let dir = Dir::new("hostile")?;
        let (herder, endpoints) = start(binary, &dir)?;
        let target = Target {
            name,
            address: address(&endpoints, pointer)?,
            tls,
        };
        let users = Users::new(&dir, &endpoints)?;
        under_attack(&users, &target, herder.0.id(), seconds, connections)?;
    }
    Ok(())
}

/// Measures users quiet, then while the target is attacked.
fn under_attack(users: &Users, target: &Target, pid: u32, seconds: u64, connections: usize) -> Result<()> {
    // The first requests of a process are not like the others.
    users.work(Duration::from_secs(2))?;
    let quiet = users.work(QUIET)?;
    let resting = resident(pid)?;
    let (stop, open) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (result, held, most) = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stop, open) = (&stop, &open);
            scope.spawn(move || attack(target, thread, connections / THREADS, stop, open));
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        let watching = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !stop.load(Relaxed) {
                most = most.max(resident(pid).unwrap_or_default());
                std::thread::sleep(Duration::from_millis(200));
            }
            most
        });
        let result = users.work(until.saturating_duration_since(Instant::now()));
        let held = open.load(Relaxed);
        stop.store(true, Relaxed);
        (result, held, watching.join().unwrap_or_default())
    });
    for ((what, values), (_, before)) in result?.iter().zip(&quiet) {
        report(&format!("{what}, quiet"), before, None);
        report(&format!("{what}, {} attacked", target.name), values, Some(before));
    }
    println!(
        "{:<52} {resting:>8.0} MB quiet, {most:.0} MB: {:.2} x, under 1.5 ({held} connections open at the end)",
        format!("memory, {} attacked", target.name),
        most / resting
    );
    Ok(())
}

fn wanted() -> Result<(u64, usize)> {
    let Ok(text) = std::env::var("HERDER_HOSTILE") else {
        return Ok((SECONDS, CONNECTIONS));
    };
    let (seconds, connections) = text
        .split_once(',')
        .context("HERDER_HOSTILE=SECONDS,CONNECTIONS")?;
    Ok((seconds.parse()?, connections.parse()?))
}

fn start(binary: &Path, dir: &Dir) -> Result<(Running, Value)> {
    let fleet = dir.0.join("fleet");
    std::fs::create_dir_all(&fleet)?;
    std::fs::write(fleet.join("fleet.yaml"), "name: hostile\n")?;
    for args in [
        &["init", "--quiet", "--initial-branch", "main"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=B",
            "-c",
            "user.email=b@example.org",
            "commit",
            "--quiet",
            "-m",
            "A fleet",
        ],
    ] {
        if !Command::new("git")
            .current_dir(&fleet)
            .args(args)
            .status()?
            .success()
        {
            bail!("git {args:?} failed");
        }
    }
    let data = dir.0.join("data");
    let child = Command::new(binary)
        .args(["up", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&data)
        .arg(&fleet)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut running = Running(child);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = running.0.try_wait()? {
            bail!("herder up ended: {status}");
        }
        if let Ok(text) = std::fs::read(data.join("endpoints.json")) {
            return Ok((running, serde_json::from_slice(&text)?));
        }
        if Instant::now() > until {
            bail!("herder up is not ready after a minute");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn address(endpoints: &Value, pointer: &str) -> Result<SocketAddr> {
    let url = endpoints
        .pointer(pointer)
        .and_then(Value::as_str)
        .context("no such listener")?;
    let rest = url.split("//").nth(1).context("no URL")?;
    Ok(rest.trim_end_matches('/').parse()?)
}

/// Those whose waiting counts.
struct Users {
    config: PathBuf,
    pods: String,
    vault: SocketAddr,
    edge: SocketAddr,
    token: String,
}

type Figures = Vec<(&'static str, Vec<f64>)>;

impl Users {
    fn new(dir: &Dir, endpoints: &Value) -> Result<Self> {
        let text = |pointer: &str| {
            endpoints
                .pointer(pointer)
                .and_then(Value::as_str)
                .context("no endpoint")
        };
        let token = std::fs::read_to_string(text("/vault/token_file")?)?
            .trim()
            .to_owned();
        let config = curl_config(&dir.0, Path::new(text("/kubeconfig")?))?;
        let users = Self {
            config,
            pods: format!("{}/api/v1/namespaces/default/pods", text("/kubernetes")?),
            vault: address(endpoints, "/vault/addr")?,
            edge: address(endpoints, "/edge/http")?,
            token,
        };
        let body = r#"{"data":{"password":"correct-horse-battery-staple"}}"#;
        let request = format!(
            "POST /v1/secret/data/hostile HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            users.token,
            body.len()
        );
        ask(users.vault, &request, "200 OK")?;
        Ok(users)
    }

    /// Works as its users do for some time; how long each request took, milliseconds.
    fn work(&self, time: Duration) -> Result<Figures> {
        let until = Instant::now() + time;
        let secret = format!(
            "GET /v1/secret/data/hostile HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {}\r\nConnection: close\r\n\r\n",
            self.token
        );
        let page = "GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n";
        let mut figures: Figures = vec![("API", vec![]), ("Vault", vec![]), ("edge", vec![])];
        while Instant::now() < until {
            let took = [
                self.curl()?,
                ask(self.vault, &secret, "200 OK")?,
                ask(self.edge, page, "404 Not Found")?,
            ];
            for ((_, values), took) in figures.iter_mut().zip(took) {
                values.push(took);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(figures)
    }

    fn curl(&self) -> Result<f64> {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "30", "--output", "/dev/null"])
            .args(["--write-out", "%{http_code} %{time_total}", "--config"])
            .arg(&self.config)
            .arg(&self.pods)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (code, seconds) = text.split_once(' ').context("curl says nothing")?;
        if code != "200" {
            bail!("the API answered {code} to the administrator");
        }
        Ok(seconds.parse::<f64>()? * 1000.0)
    }
}

fn ask(address: SocketAddr, request: &str, wanted: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(30))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.contains(wanted) {
        bail!("{address} answered {answer:?}");
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

fn report(what: &str, values: &[f64], before: Option<&Vec<f64>>) {
    let (middle, late) = (quantile(values, 0.5), quantile(values, 0.99));
    match before {
        None => show(what, vec![middle, middle, late], "ms", "(p50, p50, p99)"),
        Some(before) => {
            let times = late / quantile(before, 0.99);
            show(
                what,
                vec![middle, middle, late],
                "ms",
                &format!("p99 {times:.1} x quiet, under 5"),
            );
        }
    }
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * part) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Keeps so many connections open, a quarter of each kind, and opens again what was closed.
fn attack(target: &Target, thread: usize, count: usize, stop: &AtomicBool, open: &AtomicUsize) {
    let greedy = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40);
    let mut held: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    let mut turn = 0_usize;
    while !stop.load(Relaxed) {
        for (index, place) in held.iter_mut().enumerate() {
            if stop.load(Relaxed) {
                return;
            }
            let kind = (index + thread) % 4;
            if let Some(stream) = place
                && alive(stream, kind, turn)
            {
                continue;
            }
            if place.take().is_some() {
                open.fetch_sub(1, Relaxed);
            }
            // A flood of new connections would measure who has the more processors.
            std::thread::sleep(PACE);
            let Ok(mut stream) = TcpStream::connect_timeout(&target.address, Duration::from_secs(5)) else {
                continue;
            };
            let bytes: &[u8] = match (kind, target.tls) {
                (0, _) => b"",
                (_, true) => HELLO,
                (1, false) => b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
                (2, false) => b"POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n{",
                (_, false) => &greedy,
            };
            if stream.set_nonblocking(true).is_ok()
                && !matches!(stream.write(bytes), Err(error) if error.kind() != ErrorKind::WouldBlock)
            {
                open.fetch_add(1, Relaxed);
                *place = Some(stream);
            }
        }
        turn += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Whether the server still has it; slow ones send a byte now and then.
fn alive(stream: &mut TcpStream, kind: usize, turn: usize) -> bool {
    let closed = |error: &std::io::Error| error.kind() != ErrorKind::WouldBlock;
    if matches!(kind, 1 | 2)
        && turn.is_multiple_of(4)
        && matches!(stream.write(b"x"), Err(error) if closed(&error))
    {
        return false;
    }
    // The slow readers never read; the others only look.
    let mut one = [0_u8; 1];
    match stream.peek(&mut one) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => !closed(&error),
    }
}
