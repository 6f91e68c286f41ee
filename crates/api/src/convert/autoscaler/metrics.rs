//! Metrics, wanted and measured: v1 has a field for each way to give a target, v2 one target with a type.

use proto::Quantity;
use proto::autoscaling::{v1, v2};

const CPU: &str = "cpu";

/// The utilization of the CPU that a metric wants: what v1 has a field for.
pub fn cpu_target(metric: &v2::MetricSpec) -> Option<i32> {
    let resource = metric.resource.as_ref().filter(|resource| resource.name == CPU)?;
    resource.target.average_utilization
}

/// The utilization of the CPU that was measured.
pub fn cpu_current(metric: &v2::MetricStatus) -> Option<i32> {
    let resource = metric.resource.as_ref().filter(|resource| resource.name == CPU)?;
    resource.current.average_utilization
}

/// v1's one field as a metric.
pub fn cpu_metric(utilization: i32) -> v2::MetricSpec {
    let target = usage(Some(utilization), None);
    let resource = v2::ResourceMetricSource { name: CPU.to_owned(), target };
    v2::MetricSpec { r#type: "Resource".to_owned(), resource: Some(resource), ..Default::default() }
}

pub fn reference_to_v1(reference: &v2::CrossVersionObjectReference) -> v1::CrossVersionObjectReference {
    let v2::CrossVersionObjectReference { kind, name, api_version } = reference.clone();
    v1::CrossVersionObjectReference { kind, name, api_version }
}

pub fn reference_to_v2(reference: &v1::CrossVersionObjectReference) -> v2::CrossVersionObjectReference {
    let v1::CrossVersionObjectReference { kind, name, api_version } = reference.clone();
    v2::CrossVersionObjectReference { kind, name, api_version }
}

pub fn spec_to_v1(metric: &v2::MetricSpec) -> v1::MetricSpec {
    let v2::MetricSpec { r#type, object, pods, resource, container_resource, external } = metric.clone();
    v1::MetricSpec {
        r#type,
        object: object.map(|source| v1::ObjectMetricSource {
            target: reference_to_v1(&source.described_object),
            metric_name: source.metric.name,
            target_value: source.target.value.unwrap_or_default(),
            selector: source.metric.selector,
            average_value: source.target.average_value,
        }),
        pods: pods.map(|source| v1::PodsMetricSource {
            metric_name: source.metric.name,
            target_average_value: source.target.average_value.unwrap_or_default(),
            selector: source.metric.selector,
        }),
        resource: resource.map(|source| v1::ResourceMetricSource {
            name: source.name,
            target_average_utilization: source.target.average_utilization,
            target_average_value: source.target.average_value,
        }),
        container_resource: container_resource.map(|source| v1::ContainerResourceMetricSource {
            name: source.name,
            target_average_utilization: source.target.average_utilization,
            target_average_value: source.target.average_value,
            container: source.container,
        }),
        external: external.map(|source| v1::ExternalMetricSource {
            metric_name: source.metric.name,
            metric_selector: source.metric.selector,
            target_value: source.target.value,
            target_average_value: source.target.average_value,
        }),
    }
}

pub fn spec_to_v2(metric: &v1::MetricSpec) -> v2::MetricSpec {
    let v1::MetricSpec { r#type, object, pods, resource, container_resource, external } = metric.clone();
    v2::MetricSpec {
        r#type,
        object: object.map(|source| {
            let value = source.average_value.is_none().then_some(source.target_value);
            v2::ObjectMetricSource {
                described_object: reference_to_v2(&source.target),
                target: amount(value, source.average_value),
                metric: v2::MetricIdentifier { name: source.metric_name, selector: source.selector },
            }
        }),
        pods: pods.map(|source| v2::PodsMetricSource {
            metric: v2::MetricIdentifier { name: source.metric_name, selector: source.selector },
            target: amount(None, Some(source.target_average_value)),
        }),
        resource: resource.map(|source| v2::ResourceMetricSource {
            name: source.name,
            target: usage(source.target_average_utilization, source.target_average_value),
        }),
        container_resource: container_resource.map(|source| v2::ContainerResourceMetricSource {
            name: source.name,
            target: usage(source.target_average_utilization, source.target_average_value),
            container: source.container,
        }),
        external: external.map(|source| v2::ExternalMetricSource {
            metric: v2::MetricIdentifier { name: source.metric_name, selector: source.metric_selector },
            target: amount(source.target_value, source.target_average_value),
        }),
    }
}

/// A target for a metric that is an amount.
fn amount(value: Option<Quantity>, average_value: Option<Quantity>) -> v2::MetricTarget {
    let kind = if value.is_some() { "Value" } else { "AverageValue" };
    v2::MetricTarget { r#type: kind.to_owned(), value, average_value, average_utilization: None }
}

/// A target for a metric that is a share of what was requested.
fn usage(average_utilization: Option<i32>, average_value: Option<Quantity>) -> v2::MetricTarget {
    let kind = if average_utilization.is_some() { "Utilization" } else { "AverageValue" };
    v2::MetricTarget { r#type: kind.to_owned(), value: None, average_value, average_utilization }
}

pub fn status_to_v1(metric: &v2::MetricStatus) -> v1::MetricStatus {
    let v2::MetricStatus { r#type, object, pods, resource, container_resource, external } = metric.clone();
    v1::MetricStatus {
        r#type,
        object: object.map(|status| v1::ObjectMetricStatus {
            target: reference_to_v1(&status.described_object),
            metric_name: status.metric.name,
            current_value: status.current.value.unwrap_or_default(),
            selector: status.metric.selector,
            average_value: status.current.average_value,
        }),
        pods: pods.map(|status| v1::PodsMetricStatus {
            metric_name: status.metric.name,
            current_average_value: status.current.average_value.unwrap_or_default(),
            selector: status.metric.selector,
        }),
        resource: resource.map(|status| v1::ResourceMetricStatus {
            name: status.name,
            current_average_utilization: status.current.average_utilization,
            current_average_value: status.current.average_value.unwrap_or_default(),
        }),
        container_resource: container_resource.map(|status| v1::ContainerResourceMetricStatus {
            name: status.name,
            current_average_utilization: status.current.average_utilization,
            current_average_value: status.current.average_value.unwrap_or_default(),
            container: status.container,
        }),
        external: external.map(|status| v1::ExternalMetricStatus {
            metric_name: status.metric.name,
            metric_selector: status.metric.selector,
            current_value: status.current.value.unwrap_or_default(),
            current_average_value: status.current.average_value,
        }),
    }
}

pub fn status_to_v2(metric: &v1::MetricStatus) -> v2::MetricStatus {
    let v1::MetricStatus { r#type, object, pods, resource, container_resource, external } = metric.clone();
    let measured =
        |value, average_value, average_utilization| v2::MetricValueStatus { value, average_value, average_utilization };
    v2::MetricStatus {
        r#type,
        object: object.map(|status| v2::ObjectMetricStatus {
            metric: v2::MetricIdentifier { name: status.metric_name, selector: status.selector },
            current: measured(Some(status.current_value), status.average_value, None),
            described_object: reference_to_v2(&status.target),
        }),
        pods: pods.map(|status| v2::PodsMetricStatus {
            metric: v2::MetricIdentifier { name: status.metric_name, selector: status.selector },
            current: measured(None, Some(status.current_average_value), None),
        }),
        resource: resource.map(|status| v2::ResourceMetricStatus {
            name: status.name,
            current: measured(None, Some(status.current_average_value), status.current_average_utilization),
        }),
        container_resource: container_resource.map(|status| v2::ContainerResourceMetricStatus {
            name: status.name,
            current: measured(None, Some(status.current_average_value), status.current_average_utilization),
            container: status.container,
        }),
        external: external.map(|status| v2::ExternalMetricStatus {
            metric: v2::MetricIdentifier { name: status.metric_name, selector: status.metric_selector },
            current: measured(Some(status.current_value), status.current_average_value, None),
        }),
    }
}
