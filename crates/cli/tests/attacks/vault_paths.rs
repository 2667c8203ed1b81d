//! Ways around Vault's policies by another spelling of a path, a name or a parameter: what the policies see must be what
//! is done.

use crate::attacked::{Dir, PATIENCE, Process, Who, as_both, herder, http};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

pub(crate) const ROOT: &str = "root-of-the-attacked";

/// A server for development that ends with the value.
pub(crate) struct Vault {
    _process: Process,
    address: String,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Vault {
    pub(crate) fn start(who: Who, dir: &Dir) -> Self {
        let mut child = herder(who, dir.path())
            .args(["vault", "server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg("-dev-listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let process = Process(child);
        let mut lines = BufReader::new(out).lines();
        let started = Instant::now();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("listening on http://").map(str::to_owned))
            .unwrap();
        assert!(started.elapsed() < PATIENCE);
        // Whatever it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            _process: process,
            address,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A request with the path byte for byte.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let kind = if method == "PATCH" {
            "merge-patch+json"
        } else {
            "json"
        };
        self.send(
            token,
            method,
            path,
            &format!("Content-Type: application/{kind}\r\n"),
            &body.to_string(),
        )
    }

    pub(crate) fn send(&self, token: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let body = if body == "null" { "" } else { body };
        let said = http(
            &self.address,
            &format!(
                "{method} /v1/{path} HTTP/1.1\r\nHost: vault\r\nConnection: close\r\nX-Vault-Token: {token}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    /// As root; must work.
    pub(crate) fn set(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(ROOT, method, path, &body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    /// A token with one policy.
    pub(crate) fn token(&self, name: &str, policy: &str) -> String {
        self.set(
            "PUT",
            &format!("sys/policies/acl/{name}"),
            json!({ "policy": policy }),
        );
        let made = self.set(
            "POST",
            "auth/token/create",
            json!({ "policies": [name], "no_default_policy": true }),
        );
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// Everything but what is named, and without sudo.
const NARROW: &str = r#"
path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
path "transit/export/*" { capabilities = ["deny"] }
path "transit/keys/k" { capabilities = ["deny"] }
path "transit/keys/k/config" { capabilities = ["deny"] }
path "transit/encrypt/k" { capabilities = ["deny"] }
path "transit/decrypt/k" { capabilities = ["deny"] }
path "transit/datakey/plaintext/k" { capabilities = ["deny"] }
path "transit/backup/k" { capabilities = ["deny"] }
path "transit/hmac/k" { capabilities = ["deny"] }
path "transit/hmac/k/sha2-256" { capabilities = ["deny"] }
path "pki/sign-verbatim" { capabilities = ["deny"] }
path "pki/sign-verbatim/*" { capabilities = ["deny"] }
path "pki/issue/web" { capabilities = ["deny"] }
path "pki/roles/web" { capabilities = ["deny"] }
path "pki/root/*" { capabilities = ["deny"] }
path "pki/config/urls" { capabilities = ["deny"] }
path "auth/approle/role/admin" { capabilities = ["deny"] }
path "auth/approle/role/admin/*" { capabilities = ["deny"] }
path "auth/userpass/users/boss" { capabilities = ["deny"] }
path "auth/userpass/users/boss/*" { capabilities = ["deny"] }
path "auth/jwt/role/admin" { capabilities = ["deny"] }
path "auth/github/map/teams/admins" { capabilities = ["deny"] }
path "sys/policy/strong" { capabilities = ["deny"] }
path "sys/policies/acl/strong" { capabilities = ["deny"] }
path "sys/mounts" { capabilities = ["deny"] }
path "sys/mounts/secret" { capabilities = ["deny"] }
path "sys/key-status" { capabilities = ["deny"] }
path "sys/tools/random" { capabilities = ["deny"] }
path "sys/tools/random/8" { capabilities = ["deny"] }
path "identity/entity/name/boss" { capabilities = ["deny"] }
path "identity/group/name/admins" { capabilities = ["deny"] }
path "secret/config" { capabilities = ["deny"] }
path "auth/token/create" { capabilities = ["update", "create"], required_parameters = ["ttl"] }
"#;

/// Method, how the path is spelled, body: each goes around a `deny` or a `sudo` where handlers read paths in another way.
fn spellings(csr: &str) -> Vec<(&'static str, &'static str, Value)> {
    let none = || Value::Null;
    let empty = || json!({});
    let plain = || json!({ "plaintext": "aGk=" });
    let input = || json!({ "input": "aGk=" });
    let signing = || json!({ "csr": csr, "ttl": "1h" });
    let name = || json!({ "common_name": "evil.example" });
    let role = || json!({ "token_policies": "strong" });
    let policy = || json!({ "policy": "path \"*\" { capabilities = [\"sudo\"] }" });
    vec![
        // A slash too many, in every way there is to write one.
        ("GET", "transit//export/encryption-key/k", none()),
        ("GET", "transit///export/encryption-key/k", none()),
        ("GET", "transit/%2fexport/encryption-key/k", none()),
        ("GET", "transit%2F/export/encryption-key/k", none()),
        ("GET", "transit%2f%2Fexport%2Fencryption-key%2fk", none()),
        ("GET", "//transit//export/encryption-key/k", none()),
        ("GET", "transit//backup/k", none()),
        ("GET", "transit/keys//k", none()),
        ("GET", "transit/keys/k//", none()),
        (
            "POST",
            "transit//keys/k/config",
            json!({ "deletion_allowed": true }),
        ),
        (
            "POST",
            "transit/keys/k//config",
            json!({ "deletion_allowed": true }),
        ),
        ("POST", "transit/encrypt//k", plain()),
        ("POST", "transit/datakey//plaintext/k", empty()),
        ("POST", "transit/datakey/plaintext//k", empty()),
        ("POST", "transit/hmac//k", input()),
        ("POST", "pki//sign-verbatim", signing()),
        ("POST", "pki/%2Fsign-verbatim", signing()),
        ("POST", "pki//sign-verbatim/web", signing()),
        ("POST", "pki/issue//web", name()),
        ("GET", "pki/roles//web", none()),
        ("POST", "pki//root/generate/internal", name()),
        ("GET", "pki/config//urls", none()),
        ("GET", "auth/approle//role/admin/role-id", none()),
        ("POST", "auth/approle/role//admin", role()),
        ("POST", "auth/approle/role//admin/secret-id", empty()),
        (
            "POST",
            "auth/userpass//users/boss/password",
            json!({ "password": "mine" }),
        ),
        ("GET", "auth/jwt/role//admin", none()),
        (
            "POST",
            "auth/github/map//teams/admins",
            json!({ "value": "strong" }),
        ),
        ("GET", "sys//key-status", none()),
        ("POST", "sys/tools//random", empty()),
        ("GET", "identity//entity/name/boss", none()),
        ("GET", "identity/group//name/admins", none()),
        // What only sudo may.
        ("PUT", "sys//rotate", none()),
        ("PUT", "sys/%2frotate", none()),
        ("PUT", "sys//step-down", none()),
        ("GET", "sys//plugins/catalog/auth", none()),
        // A slash at the end.
        ("GET", "transit/keys/k/", none()),
        ("GET", "transit/backup/k/", none()),
        ("POST", "transit/encrypt/k/", plain()),
        ("POST", "pki/issue/web/", name()),
        ("GET", "pki/roles/web/", none()),
        ("GET", "sys/mounts/", none()),
        ("GET", "sys/mounts/secret/", none()),
        ("GET", "sys/key-status/", none()),
        // A segment that nobody reads.
        ("POST", "transit/hmac/k/sha2-256/x", input()),
        ("POST", "sys/tools/random/8/x/y", empty()),
        // Names that are the same in any case.
        ("POST", "auth/approle/role/ADMIN", role()),
        ("POST", "auth/approle/role/Admin/secret-id", empty()),
        ("GET", "auth/approle/role/admiN/role-id", none()),
        (
            "POST",
            "auth/userpass/users/Boss/password",
            json!({ "password": "mine" }),
        ),
        (
            "POST",
            "auth/userpass/users/BOSS",
            json!({ "password": "mine", "token_policies": "strong" }),
        ),
        (
            "POST",
            "auth/github/map/teams/Admins",
            json!({ "value": "strong" }),
        ),
        ("PUT", "sys/policy/Strong", policy()),
        ("PUT", "sys/policies/acl/STRONG", policy()),
        ("GET", "sys/policies/acl/str%4Fng", none()),
        ("GET", "identity/entity/name/Boss", none()),
        ("GET", "identity/group/name/ADMINS", none()),
        ("DELETE", "pki/root", none()),
        // A parameter that the policy requires, in a case that nobody reads.
        ("POST", "auth/token/create", json!({ "TTL": "1h" })),
    ]
}

fn furnish(vault: &Vault) -> String {
    for (path, kind) in [("transit", "transit"), ("pki", "pki")] {
        vault.set("POST", &format!("sys/mounts/{path}"), json!({ "type": kind }));
    }
    for kind in ["approle", "userpass", "jwt", "github"] {
        vault.set("POST", &format!("sys/auth/{kind}"), json!({ "type": kind }));
    }
    let key = json!({ "exportable": true, "allow_plaintext_backup": true });
    vault.set("POST", "transit/keys/k", key);
    vault.set(
        "POST",
        "pki/root/generate/internal",
        json!({ "common_name": "ca", "key_type": "ec", "ttl": "700h" }),
    );
    vault.set(
        "POST",
        "pki/roles/web",
        json!({ "allow_any_name": true, "key_type": "ec", "ttl": "1h" }),
    );
    vault.set(
        "POST",
        "auth/approle/role/admin",
        json!({ "token_policies": "strong" }),
    );
    vault.set(
        "POST",
        "auth/userpass/users/boss",
        json!({ "password": "a secret of the boss" }),
    );
    let role = json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": "x" });
    vault.set("POST", "auth/jwt/role/admin", role);
    vault.set(
        "POST",
        "auth/github/map/teams/admins",
        json!({ "value": "strong" }),
    );
    vault.set(
        "PUT",
        "sys/policies/acl/strong",
        json!({ "policy": "path \"a\" { capabilities = [\"read\"] }" }),
    );
    vault.set("POST", "identity/entity", json!({ "name": "boss" }));
    vault.set("POST", "identity/group", json!({ "name": "admins" }));
    let made = vault.set(
        "POST",
        "pki/intermediate/generate/internal",
        json!({ "common_name": "evil.example", "key_type": "ec" }),
    );
    made["data"]["csr"].as_str().unwrap().to_owned()
}

/// The spelled paths as policies mean them, to show that the policy holds there.
fn plain(path: &str) -> String {
    let path = path.replace("%2f", "/").replace("%2F", "/");
    path.split('/')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn no_spelling_goes_around_a_policy() {
    as_both(|who| {
        let dir = Dir::new("vault-paths");
        let vault = Vault::start(who, &dir);
        let csr = furnish(&vault);
        let token = vault.token("narrow", NARROW);
        // What is not denied works, so that a refusal means something.
        for (method, path, body) in [
            ("POST", "transit/keys/other", json!({})),
            ("GET", "transit/keys/other", Value::Null),
            ("LIST", "transit/keys", Value::Null),
            ("LIST", "transit/keys/", Value::Null),
            ("GET", "transit/keys?list=true", Value::Null),
            ("GET", "transit%2Fkeys%2fother", Value::Null),
            (
                "POST",
                "auth/approle/role/Mixed",
                json!({ "token_policies": "strong" }),
            ),
            ("GET", "auth/approle/role/mixed/role-id", Value::Null),
            (
                "PUT",
                "secret/data/a%20b/%C3%A9/%2a",
                json!({ "data": { "k": "v" } }),
            ),
            ("GET", "secret/data/a%20b/%c3%a9/*", Value::Null),
            ("POST", "auth/token/create", json!({ "ttl": "1h" })),
        ] {
            let answer = vault.ask(&token, method, path, &body);
            assert!(
                (200..300).contains(&answer.status),
                "{who:?} {method} {path}: {answer:?}"
            );
        }
        let mut through = Vec::new();
        let spellings = spellings(&csr);
        for (method, path, body) in &spellings {
            let answer = vault.ask(&token, method, path, body);
            let words = answer.body.to_string();
            let told = match answer.status {
                301 => {
                    // Where it leads to is refused, too.
                    let place = answer
                        .head
                        .lines()
                        .find_map(|line| line.strip_prefix("location: /v1/"));
                    let place = place.unwrap_or_else(|| panic!("{answer:?}"));
                    place == plain(path)
                        && words.contains("; write ")
                        && vault.ask(&token, method, place, body).status == 403
                }
                400 => {
                    words.contains("invalid request path")
                        || words.contains("cannot write to a path ending in '/'")
                }
                403 => words.contains("permission denied"),
                404 => words.contains("unsupported path"),
                _ => false,
            };
            if !told {
                through.push(format!("{method} {path}: {} {words:.120}", answer.status));
            }
        }
        assert!(
            through.is_empty(),
            "{who:?}: {} of {} went through:\n{}",
            through.len(),
            spellings.len(),
            through.join("\n")
        );
    });
}

#[test]
fn a_spelling_that_is_refused_is_on_record() {
    as_both(|who| {
        let dir = Dir::new("vault-audit");
        let vault = Vault::start(who, &dir);
        let log = dir.path().join("audit.log");
        vault.set(
            "PUT",
            "sys/audit/file",
            json!({ "type": "file", "options": { "file_path": log } }),
        );
        let token = vault.token("none", "path \"a\" { capabilities = [\"read\"] }");
        let mut missing = Vec::new();
        let paths = [
            ("GET", "transit//export/x", "transit//export/x"),
            ("PUT", "sys/%2Fseal", "sys//seal"),
            ("GET", "sys/../sys/raw/core", "sys/../sys/raw/core"),
            ("POST", "secret/%2e%2e/x", "secret/../x"),
            ("GET", "secret/data/a%00b", "secret/data/a\0b"),
            ("GET", "secret/data/%c0%ae", "secret/data/%c0%ae"),
            ("PUT", "secret/data/x/", "secret/data/x/"),
        ];
        for (method, path, _) in &paths {
            let answer = vault.ask(&token, method, path, &Value::Null);
            assert!(matches!(answer.status, 301 | 400), "{method} {path}: {answer:?}");
        }
        let text = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (_, path, shown) in &paths {
            let of = |kind: &str| {
                lines.iter().any(|line| {
                    line["type"] == kind
                        && line["request"]["path"] == *shown
                        && line["request"]["client_token"]
                            .as_str()
                            .is_some_and(|token| token.starts_with("hmac-sha256:"))
                        && line["error"].as_str().is_some_and(|error| !error.is_empty())
                })
            };
            if !of("request") || !of("response") {
                missing.push(*path);
            }
        }
        assert!(missing.is_empty(), "{who:?}: not recorded: {missing:?}");
        assert!(!text.contains(&token), "{who:?}: the token is in the record");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&log).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{who:?}");
    });
}
