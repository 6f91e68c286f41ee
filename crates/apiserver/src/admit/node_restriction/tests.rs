use proto::authentication::v1::BoundObjectReference;
use proto::core::v1::{Namespace, ServiceAccount, Taint};
use proto::scheduling::v1::PriorityClass;
use serde_json::json;

use super::*;
use crate::registry::Registry;

/// A cluster with one node.
struct OneNode(Node);

impl View for OneNode {
    fn named<T: proto::Object>(&self, _: &str, _: &str) -> Option<T> {
        None
    }

    fn all<T: proto::Object>(&self, _: &str) -> Vec<T> {
        Vec::new()
    }

    fn namespace(&self, _: &str) -> Option<Namespace> {
        None
    }
    fn service_account(&self, _: &str, _: &str) -> Option<ServiceAccount> {
        None
    }
    fn node(&self, name: &str) -> Option<Node> {
        (name == "n1").then(|| self.0.clone())
    }
    fn priority_class(&self, _: &str) -> Option<PriorityClass> {
        None
    }
    fn priority_classes(&self) -> Vec<PriorityClass> {
        Vec::new()
    }
}

fn one_node() -> OneNode {
    let mut node = Node::default();
    node.metadata.name = "n1".into();
    node.metadata.uid = "u1".into();
    OneNode(node)
}

fn node_user() -> User {
    User { name: "system:node:n1".into(), groups: vec!["system:nodes".into()], ..User::default() }
}

fn target(group: &str, plural: &str, name: &str, subresource: &str) -> Target {
    let resource = Registry::new().find(group, "v1", plural).expect("served").clone();
    let namespace = if resource.row.namespaced { "ns".to_owned() } else { String::new() };
    Target { resource, namespace, name: name.into(), subresource: subresource.into() }
}

fn object<T: proto::Object>(json: serde_json::Value) -> T {
    proto::json::from_value(json).expect("an object")
}

#[track_caller]
fn expect(outcome: Result<()>, refused: Option<&str>) {
    match (outcome, refused) {
        (Ok(()), None) => {}
        (Err(failure), Some(why)) => {
            assert!(failure.to_string().ends_with(&format!(" is forbidden: {why}")), "{failure}");
        }
        (outcome, refused) => panic!("{outcome:?}, expected {refused:?}"),
    }
}

fn mirror(change: impl FnOnce(&mut Pod)) -> Result<()> {
    let mut pod: Pod = object(json!({
        "metadata": {"name": "m", "namespace": "ns", "annotations": {"kubernetes.io/config.mirror": "h"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]}
    }));
    change(&mut pod);
    on_create(&node_user(), &target("", "pods", "", ""), &pod, &one_node())
}

#[test]
fn a_node_creates_mirror_pods_of_its_own_that_name_nothing() {
    expect(mirror(|_| {}), None);
    let why = "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods";
    expect(mirror(|pod| pod.metadata.annotations.clear()), Some(why));
    let why = "node \"n1\" can only create pods with spec.nodeName set to itself";
    expect(mirror(|pod| pod.spec.node_name = "n2".into()), Some(why));
    let why = "node \"n1\" can only create pods with an owner reference set to itself";
    expect(mirror(|pod| pod.metadata.owner_references.clear()), Some(why));
    let why = "node n1 UID mismatch: expected u2 got u1";
    expect(mirror(|pod| pod.metadata.owner_references[0].uid = "u2".into()), Some(why));
    let why = "node \"n1\" can not create pods that reference a service account";
    expect(mirror(|pod| pod.spec.service_account_name = "x".into()), Some(why));
    let why = "node \"n1\" can not create pods that reference secrets";
    let secret = json!({"name": "v", "secret": {"secretName": "s"}});
    let volume = proto::json::from_value(secret).expect("a volume");
    expect(mirror(|pod| pod.spec.volumes = vec![volume]), Some(why));
    // Nobody else is judged.
    let other = User { name: "jane".into(), ..User::default() };
    expect(on_create(&other, &target("", "pods", "", ""), &Pod::default(), &one_node()), None);
}

#[test]
fn a_node_changes_and_deletes_only_pods_that_run_on_it() {
    let user = node_user();
    let on = |node: &str| {
        let mut pod = Pod::default();
        pod.spec.node_name = node.into();
        pod
    };
    let status = target("", "pods", "p", "status");
    expect(on_update(&user, &status, &on("n1"), &on("n1")), None);
    let why = "node \"n1\" can only update pod status for pods with spec.nodeName set to itself";
    expect(on_update(&user, &status, &on("n2"), &on("n2")), Some(why));
    let mut labelled = on("n1");
    labelled.metadata.labels.insert("a".into(), "b".into());
    let why = "node \"n1\" cannot update labels through pod status";
    expect(on_update(&user, &status, &labelled, &on("n1")), Some(why));
    let whole = target("", "pods", "p", "");
    let why = "unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods";
    expect(on_update(&user, &whole, &on("n1"), &on("n1")), Some(why));
    expect(on_delete(&user, &whole, &on("n1")), None);
    let why = "node \"n1\" can only delete pods with spec.nodeName set to itself";
    expect(on_delete(&user, &whole, &on("n2")), Some(why));
    expect(on_evict(&user, &whole, &on("n1")), None);
    expect(on_evict(&user, &whole, &on("n2")), Some("node n1 can only evict pods with spec.nodeName set to itself"));
    let why = "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed";
    expect(on_subresource(&user, &target("", "pods", "p", "binding")), Some(why));
}

#[test]
fn a_node_changes_its_own_node_but_neither_taints_nor_restricted_labels() {
    let user = node_user();
    let old = one_node().0;
    let changed = |change: fn(&mut Node)| {
        let mut new = old.clone();
        change(&mut new);
        on_update(&user, &target("", "nodes", "n1", ""), &new, &old)
    };
    expect(changed(|_| {}), None);
    expect(
        changed(|node| node.spec.taints = vec![Taint::default()]),
        Some("node \"n1\" is not allowed to modify taints"),
    );
    for (key, fine) in [
        ("disk", true),
        ("example.com/disk", true),
        ("kubernetes.io/hostname", true),
        ("node.kubernetes.io/anything", true),
        ("sub.kubelet.kubernetes.io/x", true),
        ("kubernetes.io/anything", false),
        ("x.k8s.io/anything", false),
        ("xk8s.io/anything", true),
        ("node-restriction.kubernetes.io/a", false),
        ("z.node-restriction.kubernetes.io/a", false),
    ] {
        let mut new = old.clone();
        new.metadata.labels.insert(key.into(), "x".into());
        let (modify, set) = (
            format!("is not allowed to modify labels: {key}"),
            format!("is not allowed to set the following labels: {key}"),
        );
        let own = target("", "nodes", "n1", "");
        expect(on_update(&user, &own, &new, &old), (!fine).then_some(modify.as_str()));
        expect(on_create(&user, &own, &new, &one_node()), (!fine).then_some(set.as_str()));
    }
    let why = "node \"n1\" is not allowed to modify node \"n2\"";
    expect(on_update(&user, &target("", "nodes", "n2", "status"), &old, &old), Some(why));
    expect(on_delete(&user, &target("", "nodes", "n2", ""), &old), Some(why));
}

#[test]
fn a_node_asks_for_tokens_of_pods_that_run_on_it() {
    let (user, place) = (node_user(), target("", "serviceaccounts", "sa", "token"));
    let pod: Pod = object(json!({
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"nodeName": "n1", "volumes": [{"name": "t", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}}, {"serviceAccountToken": {"path": "x", "audience": "vault"}}]}}]}
    }));
    let mut request = TokenRequest::default();
    expect(on_token(&user, &place, &request), Some("node requested token not bound to a pod"));
    let mut bound =
        BoundObjectReference { kind: "Pod".into(), api_version: "v1".into(), name: "p".into(), ..Default::default() };
    request.spec.bound_object_ref = Some(bound.clone());
    expect(on_token(&user, &place, &request), Some("node requested token with a pod binding without a uid"));
    bound.u_id = "u".into();
    request.spec.bound_object_ref = Some(bound);
    expect(on_token(&user, &place, &request), None);
    expect(on_token_of(&user, &place, &request, &pod), None);
    request.spec.audiences = vec!["vault".into()];
    expect(on_token_of(&user, &place, &request, &pod), None);
    request.spec.audiences = vec!["bank".into()];
    expect(on_token_of(&user, &place, &request, &pod), Some("audience \"bank\" not found in pod spec volume"));
    let why = "node requested token bound to a pod scheduled on a different node";
    expect(on_token_of(&user, &place, &request, &Pod::default()), Some(why));
}

#[test]
fn leases_claims_and_slices_are_a_nodes_own() {
    let (user, view) = (node_user(), one_node());
    let lease =
        |namespace: &str, name: &str| object::<Lease>(json!({"metadata": {"namespace": namespace, "name": name}}));
    let place = target("coordination.k8s.io", "leases", "", "");
    expect(on_create(&user, &place, &lease("kube-node-lease", "n1"), &view), None);
    let why = "can only access node lease with the same name as the requesting node";
    expect(on_create(&user, &place, &lease("kube-node-lease", "n2"), &view), Some(why));
    let why = "can only access leases in the \"kube-node-lease\" system namespace";
    expect(on_create(&user, &place, &lease("default", "n1"), &view), Some(why));
    let slice: ResourceSlice = object(json!({"metadata": {"name": "s"}, "spec": {"nodeName": "n2"}}));
    let why = "can only create ResourceSlice with the same NodeName as the requesting node";
    expect(on_create(&user, &target("resource.k8s.io", "resourceslices", "", ""), &slice, &view), Some(why));
    let (mut claim, old) = (PersistentVolumeClaim::default(), PersistentVolumeClaim::default());
    let place = target("", "persistentvolumeclaims", "c", "status");
    claim.status.conditions.push(Default::default());
    expect(on_update(&user, &place, &claim, &old), None);
    claim.status.phase = "Bound".into();
    let why = "node \"n1\" is not allowed to update fields other than status.capacity and status.conditions";
    expect(on_update(&user, &place, &claim, &old), Some(why));
}
