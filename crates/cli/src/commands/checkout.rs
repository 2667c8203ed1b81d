//! `herder checkout DIR…`: inside a job's pod, fetches the run's sources from the platform and unpacks them: files, `.git`,
//! submodules where the job wants them. Needs no git program.

use crate::platform::Platform;
use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Arguments of `herder checkout`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where each source goes, in order
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let platform = Platform::from_env()?
        .context("HERDER_URL and HERDER_TOKEN are not set: this command runs inside a job's pod")?;
    let mut open: Vec<(u64, PathBuf)> = (0u64..).zip(args.dirs).collect();
    open.reverse();
    while let Some((index, dir)) = open.pop() {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let count = fetch(&platform, &format!("/internal/source.tar?index={index}"), &dir).await?;
        fetch(
            &platform,
            &format!("/internal/repository.tar?index={index}"),
            &dir,
        )
        .await?;
        println!("{count} files in {}", dir.display());
        let submodules = platform
            .post(&format!("/internal/submodules?index={index}"), &Value::Null)
            .await?;
        for submodule in submodules.as_array().into_iter().flatten() {
            let path = submodule.get("path").and_then(Value::as_str);
            let (Some(path), Some(index)) = (path, submodule.get("index").and_then(Value::as_u64)) else {
                bail!("the platform named a submodule without its place");
            };
            let below =
                herder_base::normalise(path).with_context(|| format!("a submodule lies at `{path}`"))?;
            let place = dir.join(below);
            prepare(&dir, &place)?;
            if place.is_symlink() {
                bail!("a submodule lies at {}, which is a link", place.display());
            }
            open.push((index, place));
        }
    }
    Ok(())
}

/// Fetches an archive into a file beside what it holds, so that its size is no matter of memory, and unpacks it.
async fn fetch(platform: &Platform, path: &str, dir: &Path) -> Result<usize> {
    let mut body = platform.stream(path).await?;
    let mut tar = tempfile(dir)?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context("the checkout broke off")?.into_data() {
            tar.write_all(&bytes).context("the checkout cannot be written")?;
        }
    }
    tar.rewind()?;
    unpack(&mut std::io::BufReader::new(tar), dir)
}

/// A file without a name: it is gone when it is closed.
fn tempfile(dir: &Path) -> Result<File> {
    let path = dir.join(format!(".herder-checkout-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The longest name or header of an archive.
const LONGEST: u64 = 1 << 20;

/// Unpacks what the platform writes: ustar with pax headers. Paths are hostile until proven otherwise.
fn unpack(tar: &mut impl Read, dir: &Path) -> Result<usize> {
    let mut long: Option<String> = None;
    let mut link: Option<String> = None;
    let mut count = 0;
    loop {
        let mut header = [0u8; 512];
        tar.read_exact(&mut header).context("the archive is cut short")?;
        let header = header.as_slice();
        if header.iter().all(|byte| *byte == 0) {
            return Ok(count);
        }
        let size = octal(field(header, 124, 12))?;
        let kind = header.get(156).copied().unwrap_or_default();
        if kind == b'x' || kind == b'g' {
            if size > LONGEST {
                bail!("the archive holds a header of {size} bytes");
            }
            let mut content = Vec::new();
            padded(tar, size, &mut content)?;
            let pax = String::from_utf8_lossy(&content);
            let value = |key: &str| {
                pax.lines()
                    .find_map(|line| line.split_once(' ')?.1.strip_prefix(key).map(str::to_owned))
            };
            if kind == b'x' {
                (long, link) = (value("path="), value("linkpath="));
            }
            continue;
        }
        let name = long.take().unwrap_or_else(|| plain_name(header));
        let target = link.take().unwrap_or_else(|| text(field(header, 157, 100)));
        let path = herder_base::normalise(&name).with_context(|| format!("the archive holds `{name}`"))?;
        let path = dir.join(path);
        match kind {
            b'5' => {
                prepare(dir, &path)?;
                std::fs::create_dir_all(&path)?;
            }
            b'2' => {
                // A link may point anywhere: it is only followed by the job's own steps, inside its own pod.
                prepare(dir, &path)?;
                symlink(&target, &path).with_context(|| format!("cannot link {}", path.display()))?;
            }
            b'0' | 0 => {
                prepare(dir, &path)?;
                let mut file =
                    File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
                padded(tar, size, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
                let executable = octal(field(header, 100, 8))? & 0o111 != 0;
                file.set_permissions(PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 }))?;
                count += 1;
                continue;
            }
            other => bail!("the archive holds `{name}` of the unknown type {other}"),
        }
        padded(tar, size, &mut std::io::sink())?;
    }
}

/// Copies an entry's content and reads over what fills its last block.
fn padded(tar: &mut impl Read, size: u64, to: &mut impl Write) -> Result<()> {
    let copied = std::io::copy(&mut tar.take(size), to)?;
    if copied < size {
        bail!("the archive is cut short");
    }
    let fill = (512 - size % 512) % 512;
    let filled = std::io::copy(&mut tar.take(fill), &mut std::io::sink())?;
    if filled < fill {
        bail!("the archive is cut short");
    }
    Ok(())
}

/// Makes the directories above a file, refusing to go through a link that the archive itself made.
fn prepare(root: &Path, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(root);
    let mut at = root.to_owned();
    for part in parent.strip_prefix(root).unwrap_or(parent).components() {
        at.push(part);
        if at.is_symlink() {
            bail!("{} leads through the link {}", path.display(), at.display());
        }
    }
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))
}

fn field(header: &[u8], at: usize, length: usize) -> &[u8] {
    header.get(at..at + length).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn plain_name(header: &[u8]) -> String {
    let (name, prefix) = (text(field(header, 0, 100)), text(field(header, 345, 155)));
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

fn octal(bytes: &[u8]) -> Result<u64> {
    let digits = text(bytes);
    let digits = digits.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).with_context(|| format!("the archive holds the number `{digits}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = vec![0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        let size = format!("{:011o}", content.len());
        header[124..135].copy_from_slice(size.as_bytes());
        header[156] = kind;
        if kind == b'2' {
            header[157..157 + content.len()].copy_from_slice(content);
            header[124..135].copy_from_slice(b"00000000000");
            return header;
        }
        header.extend_from_slice(content);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }

    #[test]
    fn unpacks_and_refuses_to_leave() {
        let dir = std::env::temp_dir().join(format!("herder-unpack-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let unpack = |entries: &[u8]| {
            let whole = [entries, &[0; 1024]].concat();
            unpack(&mut whole.as_slice(), &dir)
        };
        assert_eq!(unpack(&entry("a/b.txt", b'0', b"hello")).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(dir.join("a/b.txt")).unwrap(), "hello");
        assert!(unpack(&entry("../evil", b'0', b"x")).is_err());
        assert!(unpack(&entry("/evil", b'0', b"x")).is_err());
        let mut through = entry("link", b'2', b"/tmp");
        through.extend(entry("link/evil", b'0', b"x"));
        assert!(unpack(&through).is_err());
        // One that is cut short is not taken for whole, wherever it is cut.
        let whole = entry("a", b'0', b"hello");
        for end in [100, 512, 600, whole.len()] {
            assert!(super::unpack(&mut &whole[..end], &dir).is_err(), "{end}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
