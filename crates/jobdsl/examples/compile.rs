//! `compile jobs compile SCRIPT --root DIR --xml OUT`: what the command does, without the rest of the binary.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a development tool"
)]
use herder_base::{Commit, TreeBuilder};
use herder_jobdsl::{ItemKind, Options, compile};
use std::path::Path;

fn load(dir: &Path, prefix: &str, out: &mut TreeBuilder) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".git" {
            continue;
        }
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if entry.file_type().unwrap().is_dir() {
            load(&entry.path(), &path, out);
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            out.insert(&path, bytes).unwrap();
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(3).collect();
    let option = |name: &str| args.iter().position(|a| a == name).map(|i| args[i + 1].clone());
    let root = option("--root").unwrap_or_else(|| ".".to_owned());
    let mut tree = TreeBuilder::default();
    load(Path::new(&root), "", &mut tree);
    let tree = tree.build(Commit::default());
    let script = Path::new(&args[0])
        .strip_prefix(&root)
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let made = compile(&tree, &script, &Options::default());
    for found in &made.diagnostics {
        eprintln!("{found}");
    }
    for item in &made.items {
        if let Some(out) = option("--xml") {
            std::fs::create_dir_all(&out).unwrap();
            let prefix = if item.kind == ItemKind::View { "VIEW__" } else { "" };
            std::fs::write(
                format!("{out}/{prefix}{}.xml", item.name.replace('/', "__")),
                &item.xml,
            )
            .unwrap();
        } else {
            println!("== {} {:?}\n{}\n{:#?}", item.name, item.kind, item.xml, item.job);
        }
        for warning in &item.warnings {
            eprintln!("{}: {warning}", item.name);
        }
    }
    if made.items.is_empty() {
        std::process::exit(1);
    }
}
