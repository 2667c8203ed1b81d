//! The manual and the schemas say what the code does. `UPDATE=1 cargo test -p herder-fleet --test documents` writes
//! them anew.
#![allow(clippy::unwrap_used, reason = "tests may")]

use herder_fleet::format::{KINDS, json_schema, reference};
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn same(path: &Path, wanted: &str) {
    if std::env::var("UPDATE").as_deref() == Ok("1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is out of date: UPDATE=1 cargo test -p herder-fleet --test documents",
        path.display()
    );
}

#[test]
fn schemas() {
    for kind in KINDS {
        let text = serde_json::to_string_pretty(&json_schema(kind)).unwrap() + "\n";
        same(
            &docs().join(format!("schemas/{}.json", kind.name.to_ascii_lowercase())),
            &text,
        );
    }
}

#[test]
fn manual() {
    let path = docs().join("fleet.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- reference -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end of reference -->\n").unwrap();
    same(
        &path,
        &format!(
            "{head}<!-- reference -->\n{}<!-- end of reference -->\n{tail}",
            reference()
        ),
    );
}
