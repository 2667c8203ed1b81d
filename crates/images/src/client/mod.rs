//! Speaks to registries by the distribution API: pulls into a store and pushes from it. Mirrors are asked in order, the
//! registry itself last; what is fetched is checked by its digest whoever gave it.

mod config;
mod credentials;
mod http;
mod pull;
mod push;

pub use config::{ConfigError, Registries};
pub use credentials::{Credential, Credentials, NoCredentials};
pub use http::RegistryError;
pub use pull::PullError;
pub use push::PushError;

use crate::reference::Reference;
use std::sync::Arc;

/// A client of registries.
#[derive(Debug, Clone, Default)]
pub struct Client {
    registries: Arc<Registries>,
    connections: http::Connections,
}

impl Client {
    /// With what `registries.yaml` says.
    #[must_use]
    pub fn new(registries: Registries) -> Self {
        Self {
            registries: Arc::new(registries),
            connections: http::Connections::default(),
        }
    }

    /// Whom to ask for an image and as whom, in order: each endpoint with every credential that fits, else without any.
    fn sessions(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        actions: &'static str,
    ) -> Vec<http::Session> {
        let own = self.registries.credentials();
        let mut sessions = Vec::new();
        for endpoint in self.registries.endpoints(reference) {
            // A mirror has credentials of its own: those of the registry are none of its business.
            let mut fitting = own.of(&endpoint.host, &endpoint.repository);
            if endpoint.stands_for.is_none() || endpoint.host == reference.registry() {
                fitting.extend(own.of(reference.registry(), reference.repository()));
                fitting.splice(0..0, credentials.of(reference.registry(), reference.repository()));
            } else {
                fitting.splice(0..0, credentials.of(&endpoint.host, &endpoint.repository));
            }
            let mut all: Vec<Option<Credential>> = fitting.into_iter().cloned().map(Some).collect();
            all.dedup();
            if all.is_empty() {
                all.push(None);
            }
            sessions.extend(all.into_iter().map(|credential| {
                http::Session::new(endpoint.clone(), self.connections.clone(), credential, actions)
            }));
        }
        sessions
    }
}
