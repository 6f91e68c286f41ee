//! The pace of a rolling update.

use std::collections::BTreeMap;

use api::int_or_string::scaled;
use proto::IntOrString;
use proto::apps::v1::Deployment;

use super::scale;
use super::sets::{Sets, replicas, wanted};
use crate::write::Write;

/// How many pods more than wanted there may be.
pub fn max_surge(deployment: &Deployment) -> i32 {
    bounds(deployment).0
}

/// How many pods fewer than wanted may be available.
pub fn max_unavailable(deployment: &Deployment) -> i32 {
    bounds(deployment).1.min(wanted(deployment))
}

/// Surge is rounded up, unavailability down; both zero would never move, so one may be unavailable then.
fn bounds(deployment: &Deployment) -> (i32, i32) {
    if deployment.spec.strategy.r#type == "Recreate" {
        return (0, 0);
    }
    let rolling = deployment.spec.strategy.rolling_update.as_ref();
    let count = |value: Option<&IntOrString>, up: bool| {
        value.and_then(|value| scaled(value, wanted(deployment), up)).unwrap_or(0).max(0)
    };
    let surge = count(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
    let unavailable = count(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// Grows the new set as far as the surge allows, or shrinks it to what is wanted.
pub fn scale_new(deployment: &Deployment, sets: &Sets) -> Vec<Write> {
    let Some(new) = &sets.new else { return Vec::new() };
    let (have, wanted) = (replicas(new), wanted(deployment));
    let size = if have > wanted {
        wanted
    } else {
        have + sets.room(wanted.saturating_add(max_surge(deployment))).min(wanted - have)
    };
    if size == have { Vec::new() } else { vec![scale::write(deployment, new, size)] }
}

/// Shrinks old sets as far as enough pods stay available: first what is not available anyway, then the oldest.
pub fn scale_old(deployment: &Deployment, sets: &Sets) -> Vec<Write> {
    let Some(new) = &sets.new else { return Vec::new() };
    let least = wanted(deployment) - max_unavailable(deployment);
    let new_available = new.status.available_replicas.min(replicas(new));
    let new_unavailable = replicas(new) - new_available;
    let mut spare = sets.total().saturating_sub(least).saturating_sub(new_unavailable);
    let mut sizes: BTreeMap<usize, i32> = BTreeMap::new();
    let mut available = new_available;
    for (index, set) in sets.old.iter().enumerate() {
        let have = replicas(set);
        let alive = set.status.available_replicas.min(have);
        let ill = (have - alive).min(spare).max(0);
        spare -= ill;
        available = available.saturating_add(alive);
        sizes.insert(index, have - ill);
    }
    let mut healthy_spare = available.saturating_sub(least).min(spare).max(0);
    for size in sizes.values_mut() {
        let less = healthy_spare.min(*size);
        healthy_spare -= less;
        *size -= less;
    }
    let changed = sizes.into_iter().filter(|(index, size)| replicas(&sets.old[*index]) != *size);
    changed.map(|(index, size)| scale::write(deployment, &sets.old[index], size)).collect()
}
