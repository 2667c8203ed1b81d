//! `herder import jenkins`: jobs of a Jenkins, with a report of what each of them loses.

use crate::args::Global;
use crate::commands::job::scripts;
use crate::output::Exit;
use anyhow::{Context, Result, bail};
use herder_base::{AllowedRemote, Diagnostic, Location, Tree};
use herder_git::Git;
use herder_jobdsl::{Item, ItemKind, Options, Seed, compile_all, import};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `herder import jenkins`.
///
/// Reads only. Without `--xml` it reports what would be taken over; with it, one file per job is written, ready to be
/// compared by `herder job plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A job's config.xml, a Jenkins home (the directory with `jobs`), or the URL of a seed repository
    #[arg(value_name = "CONFIG.XML|JENKINS_HOME|URL")]
    from: String,
    /// Name of the job, for a single config.xml [default: its directory's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Branch, tag or commit of a seed repository
    #[arg(long = "ref", value_name = "REF", default_value = "HEAD")]
    reference: String,
    /// The directory of the scripts in a seed repository [default: all of it]
    #[arg(long, value_name = "DIR", default_value = "")]
    scripts: String,
    /// Write one file per item to this directory
    #[arg(long, value_name = "OUT")]
    xml: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let seed = read(&args).await?;
    if let Some(out) = &args.xml {
        let mut files = scripts::read_xml(out)?;
        files.extend(
            seed.items
                .iter()
                .map(|(key, made)| (key.clone(), made.item.xml.clone())),
        );
        scripts::write_xml(out, &files)?;
    }
    if global.json {
        let document = json!({
            "items": seed.items.values().map(scripts::item_json).collect::<Vec<_>>(),
            "diagnostics": seed.diagnostics.iter().map(scripts::diagnostic_json).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        report(&seed);
    }
    if seed.has_errors() {
        return Err(Exit(1).into());
    }
    Ok(())
}

async fn read(args: &Args) -> Result<Seed> {
    let path = Path::new(&args.from);
    if path.is_file() {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => path
                .canonicalize()?
                .parent()
                .and_then(Path::file_name)
                .map(|name| name.to_string_lossy().into_owned())
                .context("the job has no name: give one with --name")?,
        };
        return Ok(seed_of(vec![(name, path.to_owned())]));
    }
    if path.is_dir() {
        if path.join("jobs").is_dir() && has_configs(path) {
            let mut found = Vec::new();
            collect(&path.join("jobs"), "", &mut found)?;
            return Ok(seed_of(found));
        }
        return seed_repository(&scripts::tree(&path.canonicalize()?)?, &args.scripts);
    }
    if !args.from.contains(':') {
        bail!("there is no `{}`", args.from);
    }
    let cache = tempfile()?;
    let tree = Git::new(&cache.0)
        .fetch(&AllowedRemote::own(args.from.as_str().into()), &args.reference)
        .await
        .with_context(|| format!("`{}` cannot be fetched", herder_base::show_remote(&args.from)))?;
    seed_repository(&tree, &args.scripts)
}

/// A home has a configuration below `jobs`; a seed repository may have a directory of that name with scripts.
fn has_configs(home: &Path) -> bool {
    home.join("config.xml").is_file()
        || fs::read_dir(home.join("jobs")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.path().join("config.xml").is_file()))
        })
}

/// The jobs of a home: `jobs/A/config.xml`, those of folders below `jobs/A/jobs`.
fn collect(dir: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .with_context(|| format!("`{}` cannot be read", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for path in entries {
        if !fs::symlink_metadata(&path).is_ok_and(|about| about.is_dir()) {
            continue;
        }
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let config = path.join("config.xml");
        if config.is_file() {
            found.push((name.clone(), config));
        }
        let inner = path.join("jobs");
        // A linked folder may lead out of the home, or back into itself.
        if fs::symlink_metadata(&inner).is_ok_and(|about| about.is_dir()) {
            collect(&inner, &name, found)?;
        }
    }
    Ok(())
}

fn seed_of(configs: Vec<(String, PathBuf)>) -> Seed {
    let mut seed = Seed::default();
    for (name, path) in configs {
        let shown = path.display().to_string();
        let item = fs::read_to_string(&path)
            .map_err(|error| {
                Diagnostic::error("unreadable", format!("it cannot be read: {error}"))
                    .at(Location::new(&shown, 0, 0))
            })
            .and_then(|text| import(&name, &shown, &text));
        match item {
            Ok(item) => seed.insert(shown, item),
            Err(diagnostic) => {
                seed.diagnostics.push(diagnostic);
                seed.broken.insert(shown);
            }
        }
    }
    seed
}

fn seed_repository(tree: &Tree, dir: &str) -> Result<Seed> {
    let found = scripts::scripts_below(tree, dir);
    if found.is_empty() {
        bail!("there is neither a job's configuration nor a script");
    }
    let made = compile_all(tree, &found, &Options::default());
    Ok(Seed::new(found.into_iter().zip(made)))
}

fn report(seed: &Seed) {
    scripts::print_diagnostics(&seed.diagnostics);
    let mut table = vec![["ITEM", "STEPS", "TRIGGERS", "NOT CARRIED OVER"].map(str::to_owned)];
    let mut lost: BTreeMap<&str, usize> = BTreeMap::new();
    for made in seed.items.values() {
        let Item { name, job, .. } = &made.item;
        for warning in &made.item.warnings {
            *lost.entry(warning.message.as_str()).or_default() += 1;
        }
        let count = |count: usize| count.to_string();
        table.push([
            name.clone(),
            job.as_ref().map(|job| count(job.steps.len())).unwrap_or_default(),
            job.as_ref()
                .map(|job| count(job.triggers.len()))
                .unwrap_or_default(),
            count(made.item.warnings.len()),
        ]);
    }
    crate::output::table(&table);
    if !lost.is_empty() {
        println!();
        let mut rows: Vec<(usize, &str)> = lost.into_iter().map(|(what, count)| (count, what)).collect();
        rows.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let mut table = vec![["JOBS", "WHAT IS NOT CARRIED OVER"].map(str::to_owned)];
        table.extend(
            rows.into_iter()
                .map(|(count, what)| [count.to_string(), what.to_owned()]),
        );
        crate::output::table(&table);
    }
    let of = |kind: ItemKind| seed.items.values().filter(|made| made.item.kind == kind).count();
    println!();
    println!(
        "{} jobs, {} folders, {} views",
        of(ItemKind::Job),
        of(ItemKind::Folder),
        of(ItemKind::View)
    );
}

/// A directory that goes with the value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays in the temporary directory does no harm.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// A fresh directory that only its owner may enter: one that is there already may be somebody else's.
fn tempfile() -> Result<Scratch> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut attempt = 0u32;
    loop {
        let name = format!("herder-import-{}-{attempt}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        match builder.create(&dir) {
            Ok(()) => return Ok(Scratch(dir)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
            Err(error) => return Err(error).with_context(|| format!("`{}` cannot be made", dir.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_directories_are_fresh_and_private() {
        let (one, two) = (tempfile().unwrap(), tempfile().unwrap());
        assert_ne!(one.0, two.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&one.0).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let path = one.0.clone();
        drop(one);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn linked_folders_are_not_followed() {
        let home = tempfile().unwrap();
        let jobs = home.0.join("jobs");
        fs::create_dir_all(jobs.join("a")).unwrap();
        fs::write(jobs.join("a/config.xml"), "<project/>").unwrap();
        std::os::unix::fs::symlink(&jobs, jobs.join("a/jobs")).unwrap();
        std::os::unix::fs::symlink(jobs.join("a"), jobs.join("b")).unwrap();
        let mut found = Vec::new();
        collect(&jobs, "", &mut found).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a"]);
    }

    #[test]
    fn names_of_one_file_are_reported() {
        let home = tempfile().unwrap();
        let file = home.0.join("config.xml");
        fs::write(&file, "<project/>").unwrap();
        let seed = seed_of(vec![("a/b".to_owned(), file.clone()), ("a__b".to_owned(), file)]);
        assert_eq!(seed.items.len(), 1);
        assert!(seed.has_errors());
    }
}
