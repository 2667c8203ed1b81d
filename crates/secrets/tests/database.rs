//! Database users against a real PostgreSQL, started for the test: made, renewed, dropped with lease, token and mount,
//! and never left behind. Says so where there is no PostgreSQL; with `CI=true` that is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "these are tests, and their helpers fail them"
)]

mod postgres;

use herder_base::SystemClock;
use herder_secrets::{Config, Op, Request, Response, Server, Storage};
use postgres::{Postgres, needed};
use serde_json::{Value, json};
use sqlx::Executor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

async fn roles(postgres: &Postgres, password: &str) -> Vec<String> {
    let mut connection = postgres.connect("admin", password).await.unwrap();
    sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

struct Rig {
    server: Server,
    root: String,
    key: String,
    cancel: CancellationToken,
}

impl Rig {
    async fn open(path: &Path, known: Option<(String, String)>) -> Self {
        let server = Server::open(Config {
            storage: Storage::File(path.join("vault.redb")),
            clock: Arc::new(SystemClock),
            api_addr: String::new(),
        })
        .unwrap();
        let (root, key) = match known {
            Some(known) => known,
            None => {
                let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
                let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
                (init.root_token.to_string(), key)
            }
        };
        server
            .handle(Request::new(Op::Write, "sys/unseal").with(json!({ "key": key })))
            .await
            .unwrap();
        let cancel = CancellationToken::new();
        tokio::spawn(server.clone().run(cancel.clone()));
        Self {
            server,
            root,
            key,
            cancel,
        }
    }

    async fn ask(&self, op: Op, path: &str, data: Value) -> herder_secrets::Result<Response> {
        self.with(&self.root, op, path, data).await
    }

    async fn with(&self, token: &str, op: Op, path: &str, data: Value) -> herder_secrets::Result<Response> {
        self.server
            .handle(Request::new(op, path).with(data).token(token))
            .await
    }
}

fn user(response: &Response) -> (String, String, String) {
    let data = response.data.as_ref().unwrap();
    (
        data["username"].as_str().unwrap().to_owned(),
        data["password"].as_str().unwrap().to_owned(),
        response.lease.as_ref().unwrap().id.clone(),
    )
}

/// Waits until no made-up user but these is left.
async fn settle(postgres: &Postgres, password: &str, left: &[&str]) {
    for _ in 0..100 {
        if roles(postgres, password).await == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("left: {:?}, expected {left:?}", roles(postgres, password).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_live_as_long_as_their_leases() {
    let Some(postgres) = needed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path(), None).await;
    let first = "first-password";
    postgres
        .connect("admin", first)
        .await
        .unwrap()
        .execute("CREATE TABLE items (id int); INSERT INTO items VALUES (7)")
        .await
        .unwrap();
    rig.ask(Op::Write, "sys/mounts/db", json!({ "type": "database" }))
        .await
        .unwrap();
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
        postgres.port
    );
    let config = |password: &str| {
        json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": url,
            "allowed_roles": "app",
            "username": "admin",
            "password": password,
        })
    };
    let wrong = rig
        .ask(Op::Write, "db/config/main", config("wrong-password"))
        .await
        .unwrap_err();
    assert_eq!(wrong.status(), 400);
    assert!(!format!("{wrong:?}{:?}", wrong.texts()).contains("wrong-password"));
    rig.ask(Op::Write, "db/config/main", config(first)).await.unwrap();
    let shown = rig.ask(Op::Read, "db/config/main", json!({})).await.unwrap();
    assert!(
        !format!("{:?}", shown.data).contains(first),
        "the password is never shown"
    );
    for role in ["app", "other"] {
        rig.ask(
            Op::Write,
            &format!("db/roles/{role}"),
            json!({
                "db_name": "main",
                "creation_statements": "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
                    GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\";",
                "default_ttl": "1h",
                "max_ttl": "2h",
            }),
        )
        .await
        .unwrap();
    }
    let refused = rig.ask(Op::Read, "db/creds/other", json!({})).await.unwrap_err();
    assert!(refused.texts().concat().contains("is not an allowed role"));

    // A user can work, its lease can be renewed, and both end together, open sessions included.
    let made = rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap();
    let (name, password, lease) = user(&made);
    let mut session = postgres.connect(&name, &password).await.unwrap();
    let id: i32 = sqlx::query_scalar("SELECT id FROM items")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(id, 7);
    rig.ask(
        Op::Write,
        "sys/leases/renew",
        json!({ "lease_id": lease, "increment": "90m" }),
    )
    .await
    .unwrap();
    let mut admin = postgres.connect("admin", first).await.unwrap();
    let left: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM rolvaliduntil - now())::float8 FROM pg_roles WHERE rolname = $1",
    )
    .bind(&name)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!((5300.0..5500.0).contains(&left), "{left} seconds left");
    rig.ask(Op::Write, "sys/leases/revoke", json!({ "lease_id": lease }))
        .await
        .unwrap();
    settle(&postgres, first, &[]).await;
    assert!(
        session.execute("SELECT 1").await.is_err(),
        "the open session ended, too"
    );

    // With its token.
    let token = rig
        .ask(Op::Write, "auth/token/create", json!({ "ttl": "10m" }))
        .await
        .unwrap()
        .auth
        .unwrap()
        .client_token;
    let (one, ..) = user(
        &rig.with(&token, Op::Read, "db/creds/app", json!({}))
            .await
            .unwrap(),
    );
    assert_eq!(roles(&postgres, first).await, [one.as_str()]);
    rig.with(&token, Op::Write, "auth/token/revoke-self", json!({}))
        .await
        .unwrap();
    settle(&postgres, first, &[]).await;

    // Nobody but the server knows the administering password after a rotation.
    rig.ask(Op::Write, "db/rotate-root/main", json!({}))
        .await
        .unwrap();
    assert!(postgres.connect("admin", first).await.is_err());
    let (name, password, _) = user(&rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap());
    postgres.connect(&name, &password).await.unwrap();

    // A server that ends at once forgets nothing: the entry that drops the user is stored, and is found again.
    rig.ask(Op::Delete, "sys/mounts/db", json!({})).await.unwrap();
    rig.cancel.cancel();
    let known = (rig.root.clone(), rig.key.clone());
    drop(rig);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reopened = Rig::open(dir.path(), Some(known)).await;
    for _ in 0..100 {
        if postgres.connect(&name, &password).await.is_err() {
            reopened.cancel.cancel();
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} was left behind");
}

/// A server with `db/config/main` and `db/roles/app`, whose users may make tables.
async fn with_role(postgres: &Postgres, dir: &Path) -> Rig {
    let rig = Rig::open(dir, None).await;
    rig.ask(Op::Write, "sys/mounts/db", json!({ "type": "database" }))
        .await
        .unwrap();
    let config = json!({
        "plugin_name": "postgresql-database-plugin",
        "connection_url": format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
            postgres.port
        ),
        "allowed_roles": "app",
        "username": "admin",
        "password": "first-password",
    });
    rig.ask(Op::Write, "db/config/main", config).await.unwrap();
    let role = json!({
        "db_name": "main",
        "creation_statements": "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
            GRANT ALL ON SCHEMA public TO \"{{name}}\"; GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\";",
        "default_ttl": "1h",
        "max_ttl": "2h",
    });
    rig.ask(Op::Write, "db/roles/app", role).await.unwrap();
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_owns_a_table_is_locked_out_all_the_same() {
    let Some(postgres) = needed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut admin = postgres.connect("admin", "first-password").await.unwrap();
    admin.execute("CREATE TABLE items (id int)").await.unwrap();
    let rig = with_role(&postgres, dir.path()).await;
    let (name, password, lease) = user(&rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap());
    let mut session = postgres.connect(&name, &password).await.unwrap();
    session
        .execute("CREATE TABLE mine (id int); SELECT * FROM items")
        .await
        .unwrap();
    rig.ask(Op::Write, "sys/leases/revoke", json!({ "lease_id": lease }))
        .await
        .unwrap();
    let mut rights = (true, true);
    for _ in 0..100 {
        rights = sqlx::query_as(
            "SELECT rolcanlogin, has_table_privilege($1, 'items', 'SELECT') FROM pg_roles WHERE rolname = $1",
        )
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
        if rights == (false, false) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        rights,
        (false, false),
        "log in and rights are gone although the role stays"
    );
    assert!(postgres.connect(&name, &password).await.is_err());
    assert!(session.execute("SELECT 1").await.is_err(), "the session ended");
    // Once somebody decided about the table, the role goes, too.
    admin.execute("DROP TABLE mine").await.unwrap();
    for _ in 0..300 {
        if roles(&postgres, "first-password").await.is_empty() {
            rig.cancel.cancel();
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lost_answer_loses_the_administering_password() {
    let Some(postgres) = needed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rig = with_role(&postgres, dir.path()).await;
    let rotate = || rig.ask(Op::Write, "db/rotate-root/main", json!({}));
    // The database takes the password, and the answer says otherwise.
    let lost = json!({
        "root_rotation_statements": ["ALTER ROLE \"{{name}}\" WITH PASSWORD '{{password}}'", "COMMIT", "SELECT 1/0"],
    });
    rig.ask(Op::Write, "db/config/main", lost).await.unwrap();
    for _ in 0..3 {
        rotate().await.unwrap_err();
        assert!(postgres.connect("admin", "first-password").await.is_err());
        rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap();
    }
    // It does not take it, and says so.
    let refused = json!({ "root_rotation_statements": ["SELECT 1/0"] });
    rig.ask(Op::Write, "db/config/main", refused).await.unwrap();
    rotate().await.unwrap_err();
    rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap();
    // Many at once: one after the other, and the last one's counts.
    let usual = json!({ "root_rotation_statements": [] });
    rig.ask(Op::Write, "db/config/main", usual).await.unwrap();
    let all = tokio::join!(rotate(), rotate(), rotate(), rotate());
    for one in [all.0, all.1, all.2, all.3] {
        one.unwrap();
    }
    rig.ask(Op::Read, "db/creds/app", json!({})).await.unwrap();
    rig.cancel.cancel();
}
