//! A program under way: whom signals reach, and ending it for certain.
//!
//! One text is a shell's, which may start others: it runs in a process group of its own, and signals go to all of it.

use super::command::{CommandError, environment, program};
use super::settings::Exec;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Whom signals go to, for those who do not hold the program itself: a process, a group as a negative number, or zero
/// for nobody.
#[derive(Debug, Clone, Default)]
pub(super) struct Handle(Arc<AtomicI32>);

impl Handle {
    /// Passes a signal on. Says whether there was somebody to get it.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        match self.0.load(Ordering::SeqCst) {
            0 => false,
            target => kill(Pid::from_raw(target), signal).is_ok(),
        }
    }

    fn set(&self, target: i32) {
        self.0.store(target, Ordering::SeqCst);
    }
}

/// The program. Dropped, it is killed, with its group.
#[derive(Debug)]
pub(super) struct Process {
    child: tokio::process::Child,
    group: Option<i32>,
    handle: Handle,
}

impl Process {
    /// Starts a command; nothing for no words.
    pub(super) fn start(words: &[String], exec: &Exec, handle: Handle) -> Result<Option<Self>, CommandError> {
        let Some(mut command) = program(words) else {
            return Ok(None);
        };
        command.env_clear().envs(environment(exec)).kill_on_drop(true);
        let grouped = words.len() == 1;
        if grouped {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|source| CommandError::Start {
            command: words.join(" "),
            source,
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let group = pid.filter(|_| grouped);
        handle.set(group.map(|group| -group).or(pid).unwrap_or(0));
        Ok(Some(Self { child, group, handle }))
    }

    /// Waits until it ends by itself; what it left behind is let be. May be dropped and called again.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // Its number may be another's from now on.
        self.handle.set(0);
        status
    }

    /// Ends it and its group: with a signal first, then for certain.
    pub(super) async fn end(&mut self, signal: Signal, limit: Duration) {
        self.handle.signal(signal);
        let ended = tokio::time::timeout_at(Instant::now() + limit, async {
            self.gone().await;
        });
        if ended.await.is_err() {
            self.handle.signal(Signal::SIGKILL);
            // Killed is soon gone; but who waits for the orphans is not for us to say.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.gone()).await;
        }
        self.handle.set(0);
    }

    /// Waits until neither it nor anything of its group is left.
    async fn gone(&mut self) {
        let _ = self.child.wait().await;
        if self.group.is_none() {
            self.handle.set(0);
        }
        while self.group.is_some_and(lives) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.handle.signal(Signal::SIGKILL);
        self.handle.set(0);
    }
}

/// Whether somebody is left in a group whose first process has been waited for.
fn lives(group: i32) -> bool {
    let group = Pid::from_raw(-group);
    // Where this is process 1, orphans are its own, and count until they are waited for.
    while waitpid(group, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    kill(group, None).is_ok()
}
