//! A Vault-compatible server for one machine: barrier, tokens, policies, leases, engines and log in methods, under an
//! HTTP skin. The core does no IO but through the store; time is passed in.
#![forbid(unsafe_code)]
#![recursion_limit = "256"]

mod audit;
mod auth;
mod core;
mod embedded;
mod engines;
mod error;
mod external;
#[doc(hidden)]
pub mod fuzzing;
mod hcl;
mod http;
mod server;
mod sys;
mod timed;

pub use crate::core::VERSION;
pub use crate::core::path::{CanonicalPath, NotCanonical};
pub use crate::core::policy::{Policy, PolicyError};
pub use crate::core::request::{Auth, Lease, Op, Raw, Request, Response, Wrap};
pub use crate::core::seal::InitResult;
pub use crate::embedded::{Embedded, EmbeddedConfig, KubernetesReviewer, StartError};
pub use crate::error::{Error, Result};
pub use crate::external::{Answer, Form, HttpQuestion, Made, Question, Rotates, SqlQuestion};
pub use crate::hcl::{Body, Item, ParseError, object as hcl_object, parse as parse_hcl};
pub use crate::http::{
    ClientCertificates, DevCertificate, PeerCertificates, TlsSetupError, dev_certificate, server_tls,
};
pub use crate::server::{Config, Server, Storage};
pub use crate::sys::decode_root_token;
pub use herder_store::OpenError;
