//! The Kubernetes API over HTTP: one connection loop, one dispatcher, and a module per kind of request.
//!
//! Owns paths, media types and streams. Objects change only through the registry, and who may do what is decided in
//! `auth`; nothing here keeps state of its own.

mod alive;
mod answer;
mod body;
mod convert;
mod discovery;
mod dispatch;
mod fairness;
mod guard;
mod images;
mod logs;
mod metrics;
mod openapi;
mod patch;
pub(crate) mod proto;
mod proxy;
mod read;
mod request;
mod reviews;
pub(crate) mod select;
mod server;
mod streams;
mod strict;
mod table;
mod watch;
mod write;

pub use server::{ApiServer, Context};
