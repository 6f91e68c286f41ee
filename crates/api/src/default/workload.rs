//! Defaults of Deployments and ReplicaSets; their pod templates are `pod`'s.

use proto::apps::v1::{Deployment, ReplicaSet};

use super::shared::set;
use crate::int_or_string;

pub fn deployment(deployment: &mut Deployment) {
    let spec = &mut deployment.spec;
    spec.replicas.get_or_insert(1);
    set(&mut spec.strategy.r#type, "RollingUpdate");
    if spec.strategy.r#type == "RollingUpdate" {
        let rolling = spec.strategy.rolling_update.get_or_insert_with(Default::default);
        rolling.max_unavailable.get_or_insert_with(|| int_or_string::from_string("25%"));
        rolling.max_surge.get_or_insert_with(|| int_or_string::from_string("25%"));
    }
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
}

pub fn replica_set(set: &mut ReplicaSet) {
    set.spec.replicas.get_or_insert(1);
}
