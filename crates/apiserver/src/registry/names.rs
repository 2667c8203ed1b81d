//! What names and paths must look like, in Kubernetes' words. Pure: knows no kinds.
//!
//! Much of what is checked here becomes a directory, a mount, a host name or a path of the API on the node. Agents check
//! again; that nothing else is ever stored is decided here.

use super::Cause;
use serde_json::{Value, json};

pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub(super) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(super) fn required(field: impl Into<String>) -> Cause {
    Cause {
        reason: "FieldValueRequired".to_owned(),
        message: "Required value".to_owned(),
        field: field.into(),
    }
}

pub(super) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {value}: {why}"),
        field: field.into(),
    }
}

pub(super) fn forbidden(field: impl Into<String>, why: &str) -> Cause {
    Cause {
        reason: "FieldValueForbidden".to_owned(),
        message: format!("Forbidden: {why}"),
        field: field.into(),
    }
}

pub(super) fn duplicate(field: impl Into<String>, value: &str) -> Cause {
    Cause {
        reason: "FieldValueDuplicate".to_owned(),
        message: format!("Duplicate value: {}", json!(value)),
        field: field.into(),
    }
}

fn is_part(part: &str) -> bool {
    let fine = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    part.starts_with(fine) && part.ends_with(fine) && part.chars().all(|letter| fine(letter) || letter == '-')
}

pub(super) fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

pub(super) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

/// The name of another object, if there is one.
pub(super) fn reference(field: String, name: &str, causes: &mut Vec<Cause>) {
    if !name.is_empty() && !is_subdomain(name) {
        causes.push(invalid(field, &json!(name), SUBDOMAIN));
    }
}

/// The name of another object that must be there.
pub(super) fn needed_reference(field: String, name: &str, causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(required(field));
    } else {
        reference(field, name, causes);
    }
}

/// A key of a config map or a secret: it becomes the name of a file.
pub(super) fn key(field: impl Fn() -> String, key: &str, causes: &mut Vec<Cause>) {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if key.is_empty() || !key.chars().all(fine) {
        causes.push(invalid(field(), &json!(key), KEY));
    } else if key.len() > 253 {
        causes.push(invalid(
            field(),
            &json!(key),
            "must be no more than 253 characters",
        ));
    } else if key == "." || key == ".." {
        causes.push(invalid(field(), &json!(key), &format!("must not be '{key}'")));
    } else if key.starts_with("..") {
        causes.push(invalid(field(), &json!(key), "must not start with '..'"));
    }
}

/// A path that does not go up.
pub(super) fn no_backsteps(field: &str, path: &str, causes: &mut Vec<Cause>) -> bool {
    let fine = path.split('/').all(|part| part != "..");
    if !fine {
        causes.push(invalid(field, &json!(path), "must not contain '..'"));
    }
    fine
}

/// A path below where it is used.
pub(super) fn descending(field: &str, path: &str, causes: &mut Vec<Cause>) -> bool {
    if path.starts_with('/') {
        causes.push(invalid(field, &json!(path), "must be a relative path"));
    }
    no_backsteps(field, path, causes)
}

/// The path of a file in a volume whose own files begin with two dots.
pub(super) fn file(field: &str, path: &str, causes: &mut Vec<Cause>) {
    if path.is_empty() {
        causes.push(required(field));
    } else if descending(field, path, causes) && path.starts_with("..") {
        causes.push(invalid(field, &json!(path), "must not start with '..'"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(check: impl Fn(&mut Vec<Cause>)) -> bool {
        let mut causes = Vec::new();
        check(&mut causes);
        !causes.is_empty()
    }

    #[test]
    fn names_are_what_kubernetes_lets_them_be() {
        for name in ["a", "a-1", "0"] {
            assert!(is_label(name) && is_subdomain(name), "{name}");
        }
        for name in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a/b",
            "/a",
            "..",
            ".",
            "a\n",
            "é",
            &"a".repeat(64),
        ] {
            assert!(!is_label(name), "{name}");
        }
        assert!(is_subdomain("a.b-c.d") && !is_label("a.b"));
        for name in ["a..b", ".a", "a.", "a/../b", "a%2fb"] {
            assert!(!is_subdomain(name), "{name}");
        }
    }

    #[test]
    fn paths_stay_below() {
        for path in ["a", "a/b", "a..b", "...a/b", ".a", "a/..b"] {
            assert!(!refuses(|causes| _ = descending("f", path, causes)), "{path}");
        }
        for path in ["/a", "..", "../a", "a/..", "a/../b", "//"] {
            assert!(refuses(|causes| _ = descending("f", path, causes)), "{path}");
            assert!(refuses(|causes| file("f", path, causes)), "{path}");
        }
        for path in ["", "..data", "..a/b"] {
            assert!(refuses(|causes| file("f", path, causes)), "{path}");
        }
        for name in ["", ".", "..", "..data", "a/b", "a b", "é"] {
            assert!(refuses(|causes| key(String::new, name, causes)), "{name}");
        }
        for name in ["a.b", ".a", "A_b-c", "a..b"] {
            assert!(!refuses(|causes| key(String::new, name, causes)), "{name}");
        }
    }
}
