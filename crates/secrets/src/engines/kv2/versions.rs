//! The versions of a secret in order. Most secrets have one or two, thousands of secrets are kept in memory, and a tree's
//! smallest node has room for eleven. Owns the order; knows nothing of what a version is good for.

use super::entry::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};

/// Versions by number, ascending. Stored as a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions(VecDeque<(u64, Version)>);

impl Versions {
    fn position(&self, number: u64) -> Option<usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Version> {
        self.0.get(self.position(number)?).map(|(_, version)| version)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Version> {
        let at = self.position(number)?;
        self.0.get_mut(at).map(|(_, version)| version)
    }

    /// Adds one whose number is above all others.
    pub(crate) fn push(&mut self, number: u64, version: Version) {
        self.0.push_back((number, version));
    }

    pub(crate) fn pop_first(&mut self) -> Option<(u64, Version)> {
        self.0.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u64, Version)> {
        self.0.iter()
    }
}

impl Serialize for Versions {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(number, version)| (number, version)))
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // A map that was written by another hand may be in any order.
        let sorted = BTreeMap::<u64, Version>::deserialize(from)?;
        Ok(Self(sorted.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(second: i64) -> Version {
        Version {
            created: jiff::Timestamp::from_second(second).unwrap(),
            deleted: None,
            destroyed: false,
        }
    }

    #[test]
    fn reads_what_it_writes_in_order() {
        let mut versions = Versions::default();
        for number in 1..30 {
            versions.push(number, version(i64::try_from(number).unwrap()));
        }
        assert_eq!(versions.pop_first().unwrap().0, 1);
        let text = serde_json::to_string(&versions).unwrap();
        assert!(
            text.starts_with("{\"2\":{") && text.contains("\"10\":{"),
            "{text}"
        );
        let mut again: Versions = serde_json::from_str(&text).unwrap();
        assert_eq!((again.len(), versions.len()), (28, 28));
        for number in 2..30 {
            assert_eq!(
                again.get(number).unwrap().created,
                versions.get(number).unwrap().created
            );
        }
        again.get_mut(29).unwrap().destroyed = true;
        assert!(again.get(29).unwrap().destroyed && again.get(1).is_none() && again.get(30).is_none());
        let shuffled: Versions = serde_json::from_str(&text.replacen("\"2\":", "\"40\":", 1)).unwrap();
        assert_eq!(shuffled.iter().last().unwrap().0, 40);
    }
}
