use proto::core::v1::{Pod, Service};
use serde_json::json;

use super::apply;
use super::pod::pull_policy;

fn pod(value: serde_json::Value) -> Pod {
    let mut pod: Pod = proto::json::from_value(value).expect("a pod");
    apply(&mut pod);
    pod
}

#[test]
fn applying_twice_changes_nothing() {
    let mut twice = pod(json!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i",
        "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "0.5"}}}]}}));
    let once = twice.clone();
    apply(&mut twice);
    assert_eq!(once, twice);
    assert_eq!(once.spec.containers[0].ports[0].host_port, 80);
    assert_eq!(once.spec.containers[0].resources.requests["cpu"].string, "500m");
}

#[test]
fn movable_images_are_always_pulled() {
    for (image, policy) in [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("registry:5000/busybox", "Always"),
        ("registry:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:0000", "IfNotPresent"),
    ] {
        assert_eq!(pull_policy(image), policy, "{image}");
    }
}

#[test]
fn a_target_port_defaults_to_the_port() {
    let mut service: Service = proto::json::from_value(json!({"spec": {"ports": [{"port": 80}]}})).expect("a service");
    apply(&mut service);
    assert_eq!(service.spec.ports[0].target_port.int_val, 80);
    assert_eq!(service.spec.internal_traffic_policy.as_deref(), Some("Cluster"));
    assert_eq!(service.spec.external_traffic_policy, "");
}
