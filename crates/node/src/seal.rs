//! The last thing a process of a container does before it becomes the container's own program: it gives up what the
//! container shall not have. Runs in freshly forked, single-threaded processes only, the same way for a container's first
//! process and for commands run in it later.

use super::seccomp::Filter;
use caps::{CapSet, Capability, CapsHashSet};
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::get_executor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::str::FromStr;

/// What a process of a container may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rights {
    /// All it has and can ever get, `CAP_…`.
    pub(crate) capabilities: Vec<String>,
    /// No program it starts gets more than it has.
    pub(crate) no_new_privileges: bool,
    /// Its system calls are filtered.
    pub(crate) filtered: bool,
    /// Processes of its user in its user namespace, where there are no control groups to count them.
    pub(crate) processes: Option<u64>,
    /// Bytes of memory of its own per process, where there are no control groups to count them.
    pub(crate) data: Option<u64>,
}

/// Capabilities that a process needs until it is sealed: to install a filter, and to give up the rest.
pub(crate) const TO_SEAL: [&str; 2] = ["CAP_SETPCAP", "CAP_SYS_ADMIN"];

impl Rights {
    /// What the container runtime is told to leave, for `seal` to finish.
    pub(crate) fn until_sealed(&self) -> Vec<String> {
        let mut names = self.capabilities.clone();
        names.extend(TO_SEAL.map(str::to_owned));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Gives up everything else, for good.
    pub(crate) fn seal(&self) -> io::Result<()> {
        for (resource, limit) in [
            (Resource::RLIMIT_NPROC, self.processes),
            (Resource::RLIMIT_DATA, self.data),
        ] {
            if let Some(limit) = limit {
                setrlimit(resource, limit, limit)?;
            }
        }
        let own: CapsHashSet = self
            .capabilities
            .iter()
            .map(|name| Capability::from_str(name).map_err(io::Error::other))
            .collect::<io::Result<_>>()?;
        let bounding = caps::read(None, CapSet::Bounding).map_err(io::Error::other)?;
        for capability in bounding.difference(&own) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(io::Error::other)?;
        }
        if self.no_new_privileges {
            prctl::set_no_new_privs()?;
        }
        if self.filtered {
            Filter::new(&self.capabilities).install()?;
        }
        // After the filter: installing it may need one that goes here. The filter allows the rest of this function.
        caps::clear(None, CapSet::Ambient).map_err(io::Error::other)?;
        // A kernel may lack the newest ones, and a user namespace never has more than its maker gave it.
        let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
        let own: CapsHashSet = own.intersection(&permitted).copied().collect();
        for (set, capabilities) in [
            (CapSet::Inheritable, &CapsHashSet::new()),
            (CapSet::Effective, &own),
            (CapSet::Permitted, &own),
        ] {
            caps::set(None, set, capabilities).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Starts a container's first process, sealed.
#[derive(Clone)]
pub(crate) struct Sealed {
    rights: Rights,
    terminal: bool,
    then: Box<dyn Executor>,
}

impl Sealed {
    /// Seals with `rights`, on a terminal if it shall have one.
    pub(crate) fn new(rights: Rights, terminal: bool) -> Self {
        Self {
            rights,
            terminal,
            then: get_executor(),
        }
    }
}

impl Executor for Sealed {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        if self.terminal {
            super::terminal::take()
                .map_err(|error| ExecutorError::Other(format!("it could not get a terminal: {error}")))?;
        }
        self.rights
            .seal()
            .map_err(|error| ExecutorError::Other(format!("its rights could not be taken away: {error}")))?;
        self.then.exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.then.validate(spec)
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        self.then.setup_envs(envs)
    }
}
