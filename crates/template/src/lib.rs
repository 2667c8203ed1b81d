//! consul-template's language: Go's text/template with functions for Vault secrets, files and the environment.
//!
//! Pure: a template asks for things ([`Request`]) and is evaluated again when they are known. Who answers (a Vault
//! client, a directory, a test) is the caller's affair. Consul and Nomad functions are refused by name. Owns no IO.
#![forbid(unsafe_code)]

pub mod engine;
mod error;
mod functions;
mod known;
mod request;
mod template;
mod time;
mod value;

pub use error::{Error, ErrorKind};
pub use functions::functions;
pub use known::Known;
pub use request::{FileWrite, Request, SourceError, Sources};
pub use template::{Evaluation, Options, Rendered, Template};
