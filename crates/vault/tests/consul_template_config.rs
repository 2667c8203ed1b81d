//! consul-template's configuration and flags: what upstream's own tests say they mean, as tables of our own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use herder_vault::consul_template::{
    FLAGS, Invocation, Settings, read_text, setting_names, template_triple, usage,
};

fn read(text: &str) -> Settings {
    let mut settings = Settings::default();
    read_text(&mut settings, "c.hcl", text).unwrap_or_else(|error| panic!("{text}: {error}"));
    settings
}

/// What a configuration says, as text, without what it does not say.
fn shown(settings: &Settings) -> String {
    let all = format!("{settings:?}");
    let vault = &settings.vault;
    let vault = format!(
        "addr={:?} ns={:?} file={:?} renew={:?} unwrap={:?} retry={:?}/{:?}/{:?}/{:?} ssl={:?} ca={:?}/{:?} cert={:?}/{:?} name={:?} verify={:?} dial={:?} lease={:?}/{:?} k8s={:?}/{:?}/{:?} token={}",
        vault.address,
        vault.namespace,
        vault.token_file,
        vault.renew_token,
        vault.unwrap_token,
        vault.retry_enabled,
        vault.retry_attempts,
        vault.retry_backoff,
        vault.retry_max_backoff,
        vault.ssl_enabled,
        vault.ca_cert,
        vault.ca_path,
        vault.cert,
        vault.key,
        vault.server_name,
        vault.ssl_verify,
        vault.dial_timeout,
        vault.default_lease_duration,
        vault.lease_renewal_threshold,
        vault.k8s_role,
        vault.k8s_token_path,
        vault.k8s_mount,
        vault.token.is_some()
    );
    format!("{all} {vault}")
}

/// A setting, and what it must make of everything.
const SETTINGS: &[(&str, &[&str])] = &[
    (r#"log_level = "debug""#, &["log_level: Some(\"debug\")"]),
    (r#"pid_file = "/run/x""#, &["pid_file: Some(\"/run/x\")"]),
    (r#"kill_signal = "SIGUSR1""#, &["kill_signal: Some(SIGUSR1)"]),
    (r#"reload_signal = "usr2""#, &["reload_signal: Some(SIGUSR2)"]),
    (r#"reload_signal = """#, &["reload_signal: None"]),
    (
        r#"log_file { path = "/var/log/x" }"#,
        &["log_file: Some(\"/var/log/x\")"],
    ),
    (
        r#"default_delimiters { left = "<" right = ">" }"#,
        &["left_delimiter: Some(\"<\")", "right_delimiter: Some(\">\")"],
    ),
    (
        "template_error_fatal = false",
        &["template_error_fatal: Some(false)"],
    ),
    ("max_stale = \"10s\"", &["`max_stale` is about Consul"]),
    (
        "deduplicate { enabled = false }",
        &["`deduplicate` is about Consul"],
    ),
    (
        "syslog { enabled = true facility = \"LOCAL1\" name = \"x\" }",
        &["there is no syslog here"],
    ),
    (
        r#"wait = "5s:10s""#,
        &["wait: Some(Wait { min: 5s, max: 10s, disabled: false })"],
    ),
    (r#"wait = "5s""#, &["min: 5s, max: 20s"]),
    (r#"wait { min = "1s" max = "3s" }"#, &["min: 1s, max: 3s"]),
    (r#"wait { min = "1s" }"#, &["min: 1s, max: 4s"]),
    (
        r#"wait { enabled = false min = "1s" max = "2s" }"#,
        &["disabled: true"],
    ),
    (r#"exec { command = "prog -a" }"#, &["command: [\"prog -a\"]"]),
    (
        r#"exec { command = ["prog", "-a"] }"#,
        &["command: [\"prog\", \"-a\"]"],
    ),
    (r#"exec = "prog""#, &["command: [\"prog\"]"]),
    (
        r#"exec { splay = "3s" timeout = "5s" kill_timeout = "7s" enabled = true }"#,
        &[
            "splay: Some(3s)",
            "timeout: Some(5s)",
            "kill_timeout: Some(7s)",
            "enabled: Some(true)",
        ],
    ),
    (
        r#"exec { kill_signal = "SIGTERM" reload_signal = "SIGHUP" }"#,
        &["kill_signal: Some(SIGTERM)", "reload_signal: Some(SIGHUP)"],
    ),
    (
        r#"exec { env { pristine = true custom = ["A=b"] allowlist = ["P*"] denylist = ["Q"] } }"#,
        &[
            "pristine: Some(true)",
            "custom: [\"A=b\"]",
            "allowlist: [\"P*\"]",
            "denylist: [\"Q\"]",
        ],
    ),
    (
        r#"exec { env { whitelist = ["P*"] blacklist = ["Q"] } }"#,
        &["allowlist: [\"P*\"]", "denylist: [\"Q\"]"],
    ),
    (
        r#"template { source = "a" destination = "b" }"#,
        &["source: Some(\"a\")", "destination: Some(\"b\")"],
    ),
    (
        "template { contents = <<EOT\nline {{ 1 }}\nEOT\n destination = \"b\" }",
        &["contents: Some(\"line {{ 1 }}\\n\")"],
    ),
    (
        "template { contents = <<-EOT\n    a\n      b\n    EOT\n destination = \"b\" }",
        &["contents: Some(\"a\\n  b\\n\")"],
    ),
    (r#"template { backup = true }"#, &["backup: Some(true)"]),
    (
        r#"template { command = "c" command_timeout = "10s" }"#,
        &["command: [\"c\"], command_timeout: Some(10s)"],
    ),
    (
        r#"template { command = ["c", "d"] }"#,
        &["command: [\"c\", \"d\"]"],
    ),
    (
        r#"template { create_dest_dirs = false }"#,
        &["create_dest_dirs: Some(false)"],
    ),
    (
        r#"template { error_on_missing_key = true error_fatal = false }"#,
        &["error_on_missing_key: Some(true)", "error_fatal: Some(false)"],
    ),
    (r#"template { perms = "0640" }"#, &["perms: Some(416)"]),
    (r#"template { perms = 0640 }"#, &["perms: Some(416)"]),
    (
        r#"template { user = "u" group = "g" }"#,
        &["user: Some(\"u\")", "group: Some(\"g\")"],
    ),
    (
        r#"template { uid = 1 gid = 2 }"#,
        &["uid: Some(1)", "gid: Some(2)"],
    ),
    (
        r#"template { wait { min = "1s" max = "2s" } }"#,
        &["wait: Some(Wait { min: 1s, max: 2s"],
    ),
    (
        r#"template { left_delimiter = "<" right_delimiter = ">" }"#,
        &["left_delimiter: Some(\"<\"), right_delimiter: Some(\">\")"],
    ),
    (
        r#"template { function_denylist = ["a", "b"] function_blacklist = ["c"] }"#,
        &["function_denylist: [\"a\", \"b\", \"c\"]"],
    ),
    (
        r#"template { sandbox_path = "/s" }"#,
        &["sandbox_path: Some(\"/s\")"],
    ),
    (
        r#"template { exec { command = "x" timeout = "3s" } }"#,
        &["command: [\"x\"]", "timeout: Some(3s)"],
    ),
    (
        "template { source = \"a\" }\ntemplate { source = \"b\" }",
        &["source: Some(\"a\")", "source: Some(\"b\")"],
    ),
    (
        r#"vault { address = "http://v:1" }"#,
        &["addr=Some(\"http://v:1\")"],
    ),
    (r#"vault { token = "t" }"#, &["token=true"]),
    (r#"vault { namespace = "n" }"#, &["ns=Some(\"n\")"]),
    (
        r#"vault { vault_agent_token_file = "/t" }"#,
        &["file=Some(\"/t\")"],
    ),
    (
        r#"vault { renew_token = false unwrap_token = true }"#,
        &["renew=Some(false) unwrap=Some(true)"],
    ),
    (
        r#"vault { retry { enabled = true attempts = 3 backoff = "1s" max_backoff = "2s" } }"#,
        &["retry=Some(true)/Some(3)/Some(1s)/Some(2s)"],
    ),
    (
        r#"vault { ssl { enabled = true verify = true ca_cert = "c" ca_path = "p" cert = "a" key = "k" server_name = "s" } }"#,
        &[
            "ssl=Some(true) ca=Some(\"c\")/Some(\"p\") cert=Some(\"a\")/Some(\"k\") name=Some(\"s\") verify=Some(true)",
        ],
    ),
    (
        r#"vault { transport { dial_timeout = "9s" dial_keep_alive = "1s" disable_keep_alives = true idle_conn_timeout = "1s" max_idle_conns = 1 max_idle_conns_per_host = 2 max_conns_per_host = 3 tls_handshake_timeout = "1s" } }"#,
        &["dial=Some(9s)"],
    ),
    (
        r#"vault { default_lease_duration = "60s" lease_renewal_threshold = 0.7 }"#,
        &["lease=Some(60s)/Some(0.7)"],
    ),
    (
        r#"vault { k8s_auth_role_name = "r" k8s_service_account_token_path = "/p" k8s_service_mount_path = "m" }"#,
        &["k8s=Some(\"r\")/Some(\"/p\")/Some(\"m\")"],
    ),
    (
        "# a comment\n// another\n/* and\none */ log_level = \"info\"",
        &["log_level: Some(\"info\")"],
    ),
    (
        r#"{"log_level": "info", "template": [{"source": "a", "perms": "0600"}, {"source": "b", "wait": {"min": "1s"}}], "vault": {"address": "x", "retry": {"attempts": 4}}}"#,
        &[
            "log_level: Some(\"info\")",
            "source: Some(\"a\")",
            "perms: Some(384)",
            "source: Some(\"b\")",
            "retry=None/Some(4)",
        ],
    ),
    (
        "log_level = \"a\"\nlog_level = \"b\"",
        &["log_level: Some(\"b\")"],
    ),
];

#[test]
fn settings_mean_what_they_say() {
    for (text, wanted) in SETTINGS {
        let shown = shown(&read(text));
        for part in *wanted {
            assert!(shown.contains(part), "{text}\nlacks {part}\nin {shown}");
        }
    }
    // Each setting that there is stands in the table.
    let table: String = SETTINGS.iter().map(|(text, _)| *text).collect();
    for name in setting_names() {
        let last = name.rsplit('.').next().unwrap();
        let elsewhere = [
            "consul",
            "nomad",
            "block_query_wait",
            "err_on_failed_lookup",
            "client_user_agent",
            "ca_cert_bytes",
            "k8s_service_account_token",
            "bool",
            "log_rotate_bytes",
            "log_rotate_duration",
            "log_rotate_max_files",
        ];
        assert!(
            table.contains(last) || elsewhere.contains(&last),
            "{name} is not tested"
        );
    }
}

#[test]
fn wrong_settings_are_placed_and_named() {
    for (text, wanted) in [
        (
            "log_levle = \"x\"",
            "c.hcl:1: there is no setting `log_levle`; did you mean `log_level`?",
        ),
        (
            "vault {\n  adress = \"x\"\n}",
            "c.hcl:2: there is no setting `vault.adress`; did you mean `address`?",
        ),
        (
            "vault {\n  retry {\n    atempts = 3\n  }\n}",
            "c.hcl:3: there is no setting `vault.retry.atempts`; did you mean `attempts`?",
        ),
        (
            "\n\ntemplate {\n  sorce = \"x\"\n}",
            "c.hcl:4: there is no setting `template.sorce`; did you mean `source`?",
        ),
        (
            "{\n \"vault\": {\n  \"adress\": 1}}",
            "c.hcl:3: there is no setting `vault.adress`",
        ),
        (
            "consul { address = \"x\" }",
            "c.hcl:1: `consul` belongs to Consul",
        ),
        ("nomad { address = \"x\" }", "c.hcl:1: `nomad` belongs to Nomad"),
        (
            "deduplicate { enabled = true }",
            "`deduplicate` belongs to Consul",
        ),
        ("wait = \"10s:5s\"", "the maximum is less than the minimum"),
        ("wait = \"x\"", "c.hcl:1: `wait` takes a time"),
        ("wait = \"9000000h\"", "`wait` takes at most a hundred years"),
        ("wait { min = \"9e18s\" }", "`wait.min` takes"),
        (
            "vault { retry { backoff = \"5000000000h\" } }",
            "`vault.retry.backoff` takes at most a hundred years",
        ),
        (
            "template { perms = \"rw\" }",
            "c.hcl:1: `template.perms` takes permission bits",
        ),
        (
            "kill_signal = \"SIGNOPE\"",
            "c.hcl:1: `kill_signal` takes the name of a signal",
        ),
        (
            "vault { renew_token = \"maybe\" }",
            "`vault.renew_token` takes true or false",
        ),
        (
            "vault { retry { attempts = -1 } }",
            "`vault.retry.attempts` takes a whole number",
        ),
        (
            "vault { lease_renewal_threshold = 2 }",
            "takes a part between 0 and 1",
        ),
        ("vault = \"x\"", "`vault` takes a block"),
        ("a", "c.hcl:1: `a` is followed by neither"),
        ("a = \"x", "text in quotes does not end"),
        ("a = b", "a value is neither"),
        ("vault {", "a block does not end"),
        ("{ x", "this is no JSON"),
    ] {
        let mut settings = Settings::default();
        let error = read_text(&mut settings, "c.hcl", text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}\n{error}");
    }
    // A wrong file does not print what is in it.
    let mut settings = Settings::default();
    let error = read_text(&mut settings, "c", "vault { token = \"hvs.sesame\n\" }").unwrap_err();
    assert!(!error.to_string().contains("sesame"), "{error}");
}

#[test]
fn triples() {
    for (text, source, destination, command) in [
        ("a", "a", "", ""),
        ("a:b", "a", "b", ""),
        ("a:b:c", "a", "b", "c"),
        ("a:b:c:d:e", "a", "b", "c:d:e"),
        (
            "/t/a.ctmpl:/o/b.conf:service x restart",
            "/t/a.ctmpl",
            "/o/b.conf",
            "service x restart",
        ),
    ] {
        let template = template_triple(text).unwrap();
        let path =
            |path: Option<std::path::PathBuf>| path.map(|p| p.display().to_string()).unwrap_or_default();
        assert_eq!(path(template.source), source);
        assert_eq!(path(template.destination), destination);
        assert_eq!(template.command.join(" "), command);
    }
    for text in ["", " ", ":"] {
        assert!(template_triple(text).is_err(), "{text}");
    }
}

fn flags(words: &[&str]) -> Result<Invocation, String> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    Invocation::read(&words, None).map_err(|error| error.to_string())
}

#[test]
fn flags_have_the_last_word() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.hcl"),
        "log_level = \"a\"\nvault { address = \"http://file\" namespace = \"n\" }",
    )
    .unwrap();
    std::fs::write(dir.path().join("b.json"), r#"{"log_level": "b"}"#).unwrap();
    let config = dir.path().display().to_string();
    let read = flags(&["-vault-addr", "http://flag", "-config", &config, "-once"]).unwrap();
    assert_eq!(
        read.settings.log_level.as_deref(),
        Some("b"),
        "files of a directory in order"
    );
    assert_eq!(read.settings.vault.address.as_deref(), Some("http://flag"));
    assert_eq!(read.settings.vault.namespace.as_deref(), Some("n"));
    assert!(read.once && !read.dry);
    let local = Invocation::read(
        &["-log-level=x".to_owned()],
        Some("pid_file = \"/p\"\nlog_level = \"y\""),
    )
    .unwrap();
    assert_eq!(local.settings.log_level.as_deref(), Some("x"));
    assert!(local.settings.pid_file.is_some());
    // One dash or two, with an equals sign or without.
    for words in [&["-wait", "1s:2s"][..], &["--wait=1s:2s"][..]] {
        assert_eq!(flags(words).unwrap().settings.wait.unwrap().max.as_secs(), 2);
    }
    assert!(!flags(&["-once=false"]).unwrap().once);
    for (words, wanted) in [
        (&["-onec"][..], "-onec: there is no such flag"),
        (&["-vault-adr", "x"][..], "did you mean -vault-addr?"),
        (&["-consul-addr", "x"][..], "-consul-addr: it belongs to Consul"),
        (&["-wait"][..], "-wait: it takes MIN[:MAX]"),
        (&["-exec-kill-signal", "x"][..], "takes the name of a signal"),
        (&["-dedup"][..], "Consul"),
        (&["stray"][..], "flags begin with a dash"),
    ] {
        let error = flags(words).unwrap_err();
        assert!(error.contains(wanted), "{words:?}: {error}");
    }
}

#[test]
fn every_flag_is_read_and_helped() {
    let help = usage();
    for flag in FLAGS {
        let value = match flag.takes {
            "TIME" => "3s",
            "N" => "3",
            "BOOL" | "" => "false",
            "SIGNAL" => "SIGHUP",
            "MIN[:MAX]" => "1s:2s",
            "SRC:DST[:CMD]" => "a:b",
            "NAME=VALUE" => "A=b",
            "PATH" if flag.name == "config" => continue,
            _ => "x",
        };
        flags(&[&format!("-{}={value}", flag.name)]).unwrap_or_else(|error| panic!("{error}"));
        assert!(help.contains(&format!("-{} ", flag.name)), "{}", flag.name);
    }
}

#[test]
fn random_texts_are_read_or_refused() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 20).unwrap() % n
    };
    let pieces = [
        "{", "}", "[", "]", "\"", "=", ":", ",", "<<A\n", "<<-\n", "\nA\n", "/*", "*/", "#", "\\", "\n", "1",
        "0777", "-", "true", "vault", "template", "wait", "ß", "\0", "$",
    ];
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut text = SETTINGS[next(SETTINGS.len())].0.to_owned();
        for _ in 0..next(6) {
            let mut at = next(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            if next(3) == 0 {
                text.truncate(at);
            } else {
                text.insert_str(at, pieces[next(pieces.len())]);
            }
        }
        refused += usize::from(read_text(&mut Settings::default(), "c", &text).is_err());
    }
    assert!(refused > 1000 && refused < 19_000, "{refused}");
    let deep = "vault { retry {".repeat(10_000);
    assert!(read_text(&mut Settings::default(), "c", &deep).is_err());
    let deep = format!("a = {}", "[".repeat(10_000));
    assert!(read_text(&mut Settings::default(), "c", &deep).is_err());
    let deep = format!("{{\"a\": {}", "[".repeat(10_000));
    assert!(read_text(&mut Settings::default(), "c", &deep).is_err());
}
