//! Answers that are kept in a token of their own, typed at this binary under Vault's name.

use super::command::Shell;
use super::server::{Server, directory};
use serde_json::Value;

const ROOT: &str = "wrapping-root";

/// The value beside a name in a table.
fn beside<'a>(table: &'a str, name: &str) -> &'a str {
    table
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map_or("", str::trim)
}

fn shell(name: &str) -> (Shell, Server) {
    let server = Server::dev(ROOT);
    let mut shell = Shell::new(&directory(name), &server);
    shell.variables.push(("VAULT_TOKEN", ROOT.to_owned()));
    (shell, server)
}

#[test]
fn answers_are_wrapped_and_unwrapped_once() {
    let (mut shell, _server) = shell("wrapped");
    shell.ok("kv put secret/app/db password=p");
    let table = shell.ok("kv get -wrap-ttl=90s secret/app/db");
    let token = beside(&table, "wrapping_token:").to_owned();
    assert!(token.starts_with("hvs."), "{table}");
    assert_eq!(beside(&table, "wrapping_token_ttl:"), "1m30s", "{table}");
    assert_eq!(
        beside(&table, "wrapping_token_creation_path:"),
        "secret/data/app/db"
    );
    assert!(beside(&table, "wrapping_token_creation_time:").ends_with("+0000 UTC"));
    assert!(!beside(&table, "wrapping_accessor:").is_empty());
    assert!(!table.contains("wrapped_accessor") && !table.contains("password"));
    assert!(shell.ok(&format!("unwrap {token}")).contains("password"));
    let (code, text) = shell.typed(&format!("unwrap {token}"), "");
    assert_eq!(code, 2, "{text}");
    // Whoever has the wrapping token only opens it by itself, given either way.
    let token = shell.ok("read -field=wrapping_token -wrap-ttl 60 secret/data/app/db");
    let own = std::mem::take(&mut shell.variables);
    let opened = shell.ok(&format!("unwrap -format=json {}", token.trim()));
    shell.variables = own;
    let opened: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened.pointer("/data/data/password").unwrap(), "p");
    let token = shell
        .ok("kv get -field=wrapping_token -wrap-ttl=5m secret/app/db")
        .trim()
        .to_owned();
    let own = std::mem::replace(&mut shell.variables, vec![("VAULT_TOKEN", token)]);
    assert!(shell.ok("unwrap").contains("password"));
    shell.variables = own;
    for line in [
        "list -wrap-ttl=5m secret/metadata",
        "kv list -wrap-ttl=5m secret",
        "kv put -wrap-ttl=5m secret/app/db password=q",
        "kv metadata get -wrap-ttl=5m secret/app/db",
        "write sys/wrapping/wrap mine=1",
        "token lookup -wrap-ttl=5m",
    ] {
        assert!(shell.ok(line).contains("wrapping_token:"), "{line}");
    }
    assert!(shell.ok("kv get -wrap-ttl=0 secret/app/db").contains("password"));
}

#[test]
fn wrapped_tokens_have_an_accessor_and_programs_read_them() {
    let (mut shell, _server) = shell("wrapped-tokens");
    let json: Value =
        serde_json::from_str(&shell.ok("token create -wrap-ttl=5m -policy=default -format=json")).unwrap();
    let info = json.get("wrap_info").unwrap();
    assert_eq!(info.get("ttl").unwrap(), 300);
    assert_eq!(info.get("creation_path").unwrap(), "auth/token/create");
    let token = info.get("token").unwrap().as_str().unwrap();
    let inner = shell.ok(&format!("unwrap -field=token {token}"));
    let accessor = info.get("wrapped_accessor").unwrap().as_str().unwrap();
    assert_eq!(
        shell
            .ok(&format!("token lookup -field=accessor {}", inner.trim()))
            .trim(),
        accessor
    );
    let yaml = shell.ok("token create -wrap-ttl=5m -format=yaml");
    assert!(
        yaml.contains("wrap_info:\n") && yaml.contains("  ttl: 300\n"),
        "{yaml}"
    );
    shell.variables.push(("VAULT_WRAP_TTL", "2m".to_owned()));
    let table = shell.ok("token create");
    assert_eq!(beside(&table, "wrapping_token_ttl:"), "2m");
    assert!(!beside(&table, "wrapped_accessor:").is_empty(), "{table}");
    assert_eq!(
        shell
            .ok("token create -wrap-ttl=60 -field=wrapping_token_ttl")
            .trim(),
        "60"
    );
    // What has no answer to wrap goes on as ever.
    shell.ok("secrets list");
    shell.ok("policy list");
    assert!(
        shell
            .ok("token create -wrap-ttl=0 -field=token")
            .starts_with("hvs.")
    );
}

#[test]
fn a_wrapped_log_in_stores_no_token() {
    let (mut shell, _server) = shell("wrapped-login");
    shell.ok("auth enable userpass");
    shell.ok("write auth/userpass/users/ann password=secret policies=default");
    let login = "login -method=userpass -wrap-ttl=5m username=ann password=secret";
    let table = shell.ok(login);
    assert!(!beside(&table, "wrapped_accessor:").is_empty(), "{table}");
    let stored = shell.home.join(".vault-token");
    assert!(!stored.exists());
    let token = beside(&table, "wrapping_token:").to_owned();
    assert!(
        shell
            .ok(&format!("unwrap -format=json {token}"))
            .contains("client_token")
    );
    for (line, said) in [
        (
            "login -no-print -method=userpass -wrap-ttl=5m username=ann password=secret",
            "-no-print would lose the wrapping token",
        ),
        ("login -wrap-ttl=5m X", "-wrap-ttl needs -method"),
        (
            "read -wrap-ttl=soon secret/data/a",
            "-wrap-ttl cannot be used: `soon` is no duration",
        ),
        ("secrets list -wrap-ttl=5m", "there is nothing to wrap"),
    ] {
        let (code, text) = shell.typed(line, "");
        assert!(code == 2 && text.contains(said), "{line}: {text}");
    }
    shell.variables.push(("VAULT_WRAP_TTL", "soon".to_owned()));
    let (code, text) = shell.typed("read secret/data/a", "");
    assert!(
        code == 2 && text.contains("VAULT_WRAP_TTL cannot be used"),
        "{text}"
    );
    // The token that is given is stored whatever the variable says.
    shell.variables = vec![("VAULT_WRAP_TTL", "5m".to_owned())];
    shell.ok(&format!("login {ROOT}"));
    assert_eq!(std::fs::read_to_string(stored).unwrap(), ROOT);
}
