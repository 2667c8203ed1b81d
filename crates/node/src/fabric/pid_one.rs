//! Starts a program as pid 1 of a new pid and mount namespace: the one place of the fabric that clones.
#![expect(
    unsafe_code,
    reason = "clone, and exec in the child, have no safe form that takes namespace flags"
)]

use nix::libc;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// A started process.
#[derive(Debug)]
pub(super) struct PidOne {
    /// Its id as this process sees it.
    pub(super) pid: i32,
    /// Readable when it has ended.
    pub(super) pidfd: OwnedFd,
}

/// Runs `exe args…` as pid 1 of new pid and mount namespaces with the given standard streams.
pub(super) fn spawn(exe: &OsStr, args: &[&OsStr], stdin: &OwnedFd, log: &OwnedFd) -> io::Result<PidOne> {
    let exe = CString::new(exe.as_bytes())?;
    let mut argv = vec![exe.clone()];
    for arg in args {
        argv.push(CString::new(arg.as_bytes())?);
    }
    let mut envp = Vec::new();
    for (name, value) in std::env::vars_os() {
        envp.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
    }
    let argv: Vec<*const libc::c_char> = argv.iter().map(|arg| arg.as_ptr()).chain([ptr::null()]).collect();
    let envp: Vec<*const libc::c_char> = envp.iter().map(|var| var.as_ptr()).chain([ptr::null()]).collect();
    let (stdin, log) = (stdin.as_raw_fd(), log.as_raw_fd());
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: RawFd = -1;

    // SAFETY: without CLONE_VM and with a null stack this is a fork: the child runs on a copy of this stack. The
    // only pointer the kernel writes through is `pidfd`, which lives until the call returns.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            ptr::null_mut::<libc::c_void>(),
            &raw mut pidfd,
            ptr::null_mut::<libc::c_void>(),
            ptr::null_mut::<libc::c_void>(),
        )
    };
    if pid == 0 {
        // SAFETY: in the child only async-signal-safe calls are made, on memory prepared before the clone, and it
        // ends in exec or _exit; no destructor of the parent's runs here.
        unsafe {
            if libc::dup2(stdin, 0) >= 0 && libc::dup2(log, 1) >= 0 && libc::dup2(log, 2) >= 0 {
                libc::execve(exe.as_ptr(), argv.as_ptr(), envp.as_ptr());
            }
            libc::_exit(127)
        }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for this process; it is close-on-exec.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(PidOne {
        pid: i32::try_from(pid).map_err(io::Error::other)?,
        pidfd,
    })
}
