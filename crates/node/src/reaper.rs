//! Waits for every child of pid 1: launchers, containers that outlived their launcher, orphans of either.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended: its code, or 128 plus the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// As a shell would say it.
    pub(crate) code: i32,
    /// The signal, if one ended it.
    pub(crate) signal: Option<i32>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    /// Ends of processes nobody waits for yet, kept while some launch is under way.
    unclaimed: HashMap<i32, Exit>,
    launches: usize,
}

/// The children of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reaper(Arc<Mutex<Table>>);

/// While one exists, ends of unknown processes are remembered.
#[derive(Debug)]
pub(crate) struct Launching(Reaper);

impl Drop for Launching {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.launches = table.launches.saturating_sub(1);
        if table.launches == 0 {
            table.unclaimed.clear();
        }
    }
}

/// A process that is killed if whoever waits for it gives up.
#[derive(Debug)]
pub(crate) struct Leashed {
    reaper: Reaper,
    pid: i32,
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.reaper.kill(self.pid);
    }
}

impl Reaper {
    /// Kills a process when the leash is dropped; one that has ended by then is left alone.
    pub(crate) fn leash(&self, pid: i32) -> Leashed {
        Leashed {
            reaper: self.clone(),
            pid,
        }
    }

    /// Kills a child that has not ended; its number is nobody else's as long as it is waited for.
    fn kill(&self, pid: i32) {
        let table = self.table();
        if table.waiting.contains_key(&pid) {
            // It may end at this very moment.
            _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces that a process will be started whose children are of interest.
    pub(crate) fn launching(&self) -> Launching {
        self.table().launches += 1;
        Launching(self.clone())
    }

    /// Starts a child; the receiver hears its end.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(i32, oneshot::Receiver<Exit>)> {
        // Held over the spawn: the child cannot be reaped before it is known.
        let mut table = self.table();
        let child: Child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        table.unclaimed.remove(&pid);
        let (sender, receiver) = oneshot::channel();
        table.waiting.insert(pid, sender);
        Ok((pid, receiver))
    }

    /// Hears the end of a process that was inherited (it may have ended already).
    pub(crate) fn adopt(&self, pid: i32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        if let Some(exit) = table.unclaimed.remove(&pid) {
            // The receiver is in our hands.
            _ = sender.send(exit);
        } else {
            table.waiting.insert(pid, sender);
        }
        receiver
    }

    /// Reaps until dropped.
    pub(crate) async fn run(self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        loop {
            self.reap();
            children.recv().await;
        }
    }

    fn reap(&self) {
        loop {
            // Held from the kernel's answer to the table's: between the two its number could be somebody else's.
            let mut table = self.table();
            let (pid, exit) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Exit { code, signal: None }),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    let signal = signal as i32;
                    (
                        pid.as_raw(),
                        Exit {
                            code: 128 + signal,
                            signal: Some(signal),
                        },
                    )
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => {
                    tracing::error!(%errno, "children cannot be waited for");
                    return;
                }
            };
            if let Some(waiter) = table.waiting.remove(&pid) {
                // Whoever waited may have given up.
                _ = waiter.send(exit);
            } else if table.launches > 0 {
                table.unclaimed.insert(pid, exit);
            }
        }
    }
}
