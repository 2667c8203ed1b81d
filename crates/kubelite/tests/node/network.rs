//! What nodes, services and the network between pods are put through.

use super::cluster::{Cluster, processes, sh};
use herder_node::fabric::{NodeConfig, Protocol, ServiceEntry, ServicePortEntry, ServiceSnapshot};
use serde_json::json;
use std::path::Path;
use std::time::Instant;
use tokio::io::AsyncWriteExt;

fn serve(text: &str) -> String {
    format!(
        "exec python3 -c \"import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n  def do_GET(s):\n    \
         s.send_response(200); s.end_headers(); s.wfile.write(b'{text}')\nh.HTTPServer(('',8080),H).serve_forever()\""
    )
}

impl Cluster {
    pub(crate) async fn registers(&self) {
        for name in ["n1", "n2"] {
            let node = self
                .until("the node", || {
                    self.api
                        .get(&format!("/api/v1/nodes/{name}"))
                        .filter(|node| node["status"].is_object())
                })
                .await;
            let pid = node["metadata"]["annotations"]["herder.dev/agent-pid"]
                .as_str()
                .unwrap();
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
            assert!(command.contains("internal\0node"), "{command}");
            let conditions = node["status"]["conditions"].as_array().unwrap();
            assert!(
                conditions
                    .iter()
                    .any(|c| c["type"] == "Ready" && c["status"] == "True")
            );
            let limits = conditions.iter().find(|c| c["type"] == "ResourceLimits").unwrap();
            assert_eq!(limits["status"], if self.root { "True" } else { "False" });
        }
    }

    pub(crate) async fn talks(&self) {
        for (name, node) in [("web1", "n1"), ("web2", "n2")] {
            let mut container = sh(&serve(name));
            container["readinessProbe"] = json!({"httpGet": {"port": 8080}});
            self.api.pod(name, node, json!({"containers": [container]}));
        }
        let mut backends: Vec<std::net::SocketAddr> = Vec::new();
        for name in ["web1", "web2"] {
            let status = self.ready(name).await;
            backends.push(
                format!("{}:8080", status["podIP"].as_str().unwrap())
                    .parse()
                    .unwrap(),
            );
        }
        assert_eq!(self.get(&backends[0].to_string()).await.unwrap(), "web1");
        assert_eq!(self.get(&backends[1].to_string()).await.unwrap(), "web2");
        let service = |backends: Vec<std::net::SocketAddr>| ServiceSnapshot {
            services: vec![ServiceEntry {
                namespace: "test".into(),
                name: "web".into(),
                cluster_ip: "10.96.1.1".parse().ok(),
                ports: vec![ServicePortEntry {
                    name: None,
                    port: 80,
                    protocol: Protocol::Tcp,
                    backends,
                    sticky: false,
                }],
                ..ServiceEntry::default()
            }],
        };
        self.fabric.set_services(service(backends.clone())).await.unwrap();
        let log = self
            .script("client", json!({"containers": [sh(
                "python3 -c \"import urllib.request as u\nfor n in ['web','web.test','web.test.svc.cluster.local','web']: \
                 print(u.urlopen('http://'+n+'/').read().decode())\"; getent hosts no-such-name || echo none",
            )]}))
            .await;
        let mut seen: Vec<&str> = log.lines().collect();
        assert_eq!(seen.pop(), Some("none"));
        seen.sort_unstable();
        assert_eq!(seen, ["web1", "web1", "web2", "web2"]);
        // An address the control plane itself listens on, reached from a pod.
        let listener = self
            .fabric
            .listen("10.96.0.2:8200".parse().unwrap())
            .await
            .unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
        };
        let asking = self.script(
            "asks",
            json!({"containers": [sh("python3 -c \"import socket; s=socket.create_connection(('10.96.0.2',8200)); \
                print(s.recv(9).decode())\"")]}),
        );
        let ((), said) = tokio::join!(answering, asking);
        assert_eq!(said, "hello\n");
        // A dead backend is passed over.
        let dead = "10.42.1.250:1".parse().unwrap();
        self.fabric
            .set_services(service(vec![dead, backends[1]]))
            .await
            .unwrap();
        assert_eq!(self.get("10.96.1.1:80").await.unwrap(), "web2");
        self.fabric
            .set_services(ServiceSnapshot::default())
            .await
            .unwrap();
        assert_eq!(
            self.get("10.96.1.1:80").await.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
        for pod in ["web1", "web2", "client", "asks"] {
            self.remove(pod).await;
        }
    }

    pub(crate) async fn udp(&self) {
        let mut server = sh("exec python3 -c \"import socket as s
u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.bind(('',9000)); open('/tmp/up','w')
while 1: d,a=u.recvfrom(99); u.sendto(b'<'+d+b'>',a)\"");
        server["readinessProbe"] = json!({"exec": {"command": ["test", "-e", "/tmp/up"]}});
        self.api.pod("echo", "n2", json!({"containers": [server]}));
        let ip = self.ready("echo").await["podIP"].as_str().unwrap().to_owned();
        let entry = ServiceEntry {
            namespace: "test".into(),
            name: "echo".into(),
            cluster_ip: "10.96.1.9".parse().ok(),
            ports: vec![ServicePortEntry {
                name: Some("u".into()),
                port: 90,
                protocol: Protocol::Udp,
                backends: vec![format!("{ip}:9000").parse().unwrap()],
                sticky: false,
            }],
            ..ServiceEntry::default()
        };
        self.fabric
            .set_services(ServiceSnapshot {
                services: vec![entry],
            })
            .await
            .unwrap();
        let ask = sh("python3 -c \"import socket as s
u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.settimeout(5); u.connect(('echo',90))
for m in [b'a',b'b']: u.send(m); print(u.recv(99).decode())\"");
        assert_eq!(
            self.script("asks", json!({"containers": [ask]})).await,
            "<a>\n<b>\n"
        );
        self.fabric
            .set_services(ServiceSnapshot::default())
            .await
            .unwrap();
        self.remove("echo").await;
        self.remove("asks").await;
    }

    pub(crate) async fn many(&self) {
        let begun = Instant::now();
        let names: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            let node = if n % 2 == 0 { "n1" } else { "n2" };
            self.api.pod(
                name,
                node,
                json!({"containers": [sh("trap 'exit 0' TERM; sleep 1000 & wait")]}),
            );
        }
        for name in &names {
            self.ready(name).await;
        }
        println!(
            "30 pods ready after {:.0} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
        let agent = self.api.get("/api/v1/nodes/n1").unwrap();
        for (what, pid) in [
            (
                "agent",
                agent["metadata"]["annotations"]["herder.dev/agent-pid"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            ),
            ("fabric", self.fabric.pid().to_string()),
        ] {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = |key: &str| {
                rollup
                    .lines()
                    .find(|line| line.starts_with(key))
                    .unwrap_or_default()
                    .to_owned()
            };
            println!(
                "{what}: {} {} {}",
                line("Rss"),
                line("Pss:"),
                line("Private_Dirty")
            );
        }
        let begun = Instant::now();
        for name in &names {
            self.api.end(name, 5);
        }
        for name in &names {
            let path = format!("/api/v1/namespaces/test/pods/{name}");
            self.until(&format!("{name} to go"), || {
                self.api.get(&path).is_none().then_some(())
            })
            .await;
        }
        println!("and gone after {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    }

    pub(crate) async fn killed(&self) {
        let marker = format!("987{}", std::process::id());
        for name in ["k1", "k2"] {
            self.api.pod(
                name,
                "n2",
                json!({"containers": [sh(&format!("sleep {marker} & wait"))]}),
            );
            self.ready(name).await;
        }
        self.until("the sleeps", || (processes(&marker) >= 2).then_some(()))
            .await;
        let mut exits = self.fabric.subscribe_node_exits();
        let node = self.api.get("/api/v1/nodes/n2").unwrap();
        let pid: i32 = node["metadata"]["annotations"]["herder.dev/agent-pid"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        let exit = exits.recv().await.unwrap();
        assert_eq!((exit.name.as_str(), exit.expected), ("n2", false));
        assert!(exit.reason.contains("SIGKILL"), "{}", exit.reason);
        self.until("the sleeps to end", || (processes(&marker) == 0).then_some(()))
            .await;
        for name in ["k1", "k2"] {
            self.api.delete(&format!("/api/v1/namespaces/test/pods/{name}"));
        }
        // The same name may come back.
        let node = NodeConfig {
            nodes: 2,
            ..NodeConfig::new("n2", 2, "token")
        };
        self.fabric.spawn_node(node).await.unwrap();
        self.api.pod(
            "again",
            "n2",
            json!({"containers": [sh(&format!("sleep {marker} & wait"))]}),
        );
        self.ready("again").await;
    }

    pub(crate) async fn nothing_left(&self) {
        let pid = self.fabric.pid();
        let agents: Vec<String> = self
            .api
            .find("/api/v1/nodes/")
            .iter()
            .map(|node| {
                node["metadata"]["annotations"]["herder.dev/agent-pid"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(agents.len(), 2);
        self.fabric.shutdown().await;
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let mark = format!("987{}", std::process::id());
        assert_eq!(processes(&mark), 0);
        for pid in agents {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "agent {pid} stays");
        }
        assert_eq!(processes(&self.id), 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.to_str().unwrap()), "{mounts}");
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            assert!(!hierarchy.path().join(format!("herder-{}", self.id)).exists());
        }
        let nodes: Vec<_> = std::fs::read_dir(self.dir.join("kubelite/nodes/n1"))
            .unwrap()
            .flatten()
            .collect();
        assert!(
            nodes.iter().all(|entry| entry.file_name() == "agent.log"),
            "{nodes:?}"
        );
    }
}
