//! What is told of pods.

use serde_json::{Value, json};

use super::super::on_create;
use super::*;

const NOTHING: [&str; 0] = [];

fn told(spec: Value) -> Vec<String> {
    annotated(json!({}), spec)
}

fn annotated(annotations: Value, spec: Value) -> Vec<String> {
    let pod = json!({"metadata": {"name": "p", "annotations": annotations}, "spec": spec});
    on_create(&proto::json::from_value::<Pod>(pod).expect("a pod"))
}

#[test]
fn labels_of_nodes_have_newer_names() {
    let expression = json!([{"key": "beta.kubernetes.io/os", "operator": "In", "values": ["-a"]}]);
    let spec = json!({"nodeSelector": {"beta.kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"},
        "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": expression}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"preference": {"matchExpressions": [
                {"key": "beta.kubernetes.io/instance-type", "operator": "Exists"}]}}]}},
        "topologySpreadConstraints": [
            {"topologyKey": "failure-domain.beta.kubernetes.io/region", "labelSelector": {}}]});
    let told = told(spec);
    let path = "spec.affinity.nodeAffinity";
    let term = "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]";
    assert!(told[2].starts_with(&format!("{path}.{term}.values[0]: -a is invalid, a valid label")), "{told:?}");
    let others = [0, 1, 3, 4].map(|index: usize| told[index].clone());
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0]";
    let since = |version: &str, new: &str| format!("deprecated since {version}; use \"{new}\" instead");
    let region = "failure-domain.beta.kubernetes.io/region";
    assert_eq!(
        others,
        [
            format!("spec.nodeSelector[beta.kubernetes.io/arch]: {}", since("v1.14", "kubernetes.io/arch")),
            format!("{path}.{term}.key: beta.kubernetes.io/os is {}", since("v1.14", "kubernetes.io/os")),
            format!(
                "{path}.{preferred}.key: beta.kubernetes.io/instance-type is {}",
                since("v1.17", "node.kubernetes.io/instance-type")
            ),
            format!(
                "spec.topologySpreadConstraints[0].topologyKey: {region} is {}",
                since("v1.17", "topology.kubernetes.io/region")
            ),
        ]
    );
}

#[test]
fn no_selector_means_no_pod() {
    let spec = json!({"affinity": {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"podAffinityTerm": {"topologyKey": "a"}}, {"podAffinityTerm": {"topologyKey": "a", "labelSelector": {}}}]}}});
    let why = "a null labelSelector results in matching no pod";
    assert_eq!(
        told(spec),
        [
            format!("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: {why}"),
            format!(
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.\
             labelSelector: {why}"
            ),
        ]
    );
}

#[test]
fn annotations_that_fields_have_replaced() {
    let annotations = json!({"scheduler.alpha.kubernetes.io/critical-pod": "",
        "seccomp.security.alpha.kubernetes.io/pod": "a",
        "container.seccomp.security.alpha.kubernetes.io/c": "a",
        "container.apparmor.security.beta.kubernetes.io/c": "a"});
    assert_eq!(
        annotated(annotations.clone(), json!({"containers": [{"name": "c"}]})),
        [
            "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \
         \"priorityClassName\" field instead",
            "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the \
         \"seccompProfile\" field instead",
            "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the \
         \"seccompProfile\" field instead",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \
         \"appArmorProfile\" field instead"
        ]
    );
    let profile = json!({"type": "RuntimeDefault"});
    let fields = json!({"securityContext": {"seccompProfile": profile, "appArmorProfile": profile},
        "containers": [{"name": "c", "securityContext": {"seccompProfile": profile}}]});
    assert_eq!(annotated(annotations, fields).len(), 1);
}

#[test]
fn names_and_addresses_that_are_said_twice() {
    let spec = json!({"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}, {"ip": "01.2.3.4"}],
        "imagePullSecrets": [{"name": "a"}, {}, {"name": "a"}],
        "dnsConfig": {"nameservers": ["A::1"]}, "terminationGracePeriodSeconds": -1});
    assert_eq!(
        told(spec),
        [
            "spec.hostAliases[1].ip: duplicate ip \"1.2.3.4\"",
            "spec.hostAliases[2].ip: non-standard IP address \"01.2.3.4\" will be considered invalid in a future \
         Kubernetes release: use \"1.2.3.4\"",
            "spec.imagePullSecrets[1].name: invalid empty name \"\"",
            "spec.imagePullSecrets[2].name: duplicate name \"a\"",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.dnsConfig.nameservers[0]: IPv6 address \"A::1\" should be in RFC 5952 canonical format (\"a::1\")"
        ]
    );
}

#[test]
fn kinds_of_volumes_that_are_going() {
    let claim = json!({"spec": {"resources": {"requests": {"storage": "100m"}}}});
    let spec = json!({"volumes": [{"name": "a", "gitRepo": {"repository": "r"}}, {"name": "b", "flocker": {}},
        {"name": "c", "ephemeral": {"volumeClaimTemplate": claim}}, {"name": "d", "emptyDir": {}}]});
    assert_eq!(
        told(spec),
        [
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            "spec.volumes[1].flocker: deprecated in v1.22, non-functional in v1.25+",
            "spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value \
         \"100m\" is invalid, must be an integer"
        ]
    );
}

#[test]
fn parts_of_bytes_are_told_limits_first() {
    let resources = json!({"limits": {"memory": "100m", "cpu": "100m"},
        "requests": {"memory": "100m", "ephemeral-storage": "1.5"}});
    let why = "is invalid, must be an integer";
    let path = "spec.initContainers[0].resources";
    assert_eq!(
        told(json!({"initContainers": [{"name": "i", "resources": resources}]})),
        [
            format!("{path}.limits[memory]: fractional byte value \"100m\" {why}"),
            format!("{path}.requests[memory]: fractional byte value \"100m\" {why}"),
            format!("{path}.requests[ephemeral-storage]: fractional byte value \"1500m\" {why}"),
        ]
    );
}

#[test]
fn variables_that_hide_earlier_ones() {
    let env = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}, {"name": "A", "value": "$(A)"},
        {"name": "A", "value": "3"}]);
    let why = "hides previous definition of \"A\", which may be dropped when using apply";
    assert_eq!(
        told(json!({"containers": [{"name": "c", "env": env}]})),
        [format!("spec.containers[0].env[2]: {why}"), format!("spec.containers[0].env[3]: {why}"),]
    );
}

#[test]
fn ports_that_meet() {
    let port = |host_port: i32, host_ip: &str| json!({"containerPort": 80, "protocol": "TCP", "hostPort": host_port, "hostIP": host_ip});
    let of =
        |a: Value, b: Value| told(json!({"containers": [{"name": "a", "ports": [a]}, {"name": "b", "ports": [b]}]}));
    let with = |how: &str| {
        vec![format!("spec.containers[1].ports[0]: {how} port definition with spec.containers[0].ports[0]")]
    };
    assert_eq!(of(port(0, ""), port(0, "")), with("duplicate"));
    assert_eq!(of(port(8, ""), port(8, "")), with("duplicate"));
    assert_eq!(of(port(8, "1.1.1.1"), port(8, "")), with("overlapping"));
    assert_eq!(of(port(8, ""), port(0, "")), with("overlapping"));
    assert_eq!(of(port(8, "1.1.1.1"), port(8, "2.2.2.2")), NOTHING);
    assert_eq!(of(port(8, ""), port(9, "")), NOTHING);
    assert_eq!(
        told(json!({"containers": [{"name": "a", "ports": [port(0, "1.1.1.1")]}]})),
        ["spec.containers[0].ports[0]: hostIP set without hostPort: \
         {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.1.1.1}"]
    );
    let named = |number: i32| json!({"name": "web", "containerPort": number, "protocol": "TCP"});
    assert_eq!(
        of(named(1), named(2)),
        ["spec.containers[1].ports[0]: duplicate port name \"web\" with spec.containers[0].ports[0], services and \
         probes that select ports by name will use spec.containers[0].ports[0]"]
    );
    let before = json!({"initContainers": [{"name": "i", "ports": [named(1)]}],
        "containers": [{"name": "c", "ports": [named(1)]}]});
    assert_eq!(told(before), NOTHING);
}
