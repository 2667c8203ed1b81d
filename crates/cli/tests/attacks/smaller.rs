//! Smaller ways in: redirects, files' modes, verbs, certificates' ends.

mod applying {
    //! Applying what is not there creates it, which takes the right to create.

    use crate::attacked::{Cluster, Dir, as_both};
    use serde_json::json;

    #[test]
    fn applying_needs_the_right_to_create() {
        as_both(|who| {
            let dir = Dir::new("applying");
            let cluster = Cluster::start(who, &dir, 0);
            let of = |kind: &str, more: serde_json::Value| {
                let mut object =
                    json!({"kind": kind, "metadata": {"name": "patcher", "namespace": "default"}});
                crate::attacked::merge(&mut object, &more);
                object
            };
            let rbac = "rbac.authorization.k8s.io";
            let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
                of("ServiceAccount", json!({"apiVersion": "v1"})),
                of("ConfigMap", json!({"apiVersion": "v1", "metadata": {"name": "there"}})),
                of("Role", json!({"apiVersion": format!("{rbac}/v1"),
                    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch", "update"]}]})),
                of("RoleBinding", json!({"apiVersion": format!("{rbac}/v1"),
                    "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "patcher"},
                    "subjects": [{"kind": "ServiceAccount", "name": "patcher", "namespace": "default"}]})),
            ]});
            let made = cluster.kubectl(&["apply", "-f", "-"], &objects.to_string());
            assert!(made.ok, "{made:?}");
            let token = cluster.kubectl(&["create", "token", "patcher"], "");
            let apply = |name: &str| {
                let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                    "metadata": {"name": name, "namespace": "default"}});
                let args = ["apply", "--server-side", "-f", "-"];
                cluster.kubectl_with(token.out.trim(), &args, &map.to_string())
            };
            let said = apply("there");
            assert!(said.ok, "{said:?}");
            let said = apply("fresh");
            assert!(
                !said.ok && said.err.contains("cannot create resource \"configmaps\""),
                "{said:?}"
            );
        });
    }
}

mod vault {
    //! What Vault keeps as a restriction holds, and who has shown nothing costs nothing.

    use crate::attacked::{Dir, as_both};
    use crate::vault_paths::{ROOT, Vault};
    use serde_json::{Value, json};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    #[test]
    fn what_vault_stores_as_a_restriction_holds() {
        as_both(|who| {
            let dir = Dir::new("vault-restrictions");
            let vault = Vault::start(who, &dir);
            let mut through = Vec::new();
            let mut hold = |what: &str, holds: bool, seen: &dyn std::fmt::Debug| {
                if !holds {
                    through.push(format!("{what}: {seen:?}"));
                }
            };

            vault.set("POST", "sys/auth/approle", json!({ "type": "approle" }));
            let narrow = json!({ "token_policies": "default", "secret_id_bound_cidrs": "127.0.0.0/8", "token_bound_cidrs": "10.0.0.0/8,127.0.0.0/8" });
            vault.set("POST", "auth/approle/role/r", narrow);
            let id = vault.set("GET", "auth/approle/role/r/role-id", Value::Null)["data"]["role_id"].clone();
            let secret = vault.set(
                "POST",
                "auth/approle/role/r/secret-id",
                json!({ "token_bound_cidrs": "10.1.0.0/16" }),
            );
            let login = json!({ "role_id": id, "secret_id": secret["data"]["secret_id"] });
            let given = vault.set("POST", "auth/approle/login", login);
            let token = given["auth"]["client_token"].as_str().unwrap();
            let used = vault.ask(token, "GET", "auth/token/lookup-self", &Value::Null);
            hold("a token for other addresses", used.status == 403, &used);
            let shown = vault.set("POST", "auth/token/lookup", json!({ "token": token }));
            hold(
                "its look-up",
                shown["data"]["bound_cidrs"] == json!(["10.1.0.0/16"]),
                &shown,
            );
            for wide in [
                json!({ "cidr_list": "0.0.0.0/0" }),
                json!({ "token_bound_cidrs": "0.0.0.0/0" }),
            ] {
                let made = vault.ask(ROOT, "POST", "auth/approle/role/r/secret-id", &wide);
                let words = made.body.to_string();
                hold(
                    "a secret id wider than its role",
                    made.status == 400 && words.contains("subset"),
                    &made,
                );
            }

            vault.set(
                "POST",
                "sys/mounts/pki",
                json!({ "type": "pki", "config": { "max_lease_ttl": "8760h" } }),
            );
            vault.set(
                "POST",
                "pki/root/generate/internal",
                json!({ "common_name": "ca", "key_type": "ec", "ttl": "8000h" }),
            );
            vault.set(
                "POST",
                "pki/roles/day",
                json!({ "allow_any_name": true, "key_type": "ec", "ttl": "1h", "max_ttl": "24h" }),
            );
            let now = vault.set("GET", "sys/health", Value::Null)["server_time_utc"]
                .as_i64()
                .unwrap();
            let day = now + 24 * 3600 + 60;
            for end in ["2027-05-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
                let issued = vault.ask(
                    ROOT,
                    "POST",
                    "pki/issue/day",
                    &json!({ "common_name": "a.b", "not_after": end }),
                );
                let ends = issued.body["data"]["expiration"].as_i64().unwrap_or(i64::MAX);
                hold(
                    "a date after max_ttl",
                    issued.status == 200 && ends <= day,
                    &(issued.status, ends, day),
                );
            }
            let both = vault.ask(
                ROOT,
                "POST",
                "pki/issue/day",
                &json!({ "common_name": "a.b", "ttl": "1h", "not_after": "2027-05-01T00:00:00Z" }),
            );
            hold("a date and a time", both.status == 400, &both.status);

            vault.set("PUT", "secret/data/p", json!({ "data": { "a": 1 } }));
            let patched = vault.send(
                ROOT,
                "PATCH",
                "secret/data/p",
                "Content-Type: application/json\r\n",
                r#"{"data":{"a":2}}"#,
            );
            let words = patched.body.to_string();
            hold(
                "a patch of another type",
                patched.status == 415 && words.contains("application/merge-patch+json"),
                &patched,
            );

            // A token without `default` gives none; what the server gives is nobody's to give.
            let bare = vault.token(
                "maker",
                "path \"auth/token/create*\" { capabilities = [\"update\", \"create\"] }",
            );
            for policies in [
                json!(["default"]),
                json!(["maker", "default"]),
                json!(["response-wrapping"]),
            ] {
                let made = vault.ask(
                    &bare,
                    "POST",
                    "auth/token/create",
                    &json!({ "policies": policies }),
                );
                hold("a child with more than its parent", made.status == 400, &made);
            }

            // Who knows a ceremony's nonce, which everybody may ask for, ends it neither by wrong shares nor by cancelling.
            let begun = vault.set("PUT", "sys/generate-root/attempt", json!({}));
            let wrong = json!({ "nonce": begun["nonce"], "key": "00".repeat(32) });
            let refused = vault.ask("", "PUT", "sys/generate-root/update", &wrong);
            let after = vault.set("GET", "sys/generate-root/attempt", Value::Null);
            hold(
                "wrong shares end a ceremony",
                refused.status == 400 && after["started"] == true,
                &after,
            );
            let begun = vault.set(
                "PUT",
                "sys/rekey/init",
                json!({ "secret_shares": 1, "secret_threshold": 1 }),
            );
            let wrong = json!({ "nonce": begun["nonce"], "key": "00".repeat(32) });
            let refused = vault.ask("", "PUT", "sys/rekey/update", &wrong);
            let after = vault.set("GET", "sys/rekey/init", Value::Null);
            hold(
                "wrong shares end a rekey",
                refused.status == 400 && after["started"] == true,
                &after,
            );
            let long = json!({ "nonce": begun["nonce"], "key": "00".repeat(2000) });
            let refused = vault.ask("", "PUT", "sys/rekey/update", &long);
            hold(
                "a share of any length",
                refused.body.to_string().contains("longer than maximum 33 bytes"),
                &refused,
            );

            assert!(
                through.is_empty(),
                "{who:?}: {} went through:\n{}",
                through.len(),
                through.join("\n")
            );
        });
    }

    #[test]
    fn who_has_shown_nothing_sends_no_long_bodies() {
        as_both(|who| {
            let dir = Dir::new("vault-bodies");
            let vault = Vault::start(who, &dir);
            let mut through = Vec::new();
            // What the server takes of a body that never ends, before it answers.
            let mut pour = |what: &str, head: &str| {
                let mut stream = TcpStream::connect(vault.address()).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
                write!(stream, "{head}Host: vault\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
                let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
                let (mut sent, started) = (0_usize, Instant::now());
                while sent < 24 << 20 && started.elapsed() < Duration::from_secs(10) {
                    if stream.write_all(chunk.as_bytes()).is_err() {
                        break;
                    }
                    sent += 1 << 16;
                }
                // What fits into the buffers of two sockets was not taken.
                if sent > 16 << 20 {
                    through.push(format!("{what}: {} KiB", sent >> 10));
                }
                let mut answer = [0; 64];
                drop(stream.read(&mut answer));
            };
            pour("no token", "PUT /v1/secret/data/x HTTP/1.1\r\n");
            pour(
                "no good token",
                "PUT /v1/secret/data/x HTTP/1.1\r\nX-Vault-Token: hvs.none\r\n",
            );
            pour("log in", "PUT /v1/auth/userpass/login/x HTTP/1.1\r\n");
            pour("unseal", "PUT /v1/sys/unseal HTTP/1.1\r\n");
            let narrow = vault.token("reader", "path \"secret/data/*\" { capabilities = [\"read\"] }");
            pour(
                "no right",
                &format!("PUT /v1/secret/data/x HTTP/1.1\r\nX-Vault-Token: {narrow}\r\n"),
            );
            // Small as text, large in memory.
            let many = format!("{{\"data\":{{\"a\":[{}0]}}}}", "0,".repeat(1 << 20));
            let refused = vault.send(ROOT, "PUT", "secret/data/x", "", &many);
            if refused.status != 400 || !refused.body.to_string().contains("more than 10000 entries") {
                through.push(format!("a list of a million: {}", refused.status));
            }
            // Who may write may write much.
            let large = json!({ "data": { "a": "x".repeat(1000 << 10) } });
            vault.set("PUT", "secret/data/large", large);
            assert!(
                through.is_empty(),
                "{who:?}: {} went through:\n{}",
                through.len(),
                through.join("\n")
            );
        });
    }
}
