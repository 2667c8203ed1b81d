//! A load generator that costs little: so many connections, each sending one HTTP/1.1 request after the other, from one
//! thread. Prints one JSON line: rate, latencies, failures. Used by `cargo xtask bench secrets`; knows nothing of Vault
//! but its token header.
//!
//! `load ADDRESS CONNECTIONS SECONDS METHOD PATH KEYS [TOKEN [BODY [RATE]]]`: in PATH, `{}` becomes a number below KEYS.
//! Without RATE every connection sends as fast as it is answered; with it, all together send so many a second, and
//! latency counts from when a request was due.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a development tool prints its figures"
)]

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Plan {
    address: String,
    until: Instant,
    method: String,
    path: String,
    keys: u64,
    token: String,
    body: String,
    /// Between two requests of one connection; zero for none.
    pause: Duration,
}

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
        pause: match args.get(8) {
            Some(_) => Duration::from_nanos(1_000_000_000 * connections / number(8)?.max(1)),
            None => Duration::ZERO,
        },
    });
    let clients: Vec<_> = (0..connections)
        .map(|seed| tokio::spawn(client(Arc::clone(&plan), seed)))
        .collect();
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

/// One connection: microseconds of every answer, and how many answers were no success.
async fn client(plan: Arc<Plan>, seed: u64) -> std::io::Result<(Vec<u32>, u64)> {
    let mut stream = TcpStream::connect(&plan.address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut failures) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(16 << 10);
    let mut due = Instant::now() + plan.pause.mul_f64((seed % 97) as f64 / 97.0);
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    loop {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = plan.path.replace("{}", &(random % plan.keys).to_string());
        let request = format!(
            "{} {path} HTTP/1.1\r\nhost: {}\r\nx-vault-token: {}\r\nx-vault-request: true\r\ncontent-length: {}\r\n\r\n{}",
            plan.method,
            plan.address,
            plan.token,
            plan.body.len(),
            plan.body
        );
        if !plan.pause.is_zero() {
            tokio::time::sleep_until(due.into()).await;
        }
        // The timer is exact to a millisecond only. Later than that, the answers before held this request up, and its
        // latency counts from when it was due.
        let now = Instant::now();
        let sent = if plan.pause.is_zero() || now < due + Duration::from_millis(2) {
            now
        } else {
            due
        };
        due += plan.pause;
        if sent >= plan.until {
            return Ok((times, failures));
        }
        stream.write_all(request.as_bytes()).await?;
        if !answer(&mut stream, &mut buffer).await? {
            failures += 1;
        }
        times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Reads one answer to its end; whether it was a success.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    buffer.clear();
    let head = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default()).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
    }
    Ok(text.starts_with("http/1.1 2"))
}
