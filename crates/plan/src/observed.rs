//! What a cluster looks like at one moment, as far as planning needs it.

use crate::Lessons;
use herder_object::{Gvk, Key};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A cluster at one moment: every object that carries a fleet label, every PersistentVolumeClaim and PersistentVolume
/// (whether state outlives its namespace is read from them), and the kinds it serves. More does no harm.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    objects: BTreeMap<Key, ObservedObject>,
    kinds: BTreeMap<(String, String), ServedKind>,
    /// Groups that did not say what they serve, and why.
    silent: BTreeMap<String, String>,
    /// What running workloads need, and one that does.
    used: BTreeMap<Key, String>,
    /// What earlier passes have taught.
    lessons: Lessons,
    /// Jobs that had ended when they were last seen, and are gone.
    finished: Vec<(Key, Arc<Value>)>,
}

/// A live object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedObject {
    /// Its identity, with the version it was read in.
    pub key: Key,
    /// The whole object.
    pub value: Arc<Value>,
}

/// A kind that the cluster serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedKind {
    /// The versions, the preferred one first.
    pub versions: Vec<String>,
    /// The name in URLs, such as `deployments`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// The key without its version: what an object is, not how it is written.
#[must_use]
pub(crate) fn identity(key: &Key) -> Key {
    Key {
        gvk: Gvk {
            group: key.gvk.group.clone(),
            version: String::new(),
            kind: key.gvk.kind.clone(),
        },
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

impl Observed {
    /// Adds or replaces a live object; one without kind or name is ignored.
    pub fn insert(&mut self, value: impl Into<Arc<Value>>) {
        let value = value.into();
        if let Some(key) = Key::of(&value) {
            self.objects.insert(identity(&key), ObservedObject { key, value });
        }
    }

    /// Removes an object.
    pub fn remove(&mut self, key: &Key) -> Option<ObservedObject> {
        self.objects.remove(&identity(key))
    }

    /// Says that a kind is served.
    pub fn serve(&mut self, group: &str, kind: &str, served: ServedKind) {
        self.kinds.insert((group.to_owned(), kind.to_owned()), served);
    }

    /// Says that a group did not answer: what it serves and holds is unknown, which is not nothing.
    pub fn silence(&mut self, group: &str, why: &str) {
        self.silent.insert(group.to_owned(), why.to_owned());
    }

    /// Why a group did not say what it serves, if so.
    #[must_use]
    pub fn unanswered(&self, group: &str) -> Option<&str> {
        self.silent.get(group).map(String::as_str)
    }

    /// One of the groups that did not answer, and why.
    pub(crate) fn silent_group(&self) -> Option<(&str, &str)> {
        let (group, why) = self.silent.first_key_value()?;
        Some((group, why))
    }

    /// Says what a live pod, or a workload that may still start pods of this kind, needs of its namespace. `spec` is the
    /// pod's, or that of its template.
    pub fn uses(&mut self, user: &str, namespace: &str, spec: &Value) {
        for (kind, name) in herder_object::references::needs(spec) {
            let key = Key {
                gvk: Gvk::new("", kind.kind()),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            self.used.entry(identity(&key)).or_insert_with(|| user.to_owned());
        }
    }

    /// Who still needs an object, if anybody does.
    #[must_use]
    pub fn user_of(&self, key: &Key) -> Option<&str> {
        self.used.get(&identity(key)).map(String::as_str)
    }

    /// Says what earlier passes have taught.
    pub fn learn(&mut self, lessons: Lessons) {
        self.lessons = lessons;
    }

    /// What earlier passes have taught.
    #[must_use]
    pub fn lessons(&self) -> &Lessons {
        &self.lessons
    }

    /// Says that a Job, as it was last seen, is gone.
    pub fn finish(&mut self, value: Arc<Value>) {
        if let Some(key) = Key::of(&value) {
            self.finished.push((key, value));
        }
    }

    /// Jobs that are gone, as they were last seen.
    pub(crate) fn finished(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.finished.iter().map(|(key, value)| (key, value))
    }

    /// A live object, whatever version either side is written in.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&ObservedObject> {
        self.objects.get(&identity(key))
    }

    /// All live objects, in order of kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &ObservedObject> {
        self.objects.values()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// What is known of a kind, if the cluster serves it in that version.
    #[must_use]
    pub fn served(&self, gvk: &Gvk) -> Option<&ServedKind> {
        self.kinds
            .get(&(gvk.group.clone(), gvk.kind.clone()))
            .filter(|served| served.versions.contains(&gvk.version))
    }

    /// The versions in which a kind is served.
    #[must_use]
    pub fn versions(&self, gvk: &Gvk) -> &[String] {
        self.kinds
            .get(&(gvk.group.clone(), gvk.kind.clone()))
            .map(|served| served.versions.as_slice())
            .unwrap_or_default()
    }

    /// All served kinds as (group, kind).
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, &ServedKind)> {
        self.kinds
            .iter()
            .map(|((group, kind), served)| (group.as_str(), kind.as_str(), served))
    }
}
