//! Validation of StatefulSets.

use proto::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use proto::core::v1::{PersistentVolumeClaimVolumeSource, Volume, VolumeSource};
use proto::meta::v1::LabelSelector;

use super::check::{
    Errors, at_most_whole, count_or_percent, label_selector, not_negative, not_negative_opt, one_of, shape,
};
use super::error::Json;
use super::{FieldError, Path, pod, workload};
use crate::{int_or_string, name};

const SPEC: Path<'static> = Path::root("spec");
const CHANGEABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub fn create(errors: &mut Errors, set: &StatefulSet) {
    spec(errors, &set.spec);
}

fn spec(errors: &mut Errors, spec: &StatefulSetSpec) {
    let path = SPEC.child("podManagementPolicy");
    match spec.pod_management_policy.as_str() {
        "" => errors.push(FieldError::required(path, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid(path, other, "must be 'OrderedReady' or 'Parallel'")),
    }
    strategy(errors, SPEC.child("updateStrategy"), spec);
    if let Some(policy) = &spec.persistent_volume_claim_retention_policy {
        let path = SPEC.child("persistentVolumeClaimRetentionPolicy");
        one_of(errors, path.child("whenDeleted"), &policy.when_deleted, &["Retain", "Delete"]);
        one_of(errors, path.child("whenScaled"), &policy.when_scaled, &["Retain", "Delete"]);
    }
    not_negative_opt(errors, SPEC.child("replicas"), spec.replicas);
    not_negative(errors, SPEC.child("minReadySeconds"), i64::from(spec.min_ready_seconds));
    not_negative_opt(errors, SPEC.child("revisionHistoryLimit"), spec.revision_history_limit);
    if let Some(ordinals) = &spec.ordinals {
        not_negative(errors, SPEC.child("ordinals").child("start"), i64::from(ordinals.start));
    }
    if !spec.service_name.is_empty() {
        shape(errors, SPEC.child("serviceName"), &spec.service_name, name::dns_label);
    }
    selected_template(errors, spec);
}

fn strategy(errors: &mut Errors, path: Path<'_>, spec: &StatefulSetSpec) {
    let strategy = &spec.update_strategy;
    let at = path.child("rollingUpdate");
    match (strategy.r#type.as_str(), &strategy.rolling_update) {
        ("", _) => errors.push(FieldError::required(path, "")),
        ("OnDelete", Some(rolling)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(at, Json(rolling), why));
        }
        ("RollingUpdate", Some(rolling)) => {
            not_negative_opt(errors, at.child("partition"), rolling.partition);
            if let Some(unavailable) = &rolling.max_unavailable {
                let at = at.child("maxUnavailable");
                count_or_percent(errors, at, unavailable);
                let percent = int_or_string::percent(unavailable);
                if percent.unwrap_or_else(|| int_or_string::int_value(unavailable)) == 0 {
                    errors.push(FieldError::invalid(at, unavailable, "cannot be 0"));
                }
                at_most_whole(errors, at, unavailable);
            }
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        _ => errors.push(FieldError::invalid(path, Json(strategy), "must be 'RollingUpdate' or 'OnDelete'")),
    }
}

fn selected_template(errors: &mut Errors, spec: &StatefulSetSpec) {
    let path = SPEC.child("selector");
    match &spec.selector {
        None => errors.push(FieldError::required(path, "")),
        Some(selector) => {
            label_selector(errors, path, selector);
            if *selector == LabelSelector::default() {
                errors.push(FieldError::invalid(path, Json(selector), "empty selector is invalid for statefulset"));
            }
        }
    }
    let path = SPEC.child("template");
    workload::selects(errors, spec.selector.as_ref(), &spec.template, path);
    let mut template = spec.template.clone();
    // Each claim is a volume of the same name in every pod.
    for claim in &spec.volume_claim_templates {
        let name = &claim.metadata.name;
        if !name.is_empty() && !template.spec.volumes.iter().any(|volume| volume.name == *name) {
            let claim = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), ..Default::default() };
            let volume_source = VolumeSource { persistent_volume_claim: Some(claim), ..Default::default() };
            template.spec.volumes.push(Volume { name: name.clone(), volume_source });
        }
    }
    pod::template(errors, path, &template);
    workload::runs_forever(errors, path, &template.spec, "StatefulSet");
}

pub fn update(errors: &mut Errors, new: &StatefulSet, old: &StatefulSet) {
    spec(errors, &new.spec);
    let mut kept = old.spec.clone();
    kept.replicas = new.spec.replicas;
    kept.ordinals.clone_from(&new.spec.ordinals);
    kept.template.clone_from(&new.spec.template);
    kept.update_strategy.clone_from(&new.spec.update_strategy);
    kept.revision_history_limit = new.spec.revision_history_limit;
    kept.persistent_volume_claim_retention_policy.clone_from(&new.spec.persistent_volume_claim_retention_policy);
    kept.min_ready_seconds = new.spec.min_ready_seconds;
    if kept != new.spec {
        errors.push(FieldError::forbidden(SPEC, CHANGEABLE));
    }
}

pub fn update_status(errors: &mut Errors, new: &StatefulSet, old: &StatefulSet) {
    let status: &StatefulSetStatus = &new.status;
    let path = Path::root("status");
    let counts = [
        ("readyReplicas", status.ready_replicas),
        ("currentReplicas", status.current_replicas),
        ("updatedReplicas", status.updated_replicas),
        ("availableReplicas", status.available_replicas),
    ];
    not_negative(errors, path.child("replicas"), i64::from(status.replicas));
    for (field, count) in counts {
        not_negative(errors, path.child(field), i64::from(count));
    }
    not_negative(errors, path.child("observedGeneration"), status.observed_generation);
    workload::collisions(errors, status.collision_count, old.status.collision_count);
    for (field, count) in counts {
        if count > status.replicas {
            errors.push(FieldError::invalid(path.child(field), count, "cannot be greater than status.replicas"));
        }
    }
    if status.available_replicas > status.ready_replicas {
        let why = "cannot be greater than status.readyReplicas";
        errors.push(FieldError::invalid(path.child("availableReplicas"), status.available_replicas, why));
    }
}
