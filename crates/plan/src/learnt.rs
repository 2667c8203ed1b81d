//! What earlier passes have taught about single objects: that the cluster keeps a field otherwise than git says, or that
//! it refuses a change. Owns when a refused change is tried again; without it every pass would repeat what the one before
//! did in vain.

use crate::compare::differences;
use crate::observed::{ObservedObject, identity};
use herder_fleet::HASH_ANNOTATION;
use herder_object::Key;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// How soon a refused change is tried again at first; it doubles with each try.
const SOON: SignedDuration = SignedDuration::from_secs(5);
/// How late at most: what the cluster refuses may be right for it a minute later (a quota, an admission controller).
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// What is known of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Learnt {
    /// The cluster took it, and has these fields otherwise than git says.
    Kept {
        /// Of what git wanted.
        hash: String,
        /// The fields.
        fields: Vec<Difference>,
    },
    /// The cluster refused it.
    Refused(Refusal),
}

/// A change that the cluster refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Of what git wanted; empty for a deletion.
    pub hash: String,
    /// Which live object it was tried on, in which generation; empty if there was none.
    pub live: String,
    /// The cluster's reason.
    pub why: String,
    /// Since when it says so.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again if nothing changes.
    pub again: Timestamp,
}

/// A field that is otherwise than git says.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where, such as `spec.volumeName`.
    pub path: String,
    /// What git says.
    pub wanted: Value,
    /// What is there.
    pub found: Option<Value>,
}

impl Refusal {
    /// Whether the reason is that something cannot be changed in place.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        let why = self.why.to_ascii_lowercase();
        // `… field is immutable`, `updates to statefulset spec for fields other than … are forbidden`, `may not change`.
        why.contains("immutable")
            || why.contains("updates to statefulset spec")
            || why.contains("may not change once set")
            || why.contains("cannot change rolere")
            || why.contains("can not be updated")
    }

    /// The fields that the reason names, such as `spec.selector`.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let words = self
            .why
            .split([' ', ',', '[', ']', '"'])
            .map(|word| word.trim_end_matches(':'));
        let mut fields: Vec<&str> = words
            .filter(|word| {
                [
                    "spec",
                    "data",
                    "roleRef",
                    "type",
                    "metadata",
                    "provisioner",
                    "stringData",
                ]
                .iter()
                .any(|top| *word == *top || word.strip_prefix(top).is_some_and(|rest| rest.starts_with('.')))
            })
            .collect();
        fields.dedup();
        fields
    }
}

/// So often a field is put right at once; whoever changes it back then does not stop.
const PATIENT: u32 = 5;
/// What has been left alone for so long is no contest any more.
const OVER: SignedDuration = SignedDuration::from_secs(600);

/// A field that is written again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// Of what git wanted.
    hash: String,
    /// The field.
    pub field: String,
    /// How often it was written.
    pub writes: u32,
    /// Since when.
    pub since: Timestamp,
    /// When it was written last.
    last: Timestamp,
}

/// What is known, by object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lessons(BTreeMap<Key, Learnt>, BTreeMap<Key, Contest>);

impl Lessons {
    /// What is known of an object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Learnt> {
        self.0.get(&identity(key))
    }

    /// All refusals that stand.
    pub fn refusals(&self) -> impl Iterator<Item = (&Key, &Refusal)> {
        self.0.iter().filter_map(|(key, learnt)| match learnt {
            Learnt::Refused(refusal) => Some((key, refusal)),
            Learnt::Kept { .. } => None,
        })
    }

    /// The cluster took a change: what it answered is compared with what git says. Tells what it keeps otherwise, if that
    /// was not known before.
    pub fn taken(&mut self, key: &Key, desired: &Value, answer: &Value) -> Vec<Difference> {
        let fields = differences(desired, answer);
        let hash = hash(desired).to_owned();
        let key = identity(key);
        if fields.is_empty() {
            self.0.remove(&key);
            return Vec::new();
        }
        let learnt = Learnt::Kept {
            hash,
            fields: fields.clone(),
        };
        if self.0.insert(key, learnt.clone()) == Some(learnt) {
            return Vec::new();
        }
        fields
    }

    /// A live object was changed, because of this difference.
    pub fn wrote(&mut self, key: &Key, desired: &Value, reason: &str, now: Timestamp) {
        let (hash, field) = (hash(desired), field(reason));
        let same = self.1.get(&identity(key)).filter(|known| {
            known.hash == hash && known.field == field && now.duration_since(known.last) < OVER
        });
        let contest = Contest {
            hash: hash.to_owned(),
            field: field.to_owned(),
            writes: same.map_or(0, |known| known.writes) + 1,
            since: same.map_or(now, |known| known.since),
            last: now,
        };
        self.1.insert(identity(key), contest);
    }

    /// Whether something else keeps changing a field back, and it is not time yet to write it again.
    pub(crate) fn contest(
        &self,
        key: &Key,
        desired: &Value,
        reason: &str,
        now: Timestamp,
    ) -> Option<&Contest> {
        let contest = self.1.get(&identity(key))?;
        let more = contest.writes.checked_sub(PATIENT)?;
        let wait = SOON
            .checked_mul(1 << more.min(8))
            .map_or(LATE, |wait| wait.min(LATE));
        (contest.hash == hash(desired)
            && contest.field == field(reason)
            && now.duration_since(contest.last) < wait)
            .then_some(contest)
    }

    /// The cluster refused a change, or a deletion if nothing is desired. Tells whether it said the same before.
    pub fn refused(
        &mut self,
        key: &Key,
        desired: Option<&Value>,
        live: Option<&Value>,
        why: &str,
        now: Timestamp,
    ) -> bool {
        let key = identity(key);
        let hash = desired.map(hash).unwrap_or_default().to_owned();
        let before = match self.0.get(&key) {
            Some(Learnt::Refused(refusal)) if refusal.hash == hash && refusal.why == why => {
                Some(refusal.clone())
            }
            _ => None,
        };
        let tries = before.as_ref().map_or(0, |before| before.tries) + 1;
        let wait = SOON
            .checked_mul(1 << (tries - 1).min(8))
            .map_or(LATE, |wait| wait.min(LATE));
        let refusal = Refusal {
            hash,
            live: live.map(generation).unwrap_or_default(),
            why: why.to_owned(),
            since: before.as_ref().map_or(now, |before| before.since),
            tries,
            again: now.checked_add(wait).unwrap_or(now),
        };
        self.0.insert(key, Learnt::Refused(refusal));
        before.is_some()
    }

    /// A deletion went through, or an object is not wanted any more.
    pub fn forget(&mut self, key: &Key) {
        self.0.remove(&identity(key));
    }

    /// Forgets the refusals that no plan acts on any more.
    pub fn retain(&mut self, still: impl Fn(&Key) -> bool) {
        self.0
            .retain(|key, learnt| matches!(learnt, Learnt::Kept { .. }) || still(key));
    }

    /// What the cluster is known to keep otherwise of what git wants now.
    pub(crate) fn kept(&self, key: &Key, desired: &Value) -> &[Difference] {
        match self.get(key) {
            Some(Learnt::Kept { hash: of, fields }) if of == hash(desired) => fields,
            _ => &[],
        }
    }

    /// The refusal of exactly this change, if nothing has changed since.
    pub(crate) fn refusal(
        &self,
        key: &Key,
        desired: Option<&Value>,
        live: Option<&ObservedObject>,
    ) -> Option<&Refusal> {
        let of = desired.map(hash).unwrap_or_default();
        let live = live.map(|live| generation(&live.value)).unwrap_or_default();
        match self.get(key) {
            Some(Learnt::Refused(refusal)) if refusal.hash == of && refusal.live == live => Some(refusal),
            _ => None,
        }
    }
}

/// The field that a reason is about.
fn field(reason: &str) -> &str {
    reason.split(' ').next().unwrap_or_default()
}

fn hash(value: &Value) -> &str {
    herder_object::annotations(value)
        .find(|(name, _)| *name == HASH_ANNOTATION)
        .map(|(_, hash)| hash)
        .unwrap_or_default()
}

/// Which object, in which generation: changes of its status are none.
fn generation(live: &Value) -> String {
    let generation = live.pointer("/metadata/generation").and_then(Value::as_i64);
    format!("{}/{}", herder_object::uid(live), generation.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(hash: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n", "annotations": {HASH_ANNOTATION: hash}}})
    }

    #[test]
    fn refusals_back_off_and_are_told_once() {
        let mut lessons = Lessons::default();
        let value = object("1");
        let key = Key::of(&value).unwrap();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let again = lessons.refused(&key, Some(&value), None, "no", now);
            assert_eq!(again, !waits.is_empty());
            let refusal = lessons.refusal(&key, Some(&value), None).unwrap();
            assert_eq!(refusal.since, Timestamp::UNIX_EPOCH);
            waits.push(refusal.again.duration_since(now).as_secs());
            now = refusal.again;
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        // Another commit, and another live object, are tried at once.
        assert!(lessons.refusal(&key, Some(&object("2")), None).is_none());
        let live = ObservedObject {
            key: key.clone(),
            value: std::sync::Arc::new(json!({"metadata": {"uid": "u", "generation": 1}})),
        };
        assert!(lessons.refusal(&key, Some(&value), Some(&live)).is_none());
        assert!(!lessons.refused(&key, Some(&value), None, "something else", now));
        lessons.retain(|_| false);
        assert_eq!(lessons.get(&key), None);
    }

    #[test]
    fn whoever_changes_a_field_back_is_not_fought_with_every_pass() {
        let mut lessons = Lessons::default();
        let value = object("1");
        let key = Key::of(&value).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let reason = "spec.replicas is 3 instead of 1";
        for second in 0..5 {
            assert_eq!(lessons.contest(&key, &value, reason, at(second)), None);
            lessons.wrote(&key, &value, reason, at(second));
        }
        let contest = lessons.contest(&key, &value, reason, at(6)).unwrap();
        assert_eq!((contest.field.as_str(), contest.writes), ("spec.replicas", 5));
        // Another field and another commit are none of it, and its time comes.
        assert_eq!(
            lessons.contest(&key, &value, "spec.paused is true instead of false", at(6)),
            None
        );
        assert_eq!(lessons.contest(&key, &object("2"), reason, at(6)), None);
        assert_eq!(lessons.contest(&key, &value, reason, at(10)), None);
        // Long after, it begins anew.
        lessons.wrote(&key, &value, reason, at(10_000));
        assert_eq!(lessons.contest(&key, &value, reason, at(10_000)), None);
    }

    #[test]
    fn reasons_name_their_fields() {
        let of = |why: &str| {
            let mut lessons = Lessons::default();
            let value = object("1");
            let key = Key::of(&value).unwrap();
            lessons.refused(&key, Some(&value), None, why, Timestamp::UNIX_EPOCH);
            let refusal = lessons.refusal(&key, Some(&value), None).unwrap().clone();
            (refusal.is_immutable(), refusal.fields().join(" "))
        };
        assert_eq!(
            of("Job.batch \"x\" is invalid: spec.template: Invalid value: {}: field is immutable"),
            (true, "spec.template".to_owned())
        );
        assert_eq!(
            of(
                "StatefulSet.apps \"x\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"
            ),
            (true, "spec".to_owned())
        );
        assert!(!of("exceeded quota").0);
    }
}
