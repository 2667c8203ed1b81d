//! Namespaces of a pod that belong to a user namespace of its own. A process has to be in a user namespace for others to
//! belong to it, and one with threads may not enter any: a child is born in them and held until they are opened.

use super::ids::{EACH, Lease};
use nix::sched::CloneFlags;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// How a pod's ids look to the machine.
#[derive(Debug)]
pub(crate) enum Map {
    /// A range of the machine's ids, the pod's alone.
    Own(Lease),
    /// The one id that an ordinary user's cluster has.
    One,
}

impl Map {
    /// The id, as the agent counts, of the pod's root.
    pub(crate) fn first(&self) -> u32 {
        match self {
            Self::Own(lease) => lease.first(),
            Self::One => 0,
        }
    }

    fn lines(&self) -> String {
        match self {
            Self::Own(lease) => format!("0 {} {EACH}", lease.first()),
            Self::One => "0 0 1".to_owned(),
        }
    }
}

/// A pod's user namespace.
#[derive(Debug)]
pub(crate) struct Users {
    /// The namespace.
    pub(crate) fd: OwnedFd,
    /// Its ids.
    pub(crate) map: Map,
}

impl Users {
    /// A user namespace, and namespaces that belong to it, in the order they are asked for.
    pub(crate) fn make(map: Map, others: &[(&str, CloneFlags)]) -> io::Result<(Self, Vec<OwnedFd>)> {
        let flags = others
            .iter()
            .fold(CloneFlags::CLONE_NEWUSER, |all, (_, flag)| all | *flag);
        let held = held::spawn(flags)?;
        let dir = format!("/proc/{}", held.pid);
        fs::write(format!("{dir}/uid_map"), map.lines())?;
        fs::write(format!("{dir}/gid_map"), map.lines())?;
        let open = |kind: &str| File::open(format!("{dir}/ns/{kind}")).map(OwnedFd::from);
        let fds = others
            .iter()
            .map(|(kind, _)| open(kind))
            .collect::<io::Result<Vec<_>>>()?;
        let users = Self {
            fd: open("user")?,
            map,
        };
        // The child ends here, and the agent reaps it like any other.
        drop(held);
        Ok((users, fds))
    }

    /// The path of the namespace, as the container runtime wants it; valid inside the agent's pid namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/1/fd/{}", self.fd.as_raw_fd())
    }
}

mod held {
    //! A child that waits until its parent lets go.
    #![expect(
        unsafe_code,
        reason = "clone has no safe form that takes namespace flags and no stack"
    )]

    use super::{AsRawFd, CloneFlags, OwnedFd, io};
    use nix::fcntl::OFlag;
    use nix::libc;
    use std::ptr;

    /// Ends when dropped: the child sees the pipe close.
    pub(super) struct Held {
        pub(super) pid: i32,
        _line: OwnedFd,
    }

    pub(super) fn spawn(flags: CloneFlags) -> io::Result<Held> {
        let (wait, line) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (wait_fd, line_fd) = (wait.as_raw_fd(), line.as_raw_fd());
        let flags = libc::c_long::from(flags.bits() | libc::SIGCHLD);
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: without CLONE_VM and with a null stack this is a fork: the child runs on a copy of this stack.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
        if pid == 0 {
            let mut byte = 0_u8;
            // SAFETY: in the child only async-signal-safe calls are made, on its own copy of the stack, and it ends in
            // _exit; no destructor of the parent's runs here. It keeps no descriptor but the one it reads: neither the
            // other end of its pipe, so that it ends with the parent at the latest, nor that of another child that is
            // made at the same moment. Two that held each other's would never end, and their pods' networks neither.
            unsafe {
                libc::close(line_fd);
                if wait_fd > 0 {
                    libc::syscall(libc::SYS_close_range, 0, wait_fd - 1, 0);
                }
                libc::syscall(libc::SYS_close_range, wait_fd + 1, libc::c_uint::MAX, 0);
                while libc::read(wait_fd, (&raw mut byte).cast(), 1) < 0
                    && *libc::__errno_location() == libc::EINTR
                {}
                libc::_exit(0)
            }
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Held {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            _line: line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Children of this process that run its own program and have not ended.
    fn children() -> usize {
        let own = fs::read_link("/proc/self/exe").unwrap();
        let parent = format!("\nPPid:\t{}\n", std::process::id());
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            status.contains(&parent)
                && !status.contains("State:\tZ")
                && fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own)
        })
        .count()
    }

    #[test]
    fn children_that_are_made_at_the_same_moment_all_end() {
        if Users::make(Map::One, &[]).is_err() {
            // This machine makes no user namespaces for us.
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..40 {
                        Users::make(Map::One, &[("net", CloneFlags::CLONE_NEWNET)]).unwrap();
                    }
                });
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while children() > 0 {
            assert!(Instant::now() < deadline, "{} children stay", children());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
