//! Starts `herder` and ends it again whatever happens.

use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use crate::server::HERDER;

/// Whole platforms take the whole machine: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A judge or corpus that is not here: fails in CI, is said and skipped elsewhere.
pub(crate) fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{what} is missing, and CI must have it"
    );
    eprintln!("skipped: {what} is missing");
}

/// A directory that goes with the value. World-accessible, so that an ordinary user can be given it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("herder-e2e-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
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

/// Runs a command to its end, killed when it takes too long.
pub(crate) fn run(command: &mut Command, patience: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(from.read_to_end(&mut bytes));
            bytes
        })
    };
    let (out, err) = (read(Box::new(out)), read(Box::new(err)));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > patience {
            drop(child.kill());
            drop(child.wait());
            panic!(
                "{command:?} took longer than {patience:?}:\n{}",
                String::from_utf8_lossy(&err.join().unwrap())
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    Output {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    }
}

/// A platform that runs in the background.
pub(crate) struct Up {
    child: Child,
    dir: PathBuf,
}

impl Up {
    /// `herder up FLEET --dir DIR`, once `endpoints.json` is there.
    pub(crate) fn start(fleet: &str, dir: &Path, more: &[&str]) -> Self {
        let log = std::fs::File::create(dir.join("herder.log")).unwrap();
        let mut command = Command::new(HERDER);
        command
            .args(["up", fleet, "--listen", "127.0.0.1:0", "--poll", "1s", "--dir"])
            .arg(dir)
            .args(more);
        let child = command
            // What it remembers for other terminals is this test's own.
            .env("HERDER_CONFIG", dir.join("contexts.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut up = Self {
            child,
            dir: dir.to_owned(),
        };
        up.until("endpoints.json", |up| {
            up.dir.join("endpoints.json").exists().then_some(())
        });
        up
    }

    /// Asks until there is an answer.
    pub(crate) fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(90) {
            if let Some(found) = ask(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "herder ended ({status}) while waiting for {what}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "no {what} after 90 s:\n{}\n{}",
            self.log(),
            self.herder(&["status"])
        );
    }

    /// Its data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sends its process a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("herder.log")).unwrap_or_default()
    }

    /// A command against this platform, its standard output.
    pub(crate) fn herder(&self, args: &[&str]) -> String {
        let output = run(
            Command::new(HERDER).args(args).arg("--dir").arg(&self.dir),
            Duration::from_secs(120),
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The status as JSON; null while there is none.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.herder(&["status", "--json"])).unwrap_or_default()
    }

    /// kubectl's verbs by the binary itself, so that no kubectl is needed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let mut command = Command::new(HERDER);
        command
            .arg("kubectl")
            .args(args)
            .env("KUBECONFIG", self.dir.join("kubeconfig"));
        String::from_utf8_lossy(&run(&mut command, Duration::from_secs(60)).stdout).into_owned()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // SIGTERM first, so that everything is taken down in order.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        for _ in 0..300 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes a repository with one commit out of files.
pub(crate) fn repository(path: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(path).unwrap();
    git(path, &["init", "--quiet", "--initial-branch", "main"]);
    commit(path, files, "First commit");
}

/// Writes files and commits them.
pub(crate) fn commit(path: &Path, files: &[(&str, &str)], message: &str) {
    for (name, text) in files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    git(path, &["add", "--all"]);
    git(
        path,
        &[
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.org",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            message,
        ],
    );
}

pub(crate) fn git(path: &Path, args: &[&str]) {
    let status = Command::new("git").current_dir(path).args(args).status().unwrap();
    assert!(status.success(), "git {args:?} failed in {}", path.display());
}
