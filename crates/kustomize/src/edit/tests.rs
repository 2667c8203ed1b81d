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
fn sets_namespace() {
    for (text, result) in [
        (
            "kind: Kustomization\nresources: [a]\n",
            "kind: Kustomization\nnamespace: prod\nresources: [a]\n",
        ),
        ("namespace: old # why\n", "namespace: prod # why\n"),
        ("namespace: \"old\"", "namespace: \"prod\""),
        ("resources:\n- a\n", "resources:\n- a\nnamespace: prod\n"),
    ] {
        assert_eq!(set_namespace(text, "prod").unwrap(), result);
    }
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
