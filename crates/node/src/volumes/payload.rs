//! What is in config map, secret, downward API and projected volumes.

use super::super::env::{ConfigError, Data, Downward, Sources, field_value, resource_value};
use super::super::machine::Machine;
use super::atomic::Payload;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource,
    SecretProjection, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

/// Tokens of pods that ask for none in particular live so long, in seconds.
const TOKEN: i64 = 3607;

/// A volume made of parts, with the tokens it holds at the moment.
#[derive(Debug)]
pub(crate) struct Recipe {
    parts: Vec<VolumeProjection>,
    mode: u32,
    /// By path: the token, and when to get the next one.
    tokens: HashMap<String, (String, Timestamp)>,
    now: Timestamp,
}

impl Recipe {
    /// The recipe of a volume, if it is of such a kind.
    pub(crate) fn of(volume: &Volume) -> Option<Self> {
        let (part, mode) = if let Some(map) = &volume.config_map {
            let config_map = Some(ConfigMapProjection {
                name: map.name.clone(),
                items: map.items.clone(),
                optional: map.optional,
            });
            (
                VolumeProjection {
                    config_map,
                    ..VolumeProjection::default()
                },
                map.default_mode,
            )
        } else if let Some(secret) = &volume.secret {
            let projection = Some(SecretProjection {
                name: secret.secret_name.clone().unwrap_or_default(),
                items: secret.items.clone(),
                optional: secret.optional,
            });
            (
                VolumeProjection {
                    secret: projection,
                    ..VolumeProjection::default()
                },
                secret.default_mode,
            )
        } else if let Some(downward) = &volume.downward_api {
            let projection = Some(DownwardAPIProjection {
                items: downward.items.clone(),
            });
            (
                VolumeProjection {
                    downward_api: projection,
                    ..VolumeProjection::default()
                },
                downward.default_mode,
            )
        } else {
            let projected = volume.projected.as_ref()?;
            return Some(Self::new(
                projected.sources.clone().unwrap_or_default(),
                projected.default_mode,
            ));
        };
        Some(Self::new(vec![part], mode))
    }

    fn new(parts: Vec<VolumeProjection>, mode: Option<i32>) -> Self {
        let mode = mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644) & 0o777;
        Self {
            parts,
            mode,
            tokens: HashMap::new(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// What it reads.
    pub(crate) fn references(&self) -> Vec<(&'static str, String)> {
        let maps = self.parts.iter().filter_map(|part| part.config_map.as_ref());
        let secrets = self.parts.iter().filter_map(|part| part.secret.as_ref());
        maps.map(|map| ("configmaps", map.name.clone()))
            .chain(secrets.map(|secret| ("secrets", secret.name.clone())))
            .collect()
    }

    /// How long its tokens are good.
    pub(crate) fn next_token(&self) -> Option<Duration> {
        let soonest = self.tokens.values().map(|(_, renew)| *renew).min()?;
        Some(
            Duration::try_from(soonest.duration_since(self.now))
                .unwrap_or_default()
                .max(Duration::from_secs(1)),
        )
    }
}

/// The volume every pod has that does not say otherwise.
pub(crate) fn token_volume(name: &str) -> Volume {
    let part = |value: Value| serde_json::from_value::<VolumeProjection>(value).unwrap_or_default();
    let sources = vec![
        part(json!({"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN}})),
        part(
            json!({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        ),
        part(json!({"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}})),
    ];
    let projected = Some(ProjectedVolumeSource {
        sources: Some(sources),
        default_mode: None,
    });
    Volume {
        name: name.to_owned(),
        projected,
        ..Volume::default()
    }
}

/// Reads all parts.
pub(crate) async fn cook(
    machine: &Machine,
    pod: &Pod,
    downward: &Downward,
    recipe: &mut Recipe,
) -> Result<Payload, ConfigError> {
    recipe.now = machine.clock.now();
    let mut payload = Payload::new();
    let mut sources = super::sources(machine, pod);
    for part in recipe.parts.clone() {
        if let Some(map) = &part.config_map {
            let keyed = Keyed {
                kind: "configmaps",
                name: &map.name,
                items: map.items.as_deref(),
            };
            keyed
                .add(&mut payload, &mut sources, map.optional, recipe.mode)
                .await?;
        }
        if let Some(secret) = &part.secret {
            let keyed = Keyed {
                kind: "secrets",
                name: &secret.name,
                items: secret.items.as_deref(),
            };
            keyed
                .add(&mut payload, &mut sources, secret.optional, recipe.mode)
                .await?;
        }
        for item in part
            .downward_api
            .iter()
            .flat_map(|downward| downward.items.iter().flatten())
        {
            let value = downward_value(pod, item, downward)?;
            payload.insert(
                item.path.clone(),
                (value.into_bytes(), mode_of(item.mode, recipe.mode)),
            );
        }
        if let Some(token) = &part.service_account_token {
            let value = current_token(machine, pod, token, recipe).await?;
            payload.insert(token.path.clone(), (value.into_bytes(), recipe.mode));
        }
    }
    Ok(payload)
}

fn mode_of(own: Option<i32>, default: u32) -> u32 {
    own.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default) & 0o777
}

struct Keyed<'a> {
    kind: &'static str,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
}

impl Keyed<'_> {
    async fn add(
        &self,
        payload: &mut Payload,
        sources: &mut Sources<'_>,
        optional: Option<bool>,
        mode: u32,
    ) -> Result<(), ConfigError> {
        let data: Data = sources
            .required(self.kind, self.name, optional)
            .await?
            .unwrap_or_default();
        let Some(items) = self.items else {
            payload.extend(data.into_iter().map(|(key, value)| (key, (value, mode))));
            return Ok(());
        };
        for item in items {
            match data.get(&item.key) {
                Some(value) => {
                    payload.insert(item.path.clone(), (value.clone(), mode_of(item.mode, mode)));
                }
                None if optional == Some(true) => {}
                None => {
                    let shown = if self.kind == "secrets" {
                        "secret"
                    } else {
                        "configmap"
                    };
                    return Err(ConfigError::Wrong(format!(
                        "{shown} {:?} references non-existent key: {}",
                        self.name, item.key
                    )));
                }
            }
        }
        Ok(())
    }
}

fn downward_value(
    pod: &Pod,
    item: &DownwardAPIVolumeFile,
    downward: &Downward,
) -> Result<String, ConfigError> {
    if let Some(field) = &item.field_ref {
        return field_value(pod, field, downward);
    }
    let Some(resource) = &item.resource_field_ref else {
        return Ok(String::new());
    };
    let containers = pod
        .spec
        .as_ref()
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    match containers.first() {
        Some(first) => resource_value(pod, first, resource, downward),
        None => Ok(String::new()),
    }
}

async fn current_token(
    machine: &Machine,
    pod: &Pod,
    wanted: &ServiceAccountTokenProjection,
    recipe: &mut Recipe,
) -> Result<String, ConfigError> {
    if let Some((token, renew)) = recipe.tokens.get(&wanted.path)
        && recipe.now < *renew
    {
        return Ok(token.clone());
    }
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref())
        .filter(|name| !name.is_empty())
        .unwrap_or("default");
    let lifetime = wanted.expiration_seconds.unwrap_or(TOKEN).clamp(600, 1 << 32);
    let mut spec = json!({
        "expirationSeconds": lifetime,
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": meta.name, "uid": meta.uid},
    });
    let audience = wanted.audience.as_ref().filter(|audience| !audience.is_empty());
    if let (Some(audience), Value::Object(spec)) = (audience, &mut spec) {
        spec.insert("audiences".to_owned(), json!([audience]));
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = machine
        .api
        .post(&path, &request)
        .await
        .map_err(|source| ConfigError::Api {
            what: format!("a token of service account {account:?}"),
            source,
        })?;
    let Some(token) = answer.pointer("/status/token").and_then(Value::as_str) else {
        return Err(ConfigError::Wrong(format!(
            "service account {account:?}: the API server gave no token"
        )));
    };
    let renew = recipe
        .now
        .saturating_add(jiff::SignedDuration::from_secs(lifetime / 5 * 4));
    recipe.tokens.insert(
        wanted.path.clone(),
        (token.to_owned(), renew.unwrap_or(Timestamp::MAX)),
    );
    Ok(token.to_owned())
}
