//! `herder vault server` in the background, for every test that needs a Vault of its own: the real binary on a free port.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The binary under test.
pub(crate) const HERDER: &str = env!("CARGO_BIN_EXE_herder");

/// A server that ends with the value.
pub(crate) struct Server {
    child: Child,
    /// `http://host:port`
    pub(crate) address: String,
}

impl Server {
    /// Starts `vault server` with arguments and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(HERDER)
            .args(["vault", "server"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned))
            .unwrap();
        // Whatever it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
