//! Every command that the README shows, run as it stands there but for placeholders and ports.

use crate::running::{Dir, HERDER, alone, git, run};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const README: &str = include_str!("../../../../README.md");

/// The indented lines that are commands, without what is said about them.
fn commands() -> Vec<Vec<&'static str>> {
    README
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.split('#').next().unwrap().split_whitespace().collect())
        .filter(|words: &Vec<&str>| matches!(words.first(), Some(&("herder" | "cargo"))))
        .collect()
}

/// A command that goes on until it is told to stop.
struct Background(Child);

impl Background {
    /// Started, and has printed a line that holds `sign`.
    fn start(args: &[&str], dir: &Path, sign: &str) -> Self {
        let mut child = Command::new(HERDER)
            .args(args)
            .env("HERDER_DIR", dir)
            .env("HERDER_CONFIG", dir.join("contexts.json"))
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that the program never waits for its reader.
            for line in out.lines().map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        let mut running = Self(child);
        let mut seen = Vec::new();
        let started = Instant::now();
        loop {
            match told.recv_timeout(Duration::from_millis(200)) {
                Ok(line) if line.contains(sign) => return running,
                Ok(line) => seen.push(line),
                Err(_) => {}
            }
            let ended = running.0.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(120),
                "{args:?} did not print `{sign}` ({ended:?}):\n{}",
                seen.join("\n")
            );
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        for _ in 0..300 {
            if let Ok(Some(_)) = self.0.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn succeeds(args: &[&str], dir: &Path) -> String {
    let mut command = Command::new(HERDER);
    command.args(args).env("HERDER_DIR", dir).current_dir(dir);
    let output = run(&mut command, Duration::from_secs(120));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "herder {} failed:\n{text}\n{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn every_command_of_the_readme_works() {
    let _alone = alone();
    let dir = Dir::new("readme");
    let (demo, other) = (dir.path().join("demo"), dir.path().join("other"));
    std::fs::create_dir_all(&other).unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    let start = ["demo", "--scenes", "bootstrap", listen[0], listen[1]];
    let platform = Background::start(&start, &demo, "the platform stays up");
    let mut platform = Some(platform);
    let fleet = demo.join("repos/fleet.git");
    // They end what the others need: `up` takes over from the demo, `down` empties what is up.
    let mut after = Vec::new();
    let mut ran = 0;
    for words in commands() {
        ran += 1;
        match words.as_slice() {
            // What runs this test, and the demo that other tests play.
            ["cargo", "xtask", "test" | "check"] | ["cargo", "run", "--release", "--", "demo"] => {}
            ["herder", "up" | "down", ..] => after.push(words),
            ["herder", "status"] => {
                assert!(succeeds(&["status"], &demo).contains("shop"));
            }
            ["herder", "why" | "promote" | "env" | "job" | "plan", ..] => {
                succeeds(&words[1..], &demo);
            }
            ["herder", "cluster", "--dir", "DIR"] => {
                let dir = other.join("cluster");
                let dir = dir.to_str().unwrap();
                let args = ["cluster", "--dir", dir, listen[0], listen[1]];
                drop(Background::start(&args, &other, "ready"));
            }
            ["herder", "vault", "server", "-dev"] => {
                let args = ["vault", "server", "-dev", "-dev-listen-address", "127.0.0.1:0"];
                drop(Background::start(&args, &other, "Root Token"));
            }
            ["herder", "kustomize", "build", "DIR"] => {
                std::fs::write(other.join("kustomization.yaml"), "resources: [a.yaml]\n").unwrap();
                let object = "kind: A\nmetadata: {name: a}\n";
                std::fs::write(other.join("a.yaml"), object).unwrap();
                let printed = succeeds(&["kustomize", "build", other.to_str().unwrap()], &other);
                assert_eq!(printed, "kind: A\nmetadata:\n  name: a\n");
            }
            ["herder", "template", "-once", "-template", "a:b"] => {
                std::fs::write(other.join("a"), "{{ add 1 2 }}").unwrap();
                succeeds(&words[1..], &other);
                assert_eq!(std::fs::read_to_string(other.join("b")).unwrap(), "3");
            }
            ["herder", "image", "build", "--copy", "FILE:/srv/", "-t", "a:1"] => {
                let file = other.join("file");
                std::fs::write(&file, "x").unwrap();
                let copy = format!("{}:/srv/", file.display());
                succeeds(&["image", "build", "--copy", &copy, "-t", "a:1"], &other);
                assert!(succeeds(&["image", "ls"], &other).contains("a:1"));
                assert!(succeeds(&["image", "verify"], &other).is_empty());
            }
            ["herder", "jobs", "plan", "DIR"] => {
                let clone = other.join("fleet");
                git(
                    &other,
                    &[
                        "clone",
                        "--quiet",
                        fleet.to_str().unwrap(),
                        clone.to_str().unwrap(),
                    ],
                );
                succeeds(&["jobs", "plan", clone.join("jobs").to_str().unwrap()], &demo);
            }
            _ => panic!("the README shows `{}`, which no test runs", words.join(" ")),
        }
    }
    for words in after {
        match words.as_slice() {
            ["herder", "down", ..] => {
                succeeds(&words[1..], &demo);
            }
            ["herder", "up", "FLEET-REPOSITORY"] => {
                drop(platform.take());
                let args = ["up", fleet.to_str().unwrap(), listen[0], listen[1]];
                platform = Some(Background::start(&args, &demo, "dashboard"));
            }
            _ => panic!("the README shows `{}`, which no test runs", words.join(" ")),
        }
    }
    drop(platform);
    assert!(ran > 10, "the README shows {ran} commands");
    eprintln!("{ran} commands of the README ran");
}
