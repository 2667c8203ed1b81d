//! Job DSL scripts of a directory: which files they are, what they may read, what they make. Shared by the commands
//! that read scripts; prints nothing but diagnostics.

use anyhow::{Context, Result, bail};
use clap::Args;
use herder_base::{Commit, Diagnostic, Tree, TreeBuilder};
use herder_jobdsl::{Compiled, ItemKind, Made, Options, Seed, compile_all};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Larger files are no scripts and nothing that a script reads: they are left out rather than held in memory.
const LARGEST: u64 = 32 * 1024 * 1024;

/// Which scripts are read, and how.
#[derive(Debug, Args)]
pub(crate) struct Scripts {
    /// A script, or a directory whose .groovy files are read
    #[arg(value_name = "SCRIPT|DIR")]
    pub(crate) path: PathBuf,
    /// The workspace: what readFileFromWorkspace and class paths are relative to [default: the directory that holds
    /// the repository, else DIR or the script's directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// A directory of classes, relative to the workspace; may be given several times [default: those that seed
    /// repositories use, such as src/main/groovy]
    #[arg(long, value_name = "DIR")]
    pub(crate) classpath: Vec<String>,
    /// A variable of the script, as a seed job's parameters are; may be given several times
    #[arg(short = 'D', long = "define", value_name = "NAME=VALUE")]
    pub(crate) define: Vec<String>,
}

/// A workspace and the scripts in it.
pub(crate) struct Workspace {
    pub(crate) tree: Tree,
    pub(crate) scripts: Vec<String>,
    pub(crate) options: Options,
}

impl Scripts {
    /// Reads the files.
    ///
    /// # Errors
    /// If there are none or they cannot be read.
    pub(crate) fn workspace(&self) -> Result<Workspace> {
        let path =
            fs::canonicalize(&self.path).with_context(|| format!("there is no `{}`", self.path.display()))?;
        let dir = if path.is_dir() {
            path.clone()
        } else {
            path.parent().unwrap_or(&path).to_owned()
        };
        let root = match &self.root {
            Some(root) => {
                fs::canonicalize(root).with_context(|| format!("there is no `{}`", root.display()))?
            }
            None => repository_of(&dir).unwrap_or(dir),
        };
        let Ok(below) = path.strip_prefix(&root) else {
            bail!("`{}` is not below `{}`", path.display(), root.display());
        };
        let below = below.to_string_lossy().into_owned();
        let tree = tree(&root)?;
        let scripts = if path.is_dir() {
            scripts_below(&tree, &below)
        } else {
            vec![below]
        };
        if scripts.is_empty() {
            bail!("there is no .groovy file below `{}`", self.path.display());
        }
        let mut bindings = BTreeMap::new();
        for pair in &self.define {
            let (name, value) = pair
                .split_once('=')
                .with_context(|| format!("`{pair}` is not NAME=VALUE"))?;
            bindings.insert(name.to_owned(), value.to_owned());
        }
        let mut classpath = Vec::new();
        for dir in &self.classpath {
            classpath.push(
                herder_base::normalise(dir)
                    .with_context(|| format!("the class path `{dir}` is not in the workspace"))?,
            );
        }
        Ok(Workspace {
            tree,
            scripts,
            options: Options {
                seed: String::new(),
                root: String::new(),
                classpath,
                bindings,
                steps: None,
            },
        })
    }
}

impl Workspace {
    /// What the scripts make, each for itself.
    pub(crate) fn compile(&self) -> Vec<(String, Compiled)> {
        let made = compile_all(&self.tree, &self.scripts, &self.options);
        self.scripts.iter().cloned().zip(made).collect()
    }

    /// What they make together.
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.compile())
    }
}

/// The scripts below a directory of a tree. Classes that scripts import are no scripts: a file is one if it says
/// something that is not a class.
pub(crate) fn scripts_below(tree: &Tree, dir: &str) -> Vec<String> {
    tree.below(dir)
        .filter(|(path, _)| path.ends_with(".groovy") || path.ends_with(".dsl"))
        .filter(|(path, file)| {
            let text = String::from_utf8_lossy(&file.bytes);
            !path.ends_with(".groovy") || herder_jobdsl::is_script(&text)
        })
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// The nearest directory upwards that is a repository.
fn repository_of(dir: &Path) -> Option<PathBuf> {
    dir.ancestors()
        .find(|dir| dir.join(".git").exists())
        .map(Path::to_owned)
}

/// All files below a directory; links are followed while they stay within.
pub(crate) fn tree(root: &Path) -> Result<Tree> {
    let mut builder = TreeBuilder::default();
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("`{}` cannot be read", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("`{}` cannot be read", dir.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" {
                continue;
            }
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((entry.path(), path));
                continue;
            }
            let file = if kind.is_symlink() {
                match fs::canonicalize(entry.path()) {
                    Ok(target) if target.starts_with(root) && target.is_file() => target,
                    _ => continue,
                }
            } else {
                entry.path()
            };
            // Devices and sockets are nothing to read; a file may also vanish meanwhile.
            let Ok(about) = fs::metadata(&file) else { continue };
            if about.is_file()
                && about.len() <= LARGEST
                && let Ok(bytes) = fs::read(&file)
            {
                builder
                    .insert(&path, bytes)
                    .with_context(|| format!("`{path}` cannot be used"))?;
            }
        }
    }
    Ok(builder.build(Commit::default()))
}

/// Prints diagnostics to standard error.
pub(crate) fn print_diagnostics<'a>(found: impl IntoIterator<Item = &'a Diagnostic>) {
    for diagnostic in found {
        eprintln!("{diagnostic}");
    }
}

/// A diagnostic as JSON.
pub(crate) fn diagnostic_json(found: &Diagnostic) -> Value {
    json!({
        "severity": found.severity.to_string(),
        "code": found.code,
        "path": found.at.as_ref().map(|at| at.path.as_str()),
        "line": found.at.as_ref().map(|at| at.line).filter(|line| *line > 0),
        "column": found.at.as_ref().map(|at| at.column).filter(|column| *column > 0),
        "message": found.message,
        "hint": found.hint,
    })
}

/// An item as JSON.
pub(crate) fn item_json(made: &Made) -> Value {
    let item = &made.item;
    json!({
        "name": item.name,
        "kind": match item.kind {
            ItemKind::Job => "job",
            ItemKind::Folder => "folder",
            ItemKind::View => "view",
        },
        "madeBy": item.made_by,
        "script": made.script,
        "xml": item.xml,
        "warnings": item.warnings.iter().map(diagnostic_json).collect::<Vec<_>>(),
    })
}

/// The XML files of a directory, by name without ending; none if there is no such directory.
pub(crate) fn read_xml(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir).with_context(|| format!("`{}` cannot be read", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "xml")
            && let Some(name) = path.file_stem()
        {
            let text =
                fs::read_to_string(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            found.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(found)
}

/// Makes a directory hold exactly these XML files: all are written beside it first, so that nothing is changed if one
/// of them cannot be written.
pub(crate) fn write_xml(dir: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("`{}` cannot be made", dir.display()))?;
    let staging = dir.join(format!(".herder-{}", std::process::id()));
    let written = stage(&staging, files).and_then(|()| {
        for name in files.keys() {
            let file = format!("{name}.xml");
            fs::rename(staging.join(&file), dir.join(&file))
                .with_context(|| format!("`{file}` cannot be put in place"))?;
        }
        // Last: whatever stops this early, no item is missing.
        for name in read_xml(dir)?.keys().filter(|name| !files.contains_key(*name)) {
            let old = dir.join(format!("{name}.xml"));
            fs::remove_file(&old).with_context(|| format!("`{}` cannot be removed", old.display()))?;
        }
        Ok(())
    });
    let cleaned = fs::remove_dir_all(&staging).context("the staging directory cannot be removed");
    written.and(cleaned)
}

fn stage(staging: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir(staging).with_context(|| format!("`{}` cannot be made", staging.display()))?;
    for (name, xml) in files {
        let file = staging.join(format!("{name}.xml"));
        fs::write(&file, xml).with_context(|| format!("`{}` cannot be written", file.display()))?;
    }
    Ok(())
}
