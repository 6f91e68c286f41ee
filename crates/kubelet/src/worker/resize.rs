//! The worker carries out a resize that the node has granted, and tells how it goes.

use std::sync::Arc;

use proto::core::v1::{Container, Pod};
use sys::cgroup::Limits;

use super::act::panicked;
use super::{Outcome, Worker};
use crate::images::chain;
use crate::node_context::Node;
use crate::observed::{ObservedPod, State, Work};
use crate::pod::members;
use crate::resize::{self, Amounts, Pending, Progress, Step};
use crate::time;
use crate::{resources, sandbox};

/// A run that has other amounts now.
#[derive(Debug)]
pub(super) struct Changed {
    name: String,
    id: String,
    amounts: Amounts,
}

/// How a try went: what was changed, and what kept it from going on.
#[derive(Debug)]
pub(super) struct Resized {
    generation: i64,
    changed: Vec<Changed>,
    result: Result<(), String>,
}

impl Worker {
    /// Notes what a newer object has been granted, and what it has not.
    pub(super) fn note_resize(&mut self, newer: &Pod, pending: Option<Pending>) {
        let ends = self.desired.ending.is_some() || self.observed.torn_down;
        if !ends && resize::differs(newer, &self.desired.pod) {
            let generation = newer.metadata.generation;
            self.observed.resizing = Some(Progress { generation, ..Progress::default() });
            self.event(false, "ResizeStarted", format!("Pod resize started: {}", resize::summary(newer, None)), None);
        }
        self.observed.pending = pending;
    }

    /// Begins to change the containers that run.
    pub(super) fn resize(&mut self) {
        let Some(progress) = &self.observed.resizing else { return };
        let generation = progress.generation;
        self.observed.busy.insert(Work::Resize);
        let (node, pod, observed) = (self.node.clone(), self.desired.pod.clone(), self.observed.clone());
        let failed = Resized { generation, changed: Vec::new(), result: Err(panicked("the resize")) };
        self.tasks.spawn(Outcome::Resized(failed), async move {
            let mut changed = Vec::new();
            let result = change(&node, &pod, &observed, &mut changed).await;
            Outcome::Resized(Resized { generation, changed, result })
        });
    }

    pub(super) fn resized(&mut self, outcome: Resized) {
        self.observed.busy.remove(&Work::Resize);
        for Changed { name, id, amounts } in outcome.changed {
            let seen = self.observed.containers.get_mut(&name);
            if let Some(seen) = seen.filter(|seen| seen.id() == Some(id.as_str())) {
                seen.resources = Some(amounts);
            }
        }
        // What was asked meanwhile is another resize.
        let current = self.observed.resizing.as_mut().filter(|progress| progress.generation == outcome.generation);
        let Some(progress) = current else { return };
        match outcome.result {
            Ok(()) => {
                (progress.widened, progress.error) = (true, None);
                if resize::is_done(&self.desired.pod, &self.observed) {
                    self.observed.resizing = None;
                    self.tell_resize(false, "ResizeCompleted", "completed", None);
                }
            }
            Err(message) => {
                let known = progress.error.as_ref().is_some_and(|(before, _)| *before == message);
                progress.error = Some((message.clone(), time::now().saturating_add(resize::RETRY)));
                if !known {
                    self.tell_resize(true, "ResizeError", "error", Some(&message));
                }
            }
        }
    }

    fn tell_resize(&self, warning: bool, reason: &'static str, word: &str, error: Option<&str>) {
        let summary = resize::summary(&self.desired.pod, error);
        self.event(warning, reason, format!("Pod resize {word}: {summary}"), None);
    }
}

/// Widens the pod's group, changes its containers, and narrows the group again, unless one must be restarted first.
async fn change(
    node: &Arc<Node>,
    pod: &Arc<Pod>,
    observed: &ObservedPod,
    changed: &mut Vec<Changed>,
) -> Result<(), String> {
    let (old, new) = (resources::pod(&resize::as_running(pod, observed)), resources::pod(pod));
    group(node, pod, resize::between(&old, &new)).await?;
    let mut restarts = false;
    for member in members(pod) {
        let name = &member.container.name;
        let id = observed.container(name).and_then(|seen| match &seen.state {
            State::Running { id, .. } => Some(id.clone()),
            _ => None,
        });
        match (resize::step(member, observed), id) {
            (Step::Change, Some(id)) => {
                change_container(node, pod, member.container, &id).await?;
                let amounts = Amounts::of(&member.container.resources);
                changed.push(Changed { name: name.clone(), id, amounts });
            }
            (step, _) => restarts |= step == Step::Restart,
        }
    }
    if restarts { Ok(()) } else { group(node, pod, new).await }
}

async fn group(node: &Arc<Node>, pod: &Arc<Pod>, limits: Limits) -> Result<(), String> {
    sandbox::groups(node, pod, limits).await.map_err(|error| chain(&error))
}

/// A limit that is below what the container uses is not set: the kernel would take the memory by killing.
async fn change_container(node: &Node, pod: &Pod, container: &Container, id: &str) -> Result<(), String> {
    let wanted = resources::container(container);
    let group = format!("{}/{id}", resources::cgroup(&node.settings.cgroup_root, pod));
    if let (Some(limit), Some(used)) = (wanted.memory_bytes, node.cgroups.memory_bytes(&group))
        && limit < used
    {
        let name = &container.name;
        return Err(format!(
            "attempting to set container \"{name}\" memory limit ({limit}) below current usage ({used})"
        ));
    }
    node.containerd.update_task(id, &wanted.to_oci()).await.map_err(|error| chain(&error))
}
