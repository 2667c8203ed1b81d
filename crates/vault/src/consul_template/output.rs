//! Results into files: whole or not at all, with mode and owner, keeping the old file if asked to.

use super::settings::TemplateSettings;
use nix::unistd::{Gid, Group, Uid, User, chown};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file cannot be written.
#[derive(Debug, Error)]
pub(super) enum OutputError {
    /// The system refuses.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// There is no such user or group.
    #[error("cannot write {}: there is no {kind} `{name}`", path.display())]
    Nobody {
        path: PathBuf,
        kind: &'static str,
        name: String,
    },
    /// The directory is missing, and may not be made.
    #[error("cannot write {}: its directory does not exist, and create_dest_dirs is false", path.display())]
    NoDirectory { path: PathBuf },
}

/// How a file is to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Permission bits; the present ones or 0600 otherwise.
    pub(super) mode: Option<u32>,
    /// Name or number, empty for unchanged.
    pub(super) user: String,
    /// Name or number, empty for unchanged.
    pub(super) group: String,
    pub(super) backup: bool,
    pub(super) make_directories: bool,
}

impl Shape {
    pub(super) fn of(template: &TemplateSettings) -> Self {
        let name = |name: &Option<String>, id: Option<u32>| match (name, id) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => id.to_string(),
            (None, None) => String::new(),
        };
        Self {
            mode: template.perms,
            user: name(&template.user, template.uid),
            group: name(&template.group, template.gid),
            backup: template.backup.unwrap_or(false),
            make_directories: template.create_dest_dirs.unwrap_or(true),
        }
    }
}

/// Writes a file if anything about it differs, and says whether it did.
pub(super) fn write(path: &Path, bytes: &[u8], shape: &Shape) -> Result<bool, OutputError> {
    let fail = |source| OutputError::Write {
        path: path.to_owned(),
        source,
    };
    let (uid, gid) = owner(path, shape)?;
    let present = match std::fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(fail(error)),
    };
    let mode = shape
        .mode
        .or_else(|| present.as_ref().map(|found| found.permissions().mode() & 0o7777))
        .unwrap_or(0o600);
    if let Some(found) = &present
        && std::fs::read(path).is_ok_and(|old| old == bytes)
    {
        // The text is right; mode and owner are made so without a new file, and count as no change.
        if found.permissions().mode() & 0o7777 != mode {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
        }
        if uid.is_some_and(|uid| uid.as_raw() != found.uid())
            || gid.is_some_and(|gid| gid.as_raw() != found.gid())
        {
            chown(path, uid, gid).map_err(|error| fail(error.into()))?;
        }
        return Ok(false);
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !directory.is_dir() {
        if !shape.make_directories {
            return Err(OutputError::NoDirectory {
                path: path.to_owned(),
            });
        }
        std::fs::create_dir_all(directory).map_err(fail)?;
    }
    let name = path
        .file_name()
        .ok_or_else(|| fail(std::io::ErrorKind::InvalidInput.into()))?
        .to_string_lossy()
        .into_owned();
    let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
    // An owner who is not asked for stays who it was, as far as we may give files away.
    let kept = present.as_ref().map(|found| (found.uid(), found.gid()));
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        if let Some((old_uid, old_gid)) = kept {
            let _ = chown(
                &temporary,
                Some(Uid::from_raw(old_uid)),
                Some(Gid::from_raw(old_gid)),
            );
        }
        if uid.is_some() || gid.is_some() {
            chown(&temporary, uid, gid)?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        if shape.backup && present.is_some() {
            let backup = directory.join(format!("{name}.bak"));
            let _ = std::fs::remove_file(&backup);
            std::fs::hard_link(path, &backup)?;
        }
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| true).map_err(fail)
}

fn owner(path: &Path, shape: &Shape) -> Result<(Option<Uid>, Option<Gid>), OutputError> {
    let nobody = |kind, name: &str| OutputError::Nobody {
        path: path.to_owned(),
        kind,
        name: name.to_owned(),
    };
    let user = match shape.user.as_str() {
        "" => None,
        name => Some(
            match User::from_name(name) {
                Ok(Some(user)) => Some(user.uid),
                _ => name.parse().ok().map(Uid::from_raw),
            }
            .ok_or_else(|| nobody("user", name))?,
        ),
    };
    let group = match shape.group.as_str() {
        "" => None,
        name => Some(
            match Group::from_name(name) {
                Ok(Some(group)) => Some(group.gid),
                _ => name.parse().ok().map(Gid::from_raw),
            }
            .ok_or_else(|| nobody("group", name))?,
        ),
    };
    Ok((user, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_modes_makes_backups_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.conf");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let plain = Shape {
            make_directories: true,
            ..Shape::default()
        };
        assert!(write(&path, b"one", &plain).unwrap());
        assert_eq!(mode(&path), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(write(&path, b"two", &plain).unwrap());
        assert_eq!(mode(&path), 0o644, "the old file's mode stays");
        assert!(!write(&path, b"two", &plain).unwrap());
        let backup = Shape {
            mode: Some(0o640),
            backup: true,
            ..Shape::default()
        };
        assert!(!write(&path, b"two", &backup).unwrap());
        assert_eq!(mode(&path), 0o640);
        assert!(write(&path, b"three", &backup).unwrap());
        assert_eq!(std::fs::read(dir.path().join("a/b.conf.bak")).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 2);
        let missing = dir.path().join("none/file");
        assert!(matches!(
            write(&missing, b"x", &Shape::default()),
            Err(OutputError::NoDirectory { .. })
        ));
        let nobody = Shape {
            user: "no-such-user-here".into(),
            ..Shape::default()
        };
        assert!(matches!(
            write(&path, b"x", &nobody),
            Err(OutputError::Nobody { .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
    }
}
