//! Enters the namespaces the cluster lives in. Must run while the process has one thread.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid, getppid};
use std::{fs, io};
use thiserror::Error;

/// What the cluster may do on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Root: control groups, any user id, machine files with their owners.
    Root,
    /// An ordinary user in a user namespace that maps only that user.
    User,
}

/// Why a namespace could not be entered.
#[derive(Debug, Error)]
pub(crate) enum NamespaceError {
    /// The kernel refused.
    #[error("{what}{remedy}")]
    Refused {
        /// The step.
        what: &'static str,
        /// What to do, or nothing.
        remedy: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

const NO_USER_NAMESPACE: &str = " (ordinary users need unprivileged user namespaces: as root, set \
    `sysctl kernel.unprivileged_userns_clone=1`, `sysctl user.max_user_namespaces=15000` and, on Ubuntu, \
    `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; or run Herder as root)";

fn refused(what: &'static str) -> impl Fn(Errno) -> NamespaceError {
    move |errno| NamespaceError::Refused {
        what,
        remedy: "",
        source: errno.into(),
    }
}

/// Leaves the machine's network for one of the cluster's own; an ordinary user leaves the user namespace as well.
pub(crate) fn enter() -> Result<Rights, NamespaceError> {
    let (uid, gid) = (geteuid(), getegid());
    let network = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let rights = if uid.is_root() && unshare(network).is_ok() {
        Rights::Root
    } else {
        Rights::User
    };
    if rights == Rights::User {
        let user = network | CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWCGROUP;
        unshare(user).map_err(|errno| NamespaceError::Refused {
            what: "a user namespace could not be made",
            remedy: NO_USER_NAMESPACE,
            source: errno.into(),
        })?;
        let write = |what, path, text: String| {
            fs::write(path, text).map_err(|source| NamespaceError::Refused {
                what,
                remedy: "",
                source,
            })
        };
        write(
            "the user id could not be mapped",
            "/proc/self/uid_map",
            format!("0 {uid} 1"),
        )?;
        write(
            "supplementary groups could not be given up",
            "/proc/self/setgroups",
            "deny".to_owned(),
        )?;
        write(
            "the group id could not be mapped",
            "/proc/self/gid_map",
            format!("0 {gid} 1"),
        )?;
    }
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .map_err(refused("mounts could not be made private"))?;
    if rights == Rights::User {
        // The container runtime looks here to learn which control groups there are; an ordinary user gets none,
        // and an empty unified tree makes it carry on without.
        if let Err(errno) = mount(
            Some("none"),
            "/sys/fs/cgroup",
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        ) {
            tracing::warn!(%errno, "the control group tree could not be replaced; containers may fail to start");
        }
    }
    Ok(rights)
}

/// Ends this process when its parent does. To be called after credentials changed (that resets it); `parent` closes
/// the race with a parent that is gone already.
pub(crate) fn die_with_parent(parent: Option<nix::unistd::Pid>) -> Result<(), NamespaceError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(refused("the parent could not be watched"))?;
    if parent.is_some_and(|parent| parent != getppid()) {
        return Err(refused("the parent has ended")(Errno::ESRCH));
    }
    Ok(())
}
