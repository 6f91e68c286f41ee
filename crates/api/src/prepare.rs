//! What the server itself writes into an object before it is judged, as far as the object alone decides it.
//!
//! The pure part of upstream's strategies (PrepareForCreate, PrepareForUpdate); what needs the clock, the caller or
//! other objects is the server's.

mod disabled;

use proto::apiextensions::v1::CustomResourceDefinition;
use proto::apps::v1::DaemonSet;
use proto::batch::v1::Job;
use proto::certificates::v1::CertificateSigningRequest;
use proto::dynamic::DynObject;
use proto::meta::v1::LabelSelector;

/// Counts the changes of a DaemonSet's template, for clients of the API before apps/v1.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Prepares a new object.
pub fn create(object: &mut dyn DynObject) {
    disabled::drop(object, None);
    if let Some(job) = object.downcast_mut::<Job>() {
        generate_selector(job);
    } else if let Some(set) = object.downcast_mut::<DaemonSet>() {
        set.metadata.annotations.insert(TEMPLATE_GENERATION.to_owned(), "1".to_owned());
    } else if let Some(definition) = object.downcast_mut::<CustomResourceDefinition>() {
        let stored = definition.spec.versions.iter().filter(|version| version.storage);
        definition.status.stored_versions = stored.map(|version| version.name.clone()).collect();
    }
}

/// Prepares a changed object.
pub fn update(new: &mut dyn DynObject, old: &dyn DynObject) {
    disabled::drop(new, Some(old));
    if let (Some(new), Some(old)) = (new.downcast_mut::<DaemonSet>(), old.downcast_ref::<DaemonSet>()) {
        count_template(new, old);
    } else if let (Some(new), Some(old)) =
        (new.downcast_mut::<CertificateSigningRequest>(), old.downcast_ref::<CertificateSigningRequest>())
    {
        // What was asked for is not changed, it is asked again.
        new.spec.clone_from(&old.spec);
    } else if let (Some(new), Some(_)) =
        (new.downcast_mut::<CustomResourceDefinition>(), old.downcast_ref::<CustomResourceDefinition>())
    {
        for version in new.spec.versions.iter().filter(|version| version.storage) {
            if !new.status.stored_versions.contains(&version.name) {
                new.status.stored_versions.push(version.name.clone());
            }
        }
    }
}

fn count_template(new: &mut DaemonSet, old: &DaemonSet) {
    let kept = old.metadata.annotations.get(TEMPLATE_GENERATION);
    let mut count: i64 = kept.and_then(|text| text.parse().ok()).unwrap_or(1);
    if new.spec.template != old.spec.template {
        count = count.saturating_add(1);
    }
    new.metadata.annotations.insert(TEMPLATE_GENERATION.to_owned(), count.to_string());
}

/// A job is found, and finds its pods, by its name and its uid, unless its maker sees to that. Labels that say
/// something else stay for validation to refuse.
fn generate_selector(job: &mut Job) {
    if job.spec.manual_selector == Some(true) {
        return;
    }
    let (uid, name) = (job.metadata.uid.clone(), job.metadata.name.clone());
    let from_template = job.metadata.labels == job.spec.template.metadata.labels;
    let labels = &mut job.spec.template.metadata.labels;
    for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
        labels.entry(key.to_owned()).or_insert_with(|| value.clone());
        labels.entry(format!("batch.kubernetes.io/{key}")).or_insert_with(|| value.clone());
    }
    if from_template {
        job.metadata.labels.clone_from(labels);
    }
    let selector = job.spec.selector.get_or_insert_with(LabelSelector::default);
    selector.match_labels.entry("batch.kubernetes.io/controller-uid".to_owned()).or_insert(uid);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_finds_its_pods_by_its_uid() {
        let mut job = Job::default();
        job.metadata.name = "j".into();
        job.metadata.uid = "u".into();
        create(&mut job);
        let labels = &job.spec.template.metadata.labels;
        assert_eq!(labels.get("batch.kubernetes.io/controller-uid").map(String::as_str), Some("u"));
        assert_eq!(labels.get("job-name").map(String::as_str), Some("j"));
        assert_eq!(job.metadata.labels, *labels);
        let mut own = Job::default();
        own.spec.manual_selector = Some(true);
        create(&mut own);
        assert_eq!(own.spec.selector, None);
    }

    #[test]
    fn a_changed_template_is_counted() {
        let mut old = DaemonSet::default();
        create(&mut old);
        let mut new = old.clone();
        update(&mut new, &old);
        assert_eq!(new.metadata.annotations.get(TEMPLATE_GENERATION).map(String::as_str), Some("1"));
        new.spec.template.spec.node_name = "n".into();
        new.metadata.annotations.clear();
        update(&mut new, &old);
        assert_eq!(new.metadata.annotations.get(TEMPLATE_GENERATION).map(String::as_str), Some("2"));
    }
}
