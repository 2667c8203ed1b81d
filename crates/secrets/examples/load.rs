//! A load generator that costs little: so many connections, each sending one HTTP/1.1 request after the other. Prints one
//! JSON line: rate, latencies, failures. Used by `cargo xtask bench secrets`; knows nothing of Vault but its token
//! header.
//!
//! `load ADDRESS CONNECTIONS SECONDS METHOD PATH KEYS [TOKEN [BODY [RATE]]]`: in PATH, `{}` becomes a number below KEYS.
//! Without RATE every connection sends as fast as it is answered, all of them from one thread. With it they send so many
//! a second all together, and each has a thread that sleeps in between, because timers of an event loop come in bursts,
//! a millisecond apart; latency counts from when a request was due.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a development tool prints its figures"
)]

use std::io::{Error, ErrorKind, Read, Write};
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
    let clients: Vec<_> = if args.len() > 8 {
        let pause = Duration::from_nanos(1_000_000_000 * connections / number(8)?.max(1));
        (0..connections)
            .map(|seed| {
                let plan = Arc::clone(&plan);
                tokio::task::spawn_blocking(move || paced(&plan, seed, pause, connections))
            })
            .collect()
    } else {
        (0..connections)
            .map(|seed| tokio::spawn(eager(Arc::clone(&plan), seed)))
            .collect()
    };
    let (mut all, mut failures) = (Vec::new(), 0);
    for client in clients {
        let (mut times, failed) = client.await.map_err(Error::other)??;
        all.append(&mut times);
        failures += failed;
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

/// Sends when the time has come.
fn paced(plan: &Plan, seed: u64, pause: Duration, connections: u64) -> Seen {
    let mut stream = std::net::TcpStream::connect(&plan.address)?;
    stream.set_nodelay(true)?;
    let mut requests = Requests::new(plan, seed);
    let (mut times, mut failures) = (Vec::new(), 0);
    let (mut buffer, mut chunk) = (Vec::new(), [0; 16 << 10]);
    let mut due = Instant::now() + pause.mul_f64(seed as f64 / connections as f64);
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        // If the answers before held this request up, its latency counts from when it was due.
        let sent = if wait.is_zero() {
            due
        } else {
            std::thread::sleep(wait);
            Instant::now()
        };
        if sent >= plan.until {
            return Ok((times, failures));
        }
        due += pause;
        stream.write_all(requests.next().as_bytes())?;
        buffer.clear();
        let success = loop {
            let read = stream.read(&mut chunk)?;
            if read == 0 {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
            buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let Some(success) = complete(&buffer) {
                break success;
            }
        };
        failures += u64::from(!success);
        times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
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
