//! The agent's loop: hears which pods are this node's, and has each looked after by a task of its own.

use super::AgentConfig;
use super::client::ApiError;
use super::machine::Machine;
use super::pod::Desired;
use super::{events, life, meter, register, visit, volumes};
use herder_base::chain;
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long containers may take to end when the agent is told to.
const LAST: Duration = Duration::from_millis(2000);
/// An agent that cannot reach its API server for so long is alone in the world, and ends.
const ALONE: Duration = Duration::from_secs(120);

/// Runs until told to end.
pub(crate) fn main(config: AgentConfig, pid: Option<i32>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config, pid)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: AgentConfig, pid: Option<i32>) -> Result<(), String> {
    let (sender, queue) = events::queue();
    let machine = Arc::new(Machine::new(config, sender)?);
    machine
        .links
        .add_node_address(machine.address())
        .await
        .map_err(|error| chain(&error).to_string())?;
    super::machine::bound(&machine);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let running: Arc<Mutex<HashSet<i32>>> = Arc::default();
    let (objects, changed) = mpsc::channel(256);
    let mut tasks: JoinSet<()> = JoinSet::new();
    {
        let reaper = machine.reaper.clone();
        tasks.spawn(async move {
            if let Err(error) = reaper.run().await {
                tracing::error!(%error, "children cannot be heard");
            }
        });
        let (api, name, clock) = (
            machine.api.clone(),
            machine.config.node.name.clone(),
            Arc::clone(&machine.clock),
        );
        tasks.spawn(events::write(queue, api, name, clock));
        tasks.spawn(register::run(Arc::clone(&machine), pid));
        tasks.spawn(visit::run(Arc::clone(&machine)));
        tasks.spawn(meter::run(Arc::clone(&machine)));
        for kind in ["configmaps", "secrets"] {
            tasks.spawn(watch_objects(Arc::clone(&machine), kind, objects.clone()));
        }
    }
    let mut agent = Agent {
        machine,
        pods: HashMap::new(),
        lives: JoinSet::new(),
        whose: HashMap::new(),
        running: Arc::clone(&running),
        changed,
    };
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        why = agent.run() => Err(why),
    };
    // From here on nothing is restarted and nothing is reported: the pods are not deleted, the node is.
    agent.lives.abort_all();
    end_all(&running).await;
    tasks.shutdown().await;
    ended
}

/// SIGTERM for every container, a moment to obey; the end of pid 1 does the rest.
async fn end_all(running: &Mutex<HashSet<i32>>) {
    let pids: Vec<i32> = running
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .copied()
        .collect();
    for pid in &pids {
        // One that has ended meanwhile is what we want.
        _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
    }
    let begun = Instant::now();
    let mut wait = Duration::from_millis(2);
    while begun.elapsed() < LAST && pids.iter().any(|pid| obeys(*pid)) {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_millis(50));
    }
}

/// Still there, and not deaf to SIGTERM.
fn obeys(pid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let dead = status
        .lines()
        .any(|line| line.starts_with("State:") && line.contains('Z'));
    !dead && super::container::hears_term(pid)
}

struct Handle {
    desired: watch::Sender<Desired>,
    wake: watch::Sender<u64>,
    references: HashSet<(&'static str, String)>,
}

struct Agent {
    machine: Arc<Machine>,
    pods: HashMap<String, Handle>,
    lives: JoinSet<()>,
    /// Whose life each task is.
    whose: HashMap<tokio::task::Id, String>,
    running: Arc<Mutex<HashSet<i32>>>,
    changed: mpsc::Receiver<Changed>,
}

/// A config map or a secret that changed.
type Changed = (&'static str, String, String);

impl Agent {
    /// Lists, watches, and again; returns why it gave up.
    async fn run(&mut self) -> String {
        let mut heard = Instant::now();
        let mut wait = Duration::from_millis(10);
        loop {
            match self.follow().await {
                Ok(()) => (heard, wait) = (Instant::now(), Duration::from_millis(10)),
                Err(error) if heard.elapsed() > ALONE => {
                    return format!("the control plane is gone: {}", chain(&error));
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "pods could not be followed; trying again")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    async fn follow(&mut self) -> Result<(), ApiError> {
        let base = format!(
            "/api/v1/pods?fieldSelector=spec.nodeName%3D{}",
            self.machine.config.node.name
        );
        let list = self.machine.api.get(&base).await?;
        let mut seen = HashSet::new();
        for item in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            seen.extend(self.seen(item, false));
        }
        for (uid, handle) in &self.pods {
            if !seen.contains(uid) {
                handle.desired.send_modify(|desired| desired.gone = true);
            }
        }
        let revision = list
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap_or("0");
        let path = format!("{base}&watch=true&allowWatchBookmarks=true&resourceVersion={revision}");
        let mut watch = self.machine.api.watch(&path).await?;
        loop {
            tokio::select! {
                event = watch.next() => {
                    let Some(event) = event? else { return Ok(()) };
                    let object = event.get("object").unwrap_or(&Value::Null);
                    match event.get("type").and_then(Value::as_str) {
                        Some("ADDED" | "MODIFIED") => _ = self.seen(object, false),
                        Some("DELETED") => _ = self.seen(object, true),
                        Some("BOOKMARK") => {}
                        // Too old, most likely: list again.
                        _ => return Ok(()),
                    }
                }
                Some((kind, namespace, name)) = self.changed.recv() => self.wake(kind, &namespace, name),
                Some(ended) = self.lives.join_next_with_id(), if !self.lives.is_empty() => self.lived(ended),
            }
        }
    }

    fn lived(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "a pod's task broke off");
                error.id()
            }
        };
        // Also one that broke off: what the API server says of the pod next is taken for news.
        if let Some(uid) = self.whose.remove(&task) {
            self.pods.remove(&uid);
        }
    }

    /// Notes a pod; returns its uid.
    fn seen(&mut self, object: &Value, gone: bool) -> Option<String> {
        let pod: Arc<Pod> = match serde_json::from_value::<Pod>(object.clone()) {
            Ok(pod) => Arc::new(pod),
            Err(error) => {
                tracing::error!(%error, "a pod could not be read");
                return object
                    .pointer("/metadata/uid")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
            }
        };
        let uid = pod.metadata.uid.clone()?;
        if let Some(handle) = self.pods.get_mut(&uid) {
            let spec_changed = handle.desired.borrow().pod.spec != pod.spec;
            if spec_changed {
                handle.references = volumes::references(&pod).into_iter().collect();
            }
            handle.desired.send_replace(Desired { pod, gone });
            if spec_changed {
                handle.wake.send_modify(|count| *count += 1);
            }
        } else if !gone {
            let references = volumes::references(&pod).into_iter().collect();
            let (desired, receiver) = watch::channel(Desired { pod, gone });
            let (wake, woken) = watch::channel(0);
            let life = life::run(
                Arc::clone(&self.machine),
                receiver,
                woken,
                Arc::clone(&self.running),
            );
            let task = self.lives.spawn(life);
            self.whose.insert(task.id(), uid.clone());
            self.pods.insert(
                uid.clone(),
                Handle {
                    desired,
                    wake,
                    references,
                },
            );
        }
        Some(uid)
    }

    fn wake(&self, kind: &'static str, namespace: &str, name: String) {
        let reference = (kind, name);
        for handle in self
            .pods
            .values()
            .filter(|handle| handle.references.contains(&reference))
        {
            if handle.desired.borrow().pod.metadata.namespace.as_deref() == Some(namespace) {
                handle.wake.send_modify(|count| *count += 1);
            }
        }
    }
}

/// Hears when a config map or a secret changes that a pod of this node uses: the API server shows it no others. What is
/// in them is not asked for here.
async fn watch_objects(machine: Arc<Machine>, kind: &'static str, changed: mpsc::Sender<Changed>) {
    let mut wait = Duration::from_millis(50);
    loop {
        if follow_objects(&machine, kind, &changed).await.is_ok() {
            wait = Duration::from_millis(50);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

async fn follow_objects(
    machine: &Machine,
    kind: &'static str,
    changed: &mpsc::Sender<Changed>,
) -> Result<(), ApiError> {
    // One object is enough to learn the revision to watch from.
    let list = machine.api.names(&format!("/api/v1/{kind}?limit=1")).await?;
    let revision = list
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or("0");
    let mut watch = machine
        .api
        .watch_names(&format!("/api/v1/{kind}?watch=true&resourceVersion={revision}"))
        .await?;
    while let Some(event) = watch.next().await? {
        if event.get("type").and_then(Value::as_str) == Some("ERROR") {
            break;
        }
        let text = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let change = (
            kind,
            text("/object/metadata/namespace"),
            text("/object/metadata/name"),
        );
        if changed.send(change).await.is_err() {
            break;
        }
    }
    Ok(())
}
