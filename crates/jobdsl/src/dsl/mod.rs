//! Job DSL: what scripts may call, as tables, and the items they make.

mod binding;
mod catalogue;
mod context;
mod engine;
mod files;
mod host;
mod item;
mod options;
mod outline;
mod seed_job;
mod template;

pub(crate) use files::Roots;
pub(crate) use host::DslHost;
pub(crate) use item::{Item, Kind};
