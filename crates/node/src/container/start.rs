//! Starts one instance of a container: identity, environment, mounts, root, launch, log.

use super::{NotStarted, Running, Supervisor, signal};
use crate::enter::Command;
use crate::env::{ConfigError, Sources, environment, expand};
use crate::exec::Inside;
use crate::fabric::cgroups;
use crate::image_user::{Identity, identify};
use crate::launch::{
    BindPlan, IdsPlan, Job, LaunchError, Launched, Output, RootPlan, Start, Task, launch, prepare,
};
use crate::logs::{self, Log};
use crate::seal::Rights;
use crate::spec::{self, Bind, Decided, document};
use crate::state::Role;
use crate::taps::Taps;
use crate::visit::{self, Visited};
use crate::{user, words};

use herder_images::Image;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Kubernetes' place for a container's last words.
const LAST_WORDS: &str = "/dev/termination-log";

impl Supervisor {
    /// Starts it, or leaves nothing behind.
    pub(super) async fn start(
        &self,
        container: &Container,
        image: Option<Arc<Image>>,
    ) -> Result<Running, NotStarted> {
        let started = self.try_start(container, image).await;
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

    async fn try_start(
        &self,
        container: &Container,
        image: Option<Arc<Image>>,
    ) -> Result<Running, NotStarted> {
        let (pod, machine) = (self.pod.pod(), &self.pod.machine);
        let mut sources = Sources::new(&machine.api, &self.pod.namespace);
        let (identity, home) = {
            let who = who(&pod, container, image.as_deref())?;
            (user::user(&pod, container, &who, machine.config.root)?, who.home)
        };
        let mut env = vec![
            (
                "PATH".to_owned(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ),
            ("HOSTNAME".to_owned(), self.pod.hostname()),
        ];
        let process = image
            .as_ref()
            .map(|image| image.config.config.clone())
            .unwrap_or_default();
        let own = process.env.iter().filter_map(|variable| variable.split_once('='));
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let home = home.unwrap_or_else(|| "/".to_owned());
        let home = image.is_some().then(|| ("HOME".to_owned(), home));
        for (name, value) in home.into_iter().chain(own) {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        }
        for (name, value) in environment(&pod, container, &self.pod.downward(), &mut sources).await? {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        }
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let expanded = |list: Vec<String>| list.iter().map(|arg| expand(arg, &env)).collect::<Vec<_>>();
        let (command, given) = (
            expanded(words(&container.command)),
            expanded(words(&container.args)),
        );
        let args = match (command.is_empty(), given.is_empty()) {
            (true, true) => [process.entrypoint.clone(), process.cmd.clone()].concat(),
            (true, false) => [process.entrypoint.clone(), given].concat(),
            (false, _) => [command, given].concat(),
        };
        if args.is_empty() {
            let name = container.image.as_deref().unwrap_or_default();
            return Err(ConfigError::Wrong(format!(
                "no command specified: the image {name} has none of its own; give the container a command"
            ))
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
            .or_else(|| Some(process.working_dir.clone()).filter(|dir| dir.starts_with('/')))
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
        // An image has no secrets of the machine.
        let masks = if image.is_some() {
            Vec::new()
        } else {
            machine.masks()
        };
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
            image: image.as_ref().map(|image| image.layers.clone()),
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
            stop: signal::stop(&process.stop_signal),
            _image: image,
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

/// Who the image's process is: whom the pod asks for, or the image's own user.
fn who(pod: &Pod, container: &Container, image: Option<&Image>) -> Result<Identity, ConfigError> {
    let Some(image) = image else {
        return Ok(Identity::default());
    };
    let text = |path: &str| {
        let bytes = image.file(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let asked = user::asked(pod, container).map(|uid| uid.to_string());
    let wanted = asked.unwrap_or_else(|| image.config.config.user.clone());
    identify(&text("etc/passwd"), &text("etc/group"), &wanted).map_err(ConfigError::Wrong)
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
