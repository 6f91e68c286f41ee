//! Defaults of Jobs, CronJobs and HorizontalPodAutoscalers.

use proto::autoscaling::v1;
use proto::autoscaling::v2::{
    HorizontalPodAutoscaler, HpaScalingPolicy, HpaScalingRules, MetricSpec, MetricTarget, ResourceMetricSource,
};
use proto::batch::v1::{CronJob, Job};

use super::shared::{point, set};

/// How often a job's pods may fail, where nothing is said.
const BACKOFF_LIMIT: i32 = 6;
/// Wanted use of a pod's CPU, in hundredths.
const CPU_UTILIZATION: i32 = 80;

pub fn job(job: &mut Job) {
    let spec = &mut job.spec;
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { BACKOFF_LIMIT };
    spec.backoff_limit.get_or_insert(limit);
    point(&mut spec.completion_mode, "NonIndexed");
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    if let Some(policy) = &mut spec.pod_failure_policy {
        for pattern in policy.rules.iter_mut().flat_map(|rule| &mut rule.on_pod_conditions) {
            set(&mut pattern.status, "True");
        }
    }
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    point(&mut spec.pod_replacement_policy, replacement);
    // A job is found by what its pods are found by.
    if job.metadata.labels.is_empty() {
        job.metadata.labels.clone_from(&job.spec.template.metadata.labels);
    }
}

pub fn cron_job(cron_job: &mut CronJob) {
    let spec = &mut cron_job.spec;
    set(&mut spec.concurrency_policy, "Allow");
    spec.suspend.get_or_insert(false);
    spec.successful_jobs_history_limit.get_or_insert(3);
    spec.failed_jobs_history_limit.get_or_insert(1);
}

pub fn autoscaler_v1(autoscaler: &mut v1::HorizontalPodAutoscaler) {
    autoscaler.spec.min_replicas.get_or_insert(1);
}

pub fn autoscaler(autoscaler: &mut HorizontalPodAutoscaler) {
    let spec = &mut autoscaler.spec;
    spec.min_replicas.get_or_insert(1);
    if spec.metrics.is_empty() {
        let target = MetricTarget {
            r#type: "Utilization".to_owned(),
            average_utilization: Some(CPU_UTILIZATION),
            ..Default::default()
        };
        let resource = Some(ResourceMetricSource { name: "cpu".to_owned(), target });
        spec.metrics.push(MetricSpec { r#type: "Resource".to_owned(), resource, ..Default::default() });
    }
    let Some(behavior) = &mut spec.behavior else { return };
    let up = behavior.scale_up.get_or_insert_with(Default::default);
    up.stabilization_window_seconds.get_or_insert(0);
    scaling(up, &[("Pods", 4), ("Percent", 100)]);
    scaling(behavior.scale_down.get_or_insert_with(Default::default), &[("Percent", 100)]);
}

fn scaling(rules: &mut HpaScalingRules, policies: &[(&str, i32)]) {
    point(&mut rules.select_policy, "Max");
    if rules.policies.is_empty() {
        let policy = |(kind, value): &(&str, i32)| HpaScalingPolicy {
            r#type: (*kind).to_owned(),
            value: *value,
            period_seconds: 15,
        };
        rules.policies = policies.iter().map(policy).collect();
    }
}
