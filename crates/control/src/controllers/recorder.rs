//! Writes Kubernetes events, repeated ones as a count. Recording never waits: when events come faster than they can be
//! written, some are dropped, as they are only for people.

use herder_apiserver::registry::Registry;
use herder_base::Clock;
use herder_object::field::{int, micro_stamp, put, stamp, text, time};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long an event is kept after it last happened.
const KEEP: Duration = Duration::from_secs(3600);
/// So many distinct events are remembered for counting.
const REMEMBER: usize = 2048;

/// Takes events to be written.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    component: &'static str,
    sender: mpsc::Sender<Note>,
}

#[derive(Debug)]
pub(crate) struct Note {
    component: &'static str,
    about: Value,
    kind: &'static str,
    reason: String,
    message: String,
}

impl Recorder {
    /// A recorder, and the receiver for [`write`].
    pub(crate) fn new(component: &'static str) -> (Self, mpsc::Receiver<Note>) {
        let (sender, receiver) = mpsc::channel(1024);
        (Self { component, sender }, receiver)
    }

    /// The same recorder under another component's name.
    pub(crate) fn named(&self, component: &'static str) -> Self {
        Self {
            component,
            sender: self.sender.clone(),
        }
    }

    /// Notes an event about an object.
    pub(crate) fn record(&self, about: &Value, kind: &'static str, reason: &str, message: &str) {
        let reference = json!({
            "apiVersion": text(about, "/apiVersion"),
            "kind": text(about, "/kind"),
            "namespace": text(about, "/metadata/namespace"),
            "name": text(about, "/metadata/name"),
            "uid": text(about, "/metadata/uid"),
            "resourceVersion": text(about, "/metadata/resourceVersion"),
        });
        let note = Note {
            component: self.component,
            about: reference,
            kind,
            reason: reason.to_owned(),
            // Kubernetes keeps 1024 bytes.
            message: message.chars().take(1024).collect(),
        };
        if self.sender.try_send(note).is_err() {
            tracing::debug!(reason, message, "dropped an event");
        }
    }
}

type Key = (String, String, String, &'static str);

/// Writes what recorders note, until cancelled.
pub(crate) async fn write(
    registry: Registry,
    clock: Arc<dyn Clock>,
    mut notes: mpsc::Receiver<Note>,
    cancel: CancellationToken,
) {
    let mut known: HashMap<Key, (String, String)> = HashMap::new();
    let mut order: VecDeque<Key> = VecDeque::new();
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let taken = tokio::select! {
            () = cancel.cancelled() => return,
            taken = notes.recv_many(&mut batch, 64) => taken,
        };
        if taken == 0 {
            return;
        }
        let mut writes = Vec::new();
        for note in batch.drain(..) {
            let key = (
                text(&note.about, "/uid").to_owned(),
                note.reason.clone(),
                note.message.clone(),
                note.component,
            );
            let place = known.get(&key).cloned();
            let fresh = place.is_none();
            let (namespace, name) = place.unwrap_or_else(|| new_name(&note, &*clock));
            if fresh {
                known.insert(key.clone(), (namespace.clone(), name.clone()));
                order.push_back(key);
                if order.len() > REMEMBER
                    && let Some(oldest) = order.pop_front()
                {
                    known.remove(&oldest);
                }
            }
            writes.push(write_one(&registry, &*clock, note, namespace, name, fresh));
        }
        futures::future::join_all(writes).await;
    }
}

fn new_name(note: &Note, clock: &dyn Clock) -> (String, String) {
    let namespace = match text(&note.about, "/namespace") {
        "" => "default",
        namespace => namespace,
    };
    let name = format!(
        "{}.{:x}{:04x}",
        text(&note.about, "/name"),
        clock.now().as_nanosecond(),
        crc(&format!("{}{}", note.reason, note.message)),
    );
    (namespace.to_owned(), name)
}

/// Tells events of the same instant apart.
fn crc(text: &str) -> u16 {
    text.bytes()
        .fold(0_u16, |sum, byte| sum.rotate_left(3) ^ u16::from(byte))
}

async fn write_one(
    registry: &Registry,
    clock: &dyn Clock,
    note: Note,
    namespace: String,
    name: String,
    fresh: bool,
) {
    let now = stamp(clock.now());
    if !fresh {
        let seen = registry
            .modify("events", &namespace, &name, |event| {
                let count = int(event, "/count").unwrap_or(1) + 1;
                put(event, &["count"], count);
                put(event, &["lastTimestamp"], now.clone());
                true
            })
            .await;
        if seen.is_ok() {
            return;
        }
    }
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": note.about,
        "reason": note.reason,
        "message": note.message,
        "type": note.kind,
        "source": {"component": note.component},
        "reportingComponent": note.component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "eventTime": null,
        "count": 1,
    });
    if let Err(status) = registry.create("events", event).await {
        tracing::debug!(%status, at = micro_stamp(clock.now()), "could not write an event");
    }
}

/// Deletes events that last happened more than an hour ago. Returns when to look again.
pub(crate) async fn expire(ctx: &super::context::Context) -> super::context::Outcome {
    let now = ctx.now();
    for event in ctx.list_all("events") {
        let last = [
            "/lastTimestamp",
            "/series/lastObservedTime",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]
        .iter()
        .find_map(|p| time(&event, p));
        let old = last.is_none_or(|at| at.saturating_add(KEEP).is_ok_and(|end| end < now));
        if old {
            ctx.delete("events", &event).await?;
        }
    }
    Ok(Some(KEEP / 6))
}
