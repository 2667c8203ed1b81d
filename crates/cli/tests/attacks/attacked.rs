//! Starts what is attacked, as root or as an ordinary user, and ends it again whatever happens. Owns no attack.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const NOBODY: &str = "65534";
/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whose rights Herder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    User,
}

/// Plays an attack against a Herder of root and one of an ordinary user; one at a time, each takes the whole machine.
pub(crate) fn as_both(attack: impl Fn(Who)) {
    as_root(&attack);
    let _alone = alone();
    attack(Who::User);
}

/// Plays an attack against a Herder of root alone, where an ordinary user's has nothing to attack.
pub(crate) fn as_root(attack: impl Fn(Who)) {
    let _alone = alone();
    if std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0) {
        attack(Who::Root);
    } else {
        eprintln!("not root: the attack on a Herder of root was not played");
    }
}

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory that goes with the value, open to everyone so that an ordinary user can be given it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("herder-attack-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The program that is attacked.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("HERDER_ATTACKED").map_or_else(|| env!("CARGO_BIN_EXE_herder").into(), PathBuf::from)
}

/// `herder` with arguments, as root or as an ordinary user who can reach `dir`.
pub(crate) fn herder(who: Who, dir: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if who == Who::Root || !root {
        return Command::new(program());
    }
    // The binary may lie where an ordinary user cannot reach it.
    let binary = dir.join("herder-of-user");
    if !binary.exists() {
        std::fs::copy(program(), &binary).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(binary)
        .env("HOME", dir)
        .env_remove("XDG_DATA_HOME");
    command
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end, with `input`; killed when it takes too long.
pub(crate) fn run(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes it: that is no failure of ours.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(from.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > PATIENCE * 2 {
            drop(child.kill());
            drop(child.wait());
            panic!("{command:?} took too long: {}", err.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Said {
        ok: status.success(),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
    }
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A child that is asked to end, then made to.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        for _ in 0..200 {
            if let Ok(Some(_)) = self.0.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `herder cluster`, ready.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    _process: Process,
}

impl Cluster {
    /// Starts one in `dir`.
    pub(crate) fn start(who: Who, dir: &Dir, nodes: u8) -> Self {
        let data = dir.path().join("cluster");
        let log = std::fs::File::create(dir.path().join("cluster.log")).unwrap();
        let mut child = herder(who, dir.path())
            .args(["cluster", "--nodes", &nodes.to_string(), "--dir"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let process = Process(child);
        let ready = BufReader::new(out)
            .lines()
            .any(|line| line.is_ok_and(|line| line == "ready"));
        assert!(
            ready,
            "{}",
            std::fs::read_to_string(dir.path().join("cluster.log")).unwrap()
        );
        Self {
            dir: data,
            _process: process,
        }
    }

    /// kubectl as the administrator.
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Said {
        kubectl(&self.dir.join("kubeconfig"), args, input)
    }

    /// kubectl with a token and nothing else.
    pub(crate) fn kubectl_with(&self, token: &str, args: &[&str], input: &str) -> Said {
        let admin = std::fs::read_to_string(self.dir.join("kubeconfig")).unwrap();
        let users = admin.find("users:").unwrap();
        let path = self.dir.parent().unwrap().join("attacker.kubeconfig");
        let text = format!(
            "{}users:\n- name: admin\n  user:\n    token: {token}\n",
            &admin[..users]
        );
        std::fs::write(&path, text).unwrap();
        kubectl(&path, args, input)
    }

    /// One request to the API over its socket, without a client that looks at it first; all of the answer.
    pub(crate) fn post(&self, token: &str, path: &str, object: &Value) -> String {
        // Through a descriptor: a socket's own path may be too long.
        let dir = std::fs::File::open(self.dir.join("kubelite")).unwrap();
        let socket = format!("/proc/self/fd/{}/api.sock", std::os::fd::AsRawFd::as_raw_fd(&dir));
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = object.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The answer may come before all is sent.
        drop(stream.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A namespace with `herder-deployer`, who has the rights that the fleet gives it; its token.
    pub(crate) fn deployer(&self, namespace: &str) -> String {
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "herder-deployer", "namespace": namespace}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
             "metadata": {"name": "herder-deployer", "namespace": namespace},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
             "subjects": [{"kind": "ServiceAccount", "name": "herder-deployer", "namespace": namespace}]},
        ]});
        let applied = self.kubectl(&["apply", "-f", "-"], &objects.to_string());
        assert!(applied.ok, "{applied:?}");
        let token = self.kubectl(&["-n", namespace, "create", "token", "herder-deployer"], "");
        assert!(token.ok, "{token:?}");
        token.out.trim().to_owned()
    }

    /// Runs a script in a pod of the image `host` until it ends; what it printed. `more` is merged into the pod.
    pub(crate) fn script(&self, namespace: &str, name: &str, script: &str, more: &Value) -> Said {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "c", "image": "host", "command": ["/bin/sh", "-c", script]}]},
        });
        merge(&mut pod, more);
        let made = self.kubectl(&["create", "-f", "-"], &pod.to_string());
        if !made.ok {
            return made;
        }
        let pod = until("end of the pod", || {
            let pod = self.pod(namespace, name);
            let phase = pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
            let waits = pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("Error"));
            (phase == "Succeeded" || phase == "Failed" || waits).then_some(pod)
        });
        let log = self.kubectl(&["-n", namespace, "logs", name], "");
        Said {
            ok: pod["status"]["phase"] == "Succeeded",
            out: log.out,
            err: format!("{} {}", log.err, pod["status"]),
        }
    }

    /// A pod as it is.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Value {
        let said = self.kubectl(&["-n", namespace, "get", "pod", name, "-o", "json"], "");
        serde_json::from_str(&said.out).unwrap_or_default()
    }
}

fn kubectl(config: &Path, args: &[&str], input: &str) -> Said {
    run(
        Command::new("kubectl").arg("--kubeconfig").arg(config).args(args),
        input,
    )
}

/// RFC 7386, but lists of objects are merged by place, so that a container can be given more.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from))
            if into.iter().chain(from).all(Value::is_object) && !into.is_empty() =>
        {
            for (index, value) in from.iter().enumerate() {
                match into.get_mut(index) {
                    Some(own) => merge(own, value),
                    None => into.push(value.clone()),
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// `herder up`, once its addresses are written.
pub(crate) struct Platform {
    pub(crate) dir: PathBuf,
    pub(crate) process: Process,
    pub(crate) endpoints: Value,
    who: Who,
}

impl Platform {
    /// Starts one for a fleet repository, on free ports.
    pub(crate) fn start(who: Who, dir: &Dir, fleet: &str, more: &[&str]) -> Self {
        let data = dir.path().join("platform");
        let log = std::fs::File::create(dir.path().join("platform.log")).unwrap();
        let child = herder(who, dir.path())
            .args(["up", fleet, "--listen", "127.0.0.1:0", "--poll", "1s", "--dir"])
            .arg(&data)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let endpoints = until("endpoints.json", || {
            if let Some(status) = process.0.try_wait().unwrap() {
                let log = std::fs::read_to_string(dir.path().join("platform.log")).unwrap();
                panic!("herder ended ({status}):\n{log}");
            }
            serde_json::from_slice(&std::fs::read(data.join("endpoints.json")).ok()?).ok()
        });
        Self {
            dir: data,
            process,
            endpoints,
            who,
        }
    }

    /// A command of `herder` against it.
    pub(crate) fn herder(&self, args: &[&str]) -> Said {
        let mut command = herder(self.who, self.dir.parent().unwrap());
        run(command.args(args).arg("--dir").arg(&self.dir), "")
    }

    /// kubectl as the administrator.
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Said {
        kubectl(&self.dir.join("kubeconfig"), args, input)
    }
}

/// Makes a repository with one commit out of files, or adds a commit to it.
pub(crate) fn commit(path: &Path, files: &[(&str, &str)]) {
    let git = |args: &[&str]| {
        let said = run(Command::new("git").current_dir(path).args(args), "");
        assert!(said.ok, "git {args:?}: {}", said.err);
    };
    std::fs::create_dir_all(path).unwrap();
    if !path.join(".git").exists() {
        git(&["init", "--quiet", "--initial-branch", "main"]);
    }
    for (name, text) in files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    git(&["add", "--all"]);
    let author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
    git(&[
        &author[..],
        &["commit", "--quiet", "--allow-empty", "--message", "A commit"],
    ]
    .concat());
}

/// One HTTP/1.1 request as bytes, and all of the answer, to `host:port`.
pub(crate) fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // What came before a reset counts.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}
