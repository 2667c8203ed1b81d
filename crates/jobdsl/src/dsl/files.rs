//! Files of the repository as scripts see them: `new File('a/b')`, `readFileFromWorkspace`. Nothing else is there.

use crate::run::{Foreign, Interp, Throw, Value};
use herder_base::{Tree, normalise};
use std::any::Any;
use std::rc::Rc;

/// A path of the repository as a value.
pub(crate) struct FileRef(pub(crate) String);

impl Foreign for FileRef {
    fn describe(&self) -> String {
        format!("the file {}", self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn file(path: String) -> Value {
    Value::Foreign(Rc::new(FileRef(path)))
}

/// Where scripts look for files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    /// The directory that paths are relative to.
    pub(crate) root: String,
    /// Where a seed job's checkout was put, for what is not below the root; nowhere if empty.
    pub(crate) seed: String,
}

/// A path below a root of the scripts: the first that has it.
pub(crate) fn resolve(tree: &Tree, roots: &Roots, path: &str) -> Option<String> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let below = |root: &str| {
        let whole = if root.is_empty() {
            path.to_owned()
        } else {
            format!("{root}/{path}")
        };
        normalise(&whole).ok()
    };
    let first = below(&roots.root)?;
    let there = |path: &String| tree.file(path).is_some() || tree.is_dir(path);
    if roots.seed.is_empty() || there(&first) {
        return Some(first);
    }
    Some(below(&roots.seed).filter(there).unwrap_or(first))
}

/// A file's text, lossy where it is no UTF-8.
pub(crate) fn text(tree: &Tree, roots: &Roots, path: &str) -> Result<String, Throw> {
    resolve(tree, roots, path)
        .and_then(|path| tree.bytes(&path))
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .ok_or_else(|| {
            Throw::exception(
                "FileNotFoundException",
                format!("the repository has no file `{path}`"),
            )
        })
}

/// A method of a file.
pub(crate) fn method(
    interp: &Interp,
    tree: &Tree,
    roots: &Roots,
    of: &FileRef,
    name: &str,
    args: &[Value],
) -> Result<Option<Value>, Throw> {
    let path = &of.0;
    let whole = resolve(tree, roots, path).unwrap_or_default();
    let here = |name: &str| {
        let name = name.trim_end_matches('/');
        file(if path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", path.trim_end_matches('/'))
        })
    };
    let list = || {
        tree.entries(&whole)
            .iter()
            .map(|name| here(name))
            .collect::<Vec<_>>()
    };
    let last = || {
        path.trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    Ok(Some(match (name, args) {
        ("getText" | "text", _) => {
            let text = text(tree, roots, path)?;
            interp.spend(text.len())?;
            Value::text(text)
        }
        ("readLines", _) => Value::list(text(tree, roots, path)?.lines().map(Value::text).collect()),
        ("eachLine", [.., closure @ Value::Closure(_)]) => {
            let text = Value::text(text(tree, roots, path)?);
            interp.call_method(&text, &"eachLine".into(), vec![closure.clone()])?
        }
        ("exists", []) => Value::Bool(tree.file(&whole).is_some() || tree.is_dir(&whole)),
        ("isFile", []) => Value::Bool(tree.file(&whole).is_some()),
        ("isDirectory", []) => Value::Bool(tree.is_dir(&whole)),
        ("getName" | "getBaseName", []) => Value::text(last()),
        ("getPath" | "getAbsolutePath" | "getCanonicalPath" | "toString" | "toPath" | "getRemote", []) => {
            Value::text(path.as_str())
        }
        ("getParent" | "getParentFile", []) => {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if name == "getParent" {
                Value::text(parent)
            } else {
                file(parent.to_owned())
            }
        }
        ("child", [name]) => here(&interp.show(name)?),
        ("list", []) => Value::list(
            tree.entries(&whole)
                .iter()
                .map(|name| Value::text(name.trim_end_matches('/')))
                .collect(),
        ),
        ("listFiles", _) => Value::list(list()),
        (
            "eachFile" | "eachDir" | "eachFileMatch" | "eachDirMatch" | "eachFileRecurse",
            [.., Value::Closure(closure)],
        ) => {
            let all: Vec<(bool, Value, String)> = if name == "eachFileRecurse" {
                tree.below(&whole)
                    .map(|(found, _)| {
                        let skip = whole.len() + usize::from(!whole.is_empty());
                        let below = found.get(skip..).unwrap_or_default();
                        (false, here(below), below.to_owned())
                    })
                    .collect()
            } else {
                tree.entries(&whole)
                    .into_iter()
                    .map(|name| {
                        (
                            name.ends_with('/'),
                            here(&name),
                            name.trim_end_matches('/').to_owned(),
                        )
                    })
                    .collect()
            };
            for (is_dir, value, short) in all {
                if name.starts_with("eachDir") && !is_dir {
                    continue;
                }
                if name.ends_with("Match")
                    && let Some(Value::Pattern(pattern)) = args.first()
                    && !pattern.is_match(&short)
                {
                    continue;
                }
                interp.call(closure, vec![value])?;
            }
            Value::Null
        }
        (
            "write" | "append" | "delete" | "mkdirs" | "createNewFile" | "setText" | "leftShift"
            | "withWriter" | "renameTo",
            _,
        ) => {
            return Err(Throw::exception(
                "SecurityException",
                format!("scripts write no files: `{name}` is refused"),
            ));
        }
        _ => return Ok(None),
    }))
}
