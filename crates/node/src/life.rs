//! The life of one pod: namespaces, volumes, init containers in order, sidecars, main containers, the end.

use super::container::Supervisor;
use super::machine::Machine;
use super::pod::{Desired, Ground, Order, PodContext};
use super::sandbox::Sandbox;
use super::state::{Doing, Role};
use super::usage::{Budget, Watched};
use super::users::Users;
use super::volumes::Volumes;
use super::{groups, guests, names, spec, sysctls};
use crate::fabric::cgroups;
use herder_base::chain;
use herder_object::pod_security;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often volumes are measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Runs a pod from when it is first seen until the API server has forgotten it.
pub(crate) async fn run(
    machine: Arc<Machine>,
    desired: watch::Receiver<Desired>,
    wake: watch::Receiver<u64>,
    running: Arc<Mutex<HashSet<i32>>>,
) {
    let context = Arc::new(PodContext::new(machine, desired, wake, running));
    context.machine.meet(&context);
    let over = {
        let pod = context.pod();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    // The name of a directory is made of it before anything else is.
    if let Err(wrong) = names::uid(&context.uid) {
        tracing::error!(%wrong, "a pod is ignored");
        return;
    }
    if !over {
        let life = Life {
            context: Arc::clone(&context),
            orders: watch::Sender::new(Order::Run),
        };
        tokio::select! {
            () = life.work() => {}
            () = life.direct() => {}
            () = context.publish() => {}
        }
        if !context.desired().borrow().gone {
            context.flush(&mut Value::Null).await;
        }
    }
    forget(&context).await;
}

/// Waits until the pod is to be deleted, and finishes the deletion.
async fn forget(context: &PodContext) {
    let mut desired = context.desired();
    let ending = |desired: &Desired| desired.gone || desired.pod.metadata.deletion_timestamp.is_some();
    // An error means that the agent ends.
    let gone = match desired.wait_for(ending).await {
        Ok(desired) => desired.gone,
        Err(_) => return,
    };
    if !gone {
        let path = format!("/api/v1/namespaces/{}/pods/{}", context.namespace, context.name);
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": context.uid},
        });
        let mut wait = Duration::from_millis(50);
        while let Err(error) = context.machine.api.delete(&path, &options).await {
            if error
                .code()
                .is_some_and(|code| matches!(code.as_u16(), 404 | 409))
                || desired.borrow().gone
            {
                break;
            }
            tracing::warn!(pod = context.name, error = %chain(&error), "a deletion could not be finished");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }
    let logs = context.machine.logs(&context.uid);
    match fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(dir = %logs.display(), %error, "a pod's logs could not be removed");
        }
        _ => {}
    }
}

struct Life {
    context: Arc<PodContext>,
    orders: watch::Sender<Order>,
}

impl Life {
    /// Turns what the API server wants, and the pod's deadline, into orders. Never returns.
    async fn direct(&self) {
        let mut desired = self.context.desired();
        let deadline = self
            .context
            .pod()
            .spec
            .as_ref()
            .and_then(|spec| spec.active_deadline_seconds);
        let deadline = deadline.and_then(|seconds| u64::try_from(seconds).ok());
        let deadline = deadline.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        loop {
            let (gone, pod) = {
                let desired = desired.borrow_and_update();
                (desired.gone, Arc::clone(&desired.pod))
            };
            if gone {
                self.stop(Duration::ZERO);
            } else if pod.metadata.deletion_timestamp.is_some() {
                let grace = pod
                    .metadata
                    .deletion_grace_period_seconds
                    .and_then(|grace| u64::try_from(grace).ok());
                self.stop(grace.map_or_else(|| self.context.grace(), Duration::from_secs));
            }
            let late = async {
                match deadline {
                    Some(deadline) if *self.orders.borrow() == Order::Run => {
                        tokio::time::sleep_until(deadline).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = desired.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = late => {
                    let text = "Pod was active on the node longer than the specified deadline".to_owned();
                    self.event(false, "DeadlineExceeded", text.clone());
                    self.context.change(|record| {
                        record.verdict = Some(("Failed", "DeadlineExceeded".to_owned(), text));
                    });
                    self.stop(self.context.grace());
                }
            }
        }
    }

    fn stop(&self, grace: Duration) {
        self.context.change(|record| record.ending = true);
        self.orders.send_if_modified(|order| {
            let sooner = match *order {
                Order::Run => true,
                Order::Stop { grace: before } => grace < before,
            };
            if sooner {
                *order = Order::Stop { grace };
            }
            sooner
        });
    }

    fn stopped(&self) -> bool {
        *self.orders.borrow() != Order::Run
    }

    async fn until_stopped(&self) {
        // The sender is `self`'s.
        _ = self
            .orders
            .subscribe()
            .wait_for(|order| *order != Order::Run)
            .await;
    }

    fn event(&self, warn: bool, reason: &str, message: String) {
        self.context
            .machine
            .events
            .pod(&self.context.pod(), None, warn, reason, message);
    }

    async fn work(&self) {
        self.context.change(|_| {});
        let pod = self.context.pod();
        let wrong = names::check(&pod).err();
        let wrong = wrong.map(|wrong| ("InvalidPod", wrong.to_string()));
        if let Some((reason, text)) = wrong.or_else(|| sysctls::refusal(&pod)) {
            self.event(true, reason, text.clone());
            self.context
                .change(|record| record.verdict = Some(("Failed", reason.to_owned(), text)));
            return;
        }
        let ready = tokio::select! {
            biased;
            () = self.until_stopped() => false,
            () = self.set_up() => true,
        };
        if ready {
            let refreshing = async { tokio::join!(self.refresh(), self.watch_usage()) };
            tokio::select! {
                () = self.containers() => {}
                _ = refreshing => {}
            }
        }
        self.tear_down().await;
    }

    /// Makes namespaces and volumes, however often it takes.
    async fn set_up(&self) {
        let context = &self.context;
        if let Some(why) = self.refused().await {
            self.event(true, "PodSecurity", why.clone());
            context.change(|record| {
                record.verdict = Some(("Failed", "PodSecurity".to_owned(), why));
            });
            self.stop(Duration::ZERO);
            // The order ends this.
            std::future::pending::<()>().await;
        }
        if let Some(group) = context.machine.cgroup(&context.uid) {
            let bounds = groups::Bounds {
                processes: Some(spec::PROCESSES),
                memory: None,
            };
            if let Err(error) = groups::bound(&group, bounds) {
                tracing::warn!(pod = context.name, %error, "a pod's processes are not bounded as a whole");
            }
        }
        let mut wait = Duration::from_millis(100);
        loop {
            let made = if context.shares_network() {
                self.own_users()
            } else {
                self.sandbox().await
            };
            let Err(why) = made else { break };
            let text = format!("Failed to create pod sandbox: {why}");
            self.event(true, "FailedCreatePodSandBox", text);
            self.explain(&why);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
        let address = context.address();
        context.change(|record| record.ip = Some(address));
        let mut wait = Duration::from_millis(50);
        loop {
            let mut changes = context.changes();
            match Volumes::make(&context.machine, &context.pod(), &context.downward()).await {
                Ok(volumes) => {
                    *context.volumes.lock().await = volumes;
                    if let Some(sandbox) = context.sandbox() {
                        sandbox.admitted().await;
                    }
                    self.explain("");
                    return;
                }
                Err(error) => {
                    let why = chain(&error).to_string();
                    // What is made at the same moment (an account's token, its certificates) is there in a moment.
                    if wait > Duration::from_millis(400) {
                        self.event(true, "FailedMount", format!("MountVolume.SetUp failed for {why}"));
                        self.explain(&why);
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = changes.any() => {}
                    }
                    wait = (wait * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Why the pod may not run, by what its namespace enforces. The API server has asked the same before it stored the pod;
    /// whoever got round it, or wrote to the store, does not get round this.
    async fn refused(&self) -> Option<String> {
        let context = &self.context;
        let path = format!("/api/v1/namespaces/{}", context.namespace);
        let mut wait = Duration::from_millis(50);
        let namespace = loop {
            match context.machine.api.get(&path).await {
                Ok(namespace) => break namespace,
                // Without a namespace its labels say nothing, which is no permission.
                Err(error) if error.is_missing() => break Value::Null,
                Err(error) => {
                    self.explain(&format!("the namespace could not be read: {}", chain(&error)));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        };
        // What is checked is what is run: fields that the agent does not know have no effect here.
        let pod = serde_json::to_value(&*context.pod()).unwrap_or_default();
        let name = &context.name;
        let why = pod_security::refusal(&namespace, &pod, None)?;
        Some(format!(
            "pods \"{name}\" is forbidden: {why}; remove it and make it without, or ask who runs the fleet to set `podSecurity`"
        ))
    }

    /// Shows in every container's state why nothing starts.
    fn explain(&self, why: &str) {
        self.context.change(|record| {
            for container in &mut record.containers {
                if let Doing::Waiting { message, .. } = &mut container.doing {
                    why.clone_into(message);
                }
            }
        });
    }

    /// Ids of its own for a pod that shares the node's network.
    fn own_users(&self) -> Result<(), String> {
        if let Some(map) = self.context.machine.ids(&self.context.pod())? {
            let made = Users::make(map, &[]).map_err(|error| format!("its user namespace: {error}"))?;
            self.context.settle(Ground {
                sandbox: None,
                users: Some(Arc::new(made.0)),
            });
        }
        Ok(())
    }

    async fn sandbox(&self) -> Result<(), String> {
        let (context, machine) = (&self.context, &self.context.machine);
        let map = machine.ids(&context.pod())?;
        let address = machine.ipam.take();
        let address = address.ok_or_else(|| "all addresses of this node are in use".to_owned())?;
        let hostname = context.hostname();
        let sysctls = sysctls::asked(&context.pod());
        let who = (context.uid.as_str(), hostname.as_str(), sysctls);
        let made = Sandbox::new(
            &machine.links,
            &machine.network,
            who,
            (address, machine.address()),
            map,
        );
        let sandbox = made.await.map_err(|error| chain(&error).to_string())?;
        context.settle(Ground {
            sandbox: Some(Arc::new(sandbox)),
            users: None,
        });
        Ok(())
    }

    /// Keeps volumes current. Never returns.
    async fn refresh(&self) {
        let context = &self.context;
        let mut wait = Duration::from_secs(60);
        loop {
            let mut changes = context.changes();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changes.any() => {}
            }
            let mut volumes = context.volumes.lock().await;
            wait = match volumes
                .refresh(&context.machine, &context.pod(), &context.downward())
                .await
            {
                Ok(next) => next.min(Duration::from_secs(60)),
                Err(error) => {
                    let why = chain(&error);
                    self.event(true, "FailedMount", format!("MountVolume.SetUp failed for {why}"));
                    Duration::from_secs(10)
                }
            };
        }
    }

    /// Ends the pod when it takes more of the disk than it may. Never returns.
    async fn watch_usage(&self) {
        let budget = {
            let volumes = self.context.volumes.lock().await;
            budget(&self.context.pod(), volumes.watched())
        };
        if budget.volumes.is_empty() {
            return std::future::pending().await;
        }
        let mut wait = MEASURED;
        loop {
            tokio::time::sleep(wait).await;
            let begun = Instant::now();
            let budget = budget.clone();
            // An error means that the agent ends.
            let exceeded = tokio::task::spawn_blocking(move || budget.exceeded()).await;
            if let Ok(Some(text)) = exceeded {
                self.event(true, "Evicted", text.clone());
                self.context
                    .change(|record| record.verdict = Some(("Failed", "Evicted".to_owned(), text)));
                self.stop(Duration::ZERO);
                return std::future::pending().await;
            }
            // A volume with very many files takes a while to measure: never more than a small part of the time.
            wait = MEASURED.max(begun.elapsed() * 20);
        }
    }

    fn supervisor(&self, index: usize, role: Role, order: watch::Receiver<Order>) -> Supervisor {
        Supervisor {
            pod: Arc::clone(&self.context),
            index,
            role,
            order,
        }
    }

    /// Runs the containers until all have ended for good.
    async fn containers(&self) {
        let roles: Vec<Role> = self
            .context
            .look(|record| record.containers.iter().map(|c| c.role).collect());
        // Sidecars are told to stop only when the main containers have.
        let last = watch::Sender::new(Order::Run);
        let mut sidecars: JoinSet<()> = JoinSet::new();
        sidecars.spawn(guests::run(Arc::clone(&self.context), last.subscribe()));
        let mut begun = Instant::now();
        let mut good = true;
        for (index, role) in roles.iter().enumerate() {
            if self.stopped() || !good {
                break;
            }
            match role {
                Role::Main | Role::Guest => {}
                Role::Init => {
                    self.supervisor(index, Role::Init, self.orders.subscribe())
                        .run()
                        .await;
                    good = self.context.look(|record| {
                        let doing = record.containers.get(index).map(|container| &container.doing);
                        matches!(doing, Some(Doing::Terminated(ended)) if ended.exit.code == 0)
                    });
                }
                Role::Sidecar => {
                    sidecars.spawn(self.supervisor(index, Role::Sidecar, last.subscribe()).run());
                    let started = self
                        .context
                        .until(|record| record.containers.get(index).is_none_or(|c| c.started));
                    tokio::select! {
                        () = started => {}
                        () = self.until_stopped() => {}
                    }
                }
            }
        }
        if good && !self.stopped() {
            self.context.change(|record| {
                for container in record
                    .containers
                    .iter_mut()
                    .filter(|container| container.role == Role::Main)
                {
                    if let Doing::Waiting { reason, .. } = &mut container.doing {
                        "ContainerCreating".clone_into(reason);
                    }
                }
            });
            let mut mains: JoinSet<()> = JoinSet::new();
            for (index, role) in roles.iter().enumerate().filter(|(_, role)| **role == Role::Main) {
                mains.spawn(self.supervisor(index, *role, self.orders.subscribe()).run());
            }
            tokio::select! {
                () = self.until_stopped() => begun = Instant::now(),
                () = join(&mut mains) => {}
            }
            join(&mut mains).await;
        }
        let grace = match *self.orders.borrow() {
            Order::Stop { grace } => grace.saturating_sub(begun.elapsed()),
            Order::Run => self.context.grace(),
        };
        last.send_replace(Order::Stop { grace });
        join(&mut sidecars).await;
    }

    async fn tear_down(&self) {
        let (context, machine) = (&self.context, &self.context.machine);
        context.volumes.lock().await.remove();
        let ground = context.leave();
        if let Some(sandbox) = &ground.sandbox {
            sandbox.disconnect(&machine.links).await;
        }
        drop(ground);
        if let Some(cgroup) = machine.cgroup(&context.uid) {
            cgroups::remove_below(&cgroup);
        }
    }
}

/// What a pod may take of the disk.
fn budget(pod: &Pod, volumes: Vec<Watched>) -> Budget {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let limits: Option<Vec<u128>> = containers
        .map(|container| spec::limit(container, "ephemeral-storage"))
        .collect();
    let whole = limits.filter(|limits| !limits.is_empty()).map(|limits| {
        let bytes = u64::try_from(limits.iter().sum::<u128>() / 1000).unwrap_or(u64::MAX);
        let shown = match bytes {
            bytes if bytes % (1 << 30) == 0 => format!("{}Gi", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => format!("{}Mi", bytes >> 20),
            bytes => bytes.to_string(),
        };
        (bytes, shown)
    });
    Budget { volumes, whole }
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a container's supervisor broke off");
        }
    }
}
