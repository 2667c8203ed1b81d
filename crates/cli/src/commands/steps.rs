//! `herder steps DIR`: inside a job's pod, runs the scripts of a run one after the other.
//!
//! Writes one line per event to standard output, so that a log stream carries them whole: `+N title` when step N
//! begins, `|N text` for what it writes (both of its outputs), `~N text` for a part of a line that goes on, `-N code` when
//! it ends, `*N text` for many lines that came at once. A script cannot forge a line, because every line of its own gets its mark. The secrets that the pod was given
//! are hidden before anything leaves it.

use super::artefacts;
use anyhow::{Context, Result};
use herder_base::Secret;
use herder_jobs::log::Mask;
use herder_jobs::script;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;

/// A line is passed on in pieces of this size, which log files of containers hold whole.
const PIECE: usize = 12 << 10;
/// So many lines that come at once are passed on together.
const MANY: usize = 64;
/// Where secrets are mounted by whoever gives pods some.
const MOUNTED: [&str; 2] = ["/var/run/secrets", "/vault/secrets"];
/// What lies there too and is none.
const NO_SECRETS: [&str; 3] = ["ca.crt", "namespace", "service-ca.crt"];
/// How many files of how many bytes are taken for secrets.
const MOST_FILES: usize = 256;
const LARGEST_FILE: u64 = 64 << 10;

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
    let kept = artefacts::wanted()?;
    let mut failed = 0;
    for (number, file) in files.iter().enumerate() {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        // Mounted ones change while a pod lives.
        let mask = Mask::new(&secrets());
        let title = mask.apply_text(&script::title(&text));
        emit(format!("+{number} {title}\n").as_bytes());
        let argv = script::command(&text, &file.to_string_lossy());
        let code = step(number, mask, &argv, &own_env(file)?).await?;
        emit(format!("-{number} {code}\n").as_bytes());
        if code != 0 {
            failed = code;
            break;
        }
    }
    if let Some(kept) = kept
        && (failed == 0 || kept.always())
    {
        let number = files.len();
        emit(format!("+{number} keep artefacts\n").as_bytes());
        let (said, code) = match kept.keep().await {
            Ok(said) => (said, 0),
            Err(error) => (vec![format!("{error:#}")], 1),
        };
        let mask = Mask::new(&secrets());
        for line in said {
            emit(format!("|{number} {}\n", mask.apply_text(&line)).as_bytes());
        }
        emit(format!("-{number} {code}\n").as_bytes());
        failed = if failed == 0 { code } else { failed };
    }
    if failed != 0 {
        return Err(crate::output::Exit(u8::try_from(failed).unwrap_or(1)).into());
    }
    Ok(())
}

/// The variables of one step alone, which lie beside its script.
fn own_env(script: &Path) -> Result<BTreeMap<String, String>> {
    let name = script.file_stem().unwrap_or_default().to_string_lossy();
    let file = script.with_file_name(format!("{}.json", name.replacen("step-", "env-", 1)));
    match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

async fn step(number: usize, mask: Mask, argv: &[String], env: &BTreeMap<String, String>) -> Result<i32> {
    let (program, rest) = argv.split_first().context("a step without a command")?;
    // Both outputs are one pipe, so that what is written stays in order.
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .env_remove(script::ARTEFACTS)
        .envs(env)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("no pipe")?)
        .stderr(writer)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    // It holds the writing end, too: the reader ends only once it is gone.
    drop(command);
    let reader = pipe::Receiver::from_owned_fd(reader.into()).context("no pipe")?;
    copy(Lines::new(number, mask), reader).await;
    let status = child.wait().await?;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Ok(status
        .code()
        .or_else(|| signal.map(|signal| 128 + signal))
        .unwrap_or(1))
}

async fn copy(mut lines: Lines, mut from: pipe::Receiver) {
    let mut buffer = vec![0; 64 << 10];
    let mut out = Vec::new();
    // A broken pipe to the step is its end.
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        lines.feed(buffer.get(..count).unwrap_or_default(), &mut out);
        emit(&out);
        out.clear();
    }
    lines.finish(&mut out);
    emit(&out);
}

/// Turns what a step writes into marked lines, with secrets hidden. Holds no more than a piece and the longest secret.
struct Lines {
    number: usize,
    mask: Mask,
    open: Vec<u8>,
    /// A part of the line that is open has been passed on.
    goes_on: bool,
}

impl Lines {
    fn new(number: usize, mask: Mask) -> Self {
        Self {
            number,
            mask,
            open: Vec::new(),
            goes_on: false,
        }
    }

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let start = self.open.len();
        self.open.extend_from_slice(bytes);
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let tail = self.open.split_off(start + end + 1);
            let mut lines = std::mem::replace(&mut self.open, tail);
            lines.pop();
            // Whole lines are masked together: no secret's spelling goes over the end of one.
            let mask = self.mask.clone();
            self.lines(&mask.apply(&lines), out);
        }
        if self.open.len() > PIECE + self.mask.longest() {
            let sure = self.mask.drain(&mut self.open);
            for piece in sure.chunks(PIECE) {
                self.mark(b'~', piece, out);
            }
            self.goes_on = true;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.open);
        if !rest.is_empty() || self.goes_on {
            let mask = self.mask.clone();
            self.line(&mask.apply(&rest), out);
        }
    }

    /// Many at once go together: every line by itself costs whoever carries it far more than it weighs.
    fn lines(&mut self, lines: &[u8], out: &mut Vec<u8>) {
        let many = lines.iter().filter(|byte| **byte == b'\n').count() >= MANY;
        let mut together: Vec<u8> = Vec::new();
        for line in lines.split(|byte| *byte == b'\n') {
            let fits = many && !self.goes_on && line.len() < PIECE && !line.contains(&script::SEPARATOR);
            if !together.is_empty() && (!fits || together.len() + line.len() >= PIECE) {
                together.pop();
                self.mark(b'*', &together, out);
                together.clear();
            }
            if fits {
                together.extend_from_slice(line);
                together.push(script::SEPARATOR);
            } else {
                self.line(line, out);
            }
        }
        if !together.is_empty() {
            together.pop();
            self.mark(b'*', &together, out);
        }
    }

    fn line(&mut self, mut line: &[u8], out: &mut Vec<u8>) {
        while let Some((piece, rest)) = line.split_at_checked(PIECE).filter(|(_, rest)| !rest.is_empty()) {
            self.mark(b'~', piece, out);
            line = rest;
        }
        self.mark(b'|', line, out);
        self.goes_on = false;
    }

    fn mark(&self, mark: u8, text: &[u8], out: &mut Vec<u8>) {
        out.push(mark);
        out.extend_from_slice(self.number.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(text);
        out.push(b'\n');
    }
}

/// The secrets that this pod was given: in its environment, and mounted.
fn secrets() -> Vec<Secret<String>> {
    let names = std::env::var(script::SECRETS).unwrap_or_default();
    let mut found: Vec<Secret<String>> = names
        .split(',')
        .chain(["HERDER_TOKEN", "VAULT_TOKEN"])
        .filter_map(|name| std::env::var(name).ok())
        .map(Secret::new)
        .collect();
    let mut left = MOST_FILES;
    for dir in MOUNTED {
        mounted(Path::new(dir), 0, &mut left, &mut found);
    }
    found
}

fn mounted(dir: &Path, depth: u8, left: &mut usize, found: &mut Vec<Secret<String>>) {
    // What is not there or not readable is no secret that a step could write.
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        // Kubernetes' own links to the current version (`..data`) lead to what is listed besides.
        if *left == 0 || name.starts_with("..") || NO_SECRETS.contains(&&*name) {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() && depth < 4 => mounted(&path, depth + 1, left, found),
            Ok(meta) if meta.is_file() && meta.len() <= LARGEST_FILE => {
                *left -= 1;
                found.extend(std::fs::read_to_string(&path).ok().map(Secret::new));
            }
            _ => {}
        }
    }
}

fn emit(lines: &[u8]) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the pod is going away, and with it this process.
    let _written = out.write_all(lines).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(portions: &[&[u8]]) -> String {
        let mut lines = Lines::new(3, Mask::new(&[Secret::from("s3cret-value")]));
        let mut out = Vec::new();
        for portion in portions {
            lines.feed(portion, &mut out);
            assert!(lines.open.len() < PIECE + 128 + portion.len());
        }
        lines.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_marked_and_masked() {
        let portions: [&[u8]; 4] = [b"a\nb s3cr", b"et-value\n\n", b"+1 forged\n", b"end"];
        assert_eq!(
            marked(&portions),
            "|3 a\n|3 b ********\n|3 \n|3 +1 forged\n|3 end\n"
        );
        assert_eq!(marked(&[]), "");
    }

    #[test]
    fn many_lines_go_together() {
        let text: String = (0..5000)
            .map(|i| {
                if i == 99 {
                    "\n".to_owned()
                } else {
                    format!("{i}\n")
                }
            })
            .collect();
        let out = marked(&[text.as_bytes(), b"a\x1eb\n"]);
        assert!(out.lines().count() < 10 && out.lines().all(|line| line.len() <= PIECE + 3));
        let back: String = out
            .lines()
            .map(|line| match line.strip_prefix("*3 ") {
                Some(lines) => lines.replace('\x1e', "\n") + "\n",
                None => line.strip_prefix("|3 ").unwrap().to_owned() + "\n",
            })
            .collect();
        assert_eq!(back, text + "a\x1eb\n");
    }

    #[test]
    fn a_line_without_end_goes_on_in_pieces() {
        let text = "0123456789 s3cret-value ".repeat(20_000);
        for size in [997, 65_536] {
            let portions: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let out = marked(&portions);
            assert!(out.lines().all(|line| line.len() <= PIECE + 3));
            let (last, before) = out
                .lines()
                .collect::<Vec<_>>()
                .split_last()
                .map(|(l, b)| (*l, b.to_vec()))
                .unwrap();
            assert!(last.starts_with("|3 ") && before.iter().all(|line| line.starts_with("~3 ")));
            let joined: String = out.lines().map(|line| &line[3..]).collect();
            assert!(joined == text.replace("s3cret-value", "********"));
        }
    }
}
