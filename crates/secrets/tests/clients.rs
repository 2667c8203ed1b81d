//! Where clients' own tests once found this server to differ from Vault.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, and their helpers fail them"
)]

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_base::SystemClock;
use herder_secrets::{Config, Error, Op, Request, Response, Server, Storage};
use serde_json::{Value, json};
use std::sync::Arc;

struct Rig(Server);

impl Rig {
    async fn new() -> Self {
        let server = Server::open(Config {
            storage: Storage::InMemory,
            clock: Arc::new(SystemClock),
            api_addr: String::new(),
        })
        .unwrap();
        let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
        let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
        let rig = Self(server);
        rig.ok(Op::Write, "sys/unseal", json!({ "key": key })).await;
        rig
    }

    async fn ask(&self, op: Op, path: &str, data: Value) -> Result<Response, Error> {
        let request = Request::new(op, path).with(data).token("root");
        self.0.handle(request).await
    }

    async fn ok(&self, op: Op, path: &str, data: Value) -> Response {
        self.ask(op, path, data)
            .await
            .unwrap_or_else(|error| panic!("{op:?} {path}: {error}"))
    }

    async fn write(&self, path: &str, data: Value) -> Value {
        self.ok(Op::Write, path, data)
            .await
            .data
            .map_or(Value::Null, Value::Object)
    }

    async fn read(&self, path: &str) -> Value {
        Value::Object(self.ok(Op::Read, path, json!({})).await.data.unwrap())
    }

    async fn refused(&self, path: &str, data: Value, status: u16, said: &str) {
        let error = self.ask(Op::Write, path, data).await.unwrap_err();
        assert!(error.to_string().contains(said), "{path}: {error}");
        assert_eq!(error.status(), status, "{path}: {error}");
    }
}

#[tokio::test]
async fn mounts_have_spaces_and_tell_where_they_went() {
    let rig = Rig::new().await;
    rig.write("sys/mounts/some place", json!({ "type": "kv" })).await;
    rig.write("some place/a b", json!({ "x": "1" })).await;
    assert_eq!(rig.read("some place/a b").await["x"], "1");
    rig.refused("sys/mounts/a\u{7}b", json!({ "type": "kv" }), 400, "characters")
        .await;
    let moved = rig
        .write("sys/remount", json!({ "from": "some place", "to": "other" }))
        .await;
    let id = moved["migration_id"].as_str().unwrap();
    let told = rig.read(&format!("sys/remount/status/{id}")).await;
    assert_eq!(
        told["migration_info"],
        json!({ "source_mount": "some place/", "target_mount": "other/", "status": "success" })
    );
    let unknown = rig.ask(Op::Read, "sys/remount/status/x", json!({})).await;
    assert_eq!(unknown.unwrap_err().status(), 404);
}

#[tokio::test]
async fn root_tokens_are_not_renewed() {
    let rig = Rig::new().await;
    rig.refused("auth/token/renew-self", json!({}), 400, "lease is not renewable")
        .await;
    let body = json!({ "token": "root", "increment": "20m" });
    rig.refused("auth/token/renew", body, 400, "lease is not renewable")
        .await;
}

#[tokio::test]
async fn aliases_have_metadata_of_two_kinds() {
    let rig = Rig::new().await;
    rig.write("sys/auth/userpass", json!({ "type": "userpass" }))
        .await;
    let accessor = rig.read("sys/auth").await["userpass/"]["accessor"].clone();
    let entity = rig.write("identity/entity", json!({ "name": "ann" })).await["id"].clone();
    let alias = json!({ "name": "ann", "canonical_id": entity, "mount_accessor": accessor });
    let id = rig.write("identity/entity-alias", alias.clone()).await["id"].clone();
    let path = format!("identity/entity-alias/id/{}", id.as_str().unwrap());
    let mut change = alias.clone();
    change["id"] = id.clone();
    change["custom_metadata"] = json!({ "team": "a" });
    assert_eq!(rig.write("identity/entity-alias", change.clone()).await["id"], id);
    let shown = rig.read(&path).await;
    assert_eq!(shown["custom_metadata"], json!({ "team": "a" }));
    assert_eq!(shown["metadata"], Value::Null);
    // Nothing changes, and nothing is said; what is not named stays.
    assert!(
        rig.ok(Op::Write, "identity/entity-alias", change)
            .await
            .data
            .is_none()
    );
    assert!(rig.ok(Op::Write, &path, json!({})).await.data.is_none());
    assert_eq!(rig.read(&path).await["custom_metadata"], json!({ "team": "a" }));
    // Policies may go by it.
    let rule = format!(
        "path \"teams/{{{{identity.entity.aliases.{}.custom_metadata.team}}}}/*\" {{ capabilities = [\"list\"] }}",
        accessor.as_str().unwrap()
    );
    rig.write("sys/policies/acl/team", json!({ "policy": rule }))
        .await;
    let user = json!({ "password": "p", "token_policies": "team" });
    rig.write("auth/userpass/users/ann", user).await;
    let login = rig
        .ok(Op::Write, "auth/userpass/login/ann", json!({ "password": "p" }))
        .await;
    let token = login.auth.unwrap().client_token.to_string();
    for (path, rights) in [("teams/a/x", json!(["list"])), ("teams/b/x", json!(["deny"]))] {
        let asked = json!({ "token": token, "paths": [path] });
        assert_eq!(rig.write("sys/capabilities", asked).await[path], rights);
    }
}

#[tokio::test]
async fn authorities_are_cross_signed_and_imported_once() {
    let rig = Rig::new().await;
    rig.write("sys/mounts/pki", json!({ "type": "pki" })).await;
    let wish = json!({ "common_name": "Root", "key_type": "ec", "key_bits": 256 });
    let root = rig.write("pki/root/generate/exported", wish).await;
    let request = rig.write("pki/intermediate/cross-sign", json!({})).await;
    assert!(request["csr"].as_str().unwrap().contains("CERTIFICATE REQUEST"));
    assert_eq!(request["key_id"], root["key_id"], "the key that was there");
    rig.refused("pki/root/generate/internal", json!({}), 400, "common_name")
        .await;
    rig.write("sys/mounts/other", json!({ "type": "pki" })).await;
    let bundle = format!(
        "{}\n{}",
        root["private_key"].as_str().unwrap(),
        root["certificate"].as_str().unwrap()
    );
    let bundle = json!({ "pem_bundle": bundle });
    let first = rig.write("other/issuers/import/bundle", bundle.clone()).await;
    let second = rig.write("other/issuers/import/bundle", bundle).await;
    for (new, old) in [
        ("imported_issuers", "existing_issuers"),
        ("imported_keys", "existing_keys"),
    ] {
        assert_eq!(first[new].as_array().unwrap().len(), 1, "{first}");
        assert_eq!((&first[old], &second[new]), (&Value::Null, &Value::Null));
        assert_eq!(first[new], second[old]);
    }
}

/// What RFC 8032 signs its first test with.
const SEED: &str =
    "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// A key wrapped as a client does it.
async fn wrapped(rig: &Rig, key: &[u8]) -> String {
    let wrapping = rig.read("transit/wrapping_key").await;
    let text = wrapping["public_key"].as_str().unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let public = PublicEncryptingKey::from_der(&STANDARD.decode(body).unwrap()).unwrap();
    let public = OaepPublicEncryptingKey::new(public).unwrap();
    let mut out = vec![0; public.ciphertext_size()];
    public
        .encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut out, None)
        .unwrap();
    let mut sealed = vec![0; key.len() + 16];
    let sealed = AesKek::new(&AES_256, &[7; 32])
        .unwrap()
        .wrap_with_padding(key, &mut sealed)
        .unwrap();
    out.extend_from_slice(sealed);
    STANDARD.encode(out)
}

#[tokio::test]
async fn keys_made_elsewhere_are_imported() {
    let rig = Rig::new().await;
    rig.write("sys/mounts/transit", json!({ "type": "transit" }))
        .await;
    let key = wrapped(&rig, &[9; 32]).await;
    let wrong = json!({ "ciphertext": key, "type": "rsa-2048" });
    rig.refused("transit/keys/a/import", wrong, 400, "no key of type rsa-2048")
        .await;
    let wrong = json!({ "ciphertext": key, "hash_function": "SHA1" });
    rig.refused("transit/keys/a/import", wrong, 400, "was not made with")
        .await;
    rig.write(
        "transit/keys/a/import",
        json!({ "ciphertext": key, "exportable": true }),
    )
    .await;
    rig.refused(
        "transit/keys/a/import",
        json!({ "ciphertext": key }),
        400,
        "existing key",
    )
    .await;
    assert_eq!(
        rig.read("transit/export/encryption-key/a").await["keys"]["1"],
        STANDARD.encode([9; 32])
    );
    rig.refused("transit/keys/a/rotate", json!({}), 400, "does not allow rotation")
        .await;
    let shown = rig.read("transit/keys/a").await;
    assert_eq!(
        (&shown["imported_key"], &shown["latest_version"]),
        (&json!(true), &json!(1))
    );
    // A public key alone verifies and does not sign; its private half comes later, to the same version.
    let seed = hex::decode(SEED).unwrap();
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    rig.write(
        "transit/keys/e/import",
        json!({ "type": "ed25519", "public_key": public }),
    )
    .await;
    let message = json!({ "input": STANDARD.encode("m") });
    rig.refused("transit/sign/e", message.clone(), 400, "no private key here")
        .await;
    let private = json!({ "ciphertext": wrapped(&rig, &seed).await });
    rig.write("transit/keys/e/import_version", private).await;
    let signed = rig.write("transit/sign/e", message.clone()).await;
    assert!(signed["signature"].as_str().unwrap().starts_with("vault:v1:"));
    let mut check = message;
    check["signature"] = signed["signature"].clone();
    assert_eq!(rig.write("transit/verify/e", check).await["valid"], true);
}

#[tokio::test]
async fn signing_keys_are_derived_as_vault_derives_them() {
    let rig = Rig::new().await;
    rig.write("sys/mounts/transit", json!({ "type": "transit" }))
        .await;
    let key = wrapped(&rig, &hex::decode(SEED).unwrap()).await;
    let key = json!({ "ciphertext": key, "type": "ed25519", "derived": true, "exportable": true });
    rig.write("transit/keys/d/import", key).await;
    // As computed from RFC 5869 and RFC 8032 with another library.
    let expected = "zEfp8ahqTW1idyIQiIcZUIrWj3L+Ij6VNjd7xqEzvE8=";
    let context = STANDARD.encode("test-context");
    let shown = rig
        .ok(Op::Read, "transit/keys/d", json!({ "context": context }))
        .await
        .data
        .unwrap();
    assert_eq!(shown["keys"]["1"]["public_key"], expected);
    assert_eq!(rig.read("transit/keys/d").await["keys"]["1"]["public_key"], "");
    let message = json!({ "input": STANDARD.encode("m"), "context": context });
    let signed = rig.write("transit/sign/d", message.clone()).await;
    assert_eq!(signed["public_key"], expected);
    rig.refused(
        "transit/sign/d",
        json!({ "input": "bQ==" }),
        400,
        "missing 'context'",
    )
    .await;
    let mut check = message;
    check["signature"] = signed["signature"].clone();
    assert_eq!(rig.write("transit/verify/d", check.clone()).await["valid"], true);
    check["context"] = json!(STANDARD.encode("other"));
    assert_eq!(rig.write("transit/verify/d", check).await["valid"], false);
    // Exported as Go has it: the seed, then the public key.
    assert_eq!(
        rig.read("transit/export/signing-key/d").await["keys"]["1"],
        "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="
    );
    let convergent = json!({ "type": "ed25519", "derived": true, "convergent_encryption": true });
    rig.refused("transit/keys/c", convergent, 400, "convergent").await;
    rig.write("transit/cache-config", json!({ "size": 123 })).await;
    assert_eq!(rig.read("transit/cache-config").await["size"], 123);
    rig.refused("transit/cache-config", json!({ "size": 3 }), 400, "size must be")
        .await;
}

/// The runtime has one thread: what is asked after the key is answered before it only if the key is made elsewhere.
#[tokio::test(flavor = "current_thread")]
async fn making_the_wrapping_key_holds_up_nobody() {
    let rig = Rig::new().await;
    rig.ok(Op::Write, "sys/mounts/transit", json!({ "type": "transit" }))
        .await;
    let order = std::sync::Mutex::new(Vec::new());
    let asked = async |name: &'static str, path: &str| {
        rig.read(path).await;
        order.lock().unwrap().push(name);
    };
    tokio::join!(
        asked("key", "transit/wrapping_key"),
        asked("other", "auth/token/lookup-self")
    );
    assert_eq!(*order.lock().unwrap(), ["other", "key"]);
}
