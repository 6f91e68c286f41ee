//! Revisions: numbered on sets and on the Deployment, kept for rollbacks, tidied beyond the limit.

use proto::apps::v1::{Deployment, ReplicaSet};

use super::sets::{Sets, replicas};
use crate::write::{Plan, Write};

/// The revision of a set, and of the Deployment's current one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotations that are not copied from a Deployment to its sets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

fn revision(set: &ReplicaSet) -> i64 {
    set.metadata.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The number of the set of the current template: beyond all old ones.
pub fn next_revision(sets: &Sets) -> i64 {
    sets.old.iter().map(|set| revision(set)).max().unwrap_or(0).saturating_add(1)
}

/// Numbers a set; a former number of it joins its history.
pub fn set_revision(set: &mut ReplicaSet, number: i64) {
    let before = revision(set);
    if before >= number {
        return;
    }
    let annotations = &mut set.metadata.annotations;
    annotations.insert(REVISION.to_owned(), number.to_string());
    if before > 0 {
        let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&before.to_string());
    }
}

/// A set says what its Deployment says.
pub fn copy_annotations(deployment: &Deployment, set: &mut ReplicaSet) {
    for (key, value) in &deployment.metadata.annotations {
        if !OWN.contains(&key.as_str()) {
            set.metadata.annotations.insert(key.clone(), value.clone());
        }
    }
}

/// Brings the new set's and the Deployment's numbers up to date. None: they are.
pub fn keep_revisions(deployment: &Deployment, sets: &Sets) -> Option<Plan> {
    let new = sets.new.as_ref()?;
    let mut kept = (**new).clone();
    copy_annotations(deployment, &mut kept);
    set_revision(&mut kept, next_revision(sets));
    kept.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
    let number = revision(&kept).to_string();
    let mut plan = Plan::none();
    if kept != **new {
        plan.push(Write::update(kept));
    }
    if deployment.metadata.annotations.get(REVISION) != Some(&number) {
        let mut numbered = deployment.clone();
        numbered.metadata.annotations.insert(REVISION.to_owned(), number);
        plan.push(Write::update(numbered));
    }
    (!plan.writes.is_empty()).then_some(plan)
}

/// Deletes the oldest sets beyond the limit, if nothing uses them.
pub fn tidy(deployment: &Deployment, sets: &Sets) -> Vec<Write> {
    let Some(limit) = deployment.spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return Vec::new();
    };
    let unused = |set: &&std::sync::Arc<ReplicaSet>| {
        let meta = &set.metadata;
        set.status.replicas == 0
            && replicas(set) == 0
            && meta.generation <= set.status.observed_generation
            && meta.deletion_timestamp.is_none()
    };
    let mut unused: Vec<_> = sets.old.iter().filter(unused).collect();
    unused.sort_by_key(|set| revision(set));
    let surplus = unused.len().saturating_sub(limit);
    unused.into_iter().take(surplus).map(|set| Write::delete(&**set)).collect()
}
