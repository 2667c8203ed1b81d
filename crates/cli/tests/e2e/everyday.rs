//! A day with the command line on one platform: how it is found, what it says when something is wrong and with which exit
//! code, what it prints for programs, and how a version is taken back or left alone.

use crate::running::{Dir, HERDER, Up, alone, commit, git, repository, run};
use crate::shapes;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
      - {name: prepare, image: host, command: [sh, -c, "echo prepared"]}
      containers:
      - {name: shop, image: host, command: [sh, -c, "echo serving; exec sleep 100000"]}
"#;

fn kustomization(version: &str) -> String {
    format!("resources: [deployment.yaml]\nimages:\n- name: host\n  newTag: {version}\n")
}

/// The command as somebody types it who names no directory.
fn typed(args: &[&str], home: &Path) -> Command {
    let mut command = Command::new(HERDER);
    command
        .args(args)
        .env_remove("HERDER_DIR")
        .env_remove("HERDER_URL")
        .env("HERDER_CONFIG", home.join("contexts.json"))
        .env("XDG_DATA_HOME", home)
        .env("USER", "ada")
        .current_dir(home);
    command
}

fn says(args: &[&str], home: &Path) -> (i32, String, String) {
    answer(typed(args, home))
}

fn answer(mut command: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = run(&mut command, Duration::from_secs(120));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap(), text(&stdout), text(&stderr))
}

fn json(args: &[&str], home: &Path) -> Value {
    let (code, out, err) = says(&[args, &["--json"]].concat(), home);
    assert_eq!(code, 0, "herder {args:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("herder {args:?}: {error}: {out}"))
}

/// A refusal: its exit code, and what both forms of it say.
fn refuses(args: &[&str], home: &Path, exit: i32, code: &str, says_also: &str) {
    let (plain, _, err) = says(args, home);
    assert!(
        plain == exit && err.contains("error:") && err.contains(says_also),
        "herder {args:?} ended with {plain}: {err}"
    );
    let (with_json, out, _) = says(&[&["--json"], args].concat(), home);
    let error: Value =
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("herder --json {args:?}: {why}: {out}"));
    assert_eq!(
        (with_json, &error["error"]["code"]),
        (exit, &Value::from(code)),
        "{args:?}: {out}"
    );
    assert!(out.contains(says_also), "{args:?}: {out}");
}

fn start(dir: &Dir) -> (Up, PathBuf, PathBuf) {
    let (fleet, config) = (dir.path().join("fleet"), dir.path().join("config-staging"));
    let files = [
        ("shop/kustomization.yaml", kustomization("1.0.0")),
        ("shop/deployment.yaml", DEPLOYMENT.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    repository(&config, &files);
    // So that what is pushed here shows in the files as well.
    git(&config, &["config", "receive.denyCurrentBranch", "updateInstead"]);
    repository(
        &fleet,
        &[
            ("fleet.yaml", "name: everyday\n"),
            ("environments/staging.yaml", "config: ../config-staging\n"),
            (
                "environments/dev.yaml",
                "kind: developer\nconfig: ../config-staging\n",
            ),
            ("applications/shop.yaml", "images: [host]\n"),
            ("jobs/hello.yaml", "steps: [{shell: echo hello}]\n"),
            ("jobs/broken.yaml", "steps: [{shell: exit 3}]\n"),
            ("teams/a.yaml", "members: [{group: a}]\n"),
            ("teams/b.yaml", "members: [{group: b}]\n"),
            (
                "policies/shop.hcl",
                "path \"secret/data/shop/*\" { capabilities = [\"read\"] }\n",
            ),
        ],
    );
    let mut up = Up::start(fleet.to_str().unwrap(), dir.path(), &[]);
    up.until("a healthy shop", |up| {
        stands(up, "1.0.0", "healthy").then_some(())
    });
    (up, fleet, config)
}

fn stands(up: &Up, version: &str, health: &str) -> bool {
    let status = up.status();
    let rows = status["applications"].as_array().into_iter().flatten();
    let mut cells = rows.flat_map(|row| row["cells"].as_array().into_iter().flatten());
    cells.any(|cell| cell["stage"] == "staging" && cell["version"] == version && cell["health"] == health)
}

fn image(up: &Up) -> String {
    up.kubectl(&["get", "deployment", "shop", "-n", "staging", "-o", "json"])
}

fn get(up: &Up, path: &str, token: Option<&str>) -> String {
    let endpoints = std::fs::read_to_string(up.dir().join("endpoints.json")).unwrap();
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    let url = endpoints["dashboard"]["url"].as_str().unwrap().to_owned();
    let host = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let auth = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\n{auth}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_day_with_the_command_line() {
    let _alone = alone();
    let dir = Dir::new("everyday");
    let (mut up, fleet, config) = start(&dir);
    let home = dir.path();
    found_without_being_named(&up, home);
    wrong_words_are_refused_with_the_nearest(home);
    for_programs(home);
    jobs_and_findings(&mut up, &fleet, home);
    taken_back_and_left_alone(&mut up, &config, home);
    watched_and_written_down(&up, home);
    shapes::hold(|args| json(args, home));
    // What is wrong with fleet.yaml does not make it another fleet.
    commit(&fleet, &[("fleet.yaml", "discover: [\n")], "Break it");
    up.until("the broken file", |up| {
        let status = up.status();
        let told = status["diagnostics"].to_string().contains("fleet.yaml");
        told.then(|| assert_eq!(status["fleet"]["name"], "everyday"))
    });
    let (code, out, err) = says(&["down", "--everything"], home);
    assert_eq!(code, 0, "{out}{err}");
    let (_, out, _) = says(&["status"], home);
    assert!(
        out.contains("everything is down") && !out.contains("no applications"),
        "{out}"
    );
}

fn found_without_being_named(up: &Up, home: &Path) {
    let (code, out, err) = says(&["status"], home);
    assert!(code == 0 && out.contains("shop"), "{out}{err}");
    let contexts = json(&["context", "list"], home);
    assert_eq!(contexts.as_array().unwrap().len(), 1, "{contexts}");
    assert_eq!(
        (&contexts[0]["current"], &contexts[0]["running"]),
        (&true.into(), &true.into())
    );
    let name = contexts[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(says(&["context", "current"], home).1.trim(), name);
    refuses(
        &["status", "--context", "nobody"],
        home,
        3,
        "not-found",
        "context",
    );
    // From another machine, by address and token.
    let endpoints: Value =
        serde_json::from_str(&std::fs::read_to_string(up.dir().join("endpoints.json")).unwrap()).unwrap();
    let url = endpoints["dashboard"]["url"].as_str().unwrap();
    let token_file = endpoints["dashboard"]["token_file"].as_str().unwrap();
    let token = std::fs::read_to_string(token_file).unwrap();
    let elsewhere = home.join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let remote = |token: &str| {
        let mut command = typed(&["status", "--json"], &elsewhere);
        command.env("HERDER_URL", url).env("HERDER_TOKEN", token);
        answer(command)
    };
    assert_eq!(remote(&token).0, 0);
    let (code, out, _) = remote("wrong");
    assert!(code == 3 && out.contains("\"unauthorised\""), "{code} {out}");
    let add = ["context", "add", "far", "--url", url, "--token-file", token_file];
    assert_eq!(says(&add, &elsewhere).0, 0);
    assert!(says(&["status"], &elsewhere).1.contains("shop"));
    // Nobody there, and nobody known.
    let nowhere = home.join("nowhere");
    std::fs::create_dir_all(&nowhere).unwrap();
    if !Path::new("/var/lib/herder/endpoints.json").exists() {
        refuses(&["status"], &nowhere, 5, "unreachable", "herder up");
    }
    refuses(
        &["status", "--dir", nowhere.to_str().unwrap()],
        home,
        5,
        "unreachable",
        "nowhere",
    );
    other_users(up, home);
}

/// A directory of another user's says whose it is.
fn other_users(up: &Up, home: &Path) {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !root {
        return;
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            HERDER,
            "status",
            "--json",
            "--dir",
        ])
        .arg(up.dir())
        .env("HERDER_CONFIG", home.join("nobody.json"));
    let (code, out, err) = answer(command);
    assert!(
        code == 5 && out.contains("\"other-user\"") && out.contains("root"),
        "{code} {out}{err}"
    );
}

fn wrong_words_are_refused_with_the_nearest(home: &Path) {
    refuses(&["status", "shp"], home, 3, "not-found", "did you mean `shop`?");
    refuses(
        &["status", "-n", "stagin"],
        home,
        3,
        "not-found",
        "did you mean `staging`?",
    );
    refuses(
        &["why", "shp", "-n", "staging"],
        home,
        3,
        "not-found",
        "did you mean `shop`?",
    );
    refuses(
        &["why", "shop", "-n", "stagin"],
        home,
        3,
        "not-found",
        "did you mean `staging`?",
    );
    refuses(
        &["logs", "shop", "-n", "stagin"],
        home,
        3,
        "not-found",
        "did you mean `staging`?",
    );
    refuses(
        &["logs", "shop", "-n", "staging", "-c", "shp"],
        home,
        3,
        "not-found",
        "prepare, shop",
    );
    refuses(&["history", "shp"], home, 3, "not-found", "did you mean `shop`?");
    refuses(
        &["job", "runs", "helo"],
        home,
        3,
        "not-found",
        "did you mean `hello`?",
    );
    refuses(
        &["job", "log", "helo"],
        home,
        3,
        "not-found",
        "did you mean `hello`?",
    );
    refuses(&["job", "run", "helo"], home, 3, "not-found", "hello");
    refuses(&["env", "up", "de"], home, 3, "not-found", "did you mean `dev`?");
    refuses(&["env", "up", "dev", "--lease", "8"], home, 2, "usage", "8h");
    refuses(
        &["suspend", "shop", "-n", "staging", "--for", "2"],
        home,
        2,
        "usage",
        "2h",
    );
    refuses(&["explain", "not-fund"], home, 3, "not-found", "not-found");
    refuses(&["statsu"], home, 2, "usage", "status");
    refuses(&["down"], home, 2, "usage", "--everything");
    // Commands that are for nobody are suggested to nobody.
    let (_, _, err) = says(&["step"], home);
    assert!(!err.contains("steps"), "{err}");
    let (_, help, _) = says(&["--help"], home);
    assert!(
        help.contains("\n  vault ") && !help.contains("\n  steps "),
        "{help}"
    );
    let (code, out, _) = says(&["--color", "always", "status"], home);
    assert!(code == 0 && out.contains("\x1b[32mhealthy\x1b[0m"), "{out}");
    assert!(!says(&["status"], home).1.contains('\x1b'));
}

fn for_programs(home: &Path) {
    let all = json(&["status"], home);
    assert_eq!(all["environments"].as_array().unwrap().len(), 2);
    let some = json(&["status", "shop", "-n", "staging"], home);
    assert_eq!(some["environments"].as_array().unwrap().len(), 1);
    assert_eq!(some["applications"][0]["cells"].as_array().unwrap().len(), 1);
    assert_eq!(says(&["status", "--exit-code"], home).0, 0);
    let (code, out, _) = says(&["logs", "shop", "-n", "staging", "--json"], home);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["container"].as_str().unwrap(),
                line["line"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (code, said),
        (0, vec![("prepare", "prepared"), ("shop", "serving")]),
        "{out}"
    );
    assert!(lines.iter().all(|line| line["at"].as_str().is_some()), "{out}");
    let (_, out, _) = says(&["logs", "shop", "-n", "staging", "-c", "prepare"], home);
    assert!(out.ends_with("/prepare: prepared\n"), "{out}");
}

fn jobs_and_findings(up: &mut Up, fleet: &Path, home: &Path) {
    up.until("the jobs", |up| {
        up.herder(&["job", "list"]).contains("broken").then_some(())
    });
    let (code, out, err) = says(&["job", "run", "hello", "-f", "--json"], home);
    assert_eq!(code, 0, "{out}{err}");
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|line| line["line"] == "hello"), "{out}");
    assert_eq!(says(&["job", "run", "broken", "-f"], home).0, 1);
    let status = json(&["status"], home);
    assert_eq!(status["builds"][0]["job"], "broken", "{status}");
    let finding = &status["diagnostics"][0];
    assert_eq!(
        (&finding["code"], &finding["times"]),
        (&"no-effect".into(), &2.into()),
        "{status}"
    );
    let known = "findings:\n- {code: no-effect, at: teams/*, reason: rights come later, until: 2999-12-31}\n";
    commit(fleet, &[("acknowledged.yaml", known)], "Acknowledge");
    up.until("the acknowledgement", |up| {
        let status = up.status();
        let known = status["acknowledged"]
            .as_array()
            .is_some_and(|known| known.len() == 2);
        (known && status["diagnostics"] == Value::Array(Vec::new())).then_some(())
    });
}

fn taken_back_and_left_alone(up: &mut Up, config: &Path, home: &Path) {
    let pins = || std::fs::read_to_string(config.join("shop/kustomization.yaml")).unwrap();
    refuses(
        &["rollback", "shop", "-n", "staging"],
        home,
        3,
        "conflict",
        "no other pins",
    );
    commit(
        config,
        &[("shop/kustomization.yaml", &kustomization("2.0.0"))],
        "Two",
    );
    commit(config, &[("shop/notes.md", "later\n")], "Notes");
    up.until("2.0.0", |up| stands(up, "2.0.0", "healthy").then_some(()));
    let dry = json(&["rollback", "shop", "-n", "staging", "--dry-run"], home);
    assert!(
        dry["message"].as_str().unwrap().contains("2.0.0 → 1.0.0"),
        "{dry}"
    );
    assert!(pins().contains("2.0.0"));
    refuses(
        &["rollback", "shop", "-n", "staging", "--to", "9.9.9"],
        home,
        3,
        "not-found",
        "1.0.0",
    );
    let (code, out, err) = says(&["rollback", "shop", "-n", "staging", "--wait"], home);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(pins(), kustomization("1.0.0"));
    assert!(stands(up, "1.0.0", "healthy"));
    let history = json(&["history", "shop", "-n", "staging"], home);
    let first = &history[0];
    assert_eq!(first["version"], "1.0.0", "{history}");
    assert!(
        first["subject"]
            .as_str()
            .unwrap()
            .starts_with("Roll shop back in staging to 1.0.0"),
        "{history}"
    );
    assert!(history.to_string().contains("\"author\":\"Test\""), "{history}");

    let suspended = json(
        &[
            "suspend",
            "shop",
            "-n",
            "staging",
            "--for",
            "1h",
            "--reason",
            "load test",
        ],
        home,
    );
    assert_eq!(suspended["reason"], "load test");
    commit(
        config,
        &[("shop/kustomization.yaml", &kustomization("3.0.0"))],
        "Three",
    );
    assert_eq!(says(&["sync"], home).0, 0);
    assert!(image(up).contains("host:1.0.0"), "{}", image(up));
    assert_eq!(says(&["status", "--exit-code"], home).0, 4);
    let why = json(&["why", "shop", "-n", "staging"], home);
    assert!(why["cause"].as_str().unwrap().contains("load test"), "{why}");
    assert_eq!(says(&["resume", "shop", "-n", "staging"], home).0, 0);
    refuses(
        &["resume", "shop", "-n", "staging"],
        home,
        3,
        "conflict",
        "not suspended",
    );
    up.until("3.0.0", |up| stands(up, "3.0.0", "healthy").then_some(()));
}

fn watched_and_written_down(up: &Up, home: &Path) {
    assert!(get(up, "/healthz", None).starts_with("HTTP/1.1 200"));
    let ready = get(up, "/readyz", None);
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains("[+]git ok"),
        "{ready}"
    );
    assert!(get(up, "/metrics", None).starts_with("HTTP/1.1 401"));
    let token = std::fs::read_to_string(up.dir().join("state/dashboard.token")).unwrap();
    let metrics = get(up, "/metrics", Some(token.trim()));
    for part in [
        "application/openmetrics-text",
        "herder_fleet_info{fleet=\"everyday\"",
        "herder_application_health{application=\"shop\",namespace=\"staging\",version=\"3.0.0\",health=\"healthy\"} 1",
        "herder_job_last_run{job=\"broken\",status=\"failed\"} 1",
    ] {
        assert!(metrics.contains(part), "no {part} in {metrics}");
    }
    assert!(metrics.trim_end().contains("# EOF"), "{metrics}");

    assert_eq!(
        says(&["secret", "put", "secret/shop/db", "password=swordfish"], home).0,
        0
    );
    assert_eq!(says(&["secret", "get", "secret/shop/db"], home).0, 0);
    let log = std::fs::read_to_string(up.dir().join("state/vault-audit.log")).unwrap();
    assert!(log.contains("secret/data/shop/db") && !log.contains("swordfish"));

    let audit = json(&["audit", "list", "--limit", "500"], home);
    let actions: BTreeSet<&str> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    for action in [
        "config.commit",
        "plan.applied",
        "rollback",
        "suspend",
        "resume",
        "run.start",
        "run.end",
    ] {
        assert!(actions.contains(action), "no {action} in {actions:?}");
    }
    let runs = json(&["audit", "list", "--action", "run"], home);
    let runs = runs.as_array().unwrap();
    assert!(
        !runs.is_empty()
            && runs
                .iter()
                .all(|entry| entry["action"].as_str().unwrap().starts_with("run."))
    );
    let (_, out, _) = says(&["audit", "list", "--action", "config.commit"], home);
    assert!(out.contains("by Test <test@example.org>: Three"), "{out}");
}
