//! Looks after a running instance: until it ends by itself, is told to, or fails its probes; then the verdict.

use super::{Running, Supervisor, until_stopped};
use crate::fabric::cgroups;
use crate::logs;
use crate::pod::Order;
use crate::probe::Target;
use crate::reaper::Exit;
use crate::state::{Doing, Ended, Role};
use crate::words;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Last words and log tails are cut to this.
const WORDS: usize = 4096;
/// How long a process that does not handle SIGTERM keeps serving what is already under way.
const DEAF: Duration = Duration::from_secs(2);
/// The end of a process that nobody saw.
const UNKNOWN: Exit = Exit {
    code: 255,
    signal: None,
};

impl Supervisor {
    /// Looks after a running instance until it has ended.
    pub(super) async fn attend(&mut self, mut running: Running) -> Ended {
        let since = running.since;
        let has = |probe: &Option<Probe>| probe.is_some();
        let (startup, readiness) = (
            has(&running.container.startup_probe),
            has(&running.container.readiness_probe),
        );
        self.record(|record| {
            record.doing = Doing::Running { since };
            record.started = !startup;
            record.ready = !startup && !readiness;
        });
        let pod = Arc::clone(&self.pod);
        let address = pod.address();
        let (container, inside) = (running.container.clone(), running.inside.clone());
        let target = Target {
            machine: &pod.machine,
            container: &container,
            inside: &inside,
            address,
        };
        let mut order = self.order.clone();
        let exit = tokio::select! {
            biased;
            exit = &mut running.exit => exit.unwrap_or(UNKNOWN),
            () = until_stopped(&mut order) => {
                self.event(false, "Killing", format!("Stopping container {}", container.name));
                self.record(|record| record.ready = record.ready && self.role == Role::Init);
                self.terminate(&mut running, &target).await
            }
            why = self.probe(&target) => {
                self.event(false, "Killing", format!("Container {} {why}", container.name));
                self.record(|record| record.ready = false);
                self.terminate(&mut running, &target).await
            }
        };
        self.finish(running, exit).await
    }

    /// Hook, SIGTERM, patience, SIGKILL.
    pub(super) async fn terminate(&mut self, running: &mut Running, target: &Target<'_>) -> Exit {
        let begun = Instant::now();
        let mut order = self.order.clone();
        let grace = self.grace(&running.container);
        let lifecycle = running
            .container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.clone());
        if let Some(hook) = lifecycle.filter(|_| !grace.is_zero()) {
            tokio::select! {
                exit = &mut running.exit => return exit.unwrap_or(UNKNOWN),
                done = target.hook(&hook, grace) => if let Err(why) = done {
                    self.event(true, "FailedPreStopHook", format!("PreStopHook failed: {why}"));
                }
            }
        }
        let pid = Pid::from_raw(running.pid);
        // One that has ended meanwhile is what we want.
        let heard = !grace.is_zero() && hears(running.pid, running.stop);
        _ = kill(pid, running.stop);
        loop {
            let grace = match *order.borrow_and_update() {
                Order::Stop { grace } => self.grace(&running.container).min(grace),
                Order::Run => grace,
            };
            // A pid 1 without a handler never sees SIGTERM: it gets a moment for what is under way, not all of it.
            let patience = if heard { grace } else { grace.min(DEAF) };
            tokio::select! {
                exit = &mut running.exit => return exit.unwrap_or(UNKNOWN),
                () = tokio::time::sleep_until(begun + patience) => break,
                Ok(()) = order.changed() => {}
            }
        }
        _ = kill(pid, Signal::SIGKILL);
        (&mut running.exit).await.unwrap_or(UNKNOWN)
    }

    pub(super) fn grace(&self, container: &Container) -> Duration {
        match *self.order.borrow() {
            Order::Stop { grace } => grace,
            Order::Run => {
                let probes = [&container.liveness_probe, &container.startup_probe];
                let own = probes
                    .into_iter()
                    .flatten()
                    .find_map(|probe| probe.termination_grace_period_seconds);
                own.and_then(|own| u64::try_from(own).ok())
                    .map_or_else(|| self.pod.grace(), Duration::from_secs)
            }
        }
    }

    pub(super) async fn finish(&mut self, mut running: Running, exit: Exit) -> Ended {
        self.pod.open(&running.container.name, None);
        self.pod.pids(|pids| _ = pids.remove(&running.pid));
        // Everything that could write is dead; what it wrote is still in the pipes.
        let rest = async { while running.copying.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(2), rest).await.is_err() {
            tracing::warn!(
                id = running.inside.id,
                "a container's output stayed open after its end"
            );
        }
        let out_of_memory = running
            .cgroup
            .as_deref()
            .is_some_and(|cgroup| killed_for_memory(cgroup) && exit.code == 137);
        if let Some(cgroup) = &running.cgroup {
            cgroups::remove_below(cgroup);
        }
        let mut message = cut(&words::read(&running.inside.bundle));
        words::forget(&running.inside.bundle);
        let from_log =
            running.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if message.is_empty() && exit.code != 0 && from_log {
            message = logs::tail(&running.log, 80, 2048);
        }
        for dir in [
            running.inside.bundle.clone(),
            self.pod.machine.runtime_state().join(&running.inside.id),
        ] {
            // They are in the agent's memory, and vanish with it.
            _ = fs::remove_dir_all(dir);
        }
        let reason = match (out_of_memory, exit.code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        let ended = self.ended(exit, reason, message, running.since);
        self.record(|record| {
            record.doing = Doing::Terminated(ended.clone());
            record.ready = false;
            record.started = false;
        });
        ended
    }

    pub(super) fn ended(&self, exit: Exit, reason: &str, message: String, started: Timestamp) -> Ended {
        Ended {
            exit,
            reason: reason.to_owned(),
            message,
            started,
            finished: self.pod.machine.now(),
            id: format!(
                "{}_{}_{}",
                self.pod.uid,
                self.pod.container_name(self.index),
                self.pod.restarts(self.index)
            ),
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Whether a process has a handler for SIGTERM, or waits for it by other means.
pub(crate) fn hears_term(pid: i32) -> bool {
    hears(pid, Signal::SIGTERM)
}

/// As `hears_term`, of any signal.
fn hears(pid: i32, signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let bit = 1_u64 << (signal as u32 - 1);
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    ["SigCgt:", "SigBlk:"]
        .iter()
        .any(|name| mask(name).is_none_or(|mask| mask & bit != 0))
}

fn killed_for_memory(cgroup: &str) -> bool {
    let counters = [
        format!("/sys/fs/cgroup/memory/{cgroup}/memory.oom_control"),
        format!("/sys/fs/cgroup/{cgroup}/memory.events"),
        format!("/sys/fs/cgroup/unified/{cgroup}/memory.events"),
    ];
    counters.iter().any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| {
            line.strip_prefix("oom_kill ")
                .and_then(|count| count.trim().parse::<u64>().ok())
                .is_some_and(|n| n > 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_the_unknown_is_given_time() {
        assert!(hears_term(i32::MAX));
        assert_eq!(cut(&"ä".repeat(3000)).len(), WORDS);
    }
}
