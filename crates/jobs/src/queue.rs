//! What waits to run. Pure: times and limits are arguments.

use crate::run::{Cause, RunId};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: RunId,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) causes: Vec<Cause>,
    /// Commits already decided, by `URL#BRANCH`.
    pub(crate) commits: BTreeMap<String, String>,
    /// Whether somebody asked for exactly these commits: then newer ones must not replace them.
    pub(crate) pinned: bool,
    pub(crate) not_before: Timestamp,
}

/// All that waits, in the order it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Queue(Vec<Waiting>);

impl Queue {
    /// The waiting run that a trigger with these parameters joins, if there is one.
    pub(crate) fn joins(
        &mut self,
        job: &str,
        parameters: &BTreeMap<String, String>,
        pinned: Option<&BTreeMap<String, String>>,
    ) -> Option<&mut Waiting> {
        self.0.iter_mut().find(|waiting| {
            waiting.id.job == job
                && waiting.parameters == *parameters
                && match pinned {
                    Some(commits) => waiting.pinned && waiting.commits == *commits,
                    None => !waiting.pinned,
                }
        })
    }

    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.0.push(waiting);
    }

    pub(crate) fn remove(&mut self, id: &RunId) -> Option<Waiting> {
        let index = self.0.iter().position(|waiting| waiting.id == *id)?;
        Some(self.0.remove(index))
    }

    pub(crate) fn of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Waiting> {
        self.0.iter().filter(move |waiting| waiting.id.job == job)
    }

    /// Takes the first run that may start: its quiet period is over and `free` says its job may have one more.
    pub(crate) fn take(&mut self, now: Timestamp, free: impl Fn(&str) -> bool) -> Option<Waiting> {
        let index = self
            .0
            .iter()
            .position(|waiting| waiting.not_before <= now && free(&waiting.id.job))?;
        Some(self.0.remove(index))
    }

    /// Lets quiet periods end earlier, after the clock was set back.
    pub(crate) fn earlier_by(&mut self, back: SignedDuration) {
        for waiting in &mut self.0 {
            waiting.not_before = waiting.not_before.saturating_sub(back).unwrap_or(Timestamp::MIN);
        }
    }

    /// When the next quiet period ends.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .iter()
            .map(|waiting| waiting.not_before)
            .filter(|at| *at > now)
            .min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn waiting(job: &str, number: u64, not_before: i64, value: &str) -> Waiting {
        Waiting {
            id: RunId {
                job: job.to_owned(),
                number,
            },
            parameters: [("P".to_owned(), value.to_owned())].into(),
            causes: Vec::new(),
            commits: BTreeMap::new(),
            pinned: false,
            not_before: at(not_before),
        }
    }

    #[test]
    fn keeps_order_and_quiet_periods() {
        let mut queue = Queue::default();
        queue.push(waiting("a", 1, 10, "x"));
        queue.push(waiting("b", 1, 0, "x"));
        queue.push(waiting("b", 2, 0, "y"));
        assert_eq!(queue.next(at(5)), Some(at(10)));
        assert_eq!(queue.take(at(5), |_| true).unwrap().id.number, 1);
        assert!(queue.take(at(5), |job| job != "b").is_none());
        assert_eq!(queue.take(at(10), |job| job != "b").unwrap().id.job, "a");
        let same = [("P".to_owned(), "y".to_owned())].into();
        assert_eq!(queue.joins("b", &same, None).unwrap().id.number, 2);
        assert!(queue.joins("b", &BTreeMap::new(), None).is_none());
        assert!(queue.joins("b", &same, Some(&BTreeMap::new())).is_none());
    }
}
