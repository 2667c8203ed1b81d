//! Merges that upstream's documentation and tests describe.

use super::*;
use herder_object::yaml;

fn node(text: &str) -> Node {
    let (documents, errors) = yaml::parse(text);
    assert!(errors.is_empty(), "{errors:?}");
    Node::from_yaml(documents.into_iter().next().unwrap().root, 0).unwrap()
}

#[test]
fn merges_as_kyaml() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\n";
    for (dest, patch, result) in [
        ("a: 1\nb: {c: 2}\n", "b: {d: 3}\n", "a: 1\nb:\n  c: 2\n  d: 3\n"),
        ("a: 1\nb: 2\n", "b: null\n", "a: 1\n"),
        (
            "a: {b: 1, c: 2}\n",
            "a: {$patch: replace, d: 3}\n",
            "a:\n  d: 3\n",
        ),
        ("a: {b: 1}\nc: 1\n", "a: {$patch: delete}\n", "c: 1\n"),
        // For a whole resource upstream replaces a copy that nobody looks at.
        ("a: 1\n", "{$patch: replace, b: 2}\n", "a: 1\n"),
        ("a: [1, 2]\n", "a: [3]\n", "a:\n- 3\n"),
        ("a: 1\n", "b: {c: null, d: 1}\n", "a: 1\nb:\n  d: 1\n"),
    ] {
        let mut merged = node(dest);
        assert!(merge(&mut merged, node(patch), Schema::builtin(), &mut Vec::new()).unwrap());
        assert_eq!(yaml::print(&merged.to_json().unwrap()), result, "{patch}");
    }
    let spec = |containers: &str| {
        node(&format!(
            "{deployment}spec: {{template: {{spec: {{containers: {containers}}}}}}}\n"
        ))
    };
    for (dest, patch, result) in [
        (
            "[{name: a, image: x}, {name: b}]",
            "[{name: b, image: y}]",
            "[{name: b, image: y}, {name: a, image: x}]",
        ),
        (
            "[{name: a}]",
            "[{name: n, image: y}]",
            "[{name: n, image: y}, {name: a}]",
        ),
        (
            "[{name: a}, {name: b}]",
            "[{name: a, $patch: delete}]",
            "[{name: b}]",
        ),
        (
            "[{name: a}, {name: b}]",
            "[{$patch: replace}, {name: c}]",
            "[{name: c}]",
        ),
        (
            "[{name: a, ports: [{containerPort: 80, protocol: TCP}]}]",
            "[{name: a, ports: [{containerPort: 80, name: w}]}]",
            // Upstream loses what a patch says of a port without naming its protocol.
            "[{name: a, ports: [{containerPort: 80, protocol: TCP}]}]",
        ),
    ] {
        let mut merged = spec(dest);
        assert!(merge(&mut merged, spec(patch), Schema::builtin(), &mut Vec::new()).unwrap());
        assert_eq!(
            merged.to_json().unwrap(),
            spec(result).to_json().unwrap(),
            "{patch}"
        );
    }
}

#[test]
fn says_when_a_list_is_replaced() {
    let text = |items: &str| {
        node(&format!(
            "apiVersion: x.io/v1\nkind: X\nspec: {{items: {items}}}\n"
        ))
    };
    let mut replaced = Vec::new();
    let mut dest = text("[{name: a}, {name: b}]");
    merge(&mut dest, text("[{name: c}]"), Schema::builtin(), &mut replaced).unwrap();
    assert_eq!(replaced, ["spec.items"]);
}
