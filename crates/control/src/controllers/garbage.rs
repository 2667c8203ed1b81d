//! Deletes what is owned by something that is gone: background, foreground and orphan propagation.
//! Owns the graph of who owns whom, fed with every event in order.

use super::context::{Context, Failure, Outcome};
use herder_apiserver::registry::{DeleteOptions, EventKind};
use herder_object::field::{deleting, flag, items, text};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    resource: Arc<str>,
    namespace: String,
    name: String,
}

/// Which objects there are and what depends on them, by uid.
#[derive(Debug, Default)]
pub(super) struct Graph {
    live: HashMap<String, Place>,
    owners: HashMap<String, Vec<String>>,
    dependents: HashMap<String, HashSet<String>>,
}

impl Graph {
    /// Takes in one change; answers the uids whose dependents or owners must be looked at.
    pub(super) fn take(&mut self, resource: &Arc<str>, kind: EventKind, object: &Value) -> Vec<String> {
        let uid = text(object, "/metadata/uid").to_owned();
        for owner in self.owners.remove(&uid).unwrap_or_default() {
            if let Some(set) = self.dependents.get_mut(&owner) {
                set.remove(&uid);
                if set.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
        let owners: Vec<String> = items(object, "/metadata/ownerReferences")
            .iter()
            .map(|r| text(r, "/uid").to_owned())
            .collect();
        if kind == EventKind::Deleted {
            self.live.remove(&uid);
            // Owners that wait for their dependents, and the dependents that lost their owner.
            let mut look: Vec<String> = owners.into_iter().filter(|o| self.live.contains_key(o)).collect();
            if self.dependents.contains_key(&uid) {
                look.push(uid);
            }
            return look;
        }
        let place = Place {
            resource: Arc::clone(resource),
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
        };
        self.live.insert(uid.clone(), place);
        let mut look: Vec<String> = owners
            .iter()
            .filter(|o| !self.live.contains_key(*o))
            .cloned()
            .collect();
        for owner in &owners {
            self.dependents
                .entry(owner.clone())
                .or_default()
                .insert(uid.clone());
        }
        if !owners.is_empty() {
            self.owners.insert(uid.clone(), owners);
        }
        if deleting(object) && [FOREGROUND, ORPHAN].iter().any(|f| has(object, f)) {
            look.push(uid);
        }
        look
    }

    fn dependents(&self, uid: &str) -> Vec<Place> {
        let set = self.dependents.get(uid);
        set.into_iter()
            .flatten()
            .filter_map(|d| self.live.get(d).cloned())
            .collect()
    }
}

fn has(object: &Value, finalizer: &str) -> bool {
    items(object, "/metadata/finalizers")
        .iter()
        .any(|f| f.as_str() == Some(finalizer))
}

/// Looks at one owner, there or gone.
pub(super) async fn reconcile(ctx: &Context, uid: &str) -> Outcome {
    let (place, dependents) = {
        let graph = ctx.graph.lock().unwrap_or_else(PoisonError::into_inner);
        (graph.live.get(uid).cloned(), graph.dependents(uid))
    };
    let owner = place
        .as_ref()
        .and_then(|p| ctx.get(&p.resource, &p.namespace, &p.name))
        .filter(|o| text(o, "/metadata/uid") == uid);
    let Some((place, owner)) = place.zip(owner) else {
        let work = dependents.iter().map(|d| collect(ctx, d, uid));
        futures::future::join_all(work)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        return Ok(None);
    };
    if !deleting(&owner) {
        return Ok(None);
    }
    let objects = dependents
        .iter()
        .filter_map(|d| Some((d, ctx.get(&d.resource, &d.namespace, &d.name)?)));
    if has(&owner, ORPHAN) {
        for (d, object) in objects {
            ctx.disown(&d.resource, &object, uid).await?;
        }
        ctx.unfinalize(&place.resource, &owner, ORPHAN).await?;
    } else if has(&owner, FOREGROUND) {
        let mut blocked = false;
        for (d, object) in objects {
            let reference = items(&object, "/metadata/ownerReferences")
                .iter()
                .find(|r| text(r, "/uid") == uid);
            blocked |= reference.is_some_and(|r| flag(r, "/blockOwnerDeletion"));
            if !deleting(&object) {
                collect(ctx, d, uid).await?;
            }
        }
        if !blocked {
            ctx.unfinalize(&place.resource, &owner, FOREGROUND).await?;
        }
    }
    Ok(None)
}

/// Deletes a dependent unless another owner still wants it; then only the reference goes.
async fn collect(ctx: &Context, place: &Place, owner_uid: &str) -> Result<(), Failure> {
    let Some(object) = ctx.get(&place.resource, &place.namespace, &place.name) else {
        return Ok(());
    };
    let owners = items(&object, "/metadata/ownerReferences");
    if !owners.iter().any(|r| text(r, "/uid") == owner_uid) {
        return Ok(());
    }
    let others = {
        let graph = ctx.graph.lock().unwrap_or_else(PoisonError::into_inner);
        owners
            .iter()
            .any(|r| text(r, "/uid") != owner_uid && graph.live.contains_key(text(r, "/uid")))
    };
    if others {
        return ctx.disown(&place.resource, &object, owner_uid).await;
    }
    let options = DeleteOptions {
        uid: Some(text(&object, "/metadata/uid").to_owned()),
        ..DeleteOptions::default()
    };
    ctx.delete_with(&place.resource, &object, options).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(uid: &str, owners: &[&str]) -> Value {
        let owners: Vec<_> = owners.iter().map(|u| json!({"uid": u})).collect();
        json!({"metadata": {"uid": uid, "name": uid, "namespace": "n", "ownerReferences": owners}})
    }

    #[test]
    fn knows_what_to_look_at() {
        let mut graph = Graph::default();
        let pods: Arc<str> = Arc::from("pods");
        assert!(graph.take(&pods, EventKind::Added, &object("rs", &[])).is_empty());
        assert!(
            graph
                .take(&pods, EventKind::Added, &object("p1", &["rs"]))
                .is_empty()
        );
        assert_eq!(
            graph.take(&pods, EventKind::Added, &object("lost", &["never"])),
            ["never"]
        );
        assert_eq!(graph.dependents("rs").len(), 1);
        let mut waiting = object("rs", &[]);
        waiting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        waiting["metadata"]["finalizers"] = json!([FOREGROUND]);
        assert_eq!(graph.take(&pods, EventKind::Modified, &waiting), ["rs"]);
        assert_eq!(
            graph.take(&pods, EventKind::Deleted, &object("p1", &["rs"])),
            ["rs"]
        );
        assert!(graph.dependents("rs").is_empty());
        graph.take(&pods, EventKind::Added, &object("p2", &["rs"]));
        assert_eq!(graph.take(&pods, EventKind::Deleted, &waiting), ["rs"]);
        assert_eq!(graph.dependents("rs").len(), 1);
    }
}
