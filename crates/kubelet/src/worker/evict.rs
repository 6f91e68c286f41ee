//! The worker looks from time to time at what its pod has on disk, and ends one that exceeds its limits.

use super::{Outcome, Worker};
use crate::eviction::{self, Usage};
use crate::observed::State;
use crate::usage;

impl Worker {
    /// Begins a measurement, never two at once. A pod without limits costs nothing.
    pub(super) fn measure(&mut self) {
        let idle = self.desired.ending.is_some() || !self.observed.any_running();
        if self.measuring || idle || !eviction::is_limited(&self.desired.pod) {
            return;
        }
        self.measuring = true;
        let running = self.observed.containers.iter().filter_map(|(name, seen)| match &seen.state {
            State::Running { id, .. } => Some((name.clone(), id.clone())),
            _ => None,
        });
        let (node, pod, runs) = (self.node.clone(), self.desired.pod.clone(), running.collect());
        self.tasks.spawn(Outcome::Measured(None), async move {
            let _turn = node.measurements.acquire().await;
            Outcome::Measured(Some(usage::measure(&node, &pod, &runs).await))
        });
    }

    pub(super) fn measured(&mut self, usage: Option<Usage>) {
        self.measuring = false;
        let Some(usage) = usage.filter(|_| self.desired.ending.is_none()) else { return };
        let Some(message) = eviction::exceeded(&self.desired.pod, &usage) else { return };
        tracing::info!(pod = self.desired.key(), message, "the pod is evicted");
        self.event(true, eviction::REASON, message.clone(), None);
        self.end(eviction::REASON.into(), message, eviction::GRACE_SECONDS);
    }
}
