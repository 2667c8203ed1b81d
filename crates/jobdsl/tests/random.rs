//! Scripts put together at random from pieces of the language: whatever they are, they end within the limits, and no
//! part of this program panics. The fuzz targets go further; this much runs every time.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use herder_base::Tree;
use herder_jobdsl::{Options, check_syntax, compile, diff, import};
use proptest::prelude::*;

const PIECES: &[&str] = &[
    "job('x') {",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "publishers {",
    "steps {",
    "shell('a')",
    "shell 'b'",
    "configure { it / 'a' << 'b'(c: 1) }",
    "def x = 1",
    "x",
    "x++",
    "y",
    "[a: 1]",
    "[1, 2, 3]",
    "(1..9)",
    ".each {",
    ".collect {",
    "it ->",
    "a, b ->",
    "return",
    "if (x)",
    "else",
    "for (i in 1..3)",
    "while (x < 5)",
    "while (true)",
    "switch (x) {",
    "case 1:",
    "default:",
    "break",
    "continue",
    "try {",
    "catch (e) {",
    "finally {",
    "throw new RuntimeException('x')",
    "class A {",
    "extends B",
    "static",
    "def f() {",
    "f()",
    "new A()",
    "this",
    "super",
    "\"a ${x} b\"",
    "\"$x\"",
    "'''",
    "\"\"\"",
    "$/",
    "/$",
    "/a.*/",
    "=~",
    "==~",
    "<=>",
    "?.",
    "?:",
    "*.",
    "..",
    "..<",
    "<<",
    ">>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "=",
    "+=",
    "==",
    "!=",
    "!",
    "&&",
    "||",
    "in",
    "instanceof",
    "as String",
    "as List",
    "null",
    "true",
    "1.5",
    "0x1f",
    "\n",
    "\n",
    ";",
    ",",
    ":",
    "?",
    "//",
    "/*",
    "*/",
    "@Field",
    "import a.B",
    "package p",
    "\\",
    "\u{e9}",
    "\0",
    "evaluate('x')",
    "listView('v') {",
    "columns {",
    "folder('f')",
    "delegate",
    "owner",
    ".with {",
    "x.y.z",
    "x[0]",
    "x[1..-1]",
    "'a' * 3",
    "triggers { cron('H * * * *') }",
    "scm { git { remote { url 'u' } } }",
    "parameters { stringParam('P', 'v') }",
    "println x",
    "assert x == 1",
    "{ -> }",
    "({ it })(1)",
    "~/a/",
];

fn options() -> Options {
    Options {
        steps: Some(20_000),
        ..Options::default()
    }
}

fn runs(text: &str) {
    // A text that cannot be a file of a repository is no script.
    let Ok(tree) = Tree::from_texts([("a.groovy", text)]) else {
        return;
    };
    let made = compile(&tree, "a.groovy", &options());
    for found in &made.diagnostics {
        assert!(!found.message.contains("stopped its reader"), "{found}: {text}");
        let at = found.at.clone().unwrap();
        assert!(!at.path.is_empty(), "{found}: {text}");
    }
    for item in &made.items {
        assert!(diff(&item.xml, &item.xml).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_end(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        runs(&pieces.join(" "));
    }

    #[test]
    fn texts_end(text in "\\PC{0,200}") {
        let _read = check_syntax(&text);
        runs(&text);
    }

    #[test]
    fn cut_scripts_end(from in 0usize..2000, length in 0usize..2000) {
        const SCRIPT: &str = include_str!("cases/language.groovy");
        let cut: String = SCRIPT.chars().skip(from).take(length).collect();
        runs(&cut);
    }

    #[test]
    fn xml_reads_back(text in "(<a>|</a>|<project>|</project>|<builders/>|&amp;|&#10;|x| |<b c=\"d\"/>|<!\\[CDATA\\[|\\]\\]>){0,30}") {
        if let Ok(item) = import("x", "config.xml", &text) {
            let again = import("x", "config.xml", &item.xml).unwrap();
            prop_assert!(diff(&item.xml, &again.xml).is_empty());
        }
    }
}
