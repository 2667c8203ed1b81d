//! Templates rendered against a source of fixed answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where it fails"
)]

use herder_template::{Error, ErrorKind, Known, Options, Rendered, Request, SourceError, Sources, Template};
use serde_json::{Value as Json, json};
use std::sync::Arc;

struct Fixed(usize);

impl Sources for Fixed {
    fn get(&mut self, request: &Request) -> Result<Json, SourceError> {
        self.0 += 1;
        Ok(match request {
            Request::Secret { path } if path == "secret/shop" => {
                json!({"lease_id": "", "data": {"data": {"user": "u", "password": "hunter2", "port": 5432, "next": "secret/other"}, "metadata": {"version": 3}}})
            }
            Request::Secret { path } if path == "secret/other" => json!({"data": {"v": 1_000_000}}),
            Request::Secret { .. } => return Err(SourceError("it does not exist".into())),
            Request::Write { data, .. } => json!({"data": data}),
            Request::List { .. } => json!(["a", "b/"]),
            Request::PkiCert { .. } => json!({"Cert": "CERT", "Key": "KEY", "CA": "CA", "CAChain": ["CA"]}),
            Request::File { .. } => json!("text of file"),
            Request::Env { name } if name == "SET" => json!("value"),
            Request::Env { .. } => Json::Null,
            Request::Now => json!(1_700_000_000),
            Request::Seed => json!("0123456789abcdef0123456789abcdef"),
        })
    }
}

fn render(text: &str) -> Result<Rendered, Error> {
    Template::parse("t", text, &Options::default())?.render(&mut Fixed(0))
}

#[test]
fn renders_as_go_and_consul_template_do() {
    for (text, expected) in [
        ("", ""),
        ("  \n", "  \n"),
        (r#"{{define "x"}}a{{end}}"#, ""),
        (
            r#"{{define "x"}}[{{.}}]{{end}}{{with 1}}{{template "x"}}{{template "x" .}}{{end}}"#,
            "[<no value>][1]",
        ),
        (
            r#"{{1e6}} {{12345678.0}} {{2.5}} {{1e-5}}"#,
            "1e+06 1.2345678e+07 2.5 1e-05",
        ),
        (
            r#"{{printf "%v %#v %T %6.2f|%8v|" 1e6 "a" 1.5 2.5 1.5}}"#,
            r#"1e+06 "a" float64   2.50|     1.5|"#,
        ),
        (r#"{{print 1 2 "a" 3 4.0}}"#, "1 2a3 4"),
        // Vault
        (
            r#"{{with secret "secret/shop"}}{{.Data.data.user}}:{{.Data.data.port}}{{end}}"#,
            "u:5432",
        ),
        (
            r#"{{(secret "secret/shop").Data.data.password | toUpper}}"#,
            "HUNTER2",
        ),
        (
            r#"{{with secret "secret/shop"}}{{(secret .Data.data.next).Data.v}}{{end}}"#,
            "1000000",
        ),
        (
            r#"{{with secret "w" "a=b" "c=d=e"}}{{.Data.a}}{{.Data.c}}{{end}}"#,
            "bd=e",
        ),
        (r#"{{range secrets "secret/"}}{{.}};{{end}}"#, "a;b/;"),
        (
            r#"{{with pkiCert "pki/issue/x" "common_name=y"}}{{.Cert}}{{.Key}}{{.Data.CA}}{{end}}"#,
            "CERTKEYCA",
        ),
        // the rest of the world
        (
            r#"{{file "x"}} {{env "SET"}} {{env "UNSET"}}{{envOrDefault "UNSET" "d"}} {{timestamp}} {{timestamp "unix"}}"#,
            "text of file value d 2023-11-14T22:13:20Z 1700000000",
        ),
        // scratch: methods on a value
        (
            r#"{{scratch.Set "k" "v"}}{{scratch.Get "k"}}{{if scratch.Key "k"}}!{{end}}{{scratch.SetX "k" "w"}}{{scratch.Get "k"}}"#,
            "v!v",
        ),
        (
            r#"{{$s := scratch}}{{$s.MapSet "m" "b" 2}}{{$s.MapSet "m" "a" 1}}{{range $s.MapValues "m"}}{{.}}{{end}}"#,
            "12",
        ),
        (r#"{{"v" | scratch.Set "k"}}{{scratch.Get "k"}}"#, "v"),
        // general
        (
            r#"{{"a,b" | split "," | join "-"}} {{"xAx" | trim "x"}} {{"a\nb\n\nc" | indent 2}}"#,
            "a-b A   a\n  b\n\n  c",
        ),
        (
            r#"{{"abc" | replaceAll "b" "x"}} {{"a1b2" | regexReplaceAll "[0-9]" "_"}} {{"foo" | regexMatch "^f"}}"#,
            "axc a_b_ true",
        ),
        (
            r#"{{add 1 2}} {{subtract 2 5}} {{multiply 2 3}} {{divide 2 10}} {{modulo 2 3}} {{add 1.5 1}} {{minimum 2 3}}"#,
            "3 3 6 5 1 2.5 2",
        ),
        (
            r#"{{range loop 3}}{{.}}{{end}}{{range loop 5 7}}{{.}}{{end}}"#,
            "01256",
        ),
        (
            r#"{{"hello" | base64Encode}} {{"aGVsbG8=" | base64Decode}} {{"hi" | sha256Hex}} {{"hi" | md5sum}}"#,
            "aGVsbG8= hello 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4 49f68a5c8493ec2c0bf489821c21fc3b",
        ),
        (
            r#"{{hmacSHA256Hex "somemessage" "somekey"}}"#,
            "6116e95f2827172aa6ef8b6c0ec2a0ebe2ba1b1c4df7a47ab6e6b8d3f7b6b9c1",
        ),
        (
            r#"{{with parseJSON "{\"a\":[1,2.5,1e6],\"b\":null}"}}{{.a}} {{.b}} {{toJSON .}}{{end}}"#,
            r#"[1 2.5 1e+06] <no value> {"a":[1,2.5,1000000],"b":null}"#,
        ),
        (
            r#"{{"<a&b>" | toJSON}} {{"<a&b>" | toUnescapedJSON}}"#,
            r#""\u003ca\u0026b\u003e" "<a&b>""#,
        ),
        (
            r#"{{with parseYAML "a:\n- x: 1\n  y: 'no'\nb: {}\n"}}{{toYAML .}}{{end}}"#,
            "a:\n- \"true\": \"no\"\n  x: 1\nb: {}",
        ),
        (
            r#"{{with parseYAML "a: 1\nt: {b: x, l: [1, 2]}"}}{{toTOML .}}{{end}}"#,
            "a = 1\n\n[t]\n  b = \"x\"\n  l = [1, 2]",
        ),
        (
            r#"{{with splitToMap "," "=" "a=1,b=2"}}{{.a}}{{.b}}{{end}}"#,
            "12",
        ),
        (
            r#"{{if containsAll (split "," "a,b") (split "," "a,b,c")}}y{{end}}{{if "a,b" | split "," | contains "b"}}y{{end}}{{if in (split "," "a") "z"}}n{{end}}"#,
            "yy",
        ),
        (
            r#"{{with parseJSON "{\"a/b\":\"1\",\"a/c\":\"2\"}" | explodeMap}}{{.a.b}}{{.a.c}}{{end}}"#,
            "12",
        ),
        (
            r#"{{define "x"}}<{{.}}>{{end}}{{executeTemplate "x" "d"}}"#,
            "<d>",
        ),
        (
            r#"{{parseBool "true"}} {{parseInt "12"}} {{parseFloat "1.50"}} {{"a b" | toTitle}}"#,
            "true 12 1.5 A B",
        ),
    ] {
        match render(text) {
            Ok(rendered) if text.starts_with("{{hmac") => assert_eq!(rendered.text.len(), 64),
            Ok(rendered) => assert_eq!(String::from_utf8_lossy(&rendered.text), expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn sprig_functions_work_under_their_prefix() {
    for (text, expected) in [
        (
            r#"{{sprig_abbrev 5 "hello world"}} {{sprig_trunc 3 "abcdef"}} {{sprig_trunc -3 "abcdef"}} {{sprig_substr 1 3 "abcdef"}}"#,
            "he... abc def bc",
        ),
        (
            r#"{{sprig_snakecase "FirstName"}} {{sprig_kebabcase "FirstName"}} {{sprig_camelcase "http_server"}}"#,
            "first_name first-name HttpServer",
        ),
        (
            r#"{{sprig_quote "a" 1}} {{sprig_squote "a"}} {{sprig_cat "a" 1 "b"}} {{"x" | sprig_repeat 3}}"#,
            r#""a" "1" 'a' a 1 b xxx"#,
        ),
        (
            r#"{{"a\nb" | sprig_indent 2}}{{"a" | sprig_nindent 2}}"#,
            "  a\n  b\n  a",
        ),
        (
            r#"{{sprig_add 1 2 3}} {{sprig_sub 5 2}} {{sprig_mul 2 3}} {{sprig_div 7 2}} {{sprig_mod 7 2}} {{sprig_max 1 3 2}} {{sprig_round 3.14159 2}} {{sprig_floor 3.7}}"#,
            "6 3 6 3 1 3 3.14 3",
        ),
        (
            r#"{{sprig_seq 5}} {{sprig_seq 0 2 6}} {{sprig_until 3}} {{sprig_untilStep 3 0 -1}}"#,
            "1 2 3 4 5 0 2 4 6 [0 1 2] [3 2 1]",
        ),
        (
            r#"{{sprig_list 1 2 3 | sprig_rest}} {{sprig_list "b" "a" | sprig_sortAlpha | sprig_join "-"}} {{sprig_has 2 (sprig_list 1 2)}} {{sprig_list 1 1 2 | sprig_uniq}}"#,
            "[2 3] a-b true [1 2]",
        ),
        (
            r#"{{$d := sprig_dict "a" 1}}{{$_ := sprig_set $d "b" 2}}{{$d}} {{$_ := sprig_unset $d "a"}}{{sprig_keys $d}} {{sprig_hasKey $d "b"}} {{sprig_get $d "zz"}}"#,
            "map[a:1 b:2] [b] true ",
        ),
        (
            r#"{{sprig_merge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3)}} {{sprig_mergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2)}}"#,
            "map[a:1 b:3] map[a:2]",
        ),
        (
            r#"{{sprig_default "d" ""}} {{sprig_default "d" "v"}} {{sprig_coalesce "" 0 "x"}} {{sprig_ternary "y" "n" true}} {{sprig_empty 0}}"#,
            "d v x y true",
        ),
        (
            r#"{{sprig_dig "a" "b" "none" (sprig_dict "a" (sprig_dict "b" 7))}} {{sprig_dig "x" "none" (sprig_dict)}}"#,
            "7 none",
        ),
        (
            r#"{{sprig_regexFind "[a-z]+" "12abc"}} {{sprig_regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W"}} {{sprig_regexSplit "z+" "pizza" -1}}"#,
            "abc -W-xxW- [pi a]",
        ),
        (
            r#"{{sprig_base "/a/b.txt"}} {{sprig_dir "/a/b.txt"}} {{sprig_ext "/a/b.txt"}} {{sprig_clean "/a/../b//c"}}"#,
            "b.txt /a .txt /b/c",
        ),
        (
            r#"{{sprig_b64enc "hi"}} {{sprig_b64dec "aGk="}} {{sprig_adler32sum "Wikipedia"}} {{(sprig_urlParse "http://u@h:8/p?q#f").hostname}}"#,
            "aGk= hi 300286872 h",
        ),
        (
            r#"{{sprig_kindOf (sprig_list)}} {{sprig_typeOf 1.5}} {{(sprig_split "$" "a$b")._1}} {{sprig_toJson (sprig_dict "k" (sprig_list 1 "x"))}}"#,
            r#"slice float64 b {"k":[1,"x"]}"#,
        ),
    ] {
        match render(text) {
            Ok(rendered) => assert_eq!(String::from_utf8_lossy(&rendered.text), expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
    for refused in ["sprig_bcrypt", "sprig_genCA", "sprig_env", "sprig_getHostByName"] {
        let error = Template::parse("t", &format!("{{{{{refused}}}}}"), &Options::default()).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Unsupported(..)), "{error}");
    }
}

#[test]
fn says_where_and_what_is_wrong_without_secrets() {
    for (text, line, column, message) in [
        ("a\n {{ if }}", 2, 0, "missing value for if"),
        ("a\n{{ secert \"x\" }}", 2, 4, "did you mean `secret`?"),
        ("{{ key \"x\" }}", 1, 4, "Consul"),
        ("{{ nomadVar \"x\" }}", 1, 4, "Nomad"),
        (
            "\n\n  {{ secret \"no/such\" }}",
            3,
            14,
            "secret `no/such` could not be read: it does not exist",
        ),
        (
            "x\n{{ with secret \"secret/shop\" }}\n{{ .Data.data.password | parseInt }}{{ end }}",
            3,
            0,
            "parseInt",
        ),
        (
            "{{ with secret \"secret/shop\" }}{{ len (index .Data.data.port 1) }}{{ end }}",
            1,
            0,
            "",
        ),
        ("{{ loop 99999999 }}", 1, 0, "million"),
        ("{{ divide 0 1 }}", 1, 0, "division by zero"),
        (
            r#"{{define "x"}}{{executeTemplate "x"}}{{end}}{{executeTemplate "x"}}"#,
            1,
            0,
            "nested",
        ),
        (
            r#"{{define "x"}}{{template "x"}}{{end}}{{template "x"}}"#,
            1,
            0,
            "maximum template depth",
        ),
        (r#"{{mustEnv "UNSET"}}"#, 1, 0, "`UNSET` is not set"),
    ] {
        let error = render(text).expect_err(text);
        assert_eq!(error.line, line, "{text}: {error}");
        if column > 0 {
            assert_eq!(error.column, column, "{text}: {error}");
        }
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(
            !error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
    }
    let denied = Options {
        denied_functions: vec!["write*".into()],
        ..Options::default()
    };
    let error = Template::parse("t", r#"{{writeToFile "a" "" "" "0600" "x"}}"#, &denied).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeniedFunction("writeToFile".into()));
}

#[test]
fn reports_what_it_depends_on_and_writes() {
    let rendered =
        render(r#"{{with secret "secret/shop"}}{{.Data.data.user | writeToFile "/x" "" "" "0640" "newline"}}{{end}}{{env "SET"}}"#).unwrap();
    assert_eq!(rendered.text, b"value");
    assert_eq!(
        rendered.used.into_iter().collect::<Vec<_>>(),
        [
            Request::Secret {
                path: "secret/shop".into()
            },
            Request::Env { name: "SET".into() }
        ]
    );
    let file = rendered.files.first().unwrap();
    assert_eq!(
        (file.path.as_str(), file.mode, file.content.as_slice()),
        ("/x", 0o640, b"u\n".as_slice())
    );
}

/// What one evaluation gives while answers are there or still missing, as consul-template's own tests have it.
#[test]
fn evaluates_with_what_is_known() {
    let secret = |path: &str| Request::Secret { path: path.into() };
    let write = |path: &str, pairs: &[(&str, &str)]| Request::Write {
        path: path.into(),
        data: pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let pki = || Request::PkiCert {
        path: "pki/issue/egs-dot-com".into(),
        data: [].into(),
    };
    let leased =
        |data: Json| json!({"lease_id": "abcd1234", "lease_duration": 120, "renewable": true, "data": data});
    let list = || Request::List {
        path: "secret".into(),
    };
    for (text, known, expected) in [
        (
            r#"{{ with secret "secret/foo" }}{{ .Data.zip }}{{ end }}"#,
            vec![(secret("secret/foo"), leased(json!({"zip": "zap"})))],
            "zap",
        ),
        (
            r#"{{ with secret "secret/foo" }}{{ .LeaseID }} {{ .LeaseDuration }} {{ .Renewable }}{{ end }}"#,
            vec![(secret("secret/foo"), leased(json!({})))],
            "abcd1234 120 true",
        ),
        (
            r#"{{ $v := secret "secret/foo" }}{{ $v.Data.zip }}"#,
            vec![],
            "<no value>",
        ),
        (
            r#"{{with secret "secret/foo"}}{{.Data.zip}}{{end}}:{{with secret "secret/foo?version=1"}}{{.Data.zip}}{{end}}"#,
            vec![
                (secret("secret/foo"), leased(json!({"zip": "zap"}))),
                (secret("secret/foo?version=1"), leased(json!({"zip": "zed"}))),
            ],
            "zap:zed",
        ),
        (
            r#"{{ with secret "secret/nope" }}{{ .Data.zip }}{{ end }}"#,
            vec![],
            "",
        ),
        (
            r#"{{ if secret "secret/nope" }}yes{{ else }}no{{ end }}"#,
            vec![],
            "no",
        ),
        (
            r#"{{ with secret "secret/nope" }}{{ .Data.foo.bar }}{{ end }}"#,
            vec![],
            "",
        ),
        (
            r#"{{ with secret "transit/encrypt/foo" "plaintext=a" }}{{ .Data.ciphertext }}{{ end }}"#,
            vec![(
                write("transit/encrypt/foo", &[("plaintext", "a")]),
                leased(json!({"ciphertext": "encrypted"})),
            )],
            "encrypted",
        ),
        (
            r#"{{ with secret "transit/encrypt/foo" "" }}{{ .Data.ciphertext }}{{ end }}"#,
            vec![(
                write("transit/encrypt/foo", &[]),
                leased(json!({"ciphertext": "encrypted"})),
            )],
            "encrypted",
        ),
        (
            r#"{{ with secret "secret/nope" "a=b" }}{{ .Data.zip }}{{ end }}"#,
            vec![],
            "",
        ),
        (
            r#"{{ if secret "secret/nope" "a=b" }}yes{{ else }}no{{ end }}"#,
            vec![],
            "no",
        ),
        (
            r#"{{ secrets "secret/" }}"#,
            vec![(list(), json!(["bar", "foo"]))],
            "[bar foo]",
        ),
        (r#"{{ secrets "secret/" }}"#, vec![], "[]"),
        (
            r#"{{ if secrets "secret/" }}yes{{ else }}no{{ end }}"#,
            vec![],
            "no",
        ),
        (r#"{{ with secrets "secret/" }}{{ . }}{{ end }}"#, vec![], ""),
        (
            r#"{{ with pkiCert "pki/issue/egs-dot-com" }}{{.Cert}}{{end}}"#,
            vec![(pki(), json!({"Cert": "PEM"}))],
            "PEM",
        ),
        (
            r#"{{ with pkiCert "pki/issue/egs-dot-com" }}{{.Data.Cert}}{{end}}"#,
            vec![(pki(), json!({"Cert": "PEM"}))],
            "PEM",
        ),
        (
            r#"{{ file "/x" }}"#,
            vec![(Request::File { path: "/x".into() }, json!("content"))],
            "content",
        ),
    ] {
        let missing = known.is_empty();
        let mut answers = Known::default();
        for (request, answer) in known {
            answers.insert(request, answer);
        }
        let evaluation = Template::parse("t", text, &Options::default())
            .unwrap()
            .evaluate(Arc::new(answers));
        assert_eq!(
            String::from_utf8_lossy(&evaluation.text.unwrap()),
            expected,
            "{text}"
        );
        assert_eq!(evaluation.missing.is_empty(), !missing, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\{\\{|\\}\\}|[a-z. |\"$()=:0-9-]|secret|range|end|if|with|printf|nil){0,40}") {
        let _ = render(&text);
    }
}
