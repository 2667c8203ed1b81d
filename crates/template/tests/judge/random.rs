//! Templates by chance, the same for the same number: all actions, built-in functions, constants of every kind, data of
//! every JSON type, and now and then something wrong.

/// A generator of numbers (xorshift): the same seed, the same template.
struct Random {
    state: u64,
    variables: Vec<String>,
    loops: usize,
    names: usize,
}

const DATA: &str = r#"{"s":"text <&>","e":"","i":7,"f":2.5,"z":0,"big":1e21,"t":true,"n":null,
"l":[1,"two",3.5,null,[4,5]],"el":[],"m":{"a":1,"b":{"c":"deep"},"d":[{"k":"v"},{"k":"w"}]},"em":{},"u":"äö€"}"#;

const FIELDS: &[&str] = &[
    ".s", ".e", ".i", ".f", ".z", ".big", ".t", ".n", ".l", ".el", ".m", ".em", ".u", ".none", ".m.a",
    ".m.b.c", ".m.none", ".m.d", ".", ".n.x", ".s.x", ".none.x",
];

const CONSTANTS: &[&str] = &[
    "0",
    "1",
    "-3",
    "+5",
    "42",
    "007",
    "0x1",
    "0b101",
    "0o17",
    "1_0",
    "1.5",
    "-0.25",
    "1e3",
    "1e-7",
    "1e21",
    "0x1p4",
    "1.0",
    "'a'",
    "'\\n'",
    "\"\"",
    "\"abc\"",
    "\"a\\tb\\\"c\"",
    "`raw\\n`",
    "\"\\u20ac\\xff\"",
    "true",
    "false",
    "nil",
    "100000000.0",
    "0i",
];

const VERBS: &[&str] = &[
    "%v", "%d", "%s", "%q", "%t", "%x", "%X", "%o", "%b", "%c", "%U", "%e", "%g", "%f", "%T", "%#v", "%+v",
    "%5d", "%-5d|", "%05d", "%+d", "% d", "%.2f", "%8.3f", "%-8.2f|", "%08.2f", "%10s|", "%-10s|", "%.2s",
    "%5q", "%#x", "%#q", "%+q", "% x", "%5t", "%%", "%z", "%6.2v", "%[2]v", "%*d", "%.*f", "%!", "%x",
    "%08x", "%#o", "%G", "%E",
];

impl Random {
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next()).unwrap() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// An operand.
    fn operand(&mut self, depth: usize) -> String {
        match self.below(10) {
            0..=3 => self.pick(FIELDS).to_owned(),
            4..=6 => self.pick(CONSTANTS).to_owned(),
            7 => {
                let i = self.below(self.variables.len());
                let fields = ["", "", "", ".a", ".m", ".s"];
                format!("{}{}", self.variables[i].clone(), self.pick(&fields))
            }
            8 if depth > 0 => {
                let fields = ["", "", "", "", ".a", ".m.b"];
                format!("({}){}", self.pipeline(depth - 1), self.pick(&fields))
            }
            _ => "$d".to_owned(),
        }
    }

    fn operands(&mut self, count: usize, depth: usize) -> String {
        (0..count).map(|_| format!(" {}", self.operand(depth))).collect()
    }

    /// A command that is likely to work.
    fn sound(&mut self) -> String {
        let data = ["$d", "$d", ".", "$d.m"];
        let at = self.pick(&data).to_owned();
        let s = self
            .pick(&["$d.s", "$d.u", "$d.e", "\"abc\"", "`x<y`", "(print 1.5 $d.i)"])
            .to_owned();
        let n = self
            .pick(&["$d.i", "3", "-1", "(len $d.l)", "0x10", "$v"])
            .replace("$v", "'b'");
        let f = self.pick(&["$d.i", "$d.f", "1.5", "$d.big", "2e7"]).to_owned();
        let any = self
            .pick(&[
                "$d.l", "$d.m", "$d.f", "$d.n", "$d.t", "$d.em", "$d", "7", "nil", "1e6", "$d.m.d",
            ])
            .to_owned();
        match self.below(20) {
            0 => format!("len {s}"),
            1 => "len $d.l".to_owned(),
            2 => format!("index $d.l {}", self.below(6)),
            3 => format!("index $d.m \"{}\"", self.pick(&["a", "b", "x"])),
            4 => format!("index $d.m.d {} \"k\"", self.below(3)),
            5 => format!("slice {s} {}", self.below(4)),
            6 => format!("slice $d.l {} {}", self.below(3), 2 + self.below(4)),
            7 => format!(
                "{} {f} {}",
                self.pick(&["eq", "lt", "le", "gt", "ge", "ne"]),
                self.pick(&["1.5", "$d.f", "2e7", "7.0"])
            ),
            8 => format!(
                "{} {s} {}",
                self.pick(&["eq", "lt", "le", "gt", "ge", "ne"]),
                self.pick(&["$d.s", "\"abc\"", "``"])
            ),
            9 => format!("printf \"{}\" {s}", self.pick(VERBS)),
            10 => format!("printf \"{}\" {f}", self.pick(VERBS)),
            11 | 12 => format!("printf \"{}\" {any}", self.pick(VERBS)),
            13 => format!("printf \"{} {}\" {any} {f}", self.pick(VERBS), self.pick(VERBS)),
            14 => format!("print {any} {s} {f} {f}"),
            15 => format!(
                "{} {any}",
                self.pick(&["html", "js", "urlquery", "not", "println"])
            ),
            16 => format!("and {any} {s}"),
            17 => format!("or {any} {f}"),
            18 => any,
            _ => format!("{at}{}", self.pick(&[".s", ".a", ".b", ".m", ""])).replace("..", "."),
        }
        .replace("$n", &n)
    }

    /// A command, which may lack its last argument because a value is piped in.
    fn command(&mut self, depth: usize, piped: bool) -> String {
        if !piped && !self.one_in(4) {
            return self.sound();
        }
        let less = usize::from(piped);
        let one = 1 - less;
        match self.below(if piped { 18 } else { 24 }) {
            0 => format!("len{}", self.operands(one, depth)),
            1 => format!("not{}", self.operands(one, depth)),
            2 => {
                let n = self.below(3);
                format!("print{}", self.operands(n, depth))
            }
            3 => {
                let n = self.below(3);
                format!("println{}", self.operands(n, depth))
            }
            4..=6 => {
                let n = self.below(3);
                let format: String = (0..=n).map(|_| format!("{} ", self.pick(VERBS))).collect();
                let count = (n + 1 + self.below(2)).saturating_sub(self.below(2));
                format!(
                    "printf \"{format}\"{}",
                    self.operands(count.saturating_sub(less), depth)
                )
            }
            7 => {
                let n = 1 + self.below(2);
                format!("index{}", self.operands(n, depth))
            }
            8 => {
                let n = 1 + self.below(3);
                format!("slice{}", self.operands(n, depth))
            }
            9 => {
                let n = 1 + self.below(3);
                format!("eq{}", self.operands(n, depth))
            }
            10 | 11 => {
                let name = self.pick(&["ne", "lt", "le", "gt", "ge"]);
                format!("{name}{}", self.operands(2 - less, depth))
            }
            12 => {
                let n = 1 + self.below(2);
                format!("and{}", self.operands(n, depth))
            }
            13 => {
                let n = 1 + self.below(2);
                format!("or{}", self.operands(n, depth))
            }
            14 => format!("html{}", self.operands(one, depth)),
            15 => format!("js{}", self.operands(one, depth)),
            16 => format!("urlquery{}", self.operands(one, depth)),
            17 if !piped => "parseJSON `[1,{\"a\":2}]`".to_owned(),
            17 => "print".to_owned(),
            _ => self.operand(depth),
        }
    }

    fn pipeline(&mut self, depth: usize) -> String {
        let mut out = self.command(depth, false);
        for _ in 0..[0, 0, 0, 0, 0, 0, 1, 1, 2][self.below(9)] {
            out = format!("{out} | {}", self.command(depth, true));
        }
        out
    }

    fn new_variable(&mut self) -> String {
        self.names += 1;
        format!("$v{}", self.names)
    }

    fn action(&mut self, inner: &str) -> String {
        let left = if self.one_in(8) { "{{- " } else { "{{" };
        let right = if self.one_in(8) { " -}}" } else { "}}" };
        format!("{left}{inner}{right}")
    }

    fn body(&mut self, depth: usize) -> String {
        let known = self.variables.len();
        let count = 1 + self.below(3);
        let out = (0..count).map(|_| self.node(depth)).collect();
        self.variables.truncate(known);
        out
    }

    fn node(&mut self, depth: usize) -> String {
        let texts = ["a", " ", "\n", " x ", "\t\n y", "}", "{ {", "é"];
        match self.below(if depth == 0 { 8 } else { 16 }) {
            0 | 1 => self.pick(&texts).to_owned(),
            2..=4 => {
                let pipe = self.pipeline(2);
                self.action(&pipe)
            }
            5 => {
                let (pipe, name) = (self.pipeline(2), self.new_variable());
                self.variables.push(name.clone());
                self.action(&format!("{name} := {pipe}"))
            }
            6 => {
                let (i, pipe) = (self.below(self.variables.len()), self.pipeline(2));
                let name = self.variables[i].clone();
                self.action(&format!("{name} = {pipe}"))
            }
            7 if self.loops > 0 => {
                let word = self.pick(&["break", "continue"]);
                self.action(word)
            }
            7 => self.action("/* note */"),
            8..=10 => self.branch("if", depth),
            11 | 12 => self.branch("with", depth),
            13 | 14 => self.range(depth),
            _ => self.template(depth),
        }
    }

    fn branch(&mut self, word: &str, depth: usize) -> String {
        let known = self.variables.len();
        let pipe = self.pipeline(1);
        let head = if self.one_in(4) {
            let name = self.new_variable();
            self.variables.push(name.clone());
            format!("{word} {name} := {pipe}")
        } else {
            format!("{word} {pipe}")
        };
        let mut out = self.action(&head);
        out += &self.body(depth - 1);
        if self.one_in(3) {
            let pipe = self.pipeline(1);
            out += &self.action(&format!("else {word} {pipe}"));
            out += &self.body(depth - 1);
        }
        if self.one_in(2) {
            out += &self.action("else");
            out += &self.body(depth - 1);
        }
        self.variables.truncate(known);
        out + &self.action("end")
    }

    fn range(&mut self, depth: usize) -> String {
        let known = self.variables.len();
        let over = match self.below(4) {
            0 => self.pipeline(1),
            1 => self.pick(&["3", "0", "$d.i", "(len $d.s)"]).to_owned(),
            _ => self
                .pick(&["$d.l", "$d.l", "$d.m", "$d.m", "$d.m.d", "$d.el", "$d.n", ".l"])
                .to_owned(),
        };
        let head = match self.below(4) {
            0 => {
                let name = self.new_variable();
                self.variables.push(name.clone());
                format!("range {name} := {over}")
            }
            1 => {
                let (key, item) = (self.new_variable(), self.new_variable());
                self.variables.extend([key.clone(), item.clone()]);
                format!("range {key}, {item} := {over}")
            }
            _ => format!("range {over}"),
        };
        let mut out = self.action(&head);
        self.loops += 1;
        out += &self.body(depth - 1);
        self.loops -= 1;
        if self.one_in(3) {
            out += &self.action("else");
            out += &self.body(depth - 1);
        }
        self.variables.truncate(known);
        out + &self.action("end")
    }

    fn template(&mut self, depth: usize) -> String {
        let pipe = if self.one_in(3) {
            String::new()
        } else {
            self.pipeline(1)
        };
        if self.one_in(3) && !pipe.is_empty() {
            let outer = (
                std::mem::replace(&mut self.variables, vec!["$d".to_owned()]),
                self.loops,
            );
            self.loops = 0;
            self.names += 1;
            let body = self.body(depth - 1);
            (self.variables, self.loops) = outer;
            return format!(
                "{{{{block \"b{}\" {pipe}}}}}{{{{$d := .}}}}{body}{{{{end}}}}",
                self.names
            );
        }
        let name = self.pick(&["t", "u", "t", "nowhere"]);
        self.action(&format!(
            "template \"{}\" {pipe}",
            if name == "t" { "one" } else { name }
        ))
    }

    /// Breaks a template by leaving something out or doubling it.
    fn damage(&mut self, source: String) -> String {
        let chars: Vec<char> = source.chars().collect();
        let (at, n) = (self.below(chars.len()), 1 + self.below(3));
        let end = (at + n).min(chars.len());
        let middle: String = if self.one_in(2) {
            String::new()
        } else {
            chars[at..end].iter().chain(&chars[at..end]).collect()
        };
        chars[..at].iter().collect::<String>() + &middle + &chars[end..].iter().collect::<String>()
    }
}

/// The template of a number.
pub(crate) fn template(number: u64) -> String {
    let mut random = Random {
        state: (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        variables: vec!["$d".to_owned()],
        loops: 0,
        names: 0,
    };
    for _ in 0..8 {
        random.next();
    }
    let depth = random.below(4);
    let one = random.body(1);
    let body = random.body(depth);
    let body = if random.one_in(10) {
        random.damage(body)
    } else {
        body
    };
    format!(
        "{{{{define \"one\"}}}}{{{{$d := .}}}}{one}{{{{end}}}}{{{{define \"u\"}}}}<{{{{.}}}}>{{{{end}}}}{{{{with $d := parseJSON `{DATA}`}}}}{body}{{{{end}}}}"
    )
}
