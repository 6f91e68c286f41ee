use std::collections::BTreeMap;

use proto::core::v1::{Container, LocalObjectReference, Node, PersistentVolumeClaim, Pod, Toleration};

use super::*;
use crate::registry::Registry;

/// A cluster as plain data.
#[derive(Default)]
struct Fake {
    namespaces: BTreeMap<String, Namespace>,
    accounts: BTreeMap<String, ServiceAccount>,
    nodes: BTreeMap<String, Node>,
    classes: Vec<PriorityClass>,
}

impl View for Fake {
    fn namespace(&self, name: &str) -> Option<Namespace> {
        self.namespaces.get(name).cloned()
    }
    fn service_account(&self, namespace: &str, name: &str) -> Option<ServiceAccount> {
        self.accounts.get(&format!("{namespace}/{name}")).cloned()
    }
    fn node(&self, name: &str) -> Option<Node> {
        self.nodes.get(name).cloned()
    }
    fn priority_class(&self, name: &str) -> Option<PriorityClass> {
        self.classes.iter().find(|class| class.metadata.name == name).cloned()
    }
    fn priority_classes(&self) -> Vec<PriorityClass> {
        self.classes.clone()
    }
}

fn cluster() -> Fake {
    let mut fake = Fake::default();
    fake.namespaces.insert("default".into(), Namespace::default());
    let mut ending = Namespace::default();
    ending.status.phase = "Terminating".into();
    fake.namespaces.insert("ending".into(), ending);
    fake.accounts.insert("default/default".into(), ServiceAccount::default());
    fake
}

fn class(name: &str, value: i32, global_default: bool) -> PriorityClass {
    let mut class = PriorityClass { value, global_default, ..Default::default() };
    class.metadata.name = name.into();
    class
}

fn admit_in<T: proto::Object>(view: &Fake, plural: &str, namespace: &str, object: T) -> Result<T> {
    let registry = Registry::new();
    let resource = registry.find(T::GROUP, T::VERSION, plural).expect("a known resource").clone();
    let target = Target { resource, namespace: namespace.into(), name: String::new(), subresource: String::new() };
    let user = User::default();
    let mut object: Box<dyn DynObject> = Box::new(object);
    run(Request { target: &target, user: &user, seed: 7 }, object.as_mut(), view)?;
    Ok(object.downcast_ref::<T>().expect("the same kind").clone())
}

fn pod() -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = "p".into();
    pod.spec.containers = vec![Container { name: "c".into(), ..Default::default() }];
    pod
}

#[test]
fn nothing_is_created_where_no_namespace_is() {
    let failure = admit_in(&cluster(), "pods", "nowhere", pod()).expect_err("refused");
    assert_eq!((failure.code(), failure.to_string().as_str()), (404, "namespaces \"nowhere\" not found"));
}

#[test]
fn nothing_is_created_in_an_ending_namespace() {
    let failure = admit_in(&cluster(), "pods", "ending", pod()).expect_err("refused");
    assert_eq!(failure.code(), 403);
    assert!(failure.to_string().contains("because it is being terminated"), "{failure}");
}

#[test]
#[allow(deprecated)] // clients still read the older field
fn every_pod_has_an_account_and_its_token() {
    let pod = admit_in(&cluster(), "pods", "default", pod()).expect("admitted");
    assert_eq!((pod.spec.service_account_name.as_str(), pod.spec.service_account.as_str()), ("default", "default"));
    let volume = &pod.spec.volumes[0];
    assert!(volume.name.starts_with("kube-api-access-") && volume.name.len() == 21, "{}", volume.name);
    let projected = volume.volume_source.projected.as_ref().expect("projected");
    assert_eq!((projected.sources.len(), projected.default_mode), (3, Some(420)));
    let mount = &pod.spec.containers[0].volume_mounts[0];
    assert_eq!((mount.name.as_str(), mount.read_only), (volume.name.as_str(), true));
}

#[test]
fn a_pod_can_do_without_a_token() {
    let mut without = pod();
    without.spec.automount_service_account_token = Some(false);
    let pod = admit_in(&cluster(), "pods", "default", without).expect("admitted");
    assert!(pod.spec.volumes.is_empty());
}

#[test]
fn a_missing_account_is_named() {
    let mut other = pod();
    other.spec.service_account_name = "builder".into();
    let failure = admit_in(&cluster(), "pods", "default", other).expect_err("refused");
    assert!(failure.to_string().contains("serviceaccount \"builder\" not found"), "{failure}");
}

#[test]
fn pull_secrets_come_from_the_account_unless_the_pod_has_its_own() {
    let mut view = cluster();
    let account = view.accounts.get_mut("default/default").expect("made above");
    account.image_pull_secrets = vec![LocalObjectReference { name: "registry".into() }];
    let admitted = admit_in(&view, "pods", "default", pod()).expect("admitted");
    assert_eq!(admitted.spec.image_pull_secrets[0].name, "registry");
    let mut own = pod();
    own.spec.image_pull_secrets = vec![LocalObjectReference { name: "mine".into() }];
    let admitted = admit_in(&view, "pods", "default", own).expect("admitted");
    assert_eq!(admitted.spec.image_pull_secrets.len(), 1);
    assert_eq!(admitted.spec.image_pull_secrets[0].name, "mine");
}

#[test]
fn a_class_becomes_a_number() {
    let mut view = cluster();
    view.classes = vec![class("high", 1000, false), class("usual", 10, true), class("low", 5, true)];
    let mut high = pod();
    high.spec.priority_class_name = "high".into();
    assert_eq!(admit_in(&view, "pods", "default", high).expect("admitted").spec.priority, Some(1000));
    let usual = admit_in(&view, "pods", "default", pod()).expect("admitted");
    assert_eq!((usual.spec.priority, usual.spec.priority_class_name.as_str()), (Some(5), "low"));
    assert_eq!(admit_in(&cluster(), "pods", "default", pod()).expect("admitted").spec.priority, Some(0));
}

#[test]
fn a_priority_cannot_be_made_up() {
    let mut bold = pod();
    bold.spec.priority = Some(7);
    assert_eq!(admit_in(&cluster(), "pods", "default", bold).expect_err("refused").code(), 403);
    let mut lost = pod();
    lost.spec.priority_class_name = "gone".into();
    let failure = admit_in(&cluster(), "pods", "default", lost).expect_err("refused");
    assert!(failure.to_string().contains("no PriorityClass with name gone was found"), "{failure}");
}

#[test]
fn tolerations_are_added_once() {
    let mut own = pod();
    own.spec.tolerations = vec![Toleration {
        key: "node.kubernetes.io/not-ready".into(),
        operator: "Exists".into(),
        effect: "NoExecute".into(),
        toleration_seconds: Some(5),
        ..Default::default()
    }];
    let admitted = admit_in(&cluster(), "pods", "default", own).expect("admitted");
    let seconds: Vec<_> = admitted.spec.tolerations.iter().map(|toleration| toleration.toleration_seconds).collect();
    assert_eq!(seconds, [Some(5), Some(300)]);
}

#[test]
fn a_new_node_is_not_ready() {
    let node = admit_in(&cluster(), "nodes", "", Node::default()).expect("admitted");
    assert_eq!(node.spec.taints[0].key, "node.kubernetes.io/not-ready");
}

#[test]
fn claims_are_protected_once() {
    let mut claim = PersistentVolumeClaim::default();
    claim.metadata.finalizers = vec!["kubernetes.io/pvc-protection".into()];
    let claim = admit_in(&cluster(), "persistentvolumeclaims", "default", claim).expect("admitted");
    assert_eq!(claim.metadata.finalizers, ["kubernetes.io/pvc-protection"]);
}

#[test]
fn a_resize_beyond_the_node_is_refused() {
    let registry = Registry::new();
    let resource = registry.core("pods").expect("a core resource");
    let quantity = |text: &str| proto::Quantity { string: text.into() };
    let mut node = Node::default();
    node.metadata.labels.insert("kubernetes.io/os".into(), "linux".into());
    node.status.allocatable.insert("cpu".into(), quantity("2"));
    let mut view = cluster();
    view.nodes.insert("n".into(), node);
    let resize = |cpu: &str, node: &str| {
        let mut old = pod();
        old.spec.node_name = node.into();
        let mut new = old.clone();
        new.metadata.generation += 1;
        new.spec.containers[0].resources.requests.insert("cpu".into(), quantity(cpu));
        on_resize(&view, resource, &new, &old).map_err(|failure| (failure.code(), failure.to_string()))
    };
    assert_eq!(resize("2", "n"), Ok(()));
    assert_eq!(resize("100", ""), Ok(()));
    let why = "pods \"p\" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 100000, allocatable: 2000";
    assert_eq!(resize("100", "n"), Err((403, why.into())));
    assert_eq!(resize("1", "m"), Err((403, "pods \"p\" is forbidden: node \"m\" not found".into())));
}
