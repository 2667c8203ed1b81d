//! Signals while files are being written and commands run: what is under way is not cut short by a signal that only
//! passes through. One test, as signals go to the whole process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use herder_base::SystemClock;
use herder_vault::consul_template::{End, Invocation, RunError, run};
use nix::sys::signal::{Signal, raise};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn with_signals(dir: &Path, config: &str, flags: &[&str], signals: &[Signal]) -> Result<End, RunError> {
    let config = format!("vault {{ enabled = false }}\n{config}").replace("DIR", dir.to_str().unwrap());
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let invocation = Invocation::read(&flags, Some(&config)).unwrap();
    let (begun, started) = (dir.join("begun"), Instant::now());
    let _ = std::fs::remove_file(&begun);
    let mut out = Vec::new();
    let running = run(&invocation, Arc::new(SystemClock), &mut out);
    let signalling = async {
        while !begun.exists() && started.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for signal in signals {
            raise(*signal).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = running => result,
        () = signalling => unreachable!("it waits for ever"),
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it never ends"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_restarts_survive_signals() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let one = |name: &str, command: &str| {
        format!("template {{ contents = \"x\" destination = \"DIR/{name}\" command = \"{command}\" }}\n")
    };
    let slow = "echo > DIR/begun; sleep 1; echo ran >> DIR/ran";
    // What only passes through leaves the command alone.
    let through = [Signal::SIGWINCH, Signal::SIGUSR1, Signal::SIGUSR2];
    let result = with_signals(dir.path(), &one("a", slow), &["-once"], &through).await;
    assert_eq!(result.unwrap(), End::Done);
    assert_eq!(read("ran"), "ran\n");
    // What reads everything again waits for the command, which would not run again.
    let result = with_signals(dir.path(), &one("b", slow), &[], &[Signal::SIGHUP]).await;
    assert_eq!(result.unwrap(), End::Reload);
    assert_eq!(read("ran"), "ran\nran\n");
    // What ends it does so at once.
    let start = Instant::now();
    let deaf = "echo > DIR/begun; sleep 20";
    let result = with_signals(dir.path(), &one("c", deaf), &[], &[Signal::SIGTERM]).await;
    assert_eq!(result.unwrap(), End::Done);
    assert!(start.elapsed() < Duration::from_secs(5));
    // The program hears signals while -once waits for it.
    let listens =
        "exec { command = \"trap 'exit 9' USR1; echo > DIR/begun; while :; do sleep 0.05; done\" }\n";
    let config = one("d", "true") + listens;
    let result = with_signals(dir.path(), &config, &["-once"], &[Signal::SIGUSR1]).await;
    assert_eq!(result.unwrap(), End::Program(9));
}
