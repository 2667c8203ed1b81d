//! Runs a command in a started container: joins its control group and all its namespaces, its user namespace among them,
//! and seals the command as the container's first process was. Must run while the process has one thread.

use super::seal::Rights;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Gid, Uid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process of a container: the first one, or a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Command line, never empty.
    pub(crate) args: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory.
    pub(crate) cwd: String,
    /// User id, as the container counts.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    /// What it may do.
    pub(crate) rights: Rights,
}

/// A command, and where to run it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Enter {
    /// The container's first process.
    pub(crate) first: Process,
    /// The container's control group, if it has one.
    pub(crate) cgroup: Option<String>,
    /// The command.
    pub(crate) command: Command,
}

/// A process that cannot be taken for a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its id in the agent's pid namespace.
    pub(crate) pid: i32,
    /// When it started, in the kernel's ticks.
    pub(crate) started: u64,
}

impl Process {
    /// The process that has this id now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may contain anything.
        let started = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(19)?.parse().ok());
        started
            .map(|started| Self { pid, started })
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as expected")))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl std::str::FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or(());
        let pid = i32::try_from(number()?).map_err(|_| ())?;
        Ok(Self {
            pid,
            started: number()?,
        })
    }
}

fn said(what: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Runs the command; its process id once it has become its own program.
pub(crate) fn run(enter: &Enter, terminal: bool) -> Result<i32, String> {
    // Whoever is in the container must find nothing of this process to take hold of.
    prctl::set_dumpable(false).map_err(|errno| said("the launcher")(errno.into()))?;
    let first = pidfd::open(enter.first.pid).map_err(said("the container has ended"))?;
    if Process::of(enter.first.pid).ok() != Some(enter.first) {
        return Err("the container has ended".to_owned());
    }
    if let Some(cgroup) = &enter.cgroup {
        join_cgroups(cgroup).map_err(said("the container's control group could not be joined"))?;
    }
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let user = |whose: &str| fs::metadata(format!("/proc/{whose}/ns/user")).map(|meta| meta.ino());
    // The kernel refuses to enter a user namespace again.
    let (own, other) = (user("self"), user(&enter.first.pid.to_string()));
    let other = other.map_err(said("the container has ended"))?;
    if own.map_err(said("the launcher"))? != other {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    setns(&first, namespaces)
        .map_err(|errno| said("the container's namespaces could not be joined")(errno.into()))?;
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| said("a pipe")(errno.into()))?;
    match fork::fork().map_err(said("a process could not be started"))? {
        ForkResult::Child => {
            // From here on names are the container's to choose: nothing that it could name leads to the machine.
            let write = fork::keep_only(write);
            let why = become_command(&enter.command, terminal);
            // Without it the launcher takes the command for started; its exit code then says that it was not.
            if let Ok(write) = write {
                _ = File::from(write).write_all(why.as_bytes());
            }
            fork::end();
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut why = String::new();
            File::from(read)
                .read_to_string(&mut why)
                .map_err(said("the command"))?;
            if why.is_empty() {
                Ok(child.as_raw())
            } else {
                Err(why)
            }
        }
    }
}

/// Every hierarchy that has the group.
fn join_cgroups(group: &str) -> io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_path_buf()];
    // Several names may lead to one hierarchy.
    hierarchies.extend(fs::read_dir(root)?.flatten().map(|entry| entry.path()));
    let mut joined = BTreeSet::new();
    for hierarchy in hierarchies {
        let procs = hierarchy.join(group).join("cgroup.procs");
        if let Ok(real) = procs.canonicalize()
            && joined.insert(real)
        {
            fs::write(&procs, std::process::id().to_string())?;
        }
    }
    Ok(())
}

/// Only returns if it could not: why.
fn become_command(command: &Command, terminal: bool) -> String {
    match try_become(command, terminal) {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

fn try_become(command: &Command, terminal: bool) -> Result<std::convert::Infallible, String> {
    let errno = |what: &'static str| move |errno: Errno| format!("{what}: {errno}");
    nix::unistd::setsid().map_err(errno("a session"))?;
    let (uid, gid) = (Uid::from_raw(command.uid), Gid::from_raw(command.gid));
    go_to(Path::new(&command.cwd)).map_err(said("the working directory"))?;
    let groups: Vec<Gid> = command.groups.iter().copied().map(Gid::from_raw).collect();
    // Where groups cannot be set there are none to lose.
    if fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "allow") {
        nix::unistd::setgroups(&groups).map_err(errno("its groups"))?;
    }
    prctl::set_keepcaps(true).map_err(errno("its capabilities"))?;
    nix::unistd::setresgid(gid, gid, gid).map_err(errno("its group"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(errno("its user"))?;
    let permitted = caps::read(None, caps::CapSet::Permitted).map_err(|error| error.to_string())?;
    caps::set(None, caps::CapSet::Effective, &permitted).map_err(|error| error.to_string())?;

    let text = |text: &str| CString::new(text).map_err(|_| format!("{text:?} contains a NUL"));
    let name = command.args.first().map(String::as_str).unwrap_or_default();
    let program = text(&find(name, command).to_string_lossy())?;
    let args = command
        .args
        .iter()
        .map(|arg| text(arg))
        .collect::<Result<Vec<CString>, String>>()?;
    let mut env = command
        .env
        .iter()
        .map(|(name, value)| text(&format!("{name}={value}")))
        .collect::<Result<Vec<CString>, String>>()?;
    if !command.env.iter().any(|(name, _)| name == "HOME") {
        env.push(text(if command.uid == 0 { "HOME=/root" } else { "HOME=/" })?);
    }
    if terminal {
        super::terminal::take().map_err(said("its terminal"))?;
    }
    fork::close_at_exec().map_err(said("its descriptors"))?;
    command
        .rights
        .seal()
        .map_err(|error| format!("its rights could not be taken away: {error}"))?;
    nix::unistd::execve(&program, &args, &env).map_err(|errno| {
        if errno == Errno::ENOENT {
            format!("executable '{name}' not found in $PATH")
        } else {
            format!("executable '{name}': {errno}")
        }
    })
}

/// Goes to a directory of the container's. What is there is the container's to choose, also while this runs: no link of
/// the kernel's own is followed (CVE-2024-21626), nothing leads out of the root, and where we came to has a name in it.
fn go_to(dir: &Path) -> io::Result<()> {
    let root = nix::fcntl::open(
        "/",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let found = loop {
        match openat2(&root, dir, how) {
            // Something was renamed meanwhile, and the kernel could not be sure.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => break other?,
        }
    };
    nix::unistd::fchdir(&found)?;
    if nix::unistd::getcwd()?.is_absolute() {
        Ok(())
    } else {
        Err(io::Error::other("it is not in the container"))
    }
}

/// As a shell would look for it.
fn find(name: &str, command: &Command) -> PathBuf {
    let path = command.env.iter().find(|(key, _)| key == "PATH");
    if !name.contains('/')
        && let Some((_, path)) = path
        && let Some(found) = path
            .split(':')
            .map(|dir| Path::new(dir).join(name))
            .find(|p| p.is_file())
    {
        return found;
    }
    PathBuf::from(name)
}

mod pidfd {
    //! Process descriptors.
    #![expect(unsafe_code, reason = "pidfd_open has no safe form")]

    use super::{OwnedFd, io};
    use nix::libc;
    use std::os::fd::FromRawFd;

    pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for this process; it is close-on-exec.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

mod fork {
    //! Forks; the child must not run what the parent prepared for its own end.
    #![expect(unsafe_code, reason = "fork and _exit have no safe form")]

    use super::{ForkResult, OwnedFd, io};
    use nix::libc;
    use std::os::fd::{FromRawFd, IntoRawFd};

    /// The first descriptor after the standard streams.
    const FIRST: libc::c_int = 3;

    /// Closes every descriptor but the standard streams and this one, which moves. For a forked child that never runs what
    /// its parent prepared: whoever held one of them in the parent holds it there still.
    pub(super) fn keep_only(kept: OwnedFd) -> io::Result<OwnedFd> {
        let kept = kept.into_raw_fd();
        if kept != FIRST {
            // SAFETY: takes no pointers; what was open under that number is the parent's, whose own copy stays.
            let moved = unsafe { libc::dup3(kept, FIRST, libc::O_CLOEXEC) };
            if moved < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: takes no pointers; nothing of this process uses the descriptors after the fork.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST + 1, libc::c_uint::MAX, 0) };
        if closed != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and only this value has it.
        Ok(unsafe { OwnedFd::from_raw_fd(FIRST) })
    }

    pub(super) fn fork() -> io::Result<ForkResult> {
        // SAFETY: the launcher has one thread, so the child may do whatever the parent could.
        unsafe { nix::unistd::fork() }.map_err(io::Error::from)
    }

    /// Only the standard streams are the command's.
    pub(super) fn close_at_exec() -> io::Result<()> {
        // SAFETY: takes no pointers; marks descriptors, closes none.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if answer == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    pub(super) fn end() -> ! {
        // SAFETY: ends this process at once; nothing of the parent's is flushed or dropped twice.
        unsafe { libc::_exit(127) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_known_by_their_start() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.started > 0);
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!("1".parse::<Process>().is_err());
    }
}
