//! Pods: a new one is Pending, with its quality of service; deleting one waits for its node.

use std::collections::BTreeMap;

use proto::Quantity;
use proto::core::v1::{Container, Pod, PodAffinityTerm, PodCondition, PodSpec, PodStatus};
use proto::dynamic::DynObject;
use proto::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::strategy::{Rules, Strategy};

const GRACE_DEFAULT_S: i64 = 30;

/// The strategy of pods.
#[derive(Debug)]
pub struct PodStrategy;

impl Strategy for PodStrategy {
    fn rules(&self) -> Rules {
        Rules { generation: true, ..Rules::PLAIN }
    }

    fn create(&self, object: &mut dyn DynObject) {
        let Some(pod) = object.downcast_mut::<Pod>() else { return };
        select_by_own_labels(pod);
        pod.status =
            PodStatus { phase: "Pending".to_owned(), qos_class: qos_class(&pod.spec).to_owned(), ..Default::default() };
        if !pod.spec.scheduling_gates.is_empty() {
            pod.status.conditions.push(PodCondition {
                r#type: "PodScheduled".to_owned(),
                status: "False".to_owned(),
                last_transition_time: pod.metadata.creation_timestamp,
                reason: "SchedulingGated".to_owned(),
                message: "Scheduling is blocked due to non-empty scheduling gates".to_owned(),
                ..Default::default()
            });
        }
    }

    fn grace_period(&self, object: &dyn DynObject, requested: Option<i64>) -> Option<i64> {
        let pod = object.downcast_ref::<Pod>()?;
        Some(grace_period(pod, requested))
    }
}

/// matchLabelKeys and mismatchLabelKeys become part of the selectors, with the pod's own values.
fn select_by_own_labels(pod: &mut Pod) {
    let Pod { metadata, spec, .. } = pod;
    for constraint in &mut spec.topology_spread_constraints {
        let keys = constraint.match_label_keys.iter().map(|key| (key, "In"));
        if let Some(selector) = &mut constraint.label_selector {
            add_own(selector, keys, &metadata.labels);
        }
    }
    let Some(affinity) = &mut spec.affinity else { return };
    let mut terms: Vec<&mut PodAffinityTerm> = Vec::new();
    if let Some(near) = &mut affinity.pod_affinity {
        terms.extend(&mut near.required_during_scheduling_ignored_during_execution);
        let preferred = near.preferred_during_scheduling_ignored_during_execution.iter_mut();
        terms.extend(preferred.map(|weighted| &mut weighted.pod_affinity_term));
    }
    if let Some(apart) = &mut affinity.pod_anti_affinity {
        terms.extend(&mut apart.required_during_scheduling_ignored_during_execution);
        let preferred = apart.preferred_during_scheduling_ignored_during_execution.iter_mut();
        terms.extend(preferred.map(|weighted| &mut weighted.pod_affinity_term));
    }
    for term in terms {
        let Some(selector) = &mut term.label_selector else { continue };
        let same = term.match_label_keys.iter().map(|key| (key, "In"));
        let other = term.mismatch_label_keys.iter().map(|key| (key, "NotIn"));
        add_own(selector, same.chain(other), &metadata.labels);
    }
}

/// Adds an expression with the pod's own value for each key that the pod has a label of.
fn add_own<'k>(
    selector: &mut LabelSelector,
    keys: impl Iterator<Item = (&'k String, &'static str)>,
    labels: &BTreeMap<String, String>,
) {
    for (key, operator) in keys {
        let Some(value) = labels.get(key) else { continue };
        selector.match_expressions.push(LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.to_owned(),
            values: vec![value.clone()],
        });
    }
}

/// How long a pod may take to end: what was asked for, else what its spec says; nothing where no kubelet has it.
fn grace_period(pod: &Pod, requested: Option<i64>) -> i64 {
    let asked = requested.or(pod.spec.termination_grace_period_seconds).unwrap_or(GRACE_DEFAULT_S);
    let nothing_runs = pod.spec.node_name.is_empty() || matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    match asked {
        _ if nothing_runs => 0,
        negative if negative < 0 => 1,
        asked => asked,
    }
}

/// status.qosClass.
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let containers: Vec<&Container> = spec.init_containers.iter().chain(&spec.containers).collect();
    let counted = ["cpu", "memory"];
    let set = |quantity: Option<&Quantity>| quantity.is_some_and(|quantity| !is_zero(quantity));
    let pod_level = spec.resources.as_ref();
    let any = containers.iter().filter_map(|container| pod_level.or(Some(&container.resources))).any(|resources| {
        counted.iter().any(|name| set(resources.requests.get(*name)) || set(resources.limits.get(*name)))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers.iter().map(|container| pod_level.unwrap_or(&container.resources)).all(|resources| {
        counted.iter().all(|name| {
            let limit = resources.limits.get(*name);
            set(limit) && resources.requests.get(*name).is_none_or(|request| Some(request) == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn is_zero(quantity: &Quantity) -> bool {
    let digits = quantity.string.trim_start_matches(['+', '-']);
    digits
        .chars()
        .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
        .all(|digit| matches!(digit, '0' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
        let list = |pairs: &[(&str, &str)]| {
            let quantity = |text: &str| Quantity { string: text.to_owned() };
            pairs.iter().map(|(name, value)| ((*name).to_owned(), quantity(value))).collect()
        };
        let mut container = Container::default();
        container.resources.requests = list(requests);
        container.resources.limits = list(limits);
        container
    }

    #[track_caller]
    fn check(containers: Vec<Container>, expect: &str) {
        assert_eq!(qos_class(&PodSpec { containers, ..Default::default() }), expect);
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let all = [("cpu", "1"), ("memory", "1Gi")];
        check(vec![container(&[], &[])], "BestEffort");
        check(vec![container(&[("cpu", "0")], &[])], "BestEffort");
        check(vec![container(&all, &all)], "Guaranteed");
        check(vec![container(&[], &all)], "Guaranteed");
        check(vec![container(&all, &all), container(&[], &[])], "Burstable");
        check(vec![container(&[("cpu", "1")], &[])], "Burstable");
    }

    #[test]
    fn only_a_pod_on_a_node_is_given_time_to_end() {
        let mut pod = Pod::default();
        assert_eq!(grace_period(&pod, Some(60)), 0);
        pod.spec.node_name = "n1".into();
        assert_eq!(grace_period(&pod, None), 30);
        assert_eq!(grace_period(&pod, Some(0)), 0);
        assert_eq!(grace_period(&pod, Some(-1)), 1);
        pod.spec.termination_grace_period_seconds = Some(5);
        assert_eq!(grace_period(&pod, None), 5);
        pod.status.phase = "Failed".into();
        assert_eq!(grace_period(&pod, None), 0);
    }
}
