//! What single pods are put through.

use super::cluster::{Cluster, sh};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

impl Cluster {
    pub(crate) async fn environment(&self) {
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

    pub(crate) async fn volumes(&self) {
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

    pub(crate) async fn init_and_sidecar(&self) {
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

    pub(crate) async fn probes(&self) {
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

    pub(crate) async fn crashes(&self) {
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

    pub(crate) async fn bad_pods(&self) {
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

    pub(crate) async fn ends(&self) {
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

    /// The API server of these tests checks nothing: what comes through is the agent's to refuse.
    pub(crate) async fn names(&self) {
        let marker = format!("herder-of-a-test-{}", std::process::id());
        for (index, (volume, container, mount)) in [
            ("/etc", "c", "/data"),
            ("../../../../../etc", "c", "/data"),
            ("v", "../../../../c", "/data"),
            ("v", "c", "/data/../../etc"),
            ("v", "c", "/proc/sys"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut spec = json!({"restartPolicy": "Never", "containers": [sh("true")],
                "volumes": [{"name": volume, "emptyDir": {}}]});
            spec["containers"][0]["name"] = json!(container);
            spec["containers"][0]["volumeMounts"] = json!([{"name": volume, "mountPath": mount}]);
            let name = format!("named{index}");
            self.api.pod(&name, "n1", spec);
            let status = self.phase(&name, "Failed").await;
            assert_eq!(status["reason"], "InvalidPod", "{status:#}");
            assert!(
                status["message"]
                    .as_str()
                    .unwrap()
                    .contains("no name that this node"),
                "{status:#}"
            );
            self.remove(&name).await;
        }
        assert!(Path::new("/etc/passwd").exists());

        // Links of the image and of a volume lead nowhere but into the container.
        let mut container = sh("pwd; ls /");
        container["workingDir"] = json!(format!("/var/run/{marker}"));
        let log = self.script("cwd", json!({"containers": [container]})).await;
        assert!(log.starts_with(&format!("/run/{marker}\n")), "{log}");
        assert!(!Path::new("/run").join(&marker).exists());
        self.remove("cwd").await;
        let mut container = sh("true");
        container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v", "subPath": "out/etc"}]);
        let mut first = sh("ln -s / /v/out");
        first["name"] = json!("i");
        first["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let spec = json!({"containers": [container], "initContainers": [first],
            "volumes": [{"name": "v", "emptyDir": {}}]});
        self.api.pod("out", "n1", spec);
        let refused = |status: &Value| {
            let message = status["containerStatuses"][0]["state"]["waiting"]["message"].as_str();
            message.is_some_and(|message| message.contains("leads out of the volume"))
        };
        self.until("a refusal", || Some(self.api.status("out")).filter(refused))
            .await;
        self.remove("out").await;
    }

    pub(crate) async fn bounds(&self) {
        // A volume on disk, a message, the writable layer and a line without an end.
        let mut container = sh("head -c 3000000 /dev/zero > /v/big; sleep 100");
        container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let spec = json!({"restartPolicy": "Never", "containers": [container],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]});
        self.api.pod("big", "n1", spec);
        let status = self.phase("big", "Failed").await;
        assert_eq!(status["reason"], "Evicted", "{status:#}");
        assert_eq!(
            status["message"].as_str().unwrap().trim(),
            "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\"."
        );
        self.remove("big").await;
        let mut container = sh(
            "head -c 1000000 /dev/zero > /dev/termination-log 2>/dev/null || echo words full; \
             head -c 9000000 /dev/zero > /tmp/x 2>/dev/null || echo layer full; \
             head -c 80000000 /dev/zero | tr '\\0' x",
        );
        container["resources"] = json!({"limits": {"ephemeral-storage": "4Mi"}});
        let log = self.script("full", json!({"containers": [container]})).await;
        let pod = self.api.get("/api/v1/namespaces/test/pods/full").unwrap();
        let logs = self.dir.join(format!(
            "kubelite/pods/{}/c",
            pod["metadata"]["uid"].as_str().unwrap()
        ));
        let files: Vec<_> = std::fs::read_dir(&logs).unwrap().flatten().collect();
        let size: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!((30 << 20..60 << 20).contains(&size), "{size}");
        assert_eq!(files.len(), 5);
        assert!(log.contains("xxx"));
        self.remove("full").await;
    }

    pub(crate) async fn memory(&self) {
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

    pub(crate) async fn users(&self) {
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

    pub(crate) async fn node_network(&self) {
        let spec = json!({"hostNetwork": true, "containers": [sh("cat /proc/net/fib_trie")]});
        let log = self.script("outside", spec).await;
        assert!(log.contains("10.42.0.1"), "{log}");
        assert_eq!(self.api.status("outside")["podIP"], "10.42.1.1");
        self.remove("outside").await;
        // Herder's own data is nothing for pods, wherever it is.
        let look = format!("ls {} 2>&1 | wc -w", self.dir.join("kubelite").display());
        let log = self.script("curious", json!({"containers": [sh(&look)]})).await;
        assert!(log.trim() == "0" || !log.contains("nodes"), "{log}");
        self.remove("curious").await;
    }

    pub(crate) async fn claims(&self) {
        let volume = self.dir.join("volumes/test/data");
        let pv = json!({"metadata": {"name": "pv1"}, "spec": {"hostPath": {"path": volume},
            "claimRef": {"namespace": "test", "name": "data", "uid": "claim-1"}}});
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
        let bound = json!({"metadata": {"name": "data", "namespace": "test", "uid": "claim-2"},
            "spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"}});
        // Another claim of the name than the one that the volume is bound to.
        self.api.put(claim, bound.clone());
        let wrong = |status: &Value| {
            let message = status["containerStatuses"][0]["state"]["waiting"]["message"].as_str();
            message.is_some_and(|message| message.contains("is not bound to this claim"))
        };
        self.until("the claim to be refused", || {
            Some(self.api.status("claims")).filter(wrong)
        })
        .await;
        let mut bound = bound;
        bound["metadata"]["uid"] = json!("claim-1");
        self.api.put(claim, bound);
        self.phase("claims", "Succeeded").await;
        self.remove("claims").await;
        assert_eq!(std::fs::read_to_string(volume.join("file")).unwrap(), "kept\n");
        assert_eq!(std::fs::read_to_string(volume.join("sub/x")).unwrap(), "in\n");
    }
}
