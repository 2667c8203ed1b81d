//! `docs/json.md` against what is printed: every field that comes is documented with its type, and every documented one
//! comes, but for those that are marked optional. `UPDATE=1` writes the lists anew; look at what changed, and count the
//! version up if something went.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md")
}

/// Paths and types of a value: `[]` for elements of lists, `*` for keys that are names of somebody's.
fn shape(value: &Value, path: &str, into: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(all) => {
            for one in all {
                shape(one, &format!("{path}[]"), into);
            }
            return;
        }
        Value::Object(all) => {
            // Maps whose keys are names that people gave.
            let named = ["parameters", "commits", "env"]
                .iter()
                .any(|name| path.ends_with(&format!(".{name}")));
            for (key, one) in all {
                let key = if named { "*" } else { key.as_str() };
                shape(one, &format!("{path}.{key}"), into);
            }
            return;
        }
    };
    let known = into.entry(path.to_owned()).or_insert(kind);
    if *known == "null" {
        *known = kind;
    }
}

/// Compares each section's list with what its command prints.
pub(crate) fn hold(mut run: impl FnMut(&[&str]) -> Value) {
    let text = std::fs::read_to_string(file()).unwrap();
    let update = std::env::var("UPDATE").as_deref() == Ok("1");
    let (mut new, mut wrong) = (String::new(), Vec::new());
    for (at, section) in text.split("\n### ").enumerate() {
        if at > 0 {
            new.push_str("\n### ");
        }
        let Some((head, rest)) = section.split_once("\n```text\n") else {
            new.push_str(section);
            continue;
        };
        let (list, tail) = rest.split_once("```").unwrap();
        let title = head.lines().next().unwrap();
        let command = title
            .trim_matches('`')
            .strip_prefix("herder ")
            .unwrap()
            .trim_end_matches(" --json");
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut found = BTreeMap::new();
        shape(&run(&words), "", &mut found);
        let documented: BTreeMap<&str, (&str, bool)> = list
            .lines()
            .map(|line| {
                let mut words = line.split_whitespace();
                let path = words.next().unwrap();
                (path, (words.next().unwrap(), words.next() == Some("optional")))
            })
            .collect();
        // What is below such a line is no promise.
        let open: Vec<&str> = documented
            .iter()
            .filter(|(_, (kind, _))| *kind == "any")
            .filter_map(|(path, _)| path.strip_suffix('*'))
            .collect();
        found.retain(|path, _| !open.iter().any(|open| path.starts_with(open)));
        for (path, kind) in &found {
            match documented.get(path.as_str()) {
                None => wrong.push(format!("{title}: {path} ({kind}) is not documented")),
                Some((is, _)) if is != kind && *kind != "null" && *is != "null" => {
                    wrong.push(format!("{title}: {path} is {kind}, documented as {is}"));
                }
                Some(_) => {}
            }
        }
        for (path, (kind, optional)) in &documented {
            if !optional && *kind != "any" && !found.contains_key(*path) {
                wrong.push(format!("{title}: {path} is documented and did not come"));
            }
        }
        let mut all: BTreeMap<&str, (&str, bool)> = documented.clone();
        all.retain(|path, (kind, optional)| *optional || *kind == "any" || found.contains_key(*path));
        for (path, kind) in &found {
            let (known, optional) = all.get(path.as_str()).copied().unwrap_or((kind, false));
            let kind = if *kind == "null" { known } else { kind };
            all.insert(path, (kind, optional));
        }
        let lines: String = all
            .iter()
            .map(|(path, (kind, optional))| {
                format!("{path} {kind}{}\n", if *optional { " optional" } else { "" })
            })
            .collect();
        new.push_str(&format!("{head}\n```text\n{lines}```{tail}"));
    }
    if update {
        std::fs::write(file(), new).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
