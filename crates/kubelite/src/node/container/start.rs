//! Starts one instance of a container: identity, environment, mounts, root, launch, log.

use super::{NotStarted, Running, Supervisor};
use crate::fabric::cgroups;
use crate::node::enter::Command;
use crate::node::env::{ConfigError, Sources, environment, expand};
use crate::node::exec::Inside;
use crate::node::launch::{
    BindPlan, IdsPlan, Job, LaunchError, Launched, Output, RootPlan, Start, Task, launch, prepare,
};
use crate::node::logs::{self, Log};
use crate::node::seal::Rights;
use crate::node::spec::{self, Bind, Decided, document};
use crate::node::state::Role;
use crate::node::taps::Taps;
use crate::node::visit::{self, Visited};
use crate::node::{user, words};
use k8s_openapi::api::core::v1::Container;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Kubernetes' place for a container's last words.
const LAST_WORDS: &str = "/dev/termination-log";

impl Supervisor {
    /// Starts it, or leaves nothing behind.
    pub(super) async fn start(&self, container: &Container) -> Result<Running, NotStarted> {
        let started = self.try_start(container).await;
        if started.is_err() {
            let (bundle, state) = self.places(container);
            words::forget(&bundle);
            for dir in [bundle, state] {
                // Nothing of it may have been made.
                _ = fs::remove_dir_all(dir);
            }
        }
        started
    }

    /// The instance's bundle and the runtime's state of it.
    fn places(&self, container: &Container) -> (PathBuf, PathBuf) {
        let restart = self.pod.restarts(self.index);
        let id = format!("{}_{}_{restart}", self.pod.uid, container.name);
        let machine = &self.pod.machine;
        (machine.run.join("c").join(&id), machine.runtime_state().join(id))
    }

    async fn try_start(&self, container: &Container) -> Result<Running, NotStarted> {
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
        words::forget(&bundle);
        _ = fs::remove_dir_all(&bundle);
        _ = fs::remove_dir_all(machine.runtime_state().join(&id));
        fs::create_dir_all(&bundle).map_err(io("its directory"))?;
        let last_words = words::make(&bundle).map_err(io("its termination message"))?;

        let mut binds = self.pod.binds(&pod, container, &env).await?;
        binds.push(Bind {
            place: last_words,
            target: container
                .termination_message_path
                .clone()
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| LAST_WORDS.to_owned()),
            read_only: false,
            no_set_id: true,
            deep: false,
        });
        let cwd = container
            .working_dir
            .clone()
            .filter(|dir| !dir.is_empty())
            .unwrap_or_else(|| "/".to_owned());
        let cgroup = machine
            .cgroup(&self.pod.uid)
            .map(|pod| format!("{pod}/{}", container.name));
        let user = !machine.config.root;
        let rights = Rights {
            capabilities: identity.capabilities.clone(),
            no_new_privileges: identity.no_new_privileges,
            filtered: identity.filtered,
            processes: user.then_some(spec::PROCESSES),
            data: user.then(|| spec::memory(container, machine.defaults)),
        };
        let own = self.pod.users();
        let system = own.is_some() && self.pod.sandbox().is_none();
        let masks = machine.masks();
        let decided = Decided {
            container,
            args,
            env,
            cwd: cwd.clone(),
            user: &identity,
            rights: &rights,
            stage: &machine.stage,
            binds,
            namespaces: self.pod.namespaces(),
            processes: self.processes()?,
            cgroup: cgroup.as_ref().map(|path| format!("/{path}")),
            masks: &masks,
            defaults: machine.defaults,
            system,
        };
        let config = document(&decided);
        prepare(&bundle, &config).map_err(io("its configuration"))?;
        let in_volume = decided
            .binds
            .iter()
            .any(|bind| std::path::Path::new(&cwd).starts_with(&bind.target));
        let root = RootPlan {
            stage: machine.stage.clone(),
            user,
            ids: own
                .as_ref()
                .filter(|users| users.map.first() != 0)
                .map(|users| IdsPlan {
                    users: users.path(),
                    first: users.map.first(),
                }),
            etc: self.pod.etc(),
            binary: machine.exe.clone(),
            names: machine.names.clone(),
            binds: decided.binds.iter().map(bind_plan).collect(),
            cwd: (!in_volume).then_some(cwd),
            size: spec::layer(container, machine.defaults),
            devices: identity.privileged,
            system,
        };
        let command = Command {
            args: Vec::new(),
            env: decided.env.clone(),
            cwd: decided.cwd.clone(),
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
            rights: rights.clone(),
        };
        let log = machine
            .logs(&self.pod.uid)
            .join(&container.name)
            .join(format!("{restart}.log"));
        self.forget_logs(container, restart);
        let file = Arc::new(Mutex::new(Log::open(log.clone()).map_err(io("its log"))?));
        let terminal = container.tty == Some(true);
        let (read, input) = if container.stdin == Some(true) && !terminal {
            let ends = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC);
            let (read, write) = ends.map_err(|errno| io("its input")(errno.into()))?;
            (Some(read), Some(write))
        } else {
            (None, None)
        };
        let job = Job {
            id: id.clone(),
            state: machine.runtime_state(),
            bundle: bundle.clone(),
            input: read.as_ref().map(visit::name_of),
            terminal,
            task: Task::Start(Box::new(Start {
                root,
                join: self.pod.joined(),
                rights: rights.clone(),
                devices: cgroup.clone().filter(|_| !identity.privileged),
            })),
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
            process: first,
            exit,
            output,
        } = launched;
        let taps = Arc::new(Taps::default());
        let (outputs, master) = match output {
            Output::Pipes(out, err) => (vec![(out, "stdout"), (err, "stderr")], None),
            Output::Terminal(master) => {
                let keyboard = master.try_clone().map_err(io("its terminal"))?;
                (vec![(master, "stdout")], Some(keyboard))
            }
            Output::Taken => (Vec::new(), None),
        };
        for (end, stream) in outputs {
            copying.spawn(logs::copy(
                end,
                stream,
                (Arc::clone(&file), Arc::clone(&taps)),
                Arc::clone(&machine.clock),
            ));
        }
        self.pod.pids(|pids| _ = pids.insert(first.pid));
        self.record(|record| record.id.clone_from(&id));
        let name = &container.name;
        self.event(false, "Created", format!("Created container: {name}"));
        self.event(false, "Started", format!("Started container {name}"));
        let inside = Inside {
            id,
            bundle,
            cgroup: cgroup.clone(),
            first,
            command,
        };
        let visited = Visited {
            inside: inside.clone(),
            taps,
            input: Mutex::new(input),
            since: tokio::time::Instant::now(),
            once: container.stdin_once == Some(true),
            terminal: master.filter(|_| container.stdin == Some(true)),
        };
        self.pod.open(name, Some(visited));
        Ok(Running {
            pid: first.pid,
            exit,
            inside,
            container: container.clone(),
            since,
            log,
            copying,
            cgroup,
        })
    }

    /// The namespace of processes that a guest joins.
    fn processes(&self) -> Result<Option<String>, ConfigError> {
        let target = match self.role {
            Role::Guest => self.guest().and_then(|(_, target)| target),
            _ => None,
        };
        let Some(target) = target else { return Ok(None) };
        let visited = self.pod.visited(&target);
        let visited = visited
            .ok_or_else(|| ConfigError::Wrong(format!("targetContainerName {target:?} is not running")))?;
        Ok(Some(format!("/proc/{}/ns/pid", visited.inside.first.pid)))
    }

    /// Keeps this instance's log and the one before.
    pub(super) fn forget_logs(&self, container: &Container, restart: u32) {
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
}

fn bind_plan(bind: &Bind) -> BindPlan {
    BindPlan {
        source: format!("/proc/1/fd/{}", bind.place.as_raw_fd()).into(),
        target: bind.target.clone(),
        read_only: bind.read_only,
        no_set_id: bind.no_set_id,
        deep: bind.deep,
    }
}
