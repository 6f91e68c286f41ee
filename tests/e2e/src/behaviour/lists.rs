//! The recordings of pods and Deployments, all of which are replayed. Each stands in one list.

/// Replayed, in this order: the long ones first.
pub const PODS: &[&str] = &[
    "pod-image-missing",
    "pod-evicted-emptydir-limit",
    "pod-liveness-exec",
    "pod-always-exit0-backoff",
    "pod-liveness-http",
    "pod-crashloop",
    "pod-configmap-volume-missing",
    "pod-command-missing",
    "pod-configmap-env-missing",
    "pod-init-crashloop",
    "pod-startup-probe-fails",
    "pod-image-change",
    "pod-readiness-exec",
    "pod-poststart-fails",
    "pod-sidecar",
    "pod-finalizer",
    "pod-ignores-sigterm",
    "pod-ephemeral-container",
    "pod-startup-probe",
    "pod-delete-graceful",
    "pod-sigkill-137",
    "pod-active-deadline",
    "pod-prestop",
    "pod-termination-message",
    "pod-onfailure-then-success",
    "pod-volumes",
    "pod-dns-variants",
    "pod-dns",
    "pod-serviceaccount-token",
    "pod-init-ok",
    "pod-exit-143",
    "pod-delete-grace-exceeded",
    "pod-init-delete-during",
    "pod-readiness-gate",
    "pod-two-containers-one-fails",
    "pod-completed",
    "pod-failed",
    "pod-configmap-update",
    "pod-init-fails-never",
    "pod-unschedulable-nodeselector",
    "pod-env",
    "pod-oom",
    "pod-unschedulable-gated",
    "pod-hostnetwork",
    "pod-delete-force",
    "pod-resources-qos",
    "pod-delete-while-unscheduled",
    "pod-image-never-pull",
    "pod-image-invalid-name",
    "pod-running",
    "pod-evict-api",
    "pod-preemption",
    "pod-resize-inplace",
    "pod-hostport-conflict",
    "pod-hostpath-missing",
    "pod-unschedulable-cpu",
    "pod-rejected-by-node",
];

/// Replayed, after the pods.
pub const DEPLOYMENTS: &[&str] = &[
    "deployment-create",
    "deployment-rollback",
    "deployment-rolling-update",
    "deployment-scale",
    "deployment-scale-during-rollout",
    "deployment-failed-progress",
    "deployment-recreate",
    "deployment-paused",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recording_of_pods_and_deployments_is_replayed_once() {
        let mut listed: Vec<&str> = PODS.iter().chain(DEPLOYMENTS).copied().collect();
        listed.sort_unstable();
        let entries = std::fs::read_dir(super::super::folder()).expect("the facts lie beside the checkout");
        let names = entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned());
        let mut recorded: Vec<String> = names
            .filter(|name| name.starts_with("pod-") || name.starts_with("deployment-"))
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .collect();
        recorded.sort_unstable();
        assert_eq!(listed, recorded);
    }
}
