//! Results into files: whole or not at all, with mode and owner, keeping the old file if asked to.
//!
//! Who may write to the directory may swap what stands there at any time: mode and owner are set on open files only.

use super::settings::TemplateSettings;
use crate::files;
use nix::unistd::{Gid, Group, Uid, User, fchown};
use std::fs::{File, Metadata, Permissions};
use std::io::{ErrorKind, Write};
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
    /// A file of `writeToFile`. Its path and owner may be made of secrets, and are not shown.
    #[error("cannot write a file that the template for {} has in writeToFile: {reason}", destination.display())]
    Beside { destination: PathBuf, reason: String },
    /// The directory is missing, and may not be made.
    #[error("cannot write {}: its directory does not exist, and create_dest_dirs is false", path.display())]
    NoDirectory { path: PathBuf },
}

impl OutputError {
    /// The same of a template's `writeToFile`.
    pub(super) fn beside(self, destination: &Path) -> Self {
        let reason = match self {
            Self::Write { source, .. } => source.to_string(),
            Self::Nobody { kind, .. } => format!("there is no such {kind}"),
            Self::NoDirectory { .. } => "its directory does not exist".to_owned(),
            Self::Beside { reason, .. } => reason,
        };
        Self::Beside {
            destination: destination.to_owned(),
            reason,
        }
    }
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
    let present = present(path).map_err(fail)?;
    let mode = shape
        .mode
        .or_else(|| {
            present
                .as_ref()
                .map(|present| present.found.permissions().mode() & 0o7777)
        })
        .unwrap_or(0o600);
    if let Some(Present {
        found,
        file: Some(file),
        link,
    }) = &present
        && found.len() == u64::try_from(bytes.len()).unwrap_or(u64::MAX)
        && files::read_open(file).is_ok_and(|old| old == bytes)
    {
        // The text is right; mode and owner are made so without a new file, and count as no change.
        let owned = uid.is_none_or(|uid| uid.as_raw() == found.uid())
            && gid.is_none_or(|gid| gid.as_raw() == found.gid());
        let right = found.permissions().mode() & 0o7777 == mode;
        if !link || owned && right {
            if !owned {
                fchown(file, uid, gid).map_err(|error| fail(error.into()))?;
            }
            // A new owner takes some bits away.
            if !owned || !right {
                file.set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
            }
            return Ok(false);
        }
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
        .ok_or_else(|| fail(ErrorKind::InvalidInput.into()))?
        .to_string_lossy()
        .into_owned();
    let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
    // An owner who is not asked for stays who it was, as far as we may give files away.
    let kept = present
        .as_ref()
        .map(|present| (present.found.uid(), present.found.gid()));
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        if let Some((old_uid, old_gid)) = kept {
            let _ = fchown(&file, Some(Uid::from_raw(old_uid)), Some(Gid::from_raw(old_gid)));
        }
        if uid.is_some() || gid.is_some() {
            fchown(&file, uid, gid)?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
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

/// What stands at a path.
struct Present {
    found: Metadata,
    /// Open, unless it may not be read.
    file: Option<File>,
    /// Whether it was reached by a link. What is behind one may be read, and is never changed.
    link: bool,
}

fn present(path: &Path) -> std::io::Result<Option<Present>> {
    let (found, link) = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => (found?, true),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => (found?, false),
    };
    if !found.is_file() {
        return Err(files::irregular());
    }
    match files::open(path, link) {
        Ok((file, found)) => Ok(Some(Present {
            found,
            file: Some(file),
            link,
        })),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Some(Present {
            found,
            file: None,
            link,
        })),
        Err(error) => Err(error),
    }
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

    #[test]
    fn links_are_replaced_and_what_is_behind_them_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (target, path) = (dir.path().join("target"), dir.path().join("out"));
        let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        std::fs::write(&target, b"same").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let shape = |mode| Shape {
            mode: Some(mode),
            ..Shape::default()
        };
        assert!(!write(&path, b"same", &shape(0o600)).unwrap());
        assert!(path.is_symlink(), "nothing was to be done");
        assert!(write(&path, b"same", &shape(0o644)).unwrap());
        assert_eq!((mode(&target), mode(&path)), (0o600, 0o644));
        assert!(!path.is_symlink());
        // One that leads nowhere.
        let lost = dir.path().join("lost");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &lost).unwrap();
        assert!(write(&lost, b"x", &shape(0o600)).unwrap());
        assert!(lost.symlink_metadata().unwrap().is_file() && !dir.path().join("nowhere").exists());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [pipe.as_path(), &link, dir.path(), Path::new("/dev/null")] {
            let error = write(path, b"x", &Shape::default()).unwrap_err();
            assert!(
                herder_base::chain(&error).to_string().contains("no regular file"),
                "{error}"
            );
        }
    }
}
