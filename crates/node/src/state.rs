//! What the agent knows about a pod it runs. Data only; `status` turns it into what the API shows.

use super::reaper::Exit;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to completion before the next.
    Init,
    /// An init container that stays.
    Sidecar,
    /// The pod's purpose.
    Main,
    /// Came to look at the others (`kubectl debug`), and counts for nothing.
    Guest,
}

/// How an instance of a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its code and signal.
    pub(crate) exit: Exit,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` …
    pub(crate) reason: String,
    /// From its termination message, or why it could not start.
    pub(crate) message: String,
    /// When it started.
    pub(crate) started: Timestamp,
    /// When it ended.
    pub(crate) finished: Timestamp,
    /// Its id.
    pub(crate) id: String,
}

/// What a container does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing yet, or not now.
    Waiting { reason: String, message: String },
    /// Running since.
    Running { since: Timestamp },
    /// Ended, perhaps for good.
    Terminated(Ended),
}

/// One container.
#[derive(Debug, Clone)]
pub(crate) struct ContainerRecord {
    /// Its name.
    pub(crate) name: String,
    /// Its image, as declared.
    pub(crate) image: String,
    /// The image that it runs from, by digest.
    pub(crate) image_id: Option<String>,
    /// What it is for.
    pub(crate) role: Role,
    /// Now.
    pub(crate) doing: Doing,
    /// The previous instance.
    pub(crate) last: Option<Ended>,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// Passes its readiness probe.
    pub(crate) ready: bool,
    /// Passed its startup probe.
    pub(crate) started: bool,
    /// The id of the current instance.
    pub(crate) id: String,
}

/// One pod.
#[derive(Debug, Clone)]
pub(crate) struct PodRecord {
    /// Init containers (sidecars among them), then main ones.
    pub(crate) containers: Vec<ContainerRecord>,
    /// Its address, once it has one.
    pub(crate) ip: Option<Ipv4Addr>,
    /// When the agent first saw it.
    pub(crate) started: Timestamp,
    /// A verdict on the whole pod (`phase`, `reason`, `message`), over what the containers say.
    pub(crate) verdict: Option<(&'static str, String, String)>,
    /// It is being ended.
    pub(crate) ending: bool,
    /// Condition → value and since when.
    pub(crate) conditions: BTreeMap<&'static str, (bool, Timestamp)>,
}

/// The containers that came later, as containers, and whose processes each wants to see.
pub(crate) fn guests_of(pod: &Pod) -> Vec<(Container, Option<String>)> {
    let spec = pod.spec.as_ref();
    let guests = spec.and_then(|spec| spec.ephemeral_containers.as_ref());
    let guests = guests.into_iter().flatten();
    guests
        .filter_map(|guest| {
            let target = guest
                .target_container_name
                .clone()
                .filter(|name| !name.is_empty());
            // They have the same fields, and one more.
            let container = serde_json::from_value(serde_json::to_value(guest).ok()?).ok()?;
            Some((container, target))
        })
        .collect()
}

/// The role of each container, in the order of `PodRecord::containers`. Guests come after them.
pub(crate) fn containers_of(pod: &Pod) -> Vec<(Role, &Container)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let stays = container.restart_policy.as_deref() == Some("Always");
        (if stays { Role::Sidecar } else { Role::Init }, container)
    });
    init.chain(spec.containers.iter().map(|container| (Role::Main, container)))
        .collect()
}

impl ContainerRecord {
    /// A guest that has just come.
    pub(crate) fn guest(container: &Container) -> Self {
        Self {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            role: Role::Guest,
            doing: Doing::Waiting {
                reason: "ContainerCreating".to_owned(),
                message: String::new(),
            },
            last: None,
            restarts: 0,
            ready: false,
            started: false,
            id: String::new(),
            image_id: None,
        }
    }
}

impl PodRecord {
    /// A pod before anything was done. Counts of restarts are taken from its status: the agent may be a new one.
    pub(crate) fn new(pod: &Pod, now: Timestamp) -> Self {
        let status = serde_json::to_value(pod.status.clone().unwrap_or_default()).unwrap_or_default();
        let earlier = |name: &str| {
            ["containerStatuses", "initContainerStatuses"]
                .iter()
                .find_map(|list| {
                    let found = status
                        .get(list)?
                        .as_array()?
                        .iter()
                        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
                    let count = found.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
                    let ran = found.pointer("/state/waiting").is_none() || found.get("containerID").is_some();
                    u32::try_from(count).ok().map(|count| count + u32::from(ran))
                })
        };
        let has_init = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.init_containers.as_ref().is_some_and(|i| !i.is_empty()));
        let containers = containers_of(pod)
            .into_iter()
            .map(|(role, container)| ContainerRecord {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                image_id: None,
                role,
                doing: Doing::Waiting {
                    reason: if has_init {
                        "PodInitializing"
                    } else {
                        "ContainerCreating"
                    }
                    .to_owned(),
                    message: String::new(),
                },
                last: None,
                restarts: earlier(&container.name).unwrap_or(0),
                ready: false,
                started: false,
                id: String::new(),
            })
            .collect();
        Self {
            containers,
            ip: None,
            started: now,
            verdict: None,
            ending: false,
            conditions: BTreeMap::new(),
        }
    }
}
