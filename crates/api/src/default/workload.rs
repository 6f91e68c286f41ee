//! Defaults of what runs pods; their pod templates are `pod`'s.

use proto::apps::v1::{DaemonSet, Deployment, ReplicaSet, RollingUpdateStatefulSetStrategy, StatefulSet};
use proto::core::v1::ReplicationController;

use super::shared::set;
use crate::int_or_string;

const REVISIONS: i32 = 10;

pub fn deployment(deployment: &mut Deployment) {
    let spec = &mut deployment.spec;
    spec.replicas.get_or_insert(1);
    set(&mut spec.strategy.r#type, "RollingUpdate");
    if spec.strategy.r#type == "RollingUpdate" {
        let rolling = spec.strategy.rolling_update.get_or_insert_with(Default::default);
        rolling.max_unavailable.get_or_insert_with(|| int_or_string::from_string("25%"));
        rolling.max_surge.get_or_insert_with(|| int_or_string::from_string("25%"));
    }
    spec.revision_history_limit.get_or_insert(REVISIONS);
    spec.progress_deadline_seconds.get_or_insert(600);
}

pub fn replica_set(set: &mut ReplicaSet) {
    set.spec.replicas.get_or_insert(1);
}

pub fn daemon_set(daemons: &mut DaemonSet) {
    let strategy = &mut daemons.spec.update_strategy;
    set(&mut strategy.r#type, "RollingUpdate");
    if strategy.r#type == "RollingUpdate" {
        let rolling = strategy.rolling_update.get_or_insert_with(Default::default);
        rolling.max_unavailable.get_or_insert_with(|| int_or_string::from_int(1));
        rolling.max_surge.get_or_insert_with(|| int_or_string::from_int(0));
    }
    daemons.spec.revision_history_limit.get_or_insert(REVISIONS);
    // It counts from one; whoever wrote the object owns it, as upstream has it.
    daemons
        .metadata
        .annotations
        .entry(crate::prepare::TEMPLATE_GENERATION.to_owned())
        .or_insert_with(|| "0".to_owned());
}

pub fn stateful_set(replicas: &mut StatefulSet) {
    let spec = &mut replicas.spec;
    set(&mut spec.pod_management_policy, "OrderedReady");
    let strategy = &mut spec.update_strategy;
    if strategy.r#type.is_empty() {
        set(&mut strategy.r#type, "RollingUpdate");
        strategy.rolling_update.get_or_insert_with(RollingUpdateStatefulSetStrategy::default);
    }
    if let Some(rolling) = strategy.rolling_update.as_mut().filter(|_| strategy.r#type == "RollingUpdate") {
        rolling.partition.get_or_insert(0);
    }
    let claims = spec.persistent_volume_claim_retention_policy.get_or_insert_with(Default::default);
    set(&mut claims.when_deleted, "Retain");
    set(&mut claims.when_scaled, "Retain");
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(REVISIONS);
}

/// What its template says of labels is said of the controller as well, and of the pods it looks for.
pub fn replication_controller(controller: &mut ReplicationController) {
    let spec = &mut controller.spec;
    spec.replicas.get_or_insert(1);
    let Some(labels) = spec.template.as_ref().map(|template| &template.metadata.labels) else { return };
    if spec.selector.is_empty() {
        spec.selector.clone_from(labels);
    }
    if controller.metadata.labels.is_empty() {
        controller.metadata.labels.clone_from(labels);
    }
}
