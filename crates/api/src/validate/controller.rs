//! Validation of ReplicationControllers, PodTemplates and ControllerRevisions.

use proto::apps::v1::ControllerRevision;
use proto::core::v1::{PodTemplate, ReplicationController, ReplicationControllerSpec};

use super::check::{Errors, immutable, not_negative};
use super::{FieldError, Path, meta, pod, workload};
use crate::selector::labels::Selector;

const SPEC: Path<'static> = Path::root("spec");

pub fn replication(errors: &mut Errors, controller: &ReplicationController) {
    spec(errors, &controller.spec);
}

fn spec(errors: &mut Errors, spec: &ReplicationControllerSpec) {
    not_negative(errors, SPEC.child("minReadySeconds"), i64::from(spec.min_ready_seconds));
    if spec.selector.is_empty() {
        errors.push(FieldError::required(SPEC.child("selector"), ""));
    }
    match spec.replicas {
        None => errors.push(FieldError::required(SPEC.child("replicas"), "")),
        Some(replicas) => not_negative(errors, SPEC.child("replicas"), i64::from(replicas)),
    }
    let path = SPEC.child("template");
    let Some(template) = &spec.template else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let labels = &template.metadata.labels;
    if !spec.selector.is_empty() && !Selector::from_map(&spec.selector).matches(labels) {
        let path = path.child("metadata");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path.child("labels"), labels, why));
    }
    pod::template(errors, path, template);
    workload::runs_forever(errors, path, &template.spec, "ReplicationController");
}

/// A changed controller is judged as a new one, then as a changed one: what is wrong with it is told twice.
pub fn replication_update(errors: &mut Errors, new: &ReplicationController, _old: &ReplicationController) {
    meta::create(errors, new);
    spec(errors, &new.spec);
    spec(errors, &new.spec);
}

pub fn replication_status(errors: &mut Errors, new: &ReplicationController) {
    let status = &new.status;
    not_negative(errors, Path::root("status").child("observedGeneration"), status.observed_generation);
    let parts = [
        ("fullyLabeledReplicas", status.fully_labeled_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
    ];
    workload::counts(errors, ("replicas", status.replicas), &parts, true);
}

pub fn pod_template(errors: &mut Errors, template: &PodTemplate) {
    pod::template(errors, Path::root("template"), &template.template);
}

pub fn revision(errors: &mut Errors, revision: &ControllerRevision) {
    if revision.data.raw.is_empty() {
        errors.push(FieldError::required(Path::root("data"), "data is mandatory"));
    }
    not_negative(errors, Path::root("revision"), revision.revision);
}

pub fn revision_update(errors: &mut Errors, new: &ControllerRevision, old: &ControllerRevision) {
    self::revision(errors, new);
    let shown = String::from_utf8_lossy(&new.data.raw);
    immutable(errors, Path::root("data"), new.data == old.data, shown.as_ref());
}
