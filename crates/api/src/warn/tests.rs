//! What is told of objects of each kind.

use proto::Reflect;
use proto::apps::v1::{Deployment, StatefulSet};
use proto::batch::v1::{CronJob, Job};
use proto::core::v1::{
    Endpoints, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, Service, ServiceAccount,
};
use proto::discovery::v1::EndpointSlice;
use proto::dynamic::DynObject;
use proto::networking::v1::{Ingress, NetworkPolicy};
use proto::node::v1::RuntimeClass;
use proto::storage::v1::{CsiStorageCapacity, StorageClass};
use serde_json::{Value, json};

use super::*;

const NOTHING: [&str; 0] = [];

fn object<T: DynObject + Reflect + Default>(value: Value) -> T {
    proto::json::from_value(value).expect("an object of the kind")
}

fn told<T: DynObject + Reflect + Default>(value: Value) -> Vec<String> {
    on_create(&object::<T>(value))
}

#[test]
fn deprecated_apis_say_what_to_use_instead() {
    let told = deprecated_api(Endpoints::default().info());
    assert_eq!(told.as_deref(), Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"));
    assert_eq!(deprecated_api(Pod::default().info()), None);
}

#[test]
fn owners_are_named_once() {
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"});
    let mut other = owner.clone();
    other["name"] = json!("b");
    let mut pod: Pod = object(json!({"metadata": {"ownerReferences": [owner, other, owner, owner]}}));
    let told = repeated_owners(&mut pod.metadata).expect("a warning");
    assert!(told.ends_with("duplicate UID(s) observed: u"), "{told}");
    assert_eq!(pod.metadata.owner_references.len(), 2);
    assert_eq!(repeated_owners(&mut pod.metadata), None);
}

#[test]
fn services() {
    assert_eq!(told::<Service>(json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}})), NOTHING);
    assert_eq!(told::<Service>(json!({"spec": {"clusterIP": "None", "sessionAffinity": "None"}})), NOTHING);
    assert_eq!(
        told::<Service>(json!({"spec": {"trafficDistribution": "PreferClose"}})),
        ["spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""]
    );
    assert_eq!(
        told::<Service>(json!({"spec": {"externalIPs": ["::ffff:1.2.3.4"]}})),
        [
            "spec.externalIPs is deprecated",
            "spec.externalIPs[0]: non-standard IP address \"::ffff:1.2.3.4\" will be considered invalid in a future \
         Kubernetes release: use \"1.2.3.4\""
        ]
    );
    let headless = json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"], "sessionAffinity": "ClientIP",
        "externalIPs": ["1.2.3.4"], "loadBalancerIP": "1.2.3.4"}});
    assert_eq!(
        told::<Service>(headless),
        [
            "spec.loadBalancerIP is ignored for headless services",
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services"
        ]
    );
    let name = json!({"metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
        "spec": {"type": "ExternalName", "externalIPs": ["1.2.3.4"]}});
    assert_eq!(
        told::<Service>(name),
        [
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
         service.kubernetes.io/topology-mode instead",
            "spec.externalIPs is ignored when spec.type is \"ExternalName\""
        ]
    );
}

#[test]
fn storage() {
    let volume = json!({
        "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a",
            "volume.beta.kubernetes.io/mount-options": "b"}},
        "spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {"monitors": [], "image": "i"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "failure-domain.beta.kubernetes.io/zone", "operator": "In", "values": ["z"]}]}]}}}});
    assert_eq!(
        told::<PersistentVolume>(volume),
        [
            "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: \
         failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \
         \"storageClassName\" attribute instead",
            "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" \
         attribute instead",
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
         approach is to use dynamic provisioning.",
            "spec.rbd: deprecated in v1.28, non-functional in v1.31+"
        ]
    );
    assert_eq!(
        told::<PersistentVolumeClaim>(json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}})),
        ["spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer"]
    );
    assert_eq!(
        told::<PersistentVolumeClaim>(json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}})),
        NOTHING
    );
    let class = json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "beta.kubernetes.io/os"}]}]});
    assert_eq!(
        told::<StorageClass>(class),
        ["allowedTopologies[0].matchLabelExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use \
         \"kubernetes.io/os\" instead"]
    );
    let capacity = json!({"nodeTopology": {"matchLabels": {"beta.kubernetes.io/arch": "a"}}});
    assert_eq!(
        told::<CsiStorageCapacity>(capacity),
        [
            "nodeTopology.matchLabels[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead"
        ]
    );
}

#[test]
fn networks() {
    let endpoints = |labels: Value| {
        json!({"metadata": {"labels": labels}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}],
            "notReadyAddresses": [{"ip": "a:0:0::1"}]}]})
    };
    assert_eq!(
        told::<Endpoints>(endpoints(json!({}))),
        ["subsets[0].notReadyAddresses[0].ip: IPv6 address \"a:0:0::1\" should be in RFC 5952 canonical format \
         (\"a::1\")"]
    );
    let managed = json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    assert_eq!(told::<Endpoints>(endpoints(managed)), NOTHING);
    assert_eq!(
        told::<EndpointSlice>(json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]})),
        ["spec.addressType: FQDN endpoints are deprecated"]
    );
    assert_eq!(
        told::<EndpointSlice>(json!({"addressType": "IPv6", "endpoints": [{"addresses": ["A::1"]}]})),
        ["endpoints[0].addresses[0]: IPv6 address \"A::1\" should be in RFC 5952 canonical format (\"a::1\")"]
    );
    let policy =
        json!({"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.2.3/16"]}}]}]}});
    assert_eq!(
        told::<NetworkPolicy>(policy),
        ["spec.egress[0].to[0].ipBlock.except[0]: CIDR value \"10.1.2.3/16\" is ambiguous in this context (should be \
         \"10.1.0.0/16\" or \"10.1.2.3/32\"?)"]
    );
    let ingress: Ingress = object(json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}}));
    assert_eq!(
        on_create(&ingress),
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]
    );
    assert_eq!(on_update(&ingress, &ingress), NOTHING);
}

#[test]
fn nodes_accounts_and_runtimes() {
    assert_eq!(
        told::<Node>(json!({"spec": {"externalID": "a", "configSource": {}, "podCIDRs": ["10.0.0.0/24"]}})),
        [
            "spec.configSource: the feature is removed",
            "spec.externalID: this field is deprecated, and is unused by Kubernetes"
        ]
    );
    let account: ServiceAccount =
        object(json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}));
    let why = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate \
               namespaces to isolate access to mounted secrets";
    assert_eq!(on_create(&account), [why]);
    assert_eq!(on_update(&account, &ServiceAccount::default()), [why]);
    assert_eq!(on_update(&account, &account), NOTHING);
    assert_eq!(
        told::<RuntimeClass>(json!({"scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}})),
        ["scheduling.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"]
    );
}

#[test]
fn workloads() {
    let null = "labelSelector: a null labelSelector results in matching no pod";
    let pods = json!({"spec": {"topologySpreadConstraints": [{"topologyKey": "a"}]}});
    let old: Deployment = object(json!({"metadata": {"name": "a.b", "generation": 1}, "spec": {"template": pods}}));
    let told_new = on_create(&old);
    assert!(told_new[0].starts_with("metadata.name: this is used in Pod names and hostnames"), "{told_new:?}");
    assert!(told_new[0].ends_with(']'), "{told_new:?}");
    let path = "spec.template.spec.topologySpreadConstraints[0]";
    assert_eq!(told_new[1], format!("{path}.{null}"));
    assert_eq!(on_update(&old, &old), NOTHING);
    let mut new = old.clone();
    new.metadata.generation = 2;
    assert_eq!(on_update(&new, &old), [format!("{path}.{null}")]);
    let job = json!({"metadata": {"name": "j"}, "spec": {"completionMode": "Indexed", "completions": 100_001,
        "parallelism": 10_001}});
    assert!(told::<Job>(job)[0].starts_with("spec: In Indexed Jobs"));
    let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "TZ=UTC * * * * *",
        "jobTemplate": {"spec": {"template": pods}}}});
    assert_eq!(
        told::<CronJob>(cron),
        [
            format!("spec.jobTemplate.spec.template.spec.topologySpreadConstraints[0].{null}"),
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/\
         workloads/controllers/cron-jobs/ for more details"
                .to_owned()
        ]
    );
    let set = json!({"spec": {"revisionHistoryLimit": -1,
        "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "100m"}}}}]}});
    assert_eq!(
        told::<StatefulSet>(set),
        [
            "spec.volumeClaimTemplates[0].spec.resources.requests[storage]: fractional byte value \"100m\" is invalid, \
         must be an integer",
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        ]
    );
    assert_eq!(
        told::<PodTemplate>(json!({"template": pods})),
        [format!("template.spec.topologySpreadConstraints[0].{null}")]
    );
}
