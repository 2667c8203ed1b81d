//! The commands people type at a Vault, typed at this binary under Vault's name.

use super::server::{Server, directory, shim};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Shell {
    vault: PathBuf,
    /// Where the token is stored.
    pub home: PathBuf,
    address: String,
    /// What else is in the environment.
    pub variables: Vec<(&'static str, String)>,
}

impl Shell {
    pub fn new(dir: &Path, server: &Server) -> Self {
        Self {
            vault: shim(dir).join("vault"),
            home: dir.to_owned(),
            address: server.address.clone(),
            variables: Vec::new(),
        }
    }

    /// Exit code and output, standard input given.
    pub fn typed(&self, line: &str, input: &str) -> (i32, String) {
        let mut child = Command::new(&self.vault)
            .args(line.split(' '))
            .env_clear()
            .env("HOME", &self.home)
            .env("VAULT_ADDR", &self.address)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command may not want it.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        text.push_str(&String::from_utf8(output.stderr).unwrap());
        (output.status.code().unwrap(), text)
    }

    pub fn ok(&self, line: &str) -> String {
        let (code, text) = self.typed(line, "");
        assert_eq!(code, 0, "{line}: {text}");
        text
    }
}

#[test]
fn what_people_type_works() {
    let dir = directory("typed");
    let server = Server::dev("typed-root");
    let shell = Shell::new(&dir, &server);
    assert!(shell.ok("-version").starts_with("Vault v1."));
    assert!(shell.ok("status").contains("sealed"));
    let (code, text) = shell.typed("secrets list", "");
    assert_eq!(code, 2, "{text}");
    assert!(!shell.typed("login -", "typed-root\n").1.contains("Error"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.join(".vault-token")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(shell.ok("secrets list").contains("secret/"));
    shell.ok("secrets enable -path=old kv");
    shell.ok("kv put old/a x=1");
    assert_eq!(shell.ok("kv get -field=x old/a").trim(), "1");
    shell.ok("kv put secret/app/db user=ann password=p");
    shell.ok("kv patch -mount=secret app/db password=q");
    assert_eq!(shell.ok("kv get -field=password secret/app/db").trim(), "q");
    assert_eq!(
        shell.ok("kv get -version=1 -field=password secret/app/db").trim(),
        "p"
    );
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok("kv get -format=json secret/app/db")).unwrap();
    assert_eq!(json.pointer("/data/data/user").unwrap(), "ann");
    assert!(shell.ok("kv list secret/app").contains("db"));
    shell.ok("kv delete secret/app/db");
    shell.ok("kv undelete -versions=2 secret/app/db");
    assert!(
        shell
            .ok("kv metadata get secret/app/db")
            .contains("current_version")
    );
    let (code, _) = shell.typed(
        "policy write app -",
        "path \"secret/data/app/*\" { capabilities = [\"read\"] }",
    );
    assert_eq!(code, 0);
    assert!(shell.ok("policy read app").contains("secret/data/app"));
    assert!(shell.ok("policy list").contains("app"));
    let token = shell.ok("token create -policy=app -ttl=10m -field=token");
    assert!(
        shell
            .ok(&format!("token lookup {}", token.trim()))
            .contains("app")
    );
    assert_eq!(shell.ok("token capabilities secret/data/app/db").trim(), "root");
    shell.ok(&format!("token revoke {}", token.trim()));
    shell.ok("auth enable userpass");
    shell.ok("write auth/userpass/users/ann password=secret policies=app");
    assert!(
        shell
            .ok("read auth/userpass/users/ann")
            .contains("token_policies")
    );
    assert!(shell.ok("list auth/userpass/users").contains("ann"));
    let login = "login -method=userpass -no-store -format=json username=ann password=secret";
    assert!(shell.ok(login).contains("client_token"));
    shell.ok("delete auth/userpass/users/ann");
    shell.ok("auth disable userpass");
    shell.ok("policy delete app");
    assert!(shell.typed("frobnicate", "").1.contains("is not here"));
    let (code, text) = shell.typed("token create -polices=app", "");
    assert!(code == 2 && text.contains("-policy is"), "{text}");
    let (code, text) = shell.typed("kv put secret/app/db", "");
    assert!(code == 2 && text.contains("Must supply data"), "{text}");
    let accessor = shell.ok("token create -policy=default -field=token_accessor");
    let shown = shell.ok(&format!("token lookup -accessor {}", accessor.trim()));
    assert!(shown.contains(accessor.trim()), "{shown}");
}

#[test]
fn operators_initialise_unseal_and_seal() {
    let dir = directory("operated");
    let server = Server::sealed(&dir);
    let shell = Shell::new(&dir, &server);
    assert_eq!(shell.typed("status", "").0, 2);
    let text = shell.ok("operator init -key-shares=3 -key-threshold=2 -format=json");
    let init: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = init.get("unseal_keys_b64").unwrap().as_array().unwrap();
    for key in keys.iter().take(2) {
        shell.ok(&format!("operator unseal {}", key.as_str().unwrap()));
    }
    shell.ok("status");
    shell.ok(&format!(
        "login {}",
        init.get("root_token").unwrap().as_str().unwrap()
    ));
    shell.ok("operator rotate");
    assert!(shell.ok("operator key-status").contains('2'));
    shell.ok("operator seal");
    assert_eq!(shell.typed("status", "").0, 2);
}
