//! The scheduler: gives each new pod a node. Woken by events, decides for all waiting pods at once, binds through the
//! registry. Knows nothing of how nodes run pods.

mod fit;
mod score;

pub(crate) use fit::{daemon_fits, tolerates};

use crate::controllers::{Condition, Recorder, condition_of, pod, set_condition};
use fit::Room;
use herder_apiserver::registry::{Event, EventKind, Registry, Status};
use herder_base::Clock;
use herder_object::field::{deleting, int, items, put, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PODS: &str = "pods";
const CLAIMS: &str = "persistentvolumeclaims";
/// After a failed write, all waiting pods are looked at again.
const RETRY: Duration = Duration::from_millis(200);

type Place = (String, String);

/// Schedules until cancelled.
pub(crate) async fn run(
    registry: Registry,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
    cancel: CancellationToken,
) {
    let scheduler = Scheduler {
        registry,
        clock,
        recorder,
    };
    while !cancel.is_cancelled() {
        // A reader that fell behind starts over.
        scheduler.follow(&cancel).await;
    }
}

struct Scheduler {
    registry: Registry,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
}

impl Scheduler {
    async fn follow(&self, cancel: &CancellationToken) {
        let mut events = self.registry.subscribe();
        let mut waiting: BTreeSet<Place> = BTreeSet::new();
        let mut look = true;
        for p in self.registry.list(PODS, None).0 {
            if is_waiting(&p) {
                waiting.insert(place(&p));
            }
        }
        loop {
            if look && !waiting.is_empty() {
                look = !self.schedule(&mut waiting).await;
            } else {
                look = false;
            }
            let event = tokio::select! {
                () = cancel.cancelled() => return,
                event = events.next() => event,
                () = tokio::time::sleep(RETRY), if look => continue,
            };
            let Ok(event) = event else { return };
            look |= note(&event, &mut waiting);
            // Take what else is there, so that a burst is decided on at once.
            loop {
                match events.try_next() {
                    Ok(Some(event)) => look |= note(&event, &mut waiting),
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }

    /// Decides on all waiting pods. False if something could not be written and must be tried again.
    async fn schedule(&self, waiting: &mut BTreeSet<Place>) -> bool {
        let pods = self.registry.list(PODS, None).0;
        let mut rooms: BTreeMap<String, Room> = self
            .registry
            .list("nodes", None)
            .0
            .into_iter()
            .filter(|n| !deleting(n))
            .map(|n| (text(&n, "/metadata/name").to_owned(), Room::new(n)))
            .collect();
        let mut placed: Vec<Arc<Value>> = Vec::new();
        for p in pods.iter().filter(|p| !pod::ended(p)) {
            if let Some(room) = rooms.get_mut(text(p, "/spec/nodeName")) {
                room.take(p);
                placed.push(Arc::clone(p));
            }
        }
        let mut queue: Vec<Arc<Value>> = waiting
            .iter()
            .filter_map(|(namespace, name)| self.registry.get(PODS, namespace, name))
            .filter(|p| is_waiting(p))
            .collect();
        waiting.retain(|w| queue.iter().any(|p| place(p) == *w));
        queue.sort_by(|a, b| {
            let key = |p: &Value| {
                let priority = int(p, "/spec/priority").unwrap_or_default();
                (
                    -priority,
                    text(p, "/metadata/creationTimestamp").to_owned(),
                    place(p),
                )
            };
            key(a).cmp(&key(b))
        });
        let mut bindings = Vec::new();
        let mut refusals = Vec::new();
        let mut rooms: Vec<Room> = rooms.into_values().collect();
        for p in queue {
            match self.choose(&p, &rooms, &placed) {
                Ok(node) => {
                    let mut assumed = (*p).clone();
                    put(&mut assumed, &["spec", "nodeName"], node.clone());
                    if let Some(room) = rooms.iter_mut().find(|r| r.name() == node) {
                        room.take(&assumed);
                    }
                    placed.push(Arc::new(assumed));
                    bindings.push((p, node));
                }
                Err(why) => refusals.push((p, why)),
            }
        }
        let bound = futures::future::join_all(bindings.iter().map(|(p, node)| self.bind(p, node)));
        let refused = futures::future::join_all(refusals.iter().map(|(p, why)| self.refuse(p, why)));
        let (bound, refused) = futures::future::join(bound, refused).await;
        let mut ok = refused.into_iter().all(|r| r.is_ok());
        for ((p, _), result) in bindings.iter().zip(bound) {
            match result {
                Ok(()) => {
                    waiting.remove(&place(p));
                }
                Err(status) if status.is_not_found() || status.is_conflict() => {
                    waiting.remove(&place(p));
                }
                Err(status) => {
                    tracing::warn!(%status, "could not bind a pod to a node; will try again");
                    ok = false;
                }
            }
        }
        ok
    }

    /// The best node for a pod, or why there is none, in Kubernetes' words.
    fn choose(&self, p: &Value, rooms: &[Room], placed: &[Arc<Value>]) -> Result<String, String> {
        if let Some(why) = self.missing_claim(p) {
            return Err(format!("0/{} nodes are available: {why}.", rooms.len()));
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<(i64, &Room)> = None;
        for room in rooms {
            let refusal =
                fit::refusal(p, room).or_else(|| score::forbidden(p, room, rooms, placed).map(str::to_owned));
            match refusal {
                Some(why) => *reasons.entry(why).or_default() += 1,
                None => {
                    let score = score::score(p, room, placed);
                    if best.is_none_or(|(other, _)| score > other) {
                        best = Some((score, room));
                    }
                }
            }
        }
        if let Some((_, room)) = best {
            return Ok(room.name().to_owned());
        }
        if rooms.is_empty() {
            return Err("no nodes available to schedule pods".to_owned());
        }
        let list: Vec<String> = reasons
            .iter()
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        Err(format!(
            "0/{} nodes are available: {}.",
            rooms.len(),
            list.join(", ")
        ))
    }

    fn missing_claim(&self, p: &Value) -> Option<String> {
        let namespace = text(p, "/metadata/namespace");
        for volume in items(p, "/spec/volumes") {
            let name = match text(volume, "/persistentVolumeClaim/claimName") {
                "" if volume.get("ephemeral").is_none() => continue,
                "" => continue,
                name => name,
            };
            match self.registry.get(CLAIMS, namespace, name) {
                None => return Some(format!("persistentvolumeclaim \"{name}\" not found")),
                Some(claim) if deleting(&claim) => {
                    return Some(format!("persistentvolumeclaim \"{name}\" is being deleted"));
                }
                Some(claim) if text(&claim, "/status/phase") != "Bound" => {
                    return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
                }
                Some(_) => {}
            }
        }
        None
    }

    async fn bind(&self, p: &Value, node: &str) -> Result<(), Status> {
        let (namespace, name) = place(p);
        let uid = text(p, "/metadata/uid");
        let mut bound = false;
        self.registry
            .modify(PODS, &namespace, &name, |live| {
                bound = text(live, "/metadata/uid") == uid && is_waiting(live);
                if bound {
                    put(live, &["spec", "nodeName"], node);
                }
                bound
            })
            .await?;
        if !bound {
            return Ok(());
        }
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        self.recorder.record(p, "Normal", "Scheduled", &message);
        let now = self.clock.now();
        self.registry
            .modify_status(PODS, &namespace, &name, |live| {
                let mut status = live.get("status").cloned().unwrap_or_else(|| json!({}));
                let scheduled = Condition {
                    kind: "PodScheduled",
                    status: "True",
                    reason: "",
                    message: "",
                };
                set_condition(&mut status, &scheduled, now);
                put(live, &["status"], status);
                true
            })
            .await
            .map(drop)
    }

    async fn refuse(&self, p: &Value, why: &str) -> Result<(), Status> {
        let (namespace, name) = place(p);
        let known = condition_of(p, "PodScheduled").is_some_and(|c| text(c, "/message") == why);
        if known {
            return Ok(());
        }
        // A claim is usually bound a moment after its pod was made: that is nothing to warn of.
        if !why.contains("unbound immediate") {
            self.recorder.record(p, "Warning", "FailedScheduling", why);
        }
        let now = self.clock.now();
        let written = self
            .registry
            .modify_status(PODS, &namespace, &name, |live| {
                let mut status = live.get("status").cloned().unwrap_or_else(|| json!({}));
                let refused = Condition {
                    kind: "PodScheduled",
                    status: "False",
                    reason: "Unschedulable",
                    message: why,
                };
                set_condition(&mut status, &refused, now);
                if text(&status, "/phase").is_empty() {
                    put(&mut status, &["phase"], "Pending");
                }
                put(live, &["status"], status);
                true
            })
            .await;
        match written {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }
}

fn place(object: &Value) -> Place {
    (
        text(object, "/metadata/namespace").to_owned(),
        text(object, "/metadata/name").to_owned(),
    )
}

fn is_waiting(p: &Value) -> bool {
    text(p, "/spec/nodeName").is_empty()
        && !deleting(p)
        && !pod::ended(p)
        && items(p, "/spec/schedulingGates").is_empty()
        && matches!(text(p, "/spec/schedulerName"), "" | "default-scheduler")
}

/// Takes in one event; true if waiting pods should be looked at (again).
fn note(event: &Event, waiting: &mut BTreeSet<Place>) -> bool {
    match &*event.resource {
        PODS => {
            let key = place(&event.object);
            if event.kind != EventKind::Deleted && is_waiting(&event.object) {
                // A refusal changes the pod's status, which is no reason to look again.
                let new = waiting.insert(key);
                return new
                    || event
                        .previous
                        .as_deref()
                        .is_some_and(|p| p.get("spec") != event.object.get("spec"));
            }
            waiting.remove(&key);
            // Room was made.
            event.kind == EventKind::Deleted || pod::ended(&event.object)
        }
        "nodes" => {
            let about = |n: &Value| {
                (
                    n.get("spec").cloned(),
                    n.pointer("/status/allocatable").cloned(),
                    n.pointer("/metadata/labels").cloned(),
                    crate::controllers::condition_is_true(n, "Ready"),
                )
            };
            event
                .previous
                .as_deref()
                .is_none_or(|p| about(p) != about(&event.object))
        }
        CLAIMS => true,
        _ => false,
    }
}
