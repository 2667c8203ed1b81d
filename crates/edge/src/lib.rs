//! The front door: routes HTTP/1.1 and HTTP/2 by hostname and path to live pods, with TLS by server name.
//!
//! Routes are an immutable snapshot built by a pure function from Kubernetes objects and swapped whole, so that nothing
//! is ever reloaded. An endpoint that leaves the snapshot gets no further request; requests in flight to it finish.
//! Knows nothing of who watches the cluster or how pods are dialled: both are given.
#![forbid(unsafe_code)]

mod edge;
mod metrics;
mod peers;
mod proxy;
pub mod routes;
mod serve;
mod tls;

pub use edge::{Dial, DirectDial, Edge, Limits};
pub use metrics::RouteMetrics;
pub use routes::{Backend, Routes};
pub use tls::{CertificateError, certified_key, self_signed, single_certificate};
