//! What is wanted of a pod: the API object, and when and why it ends. Pure accessors; no decisions.

use std::sync::Arc;

use proto::core::v1::{Container, EphemeralContainer, Pod};
use serde::{Deserialize, Serialize};

use crate::time::{self, Nanos};

/// The grace period where the pod names none.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Why a pod must end although its containers could go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub since: Nanos,
    pub grace_seconds: i64,
    pub cause: EndingCause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndingCause {
    /// The object is being deleted, or is gone.
    Deleted,
    /// The node decided: reason and message of the pod's status.
    Stopped { reason: String, message: String },
    /// The node did not take the pod: nothing of it ever ran.
    Rejected { reason: String, message: String },
}

/// The wanted state of a pod.
#[derive(Clone, Debug)]
pub struct DesiredPod {
    pub pod: Arc<Pod>,
    pub ending: Option<Ending>,
    /// The object is gone from the API: nothing is written back.
    pub gone: bool,
}

/// The part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that goes on running.
    Sidecar,
    Main,
    /// Added for debugging; never restarted.
    Ephemeral,
}

/// A container of the spec with its part.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub role: Role,
    pub container: &'a Container,
}

impl DesiredPod {
    pub fn new(pod: Arc<Pod>) -> Self {
        Self { pod, ending: None, gone: false }
    }

    pub fn uid(&self) -> &str {
        &self.pod.metadata.uid
    }

    /// "namespace/name".
    pub fn key(&self) -> String {
        format!("{}/{}", self.pod.metadata.namespace, self.pod.metadata.name)
    }

    /// Takes over a newer object. A shorter grace period shortens the end.
    pub fn update(&mut self, pod: Arc<Pod>, now: Nanos) {
        let meta = &pod.metadata;
        if meta.deletion_timestamp.is_some() {
            let grace_seconds = meta.deletion_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS);
            match &mut self.ending {
                Some(ending) => ending.grace_seconds = ending.grace_seconds.min(grace_seconds),
                None => {
                    self.ending = Some(Ending { since: now, grace_seconds, cause: EndingCause::Deleted });
                }
            }
        }
        self.pod = pod;
    }

    /// The object disappeared: ends the pod, if it is not ending yet.
    pub fn lose(&mut self, now: Nanos) {
        self.gone = true;
        let grace_seconds = self.grace_seconds();
        self.ending.get_or_insert(Ending { since: now, grace_seconds, cause: EndingCause::Deleted });
    }

    pub fn grace_seconds(&self) -> i64 {
        self.pod.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    /// When the deadline of the pod's activity passes.
    pub fn deadline(&self, started_at: Option<Nanos>) -> Option<Nanos> {
        let seconds = self.pod.spec.active_deadline_seconds?;
        Some(started_at?.saturating_add(seconds.saturating_mul(time::SECOND)))
    }
}

/// Init containers and sidecars in their order, then the others.
pub fn members(pod: &Pod) -> impl Iterator<Item = Member<'_>> {
    let init = pod.spec.init_containers.iter().map(|container| Member {
        role: match container.restart_policy.as_deref() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        },
        container,
    });
    let main = pod.spec.containers.iter().map(|container| Member { role: Role::Main, container });
    init.chain(main)
}

/// The member of that name; ephemeral containers are looked up with [`ephemeral`].
pub fn member<'a>(pod: &'a Pod, name: &str) -> Option<Member<'a>> {
    members(pod).find(|member| member.container.name == name)
}

/// An ephemeral container in the form of the others.
pub fn ephemeral(container: &EphemeralContainer) -> Container {
    let common = &container.ephemeral_container_common;
    Container {
        name: common.name.clone(),
        image: common.image.clone(),
        command: common.command.clone(),
        args: common.args.clone(),
        working_dir: common.working_dir.clone(),
        ports: common.ports.clone(),
        env_from: common.env_from.clone(),
        env: common.env.clone(),
        resources: common.resources.clone(),
        volume_mounts: common.volume_mounts.clone(),
        termination_message_path: common.termination_message_path.clone(),
        termination_message_policy: common.termination_message_policy.clone(),
        image_pull_policy: common.image_pull_policy.clone(),
        security_context: common.security_context.clone(),
        stdin: common.stdin,
        stdin_once: common.stdin_once,
        tty: common.tty,
        ..Container::default()
    }
}

/// Any container of the pod by name, with its part.
pub fn find(pod: &Pod, name: &str) -> Option<(Role, Container)> {
    if let Some(member) = member(pod, name) {
        return Some((member.role, member.container.clone()));
    }
    let found = pod.spec.ephemeral_containers.iter().find(|other| other.ephemeral_container_common.name == name)?;
    Some((Role::Ephemeral, ephemeral(found)))
}

/// Where events point: "spec.containers{c}".
pub fn field_path(role: Role, name: &str) -> String {
    let list = match role {
        Role::Init | Role::Sidecar => "initContainers",
        Role::Main => "containers",
        Role::Ephemeral => "ephemeralContainers",
    };
    format!("spec.{list}{{{name}}}")
}
