//! Helm charts for a build: a helm program, version 3 or later, run in a directory of its own that goes afterwards.

use anyhow::{Context, Result, bail};
use herder_kustomize::{ChartFiles, ChartRef, Helm, Release};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The program, and where pulled charts are kept.
pub(super) struct Program {
    pub(super) command: String,
    pub(super) cache: PathBuf,
    /// For charts that do not say which Kubernetes they are rendered for.
    pub(super) kube_version: Option<String>,
    /// The same for API versions.
    pub(super) api_versions: Vec<String>,
}

/// A directory that goes with the value.
struct Work(PathBuf);

impl Work {
    fn new() -> Result<Self> {
        let name = format!("herder-helm-{}-{}", std::process::id(), free_number());
        let path = std::env::temp_dir().join(name);
        // Values are often secrets; and a directory that somebody else made is not ours.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary directory, where it does no harm.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// A number that no other directory of this process has.
fn free_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Program {
    /// Where a chart of one version is kept.
    fn place(&self, chart: &ChartRef) -> PathBuf {
        let part = |text: &str| -> String {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let encode = |c: char| {
                if plain(c) {
                    c.to_string()
                } else {
                    format!("%{:x}", u32::from(c))
                }
            };
            text.chars().map(encode).collect()
        };
        self.cache
            .join(part(&chart.repository))
            .join(part(&chart.name))
            .join(part(&chart.version))
    }

    fn run(&self, work: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.command)
            .args(args)
            .env("HELM_CONFIG_HOME", work.join("helm"))
            .env("HELM_CACHE_HOME", work.join("helm/.cache"))
            .env("HELM_DATA_HOME", work.join("helm/.data"))
            .output()
            .with_context(|| format!("cannot run `{}`: name it with --helm-command", self.command))?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("it printed something that is not UTF-8")
    }

    fn pull_into(&self, chart: &ChartRef, kept: &Path) -> Result<ChartFiles> {
        let work = Work::new()?;
        let into = work.0.join("charts");
        let oci = format!("{}/{}", chart.repository.trim_end_matches('/'), chart.name);
        let into_text = into.display().to_string();
        let mut args = vec!["pull", "--untar", "--untardir", &into_text];
        if chart.repository.starts_with("oci://") {
            args.push(&oci);
        } else {
            args.extend(["--repo", &chart.repository, &chart.name]);
        }
        if !chart.version.is_empty() {
            args.extend(["--version", &chart.version]);
        }
        self.run(&work.0, &args)?;
        let files = read(&into.join(&chart.name))?;
        if !chart.version.is_empty() {
            // Whole or not at all: another build may look at the same time.
            let beside = kept.with_extension(format!("{}", std::process::id()));
            write(&beside, &files)?;
            if fs::rename(&beside, kept).is_err() {
                fs::remove_dir_all(&beside).context("another build's chart is in the way")?;
            }
        }
        Ok(files)
    }

    fn render(&self, release: &Release) -> Result<String> {
        let work = Work::new()?;
        // Below a directory of its own, so that no name of a chart is that of helm's configuration beside it.
        let chart = work.0.join("chart").join(&release.chart);
        write(&chart, &release.files)?;
        let mut args = vec!["template".to_owned()];
        args.push(
            release
                .name
                .clone()
                .unwrap_or_else(|| "--generate-name".to_owned()),
        );
        args.push(chart.display().to_string());
        args.extend(release.options.iter().cloned());
        let says = |option: &str| release.options.iter().any(|said| said == option);
        if let Some(version) = self.kube_version.as_ref().filter(|_| !says("--kube-version")) {
            args.extend(["--kube-version".to_owned(), version.clone()]);
        }
        for version in self.api_versions.iter().filter(|_| !says("--api-versions")) {
            args.extend(["--api-versions".to_owned(), version.clone()]);
        }
        for (at, values) in release.values.iter().enumerate() {
            let path = work.0.join(format!("values-{at}.yaml"));
            fs::write(&path, values).with_context(|| format!("cannot write {}", path.display()))?;
            args.extend(["-f".to_owned(), path.display().to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run(&work.0, &args)
    }
}

impl Helm for Program {
    fn pull(&self, chart: &ChartRef) -> Result<ChartFiles, String> {
        let kept = self.place(chart);
        let found = if !chart.version.is_empty() && kept.is_dir() {
            read(&kept)
        } else {
            self.pull_into(chart, &kept)
        };
        found.map_err(|error| format!("{error:#}"))
    }

    fn template(&self, release: &Release) -> Result<String, String> {
        self.render(release).map_err(|error| format!("{error:#}"))
    }
}

/// All files below a directory; links are left out.
fn read(root: &Path) -> Result<ChartFiles> {
    let mut files = ChartFiles::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
                files.push((name, fs::read(&path)?.into()));
            }
        }
    }
    Ok(files)
}

/// Writes files below a directory that is made for them.
fn write(root: &Path, files: &ChartFiles) -> Result<()> {
    for (name, bytes) in files {
        let relative = Path::new(name);
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            bail!("`{name}` leads out of the chart");
        }
        let path = root.join(relative);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
