//! Bad scripts: each ends within the limits, with a diagnostic that has file, line and column, and harms no other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use herder_base::{Diagnostic, Severity, Tree};
use herder_jobdsl::{Compiled, Options, compile_all};

const GOOD: &str = "job('good') { steps { shell('make') } }";

/// Compiles a bad script between two good ones.
fn between(bad: &str, more: &[(&str, &str)]) -> Compiled {
    let mut files = vec![("a.groovy", GOOD), ("bad.groovy", bad), ("z.groovy", GOOD)];
    files.extend(more);
    let tree = Tree::from_texts(files).unwrap();
    // The limit is the same as ever, but reached sooner.
    let options = Options {
        steps: Some(500_000),
        ..Options::default()
    };
    let mut made = compile_all(&tree, &["a.groovy", "bad.groovy", "z.groovy"], &options);
    for index in [0, 2] {
        assert_eq!(made[index].items.len(), 1, "{:?}", made[index].diagnostics);
        assert!(made[index].diagnostics.is_empty());
    }
    made.swap_remove(1)
}

fn only_error(made: &Compiled) -> &Diagnostic {
    let errors: Vec<&Diagnostic> = made
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1, "{:?}", made.diagnostics);
    errors[0]
}

/// The script fails there, and says this.
fn fails(bad: &str, line: u32, says: &str) -> Compiled {
    let made = between(bad, &[]);
    let error = only_error(&made);
    let at = error.at.clone().unwrap();
    assert_eq!(
        (at.path.as_str(), at.line),
        ("bad.groovy", line),
        "{bad}: {error}"
    );
    assert!(at.column > 0, "{bad}: {error}");
    assert!(error.message.contains(says), "{error}");
    made
}

/// What Jenkins could not read is not made: neither an element nor an attribute may have any name.
#[test]
fn wrong_names_make_no_job() {
    for name in ["a/b", "a b", "1", "", "<a>"] {
        for path in [format!("it / '{name}'"), format!("it / x('{name}': 1)")] {
            let made = fails(
                &format!("job('a') {{ configure {{ {path} << 1 }} }}"),
                1,
                "is no name of an XML element",
            );
            assert!(made.items.is_empty());
        }
    }
}

#[test]
fn loops_end() {
    let made = fails(
        "job('before')\nwhile (true) { }\njob('after')",
        2,
        "not come to an end",
    );
    assert_eq!(made.items.len(), 1);
    fails("for (;;) {\n  def x = 1\n}", 2, "not come to an end");
    fails("def x = 0\ndo { x++ } while (true)", 2, "not come to an end");
    fails("job('a') {\n  while (true) { displayName('x') }\n}", 2, "stopped");
    fails("def x = 1\nwhile (true) { job('j') }", 2, "stopped");
    fails("def c\nc = { -> true }\nwhile (c()) { }", 3, "not come to an end");
}

#[test]
fn allocations_end() {
    fails("def s = 'x'\nwhile (true) { s = s + s }", 2, "makes too much");
    fails("def l = [1]\nwhile (true) { l.addAll(l) }", 2, "too much");
    fails("def s = 'abc' * 1000000000", 1, "too much");
    fails("def l = (1..1000000000).collect { it }", 1, "too much");
    fails(
        "def m = [:]\ndef i = 0\nwhile (true) { m[i++] = 'x' * 100000 }",
        3,
        "too much",
    );
    fails(
        "def b = new StringBuilder()\nwhile (true) { b.append('x' * 100000) }",
        2,
        "too much",
    );
    fails("def l = []\nwhile (true) { l << ('y' * 100000) }", 2, "too much");
    fails("def l = [[1, 2, 3]] * 100000000", 1, "too much");
    fails("'x'.padLeft(2000000000)", 1, "too much");
}

#[test]
fn recursion_ends() {
    fails("def f() { f() }\nf()", 1, "nest deeper");
    fails("def f\nf = { f() }\nf()", 2, "nest deeper");
    fails(
        "class A { def a() { new A().a() } }\nnew A().a()",
        1,
        "nest deeper",
    );
    fails("class A { def x = new A() }\nnew A()", 1, "nest deeper");
    fails(
        "class A { String toString() { \"${this}\" } }\nprintln new A()",
        1,
        "nest deeper",
    );
    fails("class A { def getX() { x } }\nnew A().x", 1, "nest deeper");
    fails(
        "class A { def methodMissing(String n, a) { other() } }\nnew A().b()",
        1,
        "nest deeper",
    );
    fails("def c = { }\nc = { -> [1].each { c() } }\nc()", 2, "nest deeper");
    let made = between("class A extends A { }\nnew A().b()", &[]);
    assert!(!made.diagnostics.is_empty());
}

#[test]
fn values_that_hold_themselves_end() {
    for bad in [
        "def l = []\nl << l\nprintln l",
        "def m = [:]\nm.m = m\nprintln m\nprintln m.toString()",
        "def l = []\nl << l\nprintln(l == [l])",
        "def l = []\nl << l\nl.flatten()",
        "def l = []\nl << l\njob('x') { description(\"$l\") }",
        "def m = [:]\nm.m = m\nprintln groovy.json.JsonOutput.toJson(m)",
        "job('x') { configure { it << it } }",
        "job('x') { configure { p -> p.appendNode('a').append(p) } }",
    ] {
        // What they make is of no interest, as long as it ends.
        between(bad, &[]);
    }
}

/// Deep values are made, used and dropped: none of it may go as deep as they are.
#[test]
fn values_that_stand_in_many_places_end() {
    let twice = "def x = [1]\ndef y = [1]\n50.times { x = [x, x]; y = [y, y] }\n";
    for more in [
        "println x",
        "x == y",
        "println x.toString().size()",
        "[x].contains(y)",
        "println([x, new RuntimeException('a')])",
        "println x.hashCode()",
        "def m = [:]\nm[x] = 1\nprintln m[y]",
        "println x.flatten().size()",
        "println x as Set",
        "println groovy.json.JsonOutput.toJson(x)",
        "println x.sort()",
        "println x.unique()",
        "job(\"${x}\")",
        "println x.join(',')",
    ] {
        between(&format!("{twice}{more}"), &[]);
    }
}

#[test]
fn deep_values_end() {
    let sixty = format!(
        "def x = []\nwhile (true) {{ x = {}x{} }}",
        "[".repeat(60),
        "]".repeat(60)
    );
    for bad in [
        sixty.as_str(),
        "def x = []\nwhile (true) { x = [x] }",
        "def x = [:]\nwhile (true) { x = [a: x] }",
        "def x = []\nwhile (true) { x = [(x): 1] }",
        "class N { def next }\ndef x = null\nwhile (true) { def n = new N(); n.next = x; x = n }",
        "class N { N next; N(N n) { next = n } }\ndef x = null\nwhile (true) { x = new N(x) }",
        "def f = { }\nwhile (true) { def g = f; f = { g } }",
        "def f = { }\nwhile (true) { f = f.curry(f) }",
        "def f = { }\nwhile (true) { f = f >> { it } }",
        "def x = { }\nwhile (true) { def c = { }; c.delegate = x; x = c }",
        "def x = null\nwhile (true) { x = new RuntimeException(x) }",
        "def x = [:]\nwhile (true) { def y = x; x = [:].withDefault { y } }",
        "def n = new Node(null, 'a')\nwhile (true) { def m = new Node(null, 'a'); m.append(n); n = m }",
        "job('x') { configure { p -> def n = p\nwhile (true) { n = n.appendNode('a') } } }",
        "job('x') { configure { p -> while (true) { p << p } } }",
        "job('x') { configure { p -> while (true) { def n = p / 'a'; n.append(p / 'b' << n) } } }",
        "def l = []\nl << l\njob('x') { configure { it << l } }",
    ] {
        between(bad, &[]);
    }
    let made = between(
        "def x = []\n20000.times { x = [x] }\ndef y = [x]\nprintln x\nprintln y.toString()\nprintln x.hashCode()\nprintln x.flatten().size()\ndef m = [:]\nm[x] = 1\nprintln m\nprintln([x] as Set)\nprintln x == y",
        &[],
    );
    assert!(only_error(&made).message.contains("deep"));
}

#[test]
fn trees_too_deep_to_be_read_again_are_refused() {
    let deep = |levels: usize| {
        format!(
            "job('kept')\njob('x') {{ configure {{ p -> def n = p\n{levels}.times {{ n = n.appendNode('a') }} }} }}"
        )
    };
    let made = between(&deep(199), &[]);
    assert!(made.diagnostics.is_empty(), "{:?}", made.diagnostics);
    assert_eq!(made.items.len(), 2);
    herder_jobdsl::import("x", "x.xml", &made.items[1].xml).unwrap();
    for levels in [200, 20_000] {
        let made = between(&deep(levels), &[]);
        assert_eq!(made.items.len(), 1);
        let error = only_error(&made);
        assert_eq!(error.code, "limit");
        assert!(error.message.contains("nest deeper than 200 levels"), "{error}");
        assert_eq!(error.at.as_ref().unwrap().path.as_str(), "bad.groovy");
    }
}

#[test]
fn reading_again_and_again_ends() {
    // Few steps are taken: what ends these is the price of reading.
    let big = format!("def x = 1\n{}", "// a comment of some length\n".repeat(10_000));
    for bad in [
        "1000.times { evaluate(new File('big.groovy')) }",
        "1000.times { load 'big.groovy' }",
        "def t = readFileFromWorkspace('big.groovy')\n1000.times { evaluate(t) }",
        "def t = new groovy.text.SimpleTemplateEngine().createTemplate(new File('big.groovy'))\n1000.times { t.make([:]) }",
        "5000.times { streamFileFromWorkspace('big.groovy') }",
    ] {
        let made = between(bad, &[("big.groovy", &big)]);
        assert_eq!(only_error(&made).code, "limit", "{bad}");
    }
}

#[test]
fn syntax_errors_have_their_place() {
    let mut text = "job('x')\n".repeat(899);
    text.push_str("job('y' {\n");
    let made = between(&text, &[]);
    let at = only_error(&made).at.clone().unwrap();
    assert_eq!((at.path.as_str(), at.line), ("bad.groovy", 900));
    assert!(at.column > 0);
    assert!(made.items.is_empty());
    fails("job('x') {\n  description 'it is open\n}", 2, "");
    fails("def x = [1, 2", 1, "");
    fails("job('x') {\n", 1, "");
    fails("}", 1, "");
}

#[test]
fn deep_nesting_is_refused_or_read() {
    for deep in [
        "(".repeat(100_000),
        "[".repeat(100_000),
        "{".repeat(100_000),
        "a.".repeat(100_000),
        "!".repeat(100_000),
        "-".repeat(100_000),
        "if (a) ".repeat(100_000),
        "a ? ".repeat(100_000),
        "\"${".repeat(50_000),
        "new A(".repeat(50_000),
        "class A { ".repeat(50_000),
        format!("def x = {}1", "1 + ".repeat(100_000)),
        format!("def x = {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("def x = {}{}", "[".repeat(5_000), "]".repeat(5_000)),
        "x = ".repeat(50_000),
        "a b ".repeat(50_000),
        "a { } ".repeat(50_000),
        "else if (x) { } ".repeat(50_000),
        format!("if (a) {{ }} {}", "else if (x) { } ".repeat(50_000)),
        "List<".repeat(50_000),
        "@A(".repeat(50_000),
        "try { ".repeat(50_000),
        "x as ".repeat(50_000),
        "\\u0041".repeat(50_000),
    ] {
        between(&deep, &[]);
    }
}

#[test]
fn scripts_that_run_themselves_end() {
    let made = between("evaluate(new File('bad.groovy'))", &[]);
    assert!(only_error(&made).message.contains("nest deeper"));
    let made = between("evaluate(readFileFromWorkspace('bad.groovy'))", &[]);
    assert!(only_error(&made).message.contains("nest deeper"));
    let made = between(
        "load 'one.groovy'",
        &[
            ("one.groovy", "load 'two.groovy'"),
            ("two.groovy", "load 'one.groovy'"),
        ],
    );
    assert!(only_error(&made).message.contains("nest deeper"));
    let classes = [
        ("A.groovy", "class A { static x = B.x }"),
        ("B.groovy", "class B { static x = A.x }"),
    ];
    between("println A.x", &classes);
}

#[test]
fn what_is_missing_is_named() {
    fails("import org.example.Missing\n\nnew Missing().go()", 3, "Missing");
    fails("job('x')\nMissing.call()", 2, "Missing");
    fails("println noSuchVariable", 1, "noSuchVariable");
    fails("def x = readFileFromWorkspace('none.txt')", 1, "none.txt");
    fails("class A extends Missing { }\nnew A()", 2, "Missing");
    let made = fails("job('kept')\nnull.call()", 2, "null");
    assert_eq!(made.items.len(), 1);
}

#[test]
fn nothing_outside_is_reached() {
    fails("'ls /'.execute().text", 1, "");
    fails("['ls'].execute()", 1, "");
    fails("new URL('http://127.0.0.1/').text", 1, "");
    fails("'http://127.0.0.1/'.toURL().text", 1, "");
    fails("println Jenkins.instance.items", 1, "");
    fails("System.exit(1)", 1, "");
    fails("new File('/etc/passwd').text", 1, "");
    fails("readFileFromWorkspace('../../etc/passwd')", 1, "");
    fails("new File('x').write('y')", 1, "");
    fails("Thread.start { }", 1, "");
    fails("Runtime.runtime.exec('ls')", 1, "");
    fails("Class.forName('java.lang.Runtime')", 1, "");
}

#[test]
fn unknown_methods_warn_and_keep_the_node() {
    let made = between(
        "job('x') {\n  publishers {\n    fancyPlugin('a') {\n      level(3)\n    }\n  }\n}",
        &[],
    );
    assert!(made.diagnostics.is_empty(), "{:?}", made.diagnostics);
    let item = &made.items[0];
    let warning = item
        .warnings
        .iter()
        .find(|found| found.code == "unknown-method")
        .unwrap();
    let at = warning.at.clone().unwrap();
    assert_eq!((at.path.as_str(), at.line), ("bad.groovy", 3));
    assert!(item.xml.contains("<fancyPlugin>"), "{}", item.xml);
    assert!(item.xml.contains("<level>3</level>"), "{}", item.xml);
}
