//! `herder steps DIR`: inside a job's pod, runs the scripts of a run one after the other.
//!
//! Writes one line per event to standard output, so that a log stream carries them whole: `+N title` when step N
//! begins, `|N text` for what it writes (both of its outputs), `-N code` when it ends. A script cannot forge a line,
//! because every line of its own gets its mark.

use anyhow::{Context, Result};
use herder_jobs::script;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

/// Arguments of `herder steps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of `step-NNN.sh` files
    dir: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    crate::print::outlive_reader();
    let entries =
        std::fs::read_dir(&args.dir).with_context(|| format!("cannot read {}", args.dir.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("step-"))
    });
    files.sort();
    for (number, file) in files.iter().enumerate() {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        emit(format!("+{number} {}", script::title(&text)).as_bytes());
        let code = step(number, &script::command(&text, &file.to_string_lossy())).await?;
        emit(format!("-{number} {code}").as_bytes());
        if code != 0 {
            return Err(crate::output::Exit(u8::try_from(code).unwrap_or(1)).into());
        }
    }
    Ok(())
}

async fn step(number: usize, argv: &[String]) -> Result<i32> {
    let (program, rest) = argv.split_first().context("a step without a command")?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = (
        out.context("no standard output")?,
        err.context("no standard error")?,
    );
    // One lock per line keeps lines of both outputs whole.
    let ((), ()) = tokio::join!(copy(number, out), copy(number, err));
    let status = child.wait().await?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Ok(status
        .code()
        .or_else(|| signal.map(|signal| 128 + signal))
        .unwrap_or(1))
}

async fn copy(number: usize, from: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // A broken pipe to the step is its end.
    while reader
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|count| count > 0)
    {
        let mut marked = format!("|{number} ").into_bytes();
        marked.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(&line));
        emit(&marked);
        line.clear();
    }
}

fn emit(line: &[u8]) {
    static LOCK: Mutex<()> = Mutex::new(());
    let _whole = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the pod is going away, and with it this process.
    let _written = out
        .write_all(line)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}
