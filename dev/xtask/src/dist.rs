//! `cargo xtask dist`: what is given to people who do not build it themselves.
//!
//! HERDER_BINARY names a program that is built already, for who only wants to see the rest.

use crate::run::{cargo, output, root};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What completions are made for, and what the shells call their files.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "herder.bash"),
    ("zsh", "_herder"),
    ("fish", "herder.fish"),
];

pub fn run(args: &[String]) -> Result<()> {
    let root = root();
    let out = match args {
        [] => root.join("target/dist"),
        [dir] => PathBuf::from(dir),
        _ => bail!("dist takes one directory at most"),
    };
    let built = match std::env::var_os("HERDER_BINARY") {
        Some(built) => PathBuf::from(built),
        None => {
            cargo(&["build", "--release", "--package", "herder"])?;
            root.join("target/release/herder")
        }
    };
    let version = version(&built)?;
    let name = format!(
        "herder-{version}-{}-{}",
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    let dir = out.join(&name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir.join("completions"))?;
    let program = dir.join("herder");
    std::fs::copy(&built, &program).with_context(|| format!("cannot copy {}", built.display()))?;
    // Without it the program is larger and as good.
    let stripped = Command::new("strip").arg(&program).status();
    if !stripped.is_ok_and(|status| status.success()) {
        println!("dist: not stripped, binutils are not installed");
    }
    let herder = program.to_string_lossy();
    for (shell, file) in SHELLS {
        let script = output(&herder, &["completion", shell])?;
        std::fs::write(dir.join("completions").join(file), script)?;
    }
    output(&herder, &["manual", &dir.join("man/man1").to_string_lossy()])?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE"] {
        std::fs::copy(root.join(file), dir.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    copy(&root.join("docs"), &dir.join("docs"))?;
    copy(&root.join("deploy"), &dir.join("deploy"))?;
    let archive = out.join(format!("{name}.tar.gz"));
    let (from, to) = (out.to_string_lossy(), archive.to_string_lossy());
    output(
        "tar",
        &["--owner=0", "--group=0", "-C", &from, "-czf", &to, &name],
    )?;
    let digest = output("sha256sum", &[&to])?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    std::fs::write(
        out.join(format!("{name}.tar.gz.sha256")),
        format!("{digest}  {name}.tar.gz\n"),
    )?;
    println!("{to}\n{digest}");
    Ok(())
}

/// What the program says of itself.
fn version(program: &Path) -> Result<String> {
    let said = output(&program.to_string_lossy(), &["--version"])?;
    let version = said.split_whitespace().nth(1);
    Ok(version
        .context("the program does not say its version")?
        .to_owned())
}

/// A folder with everything in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
