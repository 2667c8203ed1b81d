//! A cluster without nodes, the real kubectl, and a plain HTTP client over the unix socket.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it lacks"
)]

use herder_apiserver::registry::Registry;
use herder_base::SystemClock;
use herder_kubelite::{Config, Kubelite};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A cluster without nodes in a directory of its own.
pub(crate) struct Alone {
    dir: tempfile::TempDir,
    registry: Registry,
    cancel: CancellationToken,
    running: JoinSet<()>,
}

impl Alone {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(dir: tempfile::TempDir) -> Self {
        let config = Config {
            dir: dir.path().to_owned(),
            nodes: 0,
            listen: "127.0.0.1:0".parse().unwrap(),
            exe: PathBuf::new(),
            ingress: Vec::new(),
        };
        let cluster = Kubelite::start(config, Arc::new(SystemClock)).await.unwrap();
        let registry = cluster.registry();
        let cancel = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(cluster.run(cancel.clone()));
        Self {
            dir,
            registry,
            cancel,
            running,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn stop(self) {
        self.end().await;
    }

    async fn end(mut self) -> tempfile::TempDir {
        self.cancel.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
        self.dir
    }

    pub(crate) async fn restart(self) -> Self {
        Self::start_in(self.end().await).await
    }

    /// The token of a service account that may do everything.
    pub(crate) async fn robot_token(&self) -> String {
        let account = json!({"metadata": {"name": "robot", "namespace": "kube-system"}});
        self.registry.create("serviceaccounts", account).await.unwrap();
        let binding = json!({
            "metadata": {"name": "robot"},
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "kube-system"}],
        });
        self.registry
            .create("clusterrolebindings.rbac.authorization.k8s.io", binding)
            .await
            .unwrap();
        let kubectl = Kubectl::find();
        match kubectl {
            Some(kubectl) => {
                let token = kubectl
                    .of(self)
                    .says(&["create", "token", "robot", "-n", "kube-system"], "ey")
                    .await;
                token.trim().to_owned()
            }
            None => String::new(),
        }
    }

    /// Server-side applies objects over 16 connections.
    pub(crate) async fn apply_all(&self, token: &str, objects: Vec<(String, Value)>) {
        let queue = Arc::new(Mutex::new(objects));
        let mut workers = JoinSet::new();
        for _ in 0..16 {
            let (queue, token) = (Arc::clone(&queue), token.to_owned());
            let socket = self.path().join("kubelite").join("api.sock");
            workers.spawn(async move {
                let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
                let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
                let serving = async {
                    let _ended = connection.await;
                };
                let applying = async move {
                    loop {
                        let Some((path, object)) = queue.lock().unwrap().pop() else {
                            break;
                        };
                        let request = http::Request::patch(format!("{path}?fieldManager=test&force=true"))
                            .header("host", "api")
                            .header("content-type", "application/apply-patch+yaml")
                            .header("authorization", format!("Bearer {token}"))
                            .body(Full::new(bytes::Bytes::from(object.to_string())))
                            .unwrap();
                        let answer = send.send_request(request).await.unwrap();
                        let code = answer.status().as_u16();
                        let body = answer.into_body().collect().await.unwrap().to_bytes();
                        assert!(code < 300, "{path}: {}", String::from_utf8_lossy(&body));
                    }
                };
                tokio::join!(serving, applying);
            });
        }
        workers.join_all().await;
    }

    /// Waits until the controllers have stopped writing.
    pub(crate) async fn settled(&self) {
        let mut events = self.registry.subscribe();
        while tokio::time::timeout(std::time::Duration::from_millis(700), events.next())
            .await
            .is_ok()
        {}
    }

    /// The resourceVersion of the object at an API path in a namespace.
    pub(crate) fn version_of(&self, path: &str) -> Option<String> {
        let parts: Vec<&str> = path.split('/').collect();
        let at = parts.iter().position(|part| *part == "namespaces")?;
        let resource = if parts[1] == "api" {
            parts[at + 2].to_owned()
        } else {
            format!("{}.{}", parts[at + 2], parts[2])
        };
        let object = self.registry.get(&resource, parts[at + 1], parts[at + 3])?;
        Some(object["metadata"]["resourceVersion"].as_str()?.to_owned())
    }
}

/// The kubectl of this machine.
pub(crate) struct Kubectl(PathBuf);

impl Kubectl {
    /// Says so when there is none, and fails where one is counted on.
    pub(crate) fn find() -> Option<Self> {
        let found = std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .map(|dir| dir.join("kubectl"))
            .find(|path| path.is_file());
        if found.is_none() {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "kubectl is needed here"
            );
            println!("kubectl is not on this machine: its judgement is missing");
        }
        found.map(Self)
    }

    pub(crate) fn of(&self, cluster: &Alone) -> Client {
        Client {
            program: self.0.clone(),
            kubeconfig: cluster.path().join("kubeconfig"),
            home: cluster.path().to_owned(),
            token: None,
        }
    }
}

/// kubectl for one cluster.
#[derive(Clone)]
pub(crate) struct Client {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    token: Option<String>,
}

impl Client {
    /// The same cluster with a token instead of the certificate.
    pub(crate) fn bare(&self, token: &str) -> Self {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("client-")).collect();
        let path = self.home.join(format!("bare-{}", token.len()));
        std::fs::write(
            &path,
            format!("{}\n    token: {}\n", kept.join("\n"), token.trim()),
        )
        .unwrap();
        Self {
            kubeconfig: path,
            ..self.clone()
        }
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str], input: &str) -> (bool, String, String) {
        let mut child = self.command(args).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    pub(crate) async fn fed(&self, args: &[&str], input: &str, wanted: &str) -> String {
        let (ok, out, err) = self.run(args, input).await;
        assert!(
            ok && out.contains(wanted),
            "kubectl {args:?} said\n{out}{err}\nwanted: {wanted}"
        );
        out
    }

    pub(crate) async fn says(&self, args: &[&str], wanted: &str) -> String {
        self.fed(args, "", wanted).await
    }

    pub(crate) async fn fed_refused(&self, args: &[&str], input: &str, wanted: &str) {
        let (ok, out, err) = self.run(args, input).await;
        assert!(
            !ok && err.contains(wanted),
            "kubectl {args:?} said\n{out}{err}\nwanted: {wanted}"
        );
    }

    pub(crate) async fn refused(&self, args: &[&str], wanted: &str) {
        self.fed_refused(args, "", wanted).await;
    }

    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.says(args, "").await).unwrap()
    }

    pub(crate) fn watching(&self, args: &[&str]) -> Watching {
        Watching(self.command(args).spawn().unwrap())
    }
}

/// A kubectl that keeps running until dropped.
pub(crate) struct Watching(tokio::process::Child);

impl Watching {
    pub(crate) async fn line(mut self, wanted: &str) {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return;
            }
        }
        panic!("the watch ended without {wanted}");
    }
}
