//! A change of size while a rollout is under way, or paused: each set grows or shrinks in proportion.

use proto::apps::v1::ReplicaSet;

use super::{DESIRED_REPLICAS, MAX_REPLICAS, Rollout, Which, rollout, size};

impl Rollout<'_> {
    /// Whether a set was last sized for another number than is wanted now.
    pub(super) fn is_scaling(&self) -> bool {
        self.all()
            .filter(|set| size(set) > 0)
            .any(|set| annotation(set, DESIRED_REPLICAS).is_some_and(|desired| desired != self.replicas()))
    }

    /// Brings all sets together to the wanted size.
    pub(super) fn scale(&mut self) {
        let active = self.active();
        if active.len() <= 1 {
            let only = active.first().copied().or_else(|| self.latest());
            if let Some(which) = only {
                self.resize(which, self.replicas());
            }
            return;
        }
        if self.is_saturated() {
            for which in active {
                if let Which::Old(_) = which {
                    self.resize(which, 0);
                }
            }
            return;
        }
        if self.deployment.spec.strategy.r#type != "Recreate" {
            self.scale_in_proportion(active);
        }
    }

    fn active(&self) -> Vec<Which> {
        let old = (0..self.old.len()).filter(|index| size(&self.old[*index]) > 0).map(Which::Old);
        let new = self.new.iter().filter(|set| size(set) > 0).map(|_| Which::New);
        old.chain(new).collect()
    }

    fn latest(&self) -> Option<Which> {
        match (&self.new, self.old.len()) {
            (Some(_), _) => Some(Which::New),
            (None, 0) => None,
            (None, count) => Some(Which::Old(count - 1)),
        }
    }

    /// The new set alone has all that was wanted.
    fn is_saturated(&self) -> bool {
        let wanted = self.replicas();
        self.new.as_ref().is_some_and(|set| {
            size(set) == wanted && annotation(set, DESIRED_REPLICAS) == Some(wanted) && set.status.available_replicas == wanted
        })
    }

    fn scale_in_proportion(&mut self, mut active: Vec<Which>) {
        let allowed = if self.replicas() > 0 { self.replicas() + rollout::max_surge(self.deployment) } else { 0 };
        let change = allowed - self.total();
        // The largest first; of equal ones the newer gets more and loses less.
        active.sort_by_key(|which| {
            let newness = match which {
                Which::New => i64::MAX,
                Which::Old(index) => i64::try_from(*index).unwrap_or(0),
            };
            let direction = if change >= 0 { -newness } else { newness };
            (std::cmp::Reverse(self.set(*which).map_or(0, size)), direction)
        });
        let mut sizes: Vec<(Which, i32)> = Vec::new();
        let mut given = 0;
        for which in active {
            let Some(set) = self.set(which) else { continue };
            let share = if change == 0 { 0 } else { self.share(set, allowed, change, given) };
            given += share;
            sizes.push((which, size(set) + share));
        }
        if let Some(first) = sizes.first_mut() {
            first.1 = (first.1 + change - given).max(0);
        }
        for (which, to) in sizes {
            self.resize(which, to);
        }
    }

    /// A set's part of the change: what it would have at the new total, bounded by what is left to give.
    fn share(&self, set: &ReplicaSet, allowed: i32, change: i32, given: i32) -> i32 {
        let before = annotation(set, MAX_REPLICAS).unwrap_or(self.deployment.status.replicas).max(1);
        let exact = f64::from(size(set)) * f64::from(allowed) / f64::from(before);
        #[allow(clippy::cast_possible_truncation)] // at most a few million pods
        let fraction = exact.round() as i32 - size(set);
        let left = change - given;
        if change > 0 { fraction.clamp(0, left.max(0)) } else { fraction.clamp(left.min(0), 0) }
    }

    fn set(&self, which: Which) -> Option<&ReplicaSet> {
        match which {
            Which::New => self.new.as_ref(),
            Which::Old(index) => self.old.get(index),
        }
    }
}

fn annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    set.metadata.annotations.get(key).and_then(|text| text.parse().ok())
}
