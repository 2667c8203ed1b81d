//! The handle to a cluster, and its simple operations on objects.

use crate::cache::Cache;
use crate::discovery::Kinds;
use crate::memory::Memory;
use crate::wire::{Patch, Wire, encode};
use crate::{Error, LogOptions};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use herder_object::{Gvk, Key};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Objects per page when listing.
const PAGE: usize = 500;

/// A cluster, by kubeconfig. Cheap to clone; clones share the watch cache.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) wire: Wire,
    pub(crate) kinds: Arc<RwLock<Option<Arc<Kinds>>>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) namespace: Arc<str>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("server", &self.wire.server)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads a kubeconfig. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] if the file, the context or its certificates cannot be used.
    pub async fn connect(kubeconfig: &Path, context: Option<&str>) -> Result<Self, Error> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Kubeconfig {
            path: kubeconfig.to_owned(),
            source,
        };
        let file = Kubeconfig::read_from(kubeconfig).map_err(|e| wrong(Box::new(e)))?;
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = kube::Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|e| wrong(Box::new(e)))?;
        Self::with_config(config).map_err(|e| wrong(Box::new(e)))
    }

    pub(crate) fn with_config(mut config: kube::Config) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = None;
        let namespace = config.default_namespace.clone();
        let patient = kube::Client::try_from(config.clone())?;
        // Watches are quiet for minutes; requests have their own limit.
        config.read_timeout = Some(Duration::from_secs(295));
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config)?;
        Ok(Self {
            wire: Wire::new(client, patient, server),
            kinds: Arc::default(),
            namespace: namespace.into(),
            cache: Arc::new(Cache::default()),
            memory: Arc::default(),
        })
    }

    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.wire.server
    }

    /// The served kinds, asked for once.
    pub(crate) async fn kinds(&self) -> Result<Arc<Kinds>, Error> {
        let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(kinds) => Ok(kinds),
            None => self.refresh().await,
        }
    }

    /// Asks anew which kinds are served.
    pub(crate) async fn refresh(&self) -> Result<Arc<Kinds>, Error> {
        let kinds = Arc::new(Kinds::read(&self.wire).await?);
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&kinds));
        Ok(kinds)
    }

    /// The served kinds; asks again if this one is not among them.
    pub(crate) async fn kinds_with(&self, gvk: &Gvk) -> Result<Arc<Kinds>, Error> {
        let kinds = self.kinds().await?;
        if kinds.get(gvk).is_some() {
            Ok(kinds)
        } else {
            self.refresh().await
        }
    }

    /// One object, or none.
    ///
    /// # Errors
    /// An [`Error`], but not for an object that is not there.
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let gvk = Gvk::new(api_version, kind);
        let key = Key {
            gvk,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let path = self.kinds_with(&key.gvk).await?.object(&key)?;
        match self.wire.get(&path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects of a kind, in all namespaces or one, with a label selector or without.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn list(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let gvk = Gvk::new(api_version, kind);
        let base = self.kinds_with(&gvk).await?.collection(&gvk, namespace)?;
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let mut path = format!("{base}?limit={PAGE}");
            if let Some(selector) = selector {
                path.push_str(&format!("&labelSelector={}", encode(selector)));
            }
            if !next.is_empty() {
                path.push_str(&format!("&continue={}", encode(&next)));
            }
            let mut page = self.wire.get(&path).await?;
            let items = page.get_mut("items").map(Value::take);
            for mut object in items
                .and_then(|i| match i {
                    Value::Array(list) => Some(list),
                    _ => None,
                })
                .into_iter()
                .flatten()
            {
                // Items of a list do not say what they are.
                if let Some(map) = object.as_object_mut() {
                    map.insert("apiVersion".to_owned(), json!(api_version));
                    map.insert("kind".to_owned(), json!(kind));
                }
                found.push(object);
            }
            next = page
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            if next.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Creates an object and answers it as stored.
    ///
    /// # Errors
    /// An [`Error`]; [`Error::is_already_exists`] tells if it was there.
    pub async fn create(&self, object: Value) -> Result<Value, Error> {
        let gvk = Gvk::of(&object).ok_or(Error::Nameless)?;
        let namespace = match herder_object::namespace(&object) {
            "" => "default",
            namespace => namespace,
        };
        let path = self.kinds_with(&gvk).await?.collection(&gvk, Some(namespace))?;
        self.wire
            .post(&format!("{path}?fieldManager=herder"), &object)
            .await
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn patch(&self, key: &Key, patch: &Value) -> Result<Value, Error> {
        let path = self.kinds_with(&key.gvk).await?.object(key)?;
        Ok(self
            .wire
            .patch(&format!("{path}?fieldManager=herder"), Patch::Merge, patch)
            .await?
            .1)
    }

    /// Changes an object's status by a merge patch.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn patch_status(&self, key: &Key, patch: &Value) -> Result<Value, Error> {
        let path = self.kinds_with(&key.gvk).await?.object(key)?;
        Ok(self
            .wire
            .patch(&format!("{path}/status?fieldManager=herder"), Patch::Merge, patch)
            .await?
            .1)
    }

    /// Makes an object so by server-side apply, taking fields over from other managers.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn server_apply(&self, object: &Value, manager: &str) -> Result<Value, Error> {
        Ok(self.apply_object(object, manager, false).await?.1)
    }

    pub(crate) async fn apply_object(
        &self,
        object: &Value,
        manager: &str,
        strict: bool,
    ) -> Result<(http::StatusCode, Value), Error> {
        let key = Key::of(object).ok_or(Error::Nameless)?;
        let path = self.kinds_with(&key.gvk).await?.object(&key)?;
        let validation = if strict { "&fieldValidation=Strict" } else { "" };
        let path = format!("{path}?fieldManager={}&force=true{validation}", encode(manager));
        self.wire.patch(&path, Patch::Apply, object).await
    }

    /// Deletes an object with what it owns, in the background. False if there was none.
    ///
    /// # Errors
    /// An [`Error`], but not for an object that is not there.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        self.delete_exactly(key, None).await
    }

    pub(crate) async fn delete_exactly(&self, key: &Key, uid: Option<&str>) -> Result<bool, Error> {
        let path = self.kinds_with(&key.gvk).await?.object(key)?;
        let mut options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        if let (Some(uid), Some(map)) = (uid, options.as_object_mut()) {
            map.insert("preconditions".to_owned(), json!({"uid": uid}));
        }
        match self.wire.delete(&path, &options).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a user may do something in a namespace.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn may(
        &self,
        user: &str,
        namespace: &str,
        group: &str,
        resource: &str,
        verb: &str,
    ) -> Result<bool, Error> {
        let mut groups = vec!["system:authenticated".to_owned()];
        if let Some((account_namespace, _)) = user
            .strip_prefix("system:serviceaccount:")
            .and_then(|account| account.split_once(':'))
        {
            groups.push("system:serviceaccounts".to_owned());
            groups.push(format!("system:serviceaccounts:{account_namespace}"));
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user,
                "groups": groups,
                "resourceAttributes": {"namespace": namespace, "group": group, "resource": resource, "verb": verb},
            },
        });
        let answer = self
            .wire
            .post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)
            .await?;
        Ok(answer
            .pointer("/status/allowed")
            .and_then(Value::as_bool)
            .unwrap_or_default())
    }

    /// A token for a service account.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn token(
        &self,
        namespace: &str,
        account: &str,
        audiences: &[String],
        lifetime: Duration,
    ) -> Result<herder_base::Secret<String>, Error> {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": lifetime.as_secs()},
        });
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            encode(namespace),
            encode(account)
        );
        let answer = self.wire.post(&path, &request).await?;
        let token = answer
            .pointer("/status/token")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Ok(herder_base::Secret::new(token.to_owned()))
    }

    /// Everything that carries the fleet's label, of whatever kind.
    ///
    /// # Errors
    /// An [`Error`] if a kind cannot be listed; what lists the rest is not told then, lest it be taken for everything.
    pub async fn owned(&self, fleet: &str) -> Result<Vec<Key>, Error> {
        let kinds = self.refresh().await?;
        let selector = format!("{}={fleet}", crate::FLEET);
        let lists: Vec<_> = kinds.listable().collect();
        let found: Vec<Result<Vec<Key>, Error>> = futures::stream::iter(lists)
            .map(|gvk| {
                let selector = selector.clone();
                async move {
                    let objects = self
                        .list(&gvk.api_version(), &gvk.kind, None, Some(&selector))
                        .await?;
                    Ok(objects.iter().filter_map(Key::of).collect())
                }
            })
            .buffer_unordered(16)
            .collect()
            .await;
        let mut keys = Vec::new();
        for list in found {
            keys.extend(list?);
        }
        keys.sort();
        Ok(keys)
    }

    /// Follows one pod: first as it is now, then each change; ends when it is gone (or was never there).
    pub fn watch_pod(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Stream<Item = Result<Value, Error>> + Send + use<> {
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.wire.client(), namespace, &resource);
        let server = self.wire.server.clone();
        let what = format!("watching pod {namespace}/{name}");
        let mut failures = 0_u32;
        let watch = kube::runtime::watcher::watch_object(api, name);
        kube::runtime::WatchStreamExt::default_backoff(watch)
            .filter_map(move |item| {
                // The watcher tries again by itself; only lasting trouble is told.
                failures = if item.is_err() { failures + 1 } else { 0 };
                let quiet = item.is_err() && failures < 5;
                std::future::ready((!quiet).then_some(item))
            })
            .take_while(|item| std::future::ready(!matches!(item, Ok(None))))
            .filter_map(move |item| {
                let item = match item {
                    Ok(Some(pod)) => serde_json::to_value(pod)
                        .map(|mut pod| {
                            crate::cache::name_kind(&mut pod, "v1", "Pod");
                            pod
                        })
                        .map_err(|source| Error::Answer {
                            what: what.clone(),
                            source,
                        }),
                    Ok(None) => return std::future::ready(None),
                    Err(error) => Err(Error::Unreachable {
                        server: server.clone(),
                        what: what.clone(),
                        source: Box::new(error),
                    }),
                };
                std::future::ready(Some(item))
            })
            .boxed()
    }

    /// A container's log as it comes.
    ///
    /// # Errors
    /// An [`Error`], for example while the container has not started.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let mut path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?",
            encode(namespace),
            encode(pod)
        );
        if !container.is_empty() {
            path.push_str(&format!("container={}&", encode(container)));
        }
        if options.follow {
            path.push_str("follow=true&");
        }
        if options.previous {
            path.push_str("previous=true&");
        }
        if options.timestamps {
            path.push_str("timestamps=true&");
        }
        if let Some(lines) = options.tail {
            path.push_str(&format!("tailLines={lines}"));
        }
        self.wire.stream(path.trim_end_matches(['&', '?'])).await
    }
}
