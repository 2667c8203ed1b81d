//! A load generator that costs little: so many connections, each sending one HTTP/1.1 request after the other. Prints one
//! JSON line: rate, latencies, failures. Used by `cargo xtask bench secrets`; knows nothing of Vault but its token
//! header.
//!
//! `load ADDRESS CONNECTIONS SECONDS METHOD PATH KEYS [TOKEN [BODY [RATE]]]`: in PATH, `{}` becomes a number below KEYS.
//! Without RATE every connection sends as fast as it is answered. With it they send so many a second all together, evenly;
//! that part has a loop of its own, because timers of the runtime come in bursts, a millisecond apart. Latency then counts
//! from when a request was due, if the answers before held it up. All is done by one thread.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a development tool prints its figures"
)]

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Plan {
    address: String,
    until: Instant,
    method: String,
    path: String,
    keys: u64,
    token: String,
    body: String,
}

/// What one connection saw: microseconds of every answer, and how many answers were no success.
type Seen = std::io::Result<(Vec<u32>, u64)>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize| args.get(at).cloned().unwrap_or_default();
    let number = |at: usize| text(at).parse::<u64>().map_err(Error::other);
    let (connections, seconds) = (number(1)?, number(2)?);
    let started = Instant::now();
    let plan = Arc::new(Plan {
        address: text(0),
        until: started + Duration::from_secs(seconds),
        method: text(3),
        path: text(4),
        keys: number(5)?.max(1),
        token: text(6),
        body: text(7),
    });
    let (mut all, mut failures) = (Vec::new(), 0);
    if args.len() > 8 {
        let pause = Duration::from_nanos(1_000_000_000 * connections / number(8)?.max(1));
        (all, failures) = paced(&plan, connections, pause)?;
    } else {
        let clients: Vec<_> = (0..connections)
            .map(|seed| tokio::spawn(eager(Arc::clone(&plan), seed)))
            .collect();
        for client in clients {
            let (mut times, failed) = client.await.map_err(Error::other)??;
            all.append(&mut times);
            failures += failed;
        }
    }
    let took = started.elapsed().as_secs_f64();
    all.sort_unstable();
    let at = |part: usize| {
        all.get((all.len() * part / 1000).min(all.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    println!(
        r#"{{"rate":{:.0},"p50_us":{},"p90_us":{},"p99_us":{},"max_us":{},"failures":{failures}}}"#,
        f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX)) / took,
        at(500),
        at(900),
        at(990),
        at(1000)
    );
    Ok(())
}

/// Sends as soon as it is answered.
async fn eager(plan: Arc<Plan>, seed: u64) -> Seen {
    let mut stream = tokio::net::TcpStream::connect(&plan.address).await?;
    stream.set_nodelay(true)?;
    let mut requests = Requests::new(&plan, seed);
    let (mut times, mut failures) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let sent = Instant::now();
        if sent >= plan.until {
            return Ok((times, failures));
        }
        stream.write_all(requests.next().as_bytes()).await?;
        buffer.clear();
        let success = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
            if let Some(success) = complete(&buffer) {
                break success;
            }
        };
        failures += u64::from(!success);
        times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

struct Connection<'p> {
    stream: std::net::TcpStream,
    requests: Requests<'p>,
    /// When the next request is to be sent, and from when on the one under way counts.
    due: Instant,
    sent: Option<Instant>,
    buffer: Vec<u8>,
}

/// Sends when the time has come.
fn paced(plan: &Plan, connections: u64, pause: Duration) -> Seen {
    let begin = Instant::now();
    let mut all = Vec::new();
    for seed in 0..connections {
        let stream = std::net::TcpStream::connect(&plan.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        all.push(Connection {
            stream,
            requests: Requests::new(plan, seed),
            due: begin + pause.mul_f64(seed as f64 / connections as f64),
            sent: None,
            buffer: Vec::new(),
        });
    }
    let (mut times, mut failures) = (Vec::new(), 0);
    loop {
        let now = Instant::now();
        if now >= plan.until {
            return Ok((times, failures));
        }
        let mut next = plan.until;
        for connection in all.iter_mut().filter(|connection| connection.sent.is_none()) {
            if connection.due <= now {
                let request = connection.requests.next();
                connection.stream.write_all(request.as_bytes())?;
                // Sent late by this loop's own fault if the connection was free.
                let held_up = !connection.buffer.is_empty();
                connection.sent = Some(if held_up { connection.due } else { now });
                connection.due += pause;
                connection.buffer.clear();
            } else {
                // From here on it is free.
                connection.buffer.clear();
                next = next.min(connection.due);
            }
        }
        for at in readable(&all, next.saturating_duration_since(Instant::now()))? {
            let Some(connection) = all.get_mut(at) else {
                continue;
            };
            let mut chunk = [0; 16 << 10];
            let read = connection.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
            connection
                .buffer
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let (Some(success), Some(sent)) = (complete(&connection.buffer), connection.sent) {
                failures += u64::from(!success);
                times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                connection.sent = None;
            }
        }
    }
}

/// Which connections that wait for an answer have something of it, waiting no longer than this.
fn readable(all: &[Connection<'_>], wait: Duration) -> std::io::Result<Vec<usize>> {
    let waiting: Vec<usize> = (0..all.len())
        .filter(|at| all.get(*at).is_some_and(|connection| connection.sent.is_some()))
        .collect();
    let mut polled: Vec<PollFd<'_>> = waiting
        .iter()
        .filter_map(|at| all.get(*at))
        .map(|connection| PollFd::new(connection.stream.as_fd(), PollFlags::POLLIN))
        .collect();
    ppoll(&mut polled, Some(TimeSpec::from_duration(wait)), None)?;
    let ready = waiting
        .iter()
        .zip(&polled)
        .filter(|(_, polled)| polled.any().unwrap_or(false))
        .map(|(at, _)| *at)
        .collect();
    Ok(ready)
}

/// The requests of one connection, for keys in no order.
struct Requests<'p> {
    plan: &'p Plan,
    random: u64,
}

impl<'p> Requests<'p> {
    fn new(plan: &'p Plan, seed: u64) -> Self {
        Self {
            plan,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    fn next(&mut self) -> String {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let plan = self.plan;
        format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nx-vault-token: {}\r\nx-vault-request: true\r\ncontent-length: {}\r\n\r\n{}",
            plan.method,
            plan.path.replace("{}", &(self.random % plan.keys).to_string()),
            plan.address,
            plan.token,
            plan.body.len(),
            plan.body
        )
    }
}

/// Whether the bytes are a whole answer, and then whether it is a success.
fn complete(bytes: &[u8]) -> Option<bool> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(bytes.get(..head)?).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (bytes.len() >= head + length).then(|| text.starts_with("http/1.1 2"))
}
