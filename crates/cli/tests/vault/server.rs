//! Servers for the judges: the real binary, under its own name or Vault's, on ports of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The binary under test.
pub const HERDER: &str = env!("CARGO_BIN_EXE_herder");

/// A new directory of a test.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vault-{name}-{}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A directory with the binary under the name `vault`.
pub fn shim(dir: &Path) -> PathBuf {
    let shim = dir.join("bin");
    std::fs::create_dir_all(&shim).unwrap();
    std::os::unix::fs::symlink(HERDER, shim.join("vault")).unwrap();
    shim
}

/// A server that ends with the value.
pub struct Server {
    child: Child,
    /// `http://host:port`
    pub address: String,
}

impl Server {
    /// Starts `vault server` with arguments and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
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

    /// An open server in memory with a known root token.
    pub fn dev(token: &str) -> Self {
        Self::start(&[
            "-dev",
            &format!("-dev-root-token-id={token}"),
            "-dev-listen-address=127.0.0.1:0",
            "-dev-no-store-token",
        ])
    }

    /// A new, sealed server in memory.
    pub fn sealed(dir: &Path) -> Self {
        let file = dir.join("server.hcl");
        let text = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\nstorage \"inmem\" {}\n";
        std::fs::write(&file, text).unwrap();
        Self::start(&[&format!("-config={}", file.display())])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
