//! The life of one container: image, configuration, start, probes, end, and again with growing pauses.

use super::env::{ConfigError, Sources, environment, expand};
use super::exec::Inside;
use super::launch::{Job, LaunchError, Launched, RootPlan, Task, launch, prepare};
use super::logs::{self, Log};
use super::pod::{Order, PodContext};
use super::probe::{Rhythm, Target};
use super::reaper::Exit;
use super::spec::{Bind, Decided, document, process};
use super::state::{Doing, Ended, Role};
use super::{image, user};
use crate::fabric::cgroups;
use herder_base::chain;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The first pause before a restart, the longest, and how long an instance must run for pauses to start over.
const PAUSE: (Duration, Duration, Duration) = (
    Duration::from_secs(10),
    Duration::from_secs(300),
    Duration::from_secs(600),
);
/// Kubernetes' place for a container's last words.
const LAST_WORDS: &str = "/dev/termination-log";
/// Last words and log tails are cut to this.
const WORDS: usize = 4096;
/// How long a process that does not handle SIGTERM keeps serving what is already under way.
const DEAF: Duration = Duration::from_secs(2);

/// A container of a pod whose network and volumes are there.
pub(crate) struct Supervisor {
    /// The pod.
    pub(crate) pod: Arc<PodContext>,
    /// Which container.
    pub(crate) index: usize,
    /// What it is for.
    pub(crate) role: Role,
    /// Keep running, or stop.
    pub(crate) order: watch::Receiver<Order>,
}

/// Why an instance could not be started.
enum NotStarted {
    /// The manifest, or something it names.
    Config(ConfigError),
    /// The runtime.
    Runtime(LaunchError),
}

impl From<ConfigError> for NotStarted {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

struct Running {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    inside: Inside,
    container: Container,
    since: Timestamp,
    log: PathBuf,
    words: PathBuf,
    copying: JoinSet<()>,
    cgroup: Option<String>,
}

impl Supervisor {
    /// Runs the container until it has ended for good, or was told to stop.
    pub(crate) async fn run(mut self) {
        let mut crashes: u32 = 0;
        let mut unstartable: u32 = 0;
        let mut first = true;
        while self.wanted() {
            let Some(container) = self.declared() else { return };
            if let Err(error) = image::resolve(container.image.as_deref().unwrap_or_default()) {
                let text = error.to_string();
                self.waiting("ErrImagePull", &text);
                self.event(true, "Failed", format!("Failed to pull image: {text}"));
                self.event(true, "Failed", "Error: ErrImagePull".to_owned());
                self.pause(Duration::from_millis(500)).await;
                let wait = pause(unstartable);
                unstartable += 1;
                self.waiting("ImagePullBackOff", &format!("Back-off pulling image: {text}"));
                self.event(
                    false,
                    "BackOff",
                    format!("Back-off pulling image {:?}", container.image),
                );
                self.pause(wait).await;
                continue;
            }
            if !first {
                self.restarting();
            }
            let begun = self.pod.machine.now();
            let ended = match self.start(&container).await {
                Ok(running) => {
                    first = false;
                    unstartable = 0;
                    self.attend(running).await
                }
                Err(NotStarted::Config(error)) => {
                    let text = chain(&error).to_string();
                    self.waiting("CreateContainerConfigError", &text);
                    self.event(true, "Failed", format!("Error: {text}"));
                    let wait = Duration::from_secs(1 << unstartable.min(3));
                    unstartable += 1;
                    self.pause(wait).await;
                    continue;
                }
                Err(NotStarted::Runtime(error)) => {
                    first = false;
                    let text = chain(&error).to_string();
                    self.event(true, "Failed", format!("Error: {text}"));
                    let now = self.pod.machine.now();
                    let exit = Exit {
                        code: 128,
                        signal: None,
                    };
                    let ended = self.ended(exit, "StartError", text, now);
                    self.record(|record| record.doing = Doing::Terminated(ended.clone()));
                    ended
                }
            };
            if !self.wanted() || !self.again(ended.exit.code) {
                return;
            }
            let ran = ended.finished.duration_since(begun);
            crashes = if ran.unsigned_abs() >= PAUSE.2 {
                0
            } else {
                crashes + 1
            };
            // The first restart is immediate.
            if crashes > 1 {
                let wait = pause(crashes - 2);
                let (name, pod, uid) = (&container.name, &self.pod.name, &self.pod.uid);
                let namespace = &self.pod.namespace;
                let text = format!(
                    "back-off {} restarting failed container={name} pod={pod}_{namespace}({uid})",
                    clock_face(wait)
                );
                self.record(|record| {
                    record.last = Some(ended.clone());
                    record.doing = Doing::Waiting {
                        reason: "CrashLoopBackOff".to_owned(),
                        message: text,
                    };
                });
                let text =
                    format!("Back-off restarting failed container {name} in pod {pod}_{namespace}({uid})");
                self.event(true, "BackOff", text);
                self.pause(wait).await;
            }
        }
    }

    fn wanted(&self) -> bool {
        matches!(*self.order.borrow(), Order::Run)
    }

    fn declared(&self) -> Option<Container> {
        let pod = self.pod.pod();
        super::state::containers_of(&pod)
            .get(self.index)
            .map(|(_, container)| (*container).clone())
    }

    /// Whether an instance that ended with `code` is followed by another.
    fn again(&self, code: i32) -> bool {
        let policy = self.pod.policy();
        match (self.role, policy.as_str()) {
            (Role::Sidecar, _) | (Role::Main, "Always") => true,
            (Role::Init, "Never") | (Role::Main, "Never") => false,
            _ => code != 0,
        }
    }

    /// Waits, but not longer than until the order, the pod or something it reads changes.
    async fn pause(&mut self, wait: Duration) {
        let mut changes = self.pod.changes();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = until_stopped(&mut self.order) => {}
            () = changes.any() => {}
        }
    }

    fn record(&self, change: impl FnOnce(&mut super::state::ContainerRecord)) {
        self.pod.change(|record| {
            if let Some(container) = record.containers.get_mut(self.index) {
                change(container);
            }
        });
    }

    fn waiting(&self, reason: &str, message: &str) {
        self.record(|record| {
            if let Doing::Terminated(ended) = &record.doing {
                record.last = Some(ended.clone());
            }
            record.doing = Doing::Waiting {
                reason: reason.to_owned(),
                message: message.to_owned(),
            };
        });
    }

    fn restarting(&self) {
        self.record(|record| {
            if let Doing::Terminated(ended) = &record.doing {
                record.last = Some(ended.clone());
            }
            record.restarts += 1;
        });
    }

    fn event(&self, warn: bool, reason: &str, message: String) {
        let pod = self.pod.pod();
        let name = self.pod.container_name(self.index);
        self.pod
            .machine
            .events
            .pod(&pod, Some(&name), warn, reason, message);
    }

    async fn start(&self, container: &Container) -> Result<Running, NotStarted> {
        let (pod, machine) = (self.pod.pod(), &self.pod.machine);
        let mut sources = Sources::new(&machine.api, &self.pod.namespace);
        let identity = user::user(&pod, container, machine.config.root)?;
        let mut env = vec![
            (
                "PATH".to_owned(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ),
            ("HOSTNAME".to_owned(), self.pod.hostname()),
        ];
        for (name, value) in environment(&pod, container, &self.pod.downward(), &mut sources).await? {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        }
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let args: Vec<String> = words(&container.command)
            .iter()
            .chain(&words(&container.args))
            .map(|arg| expand(arg, &env))
            .collect();
        if args.is_empty() {
            return Err(ConfigError::Wrong(
                "no command specified: the image host has none of its own; give the container a command"
                    .to_owned(),
            )
            .into());
        }
        let restart = self.pod.restarts(self.index);
        let id = format!("{}_{}_{restart}", self.pod.uid, container.name);
        let bundle = machine.run.join("c").join(&id);
        let io = |what: &'static str| {
            move |error: std::io::Error| NotStarted::Runtime(LaunchError::Refused(format!("{what}: {error}")))
        };
        // A start that failed half way leaves them behind.
        _ = fs::remove_dir_all(&bundle);
        _ = fs::remove_dir_all(machine.runtime_state().join(&id));
        fs::create_dir_all(&bundle).map_err(io("its directory"))?;
        let last_words = bundle.join("termination");
        fs::write(&last_words, "").map_err(io("its termination message"))?;
        open_to_all(&last_words);

        let mut binds = self.pod.binds(&pod, container, &env).await?;
        binds.push(Bind {
            source: last_words.to_string_lossy().into_owned(),
            target: container
                .termination_message_path
                .clone()
                .unwrap_or_else(|| LAST_WORDS.to_owned()),
            read_only: false,
        });
        let fs_dir = bundle.join("fs");
        let cwd = container
            .working_dir
            .clone()
            .filter(|dir| !dir.is_empty())
            .unwrap_or_else(|| "/".to_owned());
        let cgroup = machine
            .cgroup(&self.pod.uid)
            .map(|pod| format!("{pod}/{}", container.name));
        let decided = Decided {
            container,
            args,
            env,
            cwd: cwd.clone(),
            user: &identity,
            root: fs_dir.join("root").to_string_lossy().into_owned(),
            binds,
            namespaces: self.pod.namespaces(),
            cgroup: cgroup.as_ref().map(|path| format!("/{path}")),
            masks: &machine.masks,
        };
        let config = document(&decided);
        prepare(&bundle, &fs_dir, &config).map_err(io("its configuration"))?;
        let in_volume = decided
            .binds
            .iter()
            .any(|bind| std::path::Path::new(&cwd).starts_with(&bind.target));
        let plan = RootPlan {
            fs: fs_dir,
            user: !machine.config.root,
            etc: self.pod.etc(),
            binary: machine.exe.clone(),
            names: machine.names.clone(),
            targets: decided
                .binds
                .iter()
                .map(|bind| (bind.target.clone(), !std::path::Path::new(&bind.source).is_dir()))
                .collect(),
            cwd: (!in_volume).then_some(cwd),
        };
        let process = process(&decided.args, &decided.env, &decided.cwd, &identity);
        let log = machine
            .logs(&self.pod.uid)
            .join(&container.name)
            .join(format!("{restart}.log"));
        self.forget_logs(container, restart);
        let file = Arc::new(Mutex::new(Log::open(log.clone()).map_err(io("its log"))?));
        let job = Job {
            id: id.clone(),
            state: machine.runtime_state(),
            bundle: bundle.clone(),
            task: Task::Start(plan),
        };
        if let Some(cgroup) = &cgroup {
            cgroups::remove_below(cgroup);
        }
        let launched = {
            let _permit = machine.launches.acquire().await;
            launch(&machine.reaper, &machine.exe, &job)
                .await
                .map_err(NotStarted::Runtime)?
        };
        let since = machine.now();
        let mut copying = JoinSet::new();
        let Launched {
            pid,
            exit,
            output: (out, err),
        } = launched;
        copying.spawn(logs::copy(
            out,
            "stdout",
            Arc::clone(&file),
            Arc::clone(&machine.clock),
        ));
        copying.spawn(logs::copy(err, "stderr", file, Arc::clone(&machine.clock)));
        self.pod.pids(|pids| _ = pids.insert(pid));
        self.record(|record| record.id.clone_from(&id));
        let name = &container.name;
        self.event(false, "Created", format!("Created container: {name}"));
        self.event(false, "Started", format!("Started container {name}"));
        Ok(Running {
            pid,
            exit,
            inside: Inside { id, bundle, process },
            container: container.clone(),
            since,
            log,
            words: last_words,
            copying,
            cgroup,
        })
    }

    /// Keeps this instance's log and the one before.
    fn forget_logs(&self, container: &Container, restart: u32) {
        let Some(old) = restart.checked_sub(2) else { return };
        let dir = self.pod.machine.logs(&self.pod.uid).join(&container.name);
        let Ok(entries) = fs::read_dir(&dir) else { return };
        let prefix = format!("{old}.log");
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                // One that stays costs a little disk, until the pod is removed.
                _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Looks after a running instance until it has ended.
    async fn attend(&mut self, mut running: Running) -> Ended {
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
    async fn terminate(&mut self, running: &mut Running, target: &Target<'_>) -> Exit {
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
        let heard = !grace.is_zero() && hears_term(running.pid);
        _ = kill(pid, Signal::SIGTERM);
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

    fn grace(&self, container: &Container) -> Duration {
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

    async fn finish(&mut self, mut running: Running, exit: Exit) -> Ended {
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
        let mut message = fs::read(&running.words)
            .map(|words| cut(&String::from_utf8_lossy(&words)))
            .unwrap_or_default();
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

    fn ended(&self, exit: Exit, reason: &str, message: String, started: Timestamp) -> Ended {
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

    /// Hook, then probes; returns why the instance has to be killed.
    async fn probe(&self, target: &Target<'_>) -> String {
        let container = target.container;
        let hook = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.as_ref());
        if let Some(hook) = hook
            && let Err(why) = target.hook(hook, Duration::from_secs(600)).await
        {
            self.event(
                true,
                "FailedPostStartHook",
                format!("PostStartHook failed: {why}"),
            );
            return "failed its postStart hook".to_owned();
        }
        if let Some(probe) = &container.startup_probe {
            let failed = self.until_failed(target, probe, "Startup", true, |good| {
                if good {
                    let ready = container.readiness_probe.is_none();
                    self.record(|record| {
                        record.started = true;
                        record.ready = ready;
                    });
                }
            });
            if failed.await {
                return "failed startup probe, will be restarted".to_owned();
            }
        }
        let liveness = async {
            match &container.liveness_probe {
                Some(probe) => _ = self.until_failed(target, probe, "Liveness", false, |_| {}).await,
                None => std::future::pending().await,
            }
        };
        let readiness = async {
            if let Some(probe) = &container.readiness_probe {
                let show = |good: bool| self.record(|record| record.ready = good);
                self.until_failed(target, probe, "Readiness", false, show).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = liveness => {}
            () = readiness => {}
        }
        "failed liveness probe, will be restarted".to_owned()
    }

    /// Probes until it has failed too often (true; readiness probes go on) or, `once`, has succeeded (false). `show`
    /// hears every change of the verdict.
    async fn until_failed(
        &self,
        target: &Target<'_>,
        probe: &Probe,
        what: &str,
        once: bool,
        show: impl Fn(bool),
    ) -> bool {
        let rhythm = Rhythm::of(probe);
        let (mut good, mut bad) = (0_u32, 0_u32);
        let mut verdict = None;
        let eager = what != "Liveness";
        tokio::time::sleep(rhythm.delay).await;
        let mut counted = Instant::now();
        let mut quick = Duration::from_millis(10);
        loop {
            let answer = target.probe(probe).await;
            let due = Instant::now() >= counted;
            match answer {
                Ok(()) => {
                    (good, bad) = (good + 1, 0);
                    if good >= rhythm.successes && verdict != Some(true) {
                        verdict = Some(true);
                        show(true);
                        if once {
                            return false;
                        }
                    }
                }
                Err(why) => {
                    good = 0;
                    // Before the first success there are probes between the declared ones, so that a container is
                    // ready when it is ready. Those are not counted.
                    if due {
                        bad += 1;
                        self.event(true, "Unhealthy", format!("{what} probe failed: {why}"));
                    }
                    if bad >= rhythm.failures && verdict != Some(false) {
                        verdict = Some(false);
                        show(false);
                        if what != "Readiness" {
                            return true;
                        }
                    }
                }
            }
            if due {
                counted = Instant::now() + rhythm.period;
            }
            let early = eager && verdict.is_none();
            let next = if early {
                (Instant::now() + quick).min(counted)
            } else {
                counted
            };
            quick = (quick * 2).min(Duration::from_millis(250));
            tokio::time::sleep_until(next).await;
        }
    }
}

/// The guard that the wait returns must not live on: it is not to be held over an await.
async fn until_stopped(order: &mut watch::Receiver<Order>) {
    // An error means that the pod's task ends, and this one with it.
    _ = order.wait_for(|order| *order != Order::Run).await;
}

const UNKNOWN: Exit = Exit {
    code: 255,
    signal: None,
};

/// The pause before the `n`th delayed restart.
fn pause(n: u32) -> Duration {
    PAUSE.0.saturating_mul(2_u32.saturating_pow(n)).min(PAUSE.1)
}

/// As Kubernetes prints it: `10s`, `1m20s`, `5m0s`.
fn clock_face(wait: Duration) -> String {
    let seconds = wait.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    // The container may run as anyone.
    _ = fs::set_permissions(path, fs::Permissions::from_mode(0o666));
}

/// Whether a process has a handler for SIGTERM, or waits for it by other means.
pub(crate) fn hears_term(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let term = 1_u64 << 14;
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    ["SigCgt:", "SigBlk:"]
        .iter()
        .any(|name| mask(name).is_none_or(|mask| mask & term != 0))
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
    fn pauses_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..7).map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(clock_face(Duration::from_secs(80)), "1m20s");
        assert_eq!(clock_face(Duration::from_secs(10)), "10s");
    }

    #[test]
    fn own_process_hears_what_it_handles() {
        assert!(hears_term(i32::MAX));
        let long = "ä".repeat(3000);
        assert_eq!(cut(&long).len(), WORDS);
    }
}
