//! The whole demo against a Vault that is not the platform's own: by address, with TLS and a token in a file.

use crate::demo::play;
use crate::running::{Dir, HERDER, alone, run};
use crate::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

struct Vault {
    server: Server,
    ca: PathBuf,
}

impl Vault {
    fn start(dir: &Path) -> Self {
        let tls = dir.join("tls");
        Self {
            server: Server::start(&[
                "-dev-tls",
                "-dev-root-token-id=root",
                "-dev-listen-address=127.0.0.1:0",
                "-dev-no-store-token",
                &format!("-dev-tls-cert-dir={}", tls.display()),
            ]),
            ca: tls.join("vault-ca.pem"),
        }
    }

    fn ask(&self, args: &[&str]) -> String {
        let mut command = Command::new(HERDER);
        command
            .arg("vault")
            .args(args)
            .env("VAULT_ADDR", &self.server.address)
            .env("VAULT_TOKEN", "root")
            .env("VAULT_CACERT", &self.ca);
        let output = run(&mut command, Duration::from_secs(30));
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn the_story_holds_with_another_vault() {
    let _alone = alone();
    let dir = Dir::new("other-vault");
    let vault = Vault::start(dir.path());
    // What a fleet expects of any Vault, apart from what it brings along itself.
    vault.ask(&["secrets", "enable", "pki"]);
    vault.ask(&[
        "write",
        "pki/root/generate/internal",
        "common_name=Root",
        "key_type=ec",
        "key_bits=256",
    ]);
    let token = dir.path().join("token");
    std::fs::write(&token, "root\n").unwrap();
    let data = dir.path().join("demo");
    let mut command = Command::new(HERDER);
    command
        .args(["demo", "--once", "--json", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&data)
        .args(["--vault-addr", &vault.server.address, "--vault-token-file"])
        .arg(&token)
        .arg("--vault-ca")
        .arg(&vault.ca);
    play(command);
    assert!(
        !data.join("state/vault.redb").exists(),
        "the platform's own server was started"
    );
    let policies = vault.ask(&["policy", "list"]);
    assert!(policies.lines().any(|name| name == "shop"), "{policies}");
    let methods = vault.ask(&["auth", "list"]);
    assert!(methods.contains("made by Herder for the cluster"), "{methods}");
}

#[test]
fn a_vault_that_cannot_be_used_is_said_at_the_start() {
    let _alone = alone();
    let dir = Dir::new("no-vault");
    let vault = Vault::start(dir.path());
    let token = dir.path().join("token");
    std::fs::write(&token, "wrong\n").unwrap();
    let ca = vault.ca.display().to_string();
    let with = |address: &str, more: &[&str]| {
        let mut command = Command::new(HERDER);
        command
            .args(["up", ".", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir.path().join("data"))
            .args(["--vault-addr", address])
            .args(more);
        let output = run(&mut command, Duration::from_secs(120));
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let file = token.display().to_string();
    let wrong = with(
        &vault.server.address,
        &["--vault-token-file", &file, "--vault-ca", &ca],
    );
    assert!(wrong.contains("token"), "{wrong}");
    let untrusted = with(&vault.server.address, &["--vault-token-file", &file]);
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let nowhere = with("http://127.0.0.1:1", &["--vault-token-file", &file]);
    assert!(nowhere.contains("http://127.0.0.1:1"), "{nowhere}");
    let without = with("http://127.0.0.1:1", &[]);
    assert!(without.contains("--vault-token-file"), "{without}");
    for text in [wrong, untrusted, nowhere, without] {
        assert!(!text.contains("panicked"), "{text}");
        eprintln!("{text}");
    }
}
