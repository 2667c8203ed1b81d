//! The way through a browser, with a provider whose answers are given beforehand: who began a log in finishes it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, and their helpers fail them"
)]

use herder_base::SystemClock;
use herder_secrets::{Answer, Config, Error, HttpQuestion, Op, Question, Request, Response, Server, Storage};
use serde_json::{Value, json};
use std::sync::Arc;

async fn ask(server: &Server, op: Op, path: &str, data: Value) -> Result<Response, Error> {
    let mut request = Request::new(op, path).with(data).token("root");
    request.answers.push(Answer {
        to: Question::Http(HttpQuestion {
            method: "GET",
            url: "https://provider.example/.well-known/openid-configuration".to_owned(),
            ..HttpQuestion::default()
        }),
        reply: Ok((
            200,
            json!({
                "issuer": "https://provider.example",
                "jwks_uri": "https://provider.example/keys",
                "authorization_endpoint": "https://provider.example/authorize",
                // Nobody is there, so that getting this far shows.
                "token_endpoint": "http://127.0.0.1:1/token",
            }),
        )),
    });
    server.handle(request).await
}

#[tokio::test]
async fn only_who_began_a_log_in_finishes_it() {
    let server = Server::open(Config {
        storage: Storage::InMemory,
        clock: Arc::new(SystemClock),
        api_addr: String::new(),
    })
    .unwrap();
    let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
    let key: String = init.keys[0].iter().map(|byte| format!("{byte:02x}")).collect();
    for (path, data) in [
        ("sys/unseal", json!({ "key": key })),
        ("sys/auth/oidc", json!({ "type": "oidc" })),
        (
            "auth/oidc/config",
            json!({
                "oidc_discovery_url": "https://provider.example", "oidc_client_id": "c", "oidc_client_secret": "s",
            }),
        ),
        (
            "auth/oidc/role/r",
            json!({
                "user_claim": "sub", "allowed_redirect_uris": "http://localhost:8250/oidc/callback", "max_age": "5m",
            }),
        ),
    ] {
        ask(&server, Op::Write, path, data).await.unwrap();
    }
    let begin = |redirect: &'static str| {
        let data = json!({ "role": "r", "redirect_uri": redirect, "client_nonce": "mine" });
        ask(&server, Op::Write, "auth/oidc/oidc/auth_url", data)
    };
    for bad in [
        "http://localhost:x@evil.com/oidc/callback",
        "http://localhost:80@evil.com/oidc/callback",
    ] {
        assert_eq!(begin(bad).await.unwrap_err().status(), 400);
    }
    let begun = begin("http://localhost:9999/oidc/callback").await.unwrap();
    let url = begun.data.unwrap()["auth_url"].as_str().unwrap().to_owned();
    assert!(url.contains("&max_age=300"), "{url}");
    let state = url
        .split("&state=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    let finish = |nonce: Option<&str>| {
        let mut data = json!({ "state": state, "code": "x" });
        if let Some(nonce) = nonce {
            data["client_nonce"] = json!(nonce);
        }
        ask(&server, Op::Read, "auth/oidc/oidc/callback", data)
    };
    for wrong in [None, Some(""), Some("yours")] {
        let error = finish(wrong).await.unwrap_err();
        assert_eq!(
            (error.status(), error.to_string()),
            (400, "invalid client_nonce".to_owned())
        );
    }
    assert_eq!(
        finish(Some("mine")).await.unwrap_err().status(),
        502,
        "the provider is asked"
    );
}
