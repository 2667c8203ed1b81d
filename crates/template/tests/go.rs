//! Templates rendered by Go's own text/template and by this crate must come out the same. The judge is a Go toolchain,
//! named by HERDER_GO or found in PATH; without it the comparison says that it did not happen.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use herder_template::{Options, Request, SourceError, Sources, Template};
use serde_json::{Value, json};

#[path = "judge/mod.rs"]
mod judge;
#[path = "judge/random.rs"]
mod random;

struct Nothing;

impl Sources for Nothing {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        Err(SourceError(format!("{request} is not for this test")))
    }
}

const PROGRAM: &str = r#"
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"text/template"
)

func main() {
	var sources []string
	if err := json.NewDecoder(os.Stdin).Decode(&sources); err != nil {
		panic(err)
	}
	functions := template.FuncMap{
		"parseJSON": func(s string) (v interface{}, err error) { err = json.Unmarshal([]byte(s), &v); return },
	}
	results := []map[string]interface{}{}
	for _, source := range sources {
		var out bytes.Buffer
		t, err := template.New("t").Option("missingkey=zero").Funcs(functions).Parse(source)
		if err == nil {
			err = t.Execute(&out, nil)
		}
		if err != nil {
			results = append(results, map[string]interface{}{"err": err.Error()})
		} else {
			results = append(results, map[string]interface{}{"out": []byte(out.String())})
		}
	}
	json.NewEncoder(os.Stdout).Encode(results)
}
"#;

/// Values as template source.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-7",
    "42",
    "1.5",
    "1e6",
    "1e20",
    "1e21",
    "1e-7",
    "100000.0",
    "123456789.0",
    "0x1F",
    "1_000",
    "'a'",
    "\"\"",
    "\"text\"",
    "\"<a href='x'>&\\\"\"",
    "\"two\\nlines\\t\"",
    "\"äö€\"",
    "true",
    "false",
    "(parseJSON `[1,2.5,\"x\",null,true]`)",
    "(parseJSON `[]`)",
    "(parseJSON `{\"b\":1e6,\"a\":[1,{\"c\":null}]}`)",
    "(parseJSON `{}`)",
    "(parseJSON `12345678`)",
];

const SHAPES: &[&str] = &[
    "{{V}}",
    "{{print V}}",
    "{{println V 1}}",
    "{{print V V \"s\" V}}",
    "{{printf \"%v|%s|%q|%d|%t\" V V V V V}}",
    "{{printf \"%5v|%-5v|%05d|%.2f|%x|%T\" V V V V V V}}",
    "{{printf \"%#v\" V}}",
    "{{printf \"%g %e %8.3f\" V V V}}",
    "{{printf \"%v\"}}",
    "{{printf \"%d%%\" V}}",
    "{{printf \"none\" V}}",
    "{{if V}}yes{{else}}no{{end}}",
    "{{with V}}{{.}}{{else}}none{{end}}",
    "{{range V}}<{{.}}>{{else}}empty{{end}}",
    "{{range $i, $v := V}}{{$i}}={{$v}};{{end}}",
    "{{len V}}",
    "{{index V 0}}",
    "{{index V \"a\"}}",
    "{{slice V 1}}",
    "{{slice V 0 2}}",
    "{{not V}}",
    "{{and V \"last\"}}",
    "{{or V \"last\"}}",
    "{{eq V V}}",
    "{{eq V 1}}",
    "{{eq V \"text\"}}",
    "{{ne V 1.5}}",
    "{{lt V 2}}",
    "{{le V \"text\"}}",
    "{{gt V 1.0}}",
    "{{html V}}",
    "{{js V}}",
    "{{urlquery V}}",
    "{{V | printf \"%v\"}}",
    "{{V | len | print}}",
    "{{$x := V}}{{$x}}",
    "{{$x := 1}}{{if true}}{{$x = V}}{{end}}{{$x}}",
    "{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" V}}{{template \"t\"}}",
    "{{block \"b\" V}}({{.}}){{end}}",
];

const WHOLE: &[&str] = &[
    "",
    " \n",
    "a{{/* c */}}b",
    "a {{- 1 -}} b",
    "{{- /* c */ -}} x",
    "{{\"a\"}}{{`raw\\n`}}",
    "{{range 3}}{{.}}{{end}}",
    "{{range $i := 3}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{end}}",
    "{{range 9}}{{if eq . 4}}{{break}}{{end}}{{.}}{{end}}",
    "{{with 0}}a{{else with 2}}{{.}}{{else}}c{{end}}",
    "{{if false}}a{{else if true}}b{{else}}c{{end}}",
    "{{with parseJSON `{\"a\":{\"b\":[{\"c\":7}]}}`}}{{.a.b}}{{(index .a.b 0).c}}{{.none}}{{.a.none}}{{$}}{{end}}",
    "{{define \"r\"}}{{if lt . 3}}{{.}}{{end}}{{end}}{{template \"r\" 1}}{{template \"r\" 5}}",
    "{{define \"x\"}}1{{end}}{{define \"x\"}}2{{end}}",
    "{{template \"none\"}}",
    "{{if}}x{{end}}",
    "{{end}}",
    "{{range}}",
    "{{.a.b.c}}",
    "{{nil}}",
    "{{1 2}}",
    "{{print nil}}",
    "{{len 3}}",
    "{{index nil 0}}",
    "{{\"unclosed}}",
    "{{$undefined}}",
    "{{print 'ab'}}",
    "{{call print}}",
    "{{eq 1 1.0}}",
    "{{eq 1 2 3 1}}",
    "{{lt 1 \"a\"}}",
    "{{true | not | print}}",
    "{{(print 1 2) | len}}",
    "{{print (1) (`a`)}}",
    "{{$a := 1}}{{$b := $a}}{{$a = 2}}{{$a}}{{$b}}",
    "{{range $i, $c := parseJSON `{\"z\":1,\"a\":2}`}}{{$i}}{{$c}} {{end}}",
    "{{printf \"%[2]d %[1]d\" 1 2}}",
    "{{printf \"%*d\" 5 1}}",
    "{{printf \"%!\"}}",
    "{{printf \"%z\" 1}}",
    "{{printf \"%c %U\" 65 8364}}",
    "{{printf \"%08.3f|%+d|% d|%x\" 3.14159 5 5 \"hi\"}}",
    "{{printf \"%6.2v|%.3v\" 3.14159 2.0}}",
    "{{printf \"%t %v\" true nil}}",
];

#[test]
fn renders_what_go_renders() {
    let Some(go) = judge::go() else { return };
    let mut sources: Vec<String> = WHOLE.iter().map(|&source| source.to_owned()).collect();
    for shape in SHAPES {
        sources.extend(VALUES.iter().map(|value| shape.replace('V', value)));
    }
    compare(&go, "written by hand", &sources);
}

#[test]
fn renders_what_go_renders_of_random_templates() {
    let Some(go) = judge::go() else { return };
    let count = std::env::var("HERDER_RANDOM").map_or(10_000, |n| n.parse().unwrap());
    let sources: Vec<String> = (0..count).map(random::template).collect();
    compare(&go, "random", &sources);
}

/// Go's outcome and ours of each template must be the same text, or both errors.
fn compare(go: &judge::Go, what: &str, sources: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.go"), PROGRAM).unwrap();
    std::fs::write(dir.path().join("in.json"), json!(sources).to_string()).unwrap();
    let output = go
        .run(dir.path())
        .args(["run", "main.go"])
        .stdin(std::fs::File::open(dir.path().join("in.json")).unwrap())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let (mut errors, mut different) = (0, Vec::new());
    for (source, expected) in sources.iter().zip(&expected) {
        let result = Template::parse("t", source, &Options::default())
            .and_then(|template| template.render(&mut Nothing));
        let same = match (&result, expected["out"].as_str()) {
            (Ok(rendered), Some(text)) => rendered.text == STANDARD.decode(text).unwrap(),
            (Err(_), None) => true,
            // Damage may make the name of a function that only consul-template has.
            (Ok(_), None) => expected["err"]
                .as_str()
                .is_some_and(|e| e.ends_with("not defined")),
            _ => false,
        };
        errors += usize::from(same && result.is_err());
        if !same {
            let theirs = match expected["out"].as_str() {
                Some(text) => String::from_utf8_lossy(&STANDARD.decode(text).unwrap()).into_owned(),
                None => expected["err"].to_string(),
            };
            let ours = result.map(|rendered| String::from_utf8_lossy(&rendered.text).into_owned());
            let ours = ours.unwrap_or_else(|error| error.to_string());
            different.push(format!("{source}\n   Go {theirs}\n   us {ours}"));
        }
    }
    eprintln!(
        "compared with Go: {} templates {what}, {errors} of them errors, {} different",
        sources.len(),
        different.len()
    );
    different.truncate(20);
    assert!(different.is_empty(), "{}", different.join("\n"));
}
