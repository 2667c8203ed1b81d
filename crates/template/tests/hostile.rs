//! Templates that mean harm, or nothing: whatever is written, parsing and rendering end, soon, and never panic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

#[path = "judge/random.rs"]
mod random;

use herder_template::{Options, Request, SourceError, Sources, Template, functions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct Fixed;

impl Sources for Fixed {
    fn get(&mut self, request: &Request) -> Result<Value, SourceError> {
        Ok(match request {
            Request::Now => json!(1_700_000_000),
            Request::Seed => json!("0123456789abcdef0123456789abcdef"),
            Request::Env { .. } | Request::File { .. } => json!("value"),
            Request::List { .. } => json!(["a", "b"]),
            _ => json!({"data": {"data": {"k": "v", "n": 1, "l": [1, "x", null]}}}),
        })
    }
}

/// Renders, and says how long it took and whether it failed.
fn render(text: &str) -> (Duration, Result<usize, String>) {
    let start = Instant::now();
    let result = Template::parse("t", text, &Options::default())
        .and_then(|template| template.render(&mut Fixed))
        .map(|rendered| rendered.text.len())
        .map_err(|error| error.to_string());
    (start.elapsed(), result)
}

#[test]
fn hostile_templates_end_with_their_reason() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    for (text, wanted) in [
        (r#"{{define "x"}}{{template "x"}}{{end}}{{template "x"}}"#.to_owned(), "depth"),
        (r#"{{define "x"}}{{template "y" .}}{{end}}{{define "y"}}{{template "x" .}}{{end}}{{template "x" 1}}"#.to_owned(), "depth"),
        (r#"{{define "x"}}{{executeTemplate "x"}}{{end}}{{executeTemplate "x"}}"#.to_owned(), "nested"),
        ("{{range 9223372036854775807}}{{end}}".to_owned(), "stopped after"),
        ("{{range loop 1000000}}{{range loop 1000000}}x{{end}}{{end}}".to_owned(), "stopped after"),
        ("{{loop 0 9000000000000000000}}".to_owned(), "million"),
        (r#"{{$x := "0123456789"}}{{range loop 60}}{{$x = print $x $x}}{{end}}"#.to_owned(), "too large"),
        (r#"{{$x := "0123456789"}}{{range loop 60}}{{$x = replaceAll "0" $x $x}}{{end}}"#.to_owned(), "too large"),
        ("{{$x := sprig_list 1}}{{range loop 1000}}{{$x = sprig_list $x}}{{end}}".to_owned(), "deep"),
        // A short value that prints for ever: each list holds the one before twice.
        ("{{$x := sprig_list 1}}{{range loop 100}}{{$x = sprig_list $x $x}}{{end}}{{print $x}}".to_owned(), "too large"),
        ("{{$x := sprig_list 1}}{{range loop 100}}{{$x = sprig_list $x $x}}{{end}}{{$x | printf \"%#v\"}}".to_owned(), "too large"),
        (r#"{{define "x"}}{{range 1000000}}{{end}}{{end}}{{range 1000}}{{executeTemplate "x"}}{{end}}"#.to_owned(), "stopped after"),
        (r#"{{define "x"}}{{print (sprig_repeat 10000000 "y")}}{{end}}{{range 1000}}{{$_ := executeTemplate "x"}}{{end}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 10000000 "y"}}{{range 1000}}{{$x | writeToFile "/f" "" "" "0600"}}{{end}}"#.to_owned(), "too large"),
        (r#"{{range $i := loop 100000}}{{scratch.MapSet "n" (print $i) 1}}{{end}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "a"}}{{replaceAll "a" $x $x}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "a"}}{{regexReplaceAll "a" $x $x}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "a"}}{{sprig_replace "a" $x $x}}{{end}}"#.replace("{{end}}", ""), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "a"}}{{loop 1000000 | join $x}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "\n"}}{{indent 1000 $x}}"#.to_owned(), "too large"),
        (r#"{{$x := sprig_repeat 1000000 "\n"}}{{sprig_indent 1000 $x}}"#.to_owned(), "too large"),
        (r#"{{printf "%999999999d" 1}}"#.to_owned(), ""),
        (r#"{{range loop 100}}{{printf "%1000000d" 1}}{{end}}"#.to_owned(), "prints more"),
        ("{{sprig_repeat 100000000 \"x\"}}".to_owned(), "10 MiB"),
        ("{{sprig_until 100000000}}".to_owned(), "million"),
        (format!("{{{{explodeMap (sprig_dict \"{}\" 1)}}}}", "a/".repeat(5000)), "hundred parts"),
        (format!("{{{{parseYAML \"{}\"}}}}", "[".repeat(5000)), ""),
        (format!("{{{{parseJSON `{}`}}}}", "[".repeat(5000)), ""),
        (format!("{{{{{}}}}}", deep("(", ")", 5000)), "nested more than"),
        (format!("{}x{}", "{{if 1}}".repeat(5000), "{{end}}".repeat(5000)), "nested more than"),
        (format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}x".repeat(5000)), "nested more than"),
        (r#"{{regexMatch "(a*)*(a*)*(a*)*$" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}}"#.to_owned(), ""),
        (r#"{{regexMatch "((a{0,1000}){0,1000}){0,1000}" "x"}}"#.to_owned(), "no regular expression"),
        ("{{parseYAML \"a: &a [x,x,x,x,x,x,x,x,x,x]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\"}}".to_owned(), "too large"),
    ]
    .into_iter()
    .chain(["toJSON", "toYAML", "spew_sdump", "sprig_toJson"].map(|name| {
        let shared = "{{$x := sprig_list 1}}{{range loop 100}}{{$x = sprig_list $x $x}}{{end}}";
        (format!("{shared}{{{{{name} $x}}}}"), "too large")
    }))
    .chain([(
        "{{$x := sprig_list 1}}{{range loop 100}}{{$x = sprig_list $x $x}}{{end}}{{toTOML (sprig_dict \"a\" $x)}}".to_owned(),
        "too large",
    )]) {
        let (took, result) = render(&text);
        let start: String = text.chars().take(80).collect();
        assert!(took < Duration::from_secs(60), "{start} took {took:?}");
        if !wanted.is_empty() {
            let error = result.unwrap_err();
            assert!(error.contains(wanted), "{start}: {error}");
        }
    }
}

/// Pieces that random texts are made of.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    "{{/*",
    "*/}}",
    "|",
    "(",
    ")",
    ".",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    "\"",
    "`",
    "'a'",
    "\\",
    "\n",
    " ",
    "0",
    "1",
    "-1",
    "1e400",
    "0x",
    "1i",
    "if ",
    "else",
    "else if ",
    "end",
    "range ",
    "with ",
    "define ",
    "block ",
    "template ",
    "break",
    "continue",
    "nil",
    "true",
    "\"a\"",
    "`{\"a\":[1]}`",
    "\"%v %d %s %[3]*.*f\"",
    "\u{1f600}",
    "\0",
    "ß",
];

#[test]
fn random_texts_neither_panic_nor_hang() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 20).unwrap() % n
    };
    let names: Vec<&str> = functions().iter().map(|(name, _)| *name).collect();
    let (mut fine, mut slowest) = (0, Duration::ZERO);
    let start = Instant::now();
    for number in 0..4000u64 {
        let mut text = match number % 3 {
            0 => random::template(number),
            _ => String::from("{{"),
        };
        let count = next(30);
        for _ in 0..count {
            let piece = if next(4) == 0 {
                names[next(names.len())]
            } else {
                PIECES[next(PIECES.len())]
            };
            let mut at = if number % 3 == 0 {
                next(text.len() + 1)
            } else {
                text.len()
            };
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            text.insert_str(at, piece);
            if number % 3 != 0 && next(3) == 0 {
                text.push(' ');
            }
        }
        let (took, result) = render(&text);
        fine += usize::from(result.is_ok());
        slowest = slowest.max(took);
    }
    eprintln!(
        "random texts: 4000, {fine} render, slowest {slowest:?}, all {:?}",
        start.elapsed()
    );
    assert!(slowest < Duration::from_secs(60));
}

#[test]
fn each_function_takes_anything() {
    let values = [
        "",
        "nil",
        "\"\"",
        "\"x\"",
        "-1",
        "1.5",
        "true",
        "(sprig_list)",
        "(sprig_list 1 nil \"a\")",
        "(sprig_dict \"a\" 1)",
        "9223372036854775807",
        "(base64Decode \"/+8=\")",
        "(scratch)",
    ];
    let mut state = 7u64;
    for (name, _) in functions() {
        for _ in 0..60 {
            let mut text = format!("{{{{{name}");
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let value = values[usize::try_from(state >> 33).unwrap() % values.len()];
                text.push(' ');
                text.push_str(value);
            }
            text.push_str("}}");
            let (took, _) = render(&text);
            assert!(took < Duration::from_secs(20), "{text} took {took:?}");
        }
    }
}
