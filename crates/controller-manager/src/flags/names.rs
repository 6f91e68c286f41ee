//! Names of controllers as `--controllers` takes them: today's, and the short ones of before.

/// Short name and today's name, of controllers that run here.
const SHORT: [(&str, &str); 14] = [
    ("deployment", "deployment-controller"),
    ("replicaset", "replicaset-controller"),
    ("endpointslice", "endpointslice-controller"),
    ("endpoint", "endpoints-controller"),
    ("serviceaccount", "serviceaccount-controller"),
    ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
    ("nodeipam", "node-ipam-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("taint-eviction", "taint-eviction-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("pvc-protection", "persistentvolumeclaim-protection-controller"),
    ("pv-protection", "persistentvolume-protection-controller"),
    ("namespace", "namespace-controller"),
    ("garbagecollector", "garbage-collector-controller"),
];

/// Upstream's controllers that are not here yet. Naming them is no mistake.
const UPSTREAMS_ONLY: [&str; 40] = [
    "bootstrapsigner",
    "bootstrap-signer-controller",
    "tokencleaner",
    "token-cleaner-controller",
    "attachdetach",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder",
    "persistentvolume-binder-controller",
    "persistentvolume-expander",
    "persistentvolume-expander-controller",
    "clusterrole-aggregation",
    "clusterrole-aggregation-controller",
    "cronjob",
    "cronjob-controller",
    "csrapproving",
    "certificatesigningrequest-approving-controller",
    "csrcleaner",
    "certificatesigningrequest-cleaner-controller",
    "csrsigning",
    "certificatesigningrequest-signing-controller",
    "daemonset",
    "daemonset-controller",
    "disruption",
    "disruption-controller",
    "endpointslicemirroring",
    "endpointslice-mirroring-controller",
    "ephemeral-volume",
    "ephemeral-volume-controller",
    "horizontalpodautoscaling",
    "horizontal-pod-autoscaler-controller",
    "job",
    "job-controller",
    "replicationcontroller",
    "replicationcontroller-controller",
    "resourcequota",
    "resourcequota-controller",
    "statefulset",
    "statefulset-controller",
    "ttl",
    "ttl-after-finished",
];

/// Today's name.
pub fn full(name: &str) -> &str {
    SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full)
}

/// A controller of upstream's that is not here.
pub fn is_upstreams_only(name: &str) -> bool {
    UPSTREAMS_ONLY.contains(&name)
}
