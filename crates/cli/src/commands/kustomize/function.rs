//! KRM functions for a build: programs that were allowed by name on the command line, each run in the directory of the
//! kustomization that names it.

use anyhow::{Context, Result, bail};
use herder_kustomize::{FunctionCall, Functions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The names that may run.
pub(super) struct Allowed(pub(super) Vec<String>);

impl Functions for Allowed {
    fn run(&self, call: &FunctionCall) -> Option<Result<String, String>> {
        let allowed = self.0.contains(&call.program);
        allowed.then(|| run(call).map_err(|error| format!("{error:#}")))
    }
}

fn run(call: &FunctionCall) -> Result<String> {
    let Some(dir) = &call.dir else {
        bail!("it belongs to a remote base; only programs in local directories are run");
    };
    // A name with a slash is a file beside the kustomization, as upstream takes it; another is found in PATH.
    let program = if call.program.contains('/') {
        Path::new(dir).join(&call.program)
    } else {
        call.program.clone().into()
    };
    let mut child = Command::new(&program)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let input = child.stdin.take();
    let text = call.input.clone();
    // Written beside reading: a program may print before it has read everything. One that does not read is no error.
    let writer = std::thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let output = child.wait_with_output().context("its output could not be read")?;
    drop(writer.join());
    if !output.status.success() {
        bail!(
            "{} ({})",
            String::from_utf8_lossy(&output.stderr).trim(),
            output.status
        );
    }
    String::from_utf8(output.stdout).context("it printed something that is not UTF-8")
}
