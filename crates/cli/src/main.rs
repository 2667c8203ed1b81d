//! The binary `herder`: parses arguments, runs one command, turns errors into exit codes.
//!
//! Also answers as `kustomize`, `consul-template`, `vault` and `kubectl` when called by those names. Owns no product
//! behaviour: each command is one file in `commands/` that calls the crate which does the work.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "clap's derived items")]

// First: its macros are those of every module below.
#[macro_use]
mod print;

mod args;
mod commands;
mod demo;
mod names;
mod output;
mod platform;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The node side re-executes this binary and must be single-threaded until it has entered its namespaces.
    if let Some(code) = herder_kubelite::internal_main(arguments.get(1..).unwrap_or_default()) {
        return code;
    }
    match names::called_as(arguments) {
        names::Called::Herder(arguments) => match args::Herder::try_parse_from(arguments) {
            Ok(parsed) => output::finish(commands::run(parsed)),
            Err(error) => output::usage(&error),
        },
        names::Called::Vault(rest) => commands::vault::main(rest),
        names::Called::Template(rest) => commands::template::main(rest),
    }
}
