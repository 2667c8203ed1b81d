//! Edits, with what must stay around them.

use super::*;

#[test]
fn sets_images() {
    let tag = Version::Tag("1.10");
    for (text, name, new_name, version, result) in [
        (
            "# top\nimages: # all\n- name: a # first\n  newTag: '1.9' # pinned\n- name: b\n",
            "a",
            None,
            tag,
            "# top\nimages: # all\n- name: a # first\n  newTag: '1.10' # pinned\n- name: b\n",
        ),
        (
            "images:\n  - name: a\n    digest: sha256:x\n  - name: b\nnamespace: prod\n",
            "a",
            Some("r/a"),
            tag,
            "images:\n  - name: a\n    newName: r/a\n    newTag: \"1.10\"\n  - name: b\nnamespace: prod\n",
        ),
        (
            "images:\n- digest: sha256:x\n  name: a\n",
            "a",
            None,
            Version::Tag("v2"),
            "images:\n- name: a\n  newTag: v2\n",
        ),
        (
            "images:\n- name: b\n# end\nresources: []\n",
            "a",
            None,
            Version::Digest("sha256:y"),
            "images:\n- name: b\n- name: a\n  digest: sha256:y\n# end\nresources: []\n",
        ),
        (
            "resources: [x]",
            "a",
            None,
            Version::Tag("2"),
            "resources: [x]\nimages:\n- name: a\n  newTag: \"2\"\n",
        ),
        (
            "images: []\n",
            "a",
            None,
            Version::Tag("v"),
            "images:\n- name: a\n  newTag: v\n",
        ),
        (
            "images:\n- {name: a, newTag: v1} # x\n",
            "a",
            None,
            Version::Tag("v2"),
            "images:\n- {name: a, newTag: v2} # x\n",
        ),
        (
            "images:\r\n- name: a\r\n",
            "a",
            None,
            Version::Tag("v"),
            "images:\r\n- name: a\r\n  newTag: v\r\n",
        ),
        (
            "",
            "a",
            None,
            Version::Tag("v"),
            "images:\n- name: a\n  newTag: v\n",
        ),
        (
            "images:\n- name: a\n  newTag:\n",
            "a",
            None,
            Version::Tag("v"),
            "images:\n- name: a\n  newTag: v\n",
        ),
    ] {
        assert_eq!(
            set_image(text, name, new_name, version).unwrap(),
            result,
            "{text}"
        );
    }
    for text in [
        "images: [{name: a,\n newTag: x}]\n",
        "images: a\n",
        "- x\n",
        "a: [\n",
    ] {
        assert!(set_image(text, "a", None, tag).is_err(), "{text}");
    }
}

#[test]
fn sets_fields() {
    for (text, result) in [
        (
            "kind: Kustomization\nresources: [a]\n",
            "kind: Kustomization\nnamespace: prod\nresources: [a]\n",
        ),
        ("namespace: old # why\n", "namespace: prod # why\n"),
        ("namespace: \"old\"", "namespace: \"prod\""),
        ("resources:\n- a\n", "resources:\n- a\nnamespace: prod\n"),
    ] {
        assert_eq!(set_field(text, Field::Namespace, "prod").unwrap(), result);
    }
}

#[test]
fn sets_replicas() {
    for (text, result) in [
        (
            "namePrefix: a-\n",
            "namePrefix: a-\nreplicas:\n- name: shop\n  count: 3\n",
        ),
        (
            "replicas:\n- name: shop # big\n  count: 1 # for now\n- {name: b, count: 2}\n",
            "replicas:\n- name: shop # big\n  count: 3 # for now\n- {name: b, count: 2}\n",
        ),
        (
            "replicas:\n- {name: shop, count: 2}\n",
            "replicas:\n- {name: shop, count: 3}\n",
        ),
    ] {
        assert_eq!(set_replicas(text, "shop", 3).unwrap(), result);
    }
}

#[test]
fn adds_and_removes_paths() {
    for (text, result) in [
        ("", "resources:\n- b.yaml\n"),
        (
            "resources: [a.yaml] # all\n",
            "resources: [a.yaml, b.yaml] # all\n",
        ),
        (
            "resources:\n  # first\n  - a.yaml # one\nnamespace: x\n",
            "resources:\n  # first\n  - a.yaml # one\n  - b.yaml\nnamespace: x\n",
        ),
        ("resources: [b.yaml]\n", "resources: [b.yaml]\n"),
    ] {
        assert_eq!(
            add_path(text, List::Resources, "b.yaml").unwrap(),
            result,
            "{text}"
        );
    }
    let text = "resources:\n- a.yaml # one\n- b.yaml # two\n";
    assert_eq!(
        remove_path(text, List::Resources, "b.yaml").unwrap(),
        "resources:\n- a.yaml # one\n"
    );
    assert!(remove_path(text, List::Resources, "c.yaml").is_err());
    assert!(remove_path(text, List::Components, "a.yaml").is_err());
    assert!(remove_path("resources: [a]\n", List::Resources, "a").is_err());
}

#[test]
fn sets_refs() {
    let text =
        "resources:\n- https://h/o/r//x?ref=v1 # base\n- \"https://h/o/r//y?timeout=9&version=v1\"\n- ../z\n";
    let edited = set_ref(text, "https://h/o/r//x", "v2").unwrap();
    assert_eq!(edited, text.replace("x?ref=v1", "x?ref=v2"));
    let edited = set_ref(text, "https://h/o/r//y", "v2").unwrap();
    assert_eq!(edited, text.replace("timeout=9&version=v1", "ref=v2&timeout=9"));
    assert_eq!(
        set_ref("components: [file:///r//c]\n", "file:///r//c", "abc").unwrap(),
        "components: [\"file:///r//c?ref=abc\"]\n"
    );
    let error = set_ref(text, "https://h/o/r//w", "v2").unwrap_err();
    assert!(error.hint_text().is_some(), "{error}");
}

#[test]
fn adds_nothing_to_another_document() {
    for text in [
        "resources: [a]\n---\nx: 1\n",
        "resources:\n- a\n...\n",
        "resources:\n- a\n---\nno: [\n",
    ] {
        for made in [
            set_field(text, Field::Namespace, ""),
            set_field(text, Field::Namespace, "x"),
            set_replicas(text, "a", 1),
        ] {
            assert_eq!(
                made.unwrap_err().message(),
                "the file goes on behind its first document",
                "{text}"
            );
        }
    }
    let whole = "---\nresources:\n- a\n";
    assert_eq!(
        set_field(whole, Field::Namespace, "x").unwrap(),
        format!("{whole}namespace: x\n")
    );
}
