//! What is replaced by itself, by a clock that the test moves: passwords of users in a real PostgreSQL, and transit's
//! keys. Also that no crash and no database that is down or silent loses a password.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "these are tests, and their helpers fail them"
)]

mod postgres;

use herder_base::FixedClock;
use herder_secrets::{Config, Op, Request, Response, Result, Server, Storage};
use herder_store::Store;
use postgres::{Postgres, needed};
use serde_json::{Value, json};
use sqlx::Executor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

struct Rig {
    server: Server,
    store: Store,
    clock: FixedClock,
    key: String,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Rig {
    async fn new() -> Self {
        let clock = FixedClock::new(jiff::Timestamp::from_second(1_700_000_000).unwrap());
        let store = Store::in_memory();
        let server = open(&store, &clock);
        let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
        let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
        Self::begin(server, store, clock, key).await
    }

    async fn begin(server: Server, store: Store, clock: FixedClock, key: String) -> Self {
        server
            .handle(Request::new(Op::Write, "sys/unseal").with(json!({ "key": key })))
            .await
            .unwrap();
        let cancel = CancellationToken::new();
        let running = tokio::spawn(server.clone().run(cancel.clone()));
        Self {
            server,
            store,
            clock,
            key,
            cancel,
            running,
        }
    }

    /// The same storage under a new server, some time later.
    async fn restarted(self, later: u64) -> Self {
        self.cancel.cancel();
        self.clock.advance(Duration::from_secs(later));
        let server = open(&self.store, &self.clock);
        Self::begin(server, self.store, self.clock, self.key).await
    }

    async fn with(&self, token: &str, op: Op, path: &str, data: Value) -> Result<Response> {
        self.server
            .handle(Request::new(op, path).with(data).token(token))
            .await
    }

    async fn ask(&self, op: Op, path: &str, data: Value) -> Result<Response> {
        self.with("root", op, path, data).await
    }

    async fn ok(&self, op: Op, path: &str, data: Value) -> Value {
        let answer = self.ask(op, path, data).await;
        let data = answer
            .unwrap_or_else(|error| panic!("{path}: {:?}", error.texts()))
            .data;
        data.map_or(Value::Null, Value::Object)
    }

    async fn refused(&self, path: &str, data: Value) -> String {
        let error = self.ask(Op::Write, path, data).await.unwrap_err();
        assert!(matches!(error.status(), 400 | 500), "{error}");
        error.texts().concat()
    }

    async fn password(&self, role: &str) -> String {
        let creds = self
            .ok(Op::Read, &format!("db/static-creds/{role}"), json!({}))
            .await;
        creds["password"].as_str().unwrap().to_owned()
    }

    /// Moves the clock, and has the server look at it.
    async fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.ok(Op::Write, "auth/token/create", json!({ "ttl": "100h" }))
            .await;
    }

    /// Waits until a role's password is another one.
    async fn replaced(&self, role: &str, before: &str) -> String {
        for _ in 0..100 {
            let password = self.password(role).await;
            if password != before {
                return password;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the password of {role} is still the same");
    }

    async fn connection(&self, name: &str, port: u16, password: Option<&str>) {
        let mut config = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable"
            ),
            "allowed_roles": "app,app-*",
            "username": "admin",
            "verify_connection": false,
        });
        if let Some(password) = password {
            config["password"] = json!(password);
        }
        self.ok(Op::Write, &format!("db/config/{name}"), config).await;
    }

    /// A mount with `db/config/main`.
    async fn database(postgres: &Postgres) -> Self {
        let mut admin = postgres.connect("admin", "first-password").await.unwrap();
        for user in ["app", "other"] {
            let made = format!("CREATE ROLE {user} WITH LOGIN PASSWORD 'imported'");
            admin.execute(sqlx::AssertSqlSafe(made)).await.unwrap();
        }
        let rig = Self::new().await;
        rig.ok(Op::Write, "sys/mounts/db", json!({ "type": "database" }))
            .await;
        rig.connection("main", postgres.port, Some("first-password"))
            .await;
        rig
    }
}

fn open(store: &Store, clock: &FixedClock) -> Server {
    Server::open(Config {
        storage: Storage::Store(store.clone()),
        clock: Arc::new(clock.clone()),
        api_addr: String::new(),
    })
    .unwrap()
}

fn role(username: &str) -> Value {
    json!({ "db_name": "main", "username": username, "rotation_period": "1h" })
}

fn and(mut data: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        data[key] = value.clone();
    }
    data
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_role_has_one_user_and_its_present_password() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    let at = "db/static-roles/app";
    for (wrong, what) in [
        (
            json!({ "db_name": "main", "username": "app" }),
            "rotation_period is required",
        ),
        (
            and(role("app"), json!({ "rotation_period": 4 })),
            "5 seconds or more",
        ),
        (
            json!({ "db_name": "main", "rotation_period": 60 }),
            "username is a required field",
        ),
        (
            json!({ "username": "app", "rotation_period": 60 }),
            "database name is a required field",
        ),
        (and(role("app"), json!({ "db_name": "none" })), "none"),
        (
            and(role("app"), json!({ "rotation_schedule": "0 0 * * *" })),
            "write rotation_period",
        ),
        (
            and(role("app"), json!({ "credential_type": "rsa_private_key" })),
            "password",
        ),
        (
            and(
                role("app"),
                json!({ "credential_config": { "password_policy": "p" } }),
            ),
            "leave it out",
        ),
        (role("a\"b"), "quotes"),
        (role("nobody-at-all"), "does not exist"),
    ] {
        let text = rig.refused(at, wrong.clone()).await;
        assert!(text.contains(what), "{wrong}: {text}");
        assert_eq!(rig.ask(Op::Read, at, json!({})).await.unwrap_err().status(), 404);
    }
    let text = rig.refused("db/static-roles/elsewhere", role("app")).await;
    assert!(text.contains("is not an allowed role"), "{text}");
    let dynamic = json!({ "db_name": "main", "creation_statements": "SELECT 1" });
    rig.ok(Op::Write, "db/roles/app", dynamic.clone()).await;
    assert!(rig.refused(at, role("app")).await.contains("must be unique"));
    rig.ok(Op::Delete, "db/roles/app", json!({})).await;
    postgres.connect("app", "imported").await.unwrap();

    rig.ok(Op::Write, at, role("app")).await;
    assert!(
        rig.refused("db/roles/app", dynamic)
            .await
            .contains("must be unique")
    );
    assert!(postgres.connect("app", "imported").await.is_err());
    let creds = rig.ok(Op::Read, "db/static-creds/app", json!({})).await;
    let first = creds["password"].as_str().unwrap();
    postgres.connect("app", first).await.unwrap();
    assert_eq!(
        creds,
        json!({ "username": "app", "password": first, "last_vault_rotation": "2023-11-14T22:13:20Z",
            "rotation_period": 3600, "ttl": 3600 })
    );
    let shown = rig.ok(Op::Read, at, json!({})).await;
    assert_eq!(
        shown,
        json!({ "db_name": "main", "username": "app", "rotation_statements": [], "rotation_period": 3600,
            "credential_type": "password", "skip_import_rotation": false, "last_vault_rotation": "2023-11-14T22:13:20Z" })
    );
    let list = rig.ok(Op::List, "db/static-roles", json!({})).await;
    assert_eq!(list, json!({ "keys": ["app"] }));

    // A changed period counts from the last rotation, and changes no password; the user is the role's for ever.
    rig.later(600).await;
    rig.ok(
        Op::Write,
        at,
        and(role("app"), json!({ "rotation_period": "2h" })),
    )
    .await;
    let creds = rig.ok(Op::Read, "db/static-creds/app", json!({})).await;
    assert_eq!((&creds["password"], &creds["ttl"]), (&json!(first), &json!(6600)));
    assert!(rig.refused(at, role("other")).await.contains("cannot update"));
    let moved = and(role("app"), json!({ "db_name": "elsewhere" }));
    assert!(rig.refused(at, moved).await.contains("cannot update"));
    rig.ok(Op::Write, "db/rotate-role/app", json!({})).await;
    let second = rig.password("app").await;
    assert_ne!(first, second);
    postgres.connect("app", &second).await.unwrap();
    assert!(
        rig.refused("db/rotate-role/none", json!({}))
            .await
            .contains("no static role")
    );

    // What is imported without a rotation keeps its password until the first one.
    let at = "db/static-roles/app-2";
    rig.ok(
        Op::Write,
        at,
        and(role("other"), json!({ "skip_import_rotation": true })),
    )
    .await;
    postgres.connect("other", "imported").await.unwrap();
    let unknown = rig.ask(Op::Read, "db/static-creds/app-2", json!({})).await;
    assert!(
        unknown
            .unwrap_err()
            .texts()
            .concat()
            .contains("rotate-role/app-2")
    );
    rig.ok(Op::Write, "db/rotate-role/app-2", json!({})).await;
    let other = rig.password("app-2").await;
    rig.ok(Op::Delete, at, json!({})).await;
    postgres.connect("other", &other).await.unwrap();

    // The administering user's password is the connection's, too.
    rig.ok(Op::Write, "db/static-roles/app-admin", role("admin"))
        .await;
    for _ in 0..2 {
        rig.ok(Op::Write, "db/rotate-role/app-admin", json!({})).await;
    }
    let admin = rig.password("app-admin").await;
    postgres.connect("admin", &admin).await.unwrap();
    rig.ok(Op::Write, "db/rotate-role/app", json!({})).await;
    rig.ok(Op::Write, "db/rotate-root/main", json!({})).await;
    rig.ok(Op::Write, "db/rotate-role/app", json!({})).await;
    rig.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_replaced_when_their_time_comes() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit");
    let device = json!({ "type": "file", "options": { "file_path": file } });
    rig.ok(Op::Write, "sys/audit/file", device).await;
    rig.ok(Op::Write, "db/static-roles/app", role("app")).await;
    let first = rig.password("app").await;
    rig.later(3599).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.password("app").await, first);
    rig.later(1).await;
    let second = rig.replaced("app", &first).await;
    postgres.connect("app", &second).await.unwrap();
    let mine: Vec<Value> = lines(&file)
        .into_iter()
        .filter(|line| line["request"]["path"] == "db/rotate-role/app")
        .collect();
    assert_eq!(mine.len(), 2, "the request and its answer");
    assert!(
        mine.iter()
            .all(|line| line["auth"].is_null() && line["error"].is_null())
    );
    let whole = std::fs::read_to_string(&file).unwrap();
    assert!(!whole.contains(&first) && !whole.contains(&second));

    // After a restart; many missed periods are one rotation.
    let rig = rig.restarted(10 * 3600).await;
    let third = rig.replaced("app", &second).await;
    let creds = rig.ok(Op::Read, "db/static-creds/app", json!({})).await;
    assert_eq!(creds["ttl"], 3600);
    rig.later(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.password("app").await, third);

    // A database that is down: the present password stays the answer, and the next is tried until it counts.
    rig.connection("main", 1, None).await;
    rig.later(3600).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.password("app").await, third);
    postgres.connect("app", &third).await.unwrap();
    let failed = lines(&file).into_iter().any(|line| {
        line["request"]["path"] == "db/rotate-role/app"
            && line["error"].as_str().is_some_and(|text| !text.is_empty())
    });
    assert!(failed, "the failure is recorded");
    rig.connection("main", postgres.port, None).await;
    rig.later(5).await;
    let fourth = rig.replaced("app", &third).await;
    postgres.connect("app", &fourth).await.unwrap();

    // What is deleted is replaced no more.
    rig.ok(Op::Delete, "db/static-roles/app", json!({})).await;
    rig.later(2 * 3600).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    postgres.connect("app", &fourth).await.unwrap();
    rig.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_holds_up_no_other() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    // Connections wait in the listener's queue and are never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    rig.connection("silent", port, Some("x")).await;
    for number in 0..40 {
        let waits = json!({ "db_name": "silent", "username": "u", "rotation_period": 60, "skip_import_rotation": true });
        rig.ok(Op::Write, &format!("db/static-roles/app-{number}"), waits)
            .await;
    }
    rig.ok(Op::Write, "db/static-roles/app", role("app")).await;
    rig.ok(Op::Write, "sys/mounts/transit", json!({ "type": "transit" }))
        .await;
    rig.ok(Op::Write, "transit/keys/k", json!({ "auto_rotate_period": "1h" }))
        .await;
    let first = rig.password("app").await;
    let began = std::time::Instant::now();
    rig.later(3600).await;
    rig.replaced("app", &first).await;
    assert_eq!(versions(&rig, "transit", 2).await, 2);
    assert!(began.elapsed() < Duration::from_secs(10));
    // Nor the end: what is still being asked is begun anew at the next start.
    rig.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(3), rig.running)
        .await
        .unwrap()
        .unwrap();
}

/// What a crash between a password's being written down and the rotation's end leaves, if the database took it or not.
async fn crash(user: &str, took: bool) {
    let Some(postgres) = needed() else { return };
    let mut admin = postgres.connect("admin", "first-password").await.unwrap();
    let rig = Rig::database(&postgres).await;
    rig.ok(Op::Write, "db/static-roles/app", role(user)).await;
    let first = rig.password("app").await;
    let change = "ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}'";
    let note = "CREATE TABLE told AS SELECT '{{password}}'::text AS password";
    let hang = "SELECT pg_sleep(60)";
    let statements = if took {
        json!([change, note, "COMMIT", hang])
    } else {
        json!([hang, change])
    };
    let hanging = and(role(user), json!({ "rotation_statements": statements }));
    rig.ok(Op::Write, "db/static-roles/app", hanging).await;
    let server = rig.server.clone();
    let request = Request::new(Op::Write, "db/rotate-role/app").token("root");
    let rotating = tokio::spawn(async move { server.handle(request).await });
    for turn in 0.. {
        let hanging: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        if hanging == 1 {
            break;
        }
        assert!(turn < 100, "the statement never ran");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rotating.abort();
    assert!(rotating.await.unwrap_err().is_cancelled());
    assert_eq!(postgres.connect(user, &first).await.is_err(), took);
    admin
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")
        .await
        .unwrap();
    // The next server goes on with what was begun although the period is not over: by then its statements are good.
    rig.cancel.cancel();
    let server = open(&rig.store, &rig.clock);
    let unsealed = Request::new(Op::Write, "sys/unseal").with(json!({ "key": rig.key }));
    server.handle(unsealed).await.unwrap();
    let usual = and(role(user), json!({ "rotation_statements": [] }));
    let usual = Request::new(Op::Write, "db/static-roles/app")
        .with(usual)
        .token("root");
    server.handle(usual).await.unwrap();
    let rig = Rig::begin(server, rig.store, rig.clock, rig.key).await;
    let second = rig.replaced("app", &first).await;
    postgres.connect(user, &second).await.unwrap();
    if took {
        let told: String = sqlx::query_scalar("SELECT password FROM told")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!(told, second, "the server knew it before the database did");
    }
    rig.ok(Op::Write, "db/rotate-role/app", json!({})).await;
    rig.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_database_took_a_password_loses_nothing() {
    crash("app", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_database_took_a_password_loses_nothing() {
    crash("app", false).await;
}

/// Nobody else could tell the database another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_does_not_lose_the_administering_users_password_either() {
    crash("admin", true).await;
    crash("admin", false).await;
}

/// A role whose making nobody saw the end of is finished; it counts as made for policies only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_role_is_made_is_made_good() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    let statements = json!([
        "ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}'",
        "COMMIT",
        // Works the second time only.
        "DO $$ BEGIN IF to_regclass('seen') IS NULL THEN CREATE TABLE seen (); COMMIT; PERFORM pg_sleep(60); END IF; END $$"
    ]);
    let made = and(role("app"), json!({ "rotation_statements": statements }));
    let server = rig.server.clone();
    let request = Request::new(Op::Write, "db/static-roles/app")
        .with(made)
        .token("root");
    let making = tokio::spawn(async move { server.handle(request).await });
    let mut admin = postgres.connect("admin", "first-password").await.unwrap();
    for turn in 0.. {
        let seen: bool = sqlx::query_scalar("SELECT to_regclass('seen') IS NOT NULL")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if seen {
            break;
        }
        assert!(turn < 100, "the statement never ran");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    making.abort();
    assert!(making.await.unwrap_err().is_cancelled());
    assert!(postgres.connect("app", "imported").await.is_err());
    let rig = rig.restarted(0).await;
    for turn in 0.. {
        if rig.ask(Op::Read, "db/static-creds/app", json!({})).await.is_ok() {
            break;
        }
        assert!(turn < 100, "it was not finished");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    postgres.connect("app", &rig.password("app").await).await.unwrap();
    rig.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_keeps_a_role_whose_password_may_be_told() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    let at = "db/static-roles/app";
    let statements = json!([
        "ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}'",
        "CREATE TABLE told AS SELECT '{{password}}'::text AS password",
        "COMMIT",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ]);
    let lost = and(role("app"), json!({ "rotation_statements": statements }));
    rig.refused(at, lost).await;
    assert!(postgres.connect("app", "imported").await.is_err());
    let shown = rig.ok(Op::Read, at, json!({})).await;
    assert_eq!(shown.get("last_vault_rotation"), None);
    let creds = rig.ask(Op::Read, "db/static-creds/app", json!({})).await;
    assert_eq!(creds.unwrap_err().status(), 400);
    let usual = and(role("app"), json!({ "rotation_statements": [] }));
    rig.ok(Op::Write, at, usual).await;
    let mut admin = postgres.connect("admin", "first-password").await.unwrap();
    let told: String = sqlx::query_scalar("SELECT password FROM told")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(rig.password("app").await, told);
    postgres.connect("app", &told).await.unwrap();
    rig.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_apply_to_every_path_of_a_static_role() {
    let Some(postgres) = needed() else { return };
    let rig = Rig::database(&postgres).await;
    for (name, rules) in [
        (
            "reader",
            "path \"db/static-creds/app\" { capabilities = [\"read\"] }",
        ),
        (
            "maker",
            "path \"db/static-roles/*\" { capabilities = [\"create\"] }",
        ),
        (
            "rotator",
            "path \"db/rotate-role/app\" { capabilities = [\"update\"] }",
        ),
    ] {
        rig.ok(
            Op::Write,
            &format!("sys/policy/{name}"),
            json!({ "policy": rules }),
        )
        .await;
    }
    let mut tokens = Vec::new();
    for name in ["reader", "maker", "rotator"] {
        let made = json!({ "policies": [name], "no_default_policy": true });
        let made = rig.ask(Op::Write, "auth/token/create", made).await.unwrap();
        tokens.push(made.auth.unwrap().client_token.to_string());
    }
    let denied = async |token: &String, op: Op, path: &str, data: Value| {
        let status = rig
            .with(token, op, path, data)
            .await
            .map_err(|error| error.status());
        assert_eq!(status.map(drop), Err(403), "{path}");
    };
    for token in [&tokens[0], &tokens[2]] {
        denied(token, Op::Write, "db/static-roles/app", role("app")).await;
    }
    postgres.connect("app", "imported").await.unwrap();
    // Making is asked for once, although the role is stored before the database hears of it.
    rig.with(&tokens[1], Op::Write, "db/static-roles/app", role("app"))
        .await
        .unwrap();
    denied(&tokens[1], Op::Write, "db/static-roles/app", role("app")).await;
    denied(&tokens[1], Op::Read, "db/static-roles/app", json!({})).await;
    denied(&tokens[1], Op::Read, "db/static-creds/app", json!({})).await;
    denied(&tokens[0], Op::Write, "db/rotate-role/app", json!({})).await;
    denied(&tokens[2], Op::Read, "db/static-creds/app", json!({})).await;
    let first = rig.password("app").await;
    rig.with(&tokens[2], Op::Write, "db/rotate-role/app", json!({}))
        .await
        .unwrap();
    let read = rig
        .with(&tokens[0], Op::Read, "db/static-creds/app", json!({}))
        .await
        .unwrap();
    let second = read.data.unwrap()["password"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    postgres.connect("app", &second).await.unwrap();
    rig.cancel.cancel();
}

/// The latest version of the key `k`, once it is so high or after a while.
async fn versions(rig: &Rig, mount: &str, wanted: i64) -> i64 {
    let mut latest = 0;
    for _ in 0..50 {
        let key = rig.ok(Op::Read, &format!("{mount}/keys/k"), json!({})).await;
        latest = key["latest_version"].as_i64().unwrap();
        if latest >= wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    latest
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_get_new_versions_when_their_time_comes() {
    let rig = Rig::new().await;
    rig.ok(Op::Write, "sys/mounts/transit", json!({ "type": "transit" }))
        .await;
    let short = rig
        .refused("transit/keys/k", json!({ "auto_rotate_period": "59m" }))
        .await;
    assert!(short.contains("at least an hour"), "{short}");
    rig.ok(Op::Write, "transit/keys/k", json!({ "auto_rotate_period": "1h" }))
        .await;
    let sealed = rig
        .ok(Op::Write, "transit/encrypt/k", json!({ "plaintext": "aGk=" }))
        .await;
    rig.later(3599).await;
    assert_eq!(versions(&rig, "transit", 2).await, 1);
    rig.later(1).await;
    assert_eq!(versions(&rig, "transit", 2).await, 2);
    let opened = rig
        .ok(
            Op::Write,
            "transit/decrypt/k",
            json!({ "ciphertext": sealed["ciphertext"] }),
        )
        .await;
    assert_eq!(opened["plaintext"], "aGk=");
    // A version made by hand begins the period anew.
    rig.later(1800).await;
    rig.ok(Op::Write, "transit/keys/k/rotate", json!({})).await;
    rig.later(1800).await;
    assert_eq!(versions(&rig, "transit", 4).await, 3);
    // After a restart; many missed periods are one version.
    let rig = rig.restarted(10 * 3600).await;
    assert_eq!(versions(&rig, "transit", 4).await, 4);
    assert_eq!(versions(&rig, "transit", 5).await, 4);
    rig.ok(
        Op::Write,
        "transit/keys/k/config",
        json!({ "auto_rotate_period": 0 }),
    )
    .await;
    rig.later(100 * 3600).await;
    assert_eq!(versions(&rig, "transit", 5).await, 4);
    // A key that is older than its new period is due at once, wherever its mount is by then.
    let moved = json!({ "from": "transit", "to": "moved" });
    rig.ok(Op::Write, "sys/remount", moved).await;
    let daily = json!({ "auto_rotate_period": "24h" });
    rig.ok(Op::Write, "moved/keys/k/config", daily).await;
    assert_eq!(versions(&rig, "moved", 5).await, 5);
    rig.cancel.cancel();
}
