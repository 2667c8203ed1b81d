//! A real PostgreSQL, started for a test and gone with it. Says so where there is none; with `CI=true` that is a failure.

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian puts servers.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

/// PostgreSQL refuses to run as root, so it runs as nobody where the tests are root.
fn ordinary(program: &Path) -> Command {
    let mut command = Command::new(program);
    if root() {
        command.uid(65534).gid(65534);
    }
    command
}

fn root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0"))
}

/// A server of the test's own, whose `admin` has the password `first-password`.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    fn start() -> Option<Self> {
        let bin = programs()?;
        let dir = tempfile::tempdir().unwrap();
        if root() {
            std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let data = dir.path().join("data");
        let secret = dir.path().join("pw");
        std::fs::write(&secret, "first-password").unwrap();
        std::os::unix::fs::chown(&secret, root().then_some(65534), None).unwrap();
        let made = ordinary(&bin.join("initdb"))
            .args(["-U", "admin", "-A", "scram-sha-256", "--no-sync", "-D"])
            .arg(&data)
            .arg("--pwfile")
            .arg(&secret)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let started = ordinary(&bin.join("pg_ctl"))
            .args(["start", "-w", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(dir.path().join("log"))
            .arg("-o")
            .arg(format!(
                "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
            ))
            .current_dir(dir.path())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(started.success());
        Some(Self { bin, dir, port })
    }

    pub(crate) async fn connect(&self, username: &str, password: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .database("postgres")
            .username(username)
            .password(password)
            .disable_statement_logging()
            .connect()
            .await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _stopped = ordinary(&self.bin.join("pg_ctl"))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(self.dir.path().join("data"))
            .current_dir(self.dir.path())
            .stdout(std::process::Stdio::null())
            .status();
    }
}

/// One, unless there is no PostgreSQL here.
pub(crate) fn needed() -> Option<Postgres> {
    let postgres = Postgres::start();
    if postgres.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "PostgreSQL is not installed: apt install postgresql"
        );
        eprintln!("skipped: PostgreSQL is not installed");
    }
    postgres
}
