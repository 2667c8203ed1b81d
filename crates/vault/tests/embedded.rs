//! The client, the synchronisation and the agent against the embedded server over HTTP. Only the TokenReview is answered
//! by a stand-in for the Kubernetes API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use axum::{Json, Router, routing::post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use herder_base::{Clock, Secret, SystemClock, chain};
use herder_secrets::{Embedded, EmbeddedConfig, KubernetesReviewer};
use herder_vault::agent::{self, Config as AgentConfig};
use herder_vault::{
    Client, ClusterLogin, Config, Error, Introduced, KubernetesRole, Method, Owned, Scope, Write, introduce,
    keep_token, look, note, write,
};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "correct horse battery";

struct Estate {
    dir: tempfile::TempDir,
    address: String,
    root: Client,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Estate {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        // The review believes what the token says about itself.
        let reviews = Router::new().route(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            post(|Json(review): Json<Value>| async move {
                let token = review["spec"]["token"].as_str().unwrap_or_default();
                let claims = BASE64.decode(token.split('.').nth(1).unwrap_or_default()).unwrap_or_default();
                let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
                let name = claims["sub"].as_str().unwrap_or_default().to_owned();
                Json(json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                    "status": {"authenticated": name.starts_with("system:"), "user": {"username": name, "uid": "1"}}}))
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubernetes = format!("http://{}", listener.local_addr().unwrap());
        let stop = cancel.clone();
        tasks.spawn(async move {
            axum::serve(listener, reviews)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
                .unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let embedded = Embedded::start(
            EmbeddedConfig {
                dir: dir.path().to_owned(),
                api_addr: address.clone(),
                kubernetes: Some(KubernetesReviewer {
                    host: kubernetes,
                    ..KubernetesReviewer::default()
                }),
            },
            Arc::new(SystemClock),
        )
        .await
        .unwrap();
        let (server, stop) = (embedded.server.clone(), cancel.clone());
        tasks.spawn(async move { server.serve(listener, None, stop).await });
        let root = Client::new(&Config::new(&address)).unwrap();
        root.set_token(Secret::new(embedded.root_token().unwrap().to_string()));
        root.write("secret/shop/db", &json!({"user": "shop", "password": PASSWORD}))
            .await
            .unwrap();
        let role = json!({"allowed_domains": "svc", "allow_subdomains": true, "max_ttl": "1h", "key_type": "ec", "key_bits": 256});
        root.call(Method::Post, "pki/roles/shop", Some(&role))
            .await
            .unwrap();
        Self {
            dir,
            address,
            root,
            cancel,
            tasks,
        }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// A pod's configuration, with its service account's token in a file.
    fn pod(&self, role: &str, account: &str, files: &Value) -> AgentConfig {
        let dir = self
            .dir
            .path()
            .join(format!("pod-{role}-{}", account.replace(':', "-")));
        std::fs::create_dir_all(&dir).unwrap();
        let token = dir.join("token");
        let (namespace, name) = account.split_once(':').unwrap();
        let claims = json!({"sub": format!("system:serviceaccount:{account}"), "iss": "test", "exp": 4_000_000_000u64,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": "1"}}});
        let part = |json: Value| BASE64.encode(json.to_string());
        let jwt = format!(
            "{}.{}.{}",
            part(json!({"alg": "ES256", "typ": "JWT"})),
            part(claims),
            BASE64.encode("signature")
        );
        std::fs::write(&token, jwt).unwrap();
        let mut config = json!({
            "vault": self.address, "ca": null, "auth": {"kubernetes": {"role": role, "mount": "kubernetes"}},
            "token_file": token, "env_file": dir.join("env"), "refresh": "1s", "wait": "1s",
        });
        let text = files.to_string().replace("DIR", dir.to_str().unwrap());
        for (key, value) in serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap() {
            config[key] = value.clone();
        }
        AgentConfig::parse(&config.to_string()).unwrap()
    }

    fn read(&self, pod: &str, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(pod).join(file)).unwrap_or_default()
    }
}

fn policies() -> Vec<Policy> {
    let policy = |name: &str, text: &str| Policy {
        name: name.into(),
        text: text.into(),
    };
    vec![
        policy(
            "shop",
            "path \"secret/data/shop/*\" { capabilities = [\"read\"] }\npath \"pki/issue/shop\" { capabilities = [\"update\"] }\n",
        ),
        policy(
            "thief",
            "path \"secret/data/other\" { capabilities = [\"read\"] }\npath \"secret/metadata/shop/*\" { capabilities = [\"list\"] }\n",
        ),
    ]
}

fn roles(ttl: Duration) -> Vec<KubernetesRole> {
    ["shop", "thief"]
        .map(|name| KubernetesRole {
            name: name.into(),
            service_accounts: vec![name.into()],
            namespaces: vec!["staging".into(), "testing".into()],
            policies: vec![name.into()],
            ttl: Some(ttl),
            ..KubernetesRole::default()
        })
        .into()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A policy, by name and text.
#[derive(Clone)]
struct Policy {
    name: String,
    text: String,
}

/// Makes Vault hold exactly these of the default scope, as the platform's plans do; says what was written.
async fn sync(client: &Client, policies: &[Policy], roles: &[KubernetesRole]) -> Result<Vec<String>, Error> {
    let scope = Scope::default();
    let wanted = Owned {
        policies: policies.iter().map(|policy| policy.name.clone()).collect(),
        roles: roles.iter().map(|role| role.name.clone()).collect(),
    };
    let held = look(client, &scope, &wanted).await?;
    let both = Owned {
        policies: &held.owned.policies | &wanted.policies,
        roles: &held.owned.roles | &wanted.roles,
    };
    note(client, &scope, &both).await?;
    let texts: Vec<String> = roles.iter().map(KubernetesRole::text).collect();
    let mut changes = Vec::new();
    for policy in policies {
        if held.policies.get(&policy.name).map(String::as_str) != Some(policy.text.trim()) {
            changes.push(Write::Policy(&policy.name, &policy.text));
        }
    }
    for (role, text) in roles.iter().zip(&texts) {
        if held.roles.get(&role.name) != Some(text) {
            changes.push(Write::Role(&role.name, text));
        }
    }
    let gone = |all: &std::collections::BTreeSet<String>, kept: &std::collections::BTreeSet<String>| {
        all.difference(kept).cloned().collect::<Vec<_>>()
    };
    let (old_roles, old_policies) = (
        gone(&held.owned.roles, &wanted.roles),
        gone(&held.owned.policies, &wanted.policies),
    );
    changes.extend(old_roles.iter().map(|name| Write::RemoveRole(name)));
    changes.extend(old_policies.iter().map(|name| Write::RemovePolicy(name)));
    let mut told = Vec::new();
    for change in changes {
        write(client, &scope, change).await?;
        told.push(change.to_string());
    }
    note(client, &scope, &wanted).await?;
    Ok(told)
}

#[tokio::test]
async fn what_was_written_is_seen_and_what_is_noted_is_ours() {
    let estate = Estate::start().await;
    let foreign = json!({"policy": "path \"x\" { capabilities = [\"read\"] }"});
    estate
        .root
        .call(Method::Post, "sys/policies/acl/foreign", Some(&foreign))
        .await
        .unwrap();
    let (mut policies, mut roles) = (policies(), roles(Duration::from_secs(60)));
    let changes = sync(&estate.root, &policies, &roles).await.unwrap();
    assert_eq!(changes.len(), 4, "{changes:?}");
    assert_eq!(sync(&estate.root, &policies, &roles).await.unwrap(), [""; 0]);
    policies[0]
        .text
        .push_str("path \"y\" { capabilities = [\"list\"] }\n");
    roles[1].policies.push("shop".into());
    let changes = sync(&estate.root, &policies, &roles).await.unwrap();
    assert_eq!(changes, ["write policy `shop`", "write role `thief`"]);
    policies.pop();
    roles.pop();
    let changes = sync(&estate.root, &policies, &roles).await.unwrap();
    assert_eq!(changes, ["remove role `thief`", "remove policy `thief`"]);
    assert_eq!(sync(&estate.root, &policies, &roles).await.unwrap(), [""; 0]);
    // One that Vault does not take says so; to remove what is gone already is no fault.
    let scope = Scope::default();
    let broken = write(&estate.root, &scope, Write::Policy("broken", "path \"x\" {")).await;
    assert!(broken.unwrap_err().is_refusal());
    write(&estate.root, &scope, Write::RemovePolicy("absent"))
        .await
        .unwrap();
    // What nobody asked for is not read, and what is not noted is not ours.
    let held = look(&estate.root, &scope, &Owned::default()).await.unwrap();
    assert!(!held.owned.policies.contains("foreign"), "{held:?}");
    assert!(held.policies.contains_key("shop") && !held.policies.contains_key("foreign"));
    sync(&estate.root, &[], &[]).await.unwrap();
    let left = estate
        .root
        .call(Method::List, "sys/policies/acl", None)
        .await
        .unwrap();
    let left = left.pointer("/data/keys").unwrap().to_string();
    assert!(left.contains("foreign") && !left.contains("shop"), "{left}");
    estate.stop().await;
}

#[tokio::test]
async fn a_pod_gets_its_files_and_nothing_else() {
    let estate = Estate::start().await;
    sync(&estate.root, &policies(), &roles(Duration::from_secs(600)))
        .await
        .unwrap();
    let wishes = json!({
        "files": [
            {"path": "DIR/db.conf", "template": "{{ with secret \"secret/shop/db\" }}user={{ .Data.data.user }} password={{ .Data.data.password }}{{ end }}\n"},
            {"path": "DIR/password", "secret": "secret/data/shop/db#password", "mode": "0600"},
            {"path": "DIR/all.json", "secret": "secret/shop/db"},
        ],
        "tls": [{"issue": "pki/issue/shop", "common_name": "shop.staging.svc", "alt_names": ["shop.svc"], "ttl": "30m",
            "cert": "DIR/tls.crt", "key": "DIR/tls.key", "ca": "DIR/ca.crt"}],
        "env": [{"name": "DB_PASSWORD", "secret": "secret/data/shop/db#password"}],
    });
    let config = estate.pod("shop", "staging:shop", &wishes);
    assert_eq!(agent::init(config.clone(), clock()).await.unwrap(), 7);
    let pod = "pod-shop-staging-shop";
    assert_eq!(
        estate.read(pod, "db.conf"),
        format!("user=shop password={PASSWORD}\n")
    );
    assert_eq!(estate.read(pod, "password"), PASSWORD);
    assert_eq!(
        serde_json::from_str::<Value>(&estate.read(pod, "all.json")).unwrap()["user"],
        "shop"
    );
    assert_eq!(
        agent::parse_env_file(&estate.read(pod, "env")),
        [("DB_PASSWORD".to_owned(), PASSWORD.to_owned())]
    );
    let mode = |file: &str| {
        std::fs::metadata(estate.dir.path().join(pod).join(file))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("password"), mode("db.conf"), mode("tls.key")),
        (0o600, 0o640, 0o640)
    );
    for (file, mark) in [
        ("tls.crt", "CERTIFICATE"),
        ("ca.crt", "CERTIFICATE"),
        ("tls.key", "PRIVATE KEY"),
    ] {
        assert!(estate.read(pod, file).contains(mark), "{file}");
    }

    // Another role: the reason names path, role and policy, no file is written, and no secret is in the words.
    let config = estate.pod("thief", "staging:thief", &wishes);
    let error = agent::init(config, clock()).await.unwrap_err();
    let text = chain(&error).to_string();
    assert!(
        text.contains(
            "Vault path `secret/data/shop/db` is denied to role `thief`: policy `thief` has no rule for it"
        ),
        "{text}"
    );
    assert!(!Path::new(&estate.dir.path().join("pod-thief-staging-thief/password")).exists());

    // Another namespace, an unknown role, a missing key, a missing secret, a wrong template.
    let one = |reference: &str| json!({"files": [{"path": "DIR/x", "secret": reference}]});
    for (role, account, wishes, expected) in [
        (
            "shop",
            "production:shop",
            wishes.clone(),
            "login to Vault at auth/kubernetes as role `shop` failed",
        ),
        ("nobody", "staging:shop", wishes.clone(), "role `nobody`"),
        (
            "shop",
            "staging:shop",
            one("secret/data/shop/db#pasword"),
            "has no key `pasword` (it has password, user)",
        ),
        (
            "shop",
            "staging:shop",
            one("secret/data/shop/none#x"),
            "has nothing at `secret/data/shop/none`",
        ),
        (
            "shop",
            "staging:shop",
            json!({"files": [{"path": "DIR/x", "template": "{{ secert \"x\" }}"}]}),
            "did you mean `secret`?",
        ),
    ] {
        let text = chain(
            &agent::init(estate.pod(role, account, &wishes), clock())
                .await
                .unwrap_err(),
        )
        .to_string();
        assert!(text.contains(expected) && !text.contains(PASSWORD), "{text}");
    }
    estate.stop().await;
}

#[tokio::test]
async fn a_running_pod_keeps_its_token_and_sees_changes() {
    let estate = Estate::start().await;
    // A token that lives for two seconds: without renewal and new logins nothing below would work.
    let mut roles = roles(Duration::from_secs(2));
    roles[0].max_ttl = Some(Duration::from_secs(4));
    sync(&estate.root, &policies(), &roles).await.unwrap();
    let wishes = json!({
        "files": [{"path": "DIR/password", "secret": "secret/data/shop/db#password"}],
        "tls": [{"issue": "pki/issue/shop", "common_name": "shop.staging.svc", "ttl": "3s", "cert": "DIR/tls.crt", "key": "DIR/tls.key"}],
    });
    let config = estate.pod("shop", "staging:shop", &wishes);
    let pod = "pod-shop-staging-shop";
    let cancel = CancellationToken::new();
    let mut sidecar = JoinSet::new();
    sidecar.spawn(agent::run(config, clock(), cancel.clone()));
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..1500 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} never came");
    };
    until("the first file", &|| {
        estate.read(pod, "password") == PASSWORD && !estate.read(pod, "tls.crt").is_empty()
    })
    .await;
    for round in 0..3 {
        let certificate = estate.read(pod, "tls.crt");
        let password = format!("changed {round}");
        estate
            .root
            .write("secret/shop/db", &json!({"password": password}))
            .await
            .unwrap();
        until("the change", &|| estate.read(pod, "password") == password).await;
        until("the next certificate", &|| {
            estate.read(pod, "tls.crt") != certificate
        })
        .await;
    }
    // The right is taken away: the file stays as it is, and comes true again when the right is back.
    sync(&estate.root, &policies()[1..], &roles).await.unwrap();
    estate
        .root
        .write("secret/shop/db", &json!({"password": "unseen"}))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(estate.read(pod, "password"), "changed 2");
    sync(&estate.root, &policies(), &roles).await.unwrap();
    until("the right again", &|| estate.read(pod, "password") == "unseen").await;
    cancel.cancel();
    sidecar.join_next().await.unwrap().unwrap().unwrap();
    estate.stop().await;
}

#[tokio::test]
async fn says_what_is_wrong_with_the_way() {
    let nobody = Client::new(&Config {
        retries: 0,
        ..Config::new("http://127.0.0.1:1")
    })
    .unwrap();
    let error = nobody.read("secret/x").await.unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && error.is_transient(),
        "{error}"
    );
    for address in ["127.0.0.1:8200", "ftp://x", "http://", "nonsense"] {
        assert!(Client::new(&Config::new(address)).is_err(), "{address}");
    }
    let estate = Estate::start().await;
    let client = Client::new(&Config::new(&estate.address)).unwrap();
    let text = client.read("secret/shop/db").await.unwrap_err().to_string();
    assert!(text.contains("needs a token"), "{text}");
    client.set_token(Secret::from("hvs.no-such-token"));
    let error = client.read("secret/shop/db").await.unwrap_err();
    assert!(error.needs_login(), "{error}");
    assert_eq!(estate.root.list("secret/").await.unwrap(), ["shop/"]);
    assert_eq!(
        estate.root.list("secret/none").await.unwrap(),
        Vec::<String>::new()
    );
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_template_logs_in_again_before_its_token_ends() {
    use herder_vault::consul_template::{Invocation, run};
    let estate = Estate::start().await;
    sync(&estate.root, &policies(), &roles(Duration::from_secs(3)))
        .await
        .unwrap();
    // The pod's configuration is made for its token's file.
    let token = estate.pod("shop", "staging:shop", &json!({})).token_file;
    let out = estate.dir.path().join("logged-in");
    let config = format!(
        "vault {{ address = {:?} k8s_auth_role_name = \"shop\" k8s_service_account_token_path = {token:?} default_lease_duration = \"200ms\" retry {{ attempts = 1 }} }}\ntemplate {{ contents = \"{{{{with secret \\\"secret/shop/db\\\"}}}}{{{{.Data.data.user}}}}{{{{end}}}}\" destination = {out:?} }}",
        estate.address
    );
    let invocation = Invocation::read(&[], Some(&config)).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { run(&invocation, clock(), &mut Vec::new()).await });
    // Longer than any one token lives, it goes on with what is new.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(tasks.try_join_next().is_none(), "it runs without a failure");
    estate
        .root
        .write("secret/shop/db", &json!({"user": "renewed"}))
        .await
        .unwrap();
    for _ in 0..100 {
        if std::fs::read_to_string(&out).unwrap_or_default() == "renewed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "renewed");
    tasks.shutdown().await;
    estate.stop().await;
}

#[tokio::test]
async fn requests_of_others_go_on_with_their_own_token() {
    let estate = Estate::start().await;
    let ask = |token: &str, path: &str| {
        let request = http::Request::get(format!("http://elsewhere{path}"))
            .header("x-vault-token", token)
            .header("connection", "close")
            .body(axum::body::Bytes::new())
            .unwrap();
        estate.root.forward(request)
    };
    // The client's own token is root's, and helps nobody else.
    assert_eq!(ask("", "/v1/secret/data/shop/db").await.unwrap().status(), 403);
    let made = estate
        .root
        .write("auth/token/create", &json!({"policies": ["default"]}))
        .await
        .unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let own = ask(token, "/v1/auth/token/lookup-self").await.unwrap();
    assert_eq!(own.status(), 200);
    let own: Value = serde_json::from_slice(own.body()).unwrap();
    assert_eq!(own["data"]["policies"], json!(["default"]));
    assert_eq!(
        ask(token, "/v1/sys/mounts?list=true").await.unwrap().status(),
        403
    );
    estate.stop().await;
}

#[tokio::test]
async fn a_cluster_is_introduced_where_nobody_else_was() {
    let estate = Estate::start().await;
    let cluster = |id: &str, host: &str| ClusterLogin {
        id: id.to_owned(),
        host: host.to_owned(),
        ca_pem: String::new(),
        token: Secret::new("reviewer".to_owned()),
    };
    let host = async |mount: &str| {
        let path = format!("auth/{mount}/config");
        let answer = estate.root.call(Method::Get, &path, None).await.unwrap();
        answer["data"]["kubernetes_host"].as_str().unwrap().to_owned()
    };
    let before = host("kubernetes").await;
    let mine = cluster("one", "https://10.0.0.1:6443");
    // Set up by the embedded server, which is somebody else here.
    let done = introduce(&estate.root, "kubernetes", &mine).await.unwrap();
    assert_eq!((done, host("kubernetes").await), (Introduced::Foreign, before));
    assert_eq!(
        introduce(&estate.root, "one/", &mine).await.unwrap(),
        Introduced::Made
    );
    let moved = cluster("one", "https://10.0.0.2:6443");
    assert_eq!(
        introduce(&estate.root, "one", &moved).await.unwrap(),
        Introduced::Renewed
    );
    let other = cluster("two", "https://10.0.0.3:6443");
    assert_eq!(
        introduce(&estate.root, "one", &other).await.unwrap(),
        Introduced::Foreign
    );
    assert_eq!(host("one").await, "https://10.0.0.2:6443");
    estate.stop().await;
}

#[tokio::test]
async fn a_token_from_a_file_is_kept_alive_and_replaced() {
    let estate = Estate::start().await;
    let make = async |ttl: &str| {
        let body = json!({"policies": ["default"], "ttl": ttl});
        let made = estate.root.write("auth/token/create", &body).await.unwrap();
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let file = estate.dir.path().join("token");
    std::fs::write(&file, make("12s").await).unwrap();
    let client = Client::new(&Config::new(&estate.address)).unwrap();
    client.set_token(herder_vault::read_token(&file).unwrap());
    let (keeping, path, stop) = (client.clone(), file.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { keep_token(keeping, &path, stopped).await });
    // Longer than it was given for.
    tokio::time::sleep(Duration::from_secs(14)).await;
    let first = client.lookup_self().await.unwrap();
    std::fs::write(&file, make("1h").await).unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if client
            .lookup_self()
            .await
            .is_ok_and(|now| now.accessor != first.accessor)
        {
            break;
        }
    }
    assert_ne!(client.lookup_self().await.unwrap().accessor, first.accessor);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    estate.stop().await;
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let estate = Estate::start().await;
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/secrets.md")).unwrap();
    let (_, rules) = page.split_once("The token needs").unwrap();
    let (_, rules) = rules.split_once("```hcl\n").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let root = &estate.root;
    root.call(Method::Delete, "sys/auth/kubernetes", None)
        .await
        .unwrap();
    root.write("sys/policies/acl/herder", &json!({ "policy": rules }))
        .await
        .unwrap();
    let made = root
        .write("auth/token/create", &json!({"policies": ["herder"], "ttl": "1h"}))
        .await
        .unwrap();
    let client = Client::new(&Config::new(&estate.address)).unwrap();
    client.set_token(Secret::from(made["auth"]["client_token"].as_str().unwrap()));
    let cluster = ClusterLogin {
        id: "one".to_owned(),
        host: "https://10.0.0.1:6443".to_owned(),
        ca_pem: String::new(),
        token: Secret::new("reviewer".to_owned()),
    };
    for expected in [Introduced::Made, Introduced::Renewed] {
        assert_eq!(
            introduce(&client, "kubernetes", &cluster).await.unwrap(),
            expected
        );
    }
    let policy = Policy {
        name: "shop".to_owned(),
        text: "path \"secret/data/shop/*\" { capabilities = [\"read\"] }".to_owned(),
    };
    let role = KubernetesRole {
        name: "shop".to_owned(),
        service_accounts: vec!["shop".to_owned()],
        namespaces: vec!["*".to_owned()],
        policies: vec!["shop".to_owned()],
        ..KubernetesRole::default()
    };
    assert_eq!(
        sync(&client, std::slice::from_ref(&policy), &[role])
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(sync(&client, &[], &[]).await.unwrap().len(), 2);
    let issue = json!({"common_name": "a.svc"});
    client
        .call(Method::Post, "pki/issue/shop", Some(&issue))
        .await
        .unwrap();
    client.renew_self(Duration::ZERO).await.unwrap();
    assert!(client.read("secret/shop/db").await.is_err(), "and no more");
    estate.stop().await;
}
