//! Inside a job's pod: finds the files that the run keeps and hands them to the platform, part by part. Owns no names: the
//! platform checks each.

use crate::platform::{Platform, escape};
use anyhow::{Context, Result, bail};
use herder_jobs::script;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How much of a file is sent at once.
const PART: u64 = 4 << 20;
/// How many files and folders a workspace may have for its artefacts to be looked for.
const MOST: usize = 1_000_000;

/// What a run keeps.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kept {
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    allow_empty: bool,
    #[serde(default)]
    always: bool,
}

/// What this pod's run keeps, if it keeps something.
pub(crate) fn wanted() -> Result<Option<Kept>> {
    match std::env::var(script::ARTEFACTS) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} cannot be read", script::ARTEFACTS)),
        Err(_) => Ok(None),
    }
}

impl Kept {
    /// Whether it is kept although a step failed.
    pub(crate) fn always(&self) -> bool {
        self.always
    }

    /// Hands everything over; says what.
    pub(crate) async fn keep(&self) -> Result<Vec<String>> {
        let root = std::env::current_dir().context("the workspace is gone")?;
        let found = self.find(&root)?;
        if found.is_empty() {
            let patterns = self.include.join(", ");
            if self.allow_empty {
                return Ok(vec![format!("no file matches {patterns}: nothing is kept")]);
            }
            bail!(
                "no file matches {patterns}: the job says that it keeps some (`allowEmpty: true` lets it succeed without)"
            );
        }
        let platform =
            Platform::from_env()?.context("HERDER_URL is not set: there is nobody to keep the artefacts")?;
        let mut said = Vec::new();
        for name in found {
            let size = send(&platform, &root, &name)
                .await
                .with_context(|| format!("{name} cannot be kept"))?;
            said.push(format!("{name} ({size} bytes)"));
        }
        Ok(said)
    }

    /// The files that are kept, by name. Links are not followed: what they lead to may be anything.
    fn find(&self, root: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open: Vec<PathBuf> = vec![root.to_owned()];
        let mut seen = 0;
        while let Some(dir) = open.pop() {
            let entries =
                std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
            for entry in entries {
                let entry = entry?;
                seen += 1;
                if seen > MOST {
                    bail!("the workspace has more than {MOST} files: its artefacts are not looked for");
                }
                let (path, kind) = (entry.path(), entry.file_type()?);
                if kind.is_dir() {
                    // Neither does Jenkins keep what belongs to git.
                    if entry.file_name() != ".git" {
                        open.push(path);
                    }
                    continue;
                }
                let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                    continue;
                };
                let any =
                    |patterns: &[String]| patterns.iter().any(|pattern| herder_job::matches(pattern, name));
                if kind.is_file() && any(&self.include) && !any(&self.exclude) {
                    found.push(name.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

async fn send(platform: &Platform, root: &Path, name: &str) -> Result<u64> {
    let mut file = File::open(root.join(name))?;
    let mut at = 0;
    loop {
        let mut part = Vec::new();
        let count = Read::by_ref(&mut file).take(PART).read_to_end(&mut part)?;
        if count == 0 && at > 0 {
            return Ok(at);
        }
        let place = format!("/internal/artefact?path={}&at={at}", escape(name));
        platform.put(&place, part).await?;
        at += u64::try_from(count)?;
        if u64::try_from(count)? < PART {
            return Ok(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_kept_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in [
            "target/a.jar",
            "target/sub/b.jar",
            "target/a.txt",
            ".git/x.jar",
            "c.jar",
        ] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), path).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("target/passwd.jar")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("target/etc")).unwrap();
        let kept: Kept =
            serde_json::from_str(r#"{"include": ["**/*.jar", "target/etc/**"], "exclude": ["target/sub/"]}"#)
                .unwrap();
        assert_eq!(kept.find(root).unwrap(), ["c.jar", "target/a.jar"]);
        assert!(!kept.always());
    }
}
