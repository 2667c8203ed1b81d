//! What the agents are put through.

use super::api::Api;
use herder_kubelite::fabric::{
    Fabric, FabricConfig, NodeConfig, Protocol, ServiceEntry, ServicePortEntry, ServiceSnapshot,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// A cluster of two nodes.
struct Cluster {
    api: Arc<Api>,
    fabric: Fabric,
    dir: PathBuf,
    id: String,
    root: bool,
}

pub(crate) async fn run(dir: &Path, root: bool, only: Option<&str>) {
    let who = if root { "root" } else { "user" };
    let cluster = Cluster::start(dir, root).await;
    macro_rules! scene {
        ($($name:ident),*) => {$(
            if only.is_none_or(|only| stringify!($name).contains(only)) {
                let begun = Instant::now();
                cluster.$name().await;
                println!("test {who}::{} ... ok ({:.2} s)", stringify!($name), begun.elapsed().as_secs_f64());
            }
        )*};
    }
    scene!(
        registers,
        environment,
        talks,
        volumes,
        init_and_sidecar,
        probes,
        crashes,
        bad_pods,
        ends,
        memory,
        users,
        claims,
        udp,
        many,
        killed
    );
    cluster.nothing_left().await;
    println!("test {who}::nothing_left ... ok");
    for killed in ["the control plane", "the fabric"] {
        plug_pulled(&dir.join(killed.rsplit(' ').next().unwrap()), killed).await;
        println!("test {who}::plug_pulled_on {killed} ... ok");
    }
}

/// A process with a cluster, to be killed: prints the fabric's process id when a pod runs.
pub(crate) async fn victim(dir: &Path) {
    let cluster = Cluster::start(dir, nix::unistd::geteuid().is_root()).await;
    let marker = std::env::var("HERDER_TEST_MARKER").unwrap();
    cluster.api.pod(
        "v",
        "n1",
        json!({"containers": [sh(&format!("sleep {marker} & wait"))]}),
    );
    cluster.ready("v").await;
    println!("pid {}", cluster.fabric.pid());
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// SIGKILL on the control plane or on the fabric leaves no process and no mount.
async fn plug_pulled(dir: &Path, what: &str) {
    // A name with what mount options and socket paths stumble over.
    let dir = dir.join(format!("a,b:c {}", "long".repeat(25)));
    std::fs::create_dir_all(&dir).unwrap();
    let marker = format!("986{}", std::process::id());
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .env("HERDER_TEST_VICTIM", &dir)
        .env("HERDER_TEST_MARKER", &marker)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let fabric = loop {
        let line = lines.next_line().await.unwrap().expect("the cluster to come up");
        if let Some(pid) = line.strip_prefix("pid ") {
            break pid.parse::<i32>().unwrap();
        }
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes(&marker) == 0 {
        assert!(Instant::now() < deadline, "the pod's process does not show");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = if what == "the fabric" {
        fabric
    } else {
        i32::try_from(child.id().unwrap()).unwrap()
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes(&marker) + processes(&format!("internal\0fabric\0{}", dir.display())) > 0 {
        assert!(Instant::now() < deadline, "processes stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("longlong"), "{mounts}");
    if what != "the fabric" {
        // What a killed control plane cannot remove, the next start of the same cluster does.
        herder_kubelite::fabric::remove_cgroups(&format!("test{pid}"));
    } else {
        child.kill().await.unwrap();
        herder_kubelite::fabric::remove_cgroups(&format!("test{}", child.id().unwrap_or_default()));
    }
}

fn sh(script: &str) -> Value {
    json!({"name": "c", "image": "host", "command": ["/bin/sh", "-c", script]})
}

fn serve(text: &str) -> String {
    format!(
        "exec python3 -c \"import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n  def do_GET(s):\n    \
         s.send_response(200); s.end_headers(); s.wfile.write(b'{text}')\nh.HTTPServer(('',8080),H).serve_forever()\""
    )
}

impl Cluster {
    async fn start(dir: &Path, root: bool) -> Self {
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

    async fn until<T>(&self, what: &str, mut test: impl FnMut() -> Option<T>) -> T {
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

    async fn phase(&self, pod: &str, phase: &str) -> Value {
        let what = format!("{pod} to be {phase}");
        self.until(&what, || {
            Some(self.api.status(pod)).filter(|status| status["phase"] == phase)
        })
        .await
    }

    async fn ready(&self, pod: &str) -> Value {
        let ready = |status: &Value| {
            let conditions = status["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        self.until(&format!("{pod} to be ready"), || {
            Some(self.api.status(pod)).filter(ready)
        })
        .await
    }

    fn log(&self, pod: &str) -> String {
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
    async fn script(&self, name: &str, spec: Value) -> String {
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

    async fn remove(&self, pod: &str) {
        self.api.end(pod, 1);
        let path = format!("/api/v1/namespaces/test/pods/{pod}");
        self.until(&format!("{pod} to go"), || {
            self.api.get(&path).is_none().then_some(())
        })
        .await;
    }

    async fn get(&self, at: &str) -> std::io::Result<String> {
        let mut stream = self.fabric.dial(at.parse().unwrap()).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text.rsplit("\r\n").next().unwrap_or_default().to_owned())
    }

    async fn registers(&self) {
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

    async fn environment(&self) {
        let config =
            json!({"metadata": {"name": "conf", "namespace": "test"}, "data": {"a": "1", "b": "two"}});
        self.api.put("/api/v1/namespaces/test/configmaps/conf", config);
        let begun = Instant::now();
        let mut container = sh(
            "echo $A $B $NAME $IP $LIMIT $(cat /etc/hostname) $(whoami) $KUBERNETES_SERVICE_HOST; pwd; \
             cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; \
             cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; \
             yes | head -1; ls /home /root | wc -l; cat /etc/shadow 2>/dev/null | wc -c; herder --list && echo herder; \
             touch /usr/local/x /etc/x /tmp/x && echo writable; echo words > /dev/termination-log; echo err >&2",
        );
        container["env"] = json!([
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}},
            {"name": "B", "value": "$(A)$(b)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ]);
        container["envFrom"] = json!([{"configMapRef": {"name": "conf"}}]);
        container["resources"] = json!({"limits": {"memory": "64Mi"}});
        container["workingDir"] = json!("/somewhere/new");
        let log = self.script("env", json!({"containers": [container]})).await;
        println!(
            "first pod over after {:.0} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
        let status = self.api.status("env");
        let ip = status["podIP"].as_str().unwrap();
        let mut lines = log.lines();
        assert_eq!(
            lines.next(),
            Some(format!("1 1two env {ip} 64 env root 10.96.0.1").as_str()),
            "{log}"
        );
        for want in ["/somewhere/new", "test", "a.b.c", "y"] {
            assert_eq!(lines.next(), Some(want), "{log}");
        }
        assert!(
            log.contains("herder\nwritable\n") && log.contains("err\n"),
            "{log}"
        );
        let ended = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&ended["reason"], &ended["message"]),
            (&json!("Completed"), &json!("words\n")),
            "{status:#}"
        );
        self.remove("env").await;
    }

    async fn talks(&self) {
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

    async fn volumes(&self) {
        let put = |value: &str| {
            let config = json!({"metadata": {"name": "live", "namespace": "test"}, "data": {"key": value}});
            self.api.put("/api/v1/namespaces/test/configmaps/live", config);
        };
        put("old");
        let secret = json!({"metadata": {"name": "sec", "namespace": "test"}, "data": {"s": "aGlkZGVu"}});
        self.api.put("/api/v1/namespaces/test/secrets/sec", secret);
        let host = self.dir.join("shared");
        let mut container = sh(
            "cat /live/key /sec/s /pod/labels; echo; stat -c %a /sec/..data/s; df -k /mem | tail -1 \
             | awk '{print $2}'; echo data > /disk/file; cat /one; echo from-pod > /host/out; \
             (echo x > /live/y) 2>/dev/null || echo read-only; while [ $(cat /live/key) = old ]; do sleep 0.01; done; \
             cat /live/key",
        );
        container["volumeMounts"] = json!([
            {"name": "live", "mountPath": "/live"}, {"name": "sec", "mountPath": "/sec"},
            {"name": "pod", "mountPath": "/pod"}, {"name": "mem", "mountPath": "/mem"},
            {"name": "disk", "mountPath": "/disk"}, {"name": "host", "mountPath": "/host"},
            {"name": "live", "mountPath": "/one", "subPath": "key"},
        ]);
        let spec = json!({"restartPolicy": "Never", "containers": [container], "volumes": [
            {"name": "live", "configMap": {"name": "live"}},
            {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 0o400}},
            {"name": "pod", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "disk", "emptyDir": {}},
            {"name": "host", "hostPath": {"path": host, "type": "DirectoryOrCreate"}},
        ]});
        self.api.pod("vols", "n1", spec);
        self.until("the script", || {
            self.log("vols").contains("read-only").then_some(())
        })
        .await;
        put("new");
        self.phase("vols", "Succeeded").await;
        let log = self.log("vols");
        assert_eq!(
            log, "oldhiddenapp=\"vols\"\n400\n1024\noldread-only\nnew\n",
            "{log}"
        );
        assert_eq!(std::fs::read_to_string(host.join("out")).unwrap(), "from-pod\n");
        self.remove("vols").await;
    }

    async fn init_and_sidecar(&self) {
        let mut spec = json!({"containers": [sh("cat /v/init; until cat /v/side; do sleep 0.01; done")],
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
        "initContainers": [
            {"name": "i", "image": "host", "command": ["sh", "-c", "echo init > /v/init"]},
            {"name": "s", "image": "host", "restartPolicy": "Always", "startupProbe":
                {"exec": {"command": ["test", "-e", "/v/side"]}, "periodSeconds": 1},
             "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 0.1; echo side > /v/side; while :; do sleep 0.01; done"]},
        ]});
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().unwrap() {
                container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
            }
        }
        let log = self.script("order", spec).await;
        assert_eq!(log, "init\nside\n");
        let status = self.api.status("order");
        assert_eq!(
            status["initContainerStatuses"][1]["state"]["terminated"]["exitCode"], 0,
            "{status:#}"
        );
        self.remove("order").await;

        let bad = json!({"restartPolicy": "Never", "containers": [sh("true")], "initContainers":
            [{"name": "i", "image": "host", "command": ["sh", "-c", "echo denied path > /dev/termination-log; exit 3"]}]});
        self.api.pod("denied", "n1", bad);
        let status = self.phase("denied", "Failed").await;
        assert_eq!(
            status["initContainerStatuses"][0]["state"]["terminated"]["message"],
            "denied path\n"
        );
        self.remove("denied").await;
    }

    async fn probes(&self) {
        let mut container = sh("touch /tmp/ok; trap 'exit 0' TERM; while :; do sleep 0.02; done");
        container["livenessProbe"] = json!({"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1});
        container["readinessProbe"] = json!({"exec": {"command": ["sh", "-c", "test -e /tmp/ok || { echo not yet; exit 1; }"]}, "periodSeconds": 1, "failureThreshold": 1});
        container["lifecycle"] =
            json!({"postStart": {"exec": {"command": ["sh", "-c", "echo hook > /tmp/hook"]}}});
        self.api
            .pod("probed", "n2", json!({"containers": [container.clone()]}));
        self.ready("probed").await;
        self.remove("probed").await;

        container["command"][2] = json!(
            "touch /tmp/ok; trap 'exit 0' TERM; n=0; while :; do sleep 0.02; n=$((n+1)); test $n = 20 && rm /tmp/ok; done"
        );
        self.api.pod("sick", "n2", json!({"containers": [container]}));
        self.until("a restart", || {
            let status = self.api.status("sick");
            (status["containerStatuses"][0]["restartCount"] == 1).then_some(())
        })
        .await;
        let events = self.api.find("/events/");
        assert!(events.iter().any(|event| {
            event["reason"] == "Unhealthy"
                && event["message"]
                    .as_str()
                    .unwrap()
                    .contains("Liveness probe failed")
        }));
        self.remove("sick").await;
    }

    async fn crashes(&self) {
        let mut container = sh("echo last words; exit 7");
        container["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
        self.api.pod("crash", "n1", json!({"containers": [container]}));
        let back_off = |status: &Value| {
            status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        };
        let status = self
            .until("a back-off", || Some(self.api.status("crash")).filter(back_off))
            .await;
        let container = &status["containerStatuses"][0];
        // The first restart is immediate.
        assert_eq!(container["restartCount"], 1, "{status:#}");
        let last = &container["lastState"]["terminated"];
        assert_eq!(
            (&last["exitCode"], &last["message"]),
            (&json!(7), &json!("last words"))
        );
        assert_eq!(status["phase"], "Running");
        self.remove("crash").await;
    }

    async fn bad_pods(&self) {
        for (name, container, want) in [
            (
                "noimage",
                json!({"name": "c", "image": "nginx:1", "command": ["x"]}),
                "ImagePullBackOff",
            ),
            (
                "noexe",
                json!({"name": "c", "image": "host", "command": ["/no/such"]}),
                "CrashLoopBackOff",
            ),
            (
                "nocmd",
                json!({"name": "c", "image": "host"}),
                "CreateContainerConfigError",
            ),
            (
                "nosecret",
                json!({"name": "c", "image": "host", "command": ["true"],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "nope", "key": "k"}}}]}),
                "CreateContainerConfigError",
            ),
        ] {
            self.api.pod(name, "n1", json!({"containers": [container]}));
            let is = |status: &Value| status["containerStatuses"][0]["state"]["waiting"]["reason"] == want;
            let status = self
                .until(&format!("{name} to be {want}"), || {
                    Some(self.api.status(name)).filter(is)
                })
                .await;
            if name == "noexe" {
                let message = status["containerStatuses"][0]["lastState"]["terminated"]["message"]
                    .as_str()
                    .unwrap();
                assert!(message.contains("/no/such"), "{message}");
            }
        }
        // What was missing appears: the pod starts.
        let secret = json!({"metadata": {"name": "nope", "namespace": "test"}, "data": {"k": "eA=="}});
        self.api.put("/api/v1/namespaces/test/secrets/nope", secret);
        let ran = |status: &Value| status["containerStatuses"][0]["containerID"].is_string();
        self.until("nosecret to start", || {
            Some(self.api.status("nosecret")).filter(ran)
        })
        .await;
        for pod in ["noimage", "noexe", "nocmd", "nosecret"] {
            self.remove(pod).await;
        }
    }

    async fn ends(&self) {
        let mut container = sh("trap 'echo bye > /host/bye; exit 0' TERM; while :; do sleep 0.01; done");
        container["lifecycle"] =
            json!({"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /host/hook"]}}});
        container["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
        let host = self.dir.join("end");
        let spec = json!({"containers": [container], "volumes": [
            {"name": "host", "hostPath": {"path": host, "type": "DirectoryOrCreate"}}]});
        self.api.pod("polite", "n1", spec);
        self.ready("polite").await;
        self.api.end("polite", 20);
        self.until("polite to go", || {
            self.api
                .get("/api/v1/namespaces/test/pods/polite")
                .is_none()
                .then_some(())
        })
        .await;
        assert!(host.join("bye").exists() && host.join("hook").exists());

        let spec = json!({"activeDeadlineSeconds": 1, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [sh("sleep 1000")]});
        self.api.pod("late", "n1", spec);
        assert_eq!(self.phase("late", "Failed").await["reason"], "DeadlineExceeded");
        self.remove("late").await;
    }

    async fn memory(&self) {
        if !self.root {
            return;
        }
        let mut container = sh("python3 -c 'x=bytearray(200<<20)'");
        container["command"] = json!(["python3", "-c", "x=bytearray(300<<20)"]);
        container["resources"] = json!({"limits": {"memory": "32Mi"}});
        self.api.pod(
            "greedy",
            "n1",
            json!({"restartPolicy": "Never", "containers": [container]}),
        );
        let status = self.phase("greedy", "Failed").await;
        let ended = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&ended["reason"], &ended["exitCode"]),
            (&json!("OOMKilled"), &json!(137)),
            "{status:#}"
        );
        self.remove("greedy").await;
    }

    async fn users(&self) {
        let mut container = sh("id -u; id -g; touch /x 2>/dev/null || echo ro");
        container["securityContext"] =
            json!({"runAsUser": 1234, "runAsGroup": 99, "readOnlyRootFilesystem": true});
        if self.root {
            assert_eq!(
                self.script("other", json!({"containers": [container]})).await,
                "1234\n99\nro\n"
            );
        } else {
            self.api.pod("other", "n1", json!({"containers": [container]}));
            let refused = |status: &Value| {
                let waiting = &status["containerStatuses"][0]["state"]["waiting"];
                waiting["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("run as root"))
            };
            self.until("a refusal", || Some(self.api.status("other")).filter(refused))
                .await;
        }
        self.remove("other").await;
    }

    async fn claims(&self) {
        let volume = self.dir.join("volumes/test/data");
        let pv = json!({"metadata": {"name": "pv1"}, "spec": {"hostPath": {"path": volume}}});
        self.api.put("/api/v1/persistentvolumes/pv1", pv);
        let mut container = sh("echo kept >> /data/file; cat /data/sub/../file; echo in > /part/x");
        container["volumeMounts"] = json!([{"name": "d", "mountPath": "/data"}, {"name": "d", "mountPath": "/part", "subPath": "sub"}]);
        let spec = json!({"containers": [container], "volumes": [
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]});
        let mut once = spec.clone();
        once["restartPolicy"] = json!("Never");
        self.api.pod("claims", "n1", once);
        // The claim comes late, and unbound at first.
        let claim = "/api/v1/namespaces/test/persistentvolumeclaims/data";
        self.api.put(
            claim,
            json!({"metadata": {"name": "data", "namespace": "test"}, "spec": {}}),
        );
        let waits = |status: &Value| {
            let message = status["containerStatuses"][0]["state"]["waiting"]["message"]
                .as_str()
                .unwrap_or_default();
            message.contains("not bound")
        };
        self.until("the claim to be missed", || {
            Some(self.api.status("claims")).filter(waits)
        })
        .await;
        let bound = json!({"metadata": {"name": "data", "namespace": "test"}, "spec": {"volumeName": "pv1"}});
        self.api.put(claim, bound);
        self.phase("claims", "Succeeded").await;
        self.remove("claims").await;
        assert_eq!(std::fs::read_to_string(volume.join("file")).unwrap(), "kept\n");
        assert_eq!(std::fs::read_to_string(volume.join("sub/x")).unwrap(), "in\n");
    }

    async fn udp(&self) {
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

    async fn many(&self) {
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

    async fn killed(&self) {
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

    async fn nothing_left(&self) {
        let pid = self.fabric.pid();
        self.fabric.shutdown().await;
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let mark = format!("987{}", std::process::id());
        assert_eq!(processes(&mark), 0);
        assert_eq!(processes("internal\0node"), 0);
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

/// Processes whose command line contains `text`, this one aside.
fn processes(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let pid = entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0);
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        pid != 0 && pid != std::process::id() && line.contains(text)
    })
    .count()
}
