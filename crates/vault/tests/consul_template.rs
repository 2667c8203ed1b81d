//! consul-template's loop against the embedded server: what is written, when, with which mode; what a bad Vault does;
//! and that no secret value shows anywhere but where a template put it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use herder_base::{Secret, SystemClock, chain};
use herder_secrets::{Embedded, EmbeddedConfig};
use herder_vault::consul_template::{End, Invocation, RunError, run};
use herder_vault::{Client, Config, Method};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Values that may show nowhere but in rendered files.
const PLANTED: [&str; 4] = [
    "planted-password-7f3a",
    "planted-api-key-91bc",
    "planted-file-value-c4d2",
    "planted-list-item-08ee",
];

/// Everything that is logged, at the finest level.
fn logs() -> &'static Mutex<Vec<u8>> {
    static LOGS: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOGS.get_or_init(|| {
        #[derive(Clone)]
        struct Sink;
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                logs().lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        tracing_subscriber::fmt()
            // As -log-level=trace has it.
            .with_env_filter("trace,hyper=info,h2=info,rustls=info")
            .with_writer(|| Sink)
            .with_ansi(false)
            .try_init()
            .unwrap();
        Mutex::default()
    })
}

struct Estate {
    dir: tempfile::TempDir,
    address: String,
    root: Client,
    token: String,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Estate {
    async fn start() -> Self {
        logs();
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let embedded = Embedded::start(
            EmbeddedConfig {
                dir: dir.path().join("vault"),
                api_addr: address.clone(),
                kubernetes: None,
            },
            Arc::new(SystemClock),
        )
        .await
        .unwrap();
        let (server, stop) = (embedded.server.clone(), cancel.clone());
        tasks.spawn(async move { server.serve(listener, None, stop).await });
        let root = Client::new(&Config::new(&address)).unwrap();
        root.set_token(Secret::new(embedded.root_token().unwrap().to_string()));
        let fields = json!({"user": "shop", "password": PLANTED[0], "key": PLANTED[1], "port": 5432, "items": [PLANTED[3]]});
        root.write("secret/shop/db", &fields).await.unwrap();
        let policy = json!({"policy": "path \"secret/data/shop/*\" { capabilities = [\"read\"] }\npath \"pki/issue/shop\" { capabilities = [\"update\"] }"});
        root.call(Method::Post, "sys/policies/acl/shop", Some(&policy))
            .await
            .unwrap();
        let role = json!({"allowed_domains": "svc", "allow_subdomains": true, "max_ttl": "1h", "key_type": "ec", "key_bits": 256});
        root.call(Method::Post, "pki/roles/shop", Some(&role))
            .await
            .unwrap();
        let mut estate = Self {
            dir,
            address,
            root,
            token: String::new(),
            cancel,
            tasks,
        };
        estate.token = estate.new_token("1h").await;
        estate
    }

    async fn new_token(&self, ttl: &str) -> String {
        let body = json!({"policies": ["shop"], "ttl": ttl});
        let answer = self
            .root
            .call(Method::Post, "auth/token/create", Some(&body))
            .await
            .unwrap();
        answer
            .pointer("/auth/client_token")
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// An invocation of a configuration's text, in which DIR, ADDR and TOKEN are put in.
    fn invocation(&self, config: &str, flags: &[&str]) -> Invocation {
        let config = config
            .replace("DIR", self.dir.path().to_str().unwrap())
            .replace("ADDR", &self.address)
            .replace("TOKEN", &self.token);
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        Invocation::read(&flags, Some(&config)).unwrap_or_else(|error| panic!("{error}"))
    }

    async fn run(&self, config: &str, flags: &[&str]) -> Result<End, RunError> {
        let mut out = Vec::new();
        run(&self.invocation(config, flags), Arc::new(SystemClock), &mut out).await
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

const VAULT: &str = "vault { address = \"ADDR\" token = \"TOKEN\" renew_token = false retry { attempts = 3 backoff = \"20ms\" max_backoff = \"50ms\" } }\n";

fn template(contents: &str, more: &str) -> String {
    format!(
        "{VAULT}template {{\n contents = <<EOT\n{contents}\nEOT\n destination = \"DIR/out\"\n {more}\n}}\n"
    )
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// The loop beside the test.
fn background(invocation: Invocation) -> JoinSet<Result<End, RunError>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { run(&invocation, Arc::new(SystemClock), &mut Vec::new()).await });
    tasks
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn once_writes_all_or_nothing_and_runs_each_command_once() {
    let estate = Estate::start().await;
    let config = format!(
        "{VAULT}template {{ contents = \"{{{{with secret \\\"secret/shop/db\\\"}}}}{{{{.Data.data.password}}}}{{{{end}}}}\" destination = \"DIR/a/one\" command = \"echo ran >> DIR/ran\" }}
        template {{ contents = \"{{{{ base64Decode \\\"/+8=\\\" }}}}\" destination = \"DIR/two\" perms = \"0640\" command = \"echo ran >> DIR/ran\" }}
        template {{ contents = \"x{{{{ \\\"beside\\\" | writeToFile \\\"DIR/three\\\" \\\"\\\" \\\"\\\" \\\"0604\\\" \\\"newline\\\" }}}}\" destination = \"DIR/four\" command = [\"touch\", \"DIR/listed\"] }}"
    );
    assert_eq!(estate.run(&config, &["-once"]).await.unwrap(), End::Done);
    assert_eq!(estate.read("a/one"), PLANTED[0]);
    assert_eq!(std::fs::read(estate.path("two")).unwrap(), [0xff, 0xef]);
    assert_eq!(
        (
            mode(&estate.path("a/one")),
            mode(&estate.path("two")),
            mode(&estate.path("three"))
        ),
        (0o600, 0o640, 0o604)
    );
    assert_eq!(estate.read("three"), "beside\n");
    assert_eq!(estate.read("ran"), "ran\n", "the same command runs once");
    assert!(estate.path("listed").exists());
    // Nothing changed: nothing is written, no command runs.
    estate.run(&config, &["-once"]).await.unwrap();
    assert_eq!(estate.read("ran"), "ran\n");
    // -dry prints and writes nothing.
    std::fs::remove_file(estate.path("two")).unwrap();
    let mut out = Vec::new();
    let dry = estate.invocation(&config, &["-dry"]);
    run(&dry, Arc::new(SystemClock), &mut out).await.unwrap();
    assert!(String::from_utf8_lossy(&out).contains("/a/one\nplanted-password"));
    assert!(!estate.path("two").exists());
    // One of two that cannot be rendered: neither is written.
    let half = format!(
        "{VAULT}template {{ contents = \"fine\" destination = \"DIR/fine\" }}\ntemplate {{ contents = \"{{{{with secret \\\"secret/none\\\"}}}}{{{{end}}}}\" destination = \"DIR/bad\" }}"
    );
    assert!(estate.run(&half, &["-once"]).await.is_err());
    assert!(!estate.path("fine").exists() && !estate.path("bad").exists());
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_fails_with_its_reason_and_writes_nothing() {
    let estate = Estate::start().await;
    let secret = "{{with secret \"secret/shop/db\"}}{{.Data.data.password}}{{end}}";
    let expired = estate.new_token("1s").await;
    let long = std::fs::File::create(estate.path("long")).unwrap();
    long.set_len((64 << 20) + 1).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (config, wanted) in [
        (
            template("{{with secret \"secret/other\"}}x{{end}}", ""),
            "no rule for it",
        ),
        (
            template("{{with secret \"secret/shop/none\"}}x{{end}}", ""),
            "nothing at",
        ),
        (
            template(secret, "").replace("TOKEN", &expired),
            "not valid any more",
        ),
        (
            template(secret, "").replace("TOKEN", "no-such-token"),
            "not valid any more",
        ),
        (
            template(secret, "").replace("ADDR", "http://127.0.0.1:1"),
            "cannot be reached",
        ),
        (
            template(
                "{{with secret \"secret/shop/db\"}}{{.Data.data.none}}{{end}}",
                "error_on_missing_key = true",
            ),
            "no entry for key",
        ),
        (
            template(
                "{{with secret \"secret/shop/db\"}}{{.Data.data.password | parseInt}}{{end}}",
                "",
            ),
            "parseInt",
        ),
        (template("{{ key \"x\" }}", ""), "Consul"),
        (template("{{ if }}", ""), "missing value for if"),
        (
            template("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", ""),
            "maximum template depth",
        ),
        (
            template("{{range loop 1000000}}{{range loop 1000000}}{{end}}{{end}}", ""),
            "stopped after",
        ),
        (
            template(
                "{{$x := \"0123456789\"}}{{range loop 60}}{{$x = print $x $x}}{{end}}",
                "",
            ),
            "too large",
        ),
        (
            template("{{file \"/etc/hostname\"}}", "sandbox_path = \"DIR\""),
            "outside of sandbox_path",
        ),
        (
            template(
                "{{ \"x\" | writeToFile \"/tmp/herder-out\" \"\" \"\" \"0600\" }}",
                "sandbox_path = \"DIR\"",
            ),
            "outside of sandbox_path",
        ),
        // What is there and cannot be read is not taken for empty.
        (
            template(
                "{{ \"x\" | writeToFile \"DIR/long\" \"\" \"\" \"0600\" \"append\" }}",
                "",
            ),
            "larger than 64 MiB",
        ),
        (template("{{file \"DIR/long\"}}", ""), "larger than 64 MiB"),
        (template("{{file \"/dev/zero\"}}", ""), "no regular file"),
        (template("x", "user = \"no-such-user\""), "there is no user"),
        (
            template("x", "create_dest_dirs = false").replace("DIR/out", "DIR/none/out"),
            "create_dest_dirs is false",
        ),
        (
            template("x", "function_denylist = [\"secret\"]").replace("\nx\n", "\n{{secret \"x\"}}\n"),
            "is denied",
        ),
    ] {
        let error = estate.run(&config, &["-once"]).await.expect_err(&config);
        let shown = chain(&error).to_string();
        assert!(shown.contains(wanted), "{config}\n{shown}");
        for value in PLANTED {
            assert!(!shown.contains(value), "{shown}");
        }
        assert!(!shown.contains(&expired), "{shown}");
        assert!(!estate.path("out").exists(), "{config}");
    }
    // A command that fails, and one that takes too long.
    for (command, wanted) in [("false", "ended with"), ("sleep 60", "took longer than")] {
        let config = template(
            "x",
            &format!("command = \"{command}\" command_timeout = \"200ms\""),
        )
        .replace("DIR/out", &format!("DIR/{}", &command[..3]));
        let error = estate.run(&config, &["-once"]).await.unwrap_err();
        assert!(chain(&error).to_string().contains(wanted), "{error}");
    }
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_sealed_or_missing_vault_and_goes_on() {
    let estate = Estate::start().await;
    estate.root.call(Method::Put, "sys/seal", None).await.unwrap();
    let config = template("{{with secret \"secret/shop/db\"}}{{.Data.data.user}}{{end}}", "")
        .replace("attempts = 3", "attempts = 0");
    let invocation = estate.invocation(&config, &["-once"]);
    let mut task = background(invocation);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(task.try_join_next().is_none() && !estate.path("out").exists());
    let limited =
        template("{{with secret \"secret/shop/db\"}}x{{end}}", "").replace("DIR/out", "DIR/limited");
    let error = estate.run(&limited, &["-once"]).await.unwrap_err();
    let shown = chain(&error).to_string();
    assert!(
        shown.contains("gave up after 4 attempts") && shown.contains("sealed"),
        "{shown}"
    );
    let key = std::fs::read_to_string(estate.path("vault/state/vault.unseal-key")).unwrap();
    estate
        .root
        .call(Method::Put, "sys/unseal", Some(&json!({"key": key.trim()})))
        .await
        .unwrap();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), task.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .unwrap(),
        End::Done
    );
    assert_eq!(estate.read("out").trim(), "shop");
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_after_a_program_and_tells_it_of_changes() {
    let estate = Estate::start().await;
    std::fs::write(estate.path("in"), "one").unwrap();
    let script = "echo started >> DIR/log; trap 'echo reloaded >> DIR/log' HUP; trap 'echo ended >> DIR/log; exit 7' TERM; while true; do sleep 0.05; done";
    let config = format!(
        "{VAULT}template {{ contents = \"{{{{ file \\\"DIR/in\\\" }}}}\" destination = \"DIR/out\" }}\nexec {{ command = [\"/bin/sh\", \"-c\", \"{script}\"] reload_signal = \"SIGHUP\" kill_signal = \"SIGTERM\" kill_timeout = \"5s\" env {{ custom = [\"OWN=1\"] }} }}"
    );
    let invocation = estate.invocation(&config, &[]);
    let mut task = background(invocation);
    until("the program starts", || estate.read("log").contains("started")).await;
    assert_eq!(
        estate.read("out"),
        "one",
        "everything is there before the program starts"
    );
    std::fs::write(estate.path("in"), "second").unwrap();
    until("the change arrives", || estate.read("out") == "second").await;
    until("the program is told", || estate.read("log").contains("reloaded")).await;
    task.shutdown().await;
    // A program that ends gives its code.
    let config = format!(
        "{VAULT}template {{ contents = \"x\" destination = \"DIR/out2\" }}\nexec {{ command = \"test -f DIR/out2 && exit 5\" }}"
    );
    assert_eq!(estate.run(&config, &[]).await.unwrap(), End::Program(5));
    assert_eq!(estate.run(&config, &["-once"]).await.unwrap(), End::Program(5));
    // A file that is no text goes through as it is.
    std::fs::write(estate.path("in"), [0xfe, 0x00, 0xff]).unwrap();
    let config = template("{{ file \"DIR/in\" }}", "");
    estate.run(&config, &["-once"]).await.unwrap();
    assert_eq!(
        std::fs::read(estate.path("out")).unwrap(),
        [0xfe, 0x00, 0xff, b'\n']
    );
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_a_change_until_it_rests() {
    let estate = Estate::start().await;
    std::fs::write(estate.path("in"), "0").unwrap();
    let config = template("{{ file \"DIR/in\" }}", "wait { min = \"1500ms\" max = \"30s\" }");
    let invocation = estate.invocation(&config, &[]);
    let mut task = background(invocation);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!estate.path("out").exists(), "it is held");
    until("it is written", || estate.read("out").trim() == "0").await;
    task.shutdown().await;
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_a_certificate_on_that_is_good_for_a_while() {
    let estate = Estate::start().await;
    let config = template(
        "{{with pkiCert \"pki/issue/shop\" \"common_name=a.svc\" \"ttl=30m\"}}{{.Cert}}\n{{.Key}}\n{{.CA}}\n{{.Data.Cert}}{{end}}",
        "",
    );
    estate.run(&config, &["-once"]).await.unwrap();
    let first = estate.read("out");
    assert!(
        first.contains("BEGIN CERTIFICATE") && first.contains("PRIVATE KEY"),
        "{}",
        first.len()
    );
    let serials = |text: &str| text.matches("BEGIN CERTIFICATE").count();
    assert!(serials(&first) >= 3);
    estate.run(&config, &["-once"]).await.unwrap();
    assert_eq!(estate.read("out"), first, "the same certificate is used on");
    std::fs::write(estate.path("out"), "broken").unwrap();
    estate.run(&config, &["-once"]).await.unwrap();
    let second = estate.read("out");
    assert!(
        second != first && second.contains("BEGIN CERTIFICATE"),
        "what is no certificate is replaced"
    );
    estate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_value_shows_anywhere_else() {
    let estate = Estate::start().await;
    std::fs::write(estate.path("in"), PLANTED[2]).unwrap();
    let token_file = estate.path("token");
    std::fs::write(&token_file, &estate.token).unwrap();
    let body = "{{with secret \"secret/shop/db\"}}{{.Data.data.password}} {{.Data.data.key}} {{range .Data.data.items}}{{.}}{{end}}{{end}} {{file \"DIR/in\"}}";
    let config = format!(
        "vault {{ address = \"ADDR\" vault_agent_token_file = \"DIR/token\" retry {{ attempts = 2 backoff = \"10ms\" }} }}
        template {{ contents = <<EOT\n{body}\nEOT\n destination = \"DIR/out\" command = \"env > DIR/command-env; cat /proc/$$/cmdline > DIR/command-line\" }}
        exec {{ command = \"env > DIR/exec-env; cat /proc/self/cmdline > DIR/exec-line; sleep 30\" kill_timeout = \"1s\" }}"
    );
    let invocation = estate.invocation(&config, &["-log-level", "trace"]);
    let mut task = background(invocation);
    until("the program runs", || estate.path("exec-line").exists()).await;
    for value in PLANTED {
        assert!(estate.read("out").contains(value), "it is where it belongs");
    }
    // Our own arguments and variables, and those of every process below us.
    let mut listing = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for name in ["cmdline", "environ"] {
            listing += &String::from_utf8_lossy(&std::fs::read(entry.path().join(name)).unwrap_or_default());
        }
    }
    task.shutdown().await;
    // Templates that fail in the middle of secrets.
    let mut shown = String::new();
    for wrong in [
        "{{with secret \"secret/shop/db\"}}{{.Data.data.password | parseInt}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{index .Data.data.items 7}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{parseJSON .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{sprig_fail .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{template .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{executeTemplate .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{secret .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{file .Data.data.password}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{.Data.data.password | regexMatch .Data.data.key}}{{lt .Data.data.password 3}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{mustEnv .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{timestamp .Data.data.key .Data.data.key}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{base64Decode .Data.data.key}}{{end}}",
        "{{parseYAML (print \"a: [\" (file \"DIR/in\"))}}",
        "{{with secret \"secret/shop/db\"}}{{\"x\" | writeToFile (print \"/proc/\" .Data.data.key) \"\" \"\" \"0600\"}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{\"x\" | writeToFile \"DIR/beside\" .Data.data.key \"\" \"0600\"}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{\"x\" | writeToFile \"DIR/beside\" \"\" .Data.data.key \"0600\"}}{{end}}",
        "{{with secret \"secret/shop/db\"}}{{file (print \"  \" .Data.data.key \"  \")}}{{end}}",
    ] {
        if let Err(error) = estate.run(&template(wrong, ""), &["-once"]).await {
            shown += &format!("{} {error:?}\n", chain(&error));
        } else {
            panic!("{wrong} should fail");
        }
    }
    let log = String::from_utf8_lossy(&logs().lock().unwrap()).into_owned();
    assert!(log.len() > 1000, "something is logged");
    let others = ["command-env", "command-line", "exec-env", "exec-line"]
        .map(|name| estate.read(name))
        .concat();
    for (place, text) in [
        ("a listing of processes", &listing),
        ("an error", &shown),
        ("a log", &log),
        ("a program", &others),
    ] {
        for value in PLANTED.iter().copied().chain([estate.token.as_str()]) {
            assert!(
                !text.contains(value),
                "{place} shows {value}: …{}",
                around(text, value)
            );
        }
    }
    // No file but those that templates name, and the server's own storage, has a value in it.
    for entry in std::fs::read_dir(estate.dir.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
    {
        let name = entry.file_name().into_string().unwrap();
        if !matches!(name.as_str(), "in" | "out" | "token") {
            let text = estate.read(&name);
            assert!(PLANTED.iter().all(|value| !text.contains(value)), "{name}");
        }
    }
    estate.stop().await;
}

fn around(text: &str, value: &str) -> String {
    let at = text.find(value).unwrap_or(0);
    text.get(at.saturating_sub(200)..(at + 60).min(text.len()))
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_in_its_file_is_used_and_leases_follow() {
    let estate = Estate::start().await;
    let short = estate.new_token("2s").await;
    std::fs::write(estate.path("token"), &short).unwrap();
    let config = format!(
        "{}vault {{ vault_agent_token_file = \"DIR/token\" default_lease_duration = \"300ms\" }}",
        template("{{with secret \"secret/shop/db\"}}{{.Data.data.user}}{{end}}", "")
            .replace("attempts = 3", "attempts = 0")
    );
    let invocation = estate.invocation(&config, &[]);
    let mut task = background(invocation);
    until("the first rendering", || estate.read("out").trim() == "shop").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    std::fs::write(estate.path("token"), estate.new_token("1h").await).unwrap();
    estate
        .root
        .write("secret/shop/db", &json!({"user": "changed"}))
        .await
        .unwrap();
    until("the new value with the new token", || {
        estate.read("out").trim() == "changed"
    })
    .await;
    assert!(task.try_join_next().is_none());
    task.shutdown().await;
    estate.stop().await;
}
