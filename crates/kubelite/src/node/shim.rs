//! The launcher: `herder internal shim`. Assembles a container's root in a mount namespace of its own, has the runtime
//! start the container, and ends; the container is then the agent's child.

use super::launch::{Job, Task};
use super::root;
use herder_base::chain;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::dup;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use thiserror::Error as ThisError;
use tracing_subscriber::filter::LevelFilter;

/// Why a container or a command could not be started.
#[derive(Debug, ThisError)]
enum ShimError {
    #[error("its job could not be read")]
    Job(#[source] io::Error),
    #[error("its mounts could not be made private")]
    Namespace(#[source] io::Error),
    #[error("its root could not be assembled")]
    Root(#[source] root::RootError),
    #[error("the container runtime refused")]
    Runtime(#[source] LibcontainerError),
    #[error("its standard streams could not be set up")]
    Streams(#[source] io::Error),
}

/// Runs the job on standard input.
pub(crate) fn main(_args: &[OsString]) -> ExitCode {
    let job = match read_job() {
        Ok(job) => job,
        Err(error) => {
            tracing::error!(error = %chain(&error), "the launcher");
            return ExitCode::FAILURE;
        }
    };
    let log = job.bundle.join("launcher.log");
    if let Ok(file) = File::create(&log) {
        // A second subscriber is refused, and harmless.
        _ = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::ERROR)
            .with_writer(Mutex::new(file))
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_level(false)
            .try_init();
    }
    match run(&job) {
        Ok(pid) => match fs::write(job.bundle.join("pid"), pid.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let mut text = describe(&error);
            // The runtime's errors are terse; what it knew is in its log.
            let details = fs::read_to_string(&log).unwrap_or_default();
            if let (true, Some(first)) = (matches!(error, ShimError::Runtime(_)), details.lines().next()) {
                text = format!("{text} ({})", first.trim());
            }
            // Without it the agent says that the launcher was silent.
            _ = fs::write(job.bundle.join("error"), text);
            ExitCode::FAILURE
        }
    }
}

fn describe(error: &ShimError) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // The runtime's errors repeat their sources.
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

fn read_job() -> Result<Job, ShimError> {
    let mut body = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut body)
        .map_err(ShimError::Job)?;
    nix::unistd::dup2_stdin(File::open("/dev/null").map_err(ShimError::Job)?)
        .map_err(|errno| ShimError::Job(errno.into()))?;
    serde_json::from_slice(&body).map_err(|error| ShimError::Job(error.into()))
}

fn run(job: &Job) -> Result<i32, ShimError> {
    signals::default_pipe();
    let errno = |errno: nix::errno::Errno| ShimError::Streams(errno.into());
    // A session of its own: no signal meant for the agent's group reaches the container.
    nix::unistd::setsid().map_err(errno)?;
    let null = File::open("/dev/null").map_err(ShimError::Streams)?;
    let builder = ContainerBuilder::new(job.id.clone(), SyscallType::default())
        .with_root_path(&job.state)
        .and_then(ContainerBuilder::validate_id)
        .map_err(ShimError::Runtime)?
        .with_stdin(null)
        .with_stdout(dup(io::stdout()).map_err(errno)?)
        .with_stderr(dup(io::stderr()).map_err(errno)?);
    match &job.task {
        Task::Start(plan) => {
            unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| ShimError::Namespace(errno.into()))?;
            mount(
                None::<&str>,
                "/",
                None::<&str>,
                MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                None::<&str>,
            )
            .map_err(|errno| ShimError::Namespace(errno.into()))?;
            root::assemble(plan).map_err(ShimError::Root)?;
            let mut container = builder
                .as_init(&job.bundle)
                .with_systemd(false)
                .with_detach(true)
                .build()
                .map_err(ShimError::Runtime)?;
            container.start().map_err(ShimError::Runtime)?;
            let pid = container.pid().map(|pid| pid.as_raw());
            pid.ok_or(ShimError::Runtime(LibcontainerError::NoDirectory))
        }
        Task::Exec { process } => {
            let pid = builder
                .as_tenant()
                .with_detach(false)
                .with_process(Some(process))
                .build()
                .map_err(ShimError::Runtime)?;
            forget_sockets(&job.state.join(&job.id));
            Ok(pid.as_raw())
        }
    }
}

/// The runtime leaves a socket behind for every command.
fn forget_sockets(state: &Path) {
    let Ok(entries) = fs::read_dir(state) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tenant-") {
            // Another launcher may have been quicker.
            _ = fs::remove_file(entry.path());
        }
    }
}

mod signals {
    //! The signal disposition a container should inherit.
    #![expect(unsafe_code, reason = "signal dispositions have no safe setter")]

    use nix::sys::signal::{SigHandler, Signal, signal};

    /// Rust programs ignore SIGPIPE; shells and their pipelines must not inherit that.
    pub(super) fn default_pipe() {
        // SAFETY: the default action is no handler of ours, so nothing can run at a bad moment.
        let changed = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
        if let Err(errno) = changed {
            tracing::error!(%errno, "SIGPIPE stays ignored");
        }
    }
}
