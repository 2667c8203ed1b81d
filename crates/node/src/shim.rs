//! The launcher: `herder internal shim`. Assembles a container's root in a mount namespace of its own, has the runtime
//! start the container, and ends; the container is then the agent's child.

use super::devices;
use super::enter::{self, Process};
use super::launch::{Job, Start, Task};
use super::root;
use super::seal::Sealed;
use herder_base::chain;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::dup;
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
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
    #[error("its pod's namespaces could not be joined")]
    Namespaces(#[source] io::Error),
    #[error("its root could not be assembled")]
    Root(#[source] root::RootError),
    #[error("the container runtime refused")]
    Runtime(#[source] LibcontainerError),
    #[error("its standard streams could not be set up")]
    Streams(#[source] io::Error),
    #[error("the machine's devices could not be closed to it")]
    Devices(#[source] io::Error),
    #[error("{0}")]
    Entered(String),
    #[error("it ended at once")]
    Ended(#[source] io::Error),
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
    // Opened now: a launcher that has entered a container does not see the directory any more.
    let report = match File::open(&job.bundle) {
        Ok(dir) => dir,
        Err(error) => {
            tracing::error!(%error, "the launcher's report");
            return ExitCode::FAILURE;
        }
    };
    match run(&job) {
        Ok(process) => match write_to(&report, "pid", &process.to_string()) {
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
            _ = write_to(&report, "error", &text);
            ExitCode::FAILURE
        }
    }
}

fn write_to(dir: &File, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut file = File::from(nix::fcntl::openat(
        dir,
        name,
        flags,
        Mode::from_bits_truncate(0o600),
    )?);
    file.write_all(text.as_bytes())
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

fn run(job: &Job) -> Result<Process, ShimError> {
    signals::default_pipe();
    // A session of its own: no signal meant for the agent's group reaches the container.
    nix::unistd::setsid().map_err(|errno| ShimError::Streams(errno.into()))?;
    // Opened here: what the agent has opened cannot be found from a container.
    let input = File::open(job.input.as_deref().unwrap_or(Path::new("/dev/null")));
    let input = input.map_err(ShimError::Streams)?;
    match &job.task {
        Task::Start(start) => begin(job, start, input),
        Task::Enter(what) => {
            nix::unistd::dup2_stdin(input).map_err(|errno| ShimError::Streams(errno.into()))?;
            let pid = enter::run(what, job.terminal).map_err(ShimError::Entered)?;
            // Unreaped, so it is there. This process is in the namespaces of the container by now, where it has
            // another number: only the number matters for a command.
            Ok(Process { pid, started: 0 })
        }
    }
}

fn begin(job: &Job, start: &Start, input: File) -> Result<Process, ShimError> {
    let errno = |errno: nix::errno::Errno| ShimError::Streams(errno.into());
    // Before this process leaves the agent's mount namespace: what the agent has opened belongs to that.
    let views = root::views(&start.root).map_err(ShimError::Root)?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| ShimError::Namespace(errno.into()))?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(|errno| ShimError::Namespace(errno.into()))?;
    root::assemble(&start.root, views).map_err(ShimError::Root)?;
    for path in &start.join {
        let namespace = File::open(path).map_err(ShimError::Namespaces)?;
        setns(namespace, CloneFlags::empty()).map_err(|errno| ShimError::Namespaces(errno.into()))?;
    }
    let mut container = ContainerBuilder::new(job.id.clone(), SyscallType::default())
        .with_root_path(&job.state)
        .and_then(ContainerBuilder::validate_id)
        .map_err(ShimError::Runtime)?
        .with_executor(Sealed::new(start.rights.clone(), job.terminal))
        .with_stdin(input)
        .with_stdout(dup(io::stdout()).map_err(errno)?)
        .with_stderr(dup(io::stderr()).map_err(errno)?)
        .as_init(&job.bundle)
        .with_systemd(false)
        .with_detach(true)
        .build()
        .map_err(ShimError::Runtime)?;
    if let Some(cgroup) = &start.devices {
        devices::close(cgroup).map_err(ShimError::Devices)?;
    }
    let pid = container.pid().map(|pid| pid.as_raw());
    let pid = pid.ok_or(ShimError::Runtime(LibcontainerError::NoDirectory))?;
    // It waits to be started, so it is the one that was just made.
    let process = Process::of(pid).map_err(ShimError::Ended)?;
    container.start().map_err(ShimError::Runtime)?;
    Ok(process)
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
