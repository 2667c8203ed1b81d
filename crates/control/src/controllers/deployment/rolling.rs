//! How many replicas each ReplicaSet of a Deployment should have next. Pure.

use herder_object::field::{int, text};
use serde_json::Value;

/// What is known of one ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replicas {
    /// `spec.replicas`.
    pub(super) wanted: i64,
    /// `status.availableReplicas`.
    pub(super) available: i64,
}

impl Replicas {
    pub(super) fn of(set: &Value) -> Self {
        Self {
            wanted: int(set, "/spec/replicas").unwrap_or(1),
            available: int(set, "/status/availableReplicas").unwrap_or(0),
        }
    }
}

/// The bounds of a rolling update, as numbers of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) replicas: i64,
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

impl Bounds {
    /// From a Deployment; percentages of surge round up, of unavailability down, and both nought means one unavailable.
    pub(super) fn of(deployment: &Value) -> Self {
        let replicas = int(deployment, "/spec/replicas").unwrap_or(1).max(0);
        if text(deployment, "/spec/strategy/type") == "Recreate" {
            return Self {
                replicas,
                surge: 0,
                unavailable: replicas,
            };
        }
        let field = |name: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{name}"));
        let surge = resolve(field("maxSurge"), replicas, true);
        let mut unavailable = resolve(field("maxUnavailable"), replicas, false);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Self {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
        }
    }
}

/// An int-or-percentage of `total`; absent is 25%.
pub(in super::super) fn resolve(value: Option<&Value>, total: i64, up: bool) -> i64 {
    match value {
        Some(Value::Number(n)) => n.as_i64().unwrap_or_default().max(0),
        other => {
            let text = other.and_then(Value::as_str).unwrap_or("25%");
            match text.strip_suffix('%') {
                Some(percent) => {
                    let product = percent
                        .parse::<i64>()
                        .unwrap_or_default()
                        .max(0)
                        .saturating_mul(total);
                    if up { (product + 99) / 100 } else { product / 100 }
                }
                None => text.parse::<i64>().unwrap_or_default().max(0),
            }
        }
    }
}

/// The next sizes, of the new ReplicaSet and of the old ones (oldest first).
pub(super) fn step(bounds: Bounds, new: Replicas, old: &[Replicas]) -> (i64, Vec<i64>) {
    let old_total: i64 = old.iter().map(|o| o.wanted).sum();
    let total = old_total + new.wanted;
    // Grow the new one as far as the surge allows; a shrunk Deployment shrinks it.
    let room = (bounds.replicas + bounds.surge - total).max(0);
    let new_size = if new.wanted > bounds.replicas {
        bounds.replicas
    } else {
        new.wanted + room.min(bounds.replicas - new.wanted)
    };
    let mut sizes: Vec<i64> = old.iter().map(|o| o.wanted).collect();
    let least = bounds.replicas - bounds.unavailable;
    let new_missing = (new.wanted - new.available).max(0);
    let mut may_go = total - least - new_missing;
    if may_go <= 0 {
        return (new_size, sizes);
    }
    // Pods that are not available anyway go first: they cost nothing.
    for (size, o) in sizes.iter_mut().zip(old) {
        let broken = (o.wanted - o.available).clamp(0, may_go);
        *size -= broken;
        may_go -= broken;
    }
    let available: i64 = new.available + old.iter().map(|o| o.available).sum::<i64>();
    let mut spare = (available - least).min(may_go);
    for size in &mut sizes {
        let go = (*size).min(spare.max(0));
        *size -= go;
        spare -= go;
    }
    (new_size, sizes)
}

/// Sizes for a paused Deployment whose replicas changed: shares in proportion, the rest to the biggest.
pub(super) fn proportional(replicas: i64, sizes: &[i64]) -> Vec<i64> {
    let total: i64 = sizes.iter().sum();
    if total == 0 {
        return sizes.to_vec();
    }
    let mut shares: Vec<i64> = sizes.iter().map(|s| s * replicas / total).collect();
    let rest = replicas - shares.iter().sum::<i64>();
    let biggest = (0..sizes.len()).rev().max_by_key(|i| sizes.get(*i).copied());
    if let Some(share) = biggest.and_then(|i| shares.get_mut(i)) {
        *share += rest;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn r(wanted: i64, available: i64) -> Replicas {
        Replicas { wanted, available }
    }

    #[test]
    fn bounds_resolve() {
        for (strategy, replicas, surge, unavailable) in [
            (json!(null), 4, 1, 1),
            (json!(null), 1, 1, 0),
            (
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
                3,
                0,
                1,
            ),
            (
                json!({"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}),
                3,
                2,
                1,
            ),
            (
                json!({"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 9}}),
                3,
                2,
                3,
            ),
            (json!({"type": "Recreate"}), 3, 0, 3),
        ] {
            let bounds = Bounds::of(&json!({"spec": {"replicas": replicas, "strategy": strategy}}));
            assert_eq!(
                bounds,
                Bounds {
                    replicas,
                    surge,
                    unavailable
                },
                "{strategy}"
            );
        }
    }

    #[test]
    fn steps() {
        let b = |replicas, surge, unavailable| Bounds {
            replicas,
            surge,
            unavailable,
        };
        for (bounds, new, old, expected) in [
            // A first rollout goes to full size at once.
            (b(3, 1, 0), r(0, 0), vec![], (3, vec![])),
            // One surge pod, none may go yet.
            (b(3, 1, 0), r(0, 0), vec![r(3, 3)], (1, vec![3])),
            (b(3, 1, 0), r(1, 0), vec![r(3, 3)], (1, vec![3])),
            // The surge pod is available: one old may go; then the next may come.
            (b(3, 1, 0), r(1, 1), vec![r(3, 3)], (1, vec![2])),
            (b(3, 1, 0), r(1, 1), vec![r(2, 2)], (2, vec![2])),
            // A stale status must not let too many go.
            (b(3, 1, 0), r(1, 1), vec![r(2, 3)], (2, vec![2])),
            // Broken old pods go at once.
            (b(3, 1, 1), r(1, 0), vec![r(3, 0)], (1, vec![2])),
            (b(4, 1, 1), r(0, 0), vec![r(4, 4)], (1, vec![3])),
            // Scaled down while rolling.
            (b(1, 1, 0), r(3, 3), vec![r(0, 0)], (1, vec![0])),
            // Scaled to nothing.
            (b(0, 0, 0), r(2, 2), vec![r(1, 1)], (0, vec![0])),
        ] {
            assert_eq!(step(bounds, new, &old), expected, "{bounds:?} {new:?} {old:?}");
        }
        assert_eq!(proportional(10, &[3, 1, 0]), [8, 2, 0]);
        assert_eq!(proportional(2, &[0, 0]), [0, 0]);
    }

    /// Whatever the pods do, a rollout ends, never drops below the minimum and never exceeds the maximum.
    #[test]
    fn every_rollout_ends_within_bounds() {
        for replicas in 0..6 {
            for surge in 0..3 {
                for unavailable in 0..3_i64 {
                    let unavailable = if surge == 0 && unavailable == 0 {
                        1
                    } else {
                        unavailable
                    }
                    .min(replicas);
                    let bounds = Bounds {
                        replicas,
                        surge,
                        unavailable,
                    };
                    let (mut new, mut old) = (r(0, 0), vec![r(replicas, replicas)]);
                    for _ in 0..50 {
                        let (n, o) = step(bounds, new, &old);
                        assert!(n + o.iter().sum::<i64>() <= replicas + surge, "{bounds:?}");
                        new.wanted = n;
                        for (set, size) in old.iter_mut().zip(o) {
                            set.wanted = size;
                            set.available = set.available.min(size);
                        }
                        new.available = (new.available + 1).min(new.wanted);
                        let available = new.available + old.iter().map(|o| o.available).sum::<i64>();
                        assert!(available >= replicas - unavailable, "{bounds:?} {new:?} {old:?}");
                    }
                    assert_eq!((new.wanted, old[0].wanted), (replicas, 0), "{bounds:?}");
                }
            }
        }
    }
}
