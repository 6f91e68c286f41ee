//! A Deployment's replica sets: the one of its current template, and the others.

use std::sync::Arc;

use api::meta::{controller_of, controller_reference};
use api::selector::labels::Selector;
use proto::apps::v1::{Deployment, ReplicaSet};

use super::template;
use crate::view::{BY_OWNER, View};
use crate::write::{Plan, Write};

/// The sets, oldest first.
pub struct Sets {
    /// Of the current template; none before it is made.
    pub new: Option<Arc<ReplicaSet>>,
    /// All others.
    pub old: Vec<Arc<ReplicaSet>>,
    /// Names in the namespace that a new set cannot have.
    pub taken: Vec<String>,
}

impl Sets {
    /// Finds them in the view.
    pub fn of(view: &View, deployment: &Deployment, selector: &Selector) -> Self {
        let mut all: Vec<_> = view
            .replica_sets
            .by_index(BY_OWNER, &deployment.metadata.uid)
            .into_iter()
            .filter(|set| selector.matches(&set.metadata.labels))
            .collect();
        all.sort_by(|a, b| {
            let key = |set: &ReplicaSet| (set.metadata.creation_timestamp, set.metadata.name.clone());
            key(a).cmp(&key(b))
        });
        let taken = view.replica_sets.list_in(&deployment.metadata.namespace);
        let taken = taken.iter().map(|set| set.metadata.name.clone()).collect();
        let new = all.iter().position(|set| template::is_of(set, deployment)).map(|index| all.remove(index));
        Self { new, old: all, taken }
    }

    /// Old ones and the new one.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// Those that want pods.
    pub fn active(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.all().filter(|set| replicas(set) > 0)
    }

    /// How many pods more there may be when `most` is the limit; none while it cannot be told.
    ///
    /// A size alone does not tell: a set that was made smaller may not have deleted its pods yet.
    pub fn room(&self, most: i32) -> i32 {
        let old =
            self.old.iter().map(|set| has_or_wants(set)).try_fold(0, |sum: i32, more| Some(sum.saturating_add(more?)));
        let new = self.new.as_ref().map_or(0, |set| replicas(set).max(set.status.replicas));
        old.map_or(0, |old| most.saturating_sub(old).saturating_sub(new).max(0))
    }

    /// How many pods all sets want.
    pub fn total(&self) -> i32 {
        self.all().map(|set| replicas(set)).fold(0, i32::saturating_add)
    }
}

/// How many pods a set wants, or still has; none while it has not looked at its newest size.
fn has_or_wants(set: &ReplicaSet) -> Option<i32> {
    let looked = set.status.observed_generation >= set.metadata.generation;
    looked.then(|| replicas(set).max(set.status.replicas))
}

/// How many pods a set wants.
pub fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// How many pods a Deployment wants.
pub fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// Matching sets that belong to nobody become the Deployment's.
pub fn adopt(view: &View, deployment: &Deployment, selector: &Selector) -> Option<Plan> {
    let mut plan = Plan::none();
    for set in view.replica_sets.list_in(&deployment.metadata.namespace) {
        let orphan = controller_of(&set.metadata).is_none() && set.metadata.deletion_timestamp.is_none();
        if orphan && selector.matches(&set.metadata.labels) {
            let mut adopted = (*set).clone();
            adopted.metadata.owner_references.push(controller_reference(deployment));
            plan.push(Write::update(adopted));
        }
    }
    (!plan.writes.is_empty()).then_some(plan)
}
