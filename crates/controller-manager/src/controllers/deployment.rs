//! Deployments: replica sets that replace each other, at the pace that their strategy allows.
//!
//! A plan takes one step: make or reuse the replica set of the current template, or scale one set up or some down, or
//! tidy history; and keeps the status. The next event brings the next step. Invariant: a rolling update never asks for
//! more than `replicas + maxSurge` pods, and never takes away a pod that `replicas - maxUnavailable` needs.

mod conditions;
mod history;
mod rolling;
mod scale;
mod sets;
mod status;
mod template;

use std::sync::Arc;

use api::meta::controller_of;
use api::selector::labels::Selector;
use client::informer::Key;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::time::Time;

use crate::pods;
use crate::view::{BY_OWNER, View};
use crate::write::{Note, Plan, Verb, Write};
use sets::Sets;

/// Upstream's name of this controller.
pub const NAME: &str = "deployment-controller";

/// `key` names a Deployment.
pub fn plan(view: &View, key: &Key, now: Time) -> Plan {
    let Some(deployment) = view.deployments.get_key(key) else { return Plan::none() };
    let Ok(selector) = Selector::from_selector(deployment.spec.selector.as_ref()) else { return Plan::none() };
    if selector.is_everything() {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        return Plan::one(Write::tell(Note::warning(NAME, &*deployment, "SelectingAll", message)));
    }
    let step = Step { view, deployment: &deployment, now };
    if deployment.metadata.deletion_timestamp.is_none()
        && let Some(plan) = sets::adopt(view, &deployment, &selector)
    {
        return plan;
    }
    step.plan(&selector)
}

/// The Deployments that a replica set's change concerns: its controller, or those that could adopt it.
pub fn concerned(view: &View, set: &ReplicaSet) -> Vec<Key> {
    let meta = &set.metadata;
    if let Some(owner) = controller_of(meta) {
        return if owner.kind == "Deployment" { vec![Key::new(&meta.namespace, &owner.name)] } else { Vec::new() };
    }
    let deployments = view.deployments.list_in(&meta.namespace);
    let could_adopt = |deployment: &&Arc<Deployment>| {
        Selector::from_selector(deployment.spec.selector.as_ref()).is_ok_and(|selector| selector.matches(&meta.labels))
    };
    deployments.iter().filter(could_adopt).map(|deployment| Key::of(&**deployment)).collect()
}

/// One look at one Deployment.
struct Step<'a> {
    view: &'a View,
    deployment: &'a Deployment,
    now: Time,
}

impl Step<'_> {
    fn plan(&self, selector: &Selector) -> Plan {
        let deployment = self.deployment;
        let sets = Sets::of(self.view, deployment, selector);
        if deployment.metadata.deletion_timestamp.is_some() {
            return self.status(&sets, Vec::new());
        }
        if let Some(conditions) = conditions::paused(deployment, self.now) {
            let mut marked = deployment.clone();
            marked.status.conditions = conditions;
            return Plan::one(Write::update_status(marked));
        }
        if let Some(plan) = history::keep_revisions(deployment, &sets) {
            return plan;
        }
        if deployment.spec.paused || scale::is_due(deployment, &sets) {
            let mut writes = scale::plan(deployment, &sets);
            if writes.is_empty() && deployment.spec.paused {
                writes = history::tidy(deployment, &sets);
            }
            return self.status(&sets, writes);
        }
        let writes = match deployment.spec.strategy.r#type.as_str() {
            "Recreate" => self.recreate(&sets),
            _ => self.roll(&sets),
        };
        self.rollout(&sets, writes)
    }

    fn roll(&self, sets: &Sets) -> Vec<Write> {
        if sets.new.is_none() {
            return vec![template::create_set(self.deployment, sets)];
        }
        let up = rolling::scale_new(self.deployment, sets);
        if !up.is_empty() {
            return up;
        }
        let down = rolling::scale_old(self.deployment, sets);
        if !down.is_empty() {
            return down;
        }
        self.tidy_when_complete(sets)
    }

    /// Old pods end before the first new one begins.
    fn recreate(&self, sets: &Sets) -> Vec<Write> {
        let down: Vec<Write> = sets
            .old
            .iter()
            .filter(|set| sets::replicas(set) > 0)
            .map(|set| scale::write(self.deployment, set, 0))
            .collect();
        if !down.is_empty() {
            return down;
        }
        let old_runs = sets
            .old
            .iter()
            .any(|set| self.view.pods.by_index(BY_OWNER, &set.metadata.uid).iter().any(|pod| !pods::is_terminal(pod)));
        if old_runs {
            return Vec::new();
        }
        let Some(new) = &sets.new else { return vec![template::create_set(self.deployment, sets)] };
        if sets::replicas(new) != sets::wanted(self.deployment) {
            return vec![scale::write(self.deployment, new, sets::wanted(self.deployment))];
        }
        self.tidy_when_complete(sets)
    }

    fn tidy_when_complete(&self, sets: &Sets) -> Vec<Write> {
        if status::is_complete(self.deployment, &self.deployment.status) {
            history::tidy(self.deployment, sets)
        } else {
            Vec::new()
        }
    }

    /// Status without judging progress: deleted, paused, or being scaled.
    fn status(&self, sets: &Sets, writes: Vec<Write>) -> Plan {
        let mut plan = Plan { writes, again: None };
        self.write_status(status::of(self.deployment, sets, self.now), &mut plan);
        plan
    }

    /// Status with its progress, and a look at its deadline.
    fn rollout(&self, sets: &Sets, writes: Vec<Write>) -> Plan {
        let mut plan = Plan { writes, again: None };
        let creates = plan.writes.iter().any(|write| matches!(write.verb, Verb::Create(_)));
        let mut status = status::of(self.deployment, sets, self.now);
        if creates {
            // The counts follow once the set exists; now only that it does is told, and that nothing runs its template:
            // whatever it makes until the next look is progress.
            status = self.deployment.status.clone();
            status.updated_replicas = 0;
            let name = template::set_name(self.deployment, sets);
            conditions::set_created(self.deployment, &mut status, &name, self.now);
            if let Some(count) = template::collision(self.deployment, sets) {
                status.collision_count = Some(count);
            }
        } else {
            conditions::progress(self.deployment, &mut status, sets, self.now);
        }
        if let Some(seconds) = conditions::deadline_in_s(self.deployment, &status, self.now) {
            plan.again_after_s(seconds + 1);
        }
        self.write_status(status, &mut plan);
        plan
    }

    fn write_status(&self, status: proto::apps::v1::DeploymentStatus, plan: &mut Plan) {
        if status != self.deployment.status {
            let mut updated = self.deployment.clone();
            updated.status = status;
            plan.push(Write::update_status(updated));
        }
    }
}

#[cfg(test)]
mod tests;
