//! What is done to the objects of a resource around a write: rules as data, and a few kinds with hooks of their own.

use std::fmt::Debug;

use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use super::splice::{METADATA, STATUS, clear_status, field_bytes, splice};
use super::{api_service, definition, namespace, persistent_volume, pod, service};
use crate::status::Result;

/// What a resource's objects are like.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// metadata.generation begins at 1 and grows with every change beyond metadata and status.
    pub generation: bool,
    /// PUT of an object that does not exist creates it.
    pub create_on_update: bool,
    /// PUT may leave out the version it was made from.
    pub unconditional_update: bool,
    /// A creator may set the status.
    pub keeps_status: bool,
    /// A write of the status cannot change labels.
    pub status_keeps_labels: bool,
    /// A write of the status cannot change any metadata.
    pub status_keeps_metadata: bool,
}

impl Rules {
    /// Most resources.
    pub const PLAIN: Self = Self {
        generation: false,
        create_on_update: false,
        unconditional_update: true,
        keeps_status: false,
        status_keeps_labels: false,
        status_keeps_metadata: false,
    };
    const GENERATED: Self = Self { generation: true, ..Self::PLAIN };
    const WORKLOAD: Self = Self { generation: true, status_keeps_labels: true, ..Self::PLAIN };
    /// Changed only by who says what was changed.
    /// Who updates has to say from which version.
    pub const CONDITIONAL: Self = Self { unconditional_update: false, ..Self::PLAIN };
    pub(super) const CONDITIONAL_GENERATED: Self = Self { unconditional_update: false, ..Self::GENERATED };
    const CUSTOM: Self = Self { status_keeps_metadata: true, ..Self::CONDITIONAL_GENERATED };
    const UPSERT: Self = Self { create_on_update: true, ..Self::PLAIN };
}

/// What is done to a resource's objects.
pub trait Strategy: Debug + Send + Sync {
    /// The rules.
    fn rules(&self) -> Rules;

    /// Prepares a new object; its status is empty already where the rules say so.
    fn create(&self, _object: &mut dyn DynObject) {}

    /// Prepares a changed object; its status is the old one's already.
    fn update(&self, _new: &mut dyn DynObject, _old: &dyn DynObject) {}

    /// Marks an object in its own way at its first deletion; false: as all others are.
    fn marks_deletion(&self, _object: &mut dyn DynObject, _now: Time) -> bool {
        false
    }

    /// How many seconds a deletion waits for the object's node, where one has to agree at all.
    fn grace_period(&self, _object: &dyn DynObject, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// Whether something beyond metadata.finalizers holds a deleted object.
    fn is_held(&self, _object: &dyn DynObject) -> bool {
        false
    }
}

/// A strategy without hooks.
#[derive(Debug)]
struct Plain(Rules);

impl Strategy for Plain {
    fn rules(&self) -> Rules {
        self.0
    }
}

/// The strategy of a resource.
pub fn of(group: &str, plural: &str) -> &'static dyn Strategy {
    match (group, plural) {
        ("", "pods") => &pod::PodStrategy,
        ("", "services") => &service::ServiceStrategy,
        ("", "namespaces") => &namespace::NamespaceStrategy,
        ("", "persistentvolumes") => &persistent_volume::VolumeStrategy,
        ("", "persistentvolumeclaims") => &persistent_volume::ClaimStrategy,
        ("", "nodes") => &Plain(Rules { keeps_status: true, ..Rules::PLAIN }),
        ("", "endpoints" | "events" | "limitranges") | ("events.k8s.io", _) => &Plain(Rules::UPSERT),
        ("coordination.k8s.io", "leases") => &Plain(Rules { unconditional_update: false, ..Rules::UPSERT }),
        ("apiregistration.k8s.io", _) => &api_service::ApiServiceStrategy,
        ("node.k8s.io", _) => &Plain(Rules::CONDITIONAL),
        ("storage.k8s.io", "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments") => {
            &Plain(Rules::CONDITIONAL)
        }
        ("policy", _) => &Plain(Rules::CONDITIONAL_GENERATED),
        ("apps", "controllerrevisions") => &Plain(Rules::PLAIN),
        ("apps" | "batch", _) | ("", "replicationcontrollers") => &Plain(Rules::WORKLOAD),
        ("", "podtemplates") | ("discovery.k8s.io" | "scheduling.k8s.io", _) => &Plain(Rules::GENERATED),
        ("networking.k8s.io", "ingresses" | "ingressclasses" | "networkpolicies") => &Plain(Rules::GENERATED),
        ("resource.k8s.io", "resourceslices" | "deviceclasses") => &Plain(Rules::GENERATED),
        ("apiextensions.k8s.io", _) => &definition::DefinitionStrategy,
        ("admissionregistration.k8s.io", _) => &Plain(Rules::CONDITIONAL_GENERATED),
        ("flowcontrol.apiserver.k8s.io", _) => &Plain(Rules::GENERATED),
        _ => &Plain(Rules::PLAIN),
    }
}

/// The strategy of custom resources.
pub fn of_custom() -> &'static dyn Strategy {
    &Plain(Rules::CUSTOM)
}

/// Prepares an object for its creation. `has_status`: the resource has a status subresource.
pub fn prepare_for_create(
    strategy: &dyn Strategy,
    has_status: bool,
    mut object: Box<dyn DynObject>,
) -> Box<dyn DynObject> {
    let rules = strategy.rules();
    if has_status && !rules.keeps_status {
        clear_status(object.as_mut());
    }
    object.metadata_mut().generation = i64::from(rules.generation);
    api::prepare::create(object.as_mut());
    strategy.create(object.as_mut());
    object
}

/// Prepares a changed object.
pub fn prepare_for_update(
    strategy: &dyn Strategy,
    has_status: bool,
    new: Box<dyn DynObject>,
    old: &dyn DynObject,
) -> Result<Box<dyn DynObject>> {
    let mut new = if has_status { splice(old, new.as_ref(), &[STATUS])? } else { new };
    new.metadata_mut().generation = old.metadata().generation;
    api::prepare::update(new.as_mut(), old);
    strategy.update(new.as_mut(), old);
    let beyond = |field: u32| field != METADATA && !(has_status && field == STATUS);
    if strategy.rules().generation && field_bytes(new.as_ref(), beyond) != field_bytes(old, beyond) {
        new.metadata_mut().generation += 1;
    }
    Ok(new)
}

/// Takes the status, and what metadata a status write may change, from `new`.
pub fn prepare_for_status(
    strategy: &dyn Strategy,
    new: Box<dyn DynObject>,
    old: &dyn DynObject,
) -> Result<Box<dyn DynObject>> {
    if strategy.rules().status_keeps_metadata {
        let mut both = splice(new.as_ref(), old, &[STATUS])?;
        both.metadata_mut().managed_fields.clone_from(&new.metadata().managed_fields);
        return Ok(both);
    }
    let mut both = splice(new.as_ref(), old, &[METADATA, STATUS])?;
    let meta = both.metadata_mut();
    meta.generation = old.metadata().generation;
    meta.owner_references.clone_from(&old.metadata().owner_references);
    meta.finalizers.clone_from(&old.metadata().finalizers);
    if strategy.rules().status_keeps_labels {
        meta.labels.clone_from(&old.metadata().labels);
    }
    Ok(both)
}
