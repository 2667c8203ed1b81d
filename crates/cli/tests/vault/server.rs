//! What the judges need of a server, and the real binary under Vault's name.

use std::path::{Path, PathBuf};

pub(crate) use crate::running::HERDER;

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

pub(crate) use crate::running::Server;

impl Server {
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
