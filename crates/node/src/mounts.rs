//! Mounts as descriptors: what was looked at is what is mounted, whatever happens to its name meanwhile. Owns the few
//! system calls that the standard library and nix have no form for.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A mount that is nowhere yet.
#[derive(Debug)]
pub(crate) struct Detached(OwnedFd);

/// What a mount forbids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forbids {
    /// Writing.
    pub(crate) writing: bool,
    /// Gaining rights by files' set-id bits.
    pub(crate) set_id: bool,
    /// Opening devices.
    pub(crate) devices: bool,
    /// Running programs.
    pub(crate) running: bool,
}

impl Forbids {
    fn bits(self) -> u64 {
        [
            (self.writing, 1),
            (self.set_id, 2),
            (self.devices, 4),
            (self.running, 8),
        ]
        .into_iter()
        .filter_map(|(set, bit)| set.then_some(bit))
        .sum()
    }
}

impl Detached {
    /// A second view of a directory or file in this mount namespace; with `deep`, of what is mounted below as well.
    pub(crate) fn of(path: &Path, deep: bool) -> io::Result<Self> {
        calls::open_tree(&c_path(path)?, deep).map(Self)
    }

    /// Shows files' owners as they are in a user namespace.
    pub(crate) fn map_ids(&self, users: BorrowedFd<'_>, deep: bool) -> io::Result<()> {
        let users = u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?;
        calls::mount_setattr(self.0.as_fd(), 0x0010_0000, users, deep)
    }

    /// Forbids more than before.
    pub(crate) fn forbid(&self, what: Forbids, deep: bool) -> io::Result<()> {
        calls::mount_setattr(self.0.as_fd(), what.bits(), 0, deep)
    }

    /// Attaches it to a place that was opened.
    pub(crate) fn attach(&self, at: BorrowedFd<'_>) -> io::Result<()> {
        calls::move_mount(self.0.as_fd(), at)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Opens a place, to be named by its descriptor; the last part may be a symbolic link to follow.
pub(crate) fn place(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

/// Opens something beneath a directory. Nothing on the way may lead out of it; links that stay within are followed only
/// if `links`.
pub(crate) fn beneath(dir: BorrowedFd<'_>, path: &Path, flags: OFlag, links: bool) -> io::Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if !links {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        match openat2(dir, path, how) {
            // Something was renamed meanwhile, and the kernel could not be sure.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// As `beneath`, for a directory that is made if it is missing; something else that is there is opened as it is.
pub(crate) fn make_beneath(dir: BorrowedFd<'_>, path: &Path, links: bool) -> io::Result<OwnedFd> {
    let mut here = beneath(dir, Path::new("."), OFlag::O_PATH, false)?;
    let mut so_far = std::path::PathBuf::new();
    for part in path.components() {
        let std::path::Component::Normal(name) = part else {
            continue;
        };
        so_far.push(name);
        // From the top each time: a link within may lead to anywhere within.
        let open = || beneath(dir, &so_far, OFlag::O_PATH, links);
        here = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match nix::sys::stat::mkdirat(&here, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(Errno::EEXIST) => open()?,
                    Err(errno) => return Err(errno.into()),
                }
            }
            other => other?,
        };
    }
    Ok(here)
}

/// The name of a descriptor of this process.
pub(crate) fn name_of(fd: &impl AsRawFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Why a mount with mapped ids cannot be had of a place, if it cannot.
pub(crate) fn maps_ids(path: &Path, users: BorrowedFd<'_>) -> io::Result<()> {
    Detached::of(path, false)?.map_ids(users, false)
}

/// Opens a user namespace by a path as the container runtime wants it.
pub(crate) fn users(path: &str) -> io::Result<OwnedFd> {
    Ok(File::open(path)?.into())
}

mod calls {
    //! System calls without a safe form.
    #![expect(unsafe_code, reason = "they take pointers")]

    use super::{AsRawFd, BorrowedFd, CString, OwnedFd, io, libc};
    use std::os::fd::FromRawFd;

    const CLONE: libc::c_uint = 1;
    const RECURSIVE: libc::c_uint = 0x8000;
    const EMPTY_PATH: libc::c_int = 0x1000;

    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        users: u64,
    }

    fn answer(value: libc::c_long) -> io::Result<i32> {
        if value < 0 {
            return Err(io::Error::last_os_error());
        }
        i32::try_from(value).map_err(io::Error::other)
    }

    pub(super) fn open_tree(path: &CString, deep: bool) -> io::Result<OwnedFd> {
        let close = libc::c_uint::try_from(libc::O_CLOEXEC).map_err(io::Error::other)?;
        let flags = CLONE | close | if deep { RECURSIVE } else { 0 };
        // SAFETY: the path ends in a NUL and lives until the call returns.
        let fd = answer(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
        // SAFETY: the kernel has just made this descriptor for this process.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn mount_setattr(mount: BorrowedFd<'_>, set: u64, users: u64, deep: bool) -> io::Result<()> {
        let attributes = Attributes {
            set,
            clear: 0,
            propagation: 0,
            users,
        };
        let recursive = libc::c_int::try_from(RECURSIVE).map_err(io::Error::other)?;
        let flags = EMPTY_PATH | if deep { recursive } else { 0 };
        // SAFETY: the path is an empty string with its NUL, and the structure is the kernel's `mount_attr` of the size
        // that is said; both live until the call returns, and neither is written to.
        let value = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                mount.as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        answer(value).map(drop)
    }

    pub(super) fn move_mount(mount: BorrowedFd<'_>, at: BorrowedFd<'_>) -> io::Result<()> {
        // From and to the descriptors themselves.
        let flags: libc::c_uint = 0x04 | 0x40;
        // SAFETY: both paths are empty strings with their NULs.
        let value = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                mount.as_raw_fd(),
                c"".as_ptr(),
                at.as_raw_fd(),
                c"".as_ptr(),
                flags,
            )
        };
        answer(value).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        symlink("..", dir.path().join("in/up")).unwrap();
        symlink("/etc", dir.path().join("in/etc")).unwrap();
        std::fs::write(dir.path().join("in/file"), "x").unwrap();
        symlink("file", dir.path().join("in/link")).unwrap();
        let root = place(&dir.path().join("in")).unwrap();
        let open = |path: &str, links| beneath(root.as_fd(), Path::new(path), OFlag::O_PATH, links).is_ok();
        for bad in ["../secret", "up/secret", "etc/passwd", "/etc/passwd", "nothing"] {
            assert!(!open(bad, true) && !open(bad, false), "{bad}");
        }
        let make = |path: &str, links| make_beneath(root.as_fd(), Path::new(path), links).is_ok();
        assert!(make("new/er/est", false) && dir.path().join("in/new/er/est").is_dir());
        assert!(make("file", true));
        symlink("new/er", dir.path().join("in/short")).unwrap();
        assert!(make("short/cut", true) && dir.path().join("in/new/er/cut").is_dir());
        assert!(!make("short/cut", false) && !make("up/x", true) && !make("etc/x", true));
        symlink("/tmp/dangling-of-a-test", dir.path().join("in/dangling")).unwrap();
        assert!(!make("dangling/x", true));
        assert!(open("file", false) && open("link", true) && !open("link", false));
    }
}
