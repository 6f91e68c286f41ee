use serde_json::json;

use super::*;

fn deployment() -> Schema {
    proto::dynamic::kind_info("apps", "v1", "Deployment").map(|kind| kind.message)
}

#[track_caller]
fn check(original: Value, modified: Value, current: Value, want: Value) {
    assert_eq!(three_way(&original, &modified, &current, deployment()), want);
}

fn containers(list: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": list}}}})
}

#[test]
fn what_is_equal_needs_no_patch() {
    let object = json!({"spec": {"replicas": 3}});
    check(object.clone(), object.clone(), json!({"spec": {"replicas": 3, "revisionHistoryLimit": 10}}), json!({}));
}

#[test]
fn changes_are_set_and_what_others_set_stays() {
    check(
        json!({"spec": {"replicas": 3}}),
        json!({"spec": {"replicas": 5}}),
        json!({"spec": {"replicas": 3, "paused": true}}),
        json!({"spec": {"replicas": 5}}),
    );
}

#[test]
fn drift_of_a_field_in_the_manifest_is_undone() {
    check(
        json!({"spec": {"replicas": 3}}),
        json!({"spec": {"replicas": 3}}),
        json!({"spec": {"replicas": 9}}),
        json!({"spec": {"replicas": 3}}),
    );
}

#[test]
fn what_the_manifest_no_longer_says_is_removed() {
    check(
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
        json!({"metadata": {"labels": {"a": "1"}}}),
        json!({"metadata": {"labels": {"a": "1", "b": "2", "c": "3"}}}),
        json!({"metadata": {"labels": {"b": null}}}),
    );
    check(json!({"spec": {"paused": true}}), json!({"spec": {}}), json!({"spec": {}}), json!({}));
}

#[test]
fn lists_merge_by_key() {
    check(
        containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
        containers(json!([{"name": "a", "image": "2"}, {"name": "c", "image": "1"}])),
        containers(
            json!([{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "b", "image": "1"}, {"name": "injected"}]),
        ),
        json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "c", "image": "1"}, {"$patch": "delete", "name": "b"}],
        }}}}),
    );
}

#[test]
fn only_an_order_changed_is_a_change() {
    check(
        containers(json!([{"name": "a"}, {"name": "b"}])),
        containers(json!([{"name": "b"}, {"name": "a"}])),
        containers(json!([{"name": "a"}, {"name": "b"}])),
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}),
    );
}

#[test]
fn lists_without_merge_are_replaced() {
    check(
        containers(json!([{"name": "a", "args": ["x"]}])),
        containers(json!([{"name": "a", "args": ["y"]}])),
        containers(json!([{"name": "a", "args": ["x"]}])),
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "args": ["y"]}]}}}}),
    );
}

#[test]
fn ports_of_one_number_are_replaced_as_a_whole() {
    let service = proto::dynamic::kind_info("", "v1", "Service").map(|kind| kind.message);
    let ports = |list: Value| json!({"spec": {"ports": list}});
    let (tcp, udp) =
        (json!({"port": 53, "protocol": "TCP", "name": "t"}), json!({"port": 53, "protocol": "UDP", "name": "u"}));
    let live = ports(
        json!([{"port": 53, "protocol": "TCP", "name": "t", "targetPort": 53}, {"port": 53, "protocol": "UDP", "name": "u", "targetPort": 53}]),
    );
    let wanted = ports(json!([tcp, udp]));
    assert_eq!(three_way(&wanted, &wanted, &live, service), json!({}));
    let only = ports(json!([udp, {"port": 53, "protocol": "TCP", "name": "x"}]));
    let patch = three_way(&wanted, &only, &live, service);
    assert_eq!(patch["spec"]["ports"][0], json!({"$patch": "replace"}));
}

#[test]
fn finalizers_are_a_set() {
    check(
        json!({"metadata": {"finalizers": ["a", "b"]}}),
        json!({"metadata": {"finalizers": ["b", "c"]}}),
        json!({"metadata": {"finalizers": ["a", "b", "other"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
    );
}

#[test]
fn a_union_keeps_only_its_new_arm() {
    check(
        json!({"spec": {"strategy": {"type": "RollingUpdate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
    );
}

#[test]
fn quantities_compare_by_amount() {
    check(
        json!({}),
        containers(json!([{"name": "a", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}])),
        containers(json!([{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}])),
        json!({}),
    );
}

#[test]
fn null_in_a_manifest_unsets_a_field() {
    check(
        json!({}),
        json!({"spec": {"replicas": null}}),
        json!({"spec": {"replicas": 3}}),
        json!({"spec": {"replicas": null}}),
    );
    check(
        json!({}),
        json!({"metadata": {"creationTimestamp": null}}),
        json!({"metadata": {"creationTimestamp": "x"}}),
        json!({}),
    );
}

#[test]
fn without_a_schema_lists_are_replaced() {
    let patch =
        three_way(&json!({"a": [{"name": "x"}]}), &json!({"a": [{"name": "y"}]}), &json!({"a": [{"name": "x"}]}), None);
    assert_eq!(patch, json!({"a": [{"name": "y"}]}));
}

#[test]
fn the_manifest_is_remembered_as_kubectl_remembers_it() {
    let manifest =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"b": "1", "a": "<"}});
    let kept = with_last_applied(&manifest);
    let text = kept["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(
        text,
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"<\",\"b\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"x\"}}\n"
    );
    assert_eq!(last_applied(&kept).unwrap()["data"]["b"], "1");
    assert_eq!(with_last_applied(&kept), kept);
}
