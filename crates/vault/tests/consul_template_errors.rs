//! consul-template's loop when something goes wrong, without a Vault: commands that fail, templates that come right
//! later, settings at their limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use herder_base::{SystemClock, chain};
use herder_vault::consul_template::{End, Invocation, RunError, run};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

fn invocation(dir: &Path, config: &str, flags: &[&str]) -> Invocation {
    let config = config.replace("DIR", dir.to_str().unwrap());
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    Invocation::read(&flags, Some(&config)).unwrap()
}

async fn once(dir: &Path, config: &str) -> Result<End, RunError> {
    let invocation = invocation(dir, config, &["-once"]);
    run(&invocation, Arc::new(SystemClock), &mut Vec::new()).await
}

fn background(dir: &Path, config: &str) -> JoinSet<Result<End, RunError>> {
    let invocation = invocation(dir, config, &[]);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { run(&invocation, Arc::new(SystemClock), &mut Vec::new()).await });
    tasks
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

const NO_VAULT: &str = "vault { enabled = false }\n";

#[tokio::test]
async fn a_failing_command_does_not_keep_the_others_from_running() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = NO_VAULT.to_owned();
    for (name, command) in [("a", "false"), ("b", "touch DIR/ran"), ("c", "exit 4")] {
        config += &format!(
            "template {{ contents = \"x\" destination = \"DIR/{name}\" command = \"{command}\" }}\n"
        );
    }
    let error = once(dir.path(), &config).await.unwrap_err();
    assert!(chain(&error).to_string().contains("`false`"), "{error}");
    assert!(dir.path().join("ran").exists());
}

#[tokio::test]
async fn a_template_may_come_right_later() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in"), "no number").unwrap();
    let config = |all: bool, own: &str| {
        format!(
            "{NO_VAULT}template_error_fatal = {all}\ntemplate {{ contents = \"{{{{ file \\\"DIR/in\\\" | parseInt }}}}\" destination = \"DIR/out\" {own} }}"
        )
    };
    // What the template itself says counts before what is said for all.
    for (all, own) in [(true, ""), (false, "error_fatal = true")] {
        let error = once(dir.path(), &config(all, own)).await.unwrap_err();
        assert!(chain(&error).to_string().contains("parseInt"), "{error}");
    }
    let mut task = background(dir.path(), &config(true, "error_fatal = false"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(task.try_join_next().is_none());
    std::fs::write(dir.path().join("in"), "17").unwrap();
    until("the mended file is read", || {
        std::fs::read_to_string(dir.path().join("out")).is_ok_and(|text| text == "17")
    })
    .await;
    task.shutdown().await;
}

#[tokio::test]
async fn no_pause_is_no_reason_to_spin() {
    let dir = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let config = "vault { address = \"http://127.0.0.1:1\" token = \"t\" renew_token = false retry { attempts = 5 backoff = \"0s\" } }
        template { contents = \"{{ secret \\\"secret/a\\\" }}\" destination = \"DIR/out\" }";
    assert!(once(dir.path(), config).await.is_err());
    assert!(start.elapsed() >= Duration::from_millis(100));
    // Nor does it mean that all is read anew all the time.
    let config = "vault { enabled = false default_lease_duration = \"0s\" }
        template { contents = \"{{ timestamp \\\"unix\\\" }}\" destination = \"DIR/now\" }";
    let mut task = background(dir.path(), config);
    let now = dir.path().join("now");
    until("it is written", || now.exists()).await;
    let first = std::fs::read(&now).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(std::fs::read(&now).unwrap(), first);
    task.shutdown().await;
}

#[tokio::test]
async fn a_short_time_to_connect_leaves_time_to_answer() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            tokio::time::sleep(Duration::from_millis(1300)).await;
            let answer =
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"errors\":[]}";
            let _ = stream.write_all(answer).await;
        }
    });
    let config = format!(
        "vault {{ address = \"http://{address}\" token = \"t\" renew_token = false retry {{ enabled = false }} transport {{ dial_timeout = \"200ms\" }} }}
        template {{ contents = \"{{{{ secret \\\"cubbyhole/a\\\" }}}}\" destination = \"DIR/out\" }}"
    );
    let error = once(dir.path(), &config).await.unwrap_err();
    let shown = chain(&error).to_string();
    assert!(shown.contains("nothing at"), "{shown}");
    tasks.shutdown().await;
}
