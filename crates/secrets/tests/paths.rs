//! The path that policies see is the path that is done, for every route and every spelling: with all rights but on one
//! route, no spelling of that route does anything; with rights on one route only, no spelling does anything but it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::SystemClock;
use herder_secrets::{CanonicalPath, Config, Error, Op, Request, Response, Server, Storage};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// Operation and route. `n` is a name, which may be any text; everything else is the route's own.
const ROUTES: &[(Op, &str)] = &[
    (Op::Read, "kv/data/n"),
    (Op::Write, "kv/data/n"),
    (Op::Delete, "kv/data/n"),
    (Op::Patch, "kv/data/n"),
    (Op::List, "kv/metadata/n"),
    (Op::Read, "kv/metadata/n"),
    (Op::Write, "kv/metadata/n"),
    (Op::Delete, "kv/metadata/n"),
    (Op::Write, "kv/delete/n"),
    (Op::Write, "kv/undelete/n"),
    (Op::Write, "kv/destroy/n"),
    (Op::Read, "kv/subkeys/n"),
    (Op::Read, "kv/config"),
    (Op::Write, "kv/config"),
    (Op::Read, "flat/n"),
    (Op::Write, "flat/n"),
    (Op::List, "flat"),
    (Op::Read, "cubbyhole/n"),
    (Op::Write, "cubbyhole/n"),
    (Op::List, "cubbyhole"),
    (Op::List, "transit/keys"),
    (Op::Write, "transit/keys/n"),
    (Op::Read, "transit/keys/n"),
    (Op::Delete, "transit/keys/n"),
    (Op::Write, "transit/keys/n/config"),
    (Op::Write, "transit/keys/n/rotate"),
    (Op::Write, "transit/keys/n/trim"),
    (Op::Read, "transit/cache-config"),
    (Op::Read, "transit/export/encryption-key/n"),
    (Op::Read, "transit/export/encryption-key/n/1"),
    (Op::Read, "transit/backup/n"),
    (Op::Write, "transit/restore"),
    (Op::Write, "transit/restore/n"),
    (Op::Write, "transit/encrypt/n"),
    (Op::Write, "transit/decrypt/n"),
    (Op::Write, "transit/rewrap/n"),
    (Op::Write, "transit/datakey/plaintext/n"),
    (Op::Write, "transit/random"),
    (Op::Write, "transit/random/8"),
    (Op::Write, "transit/hash"),
    (Op::Write, "transit/hash/sha2-256"),
    (Op::Write, "transit/hmac/n"),
    (Op::Write, "transit/hmac/n/sha2-256"),
    (Op::Write, "transit/sign/n"),
    (Op::Write, "transit/sign/n/sha2-256"),
    (Op::Write, "transit/verify/n"),
    (Op::Write, "transit/verify/n/sha2-256"),
    (Op::List, "pki/roles"),
    (Op::Read, "pki/roles/n"),
    (Op::Write, "pki/roles/n"),
    (Op::Delete, "pki/roles/n"),
    (Op::Write, "pki/issue/n"),
    (Op::Write, "pki/issuer/default/issue/n"),
    (Op::Write, "pki/sign/n"),
    (Op::Write, "pki/issuer/default/sign/n"),
    (Op::Write, "pki/sign-verbatim"),
    (Op::Write, "pki/sign-verbatim/n"),
    (Op::Write, "pki/issuer/default/sign-verbatim"),
    (Op::Write, "pki/root/generate/internal"),
    (Op::Write, "pki/issuers/generate/root/internal"),
    (Op::Write, "pki/root/rotate/internal"),
    (Op::Delete, "pki/root"),
    (Op::Write, "pki/root/replace"),
    (Op::Write, "pki/root/sign-intermediate"),
    (Op::Write, "pki/issuer/default/sign-intermediate"),
    (Op::Write, "pki/root/sign-self-issued"),
    (Op::Write, "pki/intermediate/generate/internal"),
    (Op::Write, "pki/issuers/generate/intermediate/internal"),
    (Op::Write, "pki/intermediate/set-signed"),
    (Op::Write, "pki/config/ca"),
    (Op::Write, "pki/issuers/import/bundle"),
    (Op::Write, "pki/intermediate/cross-sign"),
    (Op::List, "pki/issuers"),
    (Op::Write, "pki/issuer/default/revoke"),
    (Op::Read, "pki/issuer/default"),
    (Op::Write, "pki/issuer/default"),
    (Op::Delete, "pki/issuer/default"),
    (Op::List, "pki/keys"),
    (Op::Read, "pki/key/default"),
    (Op::Write, "pki/keys/generate/internal"),
    (Op::Read, "pki/config/issuers"),
    (Op::Write, "pki/config/issuers"),
    (Op::Read, "pki/config/urls"),
    (Op::Write, "pki/config/urls"),
    (Op::Read, "pki/config/crl"),
    (Op::Write, "pki/config/crl"),
    (Op::Read, "pki/config/cluster"),
    (Op::Read, "pki/crl/rotate"),
    (Op::Write, "pki/crl/rotate"),
    (Op::List, "pki/certs"),
    (Op::List, "pki/certs/revoked"),
    (Op::Write, "pki/revoke"),
    (Op::Write, "pki/tidy"),
    (Op::Read, "pki/tidy-status"),
    (Op::List, "db/config"),
    (Op::Read, "db/config/n"),
    (Op::Write, "db/config/n"),
    (Op::Delete, "db/config/n"),
    (Op::Write, "db/reset/n"),
    (Op::List, "db/roles"),
    (Op::Read, "db/roles/n"),
    (Op::Write, "db/roles/n"),
    (Op::Delete, "db/roles/n"),
    (Op::Read, "db/creds/n"),
    (Op::List, "db/static-roles"),
    (Op::Read, "db/static-roles/n"),
    (Op::Read, "db/static-creds/n"),
    (Op::Write, "db/rotate-role/n"),
    (Op::List, "identity/entity/id"),
    (Op::Write, "identity/entity"),
    (Op::Read, "identity/entity/name/n"),
    (Op::Write, "identity/entity/name/n"),
    (Op::Delete, "identity/entity/name/n"),
    (Op::List, "identity/entity/name"),
    (Op::Write, "identity/entity/merge"),
    (Op::Write, "identity/group"),
    (Op::Read, "identity/group/name/n"),
    (Op::Write, "identity/group/name/n"),
    (Op::Delete, "identity/group/name/n"),
    (Op::Write, "identity/entity-alias"),
    (Op::Write, "identity/group-alias"),
    (Op::Write, "identity/lookup/entity"),
    (Op::Write, "identity/lookup/group"),
    (Op::Read, "identity/oidc/config"),
    (Op::Write, "identity/oidc/config"),
    (Op::Read, "identity/oidc/key/n"),
    (Op::Write, "identity/oidc/key/n"),
    (Op::Read, "identity/oidc/role/n"),
    (Op::Write, "identity/oidc/role/n"),
    (Op::Read, "identity/oidc/token/n"),
    (Op::Write, "identity/oidc/introspect"),
    (Op::Write, "auth/token/create"),
    (Op::Write, "auth/token/create-orphan"),
    (Op::Write, "auth/token/create/n"),
    (Op::Read, "auth/token/lookup-self"),
    (Op::Write, "auth/token/lookup"),
    (Op::Write, "auth/token/lookup-accessor"),
    (Op::Write, "auth/token/renew-self"),
    (Op::Write, "auth/token/renew"),
    (Op::Write, "auth/token/renew-accessor"),
    (Op::Write, "auth/token/revoke"),
    (Op::Write, "auth/token/revoke-orphan"),
    (Op::Write, "auth/token/revoke-accessor"),
    (Op::List, "auth/token/accessors"),
    (Op::List, "auth/token/roles"),
    (Op::Read, "auth/token/roles/n"),
    (Op::Write, "auth/token/roles/n"),
    (Op::Delete, "auth/token/roles/n"),
    (Op::Write, "auth/token/tidy"),
    (Op::List, "auth/approle/role"),
    (Op::Read, "auth/approle/role/n"),
    (Op::Write, "auth/approle/role/n"),
    (Op::Delete, "auth/approle/role/n"),
    (Op::Read, "auth/approle/role/n/role-id"),
    (Op::Write, "auth/approle/role/n/role-id"),
    (Op::Write, "auth/approle/role/n/secret-id"),
    (Op::Write, "auth/approle/role/n/custom-secret-id"),
    (Op::List, "auth/approle/role/n/secret-id"),
    (Op::Write, "auth/approle/role/n/secret-id/lookup"),
    (Op::Write, "auth/approle/role/n/secret-id-accessor/destroy"),
    (Op::Write, "auth/approle/role/n/policies"),
    (Op::Write, "auth/approle/tidy/secret-id"),
    (Op::List, "auth/userpass/users"),
    (Op::Read, "auth/userpass/users/n"),
    (Op::Write, "auth/userpass/users/n"),
    (Op::Delete, "auth/userpass/users/n"),
    (Op::Write, "auth/userpass/users/n/password"),
    (Op::Write, "auth/userpass/users/n/policies"),
    (Op::Read, "auth/jwt/config"),
    (Op::Write, "auth/jwt/config"),
    (Op::List, "auth/jwt/role"),
    (Op::Read, "auth/jwt/role/n"),
    (Op::Write, "auth/jwt/role/n"),
    (Op::Delete, "auth/jwt/role/n"),
    (Op::Read, "auth/kubernetes/config"),
    (Op::Write, "auth/kubernetes/config"),
    (Op::List, "auth/kubernetes/role"),
    (Op::Read, "auth/kubernetes/role/n"),
    (Op::Write, "auth/kubernetes/role/n"),
    (Op::Delete, "auth/kubernetes/role/n"),
    (Op::List, "auth/cert/certs"),
    (Op::Read, "auth/cert/certs/n"),
    (Op::Write, "auth/cert/certs/n"),
    (Op::Read, "auth/cert/config"),
    (Op::Read, "auth/github/config"),
    (Op::Write, "auth/github/config"),
    (Op::Read, "auth/github/map/teams/n"),
    (Op::Write, "auth/github/map/teams/n"),
    (Op::Write, "auth/github/map/users/n"),
    (Op::Read, "sys/mounts"),
    (Op::Read, "sys/mounts/n"),
    (Op::Write, "sys/mounts/n"),
    (Op::Delete, "sys/mounts/n"),
    (Op::Read, "sys/mounts/n/tune"),
    (Op::Write, "sys/mounts/n/tune"),
    (Op::Read, "sys/auth"),
    (Op::Read, "sys/auth/n"),
    (Op::Write, "sys/auth/n"),
    (Op::Delete, "sys/auth/n"),
    (Op::Read, "sys/auth/n/tune"),
    (Op::Write, "sys/auth/n/tune"),
    (Op::Write, "sys/remount"),
    (Op::Read, "sys/internal/ui/resultant-acl"),
    (Op::Read, "sys/policy"),
    (Op::List, "sys/policies/acl"),
    (Op::Read, "sys/policy/n"),
    (Op::Write, "sys/policy/n"),
    (Op::Delete, "sys/policy/n"),
    (Op::Read, "sys/policies/acl/n"),
    (Op::Write, "sys/policies/acl/n"),
    (Op::Delete, "sys/policies/acl/n"),
    (Op::Write, "sys/capabilities"),
    (Op::Write, "sys/capabilities-self"),
    (Op::Write, "sys/capabilities-accessor"),
    (Op::Write, "sys/leases/lookup"),
    (Op::List, "sys/leases/lookup/n"),
    (Op::Write, "sys/leases/renew"),
    (Op::Write, "sys/leases/renew/n"),
    (Op::Write, "sys/leases/revoke"),
    (Op::Write, "sys/leases/revoke/n"),
    (Op::Write, "sys/leases/revoke-prefix/n"),
    (Op::Write, "sys/leases/revoke-force/n"),
    (Op::Write, "sys/leases/tidy"),
    (Op::Write, "sys/renew"),
    (Op::Write, "sys/renew/n"),
    (Op::Write, "sys/revoke"),
    (Op::Write, "sys/revoke/n"),
    (Op::Write, "sys/revoke-prefix/n"),
    (Op::Read, "sys/audit"),
    (Op::Write, "sys/audit/n"),
    (Op::Delete, "sys/audit/n"),
    (Op::Write, "sys/audit-hash/n"),
    (Op::Write, "sys/step-down"),
    (Op::Write, "sys/rotate"),
    (Op::Read, "sys/key-status"),
    (Op::Read, "sys/rotate/config"),
    (Op::Read, "sys/host-info"),
    (Op::Read, "sys/plugins/catalog"),
    (Op::Read, "sys/plugins/catalog/auth"),
    (Op::Read, "sys/config/state/sanitized"),
    (Op::Write, "sys/wrapping/wrap"),
    (Op::Write, "sys/wrapping/unwrap"),
    (Op::Write, "sys/wrapping/rewrap"),
    (Op::Write, "sys/tools/random"),
    (Op::Write, "sys/tools/random/8"),
    (Op::Write, "sys/tools/hash"),
    (Op::Write, "sys/tools/hash/sha2-256"),
];

/// The same where what is written out above is a word that the handler looks up.
const WORDS: &[&str] = &[
    "transit/datakey/n/n",
    "transit/export/n/n",
    "transit/export/n/n/n",
    "transit/hash/n",
    "transit/random/n",
    "transit/random/n/n",
    "transit/hmac/n/n",
    "transit/sign/n/n",
    "transit/verify/n/n",
    "sys/tools/hash/n",
    "sys/tools/random/n",
    "sys/tools/random/n/n",
    "pki/root/generate/n",
    "pki/root/rotate/n",
    "pki/issuers/generate/root/n",
    "pki/issuers/generate/intermediate/n",
    "pki/intermediate/generate/n",
    "pki/keys/generate/n",
    "pki/key/n",
    "pki/issuer/n",
    "pki/issuer/n/issue/n",
    "pki/issuer/n/sign/n",
    "pki/issuer/n/sign-verbatim",
    "pki/issuer/n/sign-intermediate",
    "pki/issuer/n/revoke",
    "pki/cert/n",
    "auth/approle/role/n/n",
    "auth/approle/role/n/secret-id/n",
    "auth/approle/role/n/secret-id-accessor/n",
    "auth/token/lookup/n",
    "auth/token/renew/n",
    "auth/token/revoke/n",
    "auth/token/revoke-orphan/n",
    "sys/plugins/catalog/n",
];

struct Rig {
    server: Server,
    root: String,
}

impl Rig {
    async fn new() -> Self {
        let server = Server::open(Config {
            storage: Storage::InMemory,
            clock: Arc::new(SystemClock),
            api_addr: String::new(),
        })
        .unwrap();
        let init = server.init(1, 1, None).await.unwrap();
        let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
        let unseal = Request::new(Op::Write, "sys/unseal").with(json!({ "key": key }));
        server.handle(unseal).await.unwrap();
        let rig = Self {
            server,
            root: init.root_token.to_string(),
        };
        for (path, data) in [
            ("sys/mounts/kv", json!({ "type": "kv-v2" })),
            ("sys/mounts/flat", json!({ "type": "kv" })),
            ("sys/mounts/transit", json!({ "type": "transit" })),
            ("sys/mounts/pki", json!({ "type": "pki" })),
            ("sys/mounts/db", json!({ "type": "database" })),
            ("sys/auth/approle", json!({ "type": "approle" })),
            ("sys/auth/userpass", json!({ "type": "userpass" })),
            ("sys/auth/jwt", json!({ "type": "jwt" })),
            ("sys/auth/kubernetes", json!({ "type": "kubernetes" })),
            ("sys/auth/cert", json!({ "type": "cert" })),
            ("sys/auth/github", json!({ "type": "github" })),
        ] {
            rig.ask(&rig.root, Op::Write, path, data).await.unwrap();
        }
        rig
    }

    async fn ask(&self, token: &str, op: Op, path: &str, data: Value) -> Result<Response, Error> {
        self.server
            .handle(Request::new(op, path).with(data).token(token))
            .await
    }

    async fn token(&self, name: &str, policy: String) -> String {
        let at = format!("sys/policies/acl/{name}");
        self.ask(&self.root, Op::Write, &at, json!({ "policy": policy }))
            .await
            .unwrap();
        let data = json!({ "policies": [name], "no_default_policy": true });
        let made = self
            .ask(&self.root, Op::Write, "auth/token/create", data)
            .await
            .unwrap();
        made.auth.unwrap().client_token.to_string()
    }
}

/// Whether somebody did something for a request: an answer, or a handler's own complaint. One without any route says
/// nothing, and so says one for a name that is not there.
fn reached(outcome: &Result<Response, Error>) -> bool {
    match outcome {
        Ok(response) => response.status != Some(404),
        Err(Error::Denied | Error::NotCanonical(_) | Error::NoRoute(_) | Error::NotFound) => false,
        // "unsupported operation": of a route that has others.
        Err(Error::Unsupported) => false,
        Err(_) => true,
    }
}

/// Spellings of a path that leave its names as they are.
fn spellings(path: &str) -> Vec<String> {
    let mut all = vec![
        format!("/{path}"),
        format!("//{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("./{path}"),
        format!("../{path}"),
        format!("x/../{path}"),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path}/x/.."),
        format!("{path}\0"),
        format!("{path}%00"),
        format!("{path};x"),
        format!("{path};"),
        format!("{path}?x"),
        format!("{path}#x"),
        format!("{path} "),
        format!(" {path}"),
        format!("{path}+"),
        format!("{path}*"),
        format!("{path}/*"),
        format!("{path}/+"),
        format!("{path}\\"),
        format!("{path}\n"),
        format!("{path}\u{200b}"),
        path.to_uppercase(),
        path.replace('/', "\\"),
        path.replace('/', "%2f"),
        path.replace('/', "%2F"),
        path.replace('/', "%252f"),
        path.replace('/', "\u{2215}"),
        path.replace('/', "\u{ff0f}"),
        path.replace('.', "%2e"),
        path.replace('/', "/%2e%2e/"),
        path.replace('/', "/%2e/"),
        format!("{path}/x/y/z"),
        format!("v1/{path}"),
        format!("root/{path}"),
        format!("ns1/{path}"),
    ];
    for (at, _) in path.match_indices('/') {
        let (head, tail) = (&path[..at], &path[at + 1..]);
        for between in [
            "//",
            "///",
            "/./",
            "/x/../",
            "/ /",
            "/\0/",
            "\\/",
            "/\\",
            "/;/",
            "/%2f",
            "%2f/",
            "/..;/",
            "/\u{200b}/",
            "/\u{feff}/",
        ] {
            all.push(format!("{head}{between}{tail}"));
        }
    }
    // One segment after another in another case, or in letters that look the same.
    let segments: Vec<&str> = path.split('/').collect();
    for (at, segment) in segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| **segment != "n")
    {
        for other in [
            segment.to_uppercase(),
            segment.replacen('s', "\u{17f}", 1),
            segment.replacen('k', "\u{212a}", 1),
            segment.replacen('a', "\u{430}", 1),
            segment.replacen('e', "e\u{301}", 1),
            segment
                .chars()
                .map(|c| {
                    if c.is_ascii_lowercase() {
                        char::from_u32(u32::from(c) - 0x61 + 0xff41).unwrap()
                    } else {
                        c
                    }
                })
                .collect(),
            format!("{segment} "),
            format!("{segment}."),
        ] {
            let mut changed = segments.clone();
            changed[at] = &other;
            all.push(changed.join("/"));
        }
    }
    all.retain(|spelled| spelled != path);
    all
}

/// What the path of a spelling means for the handler as much as for the policies.
fn same(op: Op, spelled: &str, path: &str) -> bool {
    CanonicalPath::new(op, spelled).is_ok_and(|spelled| spelled == CanonicalPath::new(op, path).unwrap())
}

/// Whether a spelling is a route with another name, and so something else.
fn another(spelled: &str) -> bool {
    let fits = |route: &str| {
        let mut segments = spelled.split('/');
        let any = [
            "kv/",
            "flat/",
            "cubbyhole/",
            "sys/mounts/",
            "sys/auth/",
            "sys/leases/lookup/",
            "sys/leases/re",
            "sys/renew",
            "sys/revoke",
            "sys/audit",
            "sys/policy/",
            "sys/policies/acl/",
        ];
        let rest_is_name = any.iter().any(|any| route.starts_with(any));
        for part in route.split('/') {
            match segments.next() {
                Some(segment) if part == "n" || segment == part => {}
                _ => return false,
            }
            if part == "n" && rest_is_name {
                return true;
            }
        }
        segments.next().is_none()
    };
    ROUTES
        .iter()
        .map(|(_, route)| route)
        .chain(WORDS)
        .any(|route| fits(route))
}

#[tokio::test]
async fn no_spelling_of_what_is_denied_does_anything() {
    let rig = Rig::new().await;
    let (mut tried, mut done) = (0, Vec::new());
    for (number, (op, path)) in ROUTES.iter().enumerate() {
        let token = rig
            .token(
                &format!("all-but-{number}"),
                format!(
                    "path \"*\" {{ capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\", \"list\", \"sudo\"] }}\n\
                     path \"{path}\" {{ capabilities = [\"deny\"] }}\npath \"{path}/\" {{ capabilities = [\"deny\"] }}"
                ),
            )
            .await;
        let plain = rig.ask(&token, *op, path, json!({})).await;
        assert!(matches!(plain, Err(Error::Denied)), "{op:?} {path}: {plain:?}");
        for spelled in spellings(path) {
            tried += 1;
            let outcome = rig.ask(&token, *op, &spelled, json!({})).await;
            if same(*op, &spelled, path) {
                assert!(
                    matches!(outcome, Err(Error::Denied)),
                    "{op:?} {path} as {spelled:?}: {outcome:?}"
                );
            } else if !another(&spelled) && reached(&outcome) {
                done.push(format!("{op:?} {path} as {spelled:?}: {outcome:?}"));
            }
        }
    }
    assert!(done.is_empty(), "{}", done.join("\n"));
    assert!(tried > 10_000, "{tried}");
}

#[tokio::test]
async fn no_spelling_leads_away_from_what_is_allowed() {
    let rig = Rig::new().await;
    for (number, (op, path)) in ROUTES.iter().enumerate() {
        let token = rig
            .token(
                &format!("only-{number}"),
                format!(
                    "path \"{path}\" {{ capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\", \"list\", \"sudo\"] }}"
                ),
            )
            .await;
        for spelled in spellings(path) {
            if !same(*op, &spelled, path) {
                let outcome = rig.ask(&token, *op, &spelled, json!({})).await;
                assert!(
                    matches!(outcome, Err(Error::Denied | Error::NotCanonical(_))),
                    "{op:?} {path} as {spelled:?}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn names_in_another_case_are_under_the_same_policy() {
    let rig = Rig::new().await;
    for (number, (op, path)) in [
        (Op::Write, "auth/approle/role/straße"),
        (Op::Read, "auth/approle/role/straße/role-id"),
        (Op::Write, "auth/userpass/users/straße"),
        (Op::Write, "auth/github/map/teams/straße"),
        (Op::Write, "sys/policy/straße"),
        (Op::Delete, "sys/policies/acl/straße"),
        (Op::Read, "identity/entity/name/straße"),
        (Op::Write, "identity/group/name/straße"),
        (Op::Write, "auth/approle/role/οδοσ"),
        (Op::Write, "sys/policy/kelvin"),
    ]
    .into_iter()
    .enumerate()
    {
        let (folder, name) = path.split_at(
            path.len()
                - path
                    .trim_end_matches("/role-id")
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .len()
                - if path.ends_with("/role-id") { 8 } else { 0 },
        );
        let others = [
            name.to_uppercase()
                .replace("ROLE-ID", "role-id")
                .replace("SS", "ẞ"),
            name.replace('s', "S"),
            name.replace('k', "\u{212a}"),
            name.replace('σ', "Σ"),
        ];
        // However the policy itself is written.
        for (at, denied) in std::iter::once(path.to_owned())
            .chain(others.iter().map(|other| format!("{folder}{other}")))
            .enumerate()
        {
            let token = rig
                .token(
                    &format!("case-{number}-{at}"),
                    format!("path \"*\" {{ capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"] }}\npath \"{denied}\" {{ capabilities = [\"deny\"] }}"),
                )
                .await;
            for other in others.iter().map(String::as_str).chain([name]) {
                let spelled = format!("{folder}{other}");
                let outcome = rig
                    .ask(
                        &token,
                        op,
                        &spelled,
                        json!({ "value": "x", "password": "x", "policy": "" }),
                    )
                    .await;
                assert!(
                    matches!(outcome, Err(Error::Denied)),
                    "{denied} as {spelled}: {outcome:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is canonical has no other reading: no empty or dotted segment, nothing unprintable, and it is its own form.
    #[test]
    fn what_is_canonical_is_its_own_form(text in "([a-z./%\\\\;+* \\PC\u{0}-\u{1f}]|//|\\.\\.|\u{200b}|é|e\u{301}){0,12}") {
        for op in [Op::Read, Op::List, Op::Write, Op::Patch, Op::Delete] {
            let Ok(path) = CanonicalPath::new(op, text.as_str()) else { continue };
            prop_assert_eq!(path.as_str().trim_end_matches('/'), text.trim_end_matches('/'));
            prop_assert_eq!(path.as_str().ends_with('/'), op == Op::List);
            let body = path.as_str().strip_suffix('/').unwrap_or(&path);
            prop_assert!(body.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert!(!body.chars().any(char::is_control));
            let again = CanonicalPath::new(op, path.as_str());
            prop_assert_eq!(again.as_ref().map(CanonicalPath::as_str), Ok(path.as_str()));
        }
    }
}
