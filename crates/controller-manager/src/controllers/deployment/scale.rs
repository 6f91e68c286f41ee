//! Changing sizes: a write, its Event, and the sharing out of a new total among several sets.

use std::cmp::Reverse;
use std::sync::Arc;

use proto::apps::v1::{Deployment, ReplicaSet};

use super::NAME;
use super::rolling::max_surge;
use super::sets::{Sets, replicas, wanted};
use crate::write::{Note, Write};

const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Scales a set and tells so.
pub fn write(deployment: &Deployment, set: &ReplicaSet, size: i32) -> Write {
    let mut scaled = set.clone();
    scaled.spec.replicas = Some(size);
    annotate(deployment, &mut scaled);
    let before = replicas(set);
    let write = Write::update(scaled);
    if before == size {
        return write;
    }
    let direction = if size > before { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {} from {before} to {size}", set.metadata.name);
    write.telling(Note::normal(NAME, deployment, "ScalingReplicaSet", message))
}

/// Remembers on a set what the Deployment wanted when it was scaled.
pub fn annotate(deployment: &Deployment, set: &mut ReplicaSet) {
    let (desired, max) = remembered(deployment);
    set.metadata.annotations.insert(DESIRED.to_owned(), desired);
    set.metadata.annotations.insert(MAX.to_owned(), max);
}

fn remembered(deployment: &Deployment) -> (String, String) {
    let wanted = wanted(deployment);
    (wanted.to_string(), wanted.saturating_add(max_surge(deployment)).to_string())
}

/// The Deployment's size was changed since its sets were scaled.
pub fn is_due(deployment: &Deployment, sets: &Sets) -> bool {
    let desired = wanted(deployment).to_string();
    sets.active().any(|set| set.metadata.annotations.get(DESIRED).is_some_and(|then| *then != desired))
}

/// Sizes for a new total.
pub fn plan(deployment: &Deployment, sets: &Sets) -> Vec<Write> {
    let wanted = wanted(deployment);
    let active: Vec<&Arc<ReplicaSet>> = sets.active().collect();
    let only = match active.as_slice() {
        [] => sets.new.as_ref().or(sets.old.last()),
        [only] => Some(*only),
        _ => None,
    };
    if let Some(only) = only {
        return resize(deployment, [(only, wanted)]);
    }
    if sets.new.as_ref().is_some_and(|new| is_saturated(deployment, new)) {
        return resize(deployment, sets.old.iter().filter(|set| replicas(set) > 0).map(|set| (set, 0)));
    }
    if deployment.spec.strategy.r#type != "RollingUpdate" {
        return Vec::new();
    }
    let allowed = if wanted > 0 { wanted.saturating_add(max_surge(deployment)) } else { 0 };
    resize(deployment, shared(deployment, active, allowed))
}

/// The new set alone already is what is wanted.
fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    let desired = new.metadata.annotations.get(DESIRED).and_then(|text| text.parse::<i32>().ok());
    replicas(new) == wanted && desired == Some(wanted) && new.status.available_replicas == wanted
}

/// Shares `allowed` pods among sets in proportion to their sizes; what rounding leaves goes to the largest.
fn shared<'a>(
    deployment: &Deployment,
    mut active: Vec<&'a Arc<ReplicaSet>>,
    allowed: i32,
) -> Vec<(&'a Arc<ReplicaSet>, i32)> {
    let to_add = allowed - active.iter().map(|set| replicas(set)).fold(0, i32::saturating_add);
    let age = |set: &ReplicaSet| set.metadata.creation_timestamp;
    if to_add > 0 {
        active.sort_by_key(|set| (Reverse(replicas(set)), Reverse(age(set)), set.metadata.name.clone()));
    } else {
        active.sort_by(|a, b| (replicas(b), age(a), &a.metadata.name).cmp(&(replicas(a), age(b), &b.metadata.name)));
    }
    let mut added = 0;
    let mut sizes: Vec<_> = active
        .into_iter()
        .map(|set| {
            let left = to_add - added;
            let part = share(deployment, set, allowed);
            let part = if to_add > 0 { part.clamp(0, left) } else { part.clamp(left, 0) };
            added += part;
            (set, replicas(set).saturating_add(part))
        })
        .collect();
    if let Some((_, size)) = sizes.first_mut() {
        *size = size.saturating_add(to_add - added).max(0);
    }
    sizes
}

/// By how much a set's size changes when the total becomes `allowed`.
fn share(deployment: &Deployment, set: &ReplicaSet, allowed: i32) -> i32 {
    let have = replicas(set);
    if wanted(deployment) == 0 {
        return -have;
    }
    let before = set.metadata.annotations.get(MAX).and_then(|text| text.parse::<i32>().ok());
    let before = before.unwrap_or(deployment.status.replicas);
    if before <= 0 {
        return 0;
    }
    let size = f64::from(have) * f64::from(allowed) / f64::from(before);
    // `as` cuts off at what an i32 can hold.
    (size.round() as i32).saturating_sub(have)
}

/// Writes for those whose size, or what is remembered on them, changes.
fn resize<'a>(deployment: &Deployment, sizes: impl IntoIterator<Item = (&'a Arc<ReplicaSet>, i32)>) -> Vec<Write> {
    let (desired, max) = remembered(deployment);
    let is_right = |set: &ReplicaSet, size: i32| {
        let annotations = &set.metadata.annotations;
        replicas(set) == size && annotations.get(DESIRED) == Some(&desired) && annotations.get(MAX) == Some(&max)
    };
    sizes
        .into_iter()
        .filter(|(set, size)| !is_right(set, *size))
        .map(|(set, size)| write(deployment, set, size))
        .collect()
}
