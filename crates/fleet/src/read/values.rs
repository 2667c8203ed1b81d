//! Values that were never meant for a cluster as they stand in git: ciphertext, and variables that something else was to
//! expand. Pure functions of one object.

use base64::Engine as _;
use serde_json::Value;
use std::collections::BTreeSet;

/// What git-crypt writes at the beginning of a file.
pub(crate) const GIT_CRYPT: &[u8] = b"\0GITCRYPT\0";
/// What SOPS writes in place of a value.
const SOPS: &str = "ENC[AES256_GCM,data:";

/// Where an object holds ciphertext.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ciphertext {
    pub(crate) pointer: String,
    /// What made it.
    pub(crate) by: &'static str,
}

/// Whether a file is ciphertext as a whole, and what made it.
pub(crate) fn encrypted_file(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(GIT_CRYPT) {
        Some("git-crypt")
    } else if bytes.starts_with(b"age-encryption.org/")
        || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
    {
        Some("age")
    } else if bytes.starts_with(b"-----BEGIN PGP MESSAGE-----") {
        Some("PGP")
    } else if bytes.starts_with(b"$ANSIBLE_VAULT;") {
        Some("Ansible Vault")
    } else {
        None
    }
}

/// The first ciphertext in an object.
pub(crate) fn ciphertext(object: &Value) -> Option<Ciphertext> {
    if object.pointer("/sops/mac").is_some() || object.pointer("/sops/version").is_some() {
        return Some(Ciphertext {
            pointer: "/sops".to_owned(),
            by: "SOPS",
        });
    }
    let packed = herder_object::kind(object) == "Secret" || object.get("binaryData").is_some();
    let mut found = None;
    walk(object, &mut String::new(), &mut |pointer, text| {
        let by = if text.contains(SOPS) {
            Some("SOPS")
        } else if packed && (pointer.starts_with("/data/") || pointer.starts_with("/binaryData/")) {
            // Generators pack what they read.
            // kustomize folds long texts.
            let text: String = text.split_ascii_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap_or_default();
            encrypted_file(&bytes).or_else(|| {
                let sops = bytes.windows(SOPS.len()).any(|window| window == SOPS.as_bytes());
                sops.then_some("SOPS")
            })
        } else {
            encrypted_file(text.as_bytes())
        };
        if let Some(by) = by
            && found.is_none()
        {
            found = Some(Ciphertext {
                pointer: pointer.to_owned(),
                by,
            });
        }
    });
    found
}

/// Variables (`${NAME}`) where nothing but their value can be meant, and the first place. Text that programs read
/// (scripts, configuration, variables of containers) may hold such things for the program.
pub(crate) fn variables(object: &Value) -> Option<(String, BTreeSet<String>)> {
    let kind = herder_object::kind(object);
    let data = matches!(kind, "ConfigMap" | "Secret");
    let definition = kind == "CustomResourceDefinition";
    let mut names = BTreeSet::new();
    let mut first = None;
    walk(object, &mut String::new(), &mut |pointer, text| {
        let top = pointer.split('/').nth(1).unwrap_or_default();
        if text.contains('\n') || definition || (data && matches!(top, "data" | "stringData" | "binaryData"))
        {
            return;
        }
        let parts: Vec<&str> = pointer.split('/').collect();
        let inside = |name: &str| parts.contains(&name);
        if inside("command")
            || inside("args")
            || inside("annotations")
            || (inside("env") && pointer.ends_with("/value"))
        {
            return;
        }
        let before = names.len();
        names.extend(named(text));
        if names.len() > before {
            first.get_or_insert_with(|| pointer.to_owned());
        }
    });
    Some((first?, names))
}

/// The variables in a text: `${NAME}`, `${NAME:=default}`, `${NAME:-default}`.
fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let escaped = rest.get(..start).is_some_and(|before| before.ends_with('$'));
        rest = rest.get(start + 2..).unwrap_or_default();
        let Some(end) = rest.find('}') else { break };
        let body = rest.get(..end).unwrap_or_default();
        let name = body.split([':', '=', '-']).next().unwrap_or_default();
        if !escaped && is_variable(name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether a text is a name of a variable, by Flux's rule.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn walk(value: &Value, pointer: &mut String, each: &mut dyn FnMut(&str, &str)) {
    let before = pointer.len();
    match value {
        Value::String(text) => each(pointer, text),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                walk(value, pointer, each);
                pointer.truncate(before);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                walk(value, pointer, each);
                pointer.truncate(before);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ciphertext_is_seen_wherever_it_is() {
        let packed = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        for (object, by, pointer) in [
            (
                json!({"kind": "Secret", "data": {"a": "x"}, "sops": {"mac": "ENC[..]", "version": "3.8"}}),
                "SOPS",
                "/sops",
            ),
            (
                json!({"kind": "Secret", "stringData": {"a": "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]"}}),
                "SOPS",
                "/stringData/a",
            ),
            (
                json!({"kind": "Secret", "data": {"a": packed(b"k=ENC[AES256_GCM,data:x]")}}),
                "SOPS",
                "/data/a",
            ),
            (
                json!({"kind": "Secret", "data": {"a": packed(b"\0GITCRYPT\0xyz")}}),
                "git-crypt",
                "/data/a",
            ),
            (
                json!({"kind": "ConfigMap", "data": {"a": "-----BEGIN PGP MESSAGE-----\n"}}),
                "PGP",
                "/data/a",
            ),
        ] {
            let found = ciphertext(&object).unwrap();
            assert_eq!((found.by, found.pointer.as_str()), (by, pointer), "{object}");
        }
        for object in [
            json!({"kind": "Secret", "data": {"a": packed(b"password")}, "stringData": {"b": "ENC"}}),
            json!({"kind": "ConfigMap", "data": {"sops": "x"}}),
        ] {
            assert_eq!(ciphertext(&object), None, "{object}");
        }
    }

    #[test]
    fn variables_count_where_only_their_value_can_be_meant() {
        let object = json!({"kind": "Ingress", "metadata": {"name": "x", "labels": {"a": "${ENV}"}},
            "spec": {"rules": [{"host": "a.${DOMAIN:-example.org}"}, {"host": "$${NOT}"}, {"host": "${not a name}"}]}});
        let (pointer, names) = variables(&object).unwrap();
        assert_eq!(pointer, "/metadata/labels/a");
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["DOMAIN", "ENV"]
        );
        for object in [
            json!({"kind": "ConfigMap", "data": {"run.sh": "echo ${HOME}"}}),
            json!({"kind": "Pod", "spec": {"containers": [{"command": ["sh", "-c", "echo ${HOME}"], "args": ["${X}"], "env": [{"name": "A", "value": "${B}"}]}]}}),
            json!({"kind": "Thing", "spec": {"script": "a\n${B}\n"}}),
        ] {
            assert_eq!(variables(&object), None, "{object}");
        }
    }
}
