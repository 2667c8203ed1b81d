//! Tables for the ACL's rules, after upstream's checklist.

use super::*;
use serde_json::json;

fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<Policy> = texts.iter().map(|text| Policy::parse(text).unwrap()).collect();
    Acl::new(&policies)
}

fn at(op: Op, path: &str) -> CanonicalPath {
    CanonicalPath::new(op, path).unwrap()
}

fn allows(acl: &Acl, op: Op, create: bool, path: &str, data: Value, wrap_ttl: Option<i64>) -> bool {
    let empty = Map::new();
    let data = data.as_object().unwrap_or(&empty);
    acl.check(&Ask {
        op,
        create,
        path: &at(op, path),
        data,
        wrap_ttl,
    })
    .allowed
}

const POLICY: &str = r#"
path "dev/*" { policy = "sudo" }
path "stage/*" { policy = "write" }
path "stage/aws/*" { policy = "read" }
path "stage/aws/policy/*" { policy = "sudo" }
path "prod/*" { capabilities = ["read", "list"] }
path "prod/aws/*" { capabilities = ["deny"] }
path "foo/bar" { capabilities = ["read", "create", "sudo"] }
path "baz/quux" { capabilities = ["read", "create", "patch"] }
path "test/+/segment" { capabilities = ["read"] }
path "+/segment/at/front" { capabilities = ["read"] }
path "test/segment/at/end/+" { capabilities = ["read"] }
path "test/+/wildcard/+/*" { capabilities = ["read"] }
path "test/+/wildcardglob/+/end*" { capabilities = ["read"] }
path "1/2/*" { capabilities = ["create"] }
path "1/2/+" { capabilities = ["update"] }
path "1/2/+/+" { capabilities = ["update"] }
path "1/2/3/4/5" { capabilities = ["deny"] }
"#;

#[test]
fn single_layer() {
    let acl = acl(&[POLICY]);
    for (op, path, wanted) in [
        (Op::Read, "root", false),
        (Op::Read, "dev/foo", true),
        (Op::Write, "dev/foo", true),
        (Op::Delete, "stage/foo", true),
        (Op::List, "stage/aws/foo", true),
        (Op::Write, "stage/aws/foo", false),
        (Op::Write, "stage/aws/policy/foo", true),
        (Op::Delete, "prod/foo", false),
        (Op::Write, "prod/foo", false),
        (Op::Read, "prod/foo", true),
        (Op::List, "prod/foo", true),
        (Op::Read, "prod/aws/foo", false),
        (Op::Read, "foo/bar", true),
        (Op::List, "foo/bar", false),
        (Op::Write, "foo/bar", false),
        (Op::Patch, "baz/quux", true),
        (Op::Patch, "foo/bar", false),
        (Op::Read, "test/foo/segment", true),
        (Op::Read, "test/segment", false),
        (Op::Read, "test/foo/bar/segment", false),
        (Op::Read, "foo/segment/at/front", true),
        (Op::Read, "foo/bar/segment/at/front", false),
        (Op::Read, "test/segment/at/end/foo", true),
        (Op::Read, "test/segment/at/end/foo/bar", false),
        (Op::Read, "test/foo/wildcard/bar/baz", true),
        (Op::Read, "test/foo/wildcard/bar/x", true),
        (Op::Read, "test/foo/wildcardglob/bar/end", true),
        (Op::Read, "test/foo/wildcardglob/bar/endx/y", true),
        (Op::Read, "test/foo/wildcardglob/bar/em", false),
        (Op::Read, "1/2/3/4/5", false),
    ] {
        assert_eq!(
            allows(&acl, op, false, path, json!({}), None),
            wanted,
            "{op:?} {path}"
        );
    }
    assert!(
        allows(&acl, Op::Write, true, "foo/bar", json!({}), None),
        "create"
    );
    assert!(!allows(&acl, Op::Write, true, "prod/x", json!({}), None));
    assert_eq!(
        acl.capabilities(&at(Op::Read, "foo/bar")),
        ["create", "read", "sudo"]
    );
    assert_eq!(acl.capabilities(&at(Op::Read, "prod/aws/x")), ["deny"]);
    assert_eq!(acl.capabilities(&at(Op::Read, "nothing")), ["deny"]);
    assert_eq!(Acl::root().capabilities(&at(Op::Read, "x")), ["root"]);
}

#[test]
fn later_policies_widen_and_deny_wins() {
    let merged = acl(&[
        r#"path "a" { capabilities = ["read"] } path "b" { capabilities = ["read"] } path "c/*" { capabilities = ["deny"] }"#,
        r#"path "a" { capabilities = ["list"] } path "b" { capabilities = ["deny"] } path "c/*" { capabilities = ["read"] }"#,
    ]);
    assert_eq!(merged.capabilities(&at(Op::Read, "a")), ["list", "read"]);
    assert_eq!(merged.capabilities(&at(Op::Read, "b")), ["deny"]);
    assert_eq!(merged.capabilities(&at(Op::Read, "c/x")), ["deny"]);
}

#[test]
fn the_most_specific_pattern_decides_alone() {
    for (policy, path, wanted) in [
        // 1: the first wildcard further right
        (
            r#"path "1/2/*" { capabilities = ["create"] } path "1/2/3/*" { capabilities = ["read"] }"#,
            "1/2/3/4",
            "read",
        ),
        (
            r#"path "+/b/c" { capabilities = ["create"] } path "a/+/c" { capabilities = ["read"] }"#,
            "a/b/c",
            "read",
        ),
        // 2: no glob at the end before glob, at the same place
        (
            r#"path "a/+/*" { capabilities = ["create"] } path "a/+/c" { capabilities = ["read"] }"#,
            "a/b/c",
            "read",
        ),
        (
            r#"path "a/*" { capabilities = ["create"] } path "a/+" { capabilities = ["read"] }"#,
            "a/b",
            "read",
        ),
        // 3: fewer plus
        (
            r#"path "a/+/+/d" { capabilities = ["create"] } path "a/+/c/d" { capabilities = ["read"] }"#,
            "a/b/c/d",
            "read",
        ),
        // 4: longer
        (
            r#"path "a/+/c*" { capabilities = ["create"] } path "a/+/cd*" { capabilities = ["read"] }"#,
            "a/b/cde",
            "read",
        ),
        // exact before all
        (
            r#"path "a/*" { capabilities = ["create"] } path "a/b" { capabilities = ["read"] }"#,
            "a/b",
            "read",
        ),
    ] {
        assert_eq!(
            acl(&[policy]).capabilities(&at(Op::Read, path)),
            [wanted],
            "{policy}"
        );
    }
}

#[test]
fn listing_ignores_the_final_slash() {
    let acl =
        acl(&[r#"path "kv/metadata" { capabilities = ["list"] } path "x/+" { capabilities = ["list"] }"#]);
    assert!(allows(&acl, Op::List, false, "kv/metadata/", json!({}), None));
    assert!(allows(&acl, Op::List, false, "x/y/", json!({}), None));
    assert!(!allows(&acl, Op::Read, false, "kv/metadata/", json!({}), None));
}

#[test]
fn parameters_and_wrapping() {
    let policy = r#"
path "p" {
  capabilities = ["update", "create"]
  allowed_parameters = { "zip" = [], "n" = ["a*", 3], "b" = [true] }
  denied_parameters = { "n" = ["abad"] }
  required_parameters = ["zip"]
}
path "any" { capabilities = ["update"] allowed_parameters = { "*" = [], "k" = ["v"] } }
path "none" { capabilities = ["update"] denied_parameters = { "*" = [] } }
path "w" { capabilities = ["read"] min_wrapping_ttl = "5s" max_wrapping_ttl = "1m" }
"#;
    let acl = acl(&[policy]);
    for (path, data, wanted) in [
        ("p", json!({"zip": 1}), true),
        ("p", json!({}), false),
        ("p", json!({"zip": 1, "n": "abc"}), true),
        ("p", json!({"zip": 1, "N": "xbc"}), false),
        ("p", json!({"zip": 1, "n": 3}), true),
        ("p", json!({"zip": 1, "n": "abad"}), false),
        ("p", json!({"zip": 1, "b": true}), true),
        ("p", json!({"zip": 1, "b": false}), false),
        ("p", json!({"zip": 1, "other": 1}), false),
        ("any", json!({"other": 1}), true),
        ("any", json!({"k": "v"}), true),
        ("any", json!({"k": "w"}), false),
        ("none", json!({}), true),
        ("none", json!({"x": 1}), false),
    ] {
        assert_eq!(
            allows(&acl, Op::Write, false, path, data.clone(), None),
            wanted,
            "{path} {data}"
        );
    }
    for (ttl, wanted) in [
        (None, false),
        (Some(4), false),
        (Some(5), true),
        (Some(60), true),
        (Some(61), false),
    ] {
        assert_eq!(
            allows(&acl, Op::Read, false, "w", json!({}), ttl),
            wanted,
            "{ttl:?}"
        );
    }
}

#[test]
fn wrong_policies_say_where() {
    for (text, part) in [
        ("path \"a\" {\n capabilities = [\"raed\"] }", "line 2"),
        ("path \"a\" { capability = [] }", "not known in a path block"),
        ("path \"a/+*\" { }", "+*"),
        ("banana \"a\" { }", "not known here"),
        (
            "path \"a\" { min_wrapping_ttl = 5 max_wrapping_ttl = 3 }",
            "cannot be less",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    Policy::parse(super::super::policy::DEFAULT).unwrap();
    Policy::parse(super::super::policy::WRAPPING).unwrap();
}
