//! The binary `herder`: parses arguments, runs one command, turns errors into exit codes.
//!
//! Also answers as `kustomize`, `consul-template`, `vault` and `kubectl` when called by those names. Owns no product
//! behaviour: each command is one file in `commands/` that calls the crate which does the work.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "clap's derived items")]

// First: its macros are those of every module below.
#[macro_use]
mod print;

#[cfg(test)]
mod advice;
mod args;
mod commands;
mod contexts;
mod demo;
mod failing;
mod locate;
mod names;
mod output;
mod paint;
mod platform;
mod waiting;
mod watching;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The node side re-executes this binary and must be single-threaded until it has entered its namespaces.
    if let Some(code) = herder_node::internal_main(arguments.get(1..).unwrap_or_default()) {
        return code;
    }
    match names::called_as(arguments) {
        names::Called::Herder(arguments) => match args::parse(&arguments) {
            Ok(parsed) => {
                let json = parsed.global.json;
                match commands::run(parsed) {
                    // Those that are somebody else's command line say themselves how they ended.
                    Ok(code) => code,
                    Err(error) => output::failed(&error, json),
                }
            }
            Err(error) => output::usage(error, args::wants_json(&arguments)),
        },
        names::Called::Vault(rest) => commands::vault::main(rest),
        names::Called::Template(rest) => commands::template::main(rest),
    }
}
