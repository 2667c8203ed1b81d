//! Work in pods, by the real kubectl: exec, cp, attach, run, port-forward; by WebSocket and, as older ones do, by SPDY.

use super::Judge;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

const BOX: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: shop}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: host
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    env: [{name: OWN, value: word}]
    workingDir: /usr/share
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
  - name: side
    image: host
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
"#;

const SECRET: &str = "98765";

/// What a program said, and how it ended.
struct Ended {
    out: String,
    err: String,
    code: i32,
}

impl Judge {
    fn command(&self, spdy: bool, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["-n", "shop"])
            .args(args)
            .env("HOME", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if spdy {
            command
                .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
                .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        }
        command
    }

    async fn fed(&self, command: &mut Command, input: &[u8]) -> Ended {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = async {
            // It may not want all of it.
            _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let all = async { tokio::join!(feed, child.wait_with_output()).1.unwrap() };
        let out = tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .expect("kubectl to end");
        Ended {
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
            code: out.status.code().unwrap_or(-1),
        }
    }

    async fn says(&self, spdy: bool, args: &[&str], input: &[u8]) -> Ended {
        self.fed(&mut self.command(spdy, args), input).await
    }

    /// On a terminal, as a person would run it.
    async fn on_terminal(&self, kubectl: &str) -> Ended {
        let line = format!(
            "stty rows 33 cols 99; exec kubectl --kubeconfig {} -n shop {kubectl}",
            self.kubeconfig.display()
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("HOME", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // Kept open: `script` ends with its input.
        let stdin = child.stdin.take();
        let out = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
            .await
            .expect("script to end")
            .unwrap();
        drop(stdin);
        Ended {
            out: String::from_utf8_lossy(&out.stdout).replace('\r', ""),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
            code: out.status.code().unwrap_or(-1),
        }
    }

    pub(crate) async fn work(&self) {
        self.apply("box.yaml", BOX).await;
        self.kubectl("-n shop wait --for=condition=Ready pod/box --timeout=30s")
            .await;
        for spdy in [false, true] {
            self.commands(spdy).await;
            self.ports(spdy).await;
        }
        self.rights().await;
        self.left_alone().await;
        self.terminals().await;
        self.attaching().await;
        self.copies().await;
        self.passed_on().await;
        self.top().await;
        self.guests().await;
        self.kubectl("-n shop delete pod box --now").await;
    }

    async fn commands(&self, spdy: bool) {
        let script = "echo out $OWN $(pwd); echo err >&2; exit 3";
        let said = self
            .says(spdy, &["exec", "box", "--", "sh", "-c", script], b"")
            .await;
        assert_eq!(
            (said.out.as_str(), said.code),
            ("out word /usr/share\n", 3),
            "{}",
            said.err
        );
        let errors = said
            .err
            .replace("Defaulted container \"main\" out of: main, side\n", "");
        assert_eq!(errors, "err\ncommand terminated with exit code 3\n");
        let said = self
            .says(spdy, &["exec", "box", "-c", "side", "--", "true"], b"")
            .await;
        assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("", "", 0));
        // The end of the input is heard.
        let many = "a line of it\n".repeat(200_000);
        let args = ["exec", "-i", "-c", "main", "box", "--"];
        let said = self
            .says(spdy, &[&args[..], &["wc", "-c"]].concat(), many.as_bytes())
            .await;
        assert_eq!(said.out.trim(), many.len().to_string(), "{}", said.err);
        // Nobody reads it, and all that was said arrives.
        let said = self
            .says(spdy, &[&args[..], &["seq", "200000"]].concat(), many.as_bytes())
            .await;
        assert!(
            said.out.ends_with("\n200000\n"),
            "{}: {}",
            said.out.len(),
            said.err
        );
        let said = self
            .says(spdy, &["exec", "box", "--", "/does/not/exist"], b"")
            .await;
        assert!(
            said.code != 0 && said.err.contains("/does/not/exist"),
            "{}",
            said.err
        );
        let said = self
            .says(spdy, &["exec", "box", "-c", "other", "--", "true"], b"")
            .await;
        assert!(
            said.code != 0 && said.err.contains("container other is not valid for pod box"),
            "{}",
            said.err
        );
        let said = self.says(spdy, &["exec", "nobody", "--", "true"], b"").await;
        assert!(said.err.contains("pods \"nobody\" not found"), "{}", said.err);
    }

    async fn ports(&self, spdy: bool) {
        let mut child = self
            .command(spdy, &["port-forward", "deployment/web", ":8080", ":9"])
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut forwarded = Vec::new();
        while forwarded.len() < 2 {
            let line = lines.next_line().await.unwrap().expect("kubectl to forward");
            if let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") {
                forwarded.push(rest.split(' ').next().unwrap().parse::<u16>().unwrap());
            }
        }
        let get = |port: u16| async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let begun = Instant::now();
        let mut work = JoinSet::new();
        let (open, shut) = (forwarded[0], forwarded[1]);
        for _ in 0..8 {
            work.spawn(async move {
                for _ in 0..125 {
                    let text = get(open).await.unwrap();
                    assert!(text.ends_with("\r\n\r\nv2"), "{text}");
                }
            });
        }
        while let Some(done) = work.join_next().await {
            done.unwrap();
        }
        println!(
            "1000 requests by port-forward in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        // Where nobody listens the connection ends, and the others do not.
        assert_eq!(get(shut).await.unwrap_or_default(), "");
        child.kill().await.unwrap();
        let said = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("localhost:9"), "{said}");
    }

    /// A command may do what its container may, and no more.
    async fn rights(&self) {
        let read = |whose: &str| {
            format!(
                "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/{whose}/status; cat /proc/{whose}/cgroup"
            )
        };
        for container in ["main", "side"] {
            let script = format!("{}; echo; {}", read("self"), read("1"));
            let said = self
                .says(
                    false,
                    &["exec", "box", "-c", container, "--", "sh", "-c", &script],
                    b"",
                )
                .await;
            let (own, first) = said
                .out
                .split_once("\n\n")
                .unwrap_or_else(|| panic!("{}", said.err));
            assert_eq!(own.trim(), first.trim(), "{container}");
            assert!(own.contains("CapEff"), "{own}");
            assert!(
                container == "side" || own.contains("CapEff:\t0000000000000000\n"),
                "{own}"
            );
        }
        let said = self
            .says(false, &["exec", "box", "--", "ls", "/proc/self/fd"], b"")
            .await;
        // Its three streams, and the directory itself.
        assert_eq!(said.out.split_whitespace().count(), 4, "{}", said.out);
    }

    /// A command whose client goes away ends.
    async fn left_alone(&self) {
        let mut child = self
            .command(false, &["exec", "box", "--", "sleep", SECRET])
            .spawn()
            .unwrap();
        let count = || async {
            let script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 9876[5]' | wc -l";
            let said = self
                .says(false, &["exec", "box", "--", "sh", "-c", script], b"")
                .await;
            said.out.trim().to_owned()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while count().await != "1" {
            assert!(Instant::now() < deadline, "the command does not show");
        }
        child.kill().await.unwrap();
        while count().await != "0" {
            assert!(Instant::now() < deadline, "the command stays");
        }
    }

    async fn terminals(&self) {
        let said = self
            .on_terminal("exec -it box -c main -- sh -c 'tty; until [ \"$(stty size)\" = \"33 99\" ]; do sleep 0.02; done; echo sized; exit 5'")
            .await;
        assert!(
            said.out.contains("/dev/pts/0\nsized\n"),
            "{}{}",
            said.out,
            said.err
        );
        assert_eq!(said.code, 5, "{}", said.out);
        let said = self
            .on_terminal("run it --image=host -it --rm --restart=Never --command -- sh -c 'until [ \"$(stty size)\" = \"33 99\" ]; do sleep 0.02; done; echo here is $(tty)'")
            .await;
        assert!(
            said.out.contains("here is /dev/pts/0\n") && said.out.contains("pod \"it\" deleted"),
            "{}{}",
            said.out,
            said.err
        );
    }

    async fn attaching(&self) {
        let args = [
            "run",
            "once",
            "--image=host",
            "-i",
            "--rm",
            "--restart=Never",
            "--command",
            "--",
        ];
        let said = self
            .says(
                false,
                &[&args[..], &["sh", "-c", "echo got $(cat)"]].concat(),
                b"what was said",
            )
            .await;
        assert!(
            said.out.contains("got what was said\n"),
            "{}{}",
            said.out,
            said.err
        );
        // From now on, not from the beginning.
        let pod = "metadata: {name: ticks, namespace: shop}\napiVersion: v1\nkind: Pod\nspec:\n  terminationGracePeriodSeconds: 0\n  \
             containers:\n  - {name: c, image: host, command: [sh, -c, 'echo first; sleep 1; while :; do echo tick; echo tock >&2; sleep 0.05; done']}\n";
        self.apply("ticks.yaml", pod).await;
        self.kubectl("-n shop wait --for=condition=Ready pod/ticks --timeout=30s")
            .await;
        let mut child = self.command(false, &["attach", "ticks"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
            assert_eq!(line.unwrap().unwrap().as_deref(), Some("tick"));
        }
        child.kill().await.unwrap();
        let said = self.says(false, &["attach", "-i", "ticks"], b"").await;
        assert!(said.code != 0 && said.err.contains("stdin"), "{}", said.err);
        self.kubectl("-n shop delete pod ticks --now").await;
    }

    /// Requests by `pods/proxy` and `services/proxy`.
    async fn passed_on(&self) {
        let pod = self
            .kubectl("-n shop get pods -l app=web -o jsonpath={.items[0].metadata.name}")
            .await;
        for path in [
            "services/web/proxy/".to_owned(),
            "services/http:web:80/proxy/a/b?c=d".to_owned(),
            format!("pods/{pod}:8080/proxy/"),
            format!("pods/{pod}/proxy/"),
        ] {
            let raw = format!("get --raw /api/v1/namespaces/shop/{path}");
            assert_eq!(self.kubectl(&raw).await, "v2", "{path}");
        }
        let shut = format!("get --raw /api/v1/namespaces/shop/pods/{pod}:9/proxy/");
        let error = self.try_kubectl(&shut).await.unwrap_err();
        assert!(error.contains("error trying to reach service"), "{error}");
    }

    async fn top(&self) {
        let pods = self.kubectl("-n shop top pods --containers").await;
        let row = pods
            .lines()
            .find(|line| line.starts_with("box") && line.contains("main"));
        let row = row.unwrap_or_else(|| panic!("{pods}"));
        assert!(row.contains('m') && row.trim_end().ends_with("Mi"), "{row}");
        let nodes = self.kubectl("top nodes").await;
        assert_eq!(nodes.lines().count(), 4, "{nodes}");
    }

    /// Their input stays open for whoever comes next, as `kubectl debug` asks for it.
    async fn guests(&self) {
        let args = ["debug", "-i", "box", "--image=host", "--profile=legacy"];
        let look = [
            "-c",
            "look",
            "--",
            "sh",
            "-c",
            "read what; echo looked with $what",
        ];
        let said = self.says(false, &[&args[..], &look].concat(), b"care\n").await;
        assert!(said.out.contains("looked with care"), "{}{}", said.out, said.err);
        let script = "read go; tr '\\0' ' ' < /proc/1/cmdline";
        let near = ["-c", "near", "--target=main", "--", "sh", "-c", script];
        let said = self.says(false, &[&args[..], &near].concat(), b"go\n").await;
        assert!(
            said.out.contains("trap 'exit 0' TERM"),
            "{}{}",
            said.out,
            said.err
        );
        let states =
            "-n shop get pod box -o jsonpath={.status.phase}/{.status.ephemeralContainerStatuses[*].name}";
        assert_eq!(self.kubectl(states).await, "Running/look near");
    }

    async fn copies(&self) {
        let (from, back) = (self.dir.join("from"), self.dir.join("back"));
        let mut bytes = Vec::with_capacity(20 << 20);
        let mut state = 1_u64;
        while bytes.len() < 20 << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        std::fs::write(&from, &bytes).unwrap();
        // A pod of an ordinary user has one id, and its root can give files to nobody.
        let begun = Instant::now();
        self.kubectl(&format!(
            "-n shop cp --no-preserve {} box:/tmp/there -c main",
            from.display()
        ))
        .await;
        self.kubectl(&format!("-n shop cp box:/tmp/there {} -c main", back.display()))
            .await;
        println!("20 MiB there and back in {:.1} s", begun.elapsed().as_secs_f64());
        assert!(
            std::fs::read(&back).unwrap() == bytes,
            "what came back is something else"
        );
    }
}
