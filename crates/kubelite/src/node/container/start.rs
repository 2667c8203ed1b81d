//! Starts one instance of a container: identity, environment, mounts, root, launch, log.

use super::{NotStarted, Running, Supervisor};
use crate::fabric::cgroups;
use crate::node::env::{ConfigError, Sources, environment, expand};
use crate::node::exec::Inside;
use crate::node::launch::{Job, LaunchError, Launched, RootPlan, Task, launch, prepare};
use crate::node::logs::{self, Log};
use crate::node::spec::{Bind, Decided, document, process};
use crate::node::user;
use k8s_openapi::api::core::v1::Container;
use std::fs;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Kubernetes' place for a container's last words.
const LAST_WORDS: &str = "/dev/termination-log";

impl Supervisor {
    pub(super) async fn start(&self, container: &Container) -> Result<Running, NotStarted> {
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

fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    // The container may run as anyone.
    _ = fs::set_permissions(path, fs::Permissions::from_mode(0o666));
}
