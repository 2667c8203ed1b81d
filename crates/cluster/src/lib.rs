//! observe() and apply(); health and diagnosis. The only crate that imports kube.
//!
//! What the server and the cli call (methods of `Cluster`, cheap to clone; all async unless said):
//! - `connect(kubeconfig: &Path, context: Option<&str>) -> Result<Cluster, Error>` starts nothing;
//!   `run(self, cancel)` keeps the watches for as long as the platform lives (one-shot commands never call it).
//! - `observe(&Scope) -> Result<Observed, Error>` from the watch cache once `run` goes on, by listing otherwise.
//! - `apply(&Plan) -> Vec<Outcome>`; `changes() -> watch::Receiver<u64>` (sync) ticks when a watched object changed.
//! - `applications() -> Vec<AppState>` (sync, from the cache): every (namespace, application label) with its health;
//!   workloads without `herder.dev/application` count under their own name, so that what jobs deploy is seen too.
//! - `nodes() -> Vec<NodeState>` (sync, from the cache).
//! - `diagnose(namespace, application) -> Result<Why, Error>`.
//! - `owned(fleet) -> Result<Vec<Key>, Error>`: everything that carries the fleet's label, by listing all served kinds.
//! - `may(user, namespace, group, resource, verb) -> Result<bool, Error>` (SubjectAccessReview).
//! - raw objects: `get(api_version, kind, namespace, name) -> Result<Option<Value>, Error>`,
//!   `list(api_version, kind, Option<namespace>, Option<label selector>) -> Result<Vec<Value>, Error>`, `create(Value)`,
//!   `patch(Key, Value)` (merge), `server_apply(Value, manager)`, `delete(&Key)`.
//! - pods for jobs: `watch_pod(namespace, name) -> Stream<Item = Result<Value, Error>>` (first item: as it is now; ends
//!   when it is gone), `logs(namespace, pod, container, LogOptions{follow, tail, previous}) -> Stream<Result<Bytes, Error>>`.
//! - `routing() -> Vec<Arc<Value>>` (sync, from the cache): all Ingress, Service, EndpointSlice objects and Secrets of type
//!   kubernetes.io/tls, for the edge; they are watched too.
#![forbid(unsafe_code)]

mod apply;
mod cache;
mod connect;
mod diagnose;
mod discovery;
mod error;
mod events;
mod health;
mod lookup;
mod memory;
mod observe;
mod run;
mod snapshot;
mod state;
mod trouble;
mod wire;

pub use connect::Cluster;
pub use error::Error;
pub use events::EventState;
pub use state::{AppState, Health, LogOptions, NodeState, PodState, Scope, Step, Why};

/// The label that says which fleet an object is of.
pub const FLEET: &str = "herder.dev/fleet";
/// The label that says which application an object is of.
pub const APPLICATION: &str = "herder.dev/application";
/// The label that says which version of the application a workload is.
pub const VERSION: &str = "herder.dev/version";
/// Under this name Herder's fields are kept by server-side apply.
pub const MANAGER: &str = "herder";
