//! A container's environment: literal values, references, `$(NAME)` expansion. Reads config maps and secrets through
//! `Sources`, which remembers them for one container start.

use super::client::{Api, ApiError};
use k8s_openapi::api::core::v1::{Container, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use thiserror::Error;

/// Why a container's configuration cannot be made; shown as the reason `CreateContainerConfigError`.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// Anything a person can mend in the manifest or the object it names.
    #[error("{0}")]
    Wrong(String),
    /// The API server.
    #[error("{what} could not be read")]
    Api {
        /// What was asked for.
        what: String,
        /// Why not.
        #[source]
        source: ApiError,
    },
}

/// Config maps and secrets, read once each.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    api: &'a Api,
    namespace: &'a str,
    known: HashMap<(&'static str, String), Option<Value>>,
}

/// The bytes behind a key of a config map or a secret, in order of the keys.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

impl<'a> Sources<'a> {
    /// Reads objects of `namespace`.
    pub(crate) fn new(api: &'a Api, namespace: &'a str) -> Self {
        Self {
            api,
            namespace,
            known: HashMap::new(),
        }
    }

    /// The data of `kind` (`configmaps` or `secrets`) `name`; `None` if there is no such object.
    pub(crate) async fn data(&mut self, kind: &'static str, name: &str) -> Result<Option<Data>, ConfigError> {
        let key = (kind, name.to_owned());
        if !self.known.contains_key(&key) {
            let path = format!("/api/v1/namespaces/{}/{kind}/{name}", self.namespace);
            let object = match self.api.get(&path).await {
                Ok(object) => Some(object),
                Err(error) if error.is_missing() => None,
                Err(source) => {
                    let what = format!("{} {:?}", singular(kind), name);
                    return Err(ConfigError::Api { what, source });
                }
            };
            self.known.insert(key.clone(), object);
        }
        Ok(self
            .known
            .get(&key)
            .and_then(Option::as_ref)
            .map(|object| data_of(kind, object)))
    }

    /// As `data`, but a missing object is an error unless it is optional.
    pub(crate) async fn required(
        &mut self,
        kind: &'static str,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<Data>, ConfigError> {
        let found = self.data(kind, name).await?;
        if found.is_none() && optional != Some(true) {
            return Err(ConfigError::Wrong(format!(
                "{} {name:?} not found",
                singular(kind)
            )));
        }
        Ok(found)
    }
}

fn singular(kind: &str) -> &str {
    kind.strip_suffix('s').unwrap_or(kind)
}

fn data_of(kind: &str, object: &Value) -> Data {
    let mut data = Data::new();
    let section = |name: &str| object.get(name).and_then(Value::as_object).into_iter().flatten();
    let decode = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap_or_default()
    };
    for (key, value) in section("data") {
        let text = value.as_str().unwrap_or_default();
        let bytes = if kind == "secrets" {
            decode(text)
        } else {
            text.as_bytes().to_vec()
        };
        data.insert(key.clone(), bytes);
    }
    for (key, value) in section("binaryData") {
        data.insert(key.clone(), decode(value.as_str().unwrap_or_default()));
    }
    data
}

/// What the downward API knows about this pod here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Downward {
    /// The pod's address.
    pub(crate) pod_ip: String,
    /// The node's address.
    pub(crate) host_ip: String,
    /// The node's memory in bytes and processors in thousandths, for containers without limits.
    pub(crate) memory: u64,
    /// See `memory`.
    pub(crate) cpu_millis: u64,
}

/// The environment in order; later entries win over earlier ones of the same name.
pub(crate) async fn environment(
    pod: &Pod,
    container: &Container,
    downward: &Downward,
    sources: &mut Sources<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut env: Vec<(String, String)> = vec![
        (
            "KUBERNETES_SERVICE_HOST".to_owned(),
            crate::fabric::KUBERNETES.to_string(),
        ),
        ("KUBERNETES_SERVICE_PORT".to_owned(), "443".to_owned()),
        ("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), "443".to_owned()),
        (
            "KUBERNETES_PORT".to_owned(),
            format!("tcp://{}:443", crate::fabric::KUBERNETES),
        ),
    ];
    for from in container.env_from.iter().flatten() {
        let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(map), _) => ("configmaps", &map.name, map.optional),
            (None, Some(secret)) => ("secrets", &secret.name, secret.optional),
            (None, None) => continue,
        };
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, value) in sources.required(kind, name, optional).await?.unwrap_or_default() {
            set(
                &mut env,
                format!("{prefix}{key}"),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (_, Some(from)) => match referenced(pod, container, from, downward, sources).await? {
                Some(value) => value,
                None => continue,
            },
            (value, None) => expand(value.as_deref().unwrap_or_default(), &env),
        };
        set(&mut env, var.name.clone(), value);
    }
    Ok(env)
}

fn set(env: &mut Vec<(String, String)>, name: String, value: String) {
    env.retain(|(known, _)| *known != name);
    env.push((name, value));
}

async fn referenced(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    downward: &Downward,
    sources: &mut Sources<'_>,
) -> Result<Option<String>, ConfigError> {
    if let Some(field) = &from.field_ref {
        return field_value(pod, field, downward).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        return resource_value(pod, container, resource, downward).map(Some);
    }
    let (kind, name, key, optional, shown) = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(map), _) => ("configmaps", &map.name, &map.key, map.optional, "ConfigMap"),
        (None, Some(secret)) => ("secrets", &secret.name, &secret.key, secret.optional, "Secret"),
        (None, None) => return Ok(None),
    };
    let Some(data) = sources.required(kind, name, optional).await? else {
        return Ok(None);
    };
    match data.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            Err(ConfigError::Wrong(format!(
                "couldn't find key {key} in {shown} {namespace}/{name}"
            )))
        }
    }
}

/// A field of the pod, by its downward API path.
pub(crate) fn field_value(
    pod: &Pod,
    field: &ObjectFieldSelector,
    downward: &Downward,
) -> Result<String, ConfigError> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let subscript = |prefix: &str| {
        let rest = field.field_path.strip_prefix(prefix)?;
        rest.strip_prefix("['")?.strip_suffix("']").map(str::to_owned)
    };
    let listed = |map: &Option<BTreeMap<String, String>>| {
        let lines = map
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let in_map = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    if let Some(key) = subscript("metadata.labels") {
        return Ok(in_map(&meta.labels, &key));
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Ok(in_map(&meta.annotations, &key));
    }
    let value = match field.field_path.as_str() {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(listed(&meta.labels)),
        "metadata.annotations" => Some(listed(&meta.annotations)),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => Some(
            spec.and_then(|spec| spec.service_account_name.clone())
                .unwrap_or_else(|| "default".to_owned()),
        ),
        "status.podIP" | "status.podIPs" => Some(downward.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => Some(downward.host_ip.clone()),
        other => return Err(ConfigError::Wrong(format!("unsupported fieldPath: {other}"))),
    };
    Ok(value.unwrap_or_default())
}

/// A container's request or limit; without one, what the node has.
pub(crate) fn resource_value(
    pod: &Pod,
    container: &Container,
    field: &ResourceFieldSelector,
    downward: &Downward,
) -> Result<String, ConfigError> {
    let named = field.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match named {
        None => container,
        Some(name) => pod
            .spec
            .iter()
            .flat_map(|spec| {
                spec.containers
                    .iter()
                    .chain(spec.init_containers.iter().flatten())
            })
            .find(|container| container.name == name)
            .ok_or_else(|| ConfigError::Wrong(format!("container {name} not found")))?,
    };
    let resources = container.resources.clone().unwrap_or_default();
    let (section, name) = field
        .resource
        .split_once('.')
        .ok_or_else(|| ConfigError::Wrong(format!("unsupported container resource: {}", field.resource)))?;
    let map = if section == "limits" {
        resources.limits
    } else {
        resources.requests
    };
    let given = map
        .and_then(|map| map.get(name).cloned())
        .and_then(|quantity| millis(&quantity.0));
    let fallback = match (section, name) {
        ("limits", "cpu") => u128::from(downward.cpu_millis),
        ("limits", "memory") => u128::from(downward.memory) * 1000,
        _ => 0,
    };
    let divisor = field
        .divisor
        .as_ref()
        .and_then(|divisor| millis(&divisor.0))
        .filter(|divisor| *divisor > 0);
    Ok(given
        .unwrap_or(fallback)
        .div_ceil(divisor.unwrap_or(1000))
        .to_string())
}

/// A quantity such as `500m`, `1.5Gi` or `2e3`, in thousandths; none if it is less than nothing.
pub(crate) fn millis(quantity: &str) -> Option<u128> {
    u128::try_from(herder_object::quantity::parse(quantity)?).ok()
}

/// Replaces `$(NAME)` by the variable's value, `$$` by `$`; what is not defined stays as it is.
pub(crate) fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match reference {
            Some((name, tail)) => {
                match env.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => out.push_str(value),
                    None => {
                        out.push_str("$(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                rest = tail;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_kubernetes_does() {
        let env = [
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "two".to_owned()),
        ];
        for (text, want) in [
            ("$(A)-$(B)", "1-two"),
            ("$$(A)", "$(A)"),
            ("$(MISSING)", "$(MISSING)"),
            ("$A $(A", "$A $(A"),
            ("cost: 5$", "cost: 5$"),
            ("$$$$", "$$"),
        ] {
            assert_eq!(expand(text, &env), want, "{text}");
        }
    }

    #[test]
    fn quantities() {
        for (text, want) in [
            ("1", Some(1000)),
            ("250m", Some(250)),
            ("1.5", Some(1500)),
            ("1Ki", Some(1_024_000)),
            ("1.5Mi", Some(1_572_864_000)),
            ("2e3", Some(2_000_000)),
            (".5", Some(500)),
            ("x", None),
            ("1Zi", None),
            // As much as there can be of anything.
            ("1e99999", Some(1_000_000_000_000_000_000_000)),
        ] {
            assert_eq!(millis(text), want, "{text}");
        }
    }
}
