//! SIGKILL under load, again and again: no acknowledged write is lost, and nothing a token was given outlives it. Few
//! rounds by default; `HERDER_ROUNDS=200` for the full run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::SystemClock;
use herder_secrets::{Embedded, EmbeddedConfig};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const DIR: &str = "HERDER_CRASH_DIR";

/// The server that is killed: this very program, started again.
#[test]
#[ignore = "started by the test below"]
fn serves_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = EmbeddedConfig {
            dir: dir.into(),
            api_addr: String::new(),
            kubernetes: None,
        };
        let embedded = Embedded::start(config, Arc::new(SystemClock)).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nready {}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        tokio::spawn(embedded.server.clone().run(cancel.clone()));
        embedded.server.serve(listener, None, cancel).await;
    });
}

struct Running {
    child: Child,
    address: String,
    root: String,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serves_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("ready ").map(str::to_owned))
            .unwrap();
        let root = std::fs::read_to_string(dir.join("state/vault.root-token")).unwrap();
        Self {
            child,
            address,
            root: root.trim().to_owned(),
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn connect(&self) -> Connection {
        Connection(TcpStream::connect(&self.address).unwrap())
    }
}

/// One keep-alive connection.
struct Connection(TcpStream);

impl Connection {
    /// Status and body; `None` if the server died before it answered.
    fn ask(&mut self, token: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = body.to_string();
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 16384];
        loop {
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.trim().parse().unwrap());
                if bytes.len() >= head + 4 + length {
                    let status = text.split(' ').nth(1)?.parse().ok()?;
                    let body = serde_json::from_slice(&bytes[head + 4..]).unwrap_or(Value::Null);
                    return Some((status, body));
                }
            }
            match self.0.read(&mut chunk).ok()? {
                0 => return None,
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

/// A token and everything that hangs on it.
#[derive(Clone, Default)]
struct Tree {
    parent: String,
    children: Vec<String>,
    leases: Vec<String>,
    revoked: bool,
}

/// What the server has acknowledged.
#[derive(Default)]
struct Promised {
    /// Number of writes at the path of each writer.
    written: Vec<u64>,
    trees: Vec<Tree>,
}

fn writer(server: &Running, number: usize, stop: &AtomicBool, promised: &Mutex<Promised>) {
    let mut connection = server.connect();
    let mut next = promised.lock().unwrap().written[number] + 1;
    while !stop.load(Ordering::Relaxed) {
        let data = json!({ "data": { "n": next } });
        let own = format!("secret/data/w{number}/{next}");
        // One key of its own for each, and one that all of them replace.
        for path in [own, format!("secret/data/counter{number}")] {
            match connection.ask(&server.root, "POST", &path, &data) {
                Some((200, _)) => {}
                None => return,
                other => panic!("{path}: {other:?}"),
            }
        }
        promised.lock().unwrap().written[number] = next;
        next += 1;
    }
}

fn planter(server: &Running, stop: &AtomicBool, promised: &Mutex<Promised>) {
    let mut connection = server.connect();
    let token = |answer: Option<(u16, Value)>| -> Option<String> {
        Some(answer?.1.pointer("/auth/client_token")?.as_str()?.to_owned())
    };
    let mut odd = false;
    while !stop.load(Ordering::Relaxed) {
        let policy = json!({ "policies": ["root"], "ttl": "1h" });
        let Some(parent) = token(connection.ask(&server.root, "POST", "auth/token/create", &policy)) else {
            return;
        };
        let at = {
            let mut promised = promised.lock().unwrap();
            promised.trees.push(Tree {
                parent: parent.clone(),
                ..Tree::default()
            });
            promised.trees.len() - 1
        };
        for _ in 0..2 {
            let Some(child) = token(connection.ask(&parent, "POST", "auth/token/create", &policy)) else {
                return;
            };
            promised.lock().unwrap().trees[at].children.push(child.clone());
            let wish = json!({ "common_name": "a.example.org", "ttl": "10m" });
            let Some((200, lease)) = connection.ask(&child, "POST", "pki/issue/crash", &wish) else {
                return;
            };
            let lease = lease["lease_id"].as_str().unwrap().to_owned();
            assert!(!lease.is_empty());
            promised.lock().unwrap().trees[at].leases.push(lease);
        }
        odd = !odd;
        if odd {
            match connection.ask(&parent, "POST", "auth/token/revoke-self", &json!({})) {
                Some((204, _)) => promised.lock().unwrap().trees[at].revoked = true,
                None => return,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn check(server: &Running, promised: &mut Promised, from: &[u64]) {
    let mut connection = server.connect();
    let root = server.root.clone();
    let mut ask = |method: &str, path: &str, body: Value| connection.ask(&root, method, path, &body).unwrap();
    for (number, last) in promised.written.iter_mut().enumerate() {
        for n in from[number] + 1..=*last {
            let (status, answer) = ask("GET", &format!("secret/data/w{number}/{n}"), json!({}));
            assert_eq!(
                (status, &answer["data"]["data"]["n"]),
                (200, &json!(n)),
                "writer {number}"
            );
        }
        if *last > 0 {
            let (_, answer) = ask("GET", &format!("secret/data/counter{number}"), json!({}));
            let found = answer["data"]["data"]["n"].as_u64().unwrap();
            // The one under way when the process died may have happened.
            assert!(
                (*last..=*last + 1).contains(&found),
                "counter {found}, acknowledged {last}"
            );
        }
    }
    for tree in std::mem::take(&mut promised.trees) {
        let alive = |(status, _): (u16, Value)| status == 200;
        let parent = alive(ask("POST", "auth/token/lookup", json!({ "token": tree.parent })));
        assert!(!(tree.revoked && parent), "a revoked token came back");
        for child in &tree.children {
            let child = alive(ask("POST", "auth/token/lookup", json!({ "token": child })));
            assert_eq!(child, parent, "a child lives exactly as long as its parent");
        }
        for lease in &tree.leases {
            let lease = alive(ask("POST", "sys/leases/lookup", json!({ "lease_id": lease })));
            assert_eq!(
                lease, parent,
                "a lease lives exactly as long as its token's parent"
            );
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_outlives_its_parent() {
    let rounds: u64 = std::env::var("HERDER_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(5);
    let dir = tempfile::tempdir().unwrap();
    let mut promised = Promised {
        written: vec![0; 4],
        ..Promised::default()
    };
    let (mut writes, mut trees) = (0, 0);
    let started = Instant::now();
    for round in 0..rounds {
        let server = Running::start(dir.path());
        if round == 0 {
            let role = json!({
                "allow_any_name": true, "key_type": "ec", "key_bits": 256, "generate_lease": true, "no_store": false,
            });
            let made = server
                .connect()
                .ask(&server.root, "POST", "pki/roles/crash", &role);
            assert!(matches!(made, Some((200 | 204, _))), "{made:?}");
        }
        let from = promised.written.clone();
        let stop = AtomicBool::new(false);
        let shared = Mutex::new(std::mem::take(&mut promised));
        let pid = server.child.id();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (server, stop, shared) = (&server, &stop, &shared);
                scope.spawn(move || writer(server, number, stop, shared));
            }
            for _ in 0..2 {
                let (server, stop, shared) = (&server, &stop, &shared);
                scope.spawn(move || planter(server, stop, shared));
            }
            // A different moment in every round, the same ones in every run.
            std::thread::sleep(Duration::from_millis(40 + round * 37 % 260));
            let killed = Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap();
            assert!(killed.success());
            stop.store(true, Ordering::Relaxed);
        });
        server.kill();
        promised = shared.into_inner().unwrap();
        writes = promised.written.iter().sum::<u64>();
        trees += promised.trees.len();
        let server = Running::start(dir.path());
        check(&server, &mut promised, &from);
        server.kill();
    }
    // Everything, from the beginning, once more at the end.
    let server = Running::start(dir.path());
    check(&server, &mut promised, &[0; 4]);
    server.kill();
    println!(
        "{rounds} rounds of SIGKILL in {:.0} s: {writes} acknowledged writes and {trees} tokens with children and leases, all as they must be",
        started.elapsed().as_secs_f64()
    );
}
