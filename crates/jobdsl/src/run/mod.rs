//! The interpreter: walks the syntax tree within limits. What a script may reach of the world is what its host gives.

mod bury;
mod call;
mod class;
mod collections;
mod convert;
pub(crate) mod eval;
mod every;
mod formats;
mod interp;
mod limits;
mod maps;
mod members;
pub(crate) mod nodes;
mod numbers;
mod operators;
mod scope;
mod statements;
mod texts;
mod throw;
mod value;
mod variables;
mod yaml;

pub(crate) use interp::{Host, Interp, Source};
pub(crate) use limits::Limits;
pub(crate) use scope::{Env, Scope};
pub(crate) use throw::{Throw, ThrowKind};
pub(crate) use value::{Closure, Foreign, Key, Map, Strategy, Value};
