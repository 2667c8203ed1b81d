//! A terminal of a container: made inside it by the process that is about to become its program, so that it is one of the
//! container's own and belongs to the container's user. The master goes to whoever holds the other end of standard output.

use crate::fabric::ancillary;
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where a container's terminals are made.
const MAKER: &str = "/dev/pts/ptmx";

/// Makes a terminal, sends its master over standard output, which must be a socket, and takes it for all three streams.
/// For freshly forked processes only.
pub(crate) fn take() -> io::Result<()> {
    // One that leads a session already is refused, and has what it wants.
    _ = nix::unistd::setsid();
    let master = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(MAKER)?;
    // Whatever else the container may have put there is no terminal's master, and is refused here.
    let peer = ask::peer(&master)?;
    ancillary::send(io::stdout().as_fd(), b"terminal", &[master.as_raw_fd()])?;
    ask::control(&peer)?;
    nix::unistd::dup2_stdin(&peer)?;
    nix::unistd::dup2_stdout(&peer)?;
    nix::unistd::dup2_stderr(&peer)?;
    Ok(())
}

/// Tells a terminal how large its window is, by its master.
pub fn resize(master: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    ask::resize(master.as_fd(), columns, rows)
}

mod ask {
    //! What terminals are asked.
    #![expect(unsafe_code, reason = "ioctls have no safe form")]

    use super::{AsRawFd, io, libc};
    use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

    fn done(answer: libc::c_int) -> io::Result<libc::c_int> {
        if answer < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(answer)
        }
    }

    /// The other end of a master, without looking anything up.
    pub(super) fn peer(master: &impl AsRawFd) -> io::Result<OwnedFd> {
        let locked: libc::c_int = 0;
        // SAFETY: the kernel reads one int.
        done(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: takes no pointers.
        let fd = done(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
        // SAFETY: the kernel has just made this descriptor for this process.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Makes it the session's.
    pub(super) fn control(peer: &impl AsRawFd) -> io::Result<()> {
        // SAFETY: takes no pointers.
        done(unsafe { libc::ioctl(peer.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
    }

    pub(super) fn resize(master: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the kernel reads one winsize.
        done(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
    }
}
