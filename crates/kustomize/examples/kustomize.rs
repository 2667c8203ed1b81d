//! `kustomize build DIR [--load-restrictor LoadRestrictionsNone]` and nothing else, for judging the library by itself.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a development tool"
)]

use herder_kustomize::{LoadRestrictor, NoRemotes, Options, print_from};
use std::path::Path;

#[path = "../../cli/src/commands/kustomize/disk.rs"]
mod disk;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_dir = |argument: &&String| {
        !argument.starts_with("--")
            && !matches!(argument.as_str(), "kustomize" | "build" | "LoadRestrictionsNone")
    };
    let dir = Path::new(arguments.iter().find(is_dir).map_or(".", |dir| dir.as_str()));
    let loose = arguments
        .iter()
        .any(|argument| argument == "LoadRestrictionsNone");
    let options = Options {
        load_restrictor: if loose {
            LoadRestrictor::None
        } else {
            LoadRestrictor::RootOnly
        },
        ..Options::default()
    };
    let here = std::env::current_dir().unwrap_or_default();
    let built = disk::Disk::path(dir)
        .map_err(|error| error.to_string())
        .and_then(|dir| {
            print_from(&disk::Disk::new(&here), &dir, &options, &NoRemotes).map_err(|error| error.to_string())
        });
    match built {
        Ok((text, _)) => print!("{text}"),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}
