//! Which Herders this user knows, and which one is meant when none is named: `contexts.json`, as kubectl has its own.
//!
//! Owns the file; what it names is asked by [`crate::locate`]. It holds no secrets, only where they are.

use crate::failing::Failing;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// The file as a whole.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that is meant when none is named.
    #[serde(default)]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: Vec<Known>,
}

/// One Herder under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) place: Place,
}

/// Where a Herder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Place {
    /// On this machine, by its data directory.
    Dir { dir: PathBuf },
    /// Anywhere, by its address and a file with its token.
    Remote {
        url: String,
        token_file: PathBuf,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<PathBuf>,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir { dir } => write!(f, "{}", dir.display()),
            Self::Remote { url, .. } => f.write_str(url),
        }
    }
}

/// Where the file is: `HERDER_CONFIG`, or in the user's configuration. None for who has no home.
pub(crate) fn path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("HERDER_CONFIG").map(PathBuf::from).or_else(|| {
        let config = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")))?;
        Some(config.join("herder/contexts.json"))
    })
}

impl Contexts {
    /// What the file says; nothing if there is none.
    pub(crate) fn read() -> Result<Self> {
        match path() {
            Some(path) => Self::read_from(&path),
            None => Ok(Self::default()),
        }
    }

    fn read_from(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot read the known contexts in {}", path.display()));
            }
        };
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of contexts: mend or remove it", path.display()))
    }

    /// The one of a name.
    pub(crate) fn find(&self, name: &str) -> Result<&Known> {
        let found = self.contexts.iter().find(|known| known.name == name);
        found.ok_or_else(|| {
            let known = self.contexts.iter().map(|known| known.name.as_str());
            let failing = Failing::unknown(format!("there is no context `{name}`"), name, known);
            match failing.hint {
                Some(_) => failing.into(),
                None => failing.hint("`herder context list` lists them").into(),
            }
        })
    }

    /// The current one, if it is known.
    pub(crate) fn current(&self) -> Option<&Known> {
        let name = self.current.as_deref()?;
        self.contexts.iter().find(|known| known.name == name)
    }

    /// Makes a directory known and current. Its name is the directory's own, with a number if another has that one.
    fn started(&mut self, dir: &Path) {
        let place = Place::Dir { dir: dir.to_owned() };
        // Those whose directory went are of no use to anybody.
        self.contexts
            .retain(|known| !matches!(&known.place, Place::Dir { dir } if !dir.exists()));
        if let Some(known) = self.contexts.iter().find(|known| known.place == place) {
            self.current = Some(known.name.clone());
            return;
        }
        let own = dir.file_name().and_then(|name| name.to_str()).unwrap_or("herder");
        let taken = |name: &str| self.contexts.iter().any(|known| known.name == name);
        let mut name = own.trim_start_matches('.').to_owned();
        let mut number = 2_u32;
        while taken(&name) {
            name = format!("{own}-{number}");
            number += 1;
        }
        self.current = Some(name.clone());
        self.contexts.push(Known { name, place });
    }
}

/// Changes the file, whatever others do at the same time.
pub(crate) fn change(by: impl FnOnce(&mut Contexts) -> Result<()>) -> Result<()> {
    let path = path().context("there is no home to keep contexts in: set HERDER_CONFIG to a file")?;
    change_at(&path, by)
}

fn change_at(path: &Path, by: impl FnOnce(&mut Contexts) -> Result<()>) -> Result<()> {
    let wrong = || format!("cannot write the known contexts to {}", path.display());
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(wrong)?;
    }
    let lock = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock)
        .with_context(wrong)?;
    lock.lock().with_context(wrong)?;
    let before = Contexts::read_from(path)?;
    let mut contexts = before.clone();
    by(&mut contexts)?;
    if contexts == before {
        return Ok(());
    }
    let staged = path.with_extension("tmp");
    let text = serde_json::to_string_pretty(&contexts)? + "\n";
    std::fs::write(&staged, text)
        .and_then(|()| std::fs::rename(&staged, path))
        .with_context(wrong)
}

/// A Herder starts here: it is the one that is meant from now on. Who cannot keep that in mind starts all the same.
pub(crate) fn remember(dir: &Path) {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if let Err(error) = change(|contexts| {
        contexts.started(&dir);
        Ok(())
    }) {
        eprintln!("note: other terminals need --dir {}: {error:#}", dir.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_started_is_current_and_keeps_its_name() {
        let base = std::env::temp_dir().join(format!("herder-contexts-{}", std::process::id()));
        let dirs: Vec<PathBuf> = ["a/shop", "b/shop", "c/.herder"]
            .iter()
            .map(|name| base.join(name))
            .collect();
        for dir in &dirs {
            std::fs::create_dir_all(dir).unwrap();
        }
        let path = base.join("config/contexts.json");
        let start = |dir: &Path| {
            change_at(&path, |contexts| {
                contexts.started(dir);
                Ok(())
            })
            .unwrap();
            Contexts::read_from(&path).unwrap()
        };
        let names = |contexts: &Contexts| {
            contexts
                .contexts
                .iter()
                .map(|known| known.name.clone())
                .collect::<Vec<_>>()
        };
        start(&dirs[0]);
        let two = start(&dirs[1]);
        assert_eq!(names(&two), ["shop", "shop-2"]);
        assert_eq!(two.current.as_deref(), Some("shop-2"));
        let again = start(&dirs[0]);
        assert_eq!((names(&again).len(), again.current.as_deref()), (2, Some("shop")));
        std::fs::remove_dir_all(base.join("b")).unwrap();
        let three = start(&dirs[2]);
        assert_eq!(names(&three), ["shop", "herder"]);
        assert!(three.find("shpo").unwrap_err().to_string().contains("shpo"));
        // What cannot be read is not taken for empty, and not written over.
        std::fs::write(&path, "{").unwrap();
        assert!(Contexts::read_from(&path).is_err());
        assert!(change_at(&path, |_| Ok(())).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
        std::fs::remove_dir_all(&base).unwrap();
    }
}
