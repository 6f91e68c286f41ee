//! The strategies: step by step beside the old pods, or after they are gone.

use api::meta::is_terminating;
use proto::IntOrString;
use proto::apps::v1::Deployment;
use proto::core::v1::Pod;

use super::{Rollout, Which, old_pods_run, size};

impl Rollout<'_> {
    /// RollingUpdate: at most `maxSurge` pods more than wanted, at least wanted - `maxUnavailable` available.
    pub(super) fn roll(&mut self) {
        if self.new.is_none() {
            let first = self.room_for_new(0);
            self.create_set(first);
            return;
        }
        self.sync_revision();
        if !self.grow_new() {
            self.shrink_old();
        }
    }

    /// Recreate: every old pod ends before the first new one starts.
    pub(super) fn recreate(&mut self, pods: &[&Pod]) {
        self.sync_revision();
        let active: Vec<usize> = (0..self.old.len()).filter(|index| size(&self.old[*index]) > 0).collect();
        if !active.is_empty() {
            active.into_iter().for_each(|index| self.resize(Which::Old(index), 0));
            return;
        }
        if old_pods_run(self, pods) {
            return;
        }
        match self.new.is_some() {
            true => self.resize(Which::New, self.replicas()),
            false => self.create_set(self.replicas()),
        }
    }

    /// How large the new set may be, `current` being its size.
    fn room_for_new(&self, current: i32) -> i32 {
        let room = self.replicas() + max_surge(self.deployment) - self.total();
        if room <= 0 { current } else { current + room.min(self.replicas() - current) }
    }

    /// Returns whether the new set changed: then the old ones wait for the next step.
    fn grow_new(&mut self) -> bool {
        let Some(current) = self.new.as_ref().map(size) else { return false };
        let wanted = self.replicas();
        let to = if current > wanted { wanted } else { self.room_for_new(current) };
        if to != current {
            self.resize(Which::New, to);
        }
        to != current
    }

    fn shrink_old(&mut self) {
        let min_available = self.replicas() - max_unavailable(self.deployment);
        let new_unavailable = self.new.as_ref().map_or(0, |set| size(set) - set.status.available_replicas);
        let mut spare = self.total() - min_available - new_unavailable;
        if spare <= 0 {
            return;
        }
        spare -= self.drop_unhealthy(spare);
        let available: i32 = self.all().map(|set| set.status.available_replicas.min(size(set))).sum();
        self.drop_available((available - min_available).min(spare));
    }

    /// Old pods that are not available go first: nothing is lost by it. Returns how many went.
    fn drop_unhealthy(&mut self, spare: i32) -> i32 {
        let mut dropped = 0;
        for index in 0..self.old.len() {
            let set = &self.old[index];
            let unhealthy = (size(set) - set.status.available_replicas).min(spare - dropped);
            if size(set) > 0 && unhealthy > 0 && !is_terminating(&set.metadata) {
                dropped += unhealthy;
                self.resize(Which::Old(index), size(&self.old[index]) - unhealthy);
            }
        }
        dropped
    }

    fn drop_available(&mut self, mut spare: i32) {
        for index in 0..self.old.len() {
            let down = size(&self.old[index]).min(spare);
            if down > 0 {
                spare -= down;
                self.resize(Which::Old(index), size(&self.old[index]) - down);
            }
        }
    }
}

/// Pods that may exist beyond the wanted number; a percentage is rounded up.
pub fn max_surge(deployment: &Deployment) -> i32 {
    bounds(deployment).0
}

/// Pods that may be missing from the wanted number; a percentage is rounded down.
pub fn max_unavailable(deployment: &Deployment) -> i32 {
    bounds(deployment).1.min(deployment.spec.replicas.unwrap_or(1))
}

/// Both bounds; if both came out as zero nothing could ever move, so one pod may be missing then.
fn bounds(deployment: &Deployment) -> (i32, i32) {
    let strategy = &deployment.spec.strategy;
    if strategy.r#type == "Recreate" {
        return (0, 0);
    }
    let rolling = strategy.rolling_update.as_ref();
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let surge = scaled(rolling.and_then(|rolling| rolling.max_surge.as_ref()), wanted, true);
    let unavailable = scaled(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// A quarter where nothing is said, or what is said cannot be read.
fn scaled(value: Option<&IntOrString>, total: i32, round_up: bool) -> i32 {
    let quarter = api::int_or_string::from_string("25%");
    let scaled = api::int_or_string::scaled(value.unwrap_or(&quarter), total, round_up);
    scaled.unwrap_or_default().max(0)
}
