//! What the watches have seen: objects by watch, kept current. Holds, never decides.

use herder_object::{Gvk, Key};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// One watch: a kind, and which of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Watch {
    pub(crate) gvk: Gvk,
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

impl Watch {
    pub(crate) fn all(api_version: &str, kind: &str) -> Self {
        Self {
            gvk: Gvk::new(api_version, kind),
            labels: None,
            fields: None,
        }
    }

    pub(crate) fn labelled(gvk: Gvk, selector: &str) -> Self {
        Self {
            gvk,
            labels: Some(selector.to_owned()),
            fields: None,
        }
    }
}

type Objects = BTreeMap<(String, String), Arc<Value>>;

/// What one watch has seen.
#[derive(Debug, Default)]
struct Seen {
    objects: Objects,
    /// The list that is being read.
    coming: Option<Objects>,
    /// A first list was read.
    complete: bool,
    /// Why there is none.
    error: Option<String>,
}

/// All watches.
#[derive(Debug)]
pub(crate) struct Cache {
    seen: Mutex<BTreeMap<Watch, Seen>>,
    wanted: watch::Sender<Vec<Watch>>,
    running: watch::Sender<bool>,
    changed: watch::Sender<u64>,
    finished: Mutex<VecDeque<Arc<Value>>>,
}

/// How many Jobs that ended and went are kept for whoever observes next.
const REMEMBERED: usize = 1000;

impl Default for Cache {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            wanted: watch::Sender::new(Vec::new()),
            running: watch::Sender::new(false),
            changed: watch::Sender::new(0),
            finished: Mutex::default(),
        }
    }
}

/// What happened to a watch's objects.
#[derive(Debug)]
pub(crate) enum Change {
    Restart,
    Listed(Value),
    Complete,
    Put(Value),
    Gone(Value),
    Failed(String),
}

impl Cache {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<Watch, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one change of one watch.
    pub(crate) fn take(&self, watch: &Watch, change: Change) {
        let mut all = self.seen();
        let seen = all.entry(watch.clone()).or_default();
        let prepared = |mut object: Value| {
            name_kind(&mut object, &watch.gvk.api_version(), &watch.gvk.kind);
            // Nobody here reads it, and it is half of many objects.
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            object
        };
        match change {
            Change::Restart => {
                seen.coming = Some(Objects::new());
                return;
            }
            Change::Listed(object) => {
                let object = prepared(object);
                seen.coming
                    .get_or_insert_with(Objects::new)
                    .insert(place(&object), Arc::new(object));
                return;
            }
            Change::Complete => {
                let before = std::mem::replace(&mut seen.objects, seen.coming.take().unwrap_or_default());
                for (place, object) in &before {
                    if !seen.objects.contains_key(place) {
                        self.note_finished(watch, object);
                    }
                }
                seen.complete = true;
                seen.error = None;
            }
            Change::Put(object) => {
                let object = prepared(object);
                let known = seen.objects.get(&place(&object));
                if known.is_some_and(|old| version(old) > version(&object)) {
                    return;
                }
                seen.objects.insert(place(&object), Arc::new(object));
            }
            Change::Gone(object) => {
                seen.objects.remove(&place(&object));
                self.note_finished(watch, &Arc::new(prepared(object)));
            }
            Change::Failed(why) => seen.error = Some(why),
        }
        drop(all);
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Puts the answer of a write into every watch that would see it, so that observing after applying is current.
    pub(crate) fn written(&self, object: &Value) {
        let Some(key) = Key::of(object) else { return };
        for watch in self.watching(&key) {
            let picked = watch.labels.as_deref().is_none_or(|selector| {
                selector
                    .split_once('=')
                    .is_none_or(|(name, value)| herder_object::labels(object).any(|l| l == (name, value)))
            });
            if picked {
                self.take(&watch, Change::Put(object.clone()));
            }
        }
    }

    fn watching(&self, key: &Key) -> Vec<Watch> {
        let same = |w: &Watch| w.gvk == key.gvk && w.fields.is_none();
        let all = self.seen();
        all.iter()
            .filter(|(w, seen)| same(w) && seen.complete)
            .map(|(w, _)| w.clone())
            .collect()
    }

    /// The resourceVersion of an object that some watch has seen.
    pub(crate) fn version_of(&self, key: &Key) -> Option<String> {
        let at = (key.namespace.clone(), key.name.clone());
        let all = self.seen();
        let object = all
            .iter()
            .filter(|(w, _)| w.gvk == key.gvk)
            .find_map(|(_, seen)| seen.objects.get(&at))?;
        Some(object.pointer("/metadata/resourceVersion")?.as_str()?.to_owned())
    }

    /// An object that some watch has seen.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        let at = (key.namespace.clone(), key.name.clone());
        let all = self.seen();
        all.iter()
            .filter(|(w, _)| w.gvk == key.gvk)
            .find_map(|(_, seen)| seen.objects.get(&at).cloned())
    }

    /// Jobs and pods of fleets that had ended when they were last seen, and are gone.
    pub(crate) fn finished(&self) -> Vec<Arc<Value>> {
        self.finished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    fn note_finished(&self, watch: &Watch, object: &Arc<Value>) {
        let fleets = || herder_object::labels(object).any(|(name, _)| name == crate::FLEET);
        if watch.gvk.kind == "Job" && crate::snapshot::is_over(object) && fleets() {
            let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever observes writes down what it sees: only what went since then matters.
            if finished.len() >= REMEMBERED {
                finished.pop_front();
            }
            finished.push_back(Arc::clone(object));
        }
    }

    /// All objects of a watch.
    pub(crate) fn objects(&self, watch: &Watch) -> Vec<Arc<Value>> {
        self.seen()
            .get(watch)
            .map(|s| s.objects.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Every watch that has been complete.
    pub(crate) fn complete(&self) -> Vec<Watch> {
        self.seen()
            .iter()
            .filter(|(_, s)| s.complete)
            .map(|(w, _)| w.clone())
            .collect()
    }

    /// Which of these watches are not complete yet, with the error if there is one.
    pub(crate) fn missing(&self, watches: &[Watch]) -> Vec<(Watch, Option<String>)> {
        let all = self.seen();
        watches
            .iter()
            .filter(|w| !all.get(w).is_some_and(|s| s.complete))
            .map(|w| ((*w).clone(), all.get(w).and_then(|s| s.error.clone())))
            .collect()
    }

    pub(crate) fn forget(&self, watch: &Watch) {
        self.seen().remove(watch);
    }

    /// Asks for more watches.
    pub(crate) fn want(&self, watches: &[Watch]) {
        self.wanted.send_if_modified(|wanted| {
            let before = wanted.len();
            for watch in watches {
                if !wanted.contains(watch) {
                    wanted.push(watch.clone());
                }
            }
            wanted.len() != before
        });
    }

    pub(crate) fn wanted(&self) -> watch::Receiver<Vec<Watch>> {
        self.wanted.subscribe()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn set_running(&self, running: bool) {
        self.running.send_replace(running);
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.running.borrow()
    }
}

fn place(object: &Value) -> (String, String) {
    (
        herder_object::namespace(object).to_owned(),
        herder_object::name(object).to_owned(),
    )
}

/// Kubernetes' versions are opaque, but every server that exists counts.
fn version(object: &Value) -> u64 {
    let version = object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str);
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// Says what an object is; items of a list do not.
pub(crate) fn name_kind(object: &mut Value, api_version: &str, kind: &str) {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), api_version.into());
        map.insert("kind".to_owned(), kind.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn newer_wins_and_lists_replace() {
        let cache = Cache::default();
        let watch = Watch::all("v1", "Pod");
        let pod = |name: &str, version: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "s", "name": name, "resourceVersion": version}});
        assert_eq!(cache.missing(std::slice::from_ref(&watch)).len(), 1);
        cache.take(&watch, Change::Restart);
        cache.take(&watch, Change::Listed(pod("a", "5")));
        assert!(cache.objects(&watch).is_empty());
        cache.take(&watch, Change::Complete);
        cache.written(&pod("a", "10"));
        cache.take(&watch, Change::Put(pod("a", "7")));
        cache.written(&pod("b", "11"));
        let versions: Vec<u64> = cache.objects(&watch).iter().map(|o| version(o)).collect();
        assert_eq!(versions, [10, 11]);
        cache.take(&watch, Change::Gone(pod("a", "12")));
        assert_eq!(cache.objects(&watch).len(), 1);
        cache.take(&watch, Change::Restart);
        cache.take(&watch, Change::Complete);
        assert!(cache.objects(&watch).is_empty());
    }
}
