//! From annotations on a pod template to the containers that fetch its secrets. Git holds paths, never values.
//!
//! | annotation on the pod template | what it makes |
//! |--|--|
//! | `herder.dev/vault-role: shop` | the role to log in as, with the pod's own service account |
//! | `herder.dev/file.NAME: secret/data/shop/db#password` | `/herder/secrets/NAME` with that value |
//! | `herder.dev/file.NAME: pki/issue/shop common_name=… [alt_names=…] [ip_sans=…] [ttl=…]` | `NAME.crt`, `NAME.key`, `NAME-ca.crt` |
//! | `herder.dev/template.NAME: …` | `/herder/secrets/NAME` from a template |
//! | `herder.dev/mode.NAME: "0640"` | that file's permissions |
//! | `herder.dev/env.NAME: secret/data/shop/db#password` | the variable NAME for containers started by `herder agent exec` |

use crate::Settings;
use herder_base::{Diagnostic, suggest};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PREFIX: &str = "herder.dev/";
const VOLUME: &str = "herder-secrets";
const DIR: &str = "/herder/secrets";
const INIT: &str = "herder-secrets";
const SIDECAR: &str = "herder-agent";

/// Adds what a pod template's annotations ask for; without such annotations nothing changes. Doing it twice changes
/// nothing more.
///
/// # Errors
/// If an annotation cannot be understood, with what to write instead.
pub fn inject(object: &mut Value, settings: &Settings) -> Result<(), Box<Diagnostic>> {
    let Some(pointer) = template_of(herder_object::kind(object)) else {
        return Ok(());
    };
    let Some(pod) = object.pointer_mut(pointer) else {
        return Ok(());
    };
    let wishes = Wishes::read(pod)?;
    let Some(role) = wishes.role.clone() else {
        return match wishes.first() {
            None => Ok(()),
            Some(annotation) => Err(Diagnostic::error(
                "vault-role",
                format!("the annotation {PREFIX}{annotation} needs {PREFIX}vault-role beside it"),
            )
            .hint("name the Vault role that the pod's service account logs in as")
            .into()),
        };
    };
    if wishes.first().is_none() {
        return Ok(());
    }
    let mut config = json!({
        "vault": settings.vault_address,
        "auth": { "kubernetes": { "role": role, "mount": settings.vault_mount } },
        "files": wishes.files,
        "tls": wishes.certificates,
        "env": wishes.variables,
    });
    if let (Some(ca), Some(config)) = (&settings.vault_ca, config.as_object_mut()) {
        config.insert("ca".to_owned(), json!(ca));
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let wrap = !wishes.variables.is_empty();
    mount(spec, "containers", &settings.agent_image, wrap)?;
    mount(spec, "initContainers", &settings.agent_image, false)?;
    with_list(spec, "volumes", |volumes| {
        volumes.retain(|volume| volume.get("name").and_then(Value::as_str) != Some(VOLUME));
        volumes.push(json!({ "name": VOLUME, "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } }));
    });
    let container = |name: &str, verb: &str| {
        json!({
            "name": name,
            "image": settings.agent_image,
            "command": ["herder", "agent", verb],
            "env": [{ "name": "HERDER_AGENT", "value": config.to_string() }],
            "volumeMounts": [{ "name": VOLUME, "mountPath": DIR }],
            "resources": { "requests": { "cpu": "5m", "memory": "16Mi" } },
        })
    };
    let mut sidecar = container(SIDECAR, "run");
    if let Some(sidecar) = sidecar.as_object_mut() {
        sidecar.insert("restartPolicy".to_owned(), json!("Always"));
    }
    with_list(spec, "initContainers", |before| {
        before.retain(|container| !is_ours(container));
        before.splice(0..0, [container(INIT, "init"), sidecar]);
    });
    Ok(())
}

/// Where a kind keeps its pod template.
fn template_of(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "ReplicationController" => {
            Some("/spec/template")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        "Pod" => Some(""),
        _ => None,
    }
}

/// The pod template of an object that runs pods, or the pod.
pub(crate) fn pod(object: &Value) -> Option<&Value> {
    object.pointer(template_of(herder_object::kind(object))?)
}

/// The containers of an object that runs pods.
pub(crate) fn containers(object: &Value) -> Option<&Vec<Value>> {
    pod(object)?.pointer("/spec/containers")?.as_array()
}

fn is_ours(container: &Value) -> bool {
    matches!(
        container.get("name").and_then(Value::as_str),
        Some(INIT | SIDECAR)
    )
}

/// Changes a member that is a list, or is made one.
fn with_list(spec: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let mut values = match spec.get_mut(name).map(Value::take) {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    };
    change(&mut values);
    spec.insert(name.to_owned(), Value::Array(values));
}

/// Mounts the secrets into the containers of a list, and starts those that want variables through the agent.
fn mount(
    spec: &mut Map<String, Value>,
    name: &str,
    agent_image: &str,
    wrap: bool,
) -> Result<(), Box<Diagnostic>> {
    let Some(containers) = spec.get_mut(name).and_then(Value::as_array_mut) else {
        return Ok(());
    };
    for container in containers.iter_mut().filter(|container| !is_ours(container)) {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        with_list(container, "volumeMounts", |mounts| {
            mounts.retain(|mount| mount.get("name").and_then(Value::as_str) != Some(VOLUME));
            mounts.push(json!({ "name": VOLUME, "mountPath": DIR, "readOnly": true }));
        });
        if wrap {
            start_through_agent(container, agent_image)?;
        }
    }
    Ok(())
}

/// `herder agent exec -- COMMAND`, where the image has `herder`. Other images read `/herder/secrets/env` themselves.
fn start_through_agent(container: &mut Map<String, Value>, agent_image: &str) -> Result<(), Box<Diagnostic>> {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let name = |image: &str| image.split([':', '@']).next().unwrap_or_default().to_owned();
    if name(image) != name(agent_image) {
        return Ok(());
    }
    let Some(command) = container.get_mut("command").and_then(Value::as_array_mut) else {
        return Err(Diagnostic::error(
            "vault-env",
            format!(
                "container `{}` has no `command`, so that it cannot be given variables from Vault",
                container.get("name").and_then(Value::as_str).unwrap_or_default()
            ),
        )
        .hint(format!("write its `command` out, or use {PREFIX}file.NAME"))
        .into());
    };
    let words = ["herder", "agent", "exec", "--"];
    let wrapped =
        command.len() > words.len() && words.iter().zip(command.iter()).all(|(word, part)| part == word);
    if !wrapped {
        command.splice(0..0, words.map(Value::from));
    }
    Ok(())
}

/// What the annotations of a pod template ask for.
#[derive(Debug, Default)]
struct Wishes {
    role: Option<String>,
    files: Vec<Value>,
    certificates: Vec<Value>,
    variables: Vec<Value>,
    first: Option<String>,
}

impl Wishes {
    fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    fn read(pod: &Value) -> Result<Self, Box<Diagnostic>> {
        let all: BTreeMap<&str, &str> = herder_object::annotations(pod)
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)))
            .collect();
        let mut wishes = Self::default();
        for (annotation, value) in &all {
            let (what, name) = annotation.split_once('.').unwrap_or((annotation, ""));
            match what {
                "vault-role" => {
                    wishes.role = Some((*value).trim().to_owned());
                    continue;
                }
                "file" | "template" | "mode" => file_name(annotation, name)?,
                "env" => variable_name(annotation, name)?,
                _ => {
                    unknown(annotation, what)?;
                    continue;
                }
            }
            wishes.first.get_or_insert_with(|| (*annotation).to_owned());
            let mode = all
                .get(format!("mode.{name}").as_str())
                .map_or("0640", |mode| mode.trim());
            match what {
                "template" => {
                    wishes
                        .files
                        .push(json!({ "path": format!("{DIR}/{name}"), "template": value, "mode": mode }));
                }
                "file"
                    if value
                        .split_whitespace()
                        .next()
                        .is_some_and(|path| path.contains("/issue/")) =>
                {
                    wishes
                        .certificates
                        .push(certificate(annotation, name, value, mode)?);
                }
                "file" => {
                    let secret = secret(annotation, value)?;
                    wishes
                        .files
                        .push(json!({ "path": format!("{DIR}/{name}"), "secret": secret, "mode": mode }));
                }
                "env" => {
                    let secret = secret(annotation, value)?;
                    if !secret.contains('#') {
                        return Err(Diagnostic::error(
                            "vault-path",
                            format!("{PREFIX}{annotation} names no key"),
                        )
                        .hint(format!("write `{secret}#KEY`"))
                        .into());
                    }
                    wishes.variables.push(json!({ "name": name, "secret": secret }));
                }
                _ => {}
            }
        }
        Ok(wishes)
    }
}

/// Annotations of ours that are not about secrets are left alone, spelling mistakes are not.
fn unknown(annotation: &str, what: &str) -> Result<(), Box<Diagnostic>> {
    match suggest(what, ["vault-role", "file", "template", "env", "mode"]) {
        Some(near) if near != what => Err(Diagnostic::error(
            "unknown-annotation",
            format!("there is no annotation {PREFIX}{annotation}"),
        )
        .hint(format!(
            "did you mean {PREFIX}{}?",
            annotation.replacen(what, near, 1)
        ))
        .into()),
        _ => Ok(()),
    }
}

fn file_name(annotation: &str, name: &str) -> Result<(), Box<Diagnostic>> {
    let good = !name.is_empty()
        && name != "env"
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if good {
        return Ok(());
    }
    Err(
        Diagnostic::error("vault-file", format!("{PREFIX}{annotation} names no file"))
            .hint(format!(
                "write `{PREFIX}file.NAME`; the file is then {DIR}/NAME (`env` is taken)"
            ))
            .into(),
    )
}

fn variable_name(annotation: &str, name: &str) -> Result<(), Box<Diagnostic>> {
    let mut chars = name.chars();
    let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good {
        return Ok(());
    }
    Err(
        Diagnostic::error("vault-env", format!("{PREFIX}{annotation} names no variable"))
            .hint(format!("write `{PREFIX}env.NAME` with letters, digits and `_`"))
            .into(),
    )
}

/// `path#key`, checked.
fn secret(annotation: &str, value: &str) -> Result<String, Box<Diagnostic>> {
    let value = value.trim();
    let path = value.split('#').next().unwrap_or_default().trim_matches('/');
    if path.is_empty() || !path.contains('/') || value.contains(char::is_whitespace) {
        return Err(Diagnostic::error(
            "vault-path",
            format!("`{value}` in {PREFIX}{annotation} is no path in Vault"),
        )
        .hint("write `secret/data/NAME#KEY`, or `pki/issue/ROLE common_name=NAME` for a certificate")
        .into());
    }
    Ok(value.to_owned())
}

/// `pki/issue/ROLE common_name=… alt_names=a,b ip_sans=… ttl=…`.
fn certificate(annotation: &str, name: &str, value: &str, mode: &str) -> Result<Value, Box<Diagnostic>> {
    let wrong = |message: String| -> Box<Diagnostic> {
        Diagnostic::error("vault-certificate", message).hint(format!(
            "write {PREFIX}{annotation}: pki/issue/ROLE common_name=NAME [alt_names=A,B] [ip_sans=…] [ttl=1h]"
        )).into()
    };
    let mut words = value.split_whitespace();
    let issue = words.next().unwrap_or_default();
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for word in words {
        let (key, text) = word
            .split_once('=')
            .ok_or_else(|| wrong(format!("`{word}` in {PREFIX}{annotation} is no NAME=VALUE")))?;
        if !["common_name", "alt_names", "ip_sans", "ttl"].contains(&key) {
            return Err(wrong(format!("`{key}` in {PREFIX}{annotation} is not known")));
        }
        fields.insert(key, text);
    }
    let common_name = fields
        .get("common_name")
        .ok_or_else(|| wrong(format!("{PREFIX}{annotation} has no common_name")))?;
    let several = |key: &str| -> Vec<&str> {
        fields
            .get(key)
            .into_iter()
            .flat_map(|text| text.split(','))
            .filter(|part| !part.is_empty())
            .collect()
    };
    let mut certificate = json!({
        "issue": issue,
        "common_name": common_name,
        "alt_names": several("alt_names"),
        "ip_sans": several("ip_sans"),
        "cert": format!("{DIR}/{name}.crt"),
        "key": format!("{DIR}/{name}.key"),
        "ca": format!("{DIR}/{name}-ca.crt"),
        "mode": mode,
    });
    if let (Some(certificate), Some(ttl)) = (certificate.as_object_mut(), fields.get("ttl")) {
        certificate.insert("ttl".to_owned(), json!(ttl));
    }
    Ok(certificate)
}
