//! Semantic versions and constraints on them.

use super::super::Pure;
use super::super::args::{count, fail};
use super::text_of;
use crate::engine::{Function, Member, Object, Result, Value};
use crate::value::string;
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

pub(super) const FUNCTIONS: &[(&str, Pure)] = &[
    ("sprig_semver", |a| {
        count("semver", a, 1..=1)?;
        match Version::parse(&text_of("semver", a, 0)?) {
            Some(version) => Ok(Value::Object(Arc::new(version))),
            None => fail("semver: the text is no version"),
        }
    }),
    ("sprig_semverCompare", |a| {
        count("semverCompare", a, 2..=2)?;
        let Some(constraint) = constraints(&text_of("semverCompare", a, 0)?) else {
            return fail("semverCompare: argument 1 is no constraint");
        };
        let Some(version) = Version::parse(&text_of("semverCompare", a, 1)?) else {
            return fail("semverCompare: argument 2 is no version");
        };
        Ok(Value::Bool(
            constraint
                .iter()
                .any(|all| all.iter().all(|one| one.holds(&version))),
        ))
    }),
];

/// The parts of a version; missing ones are empty.
const PARTS: &str = r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";

static VERSION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"^v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?{PARTS}$")).ok());
static ONE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(
        r"^\s*(=|!=|>|<|>=|=>|<=|=<|~|~>|\^|)\s*(v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?{PARTS})\s*$"
    ))
    .ok()
});
static RANGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let version = format!(r"v?[0-9|xX*]+(?:\.[0-9|xX*]+)?(?:\.[0-9|xX*]+)?{PARTS}");
    Regex::new(&format!(r"\s*({version})\s+-\s+({version})\s*")).ok()
});
static EACH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let version = format!(r"v?[0-9|xX*]+(?:\.[0-9|xX*]+)?(?:\.[0-9|xX*]+)?{PARTS}");
    Regex::new(&format!(r"(=|!=|>|<|>=|=>|<=|=<|~|~>|\^|)\s*({version})")).ok()
});

/// A version.
#[derive(Clone)]
struct Version {
    text: String,
    numbers: [u64; 3],
    pre: String,
    meta: String,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let found = VERSION.as_ref()?.captures(text)?;
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        let number = |i: usize| match part(i).trim_start_matches('.') {
            "" => Some(0),
            digits => digits.parse().ok(),
        };
        let pre = part(5).to_owned();
        let leading_zero =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.split('.').any(leading_zero) {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            numbers: [number(1)?, number(2)?, number(3)?],
            pre,
            meta: part(8).to_owned(),
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            })
    }

    fn shown(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut out = format!("{major}.{minor}.{patch}");
        for (mark, part) in [('-', &self.pre), ('+', &self.meta)] {
            if !part.is_empty() {
                out.push(mark);
                out.push_str(part);
            }
        }
        out
    }
}

/// Numbers before words, part by part; fewer parts are less.
fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(n), Ok(m)) => n.cmp(&m),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed("*semver.Version")
    }

    fn member(&self, name: &str) -> Member {
        let [major, minor, patch] = self.numbers;
        let uint = |n: u64| Value::Uint(n).typed("uint64");
        let value = match name {
            "Major" => uint(major),
            "Minor" => uint(minor),
            "Patch" => uint(patch),
            "Prerelease" => string(&self.pre),
            "Metadata" => string(&self.meta),
            "Original" => string(&self.text),
            "String" => string(self.shown()),
            "Compare" | "Equal" | "LessThan" | "GreaterThan" => return self.comparison(name),
            _ => return Member::None,
        };
        let function: Function = Arc::new(move |_: &[Value]| Ok(value.clone()));
        Member::Method(function)
    }

    fn print(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.shown().as_bytes());
    }
}

impl Version {
    /// Methods that take another version.
    fn comparison(&self, name: &str) -> Member {
        let (own, name) = (self.clone(), name.to_owned());
        let function: Function = Arc::new(move |args: &[Value]| -> Result<Value> {
            let other = match args {
                [Value::Object(other)] => {
                    let mut text = Vec::new();
                    other.print(&mut text);
                    Version::parse(&String::from_utf8_lossy(&text))
                }
                _ => None,
            };
            let Some(other) = other else {
                return fail(format!("{name}: takes a version"));
            };
            let order = own.compare(&other);
            Ok(match name.as_str() {
                "Equal" => Value::Bool(order.is_eq()),
                "LessThan" => Value::Bool(order.is_lt()),
                "GreaterThan" => Value::Bool(order.is_gt()),
                _ => Value::Int(order as i64),
            })
        });
        Member::Method(function)
    }
}

/// How much of a constraint's version is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

struct Constraint {
    operator: String,
    version: Version,
    given: Given,
}

impl Constraint {
    fn parse(text: &str) -> Option<Self> {
        let found = ONE.as_ref()?.captures(text)?;
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        let open = |i: usize| matches!(part(i).trim_start_matches('.'), "" | "x" | "X" | "*");
        let given = if open(3) {
            Given::Nothing
        } else if open(4) {
            Given::Major
        } else if open(5) {
            Given::Minor
        } else {
            Given::All
        };
        let text = match given {
            Given::Nothing => format!("0.0.0{}", part(6)),
            Given::Major => format!("{}.0.0{}", part(3), part(6)),
            Given::Minor => format!("{}{}.0{}", part(3), part(4), part(6)),
            Given::All => part(2).to_owned(),
        };
        Some(Self {
            operator: part(1).to_owned(),
            version: Version::parse(&text)?,
            given,
        })
    }

    fn holds(&self, version: &Version) -> bool {
        let own = &self.version;
        let order = version.compare(own);
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.numbers, own.numbers);
        let dirty = self.given != Given::All;
        // What is not released only matches what says so.
        let unreleased = !version.pre.is_empty() && own.pre.is_empty();
        if unreleased && (dirty || self.operator != "!=") {
            return false;
        }
        match self.operator.as_str() {
            "!=" if dirty => match self.given {
                _ if major != own_major => true,
                Given::Minor => minor != own_minor,
                _ => false,
            },
            "!=" => order.is_ne(),
            ">" => match self.given {
                Given::All => order.is_gt(),
                _ if major != own_major => major > own_major,
                Given::Minor => minor > own_minor,
                _ => false,
            },
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => match self.given {
                Given::All => order.is_le(),
                Given::Minor => major < own_major || major == own_major && minor <= own_minor,
                _ => major <= own_major,
            },
            "^" => {
                if order.is_lt() {
                    false
                } else if own_major > 0 || self.given <= Given::Major {
                    self.given == Given::Nothing && own_major == 0 && major == 0 || major == own_major
                } else if major > 0 {
                    false
                } else if own_minor > 0 || self.given == Given::Minor {
                    minor == own_minor
                } else if own_minor == 0 && minor > 0 {
                    false
                } else {
                    patch == own_patch
                }
            }
            operator => {
                if !operator.starts_with('~') && !dirty {
                    return order.is_eq();
                }
                if order.is_lt() {
                    return false;
                }
                // `~0.0.0` and `*` take everything.
                if own.numbers == [0, 0, 0] && !matches!(self.given, Given::Major | Given::Minor) {
                    return true;
                }
                major == own_major && (minor == own_minor || self.given <= Given::Major)
            }
        }
    }
}

/// Alternatives of constraints that must all hold.
fn constraints(text: &str) -> Option<Vec<Vec<Constraint>>> {
    let text = RANGE.as_ref()?.replace_all(text, |found: &regex::Captures<'_>| {
        let part = |i: usize| found.get(i).map_or("", |m| m.as_str());
        // The groups of a version's own parts stand between.
        format!(">={}, <={} ", part(1), part(8))
    });
    let mut out = Vec::new();
    for alternative in text.split("||") {
        let each = EACH.as_ref()?;
        let mut all = Vec::new();
        let mut end = 0;
        for (i, found) in each.find_iter(alternative).enumerate() {
            let between = alternative.get(end..found.start())?;
            let separated = i == 0 && between.trim().is_empty()
                || i > 0
                    && (between.starts_with(char::is_whitespace) || between.trim_start().starts_with(','));
            if !separated || !between.trim_matches([' ', '\t', ',']).is_empty() {
                return None;
            }
            end = found.end();
            all.push(Constraint::parse(found.as_str())?);
        }
        if all.is_empty() || !alternative.get(end..)?.trim().is_empty() {
            return None;
        }
        out.push(all);
    }
    Some(out)
}
