//! What libcontainer names of the crate of this name, without what it does: Herder makes no checkpoints, and building the
//! real one, with protobuf and its generator, takes longer than all of the container set-up that is used.
//!
//! A [`Criu`] cannot be made, so nothing of it can be called; whoever asks for a checkpoint is told that there are none.

use std::convert::Infallible;
use std::fmt;
use std::os::fd::RawFd;

/// There are no checkpoints.
#[derive(Debug)]
pub struct NoCheckpoints;

impl fmt::Display for NoCheckpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this build makes no checkpoints of containers")
    }
}

impl std::error::Error for NoCheckpoints {}

/// What a checkpoint does about cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgMode {
    /// Whatever criu does.
    DEFAULT,
}

/// A running criu, of which there is none.
#[derive(Debug)]
pub struct Criu(Infallible);

macro_rules! never {
    ($($name:ident($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        impl Criu {
            $(
                #[doc = "Never called."]
                pub fn $name(&mut self, $(_: $argument),*) $(-> $answer)? {
                    match self.0 {}
                }
            )*
        }
    };
}

never! {
    get_criu_version() -> Result<u32, NoCheckpoints>;
    set_external_mount(String, String);
    add_external(String);
    set_images_dir_fd(RawFd);
    set_work_dir_fd(RawFd);
    set_log_file(String);
    set_log_level(i32);
    set_pid(i32);
    set_leave_running(bool);
    set_ext_unix_sk(bool);
    set_shell_job(bool);
    set_tcp_established(bool);
    set_file_locks(bool);
    set_orphan_pts_master(bool);
    set_manage_cgroups(bool);
    set_root(String);
    cgroups_mode(CgMode);
    set_link_remap(bool);
    dump() -> Result<(), NoCheckpoints>;
}

impl Criu {
    /// There is none.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn new() -> Result<Self, NoCheckpoints> {
        Err(NoCheckpoints)
    }
}

/// A namespace as criu names it, which nobody asks for.
#[must_use]
pub fn criu_ns_to_key(name: &str) -> String {
    name.to_owned()
}
