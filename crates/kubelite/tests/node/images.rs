//! Containers that run from images: a static busybox, and what images say about how they are run.

use super::cluster::Cluster;
use herder_images::{Build, Copy, Reference, Store, build};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;

/// Debian's busybox-static, the program of these images.
const BUSYBOX: &str = "/bin/busybox";

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(ToString::to_string).collect())
}

impl Cluster {
    fn image(&self, name: &str, what: &Build) {
        let store = Store::open(self.dir.join("images")).unwrap();
        let name: Reference = name.parse().unwrap();
        build(&store, what, &name, Timestamp::UNIX_EPOCH)
            .unwrap_or_else(|error| panic!("{}", herder_base::chain(&error)));
    }

    pub(crate) async fn images(&self) {
        if !Path::new(BUSYBOX).is_file() {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "busybox-static is needed here"
            );
            println!("busybox-static is not on this machine: nothing runs from images");
            return;
        }
        let etc = self.dir.join("image-etc");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(
            etc.join("passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(etc.join("group"), "root:x:0:\nweb:x:102:\nssl:x:110:web\n").unwrap();
        std::fs::write(etc.join("hosts"), "the image's\n").unwrap();
        std::os::unix::fs::symlink("/etc/nothing", etc.join("resolv.conf")).unwrap();
        let base = Build {
            copies: ["/bin/busybox", "/bin/sh"]
                .map(|target| Copy {
                    source: BUSYBOX.into(),
                    target: target.into(),
                })
                .into_iter()
                .chain([Copy {
                    source: etc,
                    target: "/etc".into(),
                }])
                .collect(),
            entrypoint: words(&["/bin/sh", "-c"]),
            command: words(&["echo the image says $GREETING from $(pwd) as $(/bin/busybox id -u) at $HOME"]),
            env: vec!["GREETING=hello".to_owned(), "PATH=/bin".to_owned()],
            workdir: Some("/work".to_owned()),
            ..Build::default()
        };
        self.image("shop:1", &base);
        self.entrypoints().await;
        self.image_users(&base).await;
        self.policies().await;
    }

    /// Entrypoint, command, arguments, environment and folder as Kubernetes joins them.
    async fn entrypoints(&self) {
        let plain = json!({"name": "c", "image": "shop:1", "imagePullPolicy": "Never"});
        let run = async |name: &str, more: Value| {
            let mut container = plain.clone();
            for (key, value) in more.as_object().unwrap() {
                container[key.as_str()] = value.clone();
            }
            let log = self.script(name, json!({"containers": [container]})).await;
            let id = self.api.status(name)["containerStatuses"][0]["imageID"].clone();
            assert!(
                id.as_str().unwrap().starts_with("docker.io/library/shop@sha256:"),
                "{id}"
            );
            self.remove(name).await;
            log
        };
        assert_eq!(
            run("asis", json!({})).await,
            "the image says hello from /work as 0 at /root\n"
        );
        let log = run(
            "args",
            json!({"args": ["echo $GREETING $(NAME)"],
            "env": [{"name": "NAME", "value": "pod"}, {"name": "GREETING", "value": "$(NAME)s"}]}),
        );
        assert_eq!(log.await, "pods pod\n");
        let script = "cat /etc/hosts | head -1; cat /etc/resolv.conf | grep -c nameserver; ls -d /usr /home 2>&1 | grep -c /; \
                      echo x > /new && cat /new; cat /etc/hostname; pwd; ls /work /etc | wc -l; test -e /usr/local/bin/herder; echo $?; \
                      echo gone > /etc/group && cat /etc/group; rm /etc/passwd && ls /etc/passwd; mount | grep -c ' / '";
        let script = ["cat", "grep", "ls", "head", "wc", "mount", "rm"]
            .iter()
            .fold(script.to_owned(), |text, tool| {
                text.replace(&format!("{tool} "), &format!("/bin/busybox {tool} "))
            });
        let log = run(
            "command",
            json!({"command": ["/bin/sh", "-c", script], "workingDir": "/"}),
        )
        .await;
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            lines[..3],
            ["# Kubernetes-managed hosts file.", "1", "2"],
            "{log}"
        );
        assert_eq!(lines[3..6], ["x", "command", "/"], "{log}");
        assert!(lines.contains(&"1") && lines.contains(&"gone"), "{log}");
        assert!(log.contains("No such file"), "{log}");
        // The next container finds the image as it was.
        let script = "/bin/busybox cat /etc/group; test -e /new || echo clean";
        let again = run("again", json!({"args": [script]})).await;
        assert!(
            again.contains("ssl:x:110:web") && again.ends_with("clean\n"),
            "{again}"
        );
        let probe = json!({"containers": [{"name": "c", "image": "shop:1", "command": ["/bin/busybox", "sleep", "1000"],
            "securityContext": {"readOnlyRootFilesystem": true},
            "volumeMounts": [{"name": "v", "mountPath": "/data/deep"}],
            "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "echo x > /data/deep/x && ! echo y > /y"]},
                "periodSeconds": 1}}],
            "volumes": [{"name": "v", "emptyDir": {}}]});
        self.api.pod("probed", "n1", probe);
        self.ready("probed").await;
        self.remove("probed").await;
    }

    async fn image_users(&self, base: &Build) {
        let as_web = Build {
            user: Some("web".to_owned()),
            command: words(&["echo $(/bin/busybox id -u) $(/bin/busybox id -g) $(/bin/busybox id -G) $HOME"]),
            ..base.clone()
        };
        self.image("web:1", &as_web);
        let container = json!({"name": "c", "image": "web:1"});
        if self.root {
            let log = self.script("web", json!({"containers": [container]})).await;
            assert_eq!(log, "101 102 102 110 /srv\n");
            self.remove("web").await;
            let mut other = container.clone();
            other["securityContext"] = json!({"runAsUser": 7, "runAsNonRoot": true});
            let log = self.script("seven", json!({"containers": [other]})).await;
            assert_eq!(log, "7 0 0 /\n");
            self.remove("seven").await;
        }
        let mut cannot = container;
        cannot["securityContext"] = json!({"runAsNonRoot": true});
        self.api.pod("unsure", "n1", json!({"containers": [cannot]}));
        let status = self.waits("unsure", "CreateContainerConfigError").await;
        let says = status["containerStatuses"][0]["state"]["waiting"]["message"].to_string();
        assert!(says.contains("non-numeric user (web)"), "{says}");
        self.remove("unsure").await;
    }

    async fn policies(&self) {
        for (name, image, policy, want) in [
            ("never", "absent:1", "Never", "ErrImageNeverPull"),
            ("invalid", "In Valid", "IfNotPresent", "InvalidImageName"),
            ("always", "shop:1", "Always", "ImagePullBackOff"),
        ] {
            let container = json!({"name": "c", "image": image, "imagePullPolicy": policy});
            self.api.pod(name, "n1", json!({"containers": [container]}));
            self.waits(name, want).await;
            self.remove(name).await;
        }
        // What is missing comes by an import: the pod starts without being made again.
        let container = json!({"name": "c", "image": "late:1", "args": ["echo late"]});
        let spec = json!({"containers": [container], "restartPolicy": "Never"});
        self.api.pod("late", "n1", spec);
        self.waits("late", "ImagePullBackOff").await;
        self.remove("late").await;
    }

    async fn waits(&self, pod: &str, reason: &str) -> Value {
        let is = |status: &Value| status["containerStatuses"][0]["state"]["waiting"]["reason"] == reason;
        self.until(&format!("{pod} to be {reason}"), || {
            Some(self.api.status(pod)).filter(is)
        })
        .await
    }
}
