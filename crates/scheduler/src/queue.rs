//! The pods that wait: active (to be decided next), in backoff, unschedulable until something helps, gated. Pure: time is
//! passed in as milliseconds.
//!
//! A pod that no node takes waits in `unschedulable` and is woken by an event that concerns a plugin that refused it, or
//! after five minutes. How long it then stays in backoff grows with its attempts. It never blocks the pods behind it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::pod::{PodInfo, PodKey};
use crate::reason::Plugins;

/// Milliseconds.
pub type Millis = u64;

/// Pods that nothing woke for so long are tried anyhow.
const UNSCHEDULABLE_MAX_MS: Millis = 5 * 60 * 1000;

/// Where a pod waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Active,
    Backoff {
        until: Millis,
    },
    Unschedulable {
        since: Millis,
        plugins: Plugins,
    },
    Gated,
    /// Taken out to be decided or bound.
    Underway,
}

impl Place {
    /// As explanations call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active | Self::Underway => "active",
            Self::Backoff { .. } => "backoff",
            Self::Unschedulable { .. } => "unschedulable",
            Self::Gated => "gated",
        }
    }
}

/// A waiting pod.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub pod: Arc<PodInfo>,
    pub place: Place,
    /// How often it was decided.
    pub attempts: u32,
    /// When it came.
    pub since: Millis,
    rank: Rank,
}

/// The most important first, then the one that waits longest. The priority counts that the pod came with: it cannot be changed.
type Rank = (Reverse<i32>, Millis, u64);

/// See the module.
#[derive(Debug)]
pub struct Queue {
    pods: HashMap<PodKey, Waiting>,
    active: BTreeSet<(Rank, PodKey)>,
    backoff: BTreeSet<(Millis, PodKey)>,
    /// By when they were refused.
    unschedulable: BTreeSet<(Millis, PodKey)>,
    gated: usize,
    backoff_first_ms: Millis,
    backoff_max_ms: Millis,
    arrivals: u64,
}

impl Queue {
    /// The first and the longest backoff.
    pub fn new(backoff_first_ms: Millis, backoff_max_ms: Millis) -> Self {
        Self {
            pods: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            gated: 0,
            backoff_first_ms,
            backoff_max_ms,
            arrivals: 0,
        }
    }

    /// A pod that came, or whose spec changed. A changed pod is tried again at once; one that is underway when it changes
    /// keeps its place.
    pub fn put(&mut self, pod: Arc<PodInfo>, now: Millis) {
        let key = pod.key();
        if let Some(known) = self.pods.get(&key).filter(|known| known.pod.uid == pod.uid) {
            let (place, gated) = (known.place, pod.gated);
            let same = known.pod.shape == pod.shape && known.pod.labels == pod.labels && known.pod.gated == gated;
            let updated = Waiting { pod, ..known.clone() };
            self.pods.insert(key.clone(), updated);
            if !same && place != Place::Underway {
                self.move_to(&key, if gated { Place::Gated } else { Place::Active });
            }
            return;
        }
        self.remove(&key);
        self.arrivals += 1;
        let place = if pod.gated { Place::Gated } else { Place::Active };
        self.pods.insert(
            key.clone(),
            Waiting {
                rank: (Reverse(pod.priority), now, self.arrivals),
                pod,
                place: Place::Underway,
                attempts: 0,
                since: now,
            },
        );
        self.move_to(&key, place);
    }

    /// The pod is bound, gone, or no longer ours.
    pub fn remove(&mut self, key: &PodKey) -> Option<Waiting> {
        self.unlink(key);
        self.pods.remove(key)
    }

    pub fn get(&self, key: &PodKey) -> Option<&Waiting> {
        self.pods.get(key)
    }

    /// How many wait: active, backoff, unschedulable, gated.
    pub fn counts(&self) -> [usize; 4] {
        [self.active.len(), self.backoff.len(), self.unschedulable.len(), self.gated]
    }

    /// Takes out the pod to decide next.
    pub fn pop(&mut self, now: Millis) -> Option<Waiting> {
        self.wake_due(now);
        let (_, key) = self.active.pop_first()?;
        let waiting = self.pods.get_mut(&key)?;
        waiting.place = Place::Underway;
        waiting.attempts += 1;
        Some(waiting.clone())
    }

    /// When the next pod leaves backoff, or has been unschedulable for too long.
    pub fn next_wake(&self) -> Option<Millis> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let stale = self.unschedulable.first().map(|(since, _)| since + UNSCHEDULABLE_MAX_MS);
        backoff.into_iter().chain(stale).min()
    }

    /// No node takes the pod; these plugins refused it.
    pub fn refused(&mut self, key: &PodKey, plugins: Plugins, now: Millis) {
        self.move_to(key, Place::Unschedulable { since: now, plugins });
    }

    /// Something went wrong that time may mend.
    pub fn failed(&mut self, key: &PodKey, now: Millis) {
        self.back_off(key, now);
    }

    /// Something happened that concerns these plugins: wakes the pods that they refused, where `helps` (told who refused the
    /// pod) says that it may.
    pub fn happened(&mut self, concerns: Plugins, now: Millis, helps: impl Fn(&PodInfo, Plugins) -> bool) {
        let woken: Vec<PodKey> = self
            .unschedulable
            .iter()
            .map(|(_, key)| key)
            .filter(|key| {
                self.pods.get(*key).is_some_and(|waiting| match waiting.place {
                    Place::Unschedulable { plugins, .. } => plugins.meets(concerns) && helps(&waiting.pod, plugins),
                    _ => false,
                })
            })
            .cloned()
            .collect();
        for key in woken {
            self.back_off(&key, now);
        }
    }

    fn wake_due(&mut self, now: Millis) {
        while let Some((until, key)) = self.backoff.first().cloned() {
            if until > now {
                break;
            }
            self.move_to(&key, Place::Active);
        }
        while let Some((since, key)) = self.unschedulable.first().cloned() {
            if since + UNSCHEDULABLE_MAX_MS > now {
                break;
            }
            self.move_to(&key, Place::Active);
        }
    }

    /// To backoff for what is left of it, counted from the decision that failed.
    fn back_off(&mut self, key: &PodKey, now: Millis) {
        let Some(waiting) = self.pods.get(key) else {
            return;
        };
        let from = match waiting.place {
            Place::Unschedulable { since, .. } => since,
            _ => now,
        };
        let doublings = waiting.attempts.saturating_sub(1).min(32);
        let pause = self.backoff_first_ms.saturating_mul(1 << doublings).min(self.backoff_max_ms);
        let until = from.saturating_add(pause);
        self.move_to(key, if until <= now { Place::Active } else { Place::Backoff { until } });
    }

    fn move_to(&mut self, key: &PodKey, place: Place) {
        self.unlink(key);
        let Some(waiting) = self.pods.get_mut(key) else {
            return;
        };
        waiting.place = place;
        match place {
            Place::Active => {
                self.active.insert((waiting.rank, key.clone()));
            }
            Place::Backoff { until } => {
                self.backoff.insert((until, key.clone()));
            }
            Place::Unschedulable { since, .. } => {
                self.unschedulable.insert((since, key.clone()));
            }
            Place::Gated => self.gated += 1,
            Place::Underway => {}
        }
    }

    fn unlink(&mut self, key: &PodKey) {
        let Some(waiting) = self.pods.get(key) else {
            return;
        };
        match waiting.place {
            Place::Active => {
                self.active.remove(&(waiting.rank, key.clone()));
            }
            Place::Backoff { until } => {
                self.backoff.remove(&(until, key.clone()));
            }
            Place::Unschedulable { since, .. } => {
                self.unschedulable.remove(&(since, key.clone()));
            }
            Place::Gated => self.gated -= 1,
            Place::Underway => {}
        }
    }
}

#[cfg(test)]
mod tests;
