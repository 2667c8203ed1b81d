//! Go's text/template on values of our own: lexer, parser, execution, built-in functions and fmt's printing.
//!
//! Knows nothing of Vault or consul-template; whoever executes brings functions and data. Every execution ends: steps,
//! output, nesting and the size of values are limited. Owns no IO.

mod builtins;
mod escape;
mod eval;
mod exec;
mod lex;
mod node;
mod number;
mod parse;
pub(crate) mod print;
pub(crate) mod printf;
mod value;

pub use exec::{Budget, ExecError, Execution, MissingKey};
pub use parse::{Function as FunctionCheck, ParseError, ParseFault, Trees};
pub use value::{Fault, FuncMap, Function, List, Map, Member, Methods, Object, Result, Typed, Value};

pub(crate) use builtins::NAMES as BUILTIN;
pub(crate) use exec::OUTPUT;
pub(crate) use number::{parse_float, parse_int, take_apart};
