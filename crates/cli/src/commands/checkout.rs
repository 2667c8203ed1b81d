//! `herder checkout DIR…`: inside a job's pod, fetches the run's sources from the platform and unpacks them.

use crate::locate::Found;
use crate::platform::Platform;
use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
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
    let found = crate::locate::environment()?;
    let Some(Found::Remote { url, token, ca }) = found else {
        bail!("HERDER_URL and HERDER_TOKEN are not set: this command runs inside a job's pod");
    };
    let platform = Platform::at(&url, &token, ca.as_deref())?;
    for (index, dir) in args.dirs.iter().enumerate() {
        let body = platform
            .stream(&format!("/internal/source.tar?index={index}"))
            .await?;
        let tar = body.collect().await.context("the checkout broke off")?.to_bytes();
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let count = unpack(&tar, dir)?;
        println!("{count} files in {}", dir.display());
    }
    Ok(())
}

/// Unpacks what `git archive` writes: ustar with pax headers. Paths are hostile until proven otherwise.
fn unpack(tar: &[u8], dir: &Path) -> Result<usize> {
    let mut rest = tar;
    let mut long: Option<String> = None;
    let mut link: Option<String> = None;
    let mut count = 0;
    while let Some((header, after)) = rest.split_at_checked(512) {
        if header.iter().all(|byte| *byte == 0) {
            return Ok(count);
        }
        let size = octal(field(header, 124, 12))?;
        let (content, next) = after.split_at_checked(size).context("the archive is cut short")?;
        rest = next
            .get((512 - size % 512) % 512..)
            .context("the archive is cut short")?;
        let kind = header.get(156).copied().unwrap_or_default();
        if kind == b'x' || kind == b'g' {
            let pax = String::from_utf8_lossy(content);
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
            b'5' => std::fs::create_dir_all(&path)?,
            b'2' => {
                // A link may point anywhere: it is only followed by the job's own steps, inside its own pod.
                prepare(dir, &path)?;
                symlink(&target, &path).with_context(|| format!("cannot link {}", path.display()))?;
            }
            b'0' | 0 => {
                prepare(dir, &path)?;
                std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
                let executable = octal(field(header, 100, 8))? & 0o111 != 0;
                std::fs::set_permissions(
                    &path,
                    PermissionsExt::from_mode(if executable { 0o755 } else { 0o644 }),
                )?;
                count += 1;
            }
            other => bail!("the archive holds `{name}` of the unknown type {other}"),
        }
    }
    Ok(count)
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

fn octal(bytes: &[u8]) -> Result<usize> {
    let digits = text(bytes);
    let digits = digits.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    usize::from_str_radix(digits, 8).with_context(|| format!("the archive holds the number `{digits}`"))
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
        assert_eq!(unpack(&entry("a/b.txt", b'0', b"hello"), &dir).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(dir.join("a/b.txt")).unwrap(), "hello");
        assert!(unpack(&entry("../evil", b'0', b"x"), &dir).is_err());
        assert!(unpack(&entry("/evil", b'0', b"x"), &dir).is_err());
        let mut through = entry("link", b'2', b"/tmp");
        through.extend(entry("link/evil", b'0', b"x"));
        assert!(unpack(&through, &dir).is_err());
        assert!(unpack(&entry("a", b'0', b"hello")[..600], &dir).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
