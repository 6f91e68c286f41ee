//! Resizing in place: whether the node grants what is asked, what running containers lack, and what is told of it. Pure.
//!
//! Three things may differ for a while: what the API asks, what the node has granted (the pod as workers know it), and
//! what a running container has (its record). The manager grants, since it knows the other pods; the worker then changes
//! the containers.

use std::collections::BTreeMap;

use proto::Quantity;
use proto::core::v1::{Container, Pod, PodCondition, PodStatus, ResourceRequirements};
use serde::{Deserialize, Serialize};
use sys::cgroup::Limits;

use crate::admission::{self, Offer};
use crate::cluster::Event;
use crate::observed::ObservedPod;
use crate::pod::{Member, Role, members};
use crate::time::{self, Nanos};

/// What can be changed while a container runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
/// The pause before a change that failed is tried again.
pub const RETRY: Nanos = 10 * time::SECOND;

/// Requests and limits of a run, as text: what a record can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    requests: BTreeMap<String, String>,
    limits: BTreeMap<String, String>,
}

impl Amounts {
    pub fn of(resources: &ResourceRequirements) -> Self {
        let text = |list: &BTreeMap<String, Quantity>| {
            list.iter().map(|(name, quantity)| (name.clone(), quantity.string.clone())).collect()
        };
        Self { requests: text(&resources.requests), limits: text(&resources.limits) }
    }

    /// These amounts; claims are the container's.
    fn requirements(&self, of: &Container) -> ResourceRequirements {
        let list = |list: &BTreeMap<String, String>| {
            list.iter().map(|(name, text)| (name.clone(), Quantity { string: text.clone() })).collect()
        };
        ResourceRequirements {
            requests: list(&self.requests),
            limits: list(&self.limits),
            claims: of.resources.claims.clone(),
        }
    }
}

/// A resize that the node does not grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub reason: Why,
    pub message: String,
    /// The generation that asks for it.
    pub generation: i64,
}

/// Whether waiting helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Other pods have what it asks for: it is granted when they give it back.
    Deferred,
    /// The node does not have it at all.
    Infeasible,
}

impl Why {
    pub fn name(self) -> &'static str {
        match self {
            Self::Deferred => "Deferred",
            Self::Infeasible => "Infeasible",
        }
    }
}

/// A granted resize that is being done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub generation: i64,
    /// The pod's group allows what the new containers need: those that must be restarted may be.
    pub widened: bool,
    /// Why it failed, and when it is tried again.
    pub error: Option<(String, Nanos)>,
}

/// Whether the pods ask for different amounts of what can be resized.
pub fn differs(one: &Pod, other: &Pod) -> bool {
    let pairs = members(one).filter_map(|member| Some((member, find(other, &member.container.name)?)));
    let mut changed =
        pairs.filter(|(member, other)| differing(&member.container.resources, &other.resources) != [false; 2]);
    changed.next().is_some()
}

/// Which of CPU and memory differ.
fn differing(one: &ResourceRequirements, other: &ResourceRequirements) -> [bool; 2] {
    RESIZABLE.map(|name| {
        one.requests.get(name) != other.requests.get(name) || one.limits.get(name) != other.limits.get(name)
    })
}

fn find<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    crate::pod::member(pod, name).map(|member| member.container)
}

/// Whether the node grants what the pod asks for, beside what it has granted to `others`.
pub fn judge<'a>(asked: &Pod, others: impl Iterator<Item = &'a Pod>, offer: &Offer) -> Result<(), Pending> {
    let pending = |reason, message| Pending { reason, message, generation: asked.metadata.generation };
    if let Some(lacks) = admission::beyond(asked, offer) {
        return Err(pending(Why::Infeasible, format!("Node didn't have enough capacity: {lacks}")));
    }
    match admission::room(asked, others, offer) {
        None => Ok(()),
        Some((_, why)) => Err(pending(Why::Deferred, why)),
    }
}

/// The newer object with the amounts that were granted before.
pub fn with_granted(asked: &Pod, before: &Pod) -> Pod {
    let mut pod = asked.clone();
    for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
        if let Some(granted) = find(before, &container.name) {
            container.resources = granted.resources.clone();
        }
    }
    pod
}

/// The pod with what its running containers have; those that do not run have what they will get.
pub fn as_running(pod: &Pod, observed: &ObservedPod) -> Pod {
    let mut pod = pod.clone();
    for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
        let seen = observed.container(&container.name).filter(|seen| seen.is_running());
        if let Some(amounts) = seen.and_then(|seen| seen.resources.as_ref()) {
            container.resources = amounts.requirements(container);
        }
    }
    pod
}

/// What becomes of a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has what it should.
    Keep,
    /// Its limits are changed.
    Change,
    /// It is ended, and begun anew.
    Restart,
}

/// What must be done to the container, which a member of the pod describes as it should be.
pub fn step(member: Member<'_>, observed: &ObservedPod) -> Step {
    let container = member.container;
    let seen = observed.container(&container.name).filter(|seen| seen.is_running());
    let Some(amounts) = seen.and_then(|seen| seen.resources.as_ref()) else { return Step::Keep };
    let changed = differing(&amounts.requirements(container), &container.resources);
    if member.role == Role::Init || changed == [false; 2] {
        return Step::Keep;
    }
    let restarts = |name: &str| {
        let mut policies = container.resize_policy.iter();
        policies.any(|policy| policy.resource_name == name && policy.restart_policy == "RestartContainer")
    };
    let must = RESIZABLE.iter().zip(changed).any(|(name, changed)| changed && restarts(name));
    if must { Step::Restart } else { Step::Change }
}

/// Whether every running container has what it should.
pub fn is_done(pod: &Pod, observed: &ObservedPod) -> bool {
    members(pod).all(|member| step(member, observed) == Step::Keep)
}

/// The pod's own limits while its containers are changed: the larger ones, so that neither the old nor the new ones are
/// beyond them.
pub fn between(old: &Limits, new: &Limits) -> Limits {
    fn larger<T: Ord + Copy>(old: Option<T>, new: Option<T>) -> Option<T> {
        Some(old?.max(new?))
    }
    Limits {
        cpu_shares: larger(old.cpu_shares, new.cpu_shares),
        cpu_quota_us: larger(old.cpu_quota_us, new.cpu_quota_us),
        memory_max: larger(old.memory_max, new.memory_max),
        pids_max: None,
    }
}

/// What is told of a resize that is not granted.
pub fn pending_event(asked: &Pod, pending: &Pending) -> Event {
    let (word, summary) = (pending.reason.name(), summary(asked, Some(&pending.message)));
    Event {
        warning: true,
        reason: match pending.reason {
            Why::Deferred => "ResizeDeferred",
            Why::Infeasible => "ResizeInfeasible",
        },
        message: format!("Pod resize {word}: {summary}"),
        field_path: String::new(),
    }
}

/// The types of the conditions that tell of resizes.
pub const CONDITIONS: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// The conditions; those that are not there have nothing to tell.
pub fn conditions(observed: &ObservedPod, before: &PodStatus, now: Nanos) -> Vec<PodCondition> {
    let pending = observed
        .pending
        .as_ref()
        .map(|pending| (CONDITIONS[0], pending.reason.name(), pending.message.as_str(), pending.generation));
    let progress = observed.resizing.as_ref().map(|progress| match &progress.error {
        Some((message, _)) => (CONDITIONS[1], "Error", message.as_str(), progress.generation),
        None => (CONDITIONS[1], "", "", progress.generation),
    });
    let told = pending.into_iter().chain(progress);
    told.map(|(kind, reason, message, generation)| {
        let old = before.conditions.iter().find(|old| old.r#type == kind && old.reason == reason);
        let since = old.map_or_else(|| time::to_meta(now), |old| old.last_transition_time);
        PodCondition {
            r#type: kind.into(),
            status: "True".into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: generation,
            last_probe_time: since,
            last_transition_time: since,
        }
    })
    .collect()
}

/// What events say after their first words: what the containers are to have, of which generation, and what went wrong.
pub fn summary(pod: &Pod, error: Option<&str>) -> String {
    let list = |containers: &[Container]| containers.iter().map(Summary::of).collect();
    let whole = Whole {
        init_containers: list(&pod.spec.init_containers),
        containers: list(&pod.spec.containers),
        generation: pod.metadata.generation,
        error,
    };
    serde_json::to_string(&whole).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Summary>,
    containers: Vec<Summary>,
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    name: String,
    resources: Shown,
}

#[derive(Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: BTreeMap<String, String>,
}

impl Summary {
    fn of(container: &Container) -> Self {
        let Amounts { requests, limits } = Amounts::of(&container.resources);
        Self { name: container.name.clone(), resources: Shown { limits, requests } }
    }
}

#[cfg(test)]
#[path = "resize/tests.rs"]
mod tests;
