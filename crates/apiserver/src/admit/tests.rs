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
    others: Vec<Box<dyn DynObject>>,
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
    fn named<T: proto::Object>(&self, namespace: &str, name: &str) -> Option<T> {
        self.all(namespace).into_iter().find(|object: &T| object.metadata().name == name)
    }
    fn all<T: proto::Object>(&self, namespace: &str) -> Vec<T> {
        let all = self.others.iter().filter_map(|object| object.downcast_ref::<T>());
        all.filter(|object| object.metadata().namespace == namespace).cloned().collect()
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
    judge(&target, object.as_ref(), view)?;
    resource_quota::admit(&target, object.as_ref(), view)?;
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

fn quantities(list: &[(&str, &str)]) -> api::quantity::ResourceList {
    list.iter().map(|(name, text)| ((*name).to_owned(), proto::Quantity { string: (*text).to_owned() })).collect()
}

fn in_default<T: proto::Object>(mut object: T, name: &str) -> Box<dyn DynObject> {
    object.metadata_mut().namespace = "default".into();
    object.metadata_mut().name = name.into();
    Box::new(object)
}

#[test]
fn limits_are_given_and_kept() {
    let mut view = cluster();
    let item = proto::core::v1::LimitRangeItem {
        r#type: "Container".into(),
        min: quantities(&[("cpu", "10m")]),
        default: quantities(&[("memory", "1Gi")]),
        default_request: quantities(&[("cpu", "20m")]),
        ..Default::default()
    };
    let range = proto::core::v1::LimitRange {
        spec: proto::core::v1::LimitRangeSpec { limits: vec![item] },
        ..Default::default()
    };
    view.others.push(in_default(range, "lr"));
    let admitted = admit_in(&view, "pods", "default", pod()).expect("admitted");
    let told = admitted.metadata.annotations.get("kubernetes.io/limit-ranger").map(String::as_str);
    assert_eq!(told, Some("LimitRanger plugin set: cpu request for container c; memory limit for container c"));
    assert_eq!(admitted.spec.containers[0].resources.requests, quantities(&[("cpu", "20m")]));
    let mut little = pod();
    little.spec.containers[0].resources.requests = quantities(&[("cpu", "1m")]);
    let failure = admit_in(&view, "pods", "default", little).expect_err("refused");
    let why = "minimum cpu usage per Container is 10m, but request is 1m";
    assert!(failure.to_string().contains(why), "{failure}");
}

#[test]
fn a_quota_wants_to_know_and_is_kept() {
    let mut view = cluster();
    let mut quota = proto::core::v1::ResourceQuota::default();
    quota.status.hard = quantities(&[("requests.cpu", "1"), ("pods", "2")]);
    quota.status.used = quantities(&[("requests.cpu", "700m"), ("pods", "1")]);
    view.others.push(in_default(quota, "q"));
    let failure = admit_in(&view, "pods", "default", pod()).expect_err("refused");
    assert!(failure.to_string().contains("failed quota: q: must specify requests.cpu for: c"), "{failure}");
    let asks = |cpu: &str| {
        let mut asking = pod();
        asking.spec.containers[0].resources.requests = quantities(&[("cpu", cpu)]);
        admit_in(&view, "pods", "default", asking).map_err(|failure| failure.to_string())
    };
    assert!(asks("300m").is_ok());
    let why = "exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=700m, limited: requests.cpu=1";
    assert!(asks("400m").is_err_and(|failure| failure.contains(why)));
}

#[test]
fn a_namespace_enforces_its_level() {
    let mut view = cluster();
    let labels = &mut view.namespaces.get_mut("default").expect("made above").metadata.labels;
    labels.insert("pod-security.kubernetes.io/enforce".into(), "baseline".into());
    assert!(admit_in(&view, "pods", "default", pod()).is_ok());
    let mut bold = pod();
    bold.spec.host_network = true;
    bold.spec.containers[0].security_context =
        Some(proto::core::v1::SecurityContext { privileged: Some(true), ..Default::default() });
    let failure = admit_in(&view, "pods", "default", bold).expect_err("refused");
    let why = "violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true), privileged (container \"c\" must not set securityContext.privileged=true)";
    assert!(failure.to_string().contains(why), "{failure}");
    let labels = &mut view.namespaces.get_mut("default").expect("made above").metadata.labels;
    labels.insert("pod-security.kubernetes.io/enforce".into(), "restricted".into());
    let failure = admit_in(&view, "pods", "default", pod()).expect_err("refused");
    assert!(failure.to_string().contains("runAsNonRoot != true"), "{failure}");
}

#[test]
fn a_namespace_warns_of_a_level() {
    let mut view = cluster();
    let set_label = |view: &mut Fake, key: &str| {
        let labels = &mut view.namespaces.get_mut("default").expect("made above").metadata.labels;
        labels.insert(format!("pod-security.kubernetes.io/{key}"), "baseline".into());
    };
    let mut bold = pod();
    bold.metadata.namespace = "default".into();
    bold.spec.host_network = true;
    let mut set = proto::apps::v1::DaemonSet::default();
    set.metadata.namespace = "default".into();
    set.spec.template.spec = bold.spec.clone();
    assert_eq!(super::warnings(&view, &bold), Vec::<String>::new());
    set_label(&mut view, "warn");
    let why = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!(super::warnings(&view, &bold), [why]);
    assert_eq!(super::warnings(&view, &set), [why]);
    assert_eq!(super::warnings(&view, &pod()), Vec::<String>::new());
    set_label(&mut view, "enforce");
    // Such a pod is refused; what makes such pods is not.
    assert_eq!(super::warnings(&view, &bold), Vec::<String>::new());
    assert_eq!(super::warnings(&view, &set), [why]);
}

#[test]
fn the_newest_default_class_is_taken() {
    let mut view = cluster();
    for (name, second) in [("old", 1), ("new", 2)] {
        let mut class = proto::storage::v1::StorageClass::default();
        class.metadata.name = name.into();
        class.metadata.creation_timestamp = proto::time::Time::from_unix(second);
        class.metadata.annotations.insert("storageclass.kubernetes.io/is-default-class".into(), "true".into());
        view.others.push(Box::new(class));
    }
    let claim = admit_in(&view, "persistentvolumeclaims", "default", PersistentVolumeClaim::default());
    assert_eq!(claim.expect("admitted").spec.storage_class_name.as_deref(), Some("new"));
    let mut own = PersistentVolumeClaim::default();
    own.spec.storage_class_name = Some(String::new());
    let claim = admit_in(&view, "persistentvolumeclaims", "default", own).expect("admitted");
    assert_eq!(claim.spec.storage_class_name.as_deref(), Some(""));
}

#[test]
fn a_runtime_says_what_it_costs_and_where_it_is() {
    let mut view = cluster();
    let mut class = proto::node::v1::RuntimeClass::default();
    class.metadata.name = "slow".into();
    class.overhead = Some(proto::node::v1::Overhead { pod_fixed: quantities(&[("cpu", "250m")]) });
    let place = proto::node::v1::Scheduling {
        node_selector: BTreeMap::from([("rt".to_owned(), "y".to_owned())]),
        ..Default::default()
    };
    class.scheduling = Some(place);
    view.others.push(Box::new(class));
    let mut slow = pod();
    slow.spec.runtime_class_name = Some("slow".into());
    let admitted = admit_in(&view, "pods", "default", slow.clone()).expect("admitted");
    assert_eq!(admitted.spec.overhead, quantities(&[("cpu", "250m")]));
    assert_eq!(admitted.spec.node_selector.get("rt").map(String::as_str), Some("y"));
    slow.spec.node_selector.insert("rt".into(), "n".into());
    assert!(admit_in(&view, "pods", "default", slow).is_err());
    let mut lost = pod();
    lost.spec.runtime_class_name = Some("gone".into());
    let failure = admit_in(&view, "pods", "default", lost).expect_err("refused");
    assert!(failure.to_string().contains("RuntimeClass \"gone\" not found"), "{failure}");
}

#[test]
fn a_namespace_names_a_level_that_exists() {
    let labelled = |key: &str, value: &str| {
        let mut namespace = Namespace::default();
        namespace.metadata.labels.insert(format!("pod-security.kubernetes.io/{key}"), value.into());
        admit_in(&cluster(), "namespaces", "", namespace).map_err(|failure| failure.code())
    };
    assert!(labelled("enforce", "baseline").is_ok());
    assert!(labelled("enforce-version", "v1.30").is_ok());
    assert_eq!(labelled("warn", "strict").err(), Some(422));
    assert_eq!(labelled("audit-version", "1.30").err(), Some(422));
}
