use proto::Kind;
use serde_json::json;

use super::*;

fn scaler(value: serde_json::Value) -> v2::HorizontalPodAutoscaler {
    proto::json::from_value(value).expect("an autoscaler")
}

/// Every kind of metric, every kind of target.
fn full() -> v2::HorizontalPodAutoscaler {
    let selector = json!({"matchLabels": {"a": "b"}});
    let object = json!({"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"});
    scaler(json!({
        "metadata": {"name": "h", "annotations": {"mine": "stays"}},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "minReplicas": 2, "maxReplicas": 7,
            "metrics": [
                {"type": "Object", "object": {"describedObject": object, "metric": {"name": "m", "selector": selector},
                    "target": {"type": "Value", "value": "10k"}}},
                {"type": "Object", "object": {"describedObject": object, "metric": {"name": "m"},
                    "target": {"type": "AverageValue", "averageValue": "5"}}},
                {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                    "target": {"type": "Utilization", "averageUtilization": 50}}},
                {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "Value", "value": "3"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "tolerance": "500m",
                "policies": [{"type": "Percent", "value": 10, "periodSeconds": 30}]}},
        },
        "status": {
            "observedGeneration": 3, "currentReplicas": 2, "desiredReplicas": 4,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": "200m", "averageUtilization": 40}}},
                {"type": "External", "external": {"metric": {"name": "e"}, "current": {"value": "2"}}},
                {"type": "Pods", "pods": {"metric": {"name": "p"}, "current": {"averageValue": "900"}}},
            ],
            "conditions": [{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}],
        },
    }))
}

#[test]
fn a_client_of_v1_loses_nothing() {
    let stored = full();
    let shown = to_v1(&stored).expect("v1");
    let v1 = shown.downcast_ref::<v1::HorizontalPodAutoscaler>().expect("v1");
    assert_eq!(v1.spec.target_cpu_utilization_percentage, Some(80));
    assert_eq!(v1.status.current_cpu_utilization_percentage, Some(40));
    assert_eq!(v1.metadata.annotations.len(), 5, "{:?}", v1.metadata.annotations);
    let back = to_v2(shown.as_ref()).expect("v2");
    let back = back.downcast_ref::<v2::HorizontalPodAutoscaler>().expect("v2");
    assert_eq!(proto::json::to_value(back), proto::json::to_value(&stored));
}

#[test]
fn what_v1_has_fields_for_needs_no_annotation() {
    let mut v1 = v1::HorizontalPodAutoscaler::default();
    v1.spec.target_cpu_utilization_percentage = Some(70);
    v1.spec.max_replicas = 3;
    let stored = to_v2(&v1).expect("v2");
    let metrics = &stored.downcast_ref::<v2::HorizontalPodAutoscaler>().expect("v2").spec.metrics;
    assert_eq!(metrics.len(), 1);
    assert_eq!(metrics::cpu_target(&metrics[0]), Some(70));
    let shown = to_v1(stored.as_ref()).expect("v1");
    assert_eq!(shown.downcast_ref::<v1::HorizontalPodAutoscaler>(), Some(&v1));
}

#[test]
fn annotations_that_cannot_be_read_are_dropped() {
    let mut v1 = v1::HorizontalPodAutoscaler::default();
    for (name, text) in [(METRICS, "{"), (CONDITIONS, "[1]"), (BEHAVIOR, "{\"ScaleUp\":{\"Policies\":[{}]}}")] {
        v1.metadata.annotations.insert(name.to_owned(), text.to_owned());
    }
    let stored = to_v2(&v1).expect("v2");
    assert_eq!(
        stored.downcast_ref(),
        Some(&v2::HorizontalPodAutoscaler::default()),
        "{}",
        v2::HorizontalPodAutoscaler::KIND
    );
}
