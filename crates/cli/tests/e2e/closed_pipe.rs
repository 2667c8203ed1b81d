//! Who stops reading has seen enough: every command ends quietly when its output is closed.

use crate::running::{Dir, HERDER, repository};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a command whose standard output nobody reads; what it said on standard error, and its exit code.
pub(crate) fn unread(args: &[&str], dir: &Path) -> (String, Option<i32>) {
    let mut child = Command::new(HERDER)
        .args(args)
        .env("HERDER_DIR", dir.join("no-platform"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (said, child.wait().unwrap().code())
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let dir = Dir::new("closed-pipe");
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let files = [
        ("kustomization.yaml", "resources: [a.yaml]\n"),
        ("a.yaml", object),
        ("jobs/a.groovy", "job('a') { steps { shell('true') } }\n"),
        ("t.ctmpl", "hello\n"),
    ];
    repository(dir.path(), &files);
    for args in [
        &["--help"][..],
        &["--version"],
        &["completion", "bash"],
        &["kustomize", "build", "."],
        &["kustomize", "build", ".", "--help"],
        &["jobs", "plan", "jobs"],
        &["jobs", "plan", "jobs", "--json"],
        &["jobs", "compile", "jobs/a.groovy"],
        &["template", "-once", "-dry", "-template", "t.ctmpl:t.out"],
        &["template", "-version"],
        &["vault", "version"],
        &["vault", "--help"],
    ] {
        let (said, code) = unread(args, dir.path());
        assert!(!said.contains("panicked"), "herder {args:?}: {said}");
        assert_eq!(code, Some(0), "herder {args:?}: {said}");
    }
    // Those that fail for another reason say that one.
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["why", "shop", "-n", "staging"],
        &["logs", "shop", "-n", "staging"],
        &["env", "list"],
        &["job", "list"],
        &["promote", "shop", "--to", "staging"],
        &["vault", "status"],
    ] {
        let (said, code) = unread(args, dir.path());
        assert!(
            !said.contains("panicked") && code != Some(101),
            "herder {args:?}: {said}"
        );
    }
}
