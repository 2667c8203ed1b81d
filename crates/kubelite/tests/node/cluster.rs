//! A cluster of two nodes, and how to ask it things.

use super::api::Api;
use herder_node::fabric::{Fabric, FabricConfig, NodeConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A cluster of two nodes.
pub(crate) struct Cluster {
    pub(crate) api: Arc<Api>,
    pub(crate) fabric: Fabric,
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
    pub(crate) root: bool,
}

pub(crate) fn sh(script: &str) -> Value {
    json!({"name": "c", "image": "host", "command": ["/bin/sh", "-c", script]})
}

impl Cluster {
    pub(crate) async fn start(dir: &Path, root: bool) -> Self {
        std::fs::create_dir_all(dir.join("kubelite")).unwrap();
        let api = Api::new();
        let socket = dir.join("kubelite/api.sock");
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn({
            let api = Arc::clone(&api);
            async move { api.serve(&socket).await }
        });
        let ca =
            json!({"metadata": {"name": "kube-root-ca.crt", "namespace": "test"}, "data": {"ca.crt": "CA"}});
        api.put("/api/v1/namespaces/test/configmaps/kube-root-ca.crt", ca);
        // The pods of these tests do what only a privileged namespace allows.
        let namespace = json!({"metadata": {"name": "test",
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
        api.put("/api/v1/namespaces/test", namespace);
        let id = format!("test{}", std::process::id());
        let begun = Instant::now();
        let fabric = Fabric::start(FabricConfig {
            dir: dir.to_owned(),
            exe: std::env::current_exe().unwrap(),
            cluster_id: id.clone(),
        })
        .await
        .unwrap_or_else(|error| panic!("{}", herder_base::chain(&error)));
        println!("fabric up after {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        for (index, name) in [(1, "n1"), (2, "n2")] {
            fabric
                .spawn_node(NodeConfig {
                    nodes: 2,
                    ..NodeConfig::new(name, index, "token")
                })
                .await
                .unwrap();
        }
        Self {
            api,
            fabric,
            dir: dir.to_owned(),
            id,
            root,
        }
    }

    pub(crate) async fn until<T>(&self, what: &str, mut test: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = test() {
                return found;
            }
            if Instant::now() > deadline {
                let pods = self.api.find("/pods/");
                let show = |pod: &Value| format!("{}: {:#}", pod["metadata"]["name"], pod["status"]);
                let pods: Vec<String> = pods.iter().map(show).collect();
                let logs =
                    std::fs::read_to_string(self.dir.join("kubelite/nodes/n1/agent.log")).unwrap_or_default();
                panic!("waited in vain for {what}\n{}\nagent: {logs}", pods.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    pub(crate) async fn phase(&self, pod: &str, phase: &str) -> Value {
        let what = format!("{pod} to be {phase}");
        self.until(&what, || {
            Some(self.api.status(pod)).filter(|status| status["phase"] == phase)
        })
        .await
    }

    pub(crate) async fn ready(&self, pod: &str) -> Value {
        let ready = |status: &Value| {
            let conditions = status["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        self.until(&format!("{pod} to be ready"), || {
            Some(self.api.status(pod)).filter(ready)
        })
        .await
    }

    pub(crate) fn log(&self, pod: &str) -> String {
        let object = self
            .api
            .get(&format!("/api/v1/namespaces/test/pods/{pod}"))
            .unwrap();
        let uid = object["metadata"]["uid"].as_str().unwrap();
        let path = self.dir.join(format!("kubelite/pods/{uid}/c/0.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.splitn(4, ' ').nth(3))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Runs a script to its end; its output.
    pub(crate) async fn script(&self, name: &str, spec: Value) -> String {
        let mut spec = spec;
        spec["restartPolicy"] = json!("Never");
        self.api.pod(name, "n1", spec);
        let over = |status: &Value| status["phase"] == "Succeeded" || status["phase"] == "Failed";
        let status = self
            .until(&format!("{name} to end"), || {
                Some(self.api.status(name)).filter(over)
            })
            .await;
        let log = self.log(name);
        assert_eq!(status["phase"], "Succeeded", "{status:#}\n{log}");
        log
    }

    pub(crate) async fn remove(&self, pod: &str) {
        self.api.end(pod, 1);
        let path = format!("/api/v1/namespaces/test/pods/{pod}");
        self.until(&format!("{pod} to go"), || {
            self.api.get(&path).is_none().then_some(())
        })
        .await;
    }

    pub(crate) async fn get(&self, at: &str) -> std::io::Result<String> {
        let mut stream = self.fabric.dial(at.parse().unwrap()).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
    }
}

/// Processes whose command line contains `text`, this one aside.
pub(crate) fn processes(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let pid = entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0);
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        pid != 0 && pid != std::process::id() && line.contains(text)
    })
    .count()
}
