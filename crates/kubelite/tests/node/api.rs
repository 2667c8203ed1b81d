//! Just enough of an API server for node agents: objects by path, watches, deletion, tokens.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;
use tokio::sync::broadcast;

/// The server's memory.
#[derive(Debug)]
pub(crate) struct Api {
    objects: Mutex<(u64, BTreeMap<String, Value>)>,
    events: broadcast::Sender<(String, &'static str, Value)>,
}

fn is_collection(path: &str) -> bool {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let skip = if words[0] == "api" { 2 } else { 3 };
    let rest = &words[skip..];
    if rest.first() == Some(&"namespaces") && rest.len() > 2 {
        rest.len() % 2 == 1
    } else {
        rest.len() == 1
    }
}

impl Api {
    pub(crate) fn new() -> Arc<Self> {
        let (events, _) = broadcast::channel(4096);
        Arc::new(Self {
            objects: Mutex::new((1, BTreeMap::new())),
            events,
        })
    }

    pub(crate) async fn serve(self: Arc<Self>, socket: &Path) {
        // Through a descriptor: the path itself may be too long for a socket's name.
        let dir = std::fs::File::open(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/api.sock", dir.as_raw_fd())).unwrap();
        let app = Router::new().fallback(handle).with_state(self);
        axum::serve(listener, app).await.unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().1.get(path).cloned()
    }

    /// All objects whose path contains `part`.
    pub(crate) fn find(&self, part: &str) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        objects
            .1
            .iter()
            .filter(|(path, _)| path.contains(part))
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.store(&mut self.objects.lock().unwrap(), path, object)
    }

    /// Changes what is there, whatever else is written meanwhile.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Value)) -> Option<Value> {
        let mut objects = self.objects.lock().unwrap();
        let mut object = objects.1.get(path).cloned()?;
        change(&mut object);
        Some(self.store(&mut objects, path, object))
    }

    fn store(&self, objects: &mut (u64, BTreeMap<String, Value>), path: &str, mut object: Value) -> Value {
        objects.0 += 1;
        let revision = objects.0.to_string();
        let known = objects.1.contains_key(path);
        object["metadata"]["resourceVersion"] = json!(revision);
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("00000000-0000-0000-0000-{:012}", objects.0));
        }
        objects.1.insert(path.to_owned(), object.clone());
        let kind = if known { "MODIFIED" } else { "ADDED" };
        _ = self.events.send((path.to_owned(), kind, object.clone()));
        object
    }

    pub(crate) fn delete(&self, path: &str) {
        let mut objects = self.objects.lock().unwrap();
        objects.0 += 1;
        if let Some(object) = objects.1.remove(path) {
            _ = self.events.send((path.to_owned(), "DELETED", object));
        }
    }

    pub(crate) fn pod(&self, name: &str, node: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!(node);
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "test", "labels": {"app": name}}, "spec": spec});
        self.put(&format!("/api/v1/namespaces/test/pods/{name}"), object);
    }

    pub(crate) fn status(&self, pod: &str) -> Value {
        self.get(&format!("/api/v1/namespaces/test/pods/{pod}"))
            .map(|pod| pod["status"].clone())
            .unwrap_or_default()
    }

    /// Begins a graceful deletion.
    pub(crate) fn end(&self, pod: &str, grace: u64) {
        let path = format!("/api/v1/namespaces/test/pods/{pod}");
        self.change(&path, |object| {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        });
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Collections are asked for cluster-wide: `/api/v1/pods` holds `/api/v1/namespaces/*/pods/*`.
fn belongs(collection: &str, query: &str, path: &str, object: &Value) -> bool {
    let kind = collection.rsplit('/').next().unwrap();
    let node = query
        .split("spec.nodeName%3D")
        .nth(1)
        .map(|rest| rest.split('&').next().unwrap());
    path.contains(&format!("/{kind}/")) && node.is_none_or(|node| object["spec"]["nodeName"] == node)
}

async fn handle(State(api): State<Arc<Api>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let missing = || {
        (
            StatusCode::NOT_FOUND,
            json!({"message": format!("{path} not found")}).to_string(),
        )
    };
    let ok = |value: Value| value.to_string().into_response();
    if path.ends_with("/token") {
        let status = json!({"status": {"token": "a.b.c", "expirationTimestamp": "2036-01-01T00:00:00Z"}});
        return ok(status);
    }
    match method {
        Method::GET if query.contains("watch=true") => {
            let mut events = api.events.subscribe();
            let since: u64 = query
                .split("resourceVersion=")
                .nth(1)
                .unwrap()
                .split('&')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let backlog: Vec<_> = {
                let objects = api.objects.lock().unwrap();
                let newer = |object: &Value| {
                    object["metadata"]["resourceVersion"]
                        .as_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                        > since
                };
                let found = objects.1.iter().filter(|(_, object)| newer(object));
                found
                    .map(|(path, object)| (path.clone(), "ADDED", object.clone()))
                    .collect()
            };
            let stream = async_stream(move |sender| async move {
                for (at, kind, object) in backlog {
                    if belongs(&path, &query, &at, &object) {
                        let line = format!("{}\n", json!({"type": kind, "object": object}));
                        if sender.send(Ok::<_, std::io::Error>(line)).await.is_err() {
                            return;
                        }
                    }
                }
                while let Ok((at, kind, object)) = events.recv().await {
                    if belongs(&path, &query, &at, &object) {
                        let line = format!("{}\n", json!({"type": kind, "object": object}));
                        if sender.send(Ok(line)).await.is_err() {
                            return;
                        }
                    }
                }
            });
            Body::from_stream(stream).into_response()
        }
        Method::GET if is_collection(&path) => {
            let objects = api.objects.lock().unwrap();
            let items: Vec<&Value> = objects
                .1
                .iter()
                .filter(|(at, object)| belongs(&path, &query, at, object))
                .map(|(_, o)| o)
                .collect();
            ok(json!({"metadata": {"resourceVersion": objects.0.to_string()}, "items": items}))
        }
        Method::GET => api.get(&path).map_or_else(|| missing().into_response(), ok),
        Method::POST => {
            // What is no object, such as a wish for an image, is for a whole control plane.
            let Some(name) = body["metadata"]["name"].as_str() else {
                return missing().into_response();
            };
            let at = format!("{path}/{name}");
            if api.get(&at).is_some() {
                return (StatusCode::CONFLICT, "{}").into_response();
            }
            ok(api.put(&at, body))
        }
        Method::PATCH => {
            let at = path.trim_end_matches("/status").to_owned();
            let changed = api.change(&at, |object| merge(object, &body));
            changed.map_or_else(|| missing().into_response(), ok)
        }
        Method::DELETE => {
            api.delete(&path);
            ok(json!({}))
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn async_stream<T, F>(
    make: impl FnOnce(tokio::sync::mpsc::Sender<T>) -> F,
) -> tokio_stream::wrappers::ReceiverStream<T>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let work = make(sender);
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the watch, and the test with it"
    )]
    tokio::spawn(work);
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}
