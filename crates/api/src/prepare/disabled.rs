//! Fields of features that are off by default in this version of Kubernetes: what a client sends there is dropped, unless
//! the object has it already. Upstream's DropDisabledFields.

use proto::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use proto::batch::v1::{CronJob, Job};
use proto::core::v1::{Lifecycle, PersistentVolumeClaim, Pod, PodSpec, PodTemplate, ReplicationController};
use proto::dynamic::DynObject;
use proto::storage::v1::CsiDriver;

/// Drops what is disabled from a new object, or from one that replaces `old`.
pub fn drop(object: &mut dyn DynObject, old: Option<&dyn DynObject>) {
    if let Some(spec) = pod_spec_mut(object) {
        of_pods(spec, old.and_then(pod_spec));
    }
    if let Some(set) = object.downcast_mut::<StatefulSet>() {
        // MaxUnavailableStatefulSet
        let had = old.and_then(|old| old.downcast_ref::<StatefulSet>()?.spec.update_strategy.rolling_update.as_ref());
        if had.is_none_or(|rolling| rolling.max_unavailable.is_none())
            && let Some(rolling) = &mut set.spec.update_strategy.rolling_update
        {
            rolling.max_unavailable = None;
        }
    } else if let Some(claim) = object.downcast_mut::<PersistentVolumeClaim>() {
        // CrossNamespaceVolumeDataSource
        let had = old.and_then(|old| old.downcast_ref::<PersistentVolumeClaim>()?.spec.data_source_ref.as_ref());
        if had.is_none_or(|source| source.namespace.is_none())
            && let Some(source) = &mut claim.spec.data_source_ref
        {
            source.namespace = None;
        }
    } else if let Some(driver) = object.downcast_mut::<CsiDriver>() {
        // VolumeLimitScaling
        let had = old.and_then(|old| old.downcast_ref::<CsiDriver>());
        if had.is_none_or(|old| old.spec.prevent_pod_scheduling_if_missing.is_none()) {
            driver.spec.prevent_pod_scheduling_if_missing = None;
        }
    }
}

/// Where the kinds that make pods have the pods' spec.
macro_rules! with_pods {
    ($make:ident) => {
        $make! {
            Pod: spec,
            PodTemplate: template.spec,
            ReplicaSet: spec.template.spec,
            Deployment: spec.template.spec,
            DaemonSet: spec.template.spec,
            StatefulSet: spec.template.spec,
            Job: spec.template.spec,
            CronJob: spec.job_template.spec.template.spec,
        }
    };
}

macro_rules! make_pod_spec {
    ($($kind:ty: $($field:ident).+,)*) => {
        fn pod_spec(object: &dyn DynObject) -> Option<&PodSpec> {
            $(if let Some(found) = object.downcast_ref::<$kind>() {
                return Some(&found.$($field).+);
            })*
            object.downcast_ref::<ReplicationController>()?.spec.template.as_ref().map(|template| &template.spec)
        }
    };
}

macro_rules! make_pod_spec_mut {
    ($($kind:ty: $($field:ident).+,)*) => {
        /// A pod's spec, or that of the pods which an object makes.
        fn pod_spec_mut(object: &mut dyn DynObject) -> Option<&mut PodSpec> {
            // The kind is asked for before the object is borrowed for good.
            $(if object.as_any().is::<$kind>() {
                return object.downcast_mut::<$kind>().map(|found| &mut found.$($field).+);
            })*
            object.downcast_mut::<ReplicationController>()?.spec.template.as_mut().map(|template| &mut template.spec)
        }
    };
}

with_pods!(make_pod_spec);
with_pods!(make_pod_spec_mut);

fn of_pods(spec: &mut PodSpec, old: Option<&PodSpec>) {
    // GenericWorkload
    if old.is_none_or(|old| old.scheduling_group.is_none()) {
        spec.scheduling_group = None;
    }
    // ContainerStopSignals
    if !old.is_some_and(|old| lifecycles(old).any(|lifecycle| lifecycle.stop_signal.is_some())) {
        for lifecycle in lifecycles_mut(spec) {
            lifecycle.stop_signal = None;
        }
    }
    // ClusterTrustBundleProjection, PodCertificateRequest
    let had = |wanted: fn(&proto::core::v1::VolumeProjection) -> bool| {
        let projected = old.iter().flat_map(|old| &old.volumes).filter_map(|it| it.volume_source.projected.as_ref());
        projected.flat_map(|projected| &projected.sources).any(wanted)
    };
    let (bundles, certificates) =
        (had(|source| source.cluster_trust_bundle.is_some()), had(|source| source.pod_certificate.is_some()));
    let projected = spec.volumes.iter_mut().filter_map(|volume| volume.volume_source.projected.as_mut());
    for source in projected.flat_map(|projected| &mut projected.sources) {
        if !bundles {
            source.cluster_trust_bundle = None;
        }
        if !certificates {
            source.pod_certificate = None;
        }
    }
}

fn lifecycles(spec: &PodSpec) -> impl Iterator<Item = &Lifecycle> {
    spec.init_containers.iter().chain(&spec.containers).filter_map(|container| container.lifecycle.as_ref())
}

fn lifecycles_mut(spec: &mut PodSpec) -> impl Iterator<Item = &mut Lifecycle> {
    spec.init_containers.iter_mut().chain(&mut spec.containers).filter_map(|container| container.lifecycle.as_mut())
}

#[cfg(test)]
mod tests {
    use proto::core::v1::Container;

    use super::*;

    fn with_signal() -> Deployment {
        let mut deployment = Deployment::default();
        let lifecycle = Lifecycle { stop_signal: Some("SIGUSR1".to_owned()), ..Lifecycle::default() };
        deployment.spec.template.spec.containers =
            vec![Container { lifecycle: Some(lifecycle), ..Container::default() }];
        deployment
    }

    #[test]
    fn what_is_disabled_is_dropped_unless_it_was_there() {
        let mut new = with_signal();
        drop(&mut new, None);
        assert!(lifecycles(&new.spec.template.spec).all(|lifecycle| lifecycle.stop_signal.is_none()));
        let (mut kept, old) = (with_signal(), with_signal());
        drop(&mut kept, Some(&old));
        assert_eq!(kept, old);
    }
}
