use proto::core::v1::{Container, PersistentVolume, Pod};
use serde_json::json;

use super::*;
use crate::authenticate::User;
use crate::authorize::Attributes;
use crate::authorize::node::{Opinion, judge};

fn pod(spec: serde_json::Value) -> Pod {
    let pod = json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec});
    proto::json::from_value(pod).expect("a pod")
}

/// A pod on n1 that names one of each.
fn naming_all() -> Pod {
    pod(json!({
        "nodeName": "n1", "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env-map"}}, {"secretRef": {"name": "env-secret"}}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "key-map", "key": "k"}}}]}],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init-secret"}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "vol-secret"}}, {"name": "b", "configMap": {"name": "vol-map"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "p-secret"}}, {"configMap": {"name": "p-map"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}}, {"name": "e", "ephemeral": {}},
            {"name": "f", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi-secret"}}}],
        "resourceClaims": [{"name": "r", "resourceClaimName": "device"}]
    }))
}

fn put(graph: &mut Graph, pod: &Pod) {
    graph.put_pod("ns", &pod.metadata.name, PodFacts::of(pod).expect("bound"));
}

#[test]
fn a_node_reads_what_its_pods_name_while_they_are_there() {
    let mut graph = Graph::default();
    put(&mut graph, &naming_all());
    let named = [
        (Kind::ServiceAccount, "sa"),
        (Kind::Secret, "pull"),
        (Kind::Secret, "env-secret"),
        (Kind::Secret, "key-secret"),
        (Kind::Secret, "init-secret"),
        (Kind::Secret, "vol-secret"),
        (Kind::Secret, "p-secret"),
        (Kind::Secret, "csi-secret"),
        (Kind::ConfigMap, "env-map"),
        (Kind::ConfigMap, "key-map"),
        (Kind::ConfigMap, "vol-map"),
        (Kind::ConfigMap, "p-map"),
        (Kind::Claim, "claim"),
        (Kind::Claim, "p-e"),
        (Kind::ResourceClaim, "device"),
    ];
    for (kind, name) in named {
        assert!(graph.concerns("n1", kind, "ns", name), "{name}");
        assert!(!graph.concerns("n2", kind, "ns", name), "{name} of another node");
        assert!(!graph.concerns("n1", kind, "other", name), "{name} in another namespace");
    }
    assert!(!graph.concerns("n1", Kind::Secret, "ns", "vol-map"));
    assert!(graph.runs("n1", "ns", "p") && !graph.runs("n2", "ns", "p") && graph.grows("ns", "p"));
    // A second pod keeps what the first one names.
    let mut second = naming_all();
    second.metadata.name = "q".into();
    put(&mut graph, &second);
    graph.remove_pod("ns", "p");
    assert!(graph.concerns("n1", Kind::Secret, "ns", "pull") && !graph.runs("n1", "ns", "p"));
    graph.remove_pod("ns", "q");
    assert!(graph.uses.values().all(HashMap::is_empty) && graph.nodes.is_empty() && graph.pods.is_empty());
}

#[test]
fn a_volume_belongs_to_the_claim_that_it_is_bound_to() {
    let mut graph = Graph::default();
    let volume: PersistentVolume = proto::json::from_value(json!({
        "metadata": {"name": "v"},
        "spec": {"claimRef": {"namespace": "ns", "name": "claim"}, "csi": {"driver": "x", "volumeHandle": "h",
            "nodeStageSecretRef": {"namespace": "far", "name": "stage"},
            "controllerPublishSecretRef": {"namespace": "far", "name": "publish"}}}
    }))
    .expect("a volume");
    graph.put_volume("v", VolumeFacts::of(&volume));
    assert!(!graph.mounts("n1", "v"));
    put(&mut graph, &naming_all());
    assert!(graph.mounts("n1", "v") && !graph.mounts("n2", "v"));
    assert!(graph.concerns("n1", Kind::Secret, "far", "stage"));
    assert!(!graph.concerns("n1", Kind::Secret, "far", "publish"), "that one is its controller's");
    graph.remove_volume("v");
    assert!(!graph.mounts("n1", "v") && !graph.concerns("n1", Kind::Secret, "far", "stage"));
    assert!(graph.volumes_of_secret.is_empty());
}

#[test]
fn what_a_mirror_pod_names_counts_for_nothing() {
    let mut mirror = naming_all();
    mirror.metadata.annotations.insert(super::super::references::MIRROR.into(), "x".into());
    let mut graph = Graph::default();
    put(&mut graph, &mirror);
    assert!(graph.runs("n1", "ns", "p") && !graph.concerns("n1", Kind::Secret, "ns", "pull"));
    let unbound = Pod {
        spec: proto::core::v1::PodSpec { containers: vec![Container::default()], ..Default::default() },
        ..Default::default()
    };
    assert_eq!(PodFacts::of(&unbound), None);
}

/// `VERB GROUP/RESOURCE[/SUB] NAMESPACE NAME [FIELDS]`; `-` for nothing.
#[track_caller]
fn check(asked: &str, refused: Option<&str>) {
    let mut graph = Graph::default();
    put(&mut graph, &naming_all());
    graph.set_node(Owned::Attachment, "attached", "n1");
    graph.set_node(Owned::Slice, "slice", "n1");
    let words: Vec<&str> = asked.split(' ').collect();
    let word = |at: usize| words.get(at).copied().filter(|word| *word != "-").unwrap_or_default();
    let path: Vec<&str> = word(1).split('/').collect();
    let (group, resource) = (if path[0] == "-" { "" } else { path[0] }, path[1]);
    let subresource = path.get(2).copied().unwrap_or_default();
    let (verb, namespace, name, fields) = (word(0), word(2), word(3), word(4));
    let attributes = Attributes { verb, group, resource, subresource, namespace, name, fields, path: "" };
    let rules = crate::bootstrap::policy::node_rules();
    let user = User { name: "system:node:n1".into(), groups: vec!["system:nodes".into()], ..User::default() };
    let opinion = judge(&graph, &rules, &user, &attributes).expect("a node");
    let expected = refused.map_or(Opinion::Allowed, |why| Opinion::Refused(why.to_owned()));
    assert_eq!(opinion, expected, "{asked}");
    let nobody = User { name: "system:node:n1".into(), ..User::default() };
    assert_eq!(judge(&graph, &rules, &nobody, &attributes), None, "without the group it is no node");
}

const UNRELATED: &str = "no relationship found between node 'n1' and this object";

#[test]
fn a_node_reads_single_objects() {
    check("get -/secrets ns pull", None);
    check("watch -/secrets ns pull", None);
    check("get -/secrets ns other", Some(UNRELATED));
    check("list -/secrets ns -", Some("No Object name found"));
    check("list -/secrets - -", Some("can only read namespaced object of this type"));
    check("update -/secrets ns pull", Some("can only read resources of this type"));
    check("list -/configmaps ns vol-map", None);
    check("get -/persistentvolumeclaims ns claim", None);
    check("list -/persistentvolumeclaims ns claim", Some("can only get individual resources of this type"));
    check("patch -/persistentvolumeclaims/status ns claim", None);
    check("patch -/persistentvolumeclaims/status ns other", Some(UNRELATED));
    check("get -/persistentvolumes - v", Some(UNRELATED));
    check("get storage.k8s.io/volumeattachments - attached", None);
    check("get storage.k8s.io/volumeattachments - other", Some(UNRELATED));
    check("get resource.k8s.io/resourceclaims ns device", None);
    check("get -/pods ns p", None);
    check("get -/pods ns other", Some(UNRELATED));
}

#[test]
fn a_node_has_its_own_node_lease_and_slices() {
    check("get -/nodes - n1", None);
    check("get -/nodes - n2", Some("node 'n1' cannot read 'n2', only its own Node object"));
    check("list -/nodes - -", Some("node 'n1' cannot read all nodes, only its own Node object"));
    check("patch -/nodes/status - n1", None);
    check("delete -/nodes - n1", Some(""));
    check("update coordination.k8s.io/leases kube-node-lease n1", None);
    check("create coordination.k8s.io/leases kube-node-lease -", None);
    let own = "can only access node lease with the same name as the requesting node";
    check("update coordination.k8s.io/leases kube-node-lease n2", Some(own));
    let place = "can only access leases in the \"kube-node-lease\" system namespace";
    check("update coordination.k8s.io/leases kube-system n1", Some(place));
    let own = "can only access CSINode with the same name as the requesting node";
    check("get storage.k8s.io/csinodes - n2", Some(own));
    check("delete resource.k8s.io/resourceslices - slice", None);
    check("delete resource.k8s.io/resourceslices - other", Some(UNRELATED));
    check("list resource.k8s.io/resourceslices - - spec.nodeName=n1", None);
}

#[test]
fn a_node_follows_its_own_pods_and_asks_tokens_for_them() {
    check("watch -/pods - - spec.nodeName=n1", None);
    let own = "can only list/watch pods with spec.nodeName field selector";
    check("watch -/pods - - spec.nodeName=n2", Some(own));
    check("list -/pods ns -", Some(own));
    check("update -/pods ns p", Some(""));
    check("update -/pods/status ns p", None);
    check("create -/pods/eviction ns p", None);
    check("create -/serviceaccounts/token ns sa", None);
    check("create -/serviceaccounts/token ns other", Some(UNRELATED));
    check("get -/serviceaccounts ns sa", None);
    check("create -/serviceaccounts ns -", Some("can only create tokens for individual service accounts"));
    check("list -/services - -", None);
    check("create -/configmaps ns -", Some("can only read resources of this type"));
    check("create -/namespaces - -", Some(""));
}
