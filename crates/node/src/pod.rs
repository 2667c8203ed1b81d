//! What the containers of one pod share, and how its status reaches the API server.

use super::client::Patch;
use super::env::{ConfigError, Downward};
use super::machine::Machine;
use super::sandbox::Sandbox;
use super::spec::Bind;
use super::state::PodRecord;
use super::status;
use super::users::Users;
use super::visit::Visited;
use super::volumes::Volumes;
use crate::fabric::{DNS, DOMAIN};
use herder_base::chain;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What the API server wants of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    /// As last seen.
    pub(crate) pod: Arc<Pod>,
    /// It is not there any more.
    pub(crate) gone: bool,
}

/// What a container shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run.
    Run,
    /// End, within this time from the order.
    Stop {
        /// How long it may take.
        grace: Duration,
    },
}

/// What a pod stands on while it runs. Whatever is in it is given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Namespaces of its own, unless it shares the node's network.
    pub(crate) sandbox: Option<Arc<Sandbox>>,
    /// Its user namespace, if it has one and shares the node's network.
    pub(crate) users: Option<Arc<Users>>,
}

/// A pod on this node.
#[derive(Debug)]
pub(crate) struct PodContext {
    /// The node.
    pub(crate) machine: Arc<Machine>,
    /// Its uid.
    pub(crate) uid: String,
    /// Its name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    ground: Mutex<Ground>,
    /// Its running containers, by name.
    visited: Mutex<HashMap<String, Arc<Visited>>>,
    /// Its volumes.
    pub(crate) volumes: tokio::sync::Mutex<Volumes>,
    desired: watch::Receiver<Desired>,
    wake: watch::Receiver<u64>,
    record: Mutex<PodRecord>,
    dirty: Notify,
    progress: watch::Sender<u64>,
    running: Arc<Mutex<HashSet<i32>>>,
}

/// Hears when trying again may help.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Waits for a change of the pod's spec, or of a config map or secret it names.
    pub(crate) async fn any(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PodContext {
    /// A pod just heard of.
    pub(crate) fn new(
        machine: Arc<Machine>,
        desired: watch::Receiver<Desired>,
        wake: watch::Receiver<u64>,
        running: Arc<Mutex<HashSet<i32>>>,
    ) -> Self {
        let pod = Arc::clone(&desired.borrow().pod);
        let meta = &pod.metadata;
        let record = Mutex::new(PodRecord::new(&pod, machine.now()));
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            ground: Mutex::default(),
            visited: Mutex::default(),
            volumes: tokio::sync::Mutex::default(),
            dirty: Notify::new(),
            progress: watch::Sender::new(0),
            machine,
            desired,
            wake,
            record,
            running,
        }
    }

    /// The pod as last seen.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.desired.borrow().pod)
    }

    /// A receiver of what the API server wants.
    pub(crate) fn desired(&self) -> watch::Receiver<Desired> {
        self.desired.clone()
    }

    /// See `Changes`.
    pub(crate) fn changes(&self) -> Changes {
        let mut wake = self.wake.clone();
        wake.mark_unchanged();
        Changes(wake)
    }

    /// Changes what is known, and has it published.
    pub(crate) fn change(&self, change: impl FnOnce(&mut PodRecord)) {
        change(&mut lock(&self.record));
        self.dirty.notify_one();
        self.progress.send_modify(|count| *count += 1);
    }

    /// Looks at what is known.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&PodRecord) -> T) -> T {
        look(&lock(&self.record))
    }

    /// Waits until what is known satisfies `test`.
    pub(crate) async fn until(&self, test: impl Fn(&PodRecord) -> bool) {
        let mut progress = self.progress.subscribe();
        while !self.look(&test) {
            // The sender is `self`'s.
            _ = progress.changed().await;
        }
    }

    /// Processes to end when the agent ends.
    pub(crate) fn pids(&self, change: impl FnOnce(&mut HashSet<i32>)) {
        change(&mut lock(&self.running));
    }

    /// `restartPolicy`.
    pub(crate) fn policy(&self) -> String {
        let policy = self
            .pod()
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.clone());
        policy.unwrap_or_else(|| "Always".to_owned())
    }

    /// `terminationGracePeriodSeconds`.
    pub(crate) fn grace(&self) -> Duration {
        let seconds = self
            .pod()
            .spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(
            seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .unwrap_or(30),
        )
    }

    /// A container's name.
    pub(crate) fn container_name(&self, index: usize) -> String {
        self.look(|record| {
            record
                .containers
                .get(index)
                .map(|c| c.name.clone())
                .unwrap_or_default()
        })
    }

    /// How often a container was started again.
    pub(crate) fn restarts(&self, index: usize) -> u32 {
        self.look(|record| record.containers.get(index).map_or(0, |c| c.restarts))
    }

    /// Namespaces of its own, unless it shares the node's network.
    pub(crate) fn sandbox(&self) -> Option<Arc<Sandbox>> {
        lock(&self.ground).sandbox.clone()
    }

    /// Whether it has no network of its own.
    pub(crate) fn shares_network(&self) -> bool {
        let pod = self.pod();
        pod.spec
            .as_ref()
            .is_some_and(|spec| spec.host_network == Some(true))
    }

    /// A running container.
    pub(crate) fn visited(&self, container: &str) -> Option<Arc<Visited>> {
        lock(&self.visited).get(container).cloned()
    }

    /// All running containers.
    pub(crate) fn all_visited(&self) -> Vec<(String, Arc<Visited>)> {
        let known = lock(&self.visited);
        known
            .iter()
            .map(|(name, visited)| (name.clone(), Arc::clone(visited)))
            .collect()
    }

    /// Lets visitors find a container, or, with `None`, not any more.
    pub(crate) fn open(&self, container: &str, visited: Option<Visited>) {
        let mut known = lock(&self.visited);
        match visited {
            Some(visited) => drop(known.insert(container.to_owned(), Arc::new(visited))),
            None => drop(known.remove(container)),
        }
    }

    /// What the pod stands on from now on.
    pub(crate) fn settle(&self, ground: Ground) {
        *lock(&self.ground) = ground;
    }

    /// Takes the ground away from a pod that has ended: one that waits to be deleted, maybe for days, holds no address,
    /// no ids and no namespaces.
    pub(crate) fn leave(&self) -> Ground {
        std::mem::take(&mut *lock(&self.ground))
    }

    /// The pod's address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.sandbox()
            .map_or_else(|| self.machine.address(), |sandbox| sandbox.address())
    }

    /// What its processes see as host name.
    pub(crate) fn hostname(&self) -> String {
        let own = self
            .pod()
            .spec
            .as_ref()
            .and_then(|spec| spec.hostname.clone())
            .filter(|name| !name.is_empty());
        let name = own.unwrap_or_else(|| self.name.clone());
        name.get(..name.len().min(63))
            .unwrap_or_default()
            .trim_end_matches(['-', '.'])
            .to_owned()
    }

    /// What the downward API says.
    pub(crate) fn downward(&self) -> Downward {
        Downward {
            pod_ip: self.address().to_string(),
            host_ip: self.machine.address().to_string(),
            memory: self.machine.share.memory,
            cpu_millis: self.machine.share.cpu_millis,
        }
    }

    /// Its user namespace, unless it has the machine's ids.
    pub(crate) fn users(&self) -> Option<Arc<Users>> {
        let ground = lock(&self.ground);
        match &ground.sandbox {
            Some(sandbox) => sandbox.users.clone(),
            None => ground.users.clone(),
        }
    }

    /// The namespaces the container runtime makes (without a path) or joins.
    pub(crate) fn namespaces(&self) -> Vec<(&'static str, Option<String>)> {
        let own = match self.sandbox() {
            Some(_) => Vec::new(),
            None => vec![("ipc", None), ("uts", None)],
        };
        let users = self.users().map(|users| ("user", Some(users.path())));
        users.into_iter().chain(own).collect()
    }

    /// The namespaces the launcher joins.
    pub(crate) fn joined(&self) -> Vec<String> {
        self.sandbox().map(|sandbox| sandbox.paths()).unwrap_or_default()
    }

    /// A container's view of the volumes.
    pub(crate) async fn binds(
        &self,
        pod: &Pod,
        container: &Container,
        env: &[(String, String)],
    ) -> Result<Vec<Bind>, ConfigError> {
        self.volumes.lock().await.binds(pod, container, env)
    }

    /// Files of the pod's own in `/etc`.
    pub(crate) fn etc(&self) -> Vec<(String, String)> {
        let pod = self.pod();
        let hostname = self.hostname();
        let mut hosts = String::from("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n");
        hosts.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
        // Writing to a string does not fail.
        _ = writeln!(hosts, "{}\t{hostname}", self.address());
        for alias in pod
            .spec
            .iter()
            .flat_map(|spec| spec.host_aliases.iter().flatten())
        {
            _ = writeln!(
                hosts,
                "{}\t{}",
                alias.ip,
                alias.hostnames.clone().unwrap_or_default().join("\t")
            );
        }
        vec![
            ("hosts".to_owned(), hosts),
            ("hostname".to_owned(), format!("{hostname}\n")),
            ("resolv.conf".to_owned(), resolv_conf(&pod)),
        ]
    }

    /// Publishes every change until dropped.
    pub(crate) async fn publish(&self) {
        let mut shown = Value::Null;
        loop {
            self.dirty.notified().await;
            self.flush(&mut shown).await;
        }
    }

    /// Publishes what is known, trying until the API server has it or has no such pod.
    pub(crate) async fn flush(&self, shown: &mut Value) {
        let mut wait = Duration::from_millis(50);
        loop {
            let status = {
                let host = self.machine.address().to_string();
                let (pod, now) = (self.pod(), self.machine.now());
                status::render(&pod, &mut lock(&self.record), &host, now)
            };
            if *shown == status {
                return;
            }
            let path = format!("/api/v1/namespaces/{}/pods/{}/status", self.namespace, self.name);
            let body = json!({"metadata": {"uid": self.uid}, "status": status});
            match self.machine.api.patch(&path, Patch::Merge, &body).await {
                Ok(_) => {
                    *shown = status;
                    return;
                }
                // Gone, or another pod of this name: the watch will say so.
                Err(error)
                    if error
                        .code()
                        .is_some_and(|code| matches!(code.as_u16(), 404 | 409 | 422)) =>
                {
                    tracing::debug!(pod = self.name, error = %chain(&error), "a status was not taken");
                    return;
                }
                Err(error) => {
                    tracing::warn!(pod = self.name, error = %chain(&error), "a status could not be written");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}

fn resolv_conf(pod: &Pod) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let config = spec.dns_config.unwrap_or_default();
    let machine = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let from_machine = |key: &str| -> Vec<String> {
        let lines = machine.lines().filter_map(|line| line.strip_prefix(key));
        lines
            .flat_map(|line| line.split_whitespace().map(str::to_owned))
            .collect()
    };
    let (mut servers, mut search, mut options) = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => (Vec::new(), Vec::new(), Vec::new()),
        "Default" => (
            from_machine("nameserver "),
            from_machine("search "),
            from_machine("options "),
        ),
        _ => (
            vec![DNS.to_string()],
            vec![
                format!("{namespace}.svc.{DOMAIN}"),
                format!("svc.{DOMAIN}"),
                DOMAIN.to_owned(),
            ],
            vec!["ndots:5".to_owned()],
        ),
    };
    servers.extend(config.nameservers.unwrap_or_default());
    search.extend(config.searches.unwrap_or_default());
    for option in config.options.unwrap_or_default() {
        let name = option.name.unwrap_or_default();
        options.retain(|known| known.split(':').next() != Some(&name));
        options.push(
            option
                .value
                .map_or_else(|| name.clone(), |value| format!("{name}:{value}")),
        );
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    for server in servers {
        _ = writeln!(text, "nameserver {server}");
    }
    if !search.is_empty() {
        _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers() {
        let of = |spec: Value| {
            let mut pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "shop"}})).unwrap();
            pod.spec = serde_json::from_value(spec).unwrap();
            resolv_conf(&pod)
        };
        let first = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\n";
        assert_eq!(of(json!({"containers": []})), format!("{first}options ndots:5\n"));
        let own = json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"],
            "options": [{"name": "ndots", "value": "1"}, {"name": "rotate"}]}});
        assert_eq!(of(own), "nameserver 1.2.3.4\noptions ndots:1 rotate\n");
    }
}
