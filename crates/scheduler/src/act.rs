//! What a decision asks of the API: bindings, conditions, evictions of preempted pods.

use client::{Api, DeleteParams, Error, Patch};
use proto::core::v1 as core;
use serde_json::json;

use crate::pod::PodInfo;

/// The pods' API and the time of writing.
#[derive(Clone)]
pub struct Actor {
    pods: Api<core::Pod>,
    scheduler: String,
}

impl Actor {
    pub fn new(pods: Api<core::Pod>, scheduler: &str) -> Self {
        Self { pods, scheduler: scheduler.to_owned() }
    }

    /// Binds a pod to its node.
    pub async fn bind(&self, pod: &PodInfo) -> Result<(), Error> {
        let mut binding = core::Binding::default();
        binding.metadata.namespace.clone_from(&pod.namespace);
        binding.metadata.name.clone_from(&pod.name);
        binding.metadata.uid.clone_from(&pod.uid);
        binding.target =
            core::ObjectReference { kind: "Node".to_owned(), name: pod.node.clone(), ..Default::default() };
        self.pods.create_subresource(&pod.namespace, &pod.name, "binding", &binding).await.map(|_answer| ())
    }

    /// Says in the pod's status why it is not scheduled, and on which node room is being made for it.
    pub async fn say_unschedulable(&self, pod: &PodInfo, message: &str, nominated: Option<&str>) -> Result<(), Error> {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "observedGeneration": pod.generation, "lastProbeTime": null, "lastTransitionTime": now(),
        });
        let mut status = json!({ "conditions": [condition] });
        if let Some(node) = nominated {
            status["nominatedNodeName"] = node.into();
        }
        self.patch(pod, status).await
    }

    /// Evicts a pod that must make room for a more important one.
    pub async fn preempt(&self, victim: &PodInfo) -> Result<(), Error> {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": format!("{}: preempting to accommodate a higher priority pod", self.scheduler),
            "observedGeneration": victim.generation, "lastProbeTime": null, "lastTransitionTime": now(),
        });
        self.patch(victim, json!({ "conditions": [condition] })).await?;
        let params = DeleteParams::with_uid(&victim.uid);
        self.pods.delete(&victim.namespace, &victim.name, &params).await.map(|_gone| ())
    }

    async fn patch(&self, pod: &PodInfo, status: serde_json::Value) -> Result<(), Error> {
        let patch = Patch::strategic(&json!({ "metadata": { "uid": pod.uid }, "status": status }));
        self.pods.patch_status(&pod.namespace, &pod.name, patch).await.map(|_pod| ())
    }
}

/// An Event's reference to a pod.
pub fn reference(pod: &PodInfo) -> core::ObjectReference {
    core::ObjectReference {
        kind: "Pod".to_owned(),
        api_version: "v1".to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..Default::default()
    }
}

fn now() -> serde_json::Value {
    let now = proto::meta::v1::Time::from_system(std::time::SystemTime::now());
    now.to_string().into()
}
