//! The folder a layer is unpacked into. Everything is named by an open folder and a last part: links that came before
//! are followed as if this folder were `/`, never out of it, and the last part itself is never followed.

use crate::tar::Entry;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of one attribute at most, and how many an entry may have.
const ATTRIBUTE: usize = 64 << 10;
const ATTRIBUTES: usize = 64;

pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[derive(Debug)]
pub(super) struct Place {
    root: OwnedFd,
    /// Files belong to whom the layer says, which only root can do; else to whoever unpacks.
    owners: bool,
    /// The folder of the entry before: most entries are in the same.
    last: Option<(PathBuf, OwnedFd)>,
    /// Modes and times of folders, set when nothing is put into them any more.
    folders: Vec<(PathBuf, u32, i64)>,
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}

/// Whether there is more than one id to give files to; root in an ordinary user's namespace has one.
fn many_ids() -> bool {
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ids = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    ids.fold(0, u64::saturating_add) > 1
}

impl Place {
    pub(super) fn open(into: &Path) -> io::Result<Self> {
        let root = File::open(into)?;
        if !root.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Self {
            root: root.into(),
            owners: rustix::process::geteuid().is_root() && many_ids(),
            last: None,
            folders: Vec::new(),
        })
    }

    fn find(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        loop {
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                // Something was renamed meanwhile, and the kernel could not be sure.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Opens a folder; those that are missing on the way are made.
    fn parent(&mut self, path: &Path) -> io::Result<OwnedFd> {
        if let Some((known, fd)) = &self.last
            && known == path
        {
            return fd.try_clone();
        }
        let found = match self.find(path) {
            Err(Errno::NOENT) => self.make(path)?,
            other => other?,
        };
        self.last = Some((path.to_owned(), found.try_clone()?));
        Ok(found)
    }

    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut here = self.find(Path::new(""))?;
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            // From the top each time: a link on the way leads to somewhere else within.
            here = match self.find(&so_far) {
                Err(Errno::NOENT) => {
                    let name: &Path = part.as_ref();
                    match mkdirat(&here, name, Mode::from_raw_mode(0o755)) {
                        // A whiteout, or a link that leads to nothing.
                        Err(Errno::EXIST) => return Err(Errno::NOTDIR.into()),
                        other => other?,
                    }
                    self.find(&so_far)?
                }
                other => other?,
            };
        }
        Ok(here)
    }

    /// Makes room for an entry: what had its name before goes, unless it is a folder with something in it.
    fn clear(&mut self, parent: &OwnedFd, name: &Path) -> io::Result<()> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => unlinkat(parent, name, AtFlags::REMOVEDIR)?,
            other => other?,
        }
        // It may have been a link on the way to where the last entry went.
        self.last = None;
        Ok(())
    }

    fn own(&self, file: impl AsFd, entry: &Entry) -> io::Result<()> {
        if self.owners {
            let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            fchown(file, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Attributes that mean something to programs; none that mean something to overlays or to this machine.
    fn attributes(&self, file: impl AsFd, entry: &Entry) -> io::Result<()> {
        let file = file.as_fd();
        if entry.xattrs.len() > ATTRIBUTES {
            return Err(io::Error::other("it has too many attributes"));
        }
        for (name, value) in &entry.xattrs {
            let users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
            let rights = self.owners && name == b"security.capability";
            if !(users || rights) || name.contains(&0) {
                continue;
            }
            if value.len() > ATTRIBUTE {
                return Err(io::Error::other("it has an attribute that is too long"));
            }
            match fsetxattr(file, os(name), value, XattrFlags::empty()) {
                // Not every file system has them, and no image depends on users' ones.
                Err(Errno::OPNOTSUPP) if users => {}
                other => other?,
            }
        }
        Ok(())
    }

    pub(super) fn root(&mut self, entry: &Entry) -> io::Result<()> {
        self.own(&self.root, entry)?;
        self.folders.push((PathBuf::new(), entry.mode, entry.mtime));
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &Entry,
        contents: &mut impl Read,
    ) -> io::Result<()> {
        let parent = self.parent(parent)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = match openat(&parent, name, flags, mode) {
            Err(Errno::EXIST) => {
                self.clear(&parent, name)?;
                openat(&parent, name, flags, mode)?
            }
            other => other?,
        };
        let mut file = File::from(file);
        copy(contents, &mut file, entry.size)?;
        self.own(&file, entry)?;
        // After the owner: a change of owner takes set-id bits and capabilities away.
        fchmod(&file, Mode::from_raw_mode(entry.mode))?;
        self.attributes(&file, entry)?;
        Ok(futimens(&file, &times(entry.mtime))?)
    }

    pub(super) fn folder(&mut self, parent: &Path, name: &Path, entry: &Entry) -> io::Result<()> {
        let path = parent.join(name);
        let parent = self.parent(parent)?;
        let mut hides = false;
        // Usable by whoever unpacks until the end.
        let mode = Mode::from_raw_mode(0o700);
        match mkdirat(&parent, name, mode) {
            Err(Errno::EXIST) => {
                let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(stat.st_mode);
                if kind != FileType::Directory {
                    hides = kind == FileType::CharacterDevice;
                    self.clear(&parent, name)?;
                    mkdirat(&parent, name, mode)?;
                }
            }
            other => other?,
        }
        let folder = self.inner(&parent, name)?;
        self.own(&folder, entry)?;
        self.attributes(&folder, entry)?;
        if hides {
            self.opaque(&folder)?;
        }
        self.folders.push((path, entry.mode, entry.mtime));
        Ok(())
    }

    fn inner(&self, parent: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(parent, name, flags, Mode::empty())?)
    }

    pub(super) fn fifo(&mut self, parent: &Path, name: &Path, entry: &Entry) -> io::Result<()> {
        let parent = self.parent(parent)?;
        self.clear(&parent, name)?;
        mknodat(
            &parent,
            name,
            FileType::Fifo,
            Mode::from_raw_mode(entry.mode & 0o777),
            0,
        )?;
        self.named(&parent, name, entry)
    }

    pub(super) fn symlink(&mut self, parent: &Path, name: &Path, entry: &Entry) -> io::Result<()> {
        let parent = self.parent(parent)?;
        self.clear(&parent, name)?;
        symlinkat(os(&entry.link), &parent, name)?;
        self.named(&parent, name, entry)
    }

    /// Owner and time of what cannot be opened.
    fn named(&self, parent: &OwnedFd, name: &Path, entry: &Entry) -> io::Result<()> {
        if self.owners {
            let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(utimensat(
            parent,
            name,
            &times(entry.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    pub(super) fn hard_link(&mut self, parent: &Path, name: &Path, target: &Path) -> io::Result<()> {
        let missing = || io::Error::other("it is a link to a file that is not in the layer");
        let (Some(of), Some(file)) = (target.parent(), target.file_name()) else {
            return Err(missing());
        };
        let from = self.find(of).map_err(|_| missing())?;
        let stat = statat(&from, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink | FileType::Fifo => {}
            _ => return Err(io::Error::other("it is a link to something that is no file")),
        }
        let to = self.parent(parent)?;
        match linkat(&from, file, &to, name, AtFlags::empty()) {
            Err(Errno::EXIST) => {
                let there = statat(&to, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) {
                    return Ok(());
                }
                self.clear(&to, name)?;
                Ok(linkat(&from, file, &to, name, AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    /// Takes a file of lower layers away.
    pub(super) fn hide(&mut self, parent: &Path, name: &Path) -> io::Result<()> {
        let parent = self.parent(parent)?;
        match mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            // It is only about lower layers: what this one has stays, and a folder hides what it had.
            Err(Errno::EXIST) => {
                let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    let folder = self.inner(&parent, name)?;
                    self.opaque(&folder)?;
                }
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Hides everything that lower layers have in a folder.
    pub(super) fn hide_all(&mut self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() {
            return self.opaque(&self.root);
        }
        let found = self.parent(folder)?;
        let folder = self.inner(&found, Path::new("."))?;
        self.opaque(&folder)
    }

    fn opaque(&self, folder: &OwnedFd) -> io::Result<()> {
        // Overlays that root mounts look for the one, those of an ordinary user for the other.
        fsetxattr(folder, "user.overlay.opaque", b"y", XattrFlags::empty())?;
        if self.owners {
            match fsetxattr(folder, "trusted.overlay.opaque", b"y", XattrFlags::empty()) {
                // Root in a user namespace: its overlays look for the other one.
                Err(Errno::PERM) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Modes and times of folders, the inner ones first.
    pub(super) fn finish(self) -> io::Result<()> {
        for (path, mode, mtime) in self.folders.iter().rev() {
            // One that became something else meanwhile has been seen again.
            let Ok(found) = self.find(path) else { continue };
            let Ok(folder) = self.inner(&found, Path::new(".")) else {
                continue;
            };
            // An ordinary user's must stay removable.
            let mode = if self.owners { *mode } else { *mode | 0o700 };
            fchmod(&folder, Mode::from_raw_mode(mode))?;
            futimens(&folder, &times(*mtime))?;
        }
        Ok(())
    }
}

/// Exactly so many bytes; their absence is the reader's to complain about.
fn copy(from: &mut impl Read, to: &mut File, size: u64) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let count = match from.read(part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(part.get(..count).unwrap_or_default())?;
        left = left.saturating_sub(u64::try_from(count).unwrap_or(left));
    }
    Ok(())
}
